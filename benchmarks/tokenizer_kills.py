"""`kill -9` at random points of `tokenizer train`: the tokenizer comes out the same.

    python benchmarks/tokenizer_kills.py            # twenty kills, about two minutes
    python benchmarks/tokenizer_kills.py --quick    # five

The stage is called as a user calls it, on additions of long numbers, most of which are new:
counting with the least memory that may be asked for writes a run for nearly every batch. A kill
comes where one or two runs more than before are in the journal, or up to a tenth of a second later.
The next call has to keep the journal that it finds, and the last one gives the bytes that a call
without a kill gave.

The last line is JSON: {"kills": .., "kept": runs that a later call took over, "same": whether all
files of the tokenizer are the same, ..}.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from beside import finish

MEMORY = 1 << 20


def main() -> None:
    """Kills, goes on, compares; the JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five kills")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    wanted = arguments.kills or (5 if arguments.quick else 20)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sums = 500_000 if arguments.quick else 1_000_000
        _gristmill("study", "sums", "--train", sums, "--digits", 9, "--workspace", folder / "sums")
        (mixture,) = (folder / "sums" / "artifacts").glob("study.sums-*")
        straight = _finished(mixture, folder / "straight")
        kills = kept = lost = rounds = 0
        while kills < wanted:
            workspace = folder / f"killed-{rounds}"
            rounds += 1
            while True:
                before = _journal(workspace)
                process = _start(mixture, workspace)
                target = len(before) + rng.randint(1, 2)
                while process.poll() is None and len(_journal(workspace)) < target:
                    time.sleep(0.002)
                time.sleep(rng.random() * 0.1)
                done = process.poll() is not None
                if not done and kills < wanted:
                    after = _journal(workspace)
                    process.kill()
                    kills += 1
                    kept += len(before)
                    lost += after[: len(before)] != before
                process.wait()
                if process.returncode == 0:
                    break
            found = _files(workspace)
            same = found == straight
            print(f"round {rounds}: {kills} kills so far, the same: {same}", flush=True)
            if not same:
                break
    finish({"kills": kills, "rounds": rounds, "kept": kept, "lost": lost, "same": same})


def _arguments(mixture: Path, workspace: Path) -> list[object]:
    return ["tokenizer", "train", "--mixture", mixture, "--workspace", workspace, "--vocab_size",
            2000, "--pattern", "digits-free", "--memory", MEMORY]  # fmt: skip


def _start(mixture: Path, workspace: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "gristmill", *map(str, _arguments(mixture, workspace))],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _gristmill(*arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "gristmill", *map(str, arguments)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _finished(mixture: Path, workspace: Path) -> dict[str, bytes]:
    _gristmill(*_arguments(mixture, workspace))
    return _files(workspace)


def _files(workspace: Path) -> dict[str, bytes]:
    (folder,) = (workspace / "artifacts").glob("tokenizer.train-*")
    names = ("tokenizer.json", "ranks.tiktoken", "tokenizer_config.json")
    return {name: (folder / name).read_bytes() for name in names}


def _journal(workspace: Path) -> list[str]:
    """Whole lines of the journal of counting."""
    for file in (workspace / "unfinished").glob("tokenizer.train-*/counted.jsonl"):
        try:
            return file.read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            break
    return []


if __name__ == "__main__":
    main()
