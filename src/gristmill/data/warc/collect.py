"""Pages out of other people's WARC files, kept as a crawl keeps its own.

Of each file the responses that hold a page are written to WARC files of ours, with their record
ids and dates; what was read is journalled file by file, so that a run that was killed goes on with
the file that it was in.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.errors import GristmillError
from gristmill.core.run import Run
from gristmill.data.crawl.seal import INDEX_SCHEMA, fingerprint
from gristmill.data.warc.listing import open_archive
from gristmill.data.warc.reader import Damage, Losses, NoSuchFile, read_records
from gristmill.data.warc.record import HttpMessage
from gristmill.data.warc.writer import WarcWriter, record_bytes, sha1_base32

_FILES = "files.jsonl"
_DATE = "1970-01-01T00:00:00Z"


@dataclass
class Collected:
    """What became of the records of all files."""

    files: int = 0
    pages: int = 0
    bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Responses that are no pages, by reason."""
    lost_records: int = 0
    lost_bytes: int = 0
    damage: list[dict[str, Any]] = field(default_factory=list)
    missing: int = 0
    """Files that are not there."""
    twice: int = 0
    """Pages of the same address and content as one before."""


def collect(
    run: Run,
    files: Sequence[str],
    output: Path,
    *,
    content_types: Sequence[str],
    max_page_bytes: int,
    allow: Mapping[str, str] | None = None,
    advance: Callable[[int, str], None] = lambda files, note: None,
) -> tuple[str, Collected]:
    """Writes `warc/` and `index.parquet` (sorted by URL) below `output`; goes on where `run` was.

    A file that is not there is noted as damage, and the next one is read. Returns the fingerprint
    of the pages, and the counts. Raises Retryable where a remote file cannot be read on: the files
    before it are safe; GristmillError where no file is there.
    """
    done = run.read(_FILES)
    if [entry["file"] for entry in done] != list(files[: len(done)]):
        raise AssertionError("the run folder belongs to other files")
    writer = WarcWriter(
        run.path / "warc",
        prefix="pages",
        date=_DATE,
        info=[("description", "pages out of other WARC files")],
        lengths=done[-1]["lengths"] if done else None,
    )
    pages = sum(entry["pages"] for entry in done)
    with writer:
        advance(len(done), f"{pages:,} pages")
        for number, name in enumerate(files[len(done) :], len(done)):
            missing = sum(entry["missing"] for entry in done)
            try:
                entry = _one_file(
                    writer, name, run.path, number, content_types, max_page_bytes, allow
                )
            except NoSuchFile:
                # One of many is lost; where all are, the mistake is the user's.
                if missing == len(files) - 1:
                    (run.path / _FILES).unlink(missing_ok=True)
                    raise GristmillError(
                        "no such file" if len(files) == 1 else f"none of {len(files):,} is there",
                        where=name,
                        mend="check the name, and what the lines of a list are put behind (base)",
                    ) from None
                entry = _missing(writer, name, run.path, number)
            done.append(entry)
            run.append(_FILES, entry)
            pages += entry["pages"]
            advance(1, f"{pages:,} pages")
    if not any(entry["pages"] or entry["skipped"] for entry in done):
        (run.path / _FILES).unlink(missing_ok=True)
        damaged = any(entry["damage"] for entry in done)
        raise GristmillError(
            "no record could be read" if damaged else "no page is in it, nor any other answer",
            where=files[0] if len(files) == 1 else f"{len(files):,} files",
            mend="are these WARC files? WET and WAT files are read by gristmill data import",
        )
    return _seal(run.path, done, output)


