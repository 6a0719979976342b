"""What the store keeps, for how long, and how it writes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from gristmill.serve.store import _SCHEMA, Store


def test_votes_are_kept_and_battles_without_one_forgotten_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store.open(path)
    voted, left = (store.begin_battle(("x", "y"), "Why?") for _ in range(2))
    for battle in (voted, left):
        store.answered(battle.id, "because", "so")
    store.vote(voted.id, "a")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE votes SET begun = begun - 90000, time = time - 90000")
    connection.close()
    young = store.begin_battle(("x", "y"), "Why?")
    with sqlite3.connect(path) as connection:
        kept = {name for (name,) in connection.execute("SELECT id FROM votes")}
    connection.close()
    assert kept == {voted.id, young.id}
    assert [battle["id"] for battle in store.battles()] == [voted.id]


def test_it_writes_through_to_the_disk_and_readers_do_not_wait(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    connection = store._connection()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    full = 2
    assert connection.execute("PRAGMA synchronous").fetchone() == (full,)


def test_a_change_that_reads_first_holds_the_file_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store.open(path)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with store._change() as connection:
        connection.execute("SELECT count(*) FROM labels").fetchone()
        # Else what it is about to write could rest on what is no longer so.
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_vote_keeps_the_fingerprints_of_its_models(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    prints = {"sft": "aaa", "dpo": "bbb"}
    for _ in range(8):
        battle = store.begin_battle(prints, "Why?")
        store.answered(battle.id, "because", "so")
        store.vote(battle.id, "a")
    for kept in store.battles():
        assert kept["fingerprint_a"] == prints[kept["model_a"]]
        assert kept["fingerprint_b"] == prints[kept["model_b"]]
    store.close()


def test_a_store_of_the_version_before_keeps_its_votes(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        for column in ("fingerprint_a", "fingerprint_b"):
            assert column in _SCHEMA
        lines = [line for line in _SCHEMA.splitlines() if "fingerprint" not in line]
        schema = "\n".join(lines).replace("time REAL,\n)", "time REAL\n)")
        old.executescript(schema)
        old.execute("PRAGMA user_version = 1")
        old.execute(
            "INSERT INTO votes (id, model_a, model_b, prompt, answer_a, answer_b, begun, winner, "
            "time) VALUES ('one', 'x', 'y', 'Why?', 'because', 'so', 1.0, 'b', 2.0)"
        )
    for _ in range(2):
        store = Store.open(path)
        (kept,) = store.battles()
        assert (kept["id"], kept["winner"], kept["fingerprint_a"]) == ("one", "b", "")
        assert store.begin_battle({"x": "1", "y": "2"}, "Why?").id
        store.close()
