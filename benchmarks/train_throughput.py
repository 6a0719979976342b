"""Tokens per second of training on a CPU, beside transformers and litgpt, in turn in one run.

The shape is a Llama of 17 million parameters: 8,000 tokens of vocabulary, width 384, 6 layers of
6 heads, MLP 1,024, context 256, untied; 8 rows a step, AdamW, clipping at 1. Every program stays
alive and makes its blocks of steps in turn with the others (A B C D A B C D), so that a busy
machine is busy for all; the speed is that of the median block. Ours runs through the trainer with
all that it does in a step. Peers compiled run under bf16 autocast with float32 weights, as ours.

    .venv/bin/python benchmarks/train_throughput.py [--quick]

`ratio_eager` is our speed (compiled) over transformers' plain fp32 loop, `ratio` over the fastest
compiled peer, both by wall time on two threads; `peak_fraction` is the model's FLOPs a second over
the fastest bf16 matmul that the machine showed in the run, `shape_fraction` what the model's own
products reach of it with nothing between them: no training of this shape is faster. Beside a
load, what is of CPU seconds (`ratios_cpu`; `peak_fraction_cpu`, against the peak of one thread)
says more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beside import ROOT, Peer, finish

SHAPE_FLOPS = 85_685_760.0  # a token, forward and backward: model/flops.py
PEERS = ROOT / "benchmarks" / "peers"
# Compiled graphs are kept here: a first run compiles for minutes, the next ones read them.
GRAPHS = ROOT / ".bench" / "train_throughput_graphs"


class Program:
    """One program that trains a block of steps when it is asked."""

    def __init__(self, name: str, command: Sequence[str | Path], ours: bool = False):
        self.name, self._command, self._ours = name, command, ours
        # Of its own: another may have another torch, and compiles at the same time.
        self._graphs = GRAPHS / f"{Path(command[1]).stem}-{'-'.join(map(str, command[2:]))}"
        self._start()
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def _start(self) -> None:
        # Threads that spin while they wait take the time of the program whose turn it is.
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        environment["PYTHONPATH"] = str(ROOT / "src") if self._ours else ""
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(self._graphs)
        self._process = subprocess.Popen(
            [str(part) for part in self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )

    def wait_until_warm(self) -> dict[str, Any]:
        """What it says of itself. RuntimeError where it ended instead, twice."""
        try:
            return self._line()
        except RuntimeError:  # a run that was killed while it compiled leaves half a graph
            shutil.rmtree(self._graphs, ignore_errors=True)
            self.stop()
            self._start()
            return self._line()

    def block(self, steps: int) -> None:
        """Makes `steps` steps and notes their seconds each."""
        found = self.ask(steps)
        self.wall.append(found["wall"] / steps)
        self.cpu.append(found["cpu"] / steps)

    def ask(self, number: int) -> dict[str, Any]:
        """Its answer to a number."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return self._line()

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended without an answer")
        found: dict[str, Any] = json.loads(line)
        return found


