"""Ctrl-C and SIGTERM: the exit code, whatever the program is in the midst of."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, time
from gristmill.cli import main, tree

def verb(arguments):
{verb}
    return 0

if __name__ == "__main__":
    tree.COMMANDS["interrupted"] = ("interrupted:verb", "")
    sys.exit(main.main(["interrupted"]))
"""
IN_A_STRING = """
    exec("import os, signal\\nos.kill(os.getpid(), signal.{name})\\nfor _ in range(99): pass")
"""
LOST = """
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)
    except BaseException:
        pass
    time.sleep(60)
    print("went on")
"""
CLEANED = """
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)
    finally:
        try:
            raise ValueError
        except ValueError:
            time.sleep(1.5)
            print("cleaned")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("verb", "out"),
    [
        # CPython kills a process whose plain KeyboardInterrupt left the `exec` of a string.
        pytest.param(IN_A_STRING, "", id="in the exec of a string"),
        # As C code does that drops what a callback raised.
        pytest.param(LOST, "", id="lost by a library"),
        pytest.param(CLEANED, "cleaned\n", id="cleaning up is let finish"),
    ],
)
def test_a_signal_ends_with_75(tmp_path: Path, verb: str, name: str, out: str) -> None:
    (tmp_path / "interrupted.py").write_text(PROGRAM.format(verb=verb.format(name=name)))
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 75, done.stderr
    assert done.stdout == out
    assert "Traceback" not in done.stderr and "again" in done.stderr
