"""`data inspect` on a small corpus with one layer: funnel, samples and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.data.documents import DocumentSet, write_layer
from gristmill.data.funnel import funnel
from gristmill.data.sample_web.truth import judged_documents
from gristmill.data.sample_web.write import TRUTH_SCHEMA
from gristmill.data.sources.parts import PartWriter
from gristmill.stages.data_inspect import InspectConfig, data_inspect
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.workspace import Workspace

ROWS = [("x", "one two three"), ("y", "four five"), ("z", "six"), ("w", "seven eight nine ten")]


@stage("data import", version=1, kind="documents", config=StageConfig, inputs={}, summary="",
       example="")  # fmt: skip
def documents_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    writer = PartWriter(output.path)
    for name, text in ROWS:
        writer.add(f"http://a.example/{name}", text, "test", {"title": name})
        if name == "y":
            writer.end_part()
    writer.end_part()


@stage("data filter", version=1, kind="layer", config=StageConfig, summary="", example="",
       inputs={"documents": Slot("documents")})  # fmt: skip
def filter_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    documents = DocumentSet.open(inputs["documents"])
    for part, table in documents.tables(["id", "text"]):
        texts = table["text"].to_pylist()
        short = [len(text.split()) < 2 for text in texts]
        write_layer(
            output.path, part, table["id"], np.arange(len(texts)),
            keep=~np.array(short), reason=["boilerplate.short" if s else None for s in short],
            text=["changed text here now yes" if "two" in text else None for text in texts],
            own={"language": pa.array(["en"] * len(texts))},
        )  # fmt: skip


@stage("data dedup", version=1, kind="layer", config=StageConfig, summary="", example="",
       inputs={"documents": Slot("layer")})  # fmt: skip
def dedup_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    documents = DocumentSet.open(inputs["documents"])
    for part in documents.parts:
        rows = documents.kept_rows(part)
        last = [part == "part-00001" and row == 1 for row in rows]
        write_layer(
            output.path, part, documents.read_all(part, ["id"])["id"], rows,
            keep=~np.array(last, np.bool_), reason=["near_duplicate" if x else None for x in last],
            own={name: pa.array(["g"] * len(rows)) for name in ("exact_group", "near_group")},
        )  # fmt: skip


@stage("data sample-web", version=1, kind="web", config=StageConfig, inputs={}, summary="",
       example="")  # fmt: skip
def web_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    rows = [
        {
            "url": f"http://a.example/{name}", "host": "a.example", "title": name,
            "kind": "article" if name != "z" else "boilerplate", "language": "en",
            "shows_description": False, "shows_topic": False, "main_text": text,
            "personal_data": [], "quality": "good", "linked": False, "boilerplate": name == "z",
            "spam": False, "adult": False, "lookalike": False, "blocklisted": False,
            "forbidden": False,
        }
        for name, text in ROWS
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA), output.path / "truth.parquet")


def test_funnel_samples_and_figures(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    documents = documents_stage.run(StageConfig(), {}, workspace)
    layer = filter_stage.run(StageConfig(), {"documents": documents}, workspace)
    web = web_stage.run(StageConfig(), {}, workspace)
    # A row that the filter dropped is no drop of the next step.
    above = dedup_stage.run(StageConfig(), {"documents": layer}, workspace)
    last = funnel(DocumentSet.open(above)).steps[2]
    assert last.dropped == {"near_duplicate": 1}
    assert (last.documents, last.words) == (2, 5 + 2)
    judged = judged_documents(DocumentSet.open(above))
    assert set(judged["http://a.example/z"].verdicts) == {"data.filter"}
    assert set(judged["http://a.example/w"].verdicts) == {"data.filter", "data.dedup"}
    steps = funnel(DocumentSet.open(layer)).steps
    assert [(s.documents, s.words, s.changed) for s in steps] == [(4, 10, 0), (3, 11, 1)]
    assert steps[1].dropped == {"boilerplate.short": 1}
    assert steps[1].samples == [("boilerplate.short", "http://a.example/z", "six")]
    found = data_inspect.run(InspectConfig(), {"documents": layer, "web": web}, workspace)
    figures = found.read_json("inspection.json")["figures"]
    assert figures["extract.f1"]["value"] == 1
    assert figures["boilerplate.precision"]["value"] == 1
    assert figures["boilerplate.recall"]["value"] == 1
    shown = found.read_json("presentation.json")
    titles = {table["title"] for table in shown["tables"]}
    assert {"Left after each step", "What each step got right"} <= titles
    assert shown["samples"][0]["rows"][0]["text"] == "six"
    alone = data_inspect.run(InspectConfig(samples_per_reason=0), {"documents": layer}, workspace)
    assert alone.read_json("inspection.json")["figures"] == {}