def measure(threads: int, blocks: int, steps: int, rows: int, quick: bool) -> dict[str, Any]:
    """Tokens per second of each program, by wall time and by CPU time, and the matmul peak."""
    transformers, litgpt = Peer("train_throughput"), Peer("train_throughput_litgpt")
    trainer: list[str | Path] = [sys.executable, ROOT / "benchmarks" / "train_throughput_ours.py"]
    peak: list[str | Path] = [sys.executable, ROOT / "benchmarks" / "train_throughput_peak.py"]
    wanted: list[tuple[str, list[str | Path]]] = [
        ("ours compiled", [*trainer, "compiled"]),
        ("transformers fp32", [transformers.python, PEERS / "train_throughput_peer.py", "eager"]),
        (
            "transformers compiled bf16",
            [transformers.python, PEERS / "train_throughput_peer.py", "compiled"],
        ),
        (
            "litgpt compiled bf16",
            [litgpt.python, PEERS / "train_throughput_litgpt_peer.py", "compiled"],
        ),
    ]
    if not quick:
        other: list[str | Path] = [
            transformers.python, PEERS / "train_throughput_peer.py", "compiled_eager_attention"
        ]  # fmt: skip
        wanted.append(("ours eager", [*trainer, "eager"]))
        wanted.append(("transformers compiled bf16, its own attention", other))
    peaks: list[dict[str, float]] = []
    programs: list[Program] = []
    try:
        # All start and compile at the same time; only what they are asked for is measured.
        for name, command in wanted:
            ours = name.startswith("ours")
            programs.append(Program(name, [*command, str(threads), str(rows)], ours))
        probe = Program("peak", [*peak, str(threads), str(rows)], ours=True)
        programs.append(probe)
        for program in programs:
            said = program.wait_until_warm()
            print(f"  {program.name}: {said['parameters']:,} parameters, warm", file=sys.stderr)
        for number in range(blocks):
            if number % 6 == 0:
                peaks.append(probe.ask(1))
            for program in programs[:-1]:
                program.block(steps)
        peaks.append(probe.ask(1))
    finally:
        for program in programs:
            program.stop()
    tokens = rows * 256
    found: dict[str, Any] = {
        "peak_gflops": round(max(one["peak"] for one in peaks) / 1e9),
        "peak_gflops_one": round(max(one["peak_one"] for one in peaks) / 1e9),
        "shape_gflops": round(max(one["shapes"] for one in peaks) / 1e9),
        "wall": {},
        "cpu": {},
    }
    for program in programs[:-1]:
        found["wall"][program.name] = round(tokens / statistics.median(program.wall))
        found["cpu"][program.name] = round(tokens / statistics.median(program.cpu))
        print(
            f"  {threads} threads, {program.name}: {found['wall'][program.name]:,} tokens a "
            f"second, {found['cpu'][program.name]:,} a CPU second",
            flush=True,
        )
    return found


def ratios(speeds: dict[str, float]) -> tuple[float, float, float, float]:
    """Ours compiled over: transformers in fp32, the best compiled peer, transformers', litgpt's."""
    ours = speeds["ours compiled"]
    llama = [v for name, v in speeds.items() if name.startswith("transformers compiled")]
    lit = speeds["litgpt compiled bf16"]
    return (
        round(ours / speeds["transformers fp32"], 2),
        round(ours / max(*llama, lit), 3),
        round(ours / max(llama), 3),
        round(ours / lit, 3),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two threads, few blocks")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="*", help="default: 2, and in full runs 1 too")
    parser.add_argument("--blocks", type=int)
    arguments = parser.parse_args()
    counts = arguments.threads or ([2] if arguments.quick else [2, 1])
    blocks = arguments.blocks or (4 if arguments.quick else 12)
    steps = 1 if arguments.quick else 2
    result: dict[str, Any] = {}
    for threads in counts:
        found = measure(threads, blocks, steps, arguments.rows, arguments.quick)
        eager, best, llama, lit = ratios(found["wall"])
        cpu = ratios(found["cpu"])
        fraction = found["wall"]["ours compiled"] * SHAPE_FLOPS / 1e9 / found["peak_gflops"]
        one = {
            "ratio_eager": eager,
            "ratio": best,
            "ratio_transformers": llama,
            "ratio_litgpt": lit,
            "peak_fraction": round(fraction, 3),
            "shape_fraction": round(found["shape_gflops"] / found["peak_gflops"], 3),
            "ratios_cpu": cpu,
            "peak_fraction_cpu": round(
                found["cpu"]["ours compiled"] * SHAPE_FLOPS / 1e9 / found["peak_gflops_one"], 3
            ),
            **found,
        }
        result = {**one, **result} if not result else {**result, f"threads_{threads}": one}
    finish({"threads": counts[0], **result})


if __name__ == "__main__":
    main()
