"""`data extract` from WARC files, with pages that were made to hurt."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.data.warc.writer import record_bytes
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

TEXT = "Words that make a paragraph of a page, and that are different on page number {}."


def pages() -> list[tuple[str, int, str, bytes]]:
    """(url, status, HTTP headers, body) in the order of URLs."""
    html = [f"<html><body><p>{TEXT.format(i)}</p></body></html>".encode() for i in range(6)]
    plain = "Content-Type: text/html\r\n"
    return [
        ("http://a.example/0", 200, plain, html[0]),
        ("http://a.example/1", 404, plain, html[1]),
        ("http://a.example/2", 200, plain + "Content-Encoding: gzip\r\n", gzip.compress(html[2])),
        ("http://a.example/3", 200, plain + "X-Robots-Tag: noindex\r\n", html[3]),
        ("http://a.example/4", 200, "Content-Type: image/png\r\n", b"\x89PNG"),
        ("http://a.example/5", 200, plain, b"<div>" * 100_000),
        ("http://b.example/6", 200, "Content-Type: text/html; charset=latin1\r\n", html[4]),
        ("http://b.example/7", 200, plain, html[5]),
    ]


class NoConfig(StageConfig):
    """Nothing to choose."""


@stage("data crawl", version=1, kind="pages", config=NoConfig, inputs={}, summary="", example="")
def write_pages(config: NoConfig, inputs: Inputs, output: Output) -> None:
    """A crawl's output."""
    rows = []
    offset = 0
    (output.path / "warc").mkdir()
    with open(output.path / "warc" / "a.warc.gz", "wb") as file:
        for url, status, headers, body in pages():
            block = f"HTTP/1.1 {status} X\r\n{headers}\r\n".encode() + body
            member = gzip.compress(
                record_bytes("response", block, date="2026-01-02T03:04:05Z", target_uri=url)
            )
            file.write(member)
            rows.append({"url": url, "status": status, "content_type": "text/html", "digest": "",
                         "file": "a.warc.gz", "offset": offset, "length": len(member),
                         "fetched_at": "2026-01-02T03:04:05Z"})  # fmt: skip
            offset += len(member)
    pq.write_table(pa.Table.from_pylist(rows), output.path / "index.parquet")


def run(folder: Path, workers: int) -> Artifact:
    workspace = Workspace.at(folder)
    made = write_pages.run(NoConfig(), {}, workspace)
    config = ExtractConfig(part_pages=3)
    return data_extract.run(config, {"pages": made}, workspace, execution=Execution(workers))


def test_stage(tmp_path: Path) -> None:
    made = run(tmp_path / "one", 1)
    parts = [pq.read_table(path) for path in sorted((made.path / "documents").iterdir())]
    # A part is three pages, of which some gave no document.
    assert [part["url"].to_pylist() for part in parts] == [
        ["http://a.example/0", "http://a.example/2"],
        [],
        ["http://b.example/6", "http://b.example/7"],
    ]
    assert parts[0]["text"].to_pylist() == [TEXT.format(0), TEXT.format(2)]
    provenance = pq.read_table(made.path / "provenance" / "part-00002.parquet").to_pylist()
    assert [row["id"] for row in provenance] == parts[2]["id"].to_pylist()
    assert provenance[0]["fetched_at"] == "2026-01-02T03:04:05Z"
    assert provenance[0]["warc"] == "a.warc.gz" and provenance[0]["offset"] > 0
    assert provenance[0]["record_id"].startswith("<urn:uuid:")
    rejects = (made.path / "rejects" / "extract.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(r)["url"][-1]: json.loads(r)["reason"] for r in rejects} == {
        "1": "status 404",
        "3": "noindex",
        "4": "not HTML",
        "5": "too deep",
    }
    assert made.manifest.counts["documents"] == 4 and made.manifest.counts["rejected"] == 4
    # The record ids and dates of another crawl, and more workers: the same documents.
    assert run(tmp_path / "two", 2).content == made.content
