"""Votes and labels in one SQLite file: what people said about answers, kept safe.

A battle knows from its beginning which model is on which side; nobody else does until the vote,
and the vote spends the battle: both in one transaction, so that a vote counts once. What was
acknowledged is on the disk (WAL, `synchronous=FULL`): a kill a moment later loses nothing of it.
One connection a thread; several processes may have the file open.
"""

from __future__ import annotations

import json
import random
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gristmill.core.canonical import hash_json
from gristmill.core.errors import DamagedArtifact, GristmillError

Winner = Literal["a", "b", "tie", "both_bad"]
Choice = Literal["first", "second", "tie", "skip"]

FILE = Path("serve") / "store.sqlite"
"""Where it lies in a workspace."""

_VERSION = 2
_BUSY_SECONDS = 10.0
_FORGET_SECONDS = 24 * 3600.0
"""A battle that nobody voted on is forgotten after this long."""

_SCHEMA = """
CREATE TABLE votes (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  model_a TEXT NOT NULL,
  model_b TEXT NOT NULL,
  prompt TEXT NOT NULL,
  answer_a TEXT,
  answer_b TEXT,
  begun REAL NOT NULL,
  winner TEXT CHECK (winner IN ('a', 'b', 'tie', 'both_bad')),
  time REAL,
  fingerprint_a TEXT NOT NULL DEFAULT '',
  fingerprint_b TEXT NOT NULL DEFAULT ''
);
CREATE TABLE labels (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  pair TEXT NOT NULL UNIQUE,
  choice TEXT NOT NULL CHECK (choice IN ('first', 'second', 'tie', 'skip')),
  content TEXT NOT NULL,
  time REAL NOT NULL
);
CREATE TABLE pairs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  content TEXT NOT NULL
);
"""


# What makes a file of the version before into one of this version.
_LATER = {
    1: (
        "ALTER TABLE votes ADD COLUMN fingerprint_a TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE votes ADD COLUMN fingerprint_b TEXT NOT NULL DEFAULT ''",
    )
}


class Spent(GristmillError):
    """The battle has its vote already."""


class UnknownBattle(GristmillError):
    """No battle of that id, or one whose answers are not there yet."""


class Unkept(GristmillError):
    """The file cannot be read or written just now: no room, no right, or another holds it."""


@dataclass(frozen=True)
class Battle:
    """Two models that answer one prompt. Its id says nothing about them."""

    id: str
    model_a: str
    model_b: str


