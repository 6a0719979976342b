"""The report: complete, offline, text never markup; looked at in a real browser."""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gristmill.report.charts import chart_svg
from gristmill.report.page import StageRecord, all_figures, render_report, shared_figures

INJECTIONS = [
    "<script>document.title='hacked'</script>",
    "<img src=x onerror=\"document.title='hacked'\">",
    "</style><script>document.title='hacked'</script>",
    "\"><svg onload=document.title='hacked'>",
    "javascript:document.title='hacked'",
    "</title><script>document.title='hacked'</script>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "&lt;script&gt; &amp;#x3C;",
]


def records() -> list[StageRecord]:
    hostile = " ".join(INJECTIONS)
    curve = {
        "title": f"Loss {INJECTIONS[0]}", "x_label": "step", "y_label": INJECTIONS[1],
        "style": "line", "log_x": False, "log_y": False, "categories": [],
        "series": [{"name": INJECTIONS[3], "x": [0, 1, 2], "y": [3.0, None, 1.0],
                    "low": None, "high": None},
                   {"name": "b", "x": [0, 1], "y": [2.0, 1.5], "low": [1, 1], "high": [3, 2]}],
    }  # fmt: skip
    bars = {**curve, "title": "Left", "style": "bar", "categories": ["crawl", INJECTIONS[0]],
            "series": [{"name": "n", "x": [0, 1], "y": [14000, 9000]}]}  # fmt: skip
    shown = {
        "figures": {"base.bits_per_byte": {"value": 1.5, "low": 1.4, "high": 1.6, "n": 300}},
        "tables": [{"title": hostile, "columns": ["a", "b" * 200], "note": hostile,
                    "rows": [[hostile, {"figure": {"value": 0.5}}], [1, True], [None, 0.25]]}],
        "charts": [curve, bars],
        "samples": [{"title": hostile, "note": "",
                     "rows": [{"url": hostile, "text": "x" * 5000}] * 4}],
        "notes": [hostile],
    }  # fmt: skip
    first = StageRecord("data.crawl", "pages", "fetch", "a" * 64, "b" * 64, 3.0, 2.0, 2**28, 10**7,
                        {"pages": 14000}, {}, "data.crawl-aaaaaaaaaaaa")  # fmt: skip
    second = StageRecord("evaluate.perplexity", "evaluation", hostile, "c" * 64, "d" * 64, 4.5, 4.0,
                         2**28, 10**5, {}, {"model": ["data.crawl-aaaaaaaaaaaa"]},
                         "evaluate.perplexity-cccccccccccc", shown)  # fmt: skip
    return [first, second]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(INJECTIONS[5], "about", records(), [INJECTIONS[0]])


def test_text_is_never_markup_and_nothing_comes_from_elsewhere(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "iframe", "object", "embed", "link", "base", "form", "img"}
    for tag, attributes in tags.seen:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("href", "src", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert INJECTIONS[6] in unescape(page)


def test_every_section_figure_and_stage_is_there(page: str) -> None:
    text = unescape(page)
    for expected in ("Evaluation", "Lineage", "Time and memory", "14,000", "figures.json",
                     "1.40 to 1.60", "256 MiB", "└─ model: data.crawl"):  # fmt: skip
        assert expected in text, expected
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert len(page.encode()) < 200_000


def test_the_total_is_the_sum_of_recorded_times() -> None:
    figures = all_figures(records())
    assert figures["seconds.total"] == {"value": 7.5, "n": 2}
    assert figures["base.bits_per_byte"]["value"] == 1.5
    json.dumps(figures, allow_nan=False)


def test_charts_are_the_same_each_time() -> None:
    chart = records()[1].shown["charts"][0]
    assert chart_svg(chart) == chart_svg(chart)


def browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("no Chrome or Chromium on this machine: the page was not looked at in one")
    return found


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_no_injection_runs_and_nothing_sticks_out(
    page: str, width: int, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(page, encoding="utf-8")
    # The report allows no script, so a page around it measures.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe src="report.html" style="width:{width}px;height:900px;'
        'border:0"></iframe><script>onload = () => { const d = document.querySelector("iframe")'
        ".contentDocument; document.body.dataset.found = JSON.stringify({title: d.title, over: "
        "d.documentElement.scrollWidth, sections: d.querySelectorAll('section').length, "
        "drawn: [...d.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > 50)"
        ".length}) }</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
         "--allow-file-access-from-files", f"--user-data-dir={tmp_path}/profile",
         f"--window-size={max(width, 500)},900", "--virtual-time-budget=5000", frame.as_uri()],
        capture_output=True, text=True,
    )  # fmt: skip
    match = re.search(r'data-found="([^"]*)"', done.stdout)
    assert match, done.stderr[-2000:]
    found = json.loads(unescape(match[1]))
    assert found["title"] == INJECTIONS[5]
    assert found["over"] <= width, found
    assert found["sections"] >= 3 and found["drawn"] == 3


def test_two_stages_that_write_one_figure_both_stand_in_the_figures() -> None:
    def told(node: str, values: dict[str, float]) -> StageRecord:
        figures = {name: {"value": value} for name, value in values.items()}
        name = node.partition("@")[0]
        return StageRecord(
            name, "evaluation", "", "a" * 64, "b" * 64, 1.0, 1.0, 1, 1, {}, {}, f"{name}-{node}",
            {"figures": figures}, node,
        )  # fmt: skip

    stages = [
        told("evaluate.tasks", {"accuracy": 0.5, "same": 1}),
        told("evaluate.tasks@hard", {"accuracy": 0.3, "same": 1}),
        told("score", {"other": 2.0, "same": 1}),
        told("evaluate.judge", {"other": 3.0}),
    ]
    found = {name: one["value"] for name, one in all_figures(stages).items()}
    del found["seconds.total"]
    assert found == {
        "accuracy": 0.5, "accuracy@hard": 0.3, "same": 1, "other": 3.0, "other@score": 2.0,
    }  # fmt: skip
    first, second = shared_figures(stages)
    assert first == (
        "accuracy is written by evaluate.tasks and by evaluate.tasks@hard: the latter's stands as "
        "accuracy@hard."
    )
    assert "evaluate.judge and by score" in second
    assert unescape(first) in unescape(render_report("t", "a", stages, []))
    assert shared_figures(stages[:1]) == []
