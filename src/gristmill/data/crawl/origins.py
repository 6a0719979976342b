"""What each origin says for all its pages, read once before the first: robots.txt, tdmrep.json."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from gristmill.data.crawl.fetch import REDIRECTS, Fetcher, FetchFailed
from gristmill.data.crawl.frontier import Task
from gristmill.data.crawl.ledger import Ledger
from gristmill.data.crawl.plan import Plan
from gristmill.data.crawl.robots import MAX_BYTES, Robots, decode_robots
from gristmill.data.crawl.urls import BadUrl, normalise
from gristmill.data.extract.opt_out import TDMREP_PATH, parse_tdmrep

_IN_MEMORY = 500
# Of robots.txt files; parsed, they are twelve times as large.
_CHARACTERS_IN_MEMORY = 2 << 20


class Origins:
    """Reads and remembers both files; the journal holds what does not fit in memory."""

    def __init__(self, plan: Plan, fetcher: Fetcher, ledger: Ledger):
        self._plan, self._fetcher, self._ledger = plan, fetcher, ledger
        self._known: OrderedDict[str, Robots] = OrderedDict()
        self._characters = 0
        self._reading: dict[str, asyncio.Future[Robots]] = {}
        self.requests = 0

    async def rules(self, origin: str, task: Task) -> tuple[Robots, bool]:
        """(the rules of an origin, whether they were asked for just now by this call)."""
        robots = self._known.get(origin)
        if robots is not None:
            self._known.move_to_end(origin)
            return robots, False
        reading = self._reading.get(origin)
        if reading is not None:
            return await asyncio.shield(reading), False
        journalled = self._ledger.robots(origin)
        if journalled is not None:
            return self._keep(origin, Robots(*journalled, self._plan.agent)), False
        reading = self._reading[origin] = asyncio.get_running_loop().create_future()
        try:
            robots = await self._read(origin)
        except BaseException:
            reading.cancel()
            raise
        finally:
            del self._reading[origin]
        reading.set_result(robots)
        self._ledger.origin(origin, robots.verdict, robots.text)
        if self._plan.sitemaps:
            for address in robots.sitemaps:
                self._ledger.find_sitemap(address, origin, task.depth, task.hops + 1)
        return self._keep(origin, robots), True

    def asks_reservation(self, origin: str, robots: Robots) -> bool:
        """Whether the tdmrep.json of an origin is still to be read, and may be."""
        if not self._plan.reservations or self._ledger.reserved(origin):
            return False
        return robots.allows(origin + TDMREP_PATH)

    async def read_reservation(self, origin: str) -> None:
        """Reads the tdmrep.json of an origin; what is none, or cannot be read, reserves nothing."""
        _, body = await self._fetch(origin + TDMREP_PATH)
        text = body.decode("utf-8-sig", "replace") if parse_tdmrep(body) else ""
        self._ledger.reserve(origin, text)

    def _keep(self, origin: str, robots: Robots) -> Robots:
        before = self._known.pop(origin, None)
        self._characters += len(robots.text) - (len(before.text) if before else 0)
        self._known[origin] = robots
        while len(self._known) > 1 and (
            len(self._known) > _IN_MEMORY or self._characters > _CHARACTERS_IN_MEMORY
        ):
            _, oldest = self._known.popitem(last=False)
            self._characters -= len(oldest.text)
        return robots

    async def _read(self, origin: str) -> Robots:
        verdict, body = await self._fetch(f"{origin}/robots.txt")
        text = decode_robots(body[: MAX_BYTES + 1]) if verdict == "rules" else ""
        return Robots(verdict, text, self._plan.agent)

    async def _fetch(self, url: str) -> tuple[str, bytes]:
        """('rules' for a file that is there, or another verdict of `Robots`; its body).

        RFC 9309, section 2.3.1: redirects are followed, each hop checked like any address.
        """
        plan = self._plan
        hops = 0
        tries = 0
        while True:
            try:
                self.requests += 1
                response = await self._fetcher.get(url)
                if response.status in REDIRECTS and hops < plan.max_redirects:
                    url = normalise(response.header("location"), url)
                    hops += 1
                    continue
                if response.status == 200 and not response.skipped:
                    return "rules", response.body
                if response.skipped:
                    return "deny", b""
                if response.status < 500 and response.status != 429:
                    return "allow", b""
                wanted = response.retry_after()
            except BadUrl:
                return "allow", b""
            except FetchFailed as error:
                if error.reason == "private_address":
                    return "private", b""
                if not error.retry:
                    return "deny", b""
                wanted = None
            if tries >= plan.retries or (wanted or 0.0) > plan.max_rest:
                return "deny", b""
            own = plan.first_rest * 2**tries
            await asyncio.sleep(min(own if wanted is None else wanted, plan.max_rest))
            tries += 1
