"""Texts of WET files through `data import`, pages of WARC files through `data warc`."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.sources.folder import find_files
from gristmill.data.sources.readers import read_records
from gristmill.data.warc.writer import gzip_member, record_bytes
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.data_warc import WarcConfig, data_warc
from gristmill.stages.workspace import Workspace

DATE = "2026-01-31T12:00:00Z"


def _text(i: int, text: bytes) -> bytes:
    return gzip_member(
        record_bytes(
            "conversion",
            text,
            date=DATE,
            target_uri=f"http://a.example/{i}",
            content_type="text/plain",
            headers=[("WARC-Identified-Content-Language", "deu,eng")],
        )
    )


def _wet(path: Path) -> None:
    members = [_text(i, f"Größe von Seite {i}\nZeile zwei".encode()) for i in range(6)]
    members[2] = _text(2, b"\xff\xfe not UTF-8")
    damaged = bytearray(members[4])
    damaged[60] ^= 0xFF
    members[4] = bytes(damaged)
    members.insert(0, gzip_member(record_bytes("warcinfo", b"software: x\r\n", date=DATE)))
    path.write_bytes(b"".join(members))


def test_texts_of_a_wet_file(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.wet.gz"
    _wet(path)
    (file,) = find_files(path).files
    assert file.format == "warc"
    records = list(read_records(file))
    texts = [r for r in records if r.problem is None]  # type: ignore[union-attr]
    assert [r.url for r in texts] == [f"http://a.example/{i}" for i in (0, 1, 3, 5)]  # type: ignore[union-attr]
    first = texts[0]
    assert first.text == "Größe von Seite 0\nZeile zwei"  # type: ignore[union-attr]
    assert first.fields["language_attribute"] == "deu"  # type: ignore[union-attr]
    assert first.fetched_at == DATE  # type: ignore[union-attr]
    problems = [r.problem for r in records if r.problem is not None]  # type: ignore[union-attr]
    assert problems == ["not UTF-8", "damaged archive"]


def test_the_stage_imports_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.wet.gz"
    _wet(path)
    artifact = data_import.run(ImportConfig(path=path), {}, Workspace.at(tmp_path / "w"))
    table = pq.read_table(artifact.path / "documents" / "part-00000.parquet")
    assert len(table) == 4
    assert "Größe von Seite 5" in table["text"][3].as_py()


def _wat(i: int, head: dict[str, Any], status: str = "200", **more: Any) -> bytes:
    answer = {
        "Response-Message": {"Status": status},
        "Headers": {"X-Robots-Tag": "noai"} if i == 3 else {},
        "HTML-Metadata": {"Head": head, **more},
    }
    described = {"WARC-Target-URI": f"http://a.example/{i}/", "WARC-Date": DATE}
    payload = {"HTTP-Response-Metadata": answer}
    envelope = {"WARC-Header-Metadata": described, "Payload-Metadata": payload}
    block = json.dumps({"Container": {"Filename": "x"}, "Envelope": envelope}).encode()
    return gzip_member(
        record_bytes("metadata", block, date=DATE, content_type="application/json",
                     target_uri=f"http://a.example/{i}/")
    )  # fmt: skip


def _metadata(block: bytes, kind: str) -> bytes:
    return gzip_member(record_bytes("metadata", block, date=DATE, content_type=kind))


def test_wat_files_give_titles_descriptions_links_and_what_pages_state(tmp_path: Path) -> None:
    metas = [{"name": "Description", "content": "What  it is &amp; why"}, {"name": 3}, "odd"]
    links = [
        {"path": "A@/href", "url": "../x?a=1"},
        {"path": "A@/href", "url": "mailto:x"},
        {"path": "IMG@/src", "url": "/p.png"},
        {
            "path": "A@/href",
            "url": "https://creativecommons.org/licenses/by/4.0/",
            "rel": "license",
        },
    ]
    members = [
        _metadata(b'{"Envelope": {}}', "application/json"),
        _wat(1, {"Title": " A\n title", "Metas": metas}, Links=links),
        _wat(2, {"Title": "gone"}, status="404"),
        _wat(3, {"Title": "Not for machines"}),
        _wat(4, {"Title": 7, "Metas": {"name": "description"}}),
        _metadata(b'{"Envelope": ' + b"[" * 9999, "application/json"),
        _metadata(b"via: x", "application/warc-fields"),
    ]  # fmt: skip
    (tmp_path / "in").mkdir()
    for name, part in (("a.warc.wat.gz", members[:3]), ("b.warc.wat.gz", members[3:])):
        (tmp_path / "in" / name).write_bytes(b"".join(part))
    config = ImportConfig(path=tmp_path / "in" / "*.wat.gz")
    made = data_import.run(config, {}, Workspace.at(tmp_path / "w"))
    first, second = pq.read_table(made.path / "documents").to_pylist()
    assert first["text"] == "A title\n\nWhat it is & why" and first["title"] == "A title"
    assert first["url"] == "http://a.example/1/" and first["licence"] == "CC-BY-4.0"
    assert first["links"] == [
        "http://a.example/x?a=1", "https://creativecommons.org/licenses/by/4.0/"
    ]  # fmt: skip
    assert second["opt_out"] == "noai" and first["opt_out"] is None
    assert made.manifest.counts["skipped"] == 2 and made.manifest.counts["rejected"] == 1
    more = data_import.run(ImportConfig(path=tmp_path / "in"), {}, Workspace.at(tmp_path / "w"))
    assert more.manifest.counts["documents"] == 2
    (tmp_path / "in" / "b.warc.wat.gz").write_bytes(_wat(5, {"Title": "Another"}))
    made = data_import.run(config, {}, Workspace.at(tmp_path / "w"))
    assert pq.read_table(made.path / "documents")["title"].to_pylist() == ["A title", "Another"]


def test_pages_where_texts_were_wanted_are_told_where_they_belong(tmp_path: Path) -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>x"
    path = tmp_path / "a.warc.gz"
    path.write_bytes(
        gzip_member(record_bytes("response", block, date=DATE, target_uri="http://a.example/"))
    )
    with pytest.raises(GristmillError, match="pages as they were fetched") as told:
        data_import.run(ImportConfig(path=path), {}, Workspace.at(tmp_path / "w"))
    assert "data warc" in str(told.value.mend)


def test_chunked_and_packed_bodies_become_documents_and_warcio_accepts_them(tmp_path: Path) -> None:
    page = ("<html><title>A page</title><body><article><p>" + "Words of a page. " * 40).encode()
    packed = gzip.compress(page)

    def chunked(body: bytes) -> bytes:
        cut = len(body) // 3
        parts = (body[:cut], body[cut:])
        return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"

    bodies = [
        (b"", page),
        (b"Transfer-Encoding: chunked\r\n", chunked(page)),
        (b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", chunked(packed)),
        (b"Transfer-Encoding: chunked\r\n", page),  # undone, with the header kept
    ]
    path = tmp_path / "a.warc.gz"
    with open(path, "wb") as file:
        for i, (headers, body) in enumerate(bodies):
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + headers + b"\r\n" + body
            kind = "application/http; msgtype=response"
            file.write(gzip_member(record_bytes(
                "response", block, date=DATE, target_uri=f"http://a.example/{i}", content_type=kind
            )))  # fmt: skip
    workspace = Workspace.at(tmp_path / "w")
    pages = data_warc.run(WarcConfig(paths=[str(path)]), {}, workspace)
    assert pages.manifest.counts["pages"] == 4
    made = data_extract.run(ExtractConfig(), {"pages": pages}, workspace)
    texts = pq.read_table(made.path / "documents")["text"].to_pylist()
    assert len(texts) == 4 and len(set(texts)) == 1 and texts[0].startswith("Words of a page.")
    for warc in sorted((pages.path / "warc").iterdir()):
        command = [sys.executable, "-m", "warcio.cli", "check", str(warc)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_pages_of_a_warc_file_become_documents(tmp_path: Path) -> None:
    page = "<html><title>A page</title><body><article><p>" + "Words of a page. " * 40
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page.encode()
    members = [
        gzip_member(record_bytes("response", block, date=DATE, target_uri=f"http://a.example/{i}"))
        for i in range(3)
    ]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(members)[:-10])
    workspace = Workspace.at(tmp_path / "w")
    pages = data_warc.run(WarcConfig(paths=[str(path)]), {}, workspace)
    assert pages.manifest.counts["pages"] == 2
    rejects = (pages.path / "rejects" / "warc.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(rejects[0])["reason"] == "truncated"
    documents = data_extract.run(ExtractConfig(), {"pages": pages}, workspace)
    table = pq.read_table(documents.path / "documents" / "part-00000.parquet")
    assert table["url"].to_pylist() == ["http://a.example/0", "http://a.example/1"]
    assert "Words of a page." in table["text"][0].as_py()
    again = data_warc.run(WarcConfig(paths=[str(path)]), {}, workspace)
    assert again.path == pages.path
