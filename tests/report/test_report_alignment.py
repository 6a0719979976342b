"""Answers side by side, points with intervals, and where the stages of alignment stand."""

import re
from collections.abc import Callable
from dataclasses import asdict
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from gristmill.core.figure import Chart, Samples, Series
from gristmill.report.charts import COLOURS, chart_svg
from gristmill.report.elements import samples
from gristmill.report.page import StageRecord, render_report

HOSTILE = "</p></dd><script>document.title='hacked'</script><b onclick=\"x\">"
NAMES = ["base", "sft", "dpo", f"ppo {HOSTILE}"]


def side(count: int = 10) -> dict[str, object]:
    rows = [
        {"question": f"{HOSTILE} {i}?", **dict.fromkeys(NAMES, f"answer {HOSTILE} " * 4)}
        for i in range(count)
    ]
    return asdict(Samples(f"Answers {HOSTILE}", rows, note=HOSTILE, layout="columns"))


def points() -> dict[str, object]:
    low, high = [0.1, 0.2], [0.5, 0.9]
    series = [
        Series(name, [0.0, 1.5], [0.3, 0.4], low, high, labels=["$a$ b", HOSTILE], panel=panel)
        for name in ("dpo", "ppo")
        for panel in ("gold", "proxy")
    ]
    return asdict(Chart("Reward", "√KL", "reward", series, style="points"))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def record(name: str, shown: dict[str, object] | None = None) -> StageRecord:
    return StageRecord(name, "x", "summary", "a" * 64, "b" * 64, 1.0, 1.0, 1, 1, {}, {},
                       f"{name}-aaaaaaaaaaaa", shown or {})  # fmt: skip


def page() -> str:
    names = ["train.lm", "train.lm@small", "train.sft", "align.sample", "train.reward",
             "train.ppo@strong", "generate", "study.ablate"]  # fmt: skip
    shown = {"samples": [side()], "charts": [points()],
             "figures": {"sft.stops": {"value": 0.975}}}  # fmt: skip
    return render_report(
        "demo", "", [record(n) for n in names] + [record("study.alignment", shown)], []
    )


def test_text_in_columns_is_never_markup() -> None:
    tags = Tags()
    tags.feed(page())
    assert "script" not in {tag for tag, _ in tags.seen}
    for tag, attributes in tags.seen:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    # Title, note, question, the name of a model, and four answers of four.
    assert unescape(samples(side(1))).count(HOSTILE) == 4 + 4 * 4


def test_one_column_for_each_model_and_the_question_above() -> None:
    html = samples(side())
    assert html.count('<dl class="side">') == html.count('class="asked"') == 10
    assert html.count("<dt>") == 40
    assert "<details>" not in html and "<details>" in samples(side(11))
    cards = samples({**side(), "layout": "cards"})
    assert 'class="side"' not in cards and "<details>" in cards


def test_a_stage_stands_in_the_section_that_names_it() -> None:
    sections = {
        part.partition("<")[0]: re.findall(r"<h3>(.*?)</h3>", part)
        for part in page().split("<h2>")[1:]
    }
    assert sections["Training"] == ["train.lm", "train.lm@small"]
    assert sections["Alignment"] == [
        "train.sft", "align.sample", "train.reward", "train.ppo@strong", "study.alignment"
    ]  # fmt: skip
    assert sections["Comparisons"] == ["study.ablate"]
    assert "Further stages" not in sections
    assert "<b>97.5%</b>" in page()


def test_points_share_colours_and_the_x_axis() -> None:
    svg = chart_svg(points())
    assert svg == chart_svg(points())
    for colour in COLOURS[:2]:
        assert colour in svg
    assert COLOURS[2] not in svg
    # A label with dollars is text, not a formula.
    assert "$a$ b" in unescape(svg) and "<script" not in svg
    assert svg.count("√KL") == 1 and svg.count(">gold<") == svg.count(">proxy<") == 1
    bare = {**points(), "series": [{"name": "a", "x": [1], "y": [2], "low": None, "high": None}]}
    assert "<svg" in chart_svg(bare)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "columns"), [(390, 1), (1280, 4)])
def test_in_a_browser_columns_stand_side_by_side_and_stack_on_a_phone(
    width: int, columns: int, measured: Callable[..., dict[str, Any]]
) -> None:
    script = (
        "const tops = [...d.querySelector('.side').children].map("
        "e => Math.round(e.getBoundingClientRect().top)); found = {title: d.title, "
        "over: d.documentElement.scrollWidth, rows: new Set(tops).size}"
    )
    found = measured(page(), width, script)
    assert found["title"] == "demo" and found["over"] <= width, found
    assert found["rows"] == len(NAMES) // columns, found
