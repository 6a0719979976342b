"""The report as one reads it: the story first, wide tables whole, two themes, what is secondary
folded."""

import re
from collections.abc import Callable
from dataclasses import asdict
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from gristmill.core.figure import Chart, Samples, Series, Table
from gristmill.report import elements
from gristmill.report.charts import COLOURS, chart_svg
from gristmill.report.page import StageRecord, render_report

HOSTILE = "<script>document.title='hacked'</script>"
CSS = (Path(elements.__file__).parent / "page.css").read_text(encoding="utf-8")


def figure(value: float, low: float, high: float, n: int = 9) -> dict[str, Any]:
    return {"figure": {"value": value, "low": low, "high": high, "n": n}}


def wide(methods: int = 7) -> dict[str, Any]:
    columns = ["method", *(f"measure number {n}" for n in range(17))]
    rows = [
        [f"way {m} {HOSTILE[:8]}", "beta 1", *(figure(0.123456, 0.1, 0.15) for _ in range(16))]
        for m in range(methods)
    ]
    return {"title": "Side by side", "columns": columns, "rows": rows, "note": ""}


def record(
    name: str, shown: dict[str, Any] | None = None, *, kind: str = "x", node: str = "",
    counts: dict[str, int] | None = None, inputs: dict[str, list[str]] | None = None,
) -> StageRecord:  # fmt: skip
    return StageRecord(
        name, kind, "its summary", "a" * 64, "b" * 64, 1.0, 1.0, 1, 1, counts or {}, inputs or {},
        f"{name}-{node}", shown or {}, node,
    )  # fmt: skip


def values(**figures: float) -> dict[str, dict[str, float]]:
    return {name.replace("__", "."): {"value": value} for name, value in figures.items()}


def left() -> dict[str, Any]:
    rows = [["data.crawl", 14597, None], ["data.mix", 9794, 779502]]
    return asdict(Table("Left after each step", ("step", "documents", "words"), rows))


def whole_run() -> list[StageRecord]:
    precision = {"value": 0.0708, "low": 0.04, "high": 0.13, "n": 113}
    note = "heuristics.precision is 0.071: 105 false alarms, most of them 41 by ellipsis_lines."
    gain = {"value": 0.14683, "low": 0.09943, "high": 0.18872}
    aligned = {
        "alignment.best_of_n.n_16.gold_gain": gain,
        "alignment.dpo.gold_gain": {"value": 0.12, "low": 0.08, "high": 0.15},
        "alignment.sft.gold_gain": {"value": 9.0, "low": 8.0, "high": 10.0},
        **values(alignment__best_of_n__n_16__win_rate=0.7169),
    }
    against = {"base.minus_ngram5": {"value": -0.07, "low": -0.08, "high": -0.06}}
    return [
        record("data.crawl", {"figures": values(crawl__pages=14597)}),
        record("data.extract", {"figures": values(extract__documents=14225)}),
        record("data.mix", {"figures": values(mix__documents=9382, mix__heldout=412 / 9794)}),
        record("data.inspect", {"figures": {"heuristics.precision": precision},
                                "tables": [left()], "notes": [note]}, kind="inspection"),
        record("tokenizer.train", {"figures": values(tokenizer__vocab_size=4096)}),
        record("train.lm", {"figures": values(train__bits_per_byte__heldout=1.478,
                                              train__tokens=1849344)},
               counts={"parameters": 3217824}),
        record("evaluate.perplexity", {"figures": {
            **values(base__bits_per_byte=1.5468, ngram5__bits_per_byte=1.618), **against}}),
        record("study.alignment", {"figures": aligned}),
    ]  # fmt: skip


def header(page: str) -> str:
    """What is read first, as text."""
    return unescape(re.sub(r"<[^>]+>", " ", page.partition("<header>")[2].partition("<nav")[0]))


