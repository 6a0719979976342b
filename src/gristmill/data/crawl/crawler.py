"""The crawler: rounds of the frontier, polite workers, commits that a kill cannot tear."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress
from gristmill.data.crawl.answers import Answers
from gristmill.data.crawl.earlier import Earlier
from gristmill.data.crawl.fetch import Fetcher, FetchFailed, Limits, Response
from gristmill.data.crawl.frontier import Task
from gristmill.data.crawl.ledger import Ledger
from gristmill.data.crawl.origins import Origins
from gristmill.data.crawl.plan import CrawlCounts, Plan
from gristmill.data.crawl.resolver import HostMap, Lookup, Resolver
from gristmill.data.crawl.robots import Robots
from gristmill.data.crawl.schedule import Host, Schedule
from gristmill.data.crawl.scope import Scope
from gristmill.data.crawl.sitemap import Sitemap
from gristmill.data.crawl.urls import BadUrl, normalise, split_origin

_BATCH = 50_000
_FORBIDDEN = {
    "rules": "robots",
    "deny": "robots_unreachable",
    "private": "private_address",
}
_RETRY_STATUS = (429, 500, 502, 503, 504)
_REST_STATUS = (429, 503)
_ONLY_GZIP = {"Accept-Encoding": "gzip"}
_SITEMAPS = 4
"""Sitemaps read at a time: each may hold 50,000 addresses."""
_NOTE_SECONDS = 1.0
_RATE_SECONDS = 10


class Crawler:
    """One attempt at a crawl. `run` may be called once."""

    def __init__(self, folder: Path, plan: Plan, bar: Progress, lookup: Lookup | None):
        self._plan, self._bar = plan, bar
        self._seeds = [_seed(url) for url in plan.seeds]
        if not self._seeds:
            raise GristmillError("no seeds", where="data.crawl.seeds", mend="give some addresses")
        ports = {split_origin(url.partition("?")[0])[2] for url in self._seeds}
        self._map = HostMap(plan.resolve)
        self._resolver = Resolver(self._map, lookup)
        scope = Scope(plan.hosts, plan.include, plan.exclude, ports)
        self._ledger = Ledger(folder, plan, scope)
        self._answers = Answers(plan, self._ledger)
        self._earlier: Earlier | None = None
        self._folder = folder
        self._schedule = Schedule()
        self._requests = 0
        self._reading = asyncio.Semaphore(_SITEMAPS)
        self._shown = 0
        self._rates: deque[tuple[float, int]] = deque(maxlen=_RATE_SECONDS)

    @property
    def pages(self) -> int:
        """Pages stored until now, in earlier attempts too."""
        return self._ledger.pages

    async def run(self) -> CrawlCounts:
        """Works until nothing is queued."""
        plan, ledger = self._plan, self._ledger
        self._fetcher = Fetcher(
            self._resolver,
            agent=plan.user_agent,
            concurrency=plan.concurrency,
            per_host=plan.per_host,
            limits=Limits(timeout=plan.timeout, body_bytes=plan.body_bytes),
        )
        self._origins = Origins(plan, self._fetcher, ledger)
        with ledger.open():
            try:
                if plan.earlier is not None:
                    self._earlier = Earlier(plan.earlier, self._folder / "earlier.sqlite")
                if ledger.frontier.empty:
                    for url in self._seeds:
                        ledger.find(url, 0, 0, "")
                    ledger.commit()
                await self._rounds()
                if ledger.full:
                    ledger.frontier.stop("bytes")
                return CrawlCounts(
                    ledger.frontier.states(),
                    self._requests + self._origins.requests,
                    ledger.stored_bytes,
                    ledger.frontier.over_budget(),
                )
            except asyncio.CancelledError:
                # Interrupted: what is whole is kept. After any other error the last commit holds.
                await ledger.landed()
                ledger.commit()
                raise
            finally:
                await self._fetcher.close()
                if self._earlier is not None:
                    self._earlier.close()

    async def _rounds(self) -> None:
        plan, ledger = self._plan, self._ledger
        self._show()
        while not ledger.full:
            limit = min(_BATCH, plan.max_pages or _BATCH)
            tasks = ledger.frontier.batch(limit, plan.max_pages, plan.max_pages_per_host)
            if not tasks:
                break
            try:
                await self._fetch_all(tasks)
            finally:
                await ledger.landed()
            ledger.commit()
        self._show()

    async def _fetch_all(self, tasks: list[Task]) -> None:
        self._schedule.add(tasks)
        workers = [
            asyncio.create_task(self._work())
            for _ in range(min(self._plan.concurrency, len(tasks)))
        ]
        workers.append(asyncio.create_task(self._keep_showing()))
        showing = workers[-1]
        try:
            await asyncio.gather(*workers[:-1])
        finally:
            showing.cancel()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        while taken := await self._schedule.take():
            host, task, tries = taken
            if self._ledger.full:
                # Left queued: the end of run() says why.
                self._schedule.done(host)
                continue
            if await self._visit(host, task, tries):
                self._schedule.done(host)
            else:
                self._schedule.again(host, task, tries + 1)
            await self._ledger.commit_if_due()

    async def _visit(self, host: Host, task: Task, tries: int) -> bool:
        """Asks for one URL; False where it is to be asked for again."""
        if host.down is not None:
            self._ledger.settle(task, "failed", host.down)
            return True
        if self._resolver.refused_literal(task.host):
            self._ledger.settle(task, "forbidden", "private_address")
            return True
        robots = await self._rules(host, task)
        if not robots.allows(task.url):
            self._ledger.settle(task, "forbidden", _FORBIDDEN[robots.verdict])
            return True
        try:
            response = await self._ask(task)
        except FetchFailed as error:
            return self._failed(host, task, tries, error)
        host.refusals = 0
        host.lost = 0
        if response is None:
            return True
        if response.status in _RETRY_STATUS:
            return self._refused(host, task, tries, response)
        self._answers.take(task, response)
        return True

    async def _ask(self, task: Task) -> Response | None:
        """The answer; None where it was that an earlier crawl's page has not changed."""
        if task.kind == "sitemap":
            return await self._ask_sitemap(task)
        accept = self._plan.content_types
        before = self._earlier.of(task.url) if self._earlier else None
        self._requests += 1
        if self._earlier is not None and before is not None:
            response = await self._fetcher.get(task.url, accept, before.conditions)
            if response.status != 304:
                return response
            try:
                self._answers.take_unchanged(task, response, self._earlier, before)
                return None
            except GristmillError:
                # The stored page cannot be read: it is fetched after all.
                self._requests += 1
        return await self._fetcher.get(task.url, accept)

    async def _ask_sitemap(self, task: Task) -> Response | None:
        """The answer where it is no sitemap; None where one was read."""
        sitemap = Sitemap()
        async with self._reading:
            self._requests += 1
            response = await self._fetcher.get(task.url, None, _ONLY_GZIP, sitemap.feed)
        if response.status != 200:
            return response
        self._answers.take_sitemap(task, response, sitemap)
        return None

    def _failed(self, host: Host, task: Task, tries: int, error: FetchFailed) -> bool:
        if error.retry and tries < self._plan.retries:
            self._rest(host, None)
            return False
        if error.reason == "private_address":
            self._ledger.settle(task, "forbidden", error.reason)
        elif error.reason == "too_large":
            self._ledger.settle(task, "skipped", error.reason)
        else:
            self._ledger.settle(task, "failed", error.reason)
        if error.retry:
            host.lost += 1
            if host.lost >= self._plan.host_failures:
                host.down = "host_down"
        return True

    def _refused(self, host: Host, task: Task, tries: int, response: Response) -> bool:
        """429, 503 and other errors that pass: the host rests, the URL is tried again."""
        wanted = response.retry_after() if response.status in _REST_STATUS else None
        if wanted is not None and wanted > self._plan.max_rest:
            # It would be rude to come back earlier, and too long to wait.
            host.down = "retry_later"
            self._ledger.settle(task, "failed", "retry_later", status=response.status)
            return True
        self._rest(host, wanted)
        if tries < self._plan.retries:
            return False
        self._ledger.settle(task, "failed", f"http_{response.status}", status=response.status)
        return True

    def _rest(self, host: Host, seconds: float | None) -> None:
        own = self._plan.first_rest * 2 ** min(host.refusals, 20)
        host.refusals += 1
        self._schedule.rest(host, min(own if seconds is None else seconds, self._plan.max_rest))

    async def _rules(self, host: Host, task: Task) -> Robots:
        """The robots.txt of the URL's origin, read first if it is not known, as is what the origin
        reserves."""
        _, _, _, origin = split_origin(task.url.partition("?")[0])
        robots, asked = await self._origins.rules(origin, task)
        if origin not in host.origins:
            host.origins.add(origin)
            delay = max(host.delay, self._delay(task.host, robots))
            if self._origins.asks_reservation(origin, robots):
                if asked and delay > 0:
                    await asyncio.sleep(delay)
                await self._origins.read_reservation(origin)
                asked = True
            self._schedule.widen(host, self._plan.per_host, delay)
            if asked and delay > 0:
                # These were requests too; this worker's page follows after the delay, and the
                # next page after one more.
                await asyncio.sleep(delay)
                self._schedule.rest(host, delay)
        return robots

    def _delay(self, host: str, robots: Robots) -> float:
        if self._plan.resolved_delay is not None and self._map.get(host) is not None:
            return self._plan.resolved_delay
        return max(self._plan.delay, min(robots.crawl_delay, self._plan.max_delay))

    async def _keep_showing(self) -> None:
        while True:
            await asyncio.sleep(_NOTE_SECONDS)
            self._show()

    def _show(self) -> None:
        """Pages, their rate over the last seconds, hosts and errors, on the progress line."""
        now, pages = time.monotonic(), self._ledger.pages
        self._rates.append((now, pages))
        since, before = self._rates[0]
        rate = (pages - before) / (now - since) if now > since else 0.0
        hosts, errors = len(self._schedule.hosts), self._ledger.errors
        note = f"{rate:,.0f}/s, hosts: {hosts:,}, errors: {errors:,}"
        self._bar.advance(pages - self._shown, note)
        self._shown = pages


def _seed(url: str) -> str:
    try:
        return normalise(url)
    except BadUrl as error:
        raise GristmillError(
            f"'{url}' cannot be crawled: {error}",
            where="data.crawl.seeds",
            mend="give addresses such as http://site.example/",
        ) from error
