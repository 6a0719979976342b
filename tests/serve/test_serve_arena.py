"""A battle from its prompt to its vote: each side's words and votes are its own model's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serve_world import Running, running, until, write_model

from gristmill.cli.serve_view import open_view
from gristmill.serve.app import Context, Settings
from gristmill.serve.arena_page import _fight
from gristmill.serve.service import Models
from gristmill.serve.store import Store

PROMPT = "Who ground the barley?"
SURE = {"temperature": 0, "max_tokens": 16}


@dataclass(frozen=True)
class Arena:
    server: Running
    store: Path

    def fight(self, prompt: str = PROMPT) -> list[dict[str, Any]]:
        answer = self.server.post("/api/battles", {**SURE, "prompt": prompt})
        assert answer.status == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def says(self, name: str) -> str:
        """What a model answers on the chat page."""
        messages = [{"role": "user", "content": PROMPT}]
        answer = self.server.post("/api/chat", {**SURE, "model": name, "messages": messages})
        said: str = json.loads(answer.text.splitlines()[-1])["said"]
        return said

    def unvoted(self) -> int:
        with sqlite3.connect(self.store) as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM votes WHERE winner IS NULL"
            ).fetchone()
        connection.close()
        return int(count)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    folder = tmp_path_factory.mktemp("arena")
    models = [
        write_model(folder / name, assistant=True, seed=seed, context=context)
        for name, seed, context in (("emmer", 1, 192), ("einkorn", 2, 120))
    ]
    with running(models, folder / "store.sqlite") as server:
        yield Arena(server, folder / "store.sqlite")


def test_a_vote_is_for_the_model_that_said_it(arena: Arena) -> None:
    own = {name: arena.says(name) for name in ("emmer", "einkorn")}
    assert own["emmer"] != own["einkorn"]
    sides = set()
    for number in range(8):
        lines = arena.fight()
        said = {
            side: "".join(line.get("text", "") for line in lines if line.get("side") == side)
            for side in "ab"
        }
        winner = "ab"[number % 2]
        name = lines[0]["battle"]
        told = arena.server.post(f"/api/battles/{name}/vote", {"winner": winner}).json()
        assert {side: own[told[side]] for side in "ab"} == said
        assert told["winner"] == winner
        store = Store.open(arena.store)
        (kept,) = [battle for battle in store.battles() if battle["id"] == name]
        store.close()
        assert (kept["model_a"], kept["model_b"]) == (told["a"], told["b"])
        assert (kept["answer_a"], kept["answer_b"]) == (said["a"], said["b"])
        assert (kept["winner"], kept["prompt"]) == (winner, PROMPT)
        sides.add(told["a"])
    assert arena.unvoted() == 0
    assert sides == {"emmer", "einkorn"}


def test_what_one_of_two_cannot_answer_tells_nothing_and_is_forgotten(arena: Arena) -> None:
    # It fits one of the two: how long a prompt may be would tell which is which.
    (told,) = arena.fight("x" * 130)
    assert set(told) == {"error"}
    assert not any(letter.isdigit() for letter in json.dumps(told))
    until(lambda: arena.unvoted() == 0)


def test_a_battle_that_failed_is_forgotten_beside_the_loop(tmp_path: Path) -> None:
    # While another process writes, forgetting waits; in the loop all other readers would too.
    path = tmp_path / "store.sqlite"
    with (
        contextlib.closing(Store.open(path)) as store,
        contextlib.closing(
            sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        ) as other,
    ):
        context = Context(Models(list), open_view(None), store, Settings())
        battle = store.begin_battle(("x", "y"), PROMPT)

        def left() -> int:
            (count,) = other.execute("SELECT count(*) FROM votes").fetchone()
            return int(count)

        async def fight() -> None:
            other.execute("BEGIN IMMEDIATE")
            lines = [line async for line in _fight(context, battle, PROMPT, SURE)]
            assert [set(line) for line in lines] == [{"error"}]
            assert left() == 1
            other.execute("ROLLBACK")
            await asyncio.to_thread(until, lambda: left() == 0)

        asyncio.run(fight())
