"""Votes and labels: counted once, kept through a kill, and what damage and age look like."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gristmill.align.chats import read_preferences
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.serve.store import Spent, Store, Unkept, UnknownBattle, labels_hash


def pair(name: str, **more: object) -> dict[str, object]:
    return {
        "id": name, "group": f"g-{name}", "kind": "topic", "truth": {},
        "messages": [{"role": "user", "content": f"What is {name}?"}],
        "first": {"content": "One.", "stopped": True},
        "second": {"content": "Two.", "stopped": False}, **more,
    }  # fmt: skip


def fought(store: Store, models: tuple[str, ...] = ("x", "y")) -> str:
    battle = store.begin_battle(models, "Why?")
    store.answered(battle.id, "because", "so")
    return battle.id


def test_a_vote_counts_once_and_not_before_the_answers(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    battle = store.begin_battle(("x", "y"), "Why?")
    with pytest.raises(UnknownBattle):
        store.vote(battle.id, "a")
    store.answered(battle.id, "because", "so")
    assert store.vote(battle.id, "b") == battle
    for winner in ("b", "a"):
        with pytest.raises(Spent):
            store.vote(battle.id, winner)  # type: ignore[arg-type]
    # What it said cannot be changed afterwards either.
    store.answered(battle.id, "other", "other")
    store.abandon(battle.id)
    with pytest.raises(UnknownBattle):
        store.vote("no-such-battle", "a")
    with pytest.raises(GristmillError):
        store.vote(fought(store), "model_a")  # type: ignore[arg-type]
    (told,) = store.battles()
    assert told["winner"] == "b" and told["answer_a"] == "because" and told["judge"] == "person"
    assert {told["model_a"], told["model_b"]} == {"x", "y"}


def test_of_many_threads_that_vote_at_once_one_counts(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    name = fought(store)
    ended: list[str] = []

    def vote() -> None:
        try:
            store.vote(name, "a")
            ended.append("counted")
        except Spent:
            ended.append("spent")

    threads = [threading.Thread(target=vote) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["counted"] + ["spent"] * 11 and len(store.battles()) == 1


def test_threads_that_end_leave_no_file_open(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    for _ in range(30):
        thread = threading.Thread(target=store.battles)
        thread.start()
        thread.join()
    assert len(store._opened) == 1


def test_a_full_disk_is_said_and_forgotten(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    store.label(pair("p"), "first")
    name = fought(store)
    (pages,) = store._connection().execute("PRAGMA page_count").fetchone()
    store._connection().execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(Unkept, match="full"):
            store.label(pair("q", kind="x" * 100_000), "first")
    store._connection().execute(f"PRAGMA max_page_count = {pages + 1000}")
    store.label(pair("r"), "tie")
    assert store.labelled() == {"p": "first", "r": "tie"}
    assert store.vote(name, "a").id == name


def test_a_file_that_another_holds_is_said_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.serve.store._BUSY_SECONDS", 0.05)
    path = tmp_path / "store.sqlite"
    store = Store.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unkept, match="another process"):
        store.label(pair("p"), "first")
    # What only reads does not wait.
    assert store.labelled() == {}
    other.execute("ROLLBACK")
    other.close()
    store.label(pair("p"), "first")
    assert store.labelled() == {"p": "first"}


def test_models_and_sides_are_drawn_evenly_and_ids_say_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite", chance=random.Random(3))
    drawn = [store.begin_battle(("x", "y", "z"), "Why?") for _ in range(300)]
    sides = [(battle.model_a, battle.model_b) for battle in drawn]
    assert len(set(sides)) == 6 and min(sides.count(one) for one in set(sides)) > 25
    assert len({battle.id for battle in drawn}) == 300
    again = Store.open(tmp_path / "again.sqlite", chance=random.Random(3))
    other = [again.begin_battle(("x", "y", "z"), "Why?") for _ in range(300)]
    assert [(b.model_a, b.model_b) for b in other] == sides
    assert not {b.id for b in other} & {b.id for b in drawn}
    with pytest.raises(GristmillError):
        store.begin_battle(("x", "x"), "Why?")


def test_labels_become_preferences_and_can_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store.open(path)
    choices = {"p": "first", "q": "second", "r": "tie", "s": "skip"}
    for name, choice in choices.items():
        store.label(pair(name), choice)  # type: ignore[arg-type]
    assert store.labelled() == choices
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(line) + "\n" for line in store.preferences()))
    found, rejects = read_preferences(lines)
    assert not rejects and [one.id for one in found] == ["p", "q"]
    assert [one.chosen.content for one in found] == ["One.", "Two."]
    assert found[1].source == "hand" and not found[1].chosen.stopped and found[1].rejected.stopped
    before = labels_hash(path)
    store.label(pair("q"), "first")
    assert len(store.preferences()) == 2 and labels_hash(path) != before
    assert store.undo_label() == "q" and store.undo_label() == "s" and store.undo_label() == "r"
    assert store.labelled() == {"p": "first"}
    assert store.undo_label() == "p" and store.undo_label() is None


def test_identity_is_of_labels_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store.open(path)
    store.label(pair("p"), "first")
    before = labels_hash(path)
    store.vote(fought(store), "tie")
    store.label(pair("q"), "tie")
    assert labels_hash(path) == before


_VOTER = """
import sys
from gristmill.serve.store import Store
store = Store.open(sys.argv[1])
while True:
    battle = store.begin_battle(("x", "y"), "Why?")
    store.answered(battle.id, "because", "so")
    store.vote(battle.id, "a")
    store.label({"id": battle.id, "messages": [], "first": {}, "second": {}}, "first")
    print(battle.id, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_kill_loses_no_acknowledged_vote(tmp_path: Path) -> None:
    path = tmp_path / "serve" / "store.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _VOTER, str(path)], stdout=subprocess.PIPE, text=True
    ) as voter:
        assert voter.stdout is not None
        told = [voter.stdout.readline().strip() for _ in range(25)]
        voter.send_signal(signal.SIGKILL)
        told += voter.stdout.read().split("\n")
    acknowledged = {name for name in told if len(name) == len(told[0])}
    assert len(acknowledged) >= 25
    store = Store.open(path)
    assert acknowledged <= {battle["id"] for battle in store.battles()}
    assert acknowledged <= set(store.labelled())
    store.vote(fought(store), "b")


def test_a_damaged_foreign_or_newer_file_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    store = Store.open(damaged)
    for number in range(200):
        store.label(pair(str(number), kind="x" * 200), "first")
    store.close()
    content = bytearray(damaged.read_bytes())
    content[4096:20_000] = b"\xff" * (20_000 - 4096)
    damaged.write_bytes(content)
    text = tmp_path / "text.sqlite"
    text.write_text("no database at all, " * 100)
    for path in (damaged, text):
        with pytest.raises(DamagedArtifact):
            Store.open(path)
    foreign, newer = tmp_path / "foreign.sqlite", tmp_path / "newer.sqlite"
    for path, statement in (
        (foreign, "CREATE TABLE t (x)"), (newer, "PRAGMA user_version = 99"),
    ):  # fmt: skip
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        with pytest.raises(GristmillError):
            Store.open(path)
    with pytest.raises(GristmillError):
        Store.open(tmp_path / "none.sqlite", create=False)
    assert not (tmp_path / "none.sqlite").exists()
