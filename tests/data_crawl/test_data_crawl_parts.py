"""Encodings with limits, robots.txt, sitemaps, host maps, and the order of the schedule."""

import asyncio
import gzip
import itertools
import tracemalloc
import zlib
from datetime import UTC, datetime
from typing import Any

import brotli
import pytest
import zstandard

from gristmill.data.crawl.decode import BadEncoding, TooLarge, decode_body
from gristmill.data.crawl.fetch import Response
from gristmill.data.crawl.frontier import Task
from gristmill.data.crawl.resolver import AddressRefused, HostMap, Resolver
from gristmill.data.crawl.robots import Robots, decode_robots
from gristmill.data.crawl.schedule import Schedule
from gristmill.data.crawl.sitemap import Sitemap, read_sitemap

TEXT = b"flour " * 1000
LIMIT = 1 << 20


@pytest.mark.parametrize(
    ("body", "encodings"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT[:60], mtime=0) + gzip.compress(TEXT[60:], mtime=0), "X-GZIP"),
        (zlib.compress(TEXT), "deflate"),
        (zlib.compress(TEXT)[2:-4], "deflate"),
        (brotli.compress(TEXT), "br"),
        (zstandard.compress(TEXT), "zstd"),
        (zstandard.compress(TEXT[:60]) + zstandard.compress(TEXT[60:]), "zstd"),
        (gzip.compress(zstandard.compress(TEXT), mtime=0), "zstd, gzip"),
    ],
)
def test_encodings(body: bytes, encodings: str) -> None:
    assert decode_body(body, encodings, LIMIT) == TEXT
    with pytest.raises(TooLarge):
        decode_body(body, encodings, len(TEXT) - 1)


@pytest.mark.parametrize("name", ["gzip", "br", "zstd", "deflate", "compress", "gzip,gzip,gzip"])
def test_damaged_encodings(name: str) -> None:
    with pytest.raises(BadEncoding):
        decode_body(b"\x1f\x8b\x08 not really", name, LIMIT)


