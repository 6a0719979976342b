"""What the store keeps, for how long, and how it writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gristmill.serve.store import Store


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
