from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gristmill.core.errors import GristmillError, Retryable
from gristmill.data.engine import Failure, in_batches, map_batches

# Worker processes import the functions by name.
sys.path.insert(0, str(Path(__file__).parent))
import engine_functions as functions

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def run(function: Any, documents: list[str], size: int = 4, **options: Any) -> list[Any]:
    options = {"workers": 2, "seconds_per_item": 60.0, **options}
    out: list[Any] = []
    for number, result in enumerate(map_batches(function, in_batches(documents, size), **options)):
        assert result.index == number
        out += result.items()
    assert len(out) == len(documents)
    return out


def test_order_and_result_do_not_depend_on_workers() -> None:
    documents = [f"page {i}" for i in range(103)]
    expected = [text.upper() for text in documents]
    assert run(functions.upper, documents, workers=1, isolate=False) == expected
    assert run(functions.upper, documents, workers=1) == expected
    assert run(functions.upper, documents, size=3, workers=3) == expected


def test_no_batches_and_empty_batches() -> None:
    assert list(map_batches(functions.upper, [], workers=2)) == []
    results = list(map_batches(functions.upper, [[], ["a"], []], workers=2))
    assert [result.items() for result in results] == [[], ["A"], []]


@posix
def test_each_kind_of_failure_costs_only_the_guilty() -> None:
    documents = [f"page {i}" for i in range(16)]
    guilty = {2: "raise", 5: "hang", 9: "crash", 14: "exit"}
    for position, kind in guilty.items():
        documents[position] = kind
    out = run(functions.hostile, documents, seconds_per_item=2.0)
    for position, result in enumerate(out):
        if position not in guilty:
            assert result == documents[position].upper()
    reasons = {position: out[position].reason for position in guilty}
    assert reasons == {
        2: "error: KeyError: 'bad page'",
        5: "time: over 2 s",
        9: "died: SIGABRT",
        14: "died: exit code 3",
    }


@posix
def test_item_by_item_the_guilty_is_known_at_once() -> None:
    batch = ["a", "b", "hang", "c", "crash", "d", "raise", "e"]
    (result,) = map_batches(
        functions.hostile, [batch], workers=2, seconds_per_item=2.0, by_item=True
    )
    # What stands between two guilty ones is run together, not cut up.
    assert result.pieces == [(0, ["A", "B"]), (3, ["C"]), (5, ["D"]), (7, ["E"])]
    assert result.failures == [
        Failure(2, "time: over 2 s"),
        Failure(4, "died: SIGABRT"),
        Failure(6, "error: KeyError: 'bad page'"),
    ]
    with pytest.raises(RuntimeError, match="1 results for 2 items"):
        run(functions.too_few_of_one, ["a", "b"], by_item=True)


@posix
def test_an_item_has_its_own_clock_and_a_batch_as_many_as_it_has_items() -> None:
    (result,) = map_batches(
        functions.slowly, [["x"] * 30], workers=1, seconds_per_item=0.75, by_item=True
    )
    # Thirty times .15 s are more than the .75 * (1 + log2(30)) s that a batch has in one go.
    assert result.pieces == [(0, ["X"] * 30)] and not result.failures


@pytest.mark.parametrize("function", [functions.hostile, functions.swell_natively])
def test_memory_limit(function: Any) -> None:
    out = run(
        function,
        ["a", "b", "swell", "c"],
        workers=1,
        memory_bytes=128 << 20,
        seconds_per_item=200.0,
    )
    assert [out[0], out[1], out[3]] == ["A", "B", "C"]
    assert isinstance(out[2], Failure) and out[2].reason == "memory: over 128 MB"


def test_errors_in_process_are_quarantined_one_by_one() -> None:
    out = run(functions.hostile, ["a", "raise", "b"], workers=1, isolate=False)
    assert out == ["A", Failure(1, "error: KeyError: 'bad page'"), "B"]


@posix
@pytest.mark.parametrize(("times", "lost"), [(1, False), (3, False), (4, True)])
def test_killed_from_outside_is_retried_three_times(tmp_path: Path, times: int, lost: bool) -> None:
    documents = ["a", "b", "victim", "c", "d"]
    function = functions.KilledOnce(str(tmp_path), times)
    (result,) = map_batches(function, [documents], workers=2)
    out = result.items()
    assert out[:2] + out[3:] == ["A", "B", "C", "D"]
    assert (out[2] == Failure(2, "died: SIGKILL")) if lost else (out[2] == "VICTIM")


@posix
def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    seen: list[int] = []
    killed: set[int] = set()
    note_pid = functions.NotePid(tmp_path)
    for result in map_batches(
        note_pid, in_batches(list(range(24)), 2), workers=2, seconds_per_item=60.0
    ):
        pids = result.items()
        assert len(pids) == 2 and not result.failures
        seen += pids
        if len(killed) < 2:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[0], signal.SIGKILL)
                killed.add(pids[0])
    assert len(seen) == 24 and len(killed) == 2
    assert len(set(seen)) >= 3


def test_pieces_come_in_order_whichever_ends_first() -> None:
    batch = ["slow", "raise", "b", "c"]
    (result,) = map_batches(functions.hostile, [batch], workers=2, seconds_per_item=200.0)
    assert [start for start, _ in result.pieces] == [0, 2, 3]


def test_users_mistake_is_not_a_bad_record() -> None:
    for workers, isolate in ((1, False), (2, True)):
        with pytest.raises(GristmillError, match="no such list"):
            run(functions.users_mistake, ["a"], workers=workers, isolate=isolate)


def test_broken_contract_and_broken_setup_are_told() -> None:
    with pytest.raises(RuntimeError, match="3 results for 4 items"):
        run(functions.too_few, ["a", "b", "c", "d"])
    with pytest.raises(RuntimeError, match="no model"):
        run(functions.upper, ["a"], setup=functions.broken_setup)


@posix
def test_workers_that_never_start_end_the_run() -> None:
    with pytest.raises(Retryable):
        run(functions.upper, ["a"], setup=functions.kill_setup)


def test_arrow_tables_are_batches_too() -> None:
    table = pa.table({"text": ["a", "b", "c"]})
    results = list(map_batches(arrow_function, [table], workers=1, isolate=False))
    assert results[0].pieces[0][1].column("text").to_pylist() == ["a", "b", "c"]


def arrow_function(table: pa.Table) -> pa.Table:
    return table


def test_workers_end_when_the_reader_stops_early(tmp_path: Path) -> None:
    note_pid = functions.NotePid(tmp_path)
    results = map_batches(
        note_pid, in_batches(list(range(40)), 1), workers=3, seconds_per_item=60.0
    )
    pids = {next(results).items()[0] for _ in range(9)}
    assert len(pids) > 1
    results.close()  # type: ignore[attr-defined]
    import psutil

    assert not [process.pid for process in psutil.Process().children() if process.pid in pids]


def test_the_engine_imports_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, gristmill.data.engine\n"
        "print(sorted(set(sys.modules) & {'torch', 'numpy', 'pyarrow', 'numba', 'psutil'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