@pytest.mark.parametrize("name", ["gzip", "br", "deflate"])
def test_cut_encodings(name: str) -> None:
    packed = {"gzip": gzip.compress, "br": brotli.compress, "deflate": zlib.compress}[name](TEXT)
    with pytest.raises(BadEncoding):
        decode_body(packed[: len(packed) // 2], name, LIMIT)


def test_bombs_stop_at_the_limit() -> None:
    zeros = bytes(64 << 20)
    bombs = {
        "gzip": gzip.compress(zeros),
        "br": brotli.compress(zeros, quality=1),
        "zstd": zstandard.compress(zeros),
        "gzip, gzip": gzip.compress(gzip.compress(zeros)),
    }
    del zeros
    for name, bomb in bombs.items():
        tracemalloc.start()
        with pytest.raises(TooLarge):
            decode_body(bomb, name, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20, name
        tracemalloc.stop()


def test_robots() -> None:
    text = "User-agent: *\nDisallow: /a\nAllow: /a/b$\nCrawl-delay: 2.5\nSitemap: /s.xml\n"
    robots = Robots("rules", text, "gristmill")
    assert robots.allows("http://x.example/") and robots.allows("http://x.example/a/b")
    assert not robots.allows("http://x.example/a/bc")
    assert robots.crawl_delay == 2.5 and robots.sitemaps == ["/s.xml"]
    assert Robots("rules", "User-agent: *\nRequest-rate: 1/20\n", "g").crawl_delay == 20
    assert Robots("rules", "User-agent: *\nCrawl-delay: nan\n", "g").crawl_delay == 0
    assert not Robots("deny", "", "g").allows("http://x.example/")
    assert Robots("allow", "", "g").allows("http://x.example/")
    hostile = "User-agent: *\n" + "Disallow: /" + "*a" * 50 + "b\n"
    assert Robots("rules", hostile, "g").allows("http://x.example/" + "a" * 1900)
    assert decode_robots(b"\xef\xbb\xbfUser-agent: *\n" + b"#" * (600 << 10)) == "User-agent: *"


def test_sitemaps() -> None:
    text = "<urlset><url><loc><![CDATA[http://a.example/x]]></loc></url><loc>mailto:x</loc>"
    assert read_sitemap(text.encode(), LIMIT) == (False, ["http://a.example/x"])
    assert read_sitemap(b"http://a.example/1\nhttp://a.example/2", LIMIT)[1][1][-1] == "2"
    assert read_sitemap(b"<sitemapindex><loc>http://a.example/s</loc>", LIMIT)[0]
    assert read_sitemap(b"<loc>" * 100_000, LIMIT) == (False, [])
    with pytest.raises(TooLarge):
        read_sitemap(gzip.compress(bytes(LIMIT * 4)), LIMIT)
    with pytest.raises(BadEncoding):
        read_sitemap(gzip.compress(text.encode() * 99)[:-9])


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_sitemap_in_pieces_is_the_sitemap(layers: int, step: int) -> None:
    addresses = [f"http://a.example/{i}/{'x' * (i % 90)}" for i in range(300)]
    for opens, closes in (("<url><loc>", "</loc></url>\n"), ("<s:loc><![CDATA[", "]]></s:loc>"),
                          ("", "\n")):  # fmt: skip
        body = ("\ufeff" + "".join(f"{opens}{url}{closes}" for url in addresses)).encode()
        for layer in range(layers):
            # Several members one after the other, as some writers pack.
            body = b"".join(gzip.compress(part) for part in ([body[:99], body[99:]] if layer == 0
                                                             else [body]))  # fmt: skip
        sitemap = Sitemap()
        for start in range(0, len(body), step):
            assert sitemap.feed(body[start : start + step])
        sitemap.end()
        assert sitemap.urls == addresses


def test_a_sitemap_holds_no_more_than_the_protocol_allows() -> None:
    sitemap = Sitemap()
    line = "".join(f"<loc>http://a.example/{i}</loc>" for i in range(60_000)).encode()
    assert not sitemap.feed(line)
    sitemap.end()
    assert len(sitemap.urls) == 50_000
    tracemalloc.start()
    sitemap = Sitemap()
    for letters in (b"x", b"<loc>", b"<url>" + b" " * 99):
        piece = letters * (100_000 // len(letters))
        for _ in range(100):
            sitemap.feed(piece)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert sitemap.urls == []


def test_host_map() -> None:
    hosts = HostMap(
        {"*.example": "127.0.0.1:1", "*.b.example": "127.0.0.1:2", "x.b.example": "[::1]:3"}
    )
    assert hosts.get("A.example") == ("127.0.0.1", 1)
    assert hosts.get("y.b.example") == ("127.0.0.1", 2)
    assert hosts.get("x.b.example") == ("::1", 3)
    assert hosts.get("example") is None and hosts.get("a.test") is None


def test_private_addresses_are_dropped_from_answers() -> None:
    async def lookup(host: str) -> list[str]:
        return {"mixed": ["10.0.0.1", "8.8.8.8", "::1"], "bad": ["127.0.0.1"]}.get(host, [])

    resolver = Resolver(HostMap({}), lookup)
    found = asyncio.run(resolver.resolve("mixed", 80))
    assert [(result["host"], result["port"]) for result in found] == [("8.8.8.8", 80)]
    with pytest.raises(AddressRefused):
        asyncio.run(resolver.resolve("bad", 80))
    with pytest.raises(OSError, match="no address"):
        asyncio.run(resolver.resolve("none", 80))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("Sat, 31 Jan 2026 12:00:30 GMT", 30.0), ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
     ("soon", None), ("", None), ("-5", None), ("٣", None)],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    headers = ((b"Retry-After", value.encode()),)
    response = Response(503, "", "HTTP/1.1", headers, b"", b"", None)
    assert response.retry_after(datetime(2026, 1, 31, 12, tzinfo=UTC)) == seconds


def test_schedule_keeps_limits_delays_and_rests() -> None:
    async def work() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        schedule = Schedule()
        schedule.add([Task(f"{h}{i}", h, "page", 0, 0, "") for h in "ab" for i in range(4)])
        schedule.widen(schedule.hosts["a"], 2, 0.0)
        schedule.widen(schedule.hosts["b"], 2, 0.05)
        started = loop.time()
        taken: list[tuple[str, float]] = []
        busy = {"a": 0, "b": 0}

        async def worker() -> None:
            while found := await schedule.take():
                host, task, tries = found
                # By the schedule's clock: this worker may be late.
                taken.append((task.url, host.ready_at - host.delay - started))
                busy[host.name] += 1
                assert busy[host.name] <= {"a": 2, "b": 1}[host.name]
                await asyncio.sleep(0.01)
                busy[host.name] -= 1
                if task.url == "a1" and tries == 0:
                    schedule.rest(host, 0.1)
                    schedule.again(host, task, 1)
                else:
                    schedule.done(host)

        await asyncio.gather(*(worker() for _ in range(5)))
        assert await schedule.take() is None
        return taken

    taken: Any = asyncio.run(work())
    names = [name for name, _ in taken]
    assert sorted(names) == ["a0", "a1", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]
    again = max(when for name, when in taken if name == "a1")
    assert again > 0.1
    slow = [when for name, when in taken if name.startswith("b")]
    assert min(b - a for a, b in itertools.pairwise(slow)) > 0.045
