"""A finished crawl as files of an artifact: WARC files, the index of pages, the frontier."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.data.crawl.frontier import REQUESTED, Frontier
from gristmill.data.crawl.plan import Plan
from gristmill.data.crawl.reservations import write_reservations
from gristmill.data.crawl.robots import Robots
from gristmill.data.crawl.urls import split_origin
from gristmill.data.extract.opt_out import TDMREP_PATH

INDEX_SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("status", pa.int32(), nullable=False),
        pa.field("content_type", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("fetched_at", pa.string(), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),
        # The words of the robots metas and headers (noindex, noai, ...), null where there are none.
        pa.field("robots", pa.string()),
        # The address that the page says is its own, null where that is `url` or it says nothing.
        pa.field("canonical", pa.string()),
        # The version that the server named, for a later crawl to ask for what has changed.
        pa.field("etag", pa.string()),
        pa.field("last_modified", pa.string()),
    ]
)
FRONTIER_SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        # Of a redirected URL: its target.
        pa.field("reason", pa.string()),
        pa.field("depth", pa.int32(), nullable=False),
    ]
)
_ROWS = 50_000


def seal(folder: Path, plan: Plan, output: Path) -> tuple[str, list[tuple[str, str, int]]]:
    """Writes `warc/`, `index.parquet`, `frontier.parquet` and what hosts reserve from the run in
    `folder`.

    Returns the fingerprint, SHA-256 in hex over the sorted (URL, payload digest) of the pages and
    what hosts reserve, and (state, reason, URLs) of all that the crawl knew.
    """
    frontier = Frontier(folder / "frontier.sqlite", plan.identity())
    try:
        target = output / "warc"
        target.mkdir(parents=True, exist_ok=True)
        for name in sorted(frontier.warc_lengths()):
            _link(folder / "warc" / name, target / name)
        _write(frontier, "state = 'fetched'", INDEX_SCHEMA, output / "index.parquet")
        _write(frontier, "1", FRONTIER_SCHEMA, output / "frontier.parquet")
        reserved = [(origin + TDMREP_PATH, text) for origin, text in frontier.reservations()]
        lines = write_reservations(output, reserved)
        return _fingerprint(frontier, lines), frontier.reasons()
    finally:
        frontier.close()


def forget(folder: Path) -> None:
    """Removes what the run in `folder` found out: the next attempt begins anew."""
    for name in ("frontier.sqlite", "frontier.sqlite-wal", "frontier.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)


def forbidden_requests(folder: Path, plan: Plan) -> int:
    """URLs of the run in `folder` that were asked for although robots.txt forbids them."""
    frontier = Frontier(folder / "frontier.sqlite", plan.identity())
    try:
        states = ", ".join(f"'{state}'" for state in REQUESTED)
        count = 0
        origin, rules = "", None
        # Sorted by URL, so that one origin's rules are looked at a time.
        for (url,) in frontier.rows(f"state IN ({states})", ("url",)):
            of_url = split_origin(str(url).partition("?")[0])[3]
            if of_url != origin:
                origin, read = of_url, frontier.origin(of_url)
                rules = Robots(*read, plan.agent) if read else None
            count += rules is None or not rules.allows(str(url))
        return count
    finally:
        frontier.close()


def fingerprint(index: Path) -> str:
    """The fingerprint of the pages in an `index.parquet`."""
    table = pq.read_table(index, columns=["url", "digest"])
    rows = zip(table["url"].to_pylist(), table["digest"].to_pylist(), strict=True)
    return _hash(sorted(rows))


def _fingerprint(frontier: Frontier, reserved: Iterable[str]) -> str:
    rows = frontier.rows("state = 'fetched'", ("url", "digest"))
    return _hash(((str(url), str(digest)) for url, digest in rows), reserved)


def _hash(rows: Iterable[tuple[str, str]], more: Iterable[str] = ()) -> str:
    digest = hashlib.sha256()
    for url, payload in rows:
        digest.update(f"{url}\t{payload}\n".encode())
    for line in more:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _write(frontier: Frontier, where: str, schema: pa.Schema, path: Path) -> None:
    rows = frontier.rows(where, schema.names)
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
        batch: list[tuple[object, ...]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _ROWS:
                writer.write_table(_table(batch, schema))
                batch = []
        writer.write_table(_table(batch, schema))


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [() for _ in schema]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _link(source: Path, target: Path) -> None:
    """A second name for the file, or a copy where the system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
