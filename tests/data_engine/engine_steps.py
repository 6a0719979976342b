"""Steps over parts that the engine's tests run; a part is a text file, a document a line."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import engine_functions
import pyarrow as pa

from gristmill.data.engine import Failure


@dataclass(frozen=True)
class Lines:
    """Lines of a file, or by a slice some of them."""

    name: str
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> Lines:
        return replace(self, rows=self.rows[rows])


@dataclass
class Shout:
    """Upper case; a document that asks for it harms its process (`engine_functions.hostile`)."""

    folder: Path
    at_once: int = 4
    dies_in: str = ""
    """read or finish: where the process of a worker ends."""

    def setup(self) -> None:
        pass

    def read(self, part: Lines) -> pa.Table:
        self._die("read")
        lines = (self.folder / part.name).read_text("utf-8").splitlines()
        return pa.table({"text": pa.array([lines[row] for row in part.rows], pa.string())})

    def __call__(self, documents: pa.Table) -> pa.Table:
        texts = documents["text"].to_pylist()
        victim = self.folder / "killed-once"
        if "victim" in texts and not victim.exists():
            victim.touch()
            os.kill(os.getpid(), 9)
        if "hang" in texts:
            (self.folder / "hanging").touch()
        done = engine_functions.hostile([text.replace("victim", "a") for text in texts])
        return pa.table({"text": done, "failed": pa.nulls(len(done), pa.string())})

    def quarantined(self, count: int, reason: str) -> pa.Table:
        return pa.table(
            {
                "text": pa.nulls(count, pa.string()),
                "failed": pa.array([reason] * count, pa.string()),
            }
        )

    def finish(self, part: Lines, results: pa.Table, failures: Sequence[Failure]) -> dict[str, Any]:
        self._die("finish")
        out = self.folder / "out" / part.name
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(results.to_pylist()), encoding="utf-8")
        return {"part": part.name, "failed": [failure.position for failure in failures]}

    def _die(self, where: str) -> None:
        if self.dies_in == where and multiprocessing.parent_process() is not None:
            os.abort()


@dataclass
class FullDisk(Shout):
    """Cannot write."""

    def finish(self, part: Lines, results: pa.Table, failures: Sequence[Failure]) -> dict[str, Any]:
        raise OSError(28, "No space left on device")


def write_parts(folder: Path, *parts: Sequence[str]) -> list[Lines]:
    """Files with these lines."""
    made = []
    for number, lines in enumerate(parts):
        name = f"part-{number}"
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
        made.append(Lines(name, tuple(range(len(lines)))))
    return made