def test_the_report_begins_with_what_was_made_of_what() -> None:
    said = header(render_report("t", "a", whole_run(), []))
    places = [
        said.index(part)
        for part in (
            "14,597 pages", "14,225 documents", "9,794 of them with 779,502 words were kept, 412",
            "4,096 tokens", "3.22 million parameters was trained on 1.85 million tokens",
            "1.55 bits per byte", "a 5-gram", "1.62, so the model has learned more",
            "choosing the best of 16 answers", "0.15 [0.10, 0.19] above SFT", "72%",
            "Worth a look", "of 113 cases that they took", "105 should have stayed",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    # Jargon and a failure do not stand first; the rule's sentence stays where the step is told of.
    assert "heuristics.precision" not in said and "ellipsis_lines" not in said
    page = render_report("t", "a", whole_run(), [])
    assert page.index("rightly taken") < page.index("most of them 41 by ellipsis_lines")


def test_the_story_says_what_did_not_succeed_and_nothing_without_figures() -> None:
    run = whole_run()
    perplexity = run[-2].shown["figures"]
    perplexity["base.minus_ngram5"] = {"value": 0.07, "low": 0.06, "high": 0.08}
    for entry in run[-1].shown["figures"].values():
        entry["low"] = -0.1
    said = header(render_report("t", "a", run, []))
    assert "not yet learned more" in said and "No method of alignment measurably" in said
    assert "highest" not in said
    bare = render_report("t", "a", [record("data.crawl")], [])
    assert 'class="story"' not in bare and 'class="look"' not in bare


def test_names_in_the_story_are_text() -> None:
    name = "<script>x</script>"
    shown = {"figures": {f"alignment.{name}.gold_gain": {"value": 1.0, "low": 0.5, "high": 2}}}
    page = render_report("t", "a", [record("study.alignment", shown)], [])
    assert "<script" not in page and f"preferences, {name} scored" in header(page)


def test_two_measures_of_held_out_text_are_told_apart() -> None:
    page = render_report("t", "a", whole_run(), [])
    training = page.partition("<h2>Training</h2>")[2].partition("<h2>")[0]
    assert "Held out means two things here" in training and "evaluate.perplexity reads" in training
    alone = [stage for stage in whole_run() if stage.name != "evaluate.perplexity"]
    assert "two things" not in render_report("t", "a", alone, [])


def test_a_side_branch_is_called_by_its_label() -> None:
    stages = [
        record("data.filter", node="data.filter"),
        record("data.filter", node="data.filter@mine", inputs={"x": ["data.filter-data.filter"]}),
    ]
    page = render_report("t", "a", stages, [])
    assert re.findall(r"<h3>(data.*?)</h3>", page) == ["data.filter", "data.filter@mine"]
    lineage = page.partition("<h3>Lineage")[2]
    assert "data.filter@mine  x aaa" in lineage and "└─ x: data.filter  x aaa" in lineage


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (figure(0.09651, 0.06394, 0.1305), "0.10 [0.06, 0.13]"),
        (figure(1.546789, 1.5186, 1.577), "1.55 [1.52, 1.58]"),
        (figure(-0.071389, -0.080775, -0.061183), "-0.071 [-0.081, -0.061]"),
        (figure(47.4974, 44.8448, 50.2476), "47.5 [44.8, 50.2]"),
        (figure(134.225, 124.3, 144.1), "134.2 [124.3, 144.1]"),
        (figure(12345.6, 11000.2, 13999.7), "12,346 [11,000, 14,000]"),
        (figure(1.0, 1.0, 1.0), "1 [1, 1]"),
        ({"figure": {"value": 0.123456}}, "0.1235"),
    ],
)  # fmt: skip
def test_a_value_has_the_digits_that_its_interval_bears(cell: dict[str, Any], said: str) -> None:
    drawn = elements.table({"title": "", "columns": ["a"], "rows": [[cell]]})
    assert re.sub(r"<[^>]+>", "", drawn) == f"a{said}"


def test_a_wide_table_of_few_rows_is_turned_and_loses_nothing() -> None:
    drawn = elements.table(wide())
    assert drawn.count('<th scope="row">') == 17 and drawn.count('<th scope="col"') == 8
    assert drawn.count("0.12 <small>[0.10, 0.15]</small>") == 7 * 16
    assert "<script" not in drawn and drawn.count("&lt;script") == 7
    assert "<details" not in drawn  # a turned table is not cut
    upright = elements.table(wide(17))
    assert 'scope="row"' not in upright and upright.count('<th scope="col"') >= 18
    narrow = {"title": "", "columns": ["a", "b", "c"], "rows": [[1, 2, 3]]}
    assert 'scope="row"' not in elements.table(narrow)
    assert elements.is_small(narrow) and not elements.is_small(wide())


def shown_much() -> dict[str, Any]:
    tables = [asdict(Table(f"Table {n}", ("a", "b"), [[n, HOSTILE]])) for n in range(3)]
    charts = [
        asdict(Chart(f"Chart {n}", "x", "y", [Series("s", [0, 1], [1, 2])])) for n in range(4)
    ]
    samples = [asdict(Samples("Examples", [{"text": f"example {n}"} for n in range(5)]))]
    return {"tables": tables, "charts": charts, "samples": samples, "figures": values(f=1.0)}


def test_what_is_secondary_is_folded_under_its_title() -> None:
    def opened_and_folded(name: str, others: tuple[str, ...] = ()) -> tuple[str, str]:
        stages = [record(name, shown_much()), *map(record, others)]
        page = render_report("t", "a", stages, [])
        part = page.partition(f"<h3>{name}</h3>")[2].partition("</section>")[0]
        folded = "".join(re.findall(r"<details>.*?</details>", part, flags=re.DOTALL))
        return re.sub(r"<details>.*?</details>", "", part, flags=re.DOTALL), folded

    open_part, folded = opened_and_folded("data.filter")
    assert "Table 0" in open_part and "Chart 0" in open_part
    assert not re.search("Table 1|Chart 1|example 0", open_part)
    for title in ("Table 1", "Table 2", "Chart 1; Chart 2; Chart 3", "Examples (5)", "1 figure"):
        assert f"<summary>{title}</summary>" in folded, title
    assert folded.count("<dt>text</dt>") == 5
    # Of a stage whose samples are its result two are open.
    open_part, _ = opened_and_folded("generate")
    assert re.findall(r"example \d", open_part) == ["example 0", "example 1"]
    # What an inspection tells of is not told twice; without one it is open.
    assert "Table 0" in opened_and_folded("data.crawl")[0]
    assert "Table 0" not in opened_and_folded("data.crawl", ("data.inspect",))[0]
    assert "Table 0" in opened_and_folded("data.crawl", ("data.inspect",))[1]


