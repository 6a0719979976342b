"""Every URL that a crawl knows, with its state, in SQLite: what a kill cannot take away.

The WARC files are appended to first and made durable; then one transaction records what became of
the URLs, the new URLs and how long each WARC file is. After a kill the files are cut back to the
recorded lengths, so journal and files always agree and at most the last second is fetched again.

The order is the breadth first one, whatever order answers come in: rounds of equal (depth, hops),
where hops counts redirects, and within a round by a hash of the URL, which mixes the hosts. So the
depth of a URL and what a budget lets in do not depend on timing.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.errors import GristmillError

_SCHEMA = """
CREATE TABLE urls (
    url TEXT PRIMARY KEY, host TEXT NOT NULL, rank INTEGER NOT NULL, kind TEXT NOT NULL,
    depth INTEGER NOT NULL, hops INTEGER NOT NULL, via TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT, status INTEGER, content_type TEXT, digest TEXT,
    file TEXT, offset INTEGER, length INTEGER, record_id TEXT, fetched_at TEXT, robots TEXT,
    canonical TEXT, etag TEXT, last_modified TEXT
) WITHOUT ROWID;
CREATE INDEX queue ON urls (depth, hops, rank) WHERE state = 'queued';
CREATE TABLE origins (origin TEXT PRIMARY KEY, verdict TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE reservations (origin TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# A URL that was out of reach on one way may be in reach on another, shorter one.
_ADD = """
INSERT INTO urls (url, host, rank, kind, depth, hops, via, state, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (url) DO UPDATE SET
    kind = excluded.kind, depth = excluded.depth, hops = excluded.hops, via = excluded.via,
    state = excluded.state, reason = excluded.reason
WHERE excluded.state = 'queued' AND (
    (urls.state = 'queued' AND (excluded.depth, excluded.hops) < (urls.depth, urls.hops))
    OR (urls.state = 'out_of_scope' AND urls.reason IN ('depth', 'redirects')))
"""
_SETTLE = """
UPDATE urls SET state = ?, reason = ?, status = ?, content_type = ?, digest = ?, file = ?,
    offset = ?, length = ?, record_id = ?, fetched_at = ?, robots = ?, canonical = ?,
    etag = ?, last_modified = ? WHERE url = ?
"""
REQUESTED = ("fetched", "redirected", "skipped", "failed", "sitemap")
"""States of URLs for which a request was made: they are what a budget of pages counts."""
_KNOWN_LIMIT = 150_000


@dataclass(frozen=True, slots=True)
class Found:
    """A URL that was found, with the state that it enters in: queued or out_of_scope."""

    url: str
    host: str
    depth: int
    hops: int
    via: str
    kind: str = "page"
    state: str = "queued"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A URL to be fetched now."""

    url: str
    host: str
    kind: str
    depth: int
    hops: int
    via: str


@dataclass(slots=True)
class Settled:
    """What became of a URL; the record's place where one was written."""

    url: str
    host: str
    state: str
    reason: str | None = None
    status: int | None = None
    content_type: str | None = None
    digest: str | None = None
    file: str | None = None
    offset: int | None = None
    length: int | None = None
    record_id: str | None = None
    fetched_at: str | None = None
    robots: str | None = None
    canonical: str | None = None
    etag: str | None = None
    last_modified: str | None = None


class Frontier:
    """The journal of one crawl, in one SQLite file (WAL) on a local disk.

    identity: what decides the crawl's result; opening an existing frontier with another raises
    GristmillError.
    """

    def __init__(self, path: Path, identity: str):
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        # With WAL, NORMAL survives a kill of the process; a power cut may take the last commits,
        # and the WARC files are then cut back to what is left.
        self._db.execute("PRAGMA synchronous = NORMAL")
        # `checkpoint` does that, off the event loop.
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        self._path = path
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        stored = self._meta("identity")
        if stored is None:
            self._db.execute("INSERT INTO meta VALUES ('identity', ?)", (identity,))
        elif stored != identity:
            raise GristmillError(
                "this run belongs to a crawl with other settings",
                where=path,
                mend="give another run folder, or remove this one",
            )
        self.requested = sum(count for _, count in self._requests_by_host())
        """URLs for which a request was made and settled."""
        self._spent: Counter[str] | None = None  # by host, where there is a budget for each
        self._known: dict[int, tuple[int, int]] = {}
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self.stored_bytes = int(self._meta("bytes") or 0)

    def close(self) -> None:
        """Closes the file; everything committed is on disk."""
        self._db.close()

    @property
    def empty(self) -> bool:
        """Whether no URL was ever added."""
        return self._db.execute("SELECT 1 FROM urls LIMIT 1").fetchone() is None

    def new(self, url: str, depth: int, hops: int) -> bool:
        """False where the URL was lately queued at this place or an earlier one: a filter that
        spares the database most repeated links, not an answer."""
        # A third of the memory of the addresses themselves. Two of them with one hash (64 bits, of
        # a secret key) would cost a URL: among 150,000, one crawl in a billion.
        key, place = hash(url), (depth, hops)
        known = self._known.get(key)
        if known is not None and known <= place:
            return False
        if len(self._known) >= _KNOWN_LIMIT:
            self._known.clear()
            self._places.clear()
        self._known[key] = self._places.setdefault(place, place)
        return True

    def forget(self, url: str) -> None:
        """Makes `new` true again for a URL that another way may bring into reach."""
        self._known.pop(hash(url), None)

    def commit(
        self,
        settled: Sequence[Settled],
        found: Iterable[Found],
        lengths: dict[str, int] | None = None,
        origins: Iterable[tuple[str, str, str]] = (),
        stored_bytes: int | None = None,
        reservations: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Journals results, new URLs, robots.txt and tdmrep.json of origins and the lengths of the
        WARC files."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "INSERT INTO origins VALUES (?, ?, ?) ON CONFLICT DO NOTHING", list(origins)
            )
            db.executemany(
                "INSERT INTO reservations VALUES (?, ?) ON CONFLICT DO NOTHING", list(reservations)
            )
            db.executemany(
                _ADD,
                (
                    (f.url, f.host, _rank(f.url), f.kind, f.depth, f.hops, f.via, f.state, f.reason)
                    for f in found
                ),
            )
            db.executemany(
                _SETTLE,
                [_settle_row(item) for item in settled],
            )
            if lengths is not None:
                self._set_meta("warc", json.dumps(lengths))
            if stored_bytes is not None:
                self.stored_bytes = stored_bytes
                self._set_meta("bytes", str(stored_bytes))
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        for item in settled:
            if item.state in REQUESTED:
                self.requested += 1
                if self._spent is not None:
                    self._spent[item.host] += 1

    def warc_lengths(self) -> dict[str, int]:
        """How long each WARC file was at the last commit."""
        return dict(json.loads(self._meta("warc") or "{}"))

    def origin(self, origin: str) -> tuple[str, str] | None:
        """(verdict, text) of the robots.txt of one origin; None where it was not read."""
        row = self._db.execute(
            "SELECT verdict, text FROM origins WHERE origin = ?", (origin,)
        ).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def reservation(self, origin: str) -> str | None:
        """The tdmrep.json of one origin, empty where it has none; None where it was not read."""
        row = self._db.execute(
            "SELECT text FROM reservations WHERE origin = ?", (origin,)
        ).fetchone()
        return None if row is None else str(row[0])

    def reservations(self) -> Iterator[tuple[str, str]]:
        """(origin, text) of each tdmrep.json that was there."""
        return self._db.execute("SELECT origin, text FROM reservations WHERE text != '' ORDER BY 1")

    def checkpoint(self) -> None:
        """Moves the journal into the file, waiting for the disk. May run in a thread."""
        with closing(sqlite3.connect(self._path)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def batch(self, limit: int, pages: int | None, pages_per_host: int | None) -> list[Task]:
        """The next URLs of the earliest round, in the round's order; empty at the crawl's end.

        pages, pages_per_host: budgets, counted in requests. A round is only left when it is done:
        fetch the batch, commit, ask again.
        """
        if pages_per_host is not None and self._spent is None:
            self._spent = Counter(dict(self._requests_by_host()))
        spent = self._spent or Counter()
        while True:
            room = limit if pages is None else min(limit, pages - self.requested)
            first = self._db.execute(
                "SELECT depth, hops FROM urls WHERE state = 'queued' ORDER BY depth, hops LIMIT 1"
            ).fetchone()
            if first is None:
                return []
            if room <= 0:
                self._close("over_budget", "pages")
                return []
            tasks = []
            taken: Counter[str] = Counter()
            full: set[str] = set()
            for row in self._db.execute(
                "SELECT url, host, kind, depth, hops, via FROM urls"
                " WHERE state = 'queued' AND depth = ? AND hops = ? ORDER BY rank, url",
                first,
            ):
                task = Task(*row)
                if pages_per_host is not None:
                    if spent[task.host] >= pages_per_host:
                        full.add(task.host)
                        continue
                    if spent[task.host] + taken[task.host] >= pages_per_host:
                        continue
                    taken[task.host] += 1
                tasks.append(task)
                if len(tasks) >= room:
                    break
            if full:
                self._close("over_budget", "pages_per_host", sorted(full))
            if tasks:
                return tasks

    def stop(self, reason: str) -> None:
        """Gives up all that is queued, as over budget."""
        self._close("over_budget", reason)

    def rows(self, where: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Rows of the URL table, sorted by URL."""
        return self._db.execute(f"SELECT {', '.join(columns)} FROM urls WHERE {where} ORDER BY url")

    def states(self) -> dict[str, int]:
        """URLs by state."""
        rows = self._db.execute("SELECT state, count(*) FROM urls GROUP BY 1 ORDER BY 1")
        return {str(state): int(count) for state, count in rows}

    def reasons(self) -> list[tuple[str, str, int]]:
        """(state, reason, URLs), sorted."""
        return self._db.execute(
            "SELECT state, coalesce(reason, ''), count(*) FROM urls"
            " WHERE state != 'redirected' GROUP BY 1, 2"
            " UNION ALL SELECT state, '', count(*) FROM urls"
            " WHERE state = 'redirected' GROUP BY 1 ORDER BY 1, 2"
        ).fetchall()

    def over_budget(self) -> dict[str, int]:
        """URLs that were given up, by the budget that was spent."""
        rows = self._db.execute(
            "SELECT reason, count(*) FROM urls WHERE state = 'over_budget' GROUP BY 1 ORDER BY 1"
        )
        return {str(reason): int(count) for reason, count in rows}

    def _requests_by_host(self) -> Iterator[tuple[str, int]]:
        marks = ", ".join("?" * len(REQUESTED))
        return self._db.execute(
            f"SELECT host, count(*) FROM urls WHERE state IN ({marks}) GROUP BY host", REQUESTED
        )

    def _close(self, state: str, reason: str, hosts: Sequence[str] | None = None) -> None:
        update = "UPDATE urls SET state = ?, reason = ? WHERE state = 'queued'"
        if hosts is None:
            self._db.execute(update, (state, reason))
        for host in hosts or ():
            self._db.execute(f"{update} AND host = ?", (state, reason, host))

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (key, value),
        )


def _settle_row(item: Settled) -> tuple[object, ...]:
    place = (item.file, item.offset, item.length, item.record_id, item.fetched_at)
    what = (item.state, item.reason, item.status, item.content_type, item.digest)
    return (*what, *place, item.robots, item.canonical, item.etag, item.last_modified, item.url)


def _rank(url: str) -> int:
    return zlib.crc32(url.encode())
