"""The funnel: what each step left and took, by reason, site, source; its picture and its text."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from gristmill.cli.funnel_print import print_funnel
from gristmill.core.artifact import Artifact
from gristmill.data.documents import DocumentSet, write_layer
from gristmill.data.funnel import LEFT_OUT, funnel
from gristmill.data.funnel_groups import Groups
from gristmill.data.sources.parts import PartWriter
from gristmill.report.elements import chart
from gristmill.report.funnel import MOST_REASONS
from gristmill.stages.data_inspect import InspectConfig, data_inspect
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.workspace import Workspace

WORDS = {"a": 3, "b": 5, "c": 7}
"""Words of a document, by its site; each site has eight documents."""


class BySize(StageConfig):
    part: int = 24


@stage("data extract", version=1, kind="documents", config=BySize, inputs={}, summary="",
       example="")  # fmt: skip
def documents_stage(config: BySize, inputs: Inputs, output: Output) -> None:
    writer = PartWriter(output.path)
    rows = [(site, number) for site in WORDS for number in range(8)]
    for place, (site, number) in enumerate(rows):
        text = " ".join(f"{site}{number}" for _ in range(WORDS[site]))
        writer.add(f"http://{site}.example/{number}", text, "web" if number else "mail", {})
        if (place + 1) % config.part == 0:
            writer.end_part()
    rejects = output.path / "rejects"
    rejects.mkdir(exist_ok=True)
    bad = [
        {"url": f"http://c.example/x{n}", "reason": "no main text", "sample": f"<b>{n}</b>"}
        for n in range(6)
    ]
    bad.append({"where": "not an address", "reason": "damaged: at byte 7"})
    lines = "".join(json.dumps(one) + "\n" for one in bad)
    (rejects / "extract.jsonl").write_text(lines, encoding="utf-8")


@stage("data filter", version=1, kind="layer", config=StageConfig, summary="", example="",
       inputs={"documents": Slot("documents")})  # fmt: skip
def filter_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    """Drops all of site a, and of b those with an odd number; shortens the first of c."""
    for part, table in DocumentSet.open(inputs["documents"]).tables(["id", "url", "text"]):
        urls = table["url"].to_pylist()
        reason = [
            "language.other" if "//a." in url else "c4.short" if url[-1] in "1357" and "//b." in url
            else None for url in urls
        ]  # fmt: skip
        write_layer(
            output.path, part, table["id"], np.arange(len(urls)),
            keep=np.array([r is None for r in reason]), reason=reason,
            text=["one word" if url.endswith("c.example/0") else None for url in urls],
            own={"domain": pa.array([url[7] for url in urls])},
        )  # fmt: skip


@stage("data mix", version=1, kind="mixture", config=StageConfig, summary="", example="",
       inputs={"documents": Slot("layer")})  # fmt: skip
def mix_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    """All of c, but for the last, for training; one of b held out."""
    found = pa.concat_tables(
        t for _, t in DocumentSet.open(inputs["documents"]).tables(["id", "url"])
    )
    urls = found["url"].to_pylist()
    for split, wanted in (
        ("train", [u for u in urls if "//c." in u and not u.endswith("7")]),
        ("heldout", ["http://b.example/2"]),
    ):
        (output.path / split).mkdir(parents=True)
        ids = [one["id"] for one in found.to_pylist() if one["url"] in wanted]
        pq.write_table(pa.table({"id": ids}), output.path / split / "part-00000.parquet")


def _made(folder: Path, part: int) -> tuple[Artifact, Artifact, Workspace]:
    workspace = Workspace(folder)
    base = documents_stage.run(BySize(part=part), {}, workspace)
    layer = filter_stage.run(StageConfig(), {"documents": base}, workspace)
    return layer, mix_stage.run(StageConfig(), {"documents": layer}, workspace), workspace


def test_what_each_step_left_and_took(tmp_path: Path) -> None:
    layer, mixture, _ = _made(tmp_path, 24)
    found = funnel(DocumentSet.open(layer), 2, mixture=mixture)
    first, filtered, mixed = found.steps
    assert (first.documents, first.words) == (24, 8 * (3 + 5 + 7))
    assert first.dropped == {"no main text": 6, "damaged": 1}
    assert (filtered.documents, filtered.words) == (12, 4 * 5 + 7 * 7 + 2)
    assert filtered.changed == 1
    assert filtered.dropped == {"language.other": 8, "c4.short": 4}
    assert filtered.dropped_words == {"language.other": 24, "c4.short": 20}
    assert filtered.dropped_bytes == {"language.other": 8 * 8, "c4.short": 4 * 14}
    assert mixed.dropped == {LEFT_OUT: 4} and mixed.documents == 8
    assert mixed.words == 6 * 7 + 2 + 5
    sites = {row.name: row for row in found.groups["site"].top(9)}
    assert sites["a.example"].documents == (8, 0, 0) and sites["a.example"].mostly() == (
        "language.other 8"
    )
    assert sites["b.example"].documents == (8, 4, 1) and sites["b.example"].words == (40, 20, 5)
    assert sites["c.example"].documents == (8, 8, 7)
    assert sites["c.example"].reasons == {(0, "no main text"): 6, (2, LEFT_OUT): 1}
    assert {row.name: row.documents[1] for row in found.groups["source"].top(9)} == {
        "web": 10, "mail": 2,
    }  # fmt: skip
    assert {row.name: row.documents[0] for row in found.groups["domain"].top(9)} == {
        "a": 8, "b": 8, "c": 8,
    }  # fmt: skip


def test_samples_are_drawn_by_the_seed_alone(tmp_path: Path) -> None:
    whole, _, _ = _made(tmp_path / "whole", 24)
    cut, _, _ = _made(tmp_path / "cut", 5)

    def drawn(layer: Artifact, seed: int) -> list[tuple[str, str, str]]:
        return [
            one for s in funnel(DocumentSet.open(layer), 2, seed=seed).steps for one in s.samples
        ]

    assert drawn(whole, 1) == drawn(cut, 1)
    assert Counter(reason for reason, _, _ in drawn(whole, 1)) == {
        "no main text": 2, "damaged": 1, "language.other": 2, "c4.short": 2,
    }  # fmt: skip
    assert len({tuple(drawn(whole, seed)) for seed in range(8)}) > 4
    assert drawn(whole, 1)[-1][2].startswith("a")


def test_few_names_are_held_and_none_is_lost() -> None:
    groups = Groups(1, most_names=10)
    for first in range(0, 100, 5):
        names = [f"site{number}" for number in range(first, first + 5)]
        groups.took(names[0], 0, "short", 2)
        groups.left(names, 0, np.array([[1, 2, 3]] * 5))
    groups.left(["site7"], 0, np.array([[1000, 0, 0]]))
    assert len(groups) <= 11
    rows = groups.top(3)
    assert rows[0].name == "site7" and len(rows) == 4
    assert sum(row.documents[0] for row in rows) == 1100
    assert sum(row.words[0] for row in rows) == 200
    assert sum(sum(row.reasons.values()) for row in rows) == 40
    assert rows[-1].name.endswith("and more others)")


def test_stage_report_and_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer, mixture, workspace = _made(tmp_path, 24)
    made = data_inspect.run(
        InspectConfig(groups_shown=1), {"documents": layer, "mixture": mixture}, workspace
    )
    told = made.read_json("inspection.json")
    assert [step["documents"] for step in told["funnel"]] == [24, 12, 8]
    assert {row["name"] for row in told["by"]["site"]} >= {"a.example", "b.example", "c.example"}
    shown = made.read_json("presentation.json")
    by_site = next(t for t in shown["tables"] if t["title"].startswith("By site"))
    assert [row[0] for row in by_site["rows"]] == ["c.example", "(3 others)"]
    picture = shown["charts"][0]
    svg = chart(picture)
    assert "data.filter" in svg and "12 left" in svg and "50.0%" not in svg
    assert "38.7%" in svg and "language.other" in svg  # of 31 pages
    out = io.StringIO()
    print_funnel(picture, Console(file=out, width=80, color_system=None))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.strip().startswith("filter") and line.endswith("38.7%") for line in lines)
    assert any(line.strip() == "-8 language.other" for line in lines)


def test_pictures_take_no_markup_and_no_formula_and_few_reasons() -> None:
    reasons = [f"reason {n}" for n in range(9)]
    picture = {
        "title": "A <b>funnel</b>", "x_label": "", "y_label": "", "style": "funnel",
        "categories": [],
        "series": [
            {"name": "<script>x</script>", "x": [], "y": [10, *range(9, 0, -1)],
             "labels": ["left", "$a$<i>", *reasons[1:]]},
            {"name": "empty", "x": [], "y": [0], "labels": ["left"]},
        ],
    }  # fmt: skip
    drawn = chart(picture)
    assert "<script>" not in drawn and "<i>" not in drawn and "$a$&lt;i&gt;" in drawn
    assert f"{9 - MOST_REASONS} other reasons" in drawn and "−15" in drawn
