"""The pages of an earlier crawl: what a new one asks "has it changed since?" about.

Servers answer such a conditional request with 304 and no body (RFC 9110, section 13). The page is
then taken over from the earlier crawl's WARC file, so that the new one is whole without it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from gristmill.data.crawl.fetch import Response
from gristmill.data.row_groups import batches, open_parquet
from gristmill.data.warc.reader import read_record
from gristmill.data.warc.record import Record

_COLUMNS = "url file offset digest record_id fetched_at robots etag last_modified".split()
_MAX_VALUE = 500


@dataclass(frozen=True, slots=True)
class EarlierPage:
    """A stored page that the server named a version of."""

    url: str
    file: str
    offset: int
    digest: str
    record_id: str
    fetched_at: str
    robots: str | None
    etag: str | None
    last_modified: str | None

    @property
    def conditions(self) -> dict[str, str]:
        """The headers of a request for what has changed."""
        headers = {}
        if self.etag:
            headers["If-None-Match"] = self.etag
        if self.last_modified:
            headers["If-Modified-Since"] = self.last_modified
        return headers


class Earlier:
    """Finds pages of the crawl sealed in `pages` by URL, without holding them in memory.

    index: a file to keep them in, by URL; it is made anew.
    """

    def __init__(self, pages: Path, index: Path):
        self._warc = pages / "warc"
        index.unlink(missing_ok=True)
        self._db = sqlite3.connect(index, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        self._db.execute(
            f"CREATE TABLE pages (url TEXT PRIMARY KEY, {', '.join(_COLUMNS[1:])}) WITHOUT ROWID"
        )
        with open_parquet(pages / "index.parquet") as table:
            # What another program indexed may not say which version it stored.
            if set(_COLUMNS) <= set(table.schema_arrow.names):
                for batch in batches(table, _COLUMNS):
                    self._add(batch.to_pydict())

    def of(self, url: str) -> EarlierPage | None:
        """The page as it was stored; None where there is none, or none with a version."""
        row = self._db.execute("SELECT * FROM pages WHERE url = ?", (url,)).fetchone()
        return None if row is None else EarlierPage(*row)

    def read(self, page: EarlierPage) -> tuple[Record, Response]:
        """The stored response record, and the answer in it. GristmillError where it is damaged."""
        record = read_record(self._warc / page.file, page.offset)
        message = record.http()
        headers = tuple(
            (name.encode("utf-8", "replace"), value.encode("utf-8", "replace"))
            for name, value in message.headers
        )
        return record, Response(message.status, "", "HTTP/1.1", headers, message.body, b"", None)

    def close(self) -> None:
        """Closes the index."""
        self._db.close()

    def _add(self, columns: dict[str, list[object]]) -> None:
        rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
        self._db.execute("BEGIN")
        self._db.executemany(
            f"INSERT OR IGNORE INTO pages VALUES ({', '.join('?' * len(_COLUMNS))})",
            (row for row in rows if row[-1] or row[-2]),
        )
        self._db.execute("COMMIT")


def version_of(response: Response) -> tuple[str | None, str | None]:
    """(ETag, Last-Modified) as they may be sent back; None where absent or not to be repeated."""
    return _value(response.header("etag")), _value(response.header("last-modified"))


def _value(text: str) -> str | None:
    return text if 0 < len(text) <= _MAX_VALUE and text.isascii() and text.isprintable() else None
