"""Memory of a crawl that never ends by itself: a fifth of faults, endless calendars, endless hosts.

    python benchmarks/crawl_memory.py [--pages N] [--quick]

A server process answers every address of every host below `.example`: pages of 20 kB with links to
further days of calendars, to hosts that nobody has seen yet, and back; one page in five has a fault
(reset, 429, 500, cut body, redirect loop, body that is not what it says, slow drip); each host's
robots.txt is 40 kB. The crawl has a budget of pages; the resident memory of its process is sampled
while it runs.

The last line is JSON: `growth_mb` is the highest resident memory in the second half of the pages
over the highest in the second quarter; `peak_mb`; `known` URLs at the end, all of them in a state
that is not `queued` (`accounted`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from beside import finish

PAGES, QUICK_PAGES = 16_000, 4_000
WEIGHTS = (4, 4, 4, 4, 4, 4, 1)
LINKS, NEW_HOSTS = 40, 2
FAULTS = ("reset", "busy", "error", "cut", "loop", "lie", "drip")
TEXT = "The page of a day that has a text and is as long as pages are, more or less. " * 270


def main() -> int:
    """Prints memory by pages; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAGES} pages")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(serve())
        return 0
    pages = QUICK_PAGES if chosen.quick else chosen.pages
    command = [sys.executable, __file__, "--serve"]
    server = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = crawl_endless(int(server.stdout.readline()), Path(folder), pages)
    finally:
        server.stdin.close()
        server.wait()
    finish(found)
    return 0


def crawl_endless(port: int, folder: Path, pages: int) -> dict[str, Any]:
    """The crawl in this process, its memory sampled in a thread."""
    import psutil

    from gristmill.data.crawl.attempt import crawl
    from gristmill.data.crawl.frontier import Frontier
    from gristmill.data.crawl.plan import Plan

    plan = Plan(
        seeds=["http://start.example/"],
        hosts=["*.example"],
        resolve={"*.example": f"127.0.0.1:{port}"},
        resolved_delay=0.0,
        max_pages=pages,
        retries=1,
        timeout=0.5,
        first_rest=0.01,
        max_rest=0.05,
        host_failures=1_000_000,
    )
    samples: list[tuple[int, float]] = []
    bar = _Counted()
    done = threading.Event()

    def watch() -> None:
        process = psutil.Process()
        while not done.wait(0.1):
            samples.append((bar.pages, process.memory_info().rss / (1 << 20)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.perf_counter(), time.process_time()
    try:
        counts = crawl(folder, plan, bar=bar)
    finally:
        done.set()
        watcher.join()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    stored = max(1, counts.states.get("fetched", 0))
    print(f"{'pages stored':>14}{'resident MB':>13}")
    eighths = [max([mb for n, mb in samples if n <= stored * i // 8], default=0) for i in range(9)]
    for i, mb in enumerate(eighths):
        print(f"{stored * i // 8:14,}{mb:13.1f}")

    def highest(low: float, high: float) -> float:
        return max(mb for n, mb in samples if low * stored <= n <= high * stored)

    frontier = Frontier(folder / "frontier.sqlite", plan.identity())
    hosts = len({row[0] for row in frontier.rows("state = 'fetched'", ("host",))})
    frontier.close()
    return {
        "growth_mb": round(highest(0.5, 1.0) - highest(0.25, 0.5), 1),
        "peak_mb": round(highest(0.0, 1.0), 1),
        "start_mb": round(samples[0][1], 1),
        "pages": stored,
        "failed": counts.states.get("failed", 0),
        "hosts": hosts,
        "known": sum(counts.states.values()),
        "accounted": "queued" not in counts.states,
        "states": counts.states,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
    }


class _Counted:
    """What a progress bar would show."""

    pages = 0

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        self.pages += int(amount)

    def total(self, total: float) -> None: ...
    def note(self, note: str) -> None: ...
    def close(self) -> None: ...


async def serve() -> None:
    """Answers until standard input closes; prints its port."""
    server = await asyncio.start_server(_connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            host = next(
                line[5:].strip() for line in head.split("\r\n") if line.lower().startswith("host:")
            )
            if not await _answer(host, path, writer):
                break
            await writer.drain()
    writer.close()


async def _answer(host: str, path: str, writer: asyncio.StreamWriter) -> bool:
    """False where the connection ends."""
    if path == "/robots.txt":
        rules = "".join(f"Disallow: /not/{host}/{i}/\n" for i in range(1200))
        _send(writer, f"User-agent: *\n{rules}".encode(), kind="text/plain")
        return True
    if path.startswith("/."):
        _send(writer, b"", status="404 Not Found")
        return True
    draw = random.Random(zlib.crc32(f"{host}{path}".encode()))
    fault = draw.choices(FAULTS, WEIGHTS)[0] if draw.random() < 0.2 and path != "/" else ""
    if fault == "reset":
        writer.transport.abort()
        return False
    if fault == "busy":
        _send(writer, b"", status="429 Busy", more="Retry-After: 0\r\n")
    elif fault == "error":
        _send(writer, b"", status="500 Broken")
    elif fault == "cut":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p>")
        return False
    elif fault == "loop":
        _send(writer, b"", status="302 Found", more=f"Location: {path.rstrip('x')}x\r\n")
    elif fault == "lie":
        _send(writer, b"no gzip", more="Content-Encoding: gzip\r\n")
    elif fault == "drip":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n")
        for _ in range(12):
            writer.write(b"x")
            await asyncio.sleep(0.05)
        return False
    else:
        _send(writer, _page(host, draw))
    return True


def _page(host: str, draw: random.Random) -> bytes:
    days = [f"/day/{draw.getrandbits(40):x}/{i}?view=month" for i in range(LINKS - NEW_HOSTS)]
    hosts = [f"http://h{draw.getrandbits(36):x}.example/" for _ in range(NEW_HOSTS)]
    links = "".join(f'<a href="{target}">day</a>\n' for target in [*days, *hosts, "/"])
    text = TEXT[draw.randrange(1000) :]
    return f"<html><title>{host}</title><p>{text}</p>{links}</html>".encode()


def _send(
    writer: asyncio.StreamWriter,
    body: bytes,
    *,
    status: str = "200 OK",
    kind: str = "text/html",
    more: str = "",
) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


if __name__ == "__main__":
    raise SystemExit(main())
