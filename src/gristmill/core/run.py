"""Runs: folders of work that is still moving, which survive `kill -9`.

A run holds what a stage needs to go on (frontier, checkpoints, roll-outs). One process at a time
holds it. What is measured at the start is pinned in it, so that a resume is the same run.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gristmill.core.canonical import read_json, read_jsonl, write_json
from gristmill.core.errors import GristmillError

_PINNED = "pinned.json"
_ATTEMPTS = "attempts.jsonl"


class Run:
    """A folder that one process works in at a time."""

    def __init__(self, path: Path):
        self.path = path

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Adds one record to the JSON Lines file `name`, durably.

        A line that a crash cut off is dropped first, so that the file stays readable.
        """
        path = self.path / name
        with open(path, "ab+") as file:
            _cut_torn_line(file)
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self, name: str) -> list[Any]:
        """The whole records of the JSON Lines file `name`; none where it does not exist."""
        path = self.path / name
        return list(read_jsonl(path)) if path.exists() else []

    def pin(self, name: str, measure: Callable[[], Any]) -> Any:
        """A JSON value that is measured once and is the same in every later attempt."""
        path = self.path / _PINNED
        pinned = read_json(path) if path.exists() else {}
        if name not in pinned:
            pinned[name] = measure()
            write_json(path, pinned)
        return pinned[name]

    def begin_attempt(self) -> None:
        """Notes that an attempt starts now."""
        self.append(_ATTEMPTS, {"started": time.time()})

    def earlier_seconds(self) -> float:
        """Seconds of the attempts before this one: from each start to the last file it wrote."""
        starts = [attempt["started"] for attempt in self.read(_ATTEMPTS)]
        if not starts:
            return 0.0
        files = [path for path in self.path.rglob("*") if path.is_file()]
        last_write = max((path.stat().st_mtime for path in files), default=starts[-1])
        ends = [*starts[1:], last_write]
        # Between a kill and the next start nobody worked: count up to the next file at most.
        return sum(
            max(0.0, min(end, last_write) - start) for start, end in zip(starts, ends, strict=True)
        )

    def discard(self) -> None:
        """Removes the folder, after its artifact was sealed."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def holding(path: Path) -> Iterator[Run]:
    """The run in `path`, held by this process alone.

    Raises GristmillError where another process holds it. The hold ends with the process, however
    it ends.
    """
    path.mkdir(parents=True, exist_ok=True)
    with open(_lock_file(path), "a+b") as lock:
        if not _lock(lock):
            raise GristmillError(
                "another gristmill process is working on this",
                where=path,
                mend="wait for it, or stop it, and run again",
            )
        try:
            yield Run(path)
        finally:
            _unlock(lock)


def is_held(path: Path) -> bool:
    """Whether a process holds the run in `path`, or may: a lock that cannot be asked counts."""
    try:
        with open(_lock_file(path), "r+b") as lock:
            if not _lock(lock):
                return True
            _unlock(lock)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def ever_held(folder: Path) -> list[str]:
    """The names of all runs in `folder` that a process has held, sorted."""
    return [path.name[1 : -len(".lock")] for path in sorted(folder.glob(".*.lock"))]


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _cut_torn_line(file: IO[bytes]) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    position = size
    while position > 0:
        start = max(0, position - 4096)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            file.truncate(start + newline + 1)
            break
        position = start
    else:
        file.truncate(0)
    file.seek(0, os.SEEK_END)


if os.name == "nt":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