def test_charts_follow_the_theme_of_the_page() -> None:
    charts = [
        asdict(Chart("c", "x", "y", [Series(f"s{n}", [0, 1], [n, 2], [0, 1], [n, 3])
                                     for n in range(len(COLOURS))], style=style,
                     categories=("a", "b")))
        for style in ("line", "scatter", "points", "bar")
    ]  # fmt: skip
    light, dark = CSS.partition("@media (prefers-color-scheme: dark)")[::2]
    for chart in charts:
        svg = chart_svg(chart)
        used = set(re.findall(r"var\((--[\w-]+), #", svg))
        assert {f"--c{n}" for n in range(len(COLOURS))} | {"--chart-ink"} <= used
        for name in used:
            assert f"{name}:" in light and f"{name}:" in dark.partition("* {")[0], name
        # Nothing keeps a colour of its own, which one of the themes would hide.
        bare = set(re.findall(r"(?:fill|stroke): (#\w+)", svg))
        assert not bare & {*COLOURS, "#33383d", "#dfe3e6", "#000000", "#ffffff"}, bare
    shown = elements.chart(charts[0])
    assert shown.startswith("<figure><figcaption>c</figcaption>") and 'class="drawn"' in shown


def ranks(x: list[float], labels: list[str]) -> str:
    series = [Series("raw", x, [0.3, 0.7, 0.6], labels=labels),
              Series("length-controlled", [v + 0.1 for v in x], [0.5, 0.6, 0.6])]  # fmt: skip
    return chart_svg(asdict(Chart("Win rate", "models", "win rate", series, style="points")))


def test_named_places_have_their_names_on_the_axis() -> None:
    named = re.findall(r">([^<>\s][^<>]*)</text>", ranks([0.95, 1.95, 2.95], ["base", "$a$", "b<"]))
    assert [unescape(one) for one in named if one in ("base", "$a$", "b&lt;")] == [
        "base",
        "$a$",
        "b<",
    ]
    assert not {"1.0", "1.5", "2.0"} & set(named)
    # Where x is a quantity it stays one, and so it does where two share a place.
    assert "1.0" in ranks([0.0, 0.8, 1.35], ["n = 1", "n = 4", "n = 16"])
    assert "1.0" in ranks([1.0, 1.0, 2.0], ["a", "b", "c"])


def test_a_funnel_fills_its_card_and_counts_all() -> None:
    steps = [Series("crawl", [0, 1], [75.0, 25.0], labels=["left", HOSTILE]),
             Series("filter", [0], [75.0], labels=["left"])]  # fmt: skip
    drawn = elements.chart(asdict(Chart("Left", "", "", steps, style="funnel")))
    assert [float(w) for w in re.findall(r"width:([\d.]+)%", drawn)] == [75, 25, 75]
    assert "75 left · 75.0%" in drawn and "−25" in drawn
    assert "<script" not in drawn and "<svg" not in drawn


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(390, True), (940, False), (1280, True)])
def test_in_a_browser_columns_letters_and_themes(
    width: int, dark: bool, measured: Callable[..., dict[str, Any]]
) -> None:
    shown = {**shown_much(), "tables": [wide()]}
    script = (
        "const w = d.defaultView, sum = shade => shade.match(/\\d+/g).slice(0, 3)"
        ".reduce((a, b) => a + +b, 0), g = d.querySelector('svg text'), "
        "t = d.querySelector('.scroll'); found = {over: d.documentElement.scrollWidth, "
        "hidden: t.scrollWidth - t.clientWidth, shades: w.getComputedStyle(t)"
        ".backgroundImage.split('gradient').length - 1, letters: parseFloat(w.getComputedStyle(g)"
        ".fontSize) * g.getScreenCTM().a, ink: sum(w.getComputedStyle(g).fill), "
        "back: sum(w.getComputedStyle(d.body).backgroundColor)}"
    )
    page = render_report("demo", "", [record("study.alignment", shown)], [])
    found = measured(page, width, script, dark=dark)
    assert found["over"] <= width, found
    assert found["letters"] >= 9, found
    if width == 1280:
        assert found["hidden"] <= 1, found  # no column is out of sight
    assert found["shades"] == 4, found  # elsewhere a shadow says that it goes on
    assert (found["ink"] > 500, found["back"] < 200) == (dark, dark), found
