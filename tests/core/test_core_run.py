"""Runs survive a kill, and one process holds one."""

import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.run import Run, holding


def test_what_is_pinned_is_measured_once(tmp_path: Path) -> None:
    measured: list[int] = []

    def measure() -> str:
        measured.append(1)
        return f"bf16-{len(measured)}"

    assert Run(tmp_path).pin("precision", measure) == "bf16-1"
    assert Run(tmp_path).pin("precision", measure) == "bf16-1"
    assert measured == [1]


@pytest.mark.parametrize("torn", [b"", b'{"step": 3, "lo', b'{"step":', b"x" * 9000])
def test_a_line_that_a_crash_cut_off_is_dropped(tmp_path: Path, torn: bytes) -> None:
    run = Run(tmp_path)
    run.append("metrics.jsonl", {"step": 1})
    run.append("metrics.jsonl", {"step": 2})
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(torn)
    assert [record["step"] for record in run.read("metrics.jsonl")] == [1, 2]
    run.append("metrics.jsonl", {"step": 3})
    assert [record["step"] for record in run.read("metrics.jsonl")] == [1, 2, 3]


def test_a_first_line_that_is_torn_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"a": 1')
    run = Run(tmp_path)
    run.append("m.jsonl", {"a": 2})
    assert run.read("m.jsonl") == [{"a": 2}]


HOLD = """
import sys
from pathlib import Path
from gristmill.core.run import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()  # nothing comes: here it waits to be killed
"""


def test_one_process_holds_a_run_and_a_kill_frees_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(GristmillError, match="another gristmill process"), holding(folder):
            pass
    finally:
        child.kill()
        child.communicate()
    with holding(folder) as run:
        assert run.path == folder


def test_seconds_of_earlier_attempts_do_not_count_the_pause(tmp_path: Path) -> None:
    import json
    import os

    run = Run(tmp_path)
    assert run.earlier_seconds() == 0.0
    (tmp_path / "attempts.jsonl").write_text(json.dumps({"started": 1000.0}) + "\n")
    (tmp_path / "checkpoint").write_text("x")
    for path in tmp_path.iterdir():
        os.utime(path, (1030.0, 1030.0))
    assert run.earlier_seconds() == pytest.approx(30.0)
