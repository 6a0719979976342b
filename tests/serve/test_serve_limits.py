"""How much a client may ask, and that one who leaves takes nothing with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world
from serve_world import Running, until

from gristmill.serve.batching import RunningBatch, Step
from gristmill.serve.limits import Limits
from gristmill.serve.server import Server, listen
from gristmill.serve.service import Models, ServedModel

LIMITS = Limits(body_bytes=20_000, queue=2, rows=1, max_tokens=20_000)
CONTEXT = 20_000
LONG = {"model": "long", "prompt": "x", "max_tokens": 19_000, "temperature": 0}


@pytest.fixture(autouse=True)
def slow_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LONG answer takes half a minute at least, however fast the machine is."""
    step = RunningBatch.step

    def slow_step(batch: RunningBatch) -> list[Step]:
        time.sleep(0.002)
        return step(batch)

    monkeypatch.setattr(RunningBatch, "step", slow_step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_model(tmp_path_factory.mktemp("models") / "long", context=CONTEXT, seed=3)


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Running]:
    with world.running([folder], tmp_path / "store.sqlite", limits=LIMITS) as running:
        yield running


@contextlib.contextmanager
def asking(server: Running, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A socket that has sent a request and reads as the test pleases."""
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw:
        raw.sendall(head.encode() + data)
        yield raw


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_slot(server: Running, stream: bool) -> None:
    with asking(server, {**LONG, "stream": stream}) as raw:
        until(lambda: server.load()["generated"] > 5)
        if stream:
            assert b"200 OK" in raw.recv(4096)
        assert server.load()["running"] == 1
    until(lambda: server.load()["running"] == 0)
    # Not because it had come to its end.
    assert server.load()["generated"] < 10_000
    small = {**LONG, "max_tokens": 3}
    assert server.post("/v1/completions", small).status == 200


def test_a_client_that_leaves_the_queue_is_forgotten(server: Running) -> None:
    with asking(server, LONG):
        until(lambda: server.load()["running"] == 1)
        with asking(server, LONG):
            until(lambda: server.load()["waiting"] == 1)
        until(lambda: server.load()["waiting"] == 0)
        assert server.load()["running"] == 1


def test_a_full_queue_says_when_to_come_back(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        for waiting in (0, 1, 2):
            stack.enter_context(asking(server, LONG))
            until(lambda: server.load()["running"] == 1)
            until(lambda waiting=waiting: server.load()["waiting"] == waiting)  # type: ignore[misc]
        for stream in (True, False):
            refused = server.post("/v1/completions", {**LONG, "stream": stream})
            assert refused.status == 503 and int(refused.headers["retry-after"]) > 0
            assert refused.error["code"] == "queue_full"
        # What one request would put into it beyond the limit is taken out again.
        many = server.post("/v1/completions", {**LONG, "n": 5})
        assert many.status == 503
        assert server.load() == {**server.load(), "running": 1, "waiting": 2}
    until(lambda: server.load()["running"] == server.load()["waiting"] == 0)


def test_a_reader_that_does_not_read_delays_no_one(server: Running) -> None:
    with asking(server, {**LONG, "stream": True, "max_tokens": 600}):
        until(lambda: server.load()["generated"] > 0)
        quick = server.post("/v1/completions", {**LONG, "max_tokens": 2})
        assert quick.status == 200
        until(lambda: server.load()["running"] == 0)


def test_a_request_ends_after_its_time(folder: Path, tmp_path: Path) -> None:
    limits = Limits(seconds=4.0, max_tokens=20_000)
    with (
        ThreadPoolExecutor(2) as pool,
        world.running([folder], tmp_path / "store.sqlite", limits=limits) as server,
    ):
        # Reading the model is no part of it.
        server.post("/v1/completions", {**LONG, "max_tokens": 1})
        asked = [
            pool.submit(server.post, "/v1/completions", {**LONG, "stream": stream})
            for stream in (False, True)
        ]
        late, streamed = (one.result() for one in asked)
        assert late.status == 504 and late.error["code"] == "timeout"
        # What has begun to come cannot change its status: the error is its last event.
        *_, last, end = streamed.text.split("\n\n")
        assert end == "" and json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"
        assert "[DONE]" not in streamed.text
        until(lambda: server.load()["running"] == 0)


def test_a_body_may_not_be_large(server: Running) -> None:
    body = json.dumps({**LONG, "prompt": "x" * 30_000}).encode()
    kind = {"Content-Type": "application/json"}
    assert server.send("POST", "/v1/completions", body, kind).status == 413
    # Nor come in parts that never say how large it is.
    with socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw:
        raw.sendall(
            f"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
            + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            for _ in range(30):
                raw.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
        assert b" 413 " in raw.recv(4096)


@pytest.mark.parametrize("length", ["-1", "many", "1" * 400])
def test_a_length_that_is_none_is_refused(server: Running, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw:
        raw.sendall(
            f"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{}}".encode()
        )
        assert raw.recv(4096).split()[1] in (b"400", b"413")


def test_a_body_that_does_not_come_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    limits = Limits(body_seconds=0.5)
    with (
        world.running([folder], tmp_path / "store.sqlite", limits=limits) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw,
    ):
        raw.sendall(
            f"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{".encode()
        )
        assert b" 408 " in raw.recv(4096)


def test_a_server_that_ends_tells_who_waits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.serve.server._LAST_SECONDS", world.PATIENCE)
    with (
        ThreadPoolExecutor(2) as pool,
        world.running([folder], tmp_path / "store.sqlite", limits=LIMITS) as server,
    ):
        asked = [pool.submit(server.post, "/v1/completions", LONG) for _ in range(2)]
        until(lambda: server.load()["running"] == server.load()["waiting"] == 1)
    assert [one.result().status for one in asked] == [503, 503]


def test_a_server_that_ends_while_a_model_is_read_tells_who_waits(
    folder: Path, tmp_path: Path
) -> None:
    reading, end = threading.Event(), threading.Event()

    def slow(served: ServedModel) -> None:
        reading.set()
        assert end.wait(world.PATIENCE)

    async def ask(models: Models) -> str:
        opening = [asyncio.ensure_future(models.open("long")) for _ in range(2)]
        await asyncio.to_thread(reading.wait, world.PATIENCE)
        models.close()
        found = await asyncio.gather(*opening, return_exceptions=True)
        end.set()
        return " ".join(type(one).__name__ for one in found)

    models = Models(lambda: [world.served(folder)], check=slow)
    models.start()
    assert asyncio.run(ask(models)) == "Busy Busy"


@pytest.mark.parametrize("begun", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: "])
def test_a_connection_without_a_request_gives_its_place_back(
    folder: Path, tmp_path: Path, begun: bytes
) -> None:
    limits = Limits(connections=4, header_seconds=0.3)
    with (
        world.running([folder], tmp_path / "store.sqlite", limits=limits) as server,
        contextlib.ExitStack() as stack,
    ):
        silent = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE)
            )
            for _ in range(4)
        ]
        for one in silent:
            one.sendall(begun)

        def answers() -> bool:
            try:
                return server.send("GET", "/health").status == 200
            except ConnectionError:  # closed as one that took too long itself
                return False

        until(answers)
        assert [one.recv(4096) for one in silent] == [b""] * 4


def test_an_answer_that_takes_long_is_not_cut_off(folder: Path, tmp_path: Path) -> None:
    limits = Limits(header_seconds=1.0, max_tokens=20_000)
    with world.running([folder], tmp_path / "store.sqlite", limits=limits) as server:
        for _ in range(5):
            # Where the machine stands still its headers may come too late themselves.
            with contextlib.suppress(ConnectionError):
                made = server.post("/v1/completions", {**LONG, "max_tokens": 1500})
                break
        else:
            pytest.fail("it was cut off each time")
        assert made.json()["usage"]["completion_tokens"] == 1500


def test_headers_may_not_be_large(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b" 400 " in raw.recv(4096)
    assert server.get("/health").status == 200


@pytest.mark.parametrize("ends", [False, True])
def test_a_reader_that_takes_nothing_is_cut_off(ends: bool) -> None:
    """ends: the answer is whole, and a part of it, less than what stops its writing, is left."""
    asked, written = threading.Event(), threading.Event()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        asked.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        left = 0
        while not (ends and left) and (left or not written.is_set()):
            await send({"type": "http.response.body", "body": bytes(8192), "more_body": True})
            (connection,) = server.server_state.connections
            left = connection.transport.get_write_buffer_size()
        written.set()
        await send({"type": "http.response.body", "body": b""})

    limits = Limits(write_seconds=0.3)
    server = Server(large, Models(list, limits=limits))
    listening = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        until(lambda: server.started)
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(world.PATIENCE)
            raw.connect(listening.getsockname())
            raw.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert asked.wait(world.PATIENCE)
            until(lambda: not server.server_state.connections)
            assert written.is_set() == ends
        # One that reads gets its answer whole.
        written.set()
        with socket.create_connection(listening.getsockname(), timeout=world.PATIENCE) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            taken = b""
            while part := raw.recv(1 << 16):
                taken += part
            assert taken.endswith(b"\r\n0\r\n\r\n")
    finally:
        server.should_exit = True
        thread.join(world.PATIENCE)
        listening.close()
    assert not thread.is_alive()
