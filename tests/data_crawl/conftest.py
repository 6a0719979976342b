"""A web of invented hosts on loopback, in a thread: what the tests crawl."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gristmill.data.crawl.attempt import crawl
from gristmill.data.crawl.plan import CrawlCounts, Plan

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """Answers by `host/path?query`; a handler for what is computed. Everything else is 404."""

    port: int = 0
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    other: Handler | None = None
    leave: float = math.inf
    """How many more it answers; then it holds whoever asks, until it has leave again."""

    def page(self, at: str, body: str | bytes = "", status: int = 200, **headers: str) -> None:
        """A page; header names with _ for -."""
        data = body.encode() if isinstance(body, str) else body
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names.setdefault("Content-Type", "text/html; charset=utf-8")

        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=data, headers=names)

        self.answers[at] = answer

    def links(self, at: str, *targets: str) -> None:
        """A page with links and nothing else."""
        self.page(at, f"<p>{at}" + "".join(f'<a href="{target}">x</a>' for target in targets))

    def move(self, at: str, to: str, status: int = 302) -> None:
        """A redirect."""
        self.page(at, status=status, Location=to)

    @property
    def counts(self) -> Counter[str]:
        """How often each address was asked for."""
        return Counter(at for _, at in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        at = request.headers["Host"] + request.raw_path
        self.asked.append((time.monotonic(), at))
        assert request.transport is not None
        self.connections.add(id(request.transport))
        while self.leave <= 0:
            if request.transport is None:  # who asked is gone
                return web.Response(status=503)
            await asyncio.sleep(0.005)
        self.leave -= 1
        handler = self.answers.get(at) or self.other
        return await handler(request) if handler else web.Response(status=404)


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", found.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        endpoint = web.TCPSite(runner, "127.0.0.1", 0)
        await endpoint.start()
        found.port = runner.addresses[0][1]
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    started.wait()
    yield found
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@dataclass
class Crawled:
    """A crawl's end, with the state and reason of each URL (without its scheme)."""

    counts: CrawlCounts
    urls: dict[str, tuple[str, str | None]]
    depths: dict[str, int]

    def of(self, state: str) -> set[str]:
        return {url for url, (found, _) in self.urls.items() if found == state}


@pytest.fixture
def crawled(site: Site, tmp_path: Path) -> Callable[..., Crawled]:
    """Crawls the site with the settings given and looks at the frontier."""

    def go(folder: Path = tmp_path / "run", lookup: Any = None, **settings: Any) -> Crawled:
        from gristmill.data.crawl.frontier import Frontier

        plan = plan_for(site, **settings)
        counts = crawl(folder, plan, lookup=lookup)
        frontier = Frontier(folder / "frontier.sqlite", plan.identity())
        rows = list(frontier.rows("1", ("url", "state", "reason", "depth")))
        frontier.close()
        names = [str(row[0]).removeprefix("http://") for row in rows]
        states = [(str(row[1]), row[2]) for row in rows]
        return Crawled(
            counts,
            dict(zip(names, states, strict=True)),  # type: ignore[arg-type]
            {name: int(str(row[3])) for name, row in zip(names, rows, strict=True)},
        )

    return go


def plan_for(site: Site, **settings: Any) -> Plan:
    values: dict[str, Any] = {
        "seeds": ["http://a.example/"],
        "hosts": ["*.example"],
        "resolve": {"*.example": f"127.0.0.1:{site.port}"},
        "resolved_delay": 0.0,
        "first_rest": 0.02,
        "timeout": 60.0,
    }
    return Plan(**{**values, **settings})


@pytest.fixture
def make_plan(site: Site) -> Callable[..., Plan]:
    return lambda **settings: plan_for(site, **settings)
