"""Pages that were made to hurt, in the engine that runs extractions: each costs itself alone."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.data.engine import Failure, map_batches
from gristmill.data.extract.encoding import decode_page
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, Rejected, extract_page
from gristmill.data.extract.stored import PageExtractor, StoredPage, body_of
from gristmill.data.warc.reader import read_record
from gristmill.data.warc.writer import record_bytes
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

# Worker processes and the helpers of these tests are imported by name.
sys.path.insert(0, str(Path(__file__).parent))
import extract_bombs as bombs
from mutated_pages import mutated

URL = "http://a.example/"
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")


def text_of(body: bytes, content_type: str | None = "text/html") -> str:
    found = extract_page(body, URL, content_type)
    assert isinstance(found, ExtractedPage), found
    return found.text


def write_warc(folder: Path, pages: list[tuple[str, bytes]]) -> list[StoredPage]:
    """Pages (headers of the response, body) as a WARC file; their rows of an index."""
    (folder / "warc").mkdir(parents=True)
    rows, offset = [], 0
    with open(folder / "warc" / "a.warc.gz", "wb") as file:
        for number, (headers, body) in enumerate(pages):
            url = f"http://a.example/{number:05}"
            head = f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode("utf-8", "replace")
            record = record_bytes(
                "response", head + body, date="2026-01-02T03:04:05Z", target_uri=url
            )
            member = gzip.compress(record, 1)
            file.write(member)
            rows.append(StoredPage(url, 200, "text/html", "a.warc.gz", offset))
            offset += len(member)
    return rows


def html(*bodies: bytes) -> list[tuple[str, bytes]]:
    return [("Content-Type: text/html\r\n", body) for body in bodies]


def extracted(folder: Path, pages: list[tuple[str, bytes]], **limits: Any) -> list[Any]:
    """What becomes of each page in a worker: its text, why it was rejected, why it was lost."""
    rows = write_warc(folder, pages)
    function = PageExtractor(folder / "warc", ExtractOptions())
    limits = {"workers": 1, "seconds_per_item": 1.0, "by_item": True, **limits}
    (result,) = map_batches(function, [rows], **limits)
    out: list[Any] = []
    for one in result.items():
        if isinstance(one, Failure):
            out.append(f"lost: {one.reason}")
        else:
            found = one.result
            out.append(found.text if isinstance(found, ExtractedPage) else found.reason)
    return out


def test_the_two_named_bombs_are_refused_before_a_parser_sees_them() -> None:
    assert extract_page(bombs.deep(100_000), URL) == Rejected("too deep")
    assert extract_page(bombs.attributes(1_000_000), URL) == Rejected("too many attributes")


def test_what_slips_past_the_checks_costs_a_worker_and_nothing_else(tmp_path: Path) -> None:
    sound = bombs.TEXT.encode()
    pages = html(sound, bombs.options(150_000), sound, bombs.hidden_attributes(300_000), sound)
    text = text_of(sound)
    lost = "lost: time: over 1 s"
    assert extracted(tmp_path, pages, seconds_per_item=1.0) == [text, lost, text, lost, text]


@linux
def test_a_page_that_swells_is_rejected_at_the_limit(tmp_path: Path) -> None:
    sound = bombs.TEXT.encode()
    pages = html(sound, bombs.blocks(1_900_000), sound)
    text = text_of(sound)
    found = extracted(tmp_path, pages, seconds_per_item=200.0, memory_bytes=192 << 20)
    assert found == [text, "lost: memory: over 192 MB", text]


@pytest.mark.parametrize("depth", [200, 256, 257, 1000, 3500])
def test_text_far_below_is_there_or_its_page_is_counted(depth: int) -> None:
    # libxml leaves out what lies below 256 elements, and says nothing.
    assert text_of(bombs.deep(depth)) == "Far below there is a paragraph of text to be read."


@pytest.mark.parametrize("depth", [4_001, 19_000, 60_000])
def test_below_the_limit_a_page_is_rejected(depth: int) -> None:
    assert extract_page(bombs.deep(depth), URL) == Rejected("too deep")


def test_references_that_are_longer_than_their_names_break_nothing(tmp_path: Path) -> None:
    # In a worker: what this holds off ends the process that it happens in.
    (text,) = extracted(tmp_path, html(bombs.references()), seconds_per_item=200.0)
    assert text.count("\u226b\u20d2") == text.count("\u226a\u20d2") == 20_004


SCRIPT = "<script>alert('of no interest')</script><p>A sentence that is long enough to be read.</p>"


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("utf-7", "utf-7"), ("utf-32", "utf-32-le"), ("cp037", "cp037"), ("hz", "ascii"),
     ("rot13", "ascii"), ("unicode_escape", "ascii")],
)  # fmt: skip
def test_encodings_that_no_browser_knows_are_not_decoded(charset: str, codec: str) -> None:
    body = SCRIPT.encode(codec)
    assert decode_page(body, f"text/html; charset={charset}")[1] in ("utf-8", "windows-1252")


def test_a_tag_in_utf_7_stays_text() -> None:
    hidden = b"<p>A page with a +ADw-script+AD4- in a sentence of its own, which stays.</p>"
    assert "+ADw-script+AD4-" in text_of(hidden, "text/html; charset=utf-7")


def test_utf_16_hides_no_depth_and_without_its_mark_is_not_taken_for_text() -> None:
    deep = bombs.deep(30_000).decode()
    for body in (deep.encode("utf-16"), b"\xfe\xff" + deep.encode("utf-16-be")):
        assert extract_page(body, URL) == Rejected("too deep")
    declared = extract_page(SCRIPT.encode("utf-16-le"), URL, "text/html; charset=utf-16le")
    assert isinstance(declared, ExtractedPage)
    assert declared.text == "A sentence that is long enough to be read."
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le"):
        assert extract_page(SCRIPT.encode(codec), URL) == Rejected("not HTML", "binary")


@pytest.mark.parametrize(
    "body",
    [b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, gzip.compress(os.urandom(5000)),
     b"%PDF-1.7\n" + zlib.compress(os.urandom(5000))],
)  # fmt: skip
def test_pictures_and_archives_served_as_html_are_no_text(body: bytes) -> None:
    assert extract_page(body, URL, "text/html") == Rejected("not HTML", "binary")


def test_stored_bodies_are_undone_up_to_the_limit(tmp_path: Path) -> None:
    import brotli
    import zstandard

    page = bombs.TEXT.encode() * 40
    bomb = b"<p>" + b"a" * (64 << 20)
    coded = {
        "gzip": gzip.compress(page),
        "br": brotli.compress(page),
        "zstd": zstandard.compress(page),
        "deflate": zlib.compress(page)[2:-4],
        "gzip, br": brotli.compress(gzip.compress(page)),
        "gzip,gzip": gzip.compress(gzip.compress(bomb)),
        "br ": brotli.compress(bomb, quality=1),
        "x-unknown": bytes(range(128, 256)) * 9,
        "gzip ": b"not gzip at all \x00\x01",
        "GZIP": page,  # a crawler that undid it and kept the header
    }
    rows = write_warc(
        tmp_path,
        [(f"Content-Type: text/html\r\nContent-Encoding: {n}\r\n", b) for n, b in coded.items()],
    )
    got = {}
    for name, row in zip(coded, rows, strict=True):
        record = read_record(tmp_path / "warc" / row.file, row.offset)
        found = body_of(record, None, ExtractOptions())
        got[name] = found.reason if isinstance(found, Rejected) else found[0] == page
    damaged = "damaged content encoding"
    assert got == {
        "gzip": True, "br": True, "zstd": True, "deflate": True, "gzip, br": True,
        "gzip,gzip": "too large", "br ": "too large", "x-unknown": damaged, "gzip ": damaged,
        "GZIP": True,
    }  # fmt: skip


class Mutated(StageConfig):
    """How many."""

    pages: int = 1000


@stage("data crawl", version=1, kind="pages", config=Mutated, inputs={}, summary="", example="")
def write_mutated(config: Mutated, inputs: Inputs, output: Output) -> None:
    """A crawl of mutated pages."""
    pages = [(f"Content-Type: {kind}\r\n", body) for kind, body in mutated(11, config.pages)]
    rows = write_warc(output.path, pages)
    columns = ("url", "status", "content_type", "file", "offset")
    table = {name: [getattr(row, name) for row in rows] for name in columns}
    table["fetched_at"] = ["2026-01-02T03:04:05Z"] * len(rows)
    pq.write_table(pa.table(table), output.path / "index.parquet")


def test_a_thousand_mutated_pages_are_all_accounted_for(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    inputs = {"pages": write_mutated.run(Mutated(), {}, workspace)}
    config = ExtractConfig(part_pages=300)
    made = data_extract.run(config, inputs, workspace, execution=Execution(2))
    urls = urls_of(made)
    assert sorted(urls) == [f"http://a.example/{number:05}" for number in range(1000)]
    assert made.manifest.counts["documents"] > 500
    reasons = {reason.split(":")[0] for reason in urls.values() if reason}
    assert reasons <= {"too deep", "too many attributes", "no main text", "not HTML", "empty"}
    for path in sorted((made.path / "documents").iterdir()):
        for text in pq.read_table(path)["text"].to_pylist():
            assert "\0" not in text and text == text.encode("utf-8").decode("utf-8")


def test_of_a_crawls_index_only_what_workers_are_ahead_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gristmill.data.journal import PartJournal
    from gristmill.stages import data_extract as module

    read, end = module.read_index, PartJournal.end
    drawn: list[StoredPage] = []
    leads: list[int] = []

    def counted(path: Path, *given: Any) -> Iterator[StoredPage]:
        drawn.clear()
        for page in read(path, *given):
            drawn.append(page)
            yield page

    def noted(journal: PartJournal, *told: Any) -> None:
        leads.append(len(drawn) - 2 * len(leads))
        end(journal, *told)

    monkeypatch.setattr(module, "read_index", counted)
    monkeypatch.setattr(PartJournal, "end", noted)
    workspace = Workspace.at(tmp_path)
    inputs = {"pages": write_mutated.run(Mutated(pages=80), {}, workspace)}
    data_extract.run(ExtractConfig(part_pages=2), inputs, workspace, execution=Execution(1))
    # Four parts of two pages, and the one that is next.
    assert len(leads) == 40 and len(drawn) == 80 and max(leads) <= 12


@posix
def test_workers_that_are_killed_change_nothing_nor_does_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    import psutil

    from gristmill.data.journal import PartJournal

    end = PartJournal.end
    killed: set[int] = set()

    def end_and_kill(journal: PartJournal, *told: Any) -> None:
        """Kills a worker behind the second and the fifth of twenty parts."""
        end(journal, *told)
        if len(journal.parts) in (2, 5):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.pid not in killed and "spawn_main" in " ".join(child.cmdline()):
                        child.send_signal(signal.SIGKILL)
                        killed.add(child.pid)
                        break

    def made(name: str, workers: int) -> Artifact:
        workspace = Workspace.at(tmp_path / name)
        pages = write_mutated.run(Mutated(pages=400), {}, workspace)
        return data_extract.run(
            ExtractConfig(part_pages=20), {"pages": pages}, workspace, execution=Execution(workers)
        )

    whole = made("whole", 1)
    monkeypatch.setattr(PartJournal, "end", end_and_kill)
    broken = made("killed", 2)
    assert len(killed) == 2
    assert broken.content == whole.content


def urls_of(made: Artifact) -> dict[str, str]:
    """Every URL that is a document ('') or in the rejects (why), each once."""
    found: dict[str, str] = {}
    for path in sorted((made.path / "documents").iterdir()):
        for url in pq.read_table(path)["url"].to_pylist():
            assert url not in found
            found[url] = ""
    for path in sorted((made.path / "rejects").iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            reject = json.loads(line)
            assert reject["url"] not in found
            found[reject["url"]] = reject["reason"]
    return found
