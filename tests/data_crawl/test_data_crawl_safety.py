"""What hostile servers and pages try: private addresses in forty spellings, bombs, faults."""

import asyncio
import gzip
import json
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from aiohttp import web

from gristmill.data.crawl.decode import BadEncoding, decode_body
from gristmill.data.crawl.urls import BadUrl, host_of, normalise

Crawl = Callable[..., Any]

# All of them mean this machine, to one program or another.
LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7F.0.0.1",
    "0177.0.0.1", "017700000001", "0177.0x0.0.1", "0", "0x0", "0.0.0.0", "127.0.0.1.",
    "127.255.255.254", "１２７.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "%31%32%37.0.0.1",
    "127.0.0.%31", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:7f00:1::]", "[::1%25lo]", "[::1%lo]", "user@127.0.0.1", "user:word@127.1",
    "a.example@127.0.0.1", "a.example:80@[::1]", "a.example\\@127.0.0.1", "localhost",
    "LOCALHOST.", "ｌocalhost", "here.localhost", "rebound.test", "xn--loopback-9za.test",
    "many.test", "mapped.test", "six.test",
]  # fmt: skip
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "here.localhost": ["127.0.0.1"],
    "rebound.test": ["127.0.0.1"],
    "xn--loopback-9za.test": ["127.0.0.1"],
    "many.test": ["0.0.0.0", "127.0.0.2", "::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "six.test": ["::1"],
}


@pytest.fixture
def trap() -> Any:
    """Listens on loopback and answers nothing; `caught()` counts who connected."""
    found: list[socket.socket] = []
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=200)]
    port = listeners[0].getsockname()[1]
    if socket.has_ipv6:
        with suppress(OSError):  # a machine without IPv6
            listeners.append(
                socket.create_server(("::1", port), family=socket.AF_INET6, backlog=200)
            )

    def caught() -> int:
        for listener in listeners:
            listener.setblocking(False)
            while True:
                try:
                    found.append(listener.accept()[0])
                except BlockingIOError:
                    break
        return len(found)

    yield port, caught
    for one in [*listeners, *found]:
        one.close()


def test_no_spelling_of_a_private_address_is_connected_to(
    site: Any, crawled: Crawl, trap: Any
) -> None:
    port, caught = trap
    socket.create_connection(("127.0.0.1", port)).close()
    assert caught() == 1  # the trap works
    addresses = [f"http://{form}:{port}/" for form in LOOPBACK]
    hosts, read = {"*.example"}, []
    for address in addresses:
        try:
            hosts.add(host_of(normalise(address)))
            read.append(address)
        except BadUrl:
            continue
    assert len(read) > 35  # what is refused as malformed is harmless, but no test of the gates
    hops = [f"/hop{i}" for i in range(len(addresses))]
    site.links("a.example/", *[a.replace("\\", "&#92;") for a in addresses], *hops)
    for hop, address in zip(hops, addresses, strict=True):
        site.move(f"a.example{hop}", address.encode("utf-8").decode("latin-1"))
    site.move("b.example/robots.txt", f"http://127.0.0.1:{port}/robots.txt")
    site.page("c.example/robots.txt", f"Sitemap: http://[::1]:{port}/map.xml\n")
    seeds = ["http://a.example/", "http://b.example/", "http://c.example/"]

    async def lookup(host: str) -> list[str]:
        return NAMES[host]

    found = crawled(
        seeds=[*seeds, f"http://127.0.0.1:{port}/seed"],
        hosts=sorted(hosts),
        lookup=lookup,
        delay=0.0,
        retries=0,
        first_rest=0.0,
    )
    assert caught() == 1
    ends = found.urls.items()
    reached = {url: end for url, end in ends if url.partition("/")[0].endswith(f":{port}")}
    assert len(reached) > 15
    assert set(reached.values()) == {("forbidden", "private_address")}
    assert found.urls["b.example/"] == ("forbidden", "private_address")


