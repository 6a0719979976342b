"""Serves the demo's web on loopback: one port for all hosts, told apart by the Host header.

    python -m gristmill.data.sample_web.server PORT PAGES.parquet [LOG]

prints the port (0 takes a free one) as one JSON line. A line `requests` on its standard input is
answered with one JSON line, the number of requests by URL; the end of the input (also the parent's
death) ends it. `serve` does all that from Python. A server of its own and not aiohttp's, because
the crawler shares two cores with it: 15,000 answers cost it 0.2 to 0.3 CPU seconds.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from gristmill.core.errors import GristmillError

_MOST_HEADER_BYTES = 64 * 1024
_REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect",
            308: "Permanent Redirect", 400: "Bad Request", 404: "Not Found",
            405: "Method Not Allowed", 503: "Service Unavailable"}  # fmt: skip
_START_TIMEOUT_S = 120.0


def canonical(host: str, path: str) -> str:
    """One spelling of an address: lower-case host without port, path with its escapes undone."""
    return f"http://{host.lower().partition(':')[0]}{unquote(path, errors='replace')}"


class Pages:
    """Every answer, ready to be sent, and how often each address was asked for."""

    def __init__(self, pages_file: Path, log: Path | None = None) -> None:
        # Line by line, so that what was asked for is on record even when everything is killed.
        self._log = None if log is None else open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        import pyarrow.parquet as pq

        self.requests: Counter[str] = Counter()
        self._answers: dict[str, tuple[bytes, bytes]] = {}
        for batch in pq.ParquetFile(pages_file).iter_batches(batch_size=2048):
            for row in batch.to_pylist():
                self._answers[canonical(row["host"], row["path"])] = answer(
                    row["status"],
                    row["content_type"],
                    row["body"],
                    row["location"],
                    row.get("robots"),
                )

    def find(self, host: str, path: str) -> tuple[bytes, bytes]:
        """Head and body of the answer; counts the request."""
        url = canonical(host, path)
        self.requests[url] += 1
        if self._log is not None and self.requests[url] == 1:
            self._log.write(url.replace("\n", " ") + "\n")
        return self._answers.get(url, _NOT_FOUND)


def answer(
    status: int,
    content_type: str,
    body: bytes,
    location: str | None = None,
    robots: str | None = None,
) -> tuple[bytes, bytes]:
    """Head and body of an HTTP/1.1 answer."""
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    )
    if location is not None:
        head += f"Location: {location}\r\n"
    if robots is not None:
        head += f"X-Robots-Tag: {robots}\r\n"
    return head.encode("ascii") + b"\r\n", body


_NOT_FOUND = answer(
    404,
    "text/html; charset=utf-8",
    b"<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not found</h1>"
    b"<p>There is no such page here.</p></body></html>",
)
_BAD = answer(400, "text/plain", b"bad request\n")
_NO_METHOD = answer(405, "text/plain", b"only GET and HEAD\n")


class Connection(asyncio.Protocol):
    """One client's connection; requests may follow each other without waiting."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            request, self._pending = self._pending[:end], self._pending[end + 4 :]
            if not self._respond(request):
                self._transport.close()
                return
        if len(self._pending) > _MOST_HEADER_BYTES:
            self._transport.close()

    def _respond(self, request: bytes) -> bool:
        """Answers one request; False where the connection must end."""
        assert self._transport is not None
        first, *lines = request.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        parts = first.split(" ")
        if len(parts) != 3 or "host" not in headers or not parts[1].startswith("/"):
            self._transport.write(b"".join(_BAD))
            return False
        method, path, version = parts
        if method not in ("GET", "HEAD") or headers.get("content-length", "0") != "0":
            self._transport.write(b"".join(_NO_METHOD))
            return False
        head, body = self._pages.find(headers["host"], path)
        self._transport.write(head + body if method == "GET" else head)
        return version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"


async def _serve(pages: Pages, port: int, commands: IO[str], out: IO[str]) -> None:
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Connection(pages), "127.0.0.1", port, backlog=1024
        )
    except OSError as error:
        _say(out, {"refused": error.strerror})
        return
    ended = asyncio.Event()

    def listen() -> None:
        # A thread, because Windows cannot wait for a pipe and for sockets in one loop.
        for line in commands:
            if line.strip() == "requests":
                loop.call_soon_threadsafe(lambda: _say(out, dict(pages.requests)))
        loop.call_soon_threadsafe(ended.set)

    _say(out, {"port": server.sockets[0].getsockname()[1]})
    threading.Thread(target=listen, daemon=True).start()
    await ended.wait()
    server.close()


def _say(out: IO[str], value: object) -> None:
    out.write(json.dumps(value) + "\n")
    out.flush()


@dataclass(frozen=True)
class SampleWebServer:
    """A server that runs in a child process."""

    port: int
    _process: subprocess.Popen[str]

    def requests(self) -> dict[str, int]:
        """How often each address (as `canonical` writes it) was asked for until now."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write("requests\n")
            stdin.flush()
            found: dict[str, int] = json.loads(stdout.readline())
        except (OSError, ValueError) as error:
            raise GristmillError("the sample web's server has stopped") from error
        return found


@contextmanager
def serve(pages_file: Path, log: Path | None = None, port: int = 0) -> Iterator[SampleWebServer]:
    """Starts the server for the length of a block; it also ends when this process dies.

    log: a file to which the server adds each address, one a line, when it is first asked for.
    port: on loopback; 0 takes a free one. Raises GristmillError where it does not start.
    """
    command = [sys.executable, "-m", "gristmill.data.sample_web.server", str(port)]
    command += [str(path) for path in (pages_file, log) if path is not None]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None and process.stdin is not None
    # A server that hangs at the start must not hang its parent.
    watchdog = threading.Timer(_START_TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        try:
            said = json.loads(process.stdout.readline())
            if "refused" in said:
                raise GristmillError(
                    f"the port cannot be served on: {said['refused']}",
                    where=f"127.0.0.1:{port}",
                    mend="choose another, or 0 for a free one",
                )
            found = int(said["port"])
        except (ValueError, KeyError) as error:
            raise GristmillError(
                "the sample web's server did not start", where=pages_file
            ) from error
        finally:
            watchdog.cancel()
        yield SampleWebServer(found, process)
    finally:
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> None:
    """The child process."""
    # Ctrl-C reaches the whole process group; the parent ends this process in its own order.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pages = Pages(*(Path(argument) for argument in sys.argv[2:4]))
    asyncio.run(_serve(pages, int(sys.argv[1]), sys.stdin, sys.stdout))


if __name__ == "__main__":
    main()
