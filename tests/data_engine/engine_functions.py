"""Functions that the engine's tests run in worker processes; documents are strings."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow as pa

from gristmill.core.errors import GristmillError


def upper(batch: list[str]) -> list[str]:
    return [text.upper() for text in batch]


def hostile(batch: list[str]) -> list[str]:
    """Does to its process what a document asks for."""
    out = []
    for text in batch:
        if text == "raise":
            raise KeyError("bad page")
        if text == "slow" and len(batch) == 1:
            time.sleep(2)
        if text == "hang":
            time.sleep(600)
        if text == "swell":
            hoard = []
            while True:
                hoard.append(b"x" * (8 << 20))
        if text == "crash":
            os.abort()
        if text == "exit":
            os._exit(3)
        out.append(text.upper())
    return out


def swell_natively(batch: list[str]) -> list[str]:
    """Grows past the limit in small steps that never fail by themselves."""
    hoard = [bytearray(1 << 20) for _ in range(400 if "swell" in batch else 1)]
    if len(hoard) > 1:
        time.sleep(250)
    return [text.upper() for text in batch]


class KilledOnce:
    """Kills its own process, as `kill -9` from outside would, `times` times in all."""

    def __init__(self, folder: str, times: int):
        self.folder, self.times = folder, times

    def __call__(self, batch: list[str]) -> list[str]:
        if "victim" in batch:
            kills = len(list(Path(self.folder).iterdir()))
            if kills < self.times:
                (Path(self.folder) / str(kills)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return [text.upper() for text in batch]


class NotePid:
    """Tells the process; the first that comes waits for another to come beside it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, batch: list[int]) -> list[int]:
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < 2:
            time.sleep(0.01)
        time.sleep(0.05)
        return [os.getpid() for _ in batch]


def users_mistake(batch: list[str]) -> list[str]:
    raise GristmillError("no such list", where="words.txt")


def too_few(batch: list[str]) -> list[str]:
    return batch[1:]


def too_few_of_one(batch: list[str]) -> list[str]:
    return [] if batch == ["a"] else batch


def slowly(batch: list[str]) -> list[str]:
    """Computes: who sleeps is taken for one that hangs where a busy machine wakes it late."""
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
    return [text.upper() for text in batch]


def broken_setup() -> None:
    raise ValueError("no model")


def kill_setup() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def spread_numbers(folder: Path, partitions: int, part: tuple[int, ...]) -> pa.Table:
    """Rows (value, part) of a part's numbers; the first call of all ends its process."""
    victim = folder / "killed-once"
    if multiprocessing.parent_process() is not None and not victim.exists():
        victim.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    values = pa.array(part, pa.int64())
    return pa.table(
        {
            "value": values,
            "length": pa.array([len(part)] * len(part), pa.int64()),
            "partition": pa.array([value % partitions for value in part], pa.int64()),
        }
    )


def gather_numbers(folder: Path, partition: int, rows: pa.Table) -> dict[str, object]:
    """Writes the rows as they came."""
    (folder / f"{partition}.json").write_text(json.dumps(rows.to_pylist()), encoding="utf-8")
    return {"partition": partition, "rows": len(rows)}


def part_size(folder: Path, part: tuple[str, ...]) -> int:
    """How many letters a part has, written too; does what its texts ask for."""
    size = len("".join(hostile(list(part))))
    (folder / "-".join(part)).write_text(str(size), encoding="utf-8")
    return size
