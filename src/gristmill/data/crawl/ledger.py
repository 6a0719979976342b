"""What an attempt has found out and not journalled yet: WARC records, states, new URLs.

Nothing counts before `commit`: WARC files first, then the journal that names their lengths.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from gristmill.data.crawl.frontier import Found, Frontier, Settled, Task
from gristmill.data.crawl.plan import Plan
from gristmill.data.crawl.scope import Scope
from gristmill.data.crawl.urls import BadUrl, host_of, normalise
from gristmill.data.warc.writer import WarcWriter

_SITEMAP_DEPTH = 3
_COMMIT_RESULTS = 400
_COMMIT_FOUND = 20_000
_COMMIT_SECONDS = 2.0
_CHECKPOINT = 10
"""Commits between two moves of the journal into the database."""
_ERRORS = ("failed",)


class Ledger:
    """The frontier and the WARC files of one crawl, and what is to be added to them."""

    def __init__(self, folder: Path, plan: Plan, scope: Scope):
        folder.mkdir(parents=True, exist_ok=True)
        self._plan, self._scope = plan, scope
        self.frontier = Frontier(folder / "frontier.sqlite", plan.identity())
        self._writer = WarcWriter(
            folder / "warc",
            lengths=self.frontier.warc_lengths(),
            max_bytes=plan.warc_bytes,
            info=[
                ("software", "gristmill"),
                ("format", "WARC File Format 1.1"),
                ("http-header-user-agent", plan.user_agent),
                ("robots", "obey (RFC 9309)"),
            ],
            date=_now(),
        )
        self._durable = dict(self.frontier.warc_lengths())
        self._settled: list[Settled] = []
        self._found: list[Found] = []
        self._origins: dict[str, tuple[str, str]] = {}
        self._leaving: dict[str, tuple[str, str]] = {}
        self._reservations: dict[str, str] = {}
        self._flight: asyncio.Task[None] | None = None
        self._commits = 0
        self._last_commit = time.monotonic()
        self._date, self._date_at = "", 0.0
        self.stored_bytes = self.frontier.stored_bytes
        states = self.frontier.states()
        self.pages = states.get("fetched", 0)
        """Pages stored, those of earlier attempts too."""
        self.errors = sum(states.get(state, 0) for state in _ERRORS)

    @property
    def full(self) -> bool:
        """Whether the budget of bytes is spent."""
        return self._plan.max_bytes is not None and self.stored_bytes >= self._plan.max_bytes

    def find(self, url: str, depth: int, hops: int, via: str, kind: str = "page") -> None:
        """A URL was found on the page `via`: it is queued, or noted as out of scope."""
        if not self.frontier.new(url, depth, hops):
            return
        reason = self._scope.refusal(url)
        if reason is None and self._plan.max_depth is not None and depth > self._plan.max_depth:
            reason = "depth"
        if reason is None and kind == "page" and hops > self._plan.max_redirects:
            reason = "redirects"
        if reason in ("depth", "redirects"):
            self.frontier.forget(url)
        state = "queued" if reason is None else "out_of_scope"
        self._found.append(Found(url, host_of(url), depth, hops, via, kind, state, reason))

    def find_sitemap(self, address: str, base: str, depth: int, hops: int) -> None:
        """A robots.txt or a sitemap names a sitemap."""
        try:
            url = normalise(address, base)
        except BadUrl:
            return
        if hops <= self._plan.max_redirects + _SITEMAP_DEPTH:
            self.find(url, depth, hops, base, "sitemap")

    def settle(
        self,
        task: Task,
        state: str,
        reason: str | None,
        *,
        status: int | None = None,
        content_type: str | None = None,
    ) -> None:
        """What became of a URL of which nothing is stored."""
        self._settled.append(
            Settled(task.url, task.host, state, reason, status=status, content_type=content_type)
        )
        self.errors += state in _ERRORS

    def store(self, settled: Settled, records: list[bytes], body_bytes: int) -> None:
        """Appends the records; `settled` gets the place of the first, the response."""
        place = self._writer.write(*records)[0]
        settled.file, settled.offset, settled.length = place.file, place.offset, place.length
        self._settled.append(settled)
        self.stored_bytes += body_bytes
        self.pages += settled.state == "fetched"

    def origin(self, origin: str, verdict: str, text: str) -> None:
        """The robots.txt of an origin was read."""
        self._origins[origin] = (verdict, text)

    def robots(self, origin: str) -> tuple[str, str] | None:
        """(verdict, text) of a robots.txt that was read, in this attempt or an earlier one."""
        found = self._origins.get(origin) or self._leaving.get(origin)
        return found or self.frontier.origin(origin)

    def reserve(self, origin: str, text: str) -> None:
        """The tdmrep.json of an origin was read; empty where there is none."""
        self._reservations[origin] = text

    def reserved(self, origin: str) -> bool:
        """Whether the tdmrep.json of an origin was read, in this attempt or an earlier one."""
        return origin in self._reservations or self.frontier.reservation(origin) is not None

    async def commit_if_due(self) -> None:
        """Commits now and then, without waiting for the disk; one commit after the other."""
        if not self._due():
            return
        if self._flight is not None and not self._flight.done() and not self._holds(4):
            return
        await self.landed()
        # Of several workers that waited for one commit, the first began the next.
        if self._due():
            self._last_commit = time.monotonic()
            self._flight = asyncio.create_task(self._commit_off_loop())

    def _due(self) -> bool:
        return self._holds(1) or time.monotonic() - self._last_commit >= _COMMIT_SECONDS

    def _holds(self, times: int) -> bool:
        """Whether there is so much to commit: results, or links, of which a page may have many."""
        return (
            len(self._settled) >= times * _COMMIT_RESULTS
            or len(self._found) >= times * _COMMIT_FOUND
        )

    async def landed(self) -> None:
        """Waits for the commit under way. Raises what went wrong with it: then the last one before
        it holds, and there must be no other."""
        while (flight := self._flight) is not None:
            await asyncio.shield(flight)
            # Another worker that waited may have begun the next one meanwhile.
            if self._flight is flight:
                self._flight = None

    async def _commit_off_loop(self) -> None:
        settled, found, self._leaving = self._settled, self._found, self._origins
        self._settled, self._found, self._origins = [], [], {}
        stored_bytes = self.stored_bytes
        lengths = self._writer.flush()
        new = [name for name, length in lengths.items() if self._durable.get(name) != length]
        await asyncio.to_thread(self._sync, new)
        self._durable = lengths
        self._journal(settled, found, lengths, self._leaving, stored_bytes)
        self._leaving = {}
        if self._commits % _CHECKPOINT == 0:
            await asyncio.to_thread(self.frontier.checkpoint)

    def _sync(self, names: list[str]) -> None:
        for name in names:
            self._writer.sync(name)

    def commit(self) -> None:
        """Makes all that came in durable, and part of the crawl. No other commit is under way."""
        assert self._flight is None
        lengths = self._writer.commit()
        self._journal(self._settled, self._found, lengths, self._origins, self.stored_bytes)
        self._settled, self._found, self._origins = [], [], {}
        self._last_commit = time.monotonic()
        if self._commits % _CHECKPOINT == 0:
            self.frontier.checkpoint()

    def _journal(
        self,
        settled: list[Settled],
        found: list[Found],
        lengths: dict[str, int],
        origins: dict[str, tuple[str, str]],
        stored_bytes: int,
    ) -> None:
        rows = [(origin, *verdict) for origin, verdict in origins.items()]
        reserved = list(self._reservations.items())
        self.frontier.commit(settled, found, lengths, rows, stored_bytes, reserved)
        self._reservations.clear()
        self._commits += 1

    @contextmanager
    def open(self) -> Iterator[None]:
        """Closes the files at the end; what was not committed is dropped by the next attempt."""
        try:
            yield
        finally:
            self._writer.close()
            self.frontier.close()

    def date(self) -> str:
        """Now, for a record: ISO 8601 in UTC."""
        now = time.monotonic()
        if now - self._date_at > 0.5 or not self._date:
            self._date, self._date_at = _now(), now
        return self._date


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
