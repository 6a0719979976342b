"""Every number of `Limits` has a refusal that names its field, or holds what it says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world
from serve_world import Running

from gristmill.serve.limits import Limits
from gristmill.serve.service import Models, ServedModel

LIMITS = Limits(
    prompts=3, choices=5, max_tokens=9, stops=2, stop_letters=8, messages=2, top_logprobs=4,
    header_bytes=2048,
)  # fmt: skip
HELLO = {"role": "user", "content": "Hello"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_model(tmp_path_factory.mktemp("models") / "helper", assistant=True)


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    store = tmp_path_factory.mktemp("store") / "store.sqlite"
    with world.running([folder], store, limits=LIMITS) as running:
        yield running


@pytest.mark.parametrize(
    ("most", "more", "param"),
    [
        ({"prompt": ["x"] * 3}, {"prompt": ["x"] * 4}, "prompt"),
        ({"n": 5}, {"n": 6}, "n"),
        ({"prompt": ["x"] * 2, "n": 2}, {"prompt": ["x"] * 2, "n": 3}, "n"),
        ({"max_tokens": 9}, {"max_tokens": 10}, "max_tokens"),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b", "c"]}, "stop"),
        ({"stop": "x" * 8}, {"stop": "x" * 9}, "stop"),
        ({"logprobs": 4}, {"logprobs": 5}, "logprobs"),
    ],
)
def test_as_much_as_the_limit_is_given_and_no_more(
    server: Running, most: dict[str, Any], more: dict[str, Any], param: str
) -> None:
    sound = {"model": "helper", "prompt": "x", "max_tokens": 1}
    assert server.post("/v1/completions", {**sound, **most}).status == 200
    refused = server.post("/v1/completions", {**sound, **more})
    assert (refused.status, refused.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("most", "more", "param"),
    [
        ({"messages": [HELLO] * 2}, {"messages": [HELLO] * 3}, "messages"),
        (
            {"max_tokens": 1, "max_completion_tokens": 9},
            {"max_tokens": 1, "max_completion_tokens": 10},
            "max_completion_tokens",
        ),
        (
            {"logprobs": True, "top_logprobs": 4},
            {"logprobs": True, "top_logprobs": 5},
            "top_logprobs",
        ),
    ],
)
def test_a_chat_too(
    server: Running, most: dict[str, Any], more: dict[str, Any], param: str
) -> None:
    sound = {"model": "helper", "messages": [HELLO], "max_tokens": 1}
    assert server.post("/v1/chat/completions", {**sound, **most}).status == 200
    refused = server.post("/v1/chat/completions", {**sound, **more})
    assert (refused.status, refused.error["param"]) == (400, param)


def test_a_developer_speaks_as_the_system(server: Running) -> None:
    def ids(role: str) -> list[int]:
        messages = [{"role": role, "content": "Be short."}, HELLO]
        answer = server.post("/tokenize", {"model": "helper", "messages": messages})
        found: list[int] = answer.json()["tokens"]
        return found

    assert ids("developer") == ids("system") != ids("user")


def test_headers_that_do_not_end_are_not_waited_for(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 8192)
        assert b" 400 " in raw.recv(4096)


def test_of_too_many_connections_the_last_is_told(folder: Path, tmp_path: Path) -> None:
    limits = Limits(connections=4)
    with (
        world.running([folder], tmp_path / "store.sqlite", limits=limits) as server,
        contextlib.ExitStack() as stack,
    ):
        assert server.get("/health").status == 200
        for _ in range(4):
            place = ("127.0.0.1", server.port)
            stack.enter_context(socket.create_connection(place, timeout=world.PATIENCE))

        def refused() -> bool:
            try:
                return server.get("/health").status == 503
            except ConnectionError:  # closed before the request was written
                return False

        world.until(refused)


def test_the_model_that_was_asked_for_last_goes_last(tmp_path: Path) -> None:
    read: Counter[str] = Counter()
    folders = [world.write_model(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]

    def check(served: ServedModel) -> None:
        read[served.name] += 1

    models = Models(
        lambda: [world.served(folder) for folder in folders],
        limits=Limits(loaded_models=2), device="cpu", check=check,
    )  # fmt: skip

    async def ask(names: str) -> None:
        for name in names:
            await models.open(name)

    asyncio.run(ask("abaca"))
    assert read == {"a": 1, "b": 1, "c": 1}
    asyncio.run(ask("b"))
    assert read == {"a": 1, "b": 2, "c": 1}
    models.close()
