"""What the benchmarks that measure a peer share: its environment, its turn, the last line.

A peer is a program of its own in an environment of its own, `.bench/NAME`, made by
`make bench-NAME` from `benchmarks/peers/NAME.txt`: peers exclude each other's versions, and ours.
It is asked through a script that prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
PEER_MISSING = 3


class Peer:
    """The environment of a benchmark's peers.

    Exits with PEER_MISSING, and says how to make it, where it is not there.
    """

    def __init__(self, name: str):
        folder = ROOT / ".bench" / name
        scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = scripts / ("python.exe" if os.name == "nt" else "python")
        if not (folder / ".installed").is_file():
            missing(f"the peers of '{name}' are not installed", f"make bench-{name}")

    def run(
        self,
        script: Path,
        *arguments: str | Path,
        timeout: float = 600.0,
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object that `script` prints as its last line. RuntimeError where it fails."""
        done = subprocess.run(
            [self.python, script, *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            env={**os.environ, "PYTHONPATH": "", **(environment or {})},
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{script.name} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def versions(self, *packages: str) -> dict[str, str]:
        """Of what is installed there, by name."""
        code = (
            "import json, sys, importlib.metadata as m;"
            "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
        )
        done = subprocess.run(
            [self.python, "-c", code, *packages], capture_output=True, text=True, check=True
        )
        found: dict[str, str] = json.loads(done.stdout)
        return found


def missing(what: str, mend: str) -> NoReturn:
    """Says what the benchmark lacks and how to get it, and exits with PEER_MISSING."""
    print(f"{what}; {mend}", file=sys.stderr)
    raise SystemExit(PEER_MISSING)


def in_turn(
    rounds: int, *measured: Callable[[], float], warm_up: bool = False
) -> list[list[float]]:
    """What each returns, measured A B A B, `rounds` times: a busy machine is busy for all."""
    if warm_up:
        for one in measured:
            one()
    found: list[list[float]] = [[] for _ in measured]
    for _ in range(rounds):
        for values, one in zip(found, measured, strict=True):
            values.append(one())
    return found


def ratio(theirs_seconds: Sequence[float], ours_seconds: Sequence[float]) -> float:
    """Our speed over the peer's, of medians: above 1, ours is faster."""
    return statistics.median(theirs_seconds) / statistics.median(ours_seconds)


def peak_memory() -> int:
    """Bytes that this process held at most. On Linux not by getrusage, which counts what the
    process held that started this one."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def finish(result: Mapping[str, Any]) -> None:
    """The machine in words, then `result` as the last line."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(json.dumps(dict(result)), flush=True)
