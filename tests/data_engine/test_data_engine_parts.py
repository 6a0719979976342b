"""Steps over parts: the same files from any engine, whatever happens to the processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.engine import Limits
from gristmill.data.engine.local import LocalEngine
from gristmill.data.engine.steps import engine_of

# Worker processes import the steps by name.
sys.path.insert(0, str(Path(__file__).parent))
from engine_steps import FullDisk, Lines, Shout, write_parts

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
LIMITS = Limits(seconds_per_item=2.0)


def run(step: Shout, parts: list[Lines], workers: int = 2, isolate: bool = True) -> list[Any]:
    return list(LocalEngine(workers).run(step, parts, limits=LIMITS, isolate=isolate))


def written(folder: Path) -> str:
    files = sorted((folder / "out").iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_the_same_files_from_any_number_of_workers(tmp_path: Path) -> None:
    texts = [[f"text {part}.{row}" for row in range(7 * part)] for part in range(6)]
    parts = write_parts(tmp_path, *texts)
    expected = [{"part": part.name, "failed": []} for part in parts]
    assert run(Shout(tmp_path), parts, 1, isolate=False) == expected
    alone = written(tmp_path)
    for workers, at_once in ((1, 4), (3, 5)):
        assert run(Shout(tmp_path, at_once), parts, workers) == expected
        assert written(tmp_path) == alone


@posix
def test_a_document_that_kills_its_worker_costs_no_other(tmp_path: Path) -> None:
    parts = write_parts(
        tmp_path,
        ["a", "b", "c", "d", "e", "crash", "f", "g", "h", "raise"],
        ["hang", *"ijk"],
        [*"lmn", "victim"],
    )
    told = run(Shout(tmp_path), parts)
    assert [one["failed"] for one in told] == [[5, 9], [0], []]
    rows = [row for name in ("part-0", "part-1") for row in _rows(tmp_path, name)]
    assert [row["failed"] for row in rows if row["failed"]] == [
        "died: SIGABRT",
        "error: KeyError: 'bad page'",
        "time: over 2 s",
    ]
    assert "".join(row["text"] or "-" for row in rows) == "ABCDE-FGH--IJK"
    # A worker that was killed from outside costs nothing: its part is done again.
    assert [row["text"] for row in _rows(tmp_path, "part-2")] == ["L", "M", "N", "A"]


@posix
def test_a_part_whose_worker_dies_while_it_writes_is_written_here(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, ["a", "b", "c", "d", "e"], [])
    told = run(Shout(tmp_path, dies_in="finish"), parts, 1)
    assert [one["part"] for one in told] == ["part-0", "part-1"]
    assert [row["text"] for row in _rows(tmp_path, "part-0")] == ["A", "B", "C", "D", "E"]


def test_what_is_no_documents_fault_ends_the_run(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, ["a", "b"])
    with pytest.raises(OSError, match="No space left"):
        run(FullDisk(tmp_path), parts)
    (tmp_path / "part-0").unlink()
    for isolate in (True, False):
        with pytest.raises(GristmillError, match="a part cannot be read here"):
            run(Shout(tmp_path), parts, 1, isolate)


@posix
def test_a_part_that_cannot_be_read_alive_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="a part costs 4 workers before its first document"):
        run(Shout(tmp_path, dies_in="read"), write_parts(tmp_path, ["a"]), 1)


@posix
def test_a_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also one that hangs in a document, which would otherwise stay for ever."""
    write_parts(tmp_path, ["hang"])
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from engine_steps import Lines, Shout\n"
        "from gristmill.data.engine import Limits\n"
        "from gristmill.data.engine.local import LocalEngine\n"
        f"step = Shout(Path({str(tmp_path)!r}))\n"
        "list(LocalEngine(1).run(step, [Lines('part-0', (0,))], limits=Limits(600.0)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "hanging").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    workers = [
        child
        for child in psutil.Process(parent.pid).children()
        if any("spawn_main" in word for word in child.cmdline())
    ]
    assert workers
    parent.kill()
    parent.wait()
    left = psutil.wait_procs(workers, timeout=200)[1]
    for worker in left:
        worker.kill()
    assert not left


def test_engines_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(engine_of(2), LocalEngine)
    with pytest.raises(GristmillError, match="unknown engine 'dask'"):
        engine_of(2, "dask")
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    with pytest.raises(GristmillError, match=r"gristmill\[ray\]"):
        list(engine_of(2, "ray").run(Shout(tmp_path), [], limits=LIMITS))


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    import json

    rows: list[dict[str, Any]] = json.loads((folder / "out" / name).read_text("utf-8"))
    return rows