CHILD = """
import json, resource, sys
from pathlib import Path
from gristmill.data.crawl.attempt import crawl
from gristmill.data.crawl.plan import Plan

def peak():
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found / 1024 if sys.platform != "darwin" else found / 2**20

settings = json.loads(sys.argv[2])
crawl(Path(sys.argv[1]) / "plain", Plan(seeds=["http://plain.example/"], **settings))
before = peak()
counts = crawl(Path(sys.argv[1]) / "bombs", Plan(seeds=["http://a.example/"], **settings))
print(json.dumps({"growth": peak() - before, "states": counts.states}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system for the peak of memory")
def test_bombs_cost_little_memory(site: Any, tmp_path: Path) -> None:
    zeros = bytes(1 << 26)
    gigabyte = gzip.compress(zeros, 6) * 16
    assert len(gigabyte) < 1.1 * 2**20
    packer = brotli.Compressor(quality=1)
    br = b"".join(packer.process(zeros) for _ in range(2)) + packer.finish()
    bombs = {
        "gzip": gigabyte,
        "br": br,
        "zstd": zstandard.compress(zeros) * 16,
        "gzip, gzip": gzip.compress(gigabyte),
        "br, gzip": gzip.compress(br),
        "deflate": zlib.compress(zeros),
    }
    site.links("a.example/", *[f"/{i}" for i in range(len(bombs))], "http://b.example/")
    for i, (name, body) in enumerate(bombs.items()):
        site.page(f"a.example/{i}", body, Content_Encoding=name)
    site.page("a.example/robots.txt", "Sitemap: http://a.example/map.xml.gz\n")
    site.page("a.example/map.xml.gz", gigabyte, Content_Type="application/gzip")
    site.page("b.example/robots.txt", gigabyte, Content_Encoding="gzip")
    site.page("plain.example/", "<p>a page")
    settings = {
        "hosts": ["*.example"],
        "resolve": {"*.example": f"127.0.0.1:{site.port}"},
        "resolved_delay": 0.0,
    }
    command = [sys.executable, "-c", CHILD, str(tmp_path), json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    # The sitemap is too large too, though more of it is read.
    assert found["states"] == {"fetched": 1, "forbidden": 1, "skipped": len(bombs) + 1}
    assert found["growth"] < 64


def test_a_body_of_empty_members_costs_little(cpu_seconds: Any) -> None:
    member = gzip.compress(b"")
    assert decode_body(member * 100 + gzip.compress(b"x"), "gzip", 1 << 20) == b"x"
    with cpu_seconds(20), pytest.raises(BadEncoding):
        decode_body(member * 400_000, "gzip", 1 << 20)


FAULTS = ("reset", "busy", "drip", "loop", "calendar", "cut", "lie", "error")
PAGES = 160


def _fault(path: str) -> str:
    """One page in five has a fault, by its address."""
    number = zlib.crc32(path.encode())
    return FAULTS[number // 5 % len(FAULTS)] if path != "/" and number % 5 == 0 else ""


def test_a_fifth_of_faults(site: Any, crawled: Crawl) -> None:
    busy: dict[str, int] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/robots.txt":
            return web.Response(status=404)
        if path.startswith("/day/"):
            return _links(f"{path}{len(path)}", f"/day/{len(site.asked)}")
        fault = _fault(path)
        assert request.transport is not None
        if fault == "reset":
            request.transport.abort()
        elif fault == "busy" and busy.setdefault(path, 0) < 2:
            busy[path] += 1
            return web.Response(status=429, headers={"Retry-After": "0"})
        # Each costs three times the limit of time, so there are few.
        elif fault == "drip" and request.host == "a.example":
            stream = web.StreamResponse(headers={"Content-Type": "text/html"})
            await stream.prepare(request)
            with suppress(ConnectionError):
                for _ in range(500):
                    await stream.write(b"x")
                    await asyncio.sleep(0.02)
            return stream
        elif fault == "loop":
            raise web.HTTPFound(path + "x" if len(path) < 9 else path.rstrip("x"))
        elif fault == "calendar":
            return _links("/day/1/")
        elif fault == "cut":
            request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<p>cut")
            request.transport.close()
        elif fault == "lie":
            headers = {"Content-Encoding": "gzip", "Content-Type": "text/html"}
            return web.Response(body=b"no gzip", headers=headers)
        elif fault == "error":
            return web.Response(status=500)
        number = int(re.sub(r"\D", "", path) or 0)
        return _links(*[f"/{number * 3 + i}" for i in (1, 2, 3) if number * 3 + i < PAGES])

    site.other = answer
    found = crawled(
        seeds=[f"http://{name}.example/" for name in "abcd"],
        max_pages=700,
        retries=2,
        timeout=1.0,
        first_rest=0.001,
        max_rest=0.02,
        host_failures=10_000,
    )
    assert len(found.urls) == sum(found.counts.states.values())
    assert not found.of("queued")
    reasons = {reason for state, reason in found.urls.values() if state == "failed"}
    assert {"timeout", "bad_encoding", "http_500", "disconnected"} <= reasons
    for url, (state, _) in found.urls.items():
        host, _, path = url.partition("/")
        if re.fullmatch(r"\d{0,3}", path) and not _fault("/" + path):
            assert state in ("fetched", "over_budget"), (host, path)
    assert found.of("fetched") and found.of("redirected")
    assert {end for url, end in found.urls.items() if "/day/" in url} - {("fetched", None)}


def _links(*targets: str) -> web.Response:
    body = "<p>" + "".join(f'<a href="{target}">x</a>' for target in targets)
    return web.Response(text=body, content_type="text/html")