class Store:
    """The votes and labels of a workspace; see `Store.open`."""

    def __init__(self, path: Path, chance: random.Random | None = None):
        self.path = path
        self._chance = chance or random.SystemRandom()
        self._local = threading.local()
        self._opened: weakref.WeakSet[_Own] = weakref.WeakSet()
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, path: Path | str, *, create: bool = True, chance: random.Random | None = None
    ) -> Store:
        """The store in `path`, checked; made where it is missing, unless `create` is false.

        chance: what draws models and sides; the operating system's secret source by default.
        Raises GristmillError for a missing, damaged or newer file, Unkept for one that cannot be
        written.
        """
        path = Path(path)
        if not path.is_file():
            if not create:
                raise GristmillError(
                    "no votes and labels here", where=path, mend="make some with gristmill serve"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
        store = cls(path, chance)
        try:
            store._prepare()
        except sqlite3.OperationalError as error:
            store.close()
            raise _unkept(error, path) from None
        except sqlite3.DatabaseError as error:
            store.close()
            raise DamagedArtifact(
                f"damaged votes and labels: {error}",
                where=path,
                mend="put a copy of it back, or move it away to begin anew",
            ) from None
        except GristmillError:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Closes every thread's connection."""
        with self._lock:
            for own in list(self._opened):
                own.connection.close()
            self._opened.clear()
            self._local = threading.local()

    # Battles.

    def begin_battle(self, models: Mapping[str, str] | Sequence[str], prompt: str) -> Battle:
        """Draws two of `models`, and who of them is A. Raises GristmillError for fewer than two.

        models: names, or names with a fingerprint of the weights, which is kept beside the name.
        """
        prints = models if isinstance(models, Mapping) else dict.fromkeys(models, "")
        names = sorted(prints)
        if len(names) < 2:
            raise GristmillError("an arena needs two models")
        model_a, model_b = self._chance.sample(names, 2)
        battle = Battle(secrets.token_urlsafe(16), model_a, model_b)
        now = time.time()
        with self._change() as connection:
            connection.execute(
                "DELETE FROM votes WHERE winner IS NULL AND begun < ?", (now - _FORGET_SECONDS,)
            )
            connection.execute(
                "INSERT INTO votes (id, model_a, model_b, prompt, begun, fingerprint_a, "
                "fingerprint_b) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (battle.id, model_a, model_b, prompt, now, prints[model_a], prints[model_b]),
            )
        return battle

    def answered(self, battle_id: str, answer_a: str, answer_b: str) -> None:
        """What the two said: from now on the battle can be voted on."""
        with self._change() as connection:
            connection.execute(
                "UPDATE votes SET answer_a = ?, answer_b = ? WHERE id = ? AND winner IS NULL",
                (answer_a, answer_b, battle_id),
            )

    def abandon(self, battle_id: str) -> None:
        """Forgets a battle without a vote."""
        with self._change() as connection:
            connection.execute("DELETE FROM votes WHERE id = ? AND winner IS NULL", (battle_id,))

    def vote(self, battle_id: str, winner: Winner) -> Battle:
        """Counts the vote and tells who fought. Raises Spent, UnknownBattle."""
        if winner not in get_args(Winner):
            raise GristmillError(f"a vote is one of {', '.join(get_args(Winner))}")
        with self._change() as connection:
            done = connection.execute(
                "UPDATE votes SET winner = ?, time = ? WHERE id = ? AND winner IS NULL "
                "AND answer_a IS NOT NULL AND answer_b IS NOT NULL",
                (winner, time.time(), battle_id),
            )
            row = connection.execute(
                "SELECT model_a, model_b, winner FROM votes WHERE id = ?", (battle_id,)
            ).fetchone()
        if done.rowcount == 1:
            return Battle(battle_id, row[0], row[1])
        if row is not None and row[2] is not None:
            raise Spent("this battle has its vote", mend="begin a new one")
        raise UnknownBattle("no such battle to vote on", mend="begin a new one")

    def battles(self) -> list[dict[str, Any]]:
        """Every vote in order: id, model_a, model_b, winner, prompt, answer_a, answer_b, judge,
        time (seconds since 1970), fingerprint_a, fingerprint_b (empty where not known)."""
        names = (
            "id", "model_a", "model_b", "winner", "prompt", "answer_a", "answer_b", "time",
            "fingerprint_a", "fingerprint_b",
        )  # fmt: skip
        rows = self._read(
            f"SELECT {', '.join(names)} FROM votes WHERE winner IS NOT NULL ORDER BY time, number"
        )
        return [{**dict(zip(names, row, strict=True)), "judge": "person"} for row in rows]

    # Labels.

    def add_pair(self, pair: Mapping[str, Any]) -> None:
        """Keeps a pair that was made on the page; `pairs()` gives it back."""
        with self._change() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO pairs (id, content) VALUES (?, ?)",
                (str(pair["id"]), json.dumps(pair, ensure_ascii=False, sort_keys=True)),
            )

    def pairs(self) -> list[dict[str, Any]]:
        """The pairs that were made on the page, in order."""
        rows = self._read("SELECT content FROM pairs ORDER BY number")
        return [json.loads(content) for (content,) in rows]

    def label(self, pair: Mapping[str, Any], choice: Choice) -> None:
        """What a person said of a pair; said again, the last word counts.

        pair: {"id", "group", "kind", "messages", "truth", "first", "second"}.
        """
        if choice not in get_args(Choice):
            raise GristmillError(f"a label is one of {', '.join(get_args(Choice))}")
        content = json.dumps(pair, ensure_ascii=False, sort_keys=True)
        with self._change() as connection:
            connection.execute("DELETE FROM labels WHERE pair = ?", (str(pair["id"]),))
            connection.execute(
                "INSERT INTO labels (pair, choice, content, time) VALUES (?, ?, ?, ?)",
                (str(pair["id"]), choice, content, time.time()),
            )

    def undo_label(self) -> str | None:
        """Takes the last label back; returns the id of its pair."""
        with self._change() as connection:
            row = connection.execute(
                "SELECT number, pair FROM labels ORDER BY number DESC LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM labels WHERE number = ?", (row[0],))
        return str(row[1])

    def labelled(self) -> dict[str, str]:
        """The choice of each pair that has one, by the pair's id."""
        rows = self._read("SELECT pair, choice FROM labels ORDER BY number")
        return {str(pair): str(choice) for pair, choice in rows}

    def preferences(self) -> list[dict[str, Any]]:
        """The labels that prefer one answer, as lines of preferences; ties and skips are none."""
        rows = self._read(
            "SELECT choice, content FROM labels WHERE choice IN ('first', 'second') ORDER BY number"
        )
        return [_preference(str(choice), json.loads(content)) for choice, content in rows]

    # The file.

    def _prepare(self) -> None:
        connection = self._connection()
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        with self._change() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise GristmillError(
                    f"written by a newer gristmill (version {version}, this one knows {_VERSION})",
                    where=self.path,
                    mend="use that one",
                )
            if version == 0:
                tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if tables[0]:
                    raise GristmillError(
                        "a database of something else", where=self.path, mend="give another path"
                    )
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            for old in range(version or _VERSION, _VERSION):
                for statement in _LATER[old]:
                    connection.execute(statement)
            if version < _VERSION:
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _connection(self) -> sqlite3.Connection:
        own: _Own | None = getattr(self._local, "own", None)
        if own is None:
            # Each thread uses its own alone; `close` may be called from another one.
            connection = sqlite3.connect(
                self.path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            own = _Own(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Kept by its thread alone, so that it ends with it: a server's threads come and go.
            self._local.own = own
            with self._lock:
                self._opened.add(own)
        return own.connection

    def _read(self, query: str) -> list[Any]:
        try:
            return self._connection().execute(query).fetchall()
        except sqlite3.OperationalError as error:
            raise _unkept(error, self.path) from None

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: whole, or not at all. Raises Unkept."""
        try:
            connection = self._connection()
            # IMMEDIATE, so that a second writer waits at the beginning, where waiting is allowed.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                # Where the disk is full SQLite has ended it by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise _unkept(error, self.path) from None


class _Own:
    """A thread's connection, closed when nothing has it any more."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


def _unkept(error: sqlite3.OperationalError, path: Path) -> Unkept:
    if "locked" in str(error):
        return Unkept("another process holds it", where=path, mend="wait for it, and try again")
    return Unkept(
        f"votes and labels cannot be kept: {error}",
        where=path,
        mend="make room, or its folder writable",
    )


def labels_hash(path: Path) -> str:
    """The identity of a store's labels, whatever else is in the file and when they were given."""
    store = Store.open(path, create=False)
    try:
        return hash_json(store.preferences())
    finally:
        store.close()


def _preference(choice: str, pair: Mapping[str, Any]) -> dict[str, Any]:
    chosen, rejected = ("first", "second") if choice == "first" else ("second", "first")
    about = {key: pair[key] for key in ("id", "group", "kind", "truth") if pair.get(key)}
    return {
        **about,
        "messages": pair["messages"],
        "chosen": pair[chosen],
        "rejected": pair[rejected],
        "source": "hand",
    }
