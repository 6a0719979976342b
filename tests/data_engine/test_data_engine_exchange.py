"""Global steps and functions of whole parts: the same from any engine and number of workers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.engine import Failure, Limits
from gristmill.data.engine.exchange import Exchange, partition_of
from gristmill.data.engine.local import LocalEngine
from gristmill.data.engine.map_parts import map_parts

# Worker processes import the functions by name.
sys.path.insert(0, str(Path(__file__).parent))
from engine_functions import gather_numbers, hostile, part_size, spread_numbers

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
PARTITIONS = 5
Parts = list[tuple[int, ...]]


def numbers(seed: int) -> Parts:
    """Parts of unequal size, one of them empty; no number is 3 modulo PARTITIONS."""
    r = random.Random(seed)
    parts = [tuple(r.randrange(1000) for _ in range(r.randrange(60))) for _ in range(7)]
    return [tuple(n for n in part if n % PARTITIONS != 3) for part in parts] + [()]


def exchange_of(folder: Path) -> Exchange[tuple[int, ...]]:
    schema = pa.schema([("value", pa.int64()), ("length", pa.int64())])
    return Exchange(
        partial(spread_numbers, folder, PARTITIONS),
        partial(gather_numbers, folder),
        schema,
        PARTITIONS,
        ("value", "length"),
    )


def run(folder: Path, parts: Parts, workers: int, isolate: bool = True) -> tuple[list[Any], str]:
    folder.mkdir()
    engine = LocalEngine(workers)
    told = list(engine.exchange(exchange_of(folder), parts, folder / "spilled", isolate=isolate))
    files = sorted(folder.glob("*.json"))
    assert not (folder / "spilled").exists()
    return told, hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_rows_meet_sorted_in_their_partition(tmp_path: Path) -> None:
    parts = numbers(1)
    told, _ = run(tmp_path / "one", parts, 1, isolate=False)
    for partition in range(PARTITIONS):
        expected = sorted(
            (n, len(part)) for part in parts for n in part if n % PARTITIONS == partition
        )
        rows = json.loads((tmp_path / "one" / f"{partition}.json").read_text("utf-8"))
        assert [(row["value"], row["length"]) for row in rows] == expected
        assert told[partition] == {"partition": partition, "rows": len(expected)}
    assert told[3]["rows"] == 0


@posix
def test_the_same_files_from_any_number_of_workers_and_after_a_kill(tmp_path: Path) -> None:
    parts = numbers(2)
    alone = run(tmp_path / "one", parts, 1, isolate=False)
    assert run(tmp_path / "three", parts, 3) == alone
    assert (tmp_path / "three" / "killed-once").exists()
    # Nor does the order of the parts say who comes first in a partition.
    assert run(tmp_path / "back", parts[::-1], 1, isolate=False) == alone
    assert run(tmp_path / "none", [], 1, isolate=False)[0][0] == {"partition": 0, "rows": 0}


def test_partitions_hold_hashes_in_their_order() -> None:
    hashes = np.sort(np.random.default_rng(0).integers(0, 2**64, 5000, np.uint64))
    found = partition_of(hashes, 7)
    assert found.tolist() == [int(h) * 7 >> 64 for h in hashes.tolist()]
    assert (np.diff(found) >= 0).all() and found[0] == 0 and found[-1] == 6
    assert partition_of(np.array([2**64 - 1, 0], np.uint64), 64).tolist() == [63, 0]


def test_a_function_of_whole_parts(tmp_path: Path) -> None:
    parts = [("a", "bc"), ("def",), ("g", "h")]
    function = partial(part_size, tmp_path)
    alone = map_parts(LocalEngine(1), function, parts, isolate=False)
    assert list(alone) == list(map_parts(LocalEngine(2), function, parts)) == [3, 3, 2]
    assert (tmp_path / "a-bc").read_text("utf-8") == "3"


@posix
def test_batches_through_an_engine() -> None:
    batches = [["a", "raise"], [], ["crash", "b"]]
    found = list(LocalEngine(2).map_batches(hostile, batches, limits=Limits(5.0)))
    assert [one.index for one in found] == [0, 1, 2]
    assert found[0].items() == ["A", Failure(1, "error: KeyError: 'bad page'")]
    assert found[2].items() == [Failure(0, "died: SIGABRT"), "B"]


@posix
@pytest.mark.parametrize(
    ("harm", "reason"), [("raise", "bad page"), ("crash", "SIGABRT"), ("hang", "time")]
)
def test_a_part_that_fails_ends_the_run_with_its_reason(
    tmp_path: Path, harm: str, reason: str
) -> None:
    function = partial(part_size, tmp_path)
    with pytest.raises(GristmillError, match=reason) as told:
        list(map_parts(LocalEngine(1), function, [("a",), (harm,)], limits=Limits(0.5, None)))
    assert harm in str(told.value)
