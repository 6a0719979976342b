"""`data why`: the copy that was kept, how like it the page is, and what is near an unknown page."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.cli.why_print import print_steps
from gristmill.core.errors import GristmillError
from gristmill.data.nearest_urls import nearest_urls
from gristmill.data.sources.parts import PartWriter
from gristmill.data.why import explain_page
from gristmill.stages.data_dedup import DedupConfig, data_dedup
from gristmill.stages.stage import Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

TEXT = " ".join(f"word{n}" for n in range(60))
PAGES = {
    "http://a.example/first": TEXT,
    "http://a.example/same": TEXT,
    "http://b.example/near": TEXT.replace("word59", "other"),
    "http://b.example/alone": " ".join(f"else{n}" for n in range(50)),
}


@stage("data import", version=1, kind="documents", config=StageConfig, inputs={}, summary="",
       example="")  # fmt: skip
def documents_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    writer = PartWriter(output.path)
    for url, text in PAGES.items():
        writer.add(url, text, "test", {"title": url[-5:]})
        if url.endswith("same"):
            writer.end_part()
    writer.end_part()
    (output.path / "rejects").mkdir(exist_ok=True)
    reject = {"url": "http://a.example/bad", "reason": "opt_out", "sample": "noai [b]"}
    (output.path / "rejects" / "import.jsonl").write_text(json.dumps(reject) + "\n")


@stage("data crawl", version=1, kind="pages", config=StageConfig, inputs={}, summary="", example="")
def crawl_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    """A frontier, and an index of nothing."""
    rows = [
        {"url": "http://a.example/no", "state": "forbidden", "reason": "robots", "depth": 1},
        {"url": "http://a.example/old", "state": "redirected", "reason": "http://a.example/first",
         "depth": 2},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), output.path / "frontier.parquet")
    index = pa.table({"url": pa.array([], pa.string()), "status": pa.array([], pa.int32())})
    pq.write_table(index, output.path / "index.parquet")


@stage("data mix", version=1, kind="mixture", config=StageConfig, inputs={}, summary="", example="")
def mix_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    """Nothing is taken but one page."""
    (output.path / "train").mkdir()
    table = pa.table({"url": ["http://b.example/alone"], "repeats": [2]})
    pq.write_table(table, output.path / "train" / "part-00000.parquet")


def test_the_way_of_pages(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    crawl = crawl_stage.run(StageConfig(), {}, workspace)
    base = documents_stage.run(StageConfig(), {}, workspace)
    layer = data_dedup.run(DedupConfig(), {"documents": base}, workspace)
    artifacts = [crawl, base, layer, mix_stage.run(StageConfig(), {}, workspace)]

    def last(page: str) -> dict[str, object]:
        told = explain_page(f"http://{page}", artifacts)[-1]
        return {"said": told["said"], **told["numbers"]}

    kept = {url for url in PAGES if "dropped: " not in str(last(url[7:])["said"]).replace(
        "dropped: not in the mixture", "")}  # fmt: skip
    assert "http://b.example/alone" in kept and len(kept) == 2
    (copy,) = kept - {"http://b.example/alone"}
    near = last("b.example/near")
    assert near["said"] == "dropped: near_duplicate" and near["kept of the near copies"] == copy
    # 56 shingles of five words each; the last five differ, or the last one.
    assert near["likeness to it"] == pytest.approx(55 / 57, abs=1e-4)
    (twin,) = {"http://a.example/first", "http://a.example/same"} - {copy}
    assert last(twin[7:])["said"] == "dropped: exact_duplicate"
    told = explain_page(copy, artifacts)
    assert told[-2]["numbers"]["kept of the exact copies"] == "this one"
    assert told[-1]["said"] == "dropped: not in the mixture"
    assert last("b.example/alone") == {"said": "in train", "repeats": 2}
    assert last("a.example/no") == {"said": "forbidden: robots", "depth": 1}
    assert last("a.example/old")["leads to"] == "http://a.example/first"
    assert last("a.example/bad") == {"said": "rejected: opt_out", "detail": "noai [b]"}
    with pytest.raises(GristmillError, match=r"did you mean 'http://a\.example/first'"):
        explain_page("http://a.example/frist", artifacts)


def test_in_a_terminal_no_line_is_longer_and_no_text_is_markup() -> None:
    import io

    from rich.console import Console

    rule = {"rule": "gopher_repetition.max_duplicate_paragraph_characters", "value": 0.123456,
            "limit": 0.2, "fails": ">", "failed": False}  # fmt: skip
    told = [
        {"stage": "data.filter", "said": "dropped: [red]x[/red]", "rules": [rule] * 9,
         "numbers": {"text": "[bold]a[/bold] " * 200, "detail": "word " * 100}},
    ]  # fmt: skip
    out = io.StringIO()
    print_steps(told, Console(file=out, width=80, color_system=None))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "dropped: [red]x[/red]" in lines[0] and "[bold]a[/bold]" in out.getvalue()
    assert sum("not > 0.2" in line for line in lines) == 5
    assert any("of 9" in line for line in lines)


def test_the_nearest_addresses() -> None:
    known = [f"http://site{n}.example/page/{n}" for n in range(500)]
    known += ["http://www.mill.example/Bramley/", "http://mill.example/bramble"]
    assert nearest_urls("https://mill.example/bramley", known)[0] == known[-2]
    assert nearest_urls("http://mill.example/bramblee", known)[0] == known[-1]
    assert len(nearest_urls("http://site7.example/page/", known)) == 5
    assert nearest_urls("x", []) == []
