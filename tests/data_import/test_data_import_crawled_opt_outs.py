"""Crawled pages that opt out are dropped, counted under `opt_out`, and kept where asked."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.data.warc.writer import record_bytes
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

WORDS = "<p>Words that make a paragraph of a page, and enough of them to be its main text.</p>"
TDM = json.dumps([{"location": "/kept/", "tdm-reservation": 1}]).encode()
PAGES = [
    ("http://a.example/.well-known/tdmrep.json", "Content-Type: application/json", TDM),
    ("http://a.example/free", "Content-Type: text/html", WORDS.encode()),
    ("http://a.example/header", "Content-Type: text/html\r\nX-Robots-Tag: noai", WORDS.encode()),
    ("http://a.example/kept/x", "Content-Type: text/html", WORDS.encode()),
    ("http://a.example/meta", "Content-Type: text/html",
     b"<meta name=robots content=noimageai>" + WORDS.encode()),
]  # fmt: skip


class NoConfig(StageConfig):
    """Nothing to choose."""


@stage("data crawl", version=1, kind="pages", config=NoConfig, inputs={}, summary="", example="")
def write_pages(config: NoConfig, inputs: Inputs, output: Output) -> None:
    """A crawl's output."""
    rows = []
    (output.path / "warc").mkdir()
    with open(output.path / "warc" / "a.warc.gz", "wb") as file:
        for url, headers, body in PAGES:
            block = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body
            start, date = file.tell(), "2026-01-02T03:04:05Z"
            file.write(gzip.compress(record_bytes("response", block, date=date, target_uri=url)))
            kind = headers.split("\r\n")[0].partition(": ")[2]
            rows.append({"url": url, "status": 200, "content_type": kind, "digest": "",
                         "file": "a.warc.gz", "offset": start, "length": file.tell() - start,
                         "fetched_at": date})  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), output.path / "index.parquet")


def test_crawled_pages_that_opt_out(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    pages = {"pages": write_pages.run(NoConfig(), {}, workspace)}
    made = data_extract.run(ExtractConfig(), pages, workspace, execution=Execution(1))
    assert pq.read_table(made.path / "documents")["url"].to_pylist() == ["http://a.example/free"]
    assert made.manifest.counts["opted_out"] == 3
    lines = made.file("rejects/extract.jsonl").read_text(encoding="utf-8").splitlines()
    told = {row["url"][17:]: (row["reason"], row["sample"]) for row in map(json.loads, lines)}
    assert told == {
        ".well-known/tdmrep.json": ("not HTML", "application/json"),
        "header": ("opt_out", "noai"),
        "kept/x": ("opt_out", "tdm-reservation"),
        "meta": ("opt_out", "noimageai"),
    }
    config = ExtractConfig(respect_opt_out=False)
    marked = data_extract.run(config, pages, workspace, execution=Execution(1))
    found = pq.read_table(marked.path / "documents").to_pylist()
    assert {row["url"][17:]: row["opt_out"] for row in found} == {
        "free": None, "header": "noai", "kept/x": "tdm-reservation", "meta": "noimageai",
    }  # fmt: skip
    shown = marked.read_json("presentation.json")
    assert shown["figures"]["extract.opted_out"]["value"] == 0.75