def _one_file(
    writer: WarcWriter,
    name: str,
    folder: Path,
    number: int,
    content_types: Sequence[str],
    max_page_bytes: int,
    allow: Mapping[str, str] | None,
) -> dict[str, Any]:
    losses, damage = Losses(), []
    skipped: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    size = 0

    def report(found: Damage) -> None:
        losses(found)
        damage.append({"where": f"{name}:{found.offset}", "reason": found.reason,
                       "sample": f"{found.length} bytes"})  # fmt: skip

    for record in read_records(open_archive(name, allow), ("response",), report):
        message = record.http()
        # Each look at a field reads the whole head.
        fields, url = record.headers, record.url
        date, record_id = fields.get("warc-date", ""), fields.get("warc-record-id", "")
        reason = _unfit(url, fields, message, content_types, max_page_bytes)
        if reason is not None:
            skipped[reason] += 1
            continue
        digest = sha1_base32(message.body)
        content_type = fields.get("content-type", "application/http; msgtype=response")
        place = writer.write(
            record_bytes(
                "response",
                record.block,
                date=date or _DATE,
                target_uri=url,
                content_type=content_type,
                record_id=record_id or None,
                payload_digest=digest,
            )
        )[0]
        size += len(message.body)
        rows.append({
            "url": url,
            "status": message.status,
            "content_type": message.header("content-type"),
            "digest": digest,
            "file": place.file,
            "offset": place.offset,
            "length": place.length,
            "fetched_at": date,
            "record_id": record_id,
            "robots": message.header("x-robots-tag") or None,
            "etag": message.header("etag") or None,
            "last_modified": message.header("last-modified") or None,
        })  # fmt: skip
    _write_rows(rows, folder, number)
    return {
        "file": name,
        "missing": 0,
        "lengths": writer.commit(),
        "pages": len(rows),
        "bytes": size,
        "skipped": dict(skipped),
        "lost_records": losses.records,
        "lost_bytes": losses.bytes,
        "damage": damage[:100],
    }


def _missing(writer: WarcWriter, name: str, folder: Path, number: int) -> dict[str, Any]:
    _write_rows([], folder, number)
    return {
        "file": name,
        "missing": 1,
        "lengths": writer.commit(),
        "pages": 0,
        "bytes": 0,
        "skipped": {},
        "lost_records": 0,
        "lost_bytes": 0,
        "damage": [{"where": name, "reason": "no such file", "sample": ""}],
    }


def _write_rows(rows: list[dict[str, Any]], folder: Path, number: int) -> None:
    pq.write_table(pa.Table.from_pylist(rows, INDEX_SCHEMA), folder / f"rows-{number:05d}.parquet")


def _unfit(
    url: str,
    fields: Mapping[str, str],
    message: HttpMessage,
    content_types: Sequence[str],
    max_page_bytes: int,
) -> str | None:
    """Why a response is no page to keep. fields: of its record."""
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        return "not a web address"
    if message.status != 200:
        return f"status {message.status}"
    found = fields.get("warc-identified-payload-type") or message.header("content-type")
    if found.partition(";")[0].strip().lower() not in content_types:
        return "content type"
    if len(message.body) > max_page_bytes:
        return "too large"
    return None if message.body.strip() else "empty"


def _seal(folder: Path, done: Sequence[Mapping[str, Any]], output: Path) -> tuple[str, Collected]:
    total = Collected(files=len(done))
    for entry in done:
        total.bytes += entry["bytes"]
        total.missing += entry["missing"]
        total.skipped.update(entry["skipped"])
        total.lost_records += entry["lost_records"]
        total.lost_bytes += entry["lost_bytes"]
        total.damage += entry["damage"]
    (output / "warc").mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / "warc").glob("*.warc.gz")):
        try:
            os.link(path, output / "warc" / path.name)
        except OSError:  # no hard links here
            shutil.copyfile(path, output / "warc" / path.name)
    tables = [pq.read_table(folder / f"rows-{n:05d}.parquet") for n in range(len(done))]
    table = pa.concat_tables(tables) if tables else INDEX_SCHEMA.empty_table()
    table = table.sort_by(
        [(name, "ascending") for name in ("url", "digest", "fetched_at", "file", "offset")]
    )
    kept = list(
        _first_of_each(zip(table["url"].to_pylist(), table["digest"].to_pylist(), strict=True))
    )
    total.pages, total.twice = len(kept), len(table) - len(kept)
    index = output / "index.parquet"
    pq.write_table(table.take(pa.array(kept, pa.int64())), index, compression="zstd")
    return fingerprint(index), total


def _first_of_each(keys: Iterable[tuple[str, str]]) -> Iterator[int]:
    before = None
    for i, key in enumerate(keys):
        if key != before:
            yield i
        before = key
