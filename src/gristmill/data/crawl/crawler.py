"""The crawler: rounds of the frontier, polite workers, commits that a kill cannot tear."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress
from gristmill.data.crawl.decode import BadEncoding, TooLarge
from gristmill.data.crawl.fetch import REDIRECTS, Fetcher, FetchFailed, Limits, Response
from gristmill.data.crawl.frontier import Found, Frontier, Settled, Task
from gristmill.data.crawl.links import HTML_TYPES, PageLinks, page_links, robots_words
from gristmill.data.crawl.plan import CrawlCounts, Plan
from gristmill.data.crawl.records import answer_records
from gristmill.data.crawl.resolver import HostMap, Lookup, Resolver
from gristmill.data.crawl.robots import MAX_BYTES, Robots, decode_robots
from gristmill.data.crawl.schedule import Host, Schedule
from gristmill.data.crawl.scope import Scope
from gristmill.data.crawl.sitemap import read_sitemap
from gristmill.data.crawl.urls import BadUrl, host_of, normalise, split_origin
from gristmill.data.warc.writer import WarcWriter

_SITEMAP_DEPTH = 3
_COMMIT_RESULTS = 400
_COMMIT_SECONDS = 2.0
_BATCH = 50_000
_FORBIDDEN = {
    "rules": "robots",
    "deny": "robots_unreachable",
    "private": "private_address",
}
_RETRY_STATUS = (429, 500, 502, 503, 504)
_REST_STATUS = (429, 503)


class Crawler:
    """One attempt at a crawl. `run` may be called once."""

    def __init__(self, folder: Path, plan: Plan, bar: Progress, lookup: Lookup | None):
        self._plan, self._bar = plan, bar
        self._scope = Scope(plan.hosts, plan.include, plan.exclude)
        self._seeds = [_seed(url) for url in plan.seeds]
        if not self._seeds:
            raise GristmillError("no seeds", where="data.crawl.seeds", mend="give some addresses")
        self._map = HostMap(plan.resolve)
        self._resolver = Resolver(self._map, lookup)
        folder.mkdir(parents=True, exist_ok=True)
        self._frontier = Frontier(folder / "frontier.sqlite", plan.identity())
        self._writer = WarcWriter(
            folder / "warc",
            lengths=self._frontier.warc_lengths(),
            max_bytes=plan.warc_bytes,
            info=[
                ("software", "gristmill"),
                ("format", "WARC File Format 1.1"),
                ("http-header-user-agent", plan.user_agent),
                ("robots", "obey (RFC 9309)"),
            ],
            date=_now(),
        )
        self._robots: dict[str, Robots] = {
            origin: Robots(verdict, text, plan.agent)
            for origin, (verdict, text) in self._frontier.origins().items()
        }
        self._robots_locks: dict[str, asyncio.Lock] = {}
        self._schedule = Schedule()
        self._settled: list[Settled] = []
        self._found: list[Found] = []
        self._origins: list[tuple[str, str, str]] = []
        self._stored_bytes = self._frontier.stored_bytes
        self._requests = 0
        self._last_commit = time.monotonic()
        self._full = False
        self._lost: Counter[str] = Counter()
        self._date, self._date_at = "", 0.0

    async def run(self) -> CrawlCounts:
        """Works until nothing is queued."""
        plan = self._plan
        self._fetcher = Fetcher(
            self._resolver,
            agent=plan.user_agent,
            concurrency=plan.concurrency,
            per_host=plan.per_host,
            limits=Limits(timeout=plan.timeout, body_bytes=plan.body_bytes),
        )
        try:
            if self._frontier.empty:
                for url in self._seeds:
                    self._find(url, 0, 0, "")
                self._commit()
            while not self._full:
                limit = min(_BATCH, plan.max_pages or _BATCH)
                tasks = self._frontier.batch(limit, plan.max_pages, plan.max_pages_per_host)
                if not tasks:
                    break
                await self._fetch_all(tasks)
                self._commit()
            if self._full:
                self._frontier.stop("bytes")
            return CrawlCounts(self._frontier.states(), self._requests, self._stored_bytes)
        except asyncio.CancelledError:
            # Interrupted: what is whole is kept. After any other error the last commit holds.
            self._commit()
            raise
        finally:
            await self._fetcher.close()
            self._writer.close()
            self._frontier.close()

    async def _fetch_all(self, tasks: list[Task]) -> None:
        self._schedule.add(tasks)
        workers = [
            asyncio.create_task(self._work())
            for _ in range(min(self._plan.concurrency, len(tasks)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        while taken := await self._schedule.take():
            host, task, tries = taken
            if self._full:
                # Left queued: the end of run() says why.
                self._schedule.done(host)
                continue
            if await self._visit(host, task, tries):
                self._schedule.done(host)
            else:
                self._schedule.again(host, task, tries + 1)
            if (
                len(self._settled) >= _COMMIT_RESULTS
                or time.monotonic() - self._last_commit > _COMMIT_SECONDS
            ):
                self._commit()

    async def _visit(self, host: Host, task: Task, tries: int) -> bool:
        """Asks for one URL; False where it is to be asked for again."""
        if host.down is not None:
            self._settle(task, "failed", host.down)
            return True
        if self._resolver.refused_literal(task.host):
            self._settle(task, "forbidden", "private_address")
            return True
        robots = await self._rules(host, task)
        if not robots.allows(task.url):
            self._settle(task, "forbidden", _FORBIDDEN[robots.verdict])
            return True
        accept = None if task.kind == "sitemap" else self._plan.content_types
        try:
            self._requests += 1
            response = await self._fetcher.get(task.url, accept)
        except FetchFailed as error:
            return self._failed(host, task, tries, error)
        host.refusals = 0
        self._lost.pop(host.name, None)
        if response.status in _RETRY_STATUS:
            return self._refused(host, task, tries, response)
        self._answered(task, response)
        return True

    def _failed(self, host: Host, task: Task, tries: int, error: FetchFailed) -> bool:
        if error.retry and tries < self._plan.retries:
            self._rest(host, None)
            return False
        if error.reason == "private_address":
            self._settle(task, "forbidden", error.reason)
        elif error.reason == "too_large":
            self._settle(task, "skipped", error.reason)
        else:
            self._settle(task, "failed", error.reason)
        if error.retry:
            self._lost[host.name] += 1
            if self._lost[host.name] >= self._plan.host_failures:
                host.down = "host_down"
        return True

    def _refused(self, host: Host, task: Task, tries: int, response: Response) -> bool:
        """429, 503 and other errors that pass: the host rests, the URL is tried again."""
        wanted = response.retry_after() if response.status in _REST_STATUS else None
        if wanted is not None and wanted > self._plan.max_rest:
            # It would be rude to come back earlier, and too long to wait.
            host.down = "retry_later"
            self._settle(task, "failed", "retry_later", status=response.status)
            return True
        self._rest(host, wanted)
        if tries < self._plan.retries:
            return False
        self._settle(task, "failed", f"http_{response.status}", status=response.status)
        return True

    def _rest(self, host: Host, seconds: float | None) -> None:
        own = self._plan.first_rest * 2 ** min(host.refusals, 20)
        host.refusals += 1
        self._schedule.rest(host, min(own if seconds is None else seconds, self._plan.max_rest))

    async def _rules(self, host: Host, task: Task) -> Robots:
        """The robots.txt of the URL's origin, read first if it is not known."""
        _, _, _, origin = split_origin(task.url.partition("?")[0])
        if origin in host.origins:
            return self._robots[origin]
        lock = self._robots_locks.setdefault(origin, asyncio.Lock())
        async with lock:
            robots = self._robots.get(origin)
            asked = robots is None
            if robots is None:
                robots = await self._read_robots(origin)
                self._robots[origin] = robots
                self._origins.append((origin, robots.verdict, robots.text))
                if self._plan.sitemaps:
                    for address in robots.sitemaps:
                        self._find_sitemap(address, origin, task.depth, task.hops + 1)
            if origin not in host.origins:
                host.origins.add(origin)
                delay = max(host.delay, self._delay(task.host, robots))
                self._schedule.widen(host, self._plan.per_host, delay)
                if asked and delay > 0:
                    # robots.txt was a request too; this worker's page follows after the delay,
                    # and the next page after one more.
                    await asyncio.sleep(delay)
                    self._schedule.rest(host, delay)
        return robots

    def _delay(self, host: str, robots: Robots) -> float:
        if self._plan.resolved_delay is not None and self._map.get(host) is not None:
            return self._plan.resolved_delay
        return max(self._plan.delay, min(robots.crawl_delay, self._plan.max_delay))

    async def _read_robots(self, origin: str) -> Robots:
        """RFC 9309, section 2.3.1: redirects are followed, each hop checked like any address."""
        plan = self._plan
        url = f"{origin}/robots.txt"
        hops = 0
        tries = 0
        while True:
            try:
                self._requests += 1
                response = await self._fetcher.get(url)
                if response.status in REDIRECTS and hops < plan.max_redirects:
                    url = normalise(response.header("location"), url)
                    hops += 1
                    continue
                if response.status == 200 and not response.skipped:
                    text = decode_robots(response.body[: MAX_BYTES + 1])
                    return Robots("rules", text, plan.agent)
                if response.skipped:
                    return Robots("deny", "", plan.agent)
                if response.status < 500 and response.status != 429:
                    return Robots("allow", "", plan.agent)
                wanted = response.retry_after()
            except BadUrl:
                return Robots("allow", "", plan.agent)
            except FetchFailed as error:
                if error.reason == "private_address":
                    return Robots("private", "", plan.agent)
                if not error.retry:
                    return Robots("deny", "", plan.agent)
                wanted = None
            if tries >= plan.retries or (wanted or 0.0) > plan.max_rest:
                return Robots("deny", "", plan.agent)
            own = plan.first_rest * 2**tries
            await asyncio.sleep(min(own if wanted is None else wanted, plan.max_rest))
            tries += 1

    def _answered(self, task: Task, response: Response) -> None:
        status = response.status
        if status in REDIRECTS:
            self._redirected(task, response)
        elif status != 200:
            self._settle(task, "failed", f"http_{status}", status=status)
        elif response.skipped:
            kind = response.content_type
            self._settle(task, "skipped", response.skipped, status=status, content_type=kind)
        elif task.kind == "sitemap":
            self._sitemap(task, response)
        elif response.is_binary:
            kind = response.content_type
            self._settle(task, "skipped", "not_text", status=status, content_type=kind)
        else:
            self._page(task, response)

    def _redirected(self, task: Task, response: Response) -> None:
        try:
            target = normalise(response.header("location"), task.url)
        except BadUrl:
            self._settle(task, "failed", "bad_redirect", status=response.status)
            return
        if target == task.url:
            self._settle(task, "failed", "redirect_to_itself", status=response.status)
            return
        self._store(task, response, "redirected", None, None, target)
        self._find(target, task.depth, task.hops + 1, task.url, task.kind)

    def _page(self, task: Task, response: Response) -> None:
        words = set(robots_words(response.all_headers("x-robots-tag")))
        links: PageLinks | None = None
        if not response.content_type or response.content_type in HTML_TYPES:
            text = response.text()
            links = page_links(
                text, task.url, skip_nofollow=self._plan.skip_nofollow, agent=self._plan.agent
            )
            words.update(links.robots)
        self._store(task, response, "fetched", links, ",".join(sorted(words)) or None, None)
        if links is not None and not words & {"nofollow", "none"}:
            for url in links.links:
                self._find(url, task.depth + 1, 0, task.url)

    def _sitemap(self, task: Task, response: Response) -> None:
        try:
            is_index, urls = read_sitemap(response.body, self._plan.body_bytes)
        except (BadEncoding, TooLarge):
            self._settle(task, "failed", "bad_sitemap", status=response.status)
            return
        self._settle(task, "sitemap", None, status=response.status)
        for url in urls:
            if is_index:
                self._find_sitemap(url, task.url, task.depth, task.hops + 1)
            else:
                self._find(url, task.depth + 1, 0, task.url)

    def _find_sitemap(self, address: str, base: str, depth: int, hops: int) -> None:
        try:
            url = normalise(address, base)
        except BadUrl:
            return
        if hops <= self._plan.max_redirects + _SITEMAP_DEPTH:
            self._find(url, depth, hops, base, "sitemap")

    def _find(self, url: str, depth: int, hops: int, via: str, kind: str = "page") -> None:
        if not self._frontier.new(url, depth, hops):
            return
        reason = self._scope.refusal(url)
        if reason is None and self._plan.max_depth is not None and depth > self._plan.max_depth:
            reason = "depth"
        if reason is None and kind == "page" and hops > self._plan.max_redirects:
            reason = "redirects"
        if reason in ("depth", "redirects"):
            self._frontier.forget(url)
        state = "queued" if reason is None else "out_of_scope"
        self._found.append(Found(url, host_of(url), depth, hops, via, kind, state, reason))

    def _store(
        self,
        task: Task,
        response: Response,
        state: str,
        links: PageLinks | None,
        robots: str | None,
        reason: str | None,
    ) -> None:
        date = self._now()
        records, record_id, digest = answer_records(
            task.url,
            response,
            date=date,
            via=task.via,
            depth=task.depth,
            links=links,
            robots=robots,
        )
        place = self._writer.write(*records)[0]
        self._settled.append(
            Settled(
                url=task.url,
                host=task.host,
                state=state,
                reason=reason,
                status=response.status,
                content_type=response.content_type,
                digest=digest,
                file=place.file,
                offset=place.offset,
                length=place.length,
                record_id=record_id,
                fetched_at=date,
                robots=robots,
            )
        )
        self._stored_bytes += len(response.body)
        if self._plan.max_bytes is not None and self._stored_bytes >= self._plan.max_bytes:
            self._full = True
        if state == "fetched":
            self._bar.advance()

    def _settle(
        self,
        task: Task,
        state: str,
        reason: str | None,
        *,
        status: int | None = None,
        content_type: str | None = None,
    ) -> None:
        self._settled.append(
            Settled(task.url, task.host, state, reason, status=status, content_type=content_type)
        )

    def _commit(self) -> None:
        """WARC files first, then the journal that names their lengths."""
        self._frontier.commit(
            self._settled, self._found, self._writer.commit(), self._origins, self._stored_bytes
        )
        for done in (self._settled, self._found, self._origins):
            done.clear()
        self._last_commit = time.monotonic()

    def _now(self) -> str:
        now = time.monotonic()
        if now - self._date_at > 0.5 or not self._date:
            self._date, self._date_at = _now(), now
        return self._date


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seed(url: str) -> str:
    try:
        return normalise(url)
    except BadUrl as error:
        raise GristmillError(
            f"'{url}' cannot be crawled: {error}",
            where="data.crawl.seeds",
            mend="give addresses such as http://site.example/",
        ) from error
