"""What a crawl holds in memory does not grow with the pages, hosts and links that it meets."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gristmill.data.crawl import frontier, ledger, origins, schedule, urls
from gristmill.data.crawl.attempt import crawl
from gristmill.data.crawl.crawler import Crawler
from gristmill.data.crawl.frontier import Frontier, Task
from gristmill.data.crawl.scope import Scope

Crawl = Callable[..., Any]


def _task(host: str, page: int = 0) -> Task:
    return Task(f"http://{host}/{page}", host, "page", 0, 0, "")


def test_hosts_that_nobody_asks_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_HOSTS", 10)

    async def go() -> None:
        found = schedule.Schedule()
        for round_ in range(20):
            names = [f"h{round_}-{i}.example" for i in range(10)]
            found.add(map(_task, names))
            while taken := await found.take():
                host, _, _ = taken
                if host.name == "h0-1.example":
                    host.down = "host_down"
                elif host.name == "h0-2.example":
                    # It is not to be asked yet, so what it wants must not be forgotten.
                    found.rest(host, 1000.0)
                found.done(host)
            assert len(found.hosts) <= 10 + 10 + 1
        assert "h0-2.example" in found.hosts and "h0-1.example" not in found.hosts
        found.add([_task("h0-1.example")])
        assert found.hosts["h0-1.example"].down == "host_down"

    asyncio.run(go())


def test_long_addresses_are_kept_in_no_cache() -> None:
    before = urls._kept.cache_info().currsize
    for i in range(50):
        assert urls.normalise(f"http://a.example/{'x' * 400}{i}").endswith(f"x{i}")
    assert urls._kept.cache_info().currsize == before
    assert urls._kept.cache_info().maxsize * 2 * urls._KEPT_LENGTH < 20 << 20


def test_links_that_are_known_are_kept_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontier, "_KNOWN_LIMIT", 100)
    found = Frontier(tmp_path / "f.sqlite", "x")
    for i in range(1000):
        assert found.new(f"http://a.example/{i}", 1, 0)
        assert not found.new(f"http://a.example/{i}", 2, 0)
        assert found.new(f"http://a.example/{i}", 0, 0)
        assert len(found._known) <= 100
    assert set(map(type, found._known)) == {int}
    found.forget("http://a.example/999")
    assert found.new("http://a.example/999", 3, 0)
    found.close()


@pytest.fixture
def endless(site: Any) -> Any:
    """Every page leads to three new hosts and to many new days; robots.txt files are long."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(text="User-agent: *\n" + "Disallow: /no/\n" * 400)
        if request.path.startswith("/."):
            return web.Response(status=404)
        host = request.headers["Host"].partition(".")[0]
        links = [f"http://{host[:40]}{i}.example/" for i in range(3)]
        links += [f"{request.path}{i}" for i in range(60)]
        body = "".join(f'<a href="{link}">x</a>' for link in links)
        return web.Response(text=body, content_type="text/html")

    site.other = answer
    return site


def test_endless_hosts_and_days(
    endless: Any, make_plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"max_pages": 150, "concurrency": 8}
    plain = crawl(tmp_path / "plain", make_plan(**settings))

    monkeypatch.setattr(schedule, "_HOSTS", 5)
    monkeypatch.setattr(origins, "_CHARACTERS_IN_MEMORY", 20_000)
    monkeypatch.setattr(ledger, "_COMMIT_FOUND", 200)
    waiting: list[int] = []
    characters: list[int] = []
    crawlers: list[Crawler] = []
    due = ledger.Ledger.commit_if_due
    keep = origins.Origins._keep

    async def watched(self: ledger.Ledger) -> None:
        waiting.append(len(self._found))
        await due(self)

    def kept(self: origins.Origins, origin: str, robots: Any) -> Any:
        result = keep(self, origin, robots)
        assert self._characters == sum(len(one.text) for one in self._known.values())
        characters.append(self._characters)
        return result

    monkeypatch.setattr(ledger.Ledger, "commit_if_due", watched)
    monkeypatch.setattr(origins.Origins, "_keep", kept)
    made = Crawler.__init__

    def noted(self: Crawler, *arguments: Any) -> None:
        made(self, *arguments)
        crawlers.append(self)

    monkeypatch.setattr(Crawler, "__init__", noted)
    bounded = crawl(tmp_path / "bounded", make_plan(**settings))
    # The same pages, whatever is forgotten on the way.
    assert bounded.states == plain.states and bounded.states["fetched"] == 150
    # Links wait for a commit that is under way, and for no longer.
    assert max(waiting) <= 4 * 200 + 63 * 8
    assert max(characters) <= 20_000
    assert len(crawlers[0]._schedule.hosts) < 150


def test_workers_that_wait_for_one_commit_begin_one(
    site: Any, make_plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan()
    under_way: list[int] = []
    most: list[int] = []
    commit = ledger.Ledger._commit_off_loop

    async def watched(self: ledger.Ledger) -> None:
        under_way.append(1)
        most.append(len(under_way))
        await asyncio.sleep(0.01)
        await commit(self)
        under_way.pop()

    monkeypatch.setattr(ledger.Ledger, "_commit_off_loop", watched)
    monkeypatch.setattr(ledger.Ledger, "_holds", lambda self, times: True)

    async def go() -> None:
        kept = ledger.Ledger(tmp_path, plan, Scope(plan.hosts, (), (), set()))
        with kept.open():
            for _ in range(3):
                await asyncio.gather(*(kept.commit_if_due() for _ in range(8)))
            await kept.landed()
            kept.commit()

    asyncio.run(go())
    assert len(most) > 8 and max(most) == 1 and not under_way
