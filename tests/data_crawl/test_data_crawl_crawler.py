"""Crawls of a local web: politeness, redirects, budgets, faults, and what is stored."""

import asyncio
import gzip
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import pyarrow.parquet as pq
import pytest
import zstandard
from aiohttp import web

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Silent
from gristmill.data.crawl.attempt import crawl
from gristmill.data.crawl.fetch import Fetcher
from gristmill.data.crawl.reservations import read_reservations
from gristmill.data.crawl.seal import fingerprint, forbidden_requests, seal
from gristmill.data.warc.reader import read_record, read_records

Crawl = Callable[..., Any]


def test_follows_links_across_hosts_and_accounts_for_every_url(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", "/one", "http://b.example/", "http://else.test/", "/gone", "/pic")
    site.links("a.example/one", "/", "http://b.example/deep", "mailto:x@y.example")
    site.links("b.example/", "http://A.example/one#part", "/deep?utm_source=a")
    site.links("b.example/deep")
    site.page("a.example/pic", b"\x89PNG", Content_Type="image/png")
    found = crawled()
    assert found.of("fetched") == {"a.example/", "a.example/one", "b.example/", "b.example/deep"}
    assert found.urls["else.test/"] == ("out_of_scope", "host")
    assert found.urls["a.example/gone"] == ("failed", "http_404")
    assert found.urls["a.example/pic"] == ("skipped", "content_type:image/png")
    assert found.depths["b.example/deep"] == 2
    assert set(site.counts.values()) == {1}
    assert len(found.urls) == sum(found.counts.states.values()) == 7


def test_what_is_stored_is_what_was_sent(
    site: Any, crawled: Crawl, make_plan: Any, tmp_path: Path
) -> None:
    text = "<p>" + "corn and rye " * 50
    links = "".join(f'<a href="/{name}">' for name in ("gzip", "br", "zstd", "deflate", "twice"))
    site.page("a.example/", links, X_Robots_Tag="noai")
    site.page("a.example/gzip", gzip.compress(text.encode()), Content_Encoding="gzip")
    site.page("a.example/br", brotli.compress(text.encode()), Content_Encoding="br")
    site.page("a.example/zstd", zstandard.compress(text.encode()), Content_Encoding="zstd")
    packed = gzip.compress(brotli.compress(text.encode()))
    site.page("a.example/twice", packed, Content_Encoding="br, gzip")
    site.page("a.example/deflate", b"no", Content_Encoding="deflate")
    found = crawled()
    assert found.urls["a.example/deflate"] == ("failed", "bad_encoding")
    content, reasons = seal(tmp_path / "run", make_plan(), tmp_path / "out")
    assert ("failed", "bad_encoding", 1) in reasons
    rows = pq.read_table(tmp_path / "out" / "index.parquet").to_pylist()
    assert [row["url"] for row in rows] == sorted(row["url"] for row in rows)
    assert [row["robots"] for row in rows] == ["noai", None, None, None, None]
    assert len({row["digest"] for row in rows[1:]}) == 1
    for row in rows:
        record = read_record(tmp_path / "out" / "warc" / row["file"], row["offset"])
        assert record.url == row["url"] and record.record_id == row["record_id"]
        body = record.http().body
        assert body.decode() == (text if row["url"] != "http://a.example/" else links)
        assert record.http().header("content-encoding") == ""
    assert record.http().header("x-crawl-content-encoding") == "zstd"
    warc = tmp_path / "out" / "warc" / "crawl-00000.warc.gz"
    kinds = [r.type for r in read_records(warc, types=("request", "response", "metadata"))]
    assert kinds == ["response", "request", "metadata"] * 5
    request = next(read_records(warc, types=("request",)))
    assert request.block.startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\n")
    assert content == fingerprint(tmp_path / "out" / "index.parquet")
    frontier = pq.read_table(tmp_path / "out" / "frontier.parquet")
    assert frontier.column_names == ["url", "state", "reason", "depth"] and len(frontier) == 6


def test_robots_are_obeyed(site: Any, crawled: Crawl, make_plan: Any, tmp_path: Path) -> None:
    site.page(
        "a.example/robots.txt",
        "User-agent: *\nDisallow: /\nUser-agent: gristmill\nDisallow: /no\nAllow: /no/but\n",
    )
    site.links("a.example/", "/no/1", "/no/but", "http://b.example/", "http://c.example/")
    site.links("a.example/no/but", "/%6eo/2")
    site.page("b.example/robots.txt", status=503)
    site.move("c.example/robots.txt", "http://d.example/rules")
    site.page("d.example/rules", "User-agent: *\nDisallow: /\n")
    found = crawled(retries=1)
    assert found.of("fetched") == {"a.example/", "a.example/no/but"}
    assert found.urls["a.example/no/1"] == ("forbidden", "robots")
    assert found.urls["a.example/no/2"] == ("forbidden", "robots")
    assert found.urls["b.example/"] == ("forbidden", "robots_unreachable")
    assert found.urls["c.example/"] == ("forbidden", "robots")
    assert site.counts["b.example/robots.txt"] == 2
    assert site.counts["b.example/"] == site.counts["c.example/"] == 0
    assert forbidden_requests(tmp_path / "run", make_plan(retries=1)) == 0


def test_nofollow(site: Any, crawled: Crawl, tmp_path: Path) -> None:
    site.page("a.example/", '<a href=/1 rel="nofollow">x</a><a href=/2>y</a>')
    site.page("a.example/2", '<meta name=robots content="noindex,nofollow"><a href=/3>')
    found = crawled()
    assert set(found.urls) == {"a.example/", "a.example/1", "a.example/2"}
    assert "a.example/1" not in crawled(tmp_path / "other", skip_nofollow=True).urls


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """When the crawler began each request; a busy server notes it late."""
    found: list[tuple[float, str]] = []
    get = Fetcher.get

    async def noted(self: Fetcher, url: str, *more: Any) -> Any:
        found.append((time.monotonic(), url.removeprefix("http://")))
        return await get(self, url, *more)

    monkeypatch.setattr(Fetcher, "get", noted)
    return found


def test_crawl_delay_and_one_request_at_a_time(
    site: Any, crawled: Crawl, begun: list[tuple[float, str]]
) -> None:
    site.page("a.example/robots.txt", "User-agent: *\nCrawl-delay: 0.15\n")
    site.links("a.example/", "/1", "/2", "/3", "http://b.example/")
    for name in "123":
        site.links(f"a.example/{name}")
    site.links("b.example/", *[f"/{i}" for i in range(20)])
    crawled(resolved_delay=None, delay=0.0)
    times = [when for when, at in begun if at.startswith("a.example/")]
    assert len(times) == sum(at.startswith("a.example/") for _, at in site.asked) == 6
    # robots.txt and tdmrep.json are requests too
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.1
    assert times[-1] - times[0] > 0.59


def test_too_many_requests_are_waited_for(
    site: Any, crawled: Crawl, begun: list[tuple[float, str]]
) -> None:
    refused: dict[str, int] = {}

    async def busy(request: web.Request) -> web.StreamResponse:
        at = request.raw_path
        refused[at] = refused.get(at, 0) + 1
        if refused[at] == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        if refused[at] == 2:
            return web.Response(status=503)
        return web.Response(text="<p>at last", content_type="text/html")

    site.answers["a.example/"] = busy
    found = crawled()
    assert found.of("fetched") == {"a.example/"}
    times = [when for when, at in begun if at == "a.example/"]
    assert len(times) == 3 and times[1] - times[0] > 0.95


def test_a_host_that_wants_a_long_rest_is_left(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", *[f"/{i}" for i in range(8)], "http://b.example/")
    site.links("b.example/")
    for i in range(8):
        site.page(f"a.example/{i}", status=429, Retry_After="86400")
    found = crawled(per_host=1)
    reasons = {reason for url, (state, reason) in found.urls.items() if state == "failed"}
    assert reasons == {"retry_later"} and "b.example/" in found.of("fetched")
    # robots.txt, tdmrep.json, /, one refusal
    assert sum(at.startswith("a.example/") for _, at in site.asked) == 4


def test_redirects_loops_and_chains(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", "/old", "/loop1", "/self", "/chain0", "/nowhere", "/out", "/empty")
    site.move("a.example/old", "//b.example/new", 301)
    site.links("b.example/new")
    site.move("a.example/loop1", "/loop2")
    site.move("a.example/loop2", "/loop1", 307)
    site.move("a.example/self", "/self#x")
    for i in range(9):
        site.move(f"a.example/chain{i}", f"chain{i + 1}", 308)
    site.move("a.example/nowhere", "gopher://x/")
    site.move("a.example/out", "http://else.test/")
    site.page("a.example/empty", status=302)
    found = crawled(max_redirects=4)
    assert found.of("fetched") == {"a.example/", "b.example/new"}
    assert found.urls["a.example/old"] == ("redirected", "http://b.example/new")
    assert found.urls["a.example/loop2"] == ("redirected", "http://a.example/loop1")
    assert found.urls["a.example/self"] == ("failed", "redirect_to_itself")
    assert found.urls["a.example/nowhere"] == ("failed", "bad_redirect")
    assert found.urls["a.example/chain4"][0] == "redirected"
    assert found.urls["a.example/chain5"] == ("out_of_scope", "redirects")
    assert found.urls["else.test/"] == ("out_of_scope", "host")
    assert max(site.counts.values()) == 1


def test_a_url_out_of_reach_on_one_way_is_fetched_on_another(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", "/r0", "/s0", "/page")
    for i in range(3):
        site.move(f"a.example/r{i}", f"/r{i + 1}")
        site.move(f"a.example/s{i}", f"/s{i + 1}")
    site.links("a.example/r3")
    site.links("a.example/s3")
    # One is found by its link first, the other by its redirects.
    site.links("a.example/page", "/r3", "/later")
    site.links("a.example/later", "/s3")
    found = crawled(max_redirects=2)
    assert "a.example/r3" in found.of("fetched") and found.depths["a.example/r3"] == 2
    assert "a.example/s3" in found.of("fetched") and found.depths["a.example/s3"] == 3


def test_sitemaps(site: Any, crawled: Crawl) -> None:
    site.page(
        "a.example/robots.txt",
        "User-agent: *\nDisallow: /no\nSitemap: /index.xml\nSitemap: http://a.example/none.xml",
    )
    site.links("a.example/")
    site.page(
        "a.example/index.xml",
        "<?xml version='1.0'?><sitemapindex><sitemap><loc> http://a.example/map.xml.gz </loc>"
        "</sitemap></sitemapindex>",
        Content_Type="application/xml",
    )
    urls = "".join(f"<url><loc>http://a.example/{name}</loc></url>" for name in ("x?a&amp;b", "no"))
    site.page(
        "a.example/map.xml.gz",
        gzip.compress(f"<urlset>{urls}</urlset>".encode()),
        Content_Type="application/gzip",
    )
    site.links("a.example/x?a&b")
    found = crawled()
    assert found.of("fetched") == {"a.example/", "a.example/x?a&b"}
    assert found.of("sitemap") == {"a.example/index.xml", "a.example/map.xml.gz"}
    assert found.urls["a.example/no"] == ("forbidden", "robots")


def test_a_sitemap_may_be_larger_than_a_page(site: Any, crawled: Crawl) -> None:
    names = [f"{i:02d}" for i in range(40)]
    listed = "".join(f"<url><loc>http://a.example/{n}</loc>{' ' * 4000}</url>" for n in names)
    site.page("a.example/robots.txt", "Sitemap: /map.xml\nSitemap: /cut.xml.gz\n")
    site.page("a.example/map.xml", f"<urlset>{listed}</urlset>", Content_Type="text/xml")
    site.page("a.example/cut.xml.gz", gzip.compress(listed.encode())[:-20], Content_Type="x/y")
    site.links("a.example/")
    for name in names:
        site.links(f"a.example/{name}")
    found = crawled(body_bytes=20_000)
    assert found.of("fetched") == {"a.example/", *(f"a.example/{name}" for name in names)}
    assert found.of("sitemap") == {"a.example/map.xml"}
    assert found.urls["a.example/cut.xml.gz"] == ("failed", "bad_encoding")


def test_what_a_host_reserves_is_read_once_and_kept(
    site: Any, crawled: Crawl, make_plan: Any, tmp_path: Path
) -> None:
    rules = '[{"location": "/kept", "tdm-reservation": 1}]'
    site.links("a.example/", "/1", "http://b.example/", "http://c.example/", "http://d.example/")
    site.links("a.example/1", "/2")
    for host in "abcd":
        site.links(f"{host}.example/2")
        if host != "a":
            site.links(f"{host}.example/", "/2")
        site.page(f"{host}.example/.well-known/tdmrep.json", rules)
    site.page("c.example/robots.txt", "User-agent: *\nDisallow: /.well-known/\n")
    site.page("d.example/.well-known/tdmrep.json", "<p>not found", 200)
    at = "{}.example/.well-known/tdmrep.json"

    def sealed(name: str, **settings: Any) -> tuple[str, dict[str, bytes]]:
        folder = tmp_path / name
        site.asked.clear()
        crawled(folder, **settings)
        output = folder / "sealed"
        content, _ = seal(folder, make_plan(**settings), output)
        return content, dict(read_reservations(output))

    content, found = sealed("run")
    assert [site.counts[at.format(host)] for host in "abcd"] == [1, 1, 0, 1]
    assert found == {f"http://{at.format(host)}": rules.encode() for host in "ab"}
    without, found = sealed("without", reservations=False)
    assert not found and not any("tdmrep" in at for at in site.counts)
    # What a host reserves decides about its pages: it is part of what a crawl is.
    assert without != content


def test_limits_on_a_page(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", "/big", "/endless", "/bomb", "/drip", "/lie", "/broken", "/null")
    site.page("a.example/big", b"x" * 200_000)
    site.page("a.example/bomb", gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip")
    site.page("a.example/lie", b"%PDF-1.7 \x00\x01")
    site.page("a.example/null", b"<p>a\x00b")

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/html"})
        await answer.prepare(request)
        for _ in range(100):
            await answer.write(b"x" * 10_000)
        return answer

    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/html"})
        await answer.prepare(request)
        for _ in range(200):
            await answer.write(b"x")
            await asyncio.sleep(0.05)
        return answer

    async def broken(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                                b"Content-Length: 999\r\n\r\nshort")  # fmt: skip
        request.transport.close()
        return web.Response()

    site.answers["a.example/endless"] = endless
    site.answers["a.example/drip"] = drip
    site.answers["a.example/broken"] = broken
    found = crawled(body_bytes=100_000, timeout=2.0, retries=1)
    assert found.of("fetched") == {"a.example/"}
    assert {name: found.urls[f"a.example/{name}"] for name in
            ("big", "endless", "bomb", "drip", "lie", "broken", "null")} == {
        "big": ("skipped", "too_large"),
        "endless": ("skipped", "too_large"),
        "bomb": ("skipped", "too_large"),
        "drip": ("failed", "timeout"),
        "lie": ("skipped", "not_text"),
        "broken": ("failed", "disconnected"),
        "null": ("skipped", "not_text"),
    }  # fmt: skip
    assert site.counts["a.example/drip"] == site.counts["a.example/broken"] == 2


def test_budgets_do_not_depend_on_timing(site: Any, crawled: Crawl, tmp_path: Path) -> None:
    delays = [0.0]

    async def page(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(text="User-agent: *\nDisallow: /7\n")
        await asyncio.sleep(delays[0] * (hash(request.raw_path) % 7))
        n = int(request.path[1:] or 0)
        links = [f"/{n * 10 + i}" for i in range(10)] + [f"http://b.example/{n + 1}"]
        body = "".join(f'<a href="{link}">' for link in links)
        return web.Response(text=body, content_type="text/html")

    site.other = page
    settings = {"max_pages": 60, "max_pages_per_host": 45, "max_depth": 3}
    first = crawled(tmp_path / "1", **settings)
    delays[0] = 0.01
    second = crawled(tmp_path / "2", concurrency=3, per_host=2, **settings)
    assert first.urls == second.urls and first.depths == second.depths
    assert len(first.of("fetched")) == 60
    hosts = [url.partition("/")[0] for url in first.of("fetched")]
    assert max(hosts.count(host) for host in set(hosts)) == 45
    assert first.of("over_budget") and not first.of("queued")
    assert max(first.depths[url] for url in first.of("fetched")) <= 3


def test_a_budget_of_bytes_ends_the_crawl(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", *[f"/{i}" for i in range(50)])
    for i in range(50):
        site.page(f"a.example/{i}", "x" * 10_000)
    found = crawled(max_bytes=100_000, concurrency=2)
    assert 9 <= len(found.of("fetched")) <= 13
    assert {found.urls[url][1] for url in found.of("over_budget")} == {"bytes"}
    assert not found.of("queued")


def test_endless_sites_end(site: Any, crawled: Crawl) -> None:
    async def calendar(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(status=404)
        here = request.path.rstrip("/")
        body = f'<a href="{here}/next/"><a href="/day?n={len(site.asked)}">'
        return web.Response(text=body, content_type="text/html")

    site.other = calendar
    found = crawled(max_pages=150)
    assert {found.urls[url][1] for url in found.of("out_of_scope")} == {"trap"}
    assert len(found.of("fetched")) == 150 and found.of("over_budget")


def test_a_dead_host_is_given_up(site: Any, crawled: Crawl) -> None:
    async def reset(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    site.links("a.example/", *[f"http://dead.example/{i}" for i in range(40)])
    site.page("a.example/robots.txt", "")
    site.page("dead.example/robots.txt", "")
    site.other = reset
    found = crawled(retries=0, host_failures=3, per_host=1, first_rest=0.001)
    failed = [found.urls[url][1] for url in sorted(found.of("failed"))]
    assert failed.count("host_down") == 37
    assert len(found.urls) == 41 and not found.of("queued")


def test_connections_are_kept_alive_and_few(site: Any, crawled: Crawl) -> None:
    site.links("a.example/", *[f"/{i}" for i in range(60)])
    for i in range(60):
        site.links(f"a.example/{i}")
    crawled(per_host=3)
    assert len(site.asked) == 63 and len(site.connections) <= 3


def test_no_connection_to_private_addresses(site: Any, crawled: Crawl) -> None:
    port = site.port
    here = f"127.0.0.1:{port}"
    forms = [here, f"2130706433:{port}", f"0177.0.0.1:{port}", f"[::ffff:127.0.0.1]:{port}",
             f"a.example@{here}", f"127.1:{port}", f"0x7f.0.0.1:{port}", f"0:{port}",
             f"rebound.test:{port}", f"intranet:{port}", "169.254.169.254"]  # fmt: skip
    site.links("a.example/", *[f"http://{form}/secret" for form in forms], "/go", "/hop")
    site.move("a.example/go", f"http://{here}/secret")
    site.move("a.example/hop", f"http://rebound.test:{port}/secret")
    for name in ("rebound.test", "intranet", "127.0.0.1", "0.0.0.0"):
        site.links(f"{name}:{port}/secret")

    async def lookup(host: str) -> list[str]:
        return ["127.0.0.1"] if host == "rebound.test" else ["10.0.0.7", "::1"]

    hosts = ["*.example", "*.test", "intranet", "127.0.0.1", "::ffff:7f00:1", "0.0.0.0",
             "169.254.169.254"]  # fmt: skip
    # The port is in scope, so that only the addresses are in the way.
    from gristmill.data.crawl import scope

    ports = scope._PORTS
    try:
        scope._PORTS = ports | {port}
        found = crawled(hosts=hosts, lookup=lookup, delay=0.0)
    finally:
        scope._PORTS = ports
    assert [at for _, at in site.asked if "secret" in at] == []
    secrets = {url: state for url, state in found.urls.items() if "secret" in url}
    assert len(secrets) == 6
    assert set(secrets.values()) <= {
        ("forbidden", "private_address"),
        ("forbidden", "robots_unreachable"),
    }


def test_the_address_of_each_socket_is_checked(make_plan: Any) -> None:
    """A name that is public when it is looked up and private when it is connected to."""
    from gristmill.data.crawl.fetch import Fetcher, FetchFailed, Limits
    from gristmill.data.crawl.resolver import HostMap, Resolver

    class Blind(Resolver):
        """A resolver whose own check is gone: the last gate stands alone."""

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            found = await Resolver(HostMap({"*.test": "127.0.0.1:9"})).resolve(host, port)
            return found

    async def get() -> str:
        fetcher = Fetcher(Blind(HostMap({})), agent="x", concurrency=1, per_host=1, limits=Limits())
        try:
            await fetcher.get("http://rebound.test/")
        except FetchFailed as error:
            return error.reason
        finally:
            await fetcher.close()
        return "connected"

    assert asyncio.run(get()) == "private_address"


@pytest.mark.parametrize(
    "settings",
    [{"seeds": ["ftp://a.example/"]}, {"seeds": []}, {"resolve": {"*.example": "localhost:80"}},
     {"resolve": {"*.example": "127.0.0.1"}}, {"exclude": ["("]}],
)  # fmt: skip
def test_bad_settings(make_plan: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(GristmillError):
        crawl(tmp_path, make_plan(**settings))


def test_a_run_of_another_crawl_is_refused(site: Any, crawled: Crawl) -> None:
    site.links("a.example/")
    crawled()
    with pytest.raises(GristmillError, match="other settings"):
        crawled(max_depth=1)


def test_the_progress_line_counts_pages_hosts_and_errors(
    site: Any, make_plan: Any, tmp_path: Path
) -> None:
    class Bar(Silent):
        done, said = 0.0, ""

        def advance(self, amount: float = 1.0, note: str | None = None) -> None:
            self.done += amount
            self.said = note or self.said

    site.links("a.example/", "/1", "/gone", "http://b.example/")
    site.links("a.example/1")
    site.links("b.example/")
    bar = Bar()
    crawl(tmp_path, make_plan(), bar=bar)
    assert bar.done == 3 and bar.said.endswith("/s, hosts: 2, errors: 1")
    later = Bar()
    crawl(tmp_path, make_plan(), bar=later)
    assert later.done == 3  # what earlier attempts fetched counts


def test_the_port_of_a_seed_is_in_scope(site: Any, crawled: Crawl) -> None:
    site.links("a.example:4242/", "/1", "http://a.example:4243/")
    site.links("a.example:4242/1")
    found = crawled(seeds=["http://a.example:4242/"])
    assert found.of("fetched") == {"a.example:4242/", "a.example:4242/1"}
    assert found.urls["a.example:4243/"] == ("out_of_scope", "port")


def test_inside_a_running_loop(site: Any, make_plan: Any, tmp_path: Path) -> None:
    site.links("a.example/")

    async def notebook() -> int:
        return crawl(tmp_path, make_plan()).states["fetched"]

    assert asyncio.run(notebook()) == 1
