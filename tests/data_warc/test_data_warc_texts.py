"""Texts of WET files through `data import`, pages of WARC files through `data warc`."""

import json
from pathlib import Path

import pyarrow.parquet as pq

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
