"""Tokens per second of training on a CPU, beside transformers and litgpt, in turn in one run.

The shape is a Llama of 17 million parameters: 8,000 tokens of vocabulary, width 384, 6 layers of
6 heads, MLP 1,024, context 256, untied; 8 rows a step, AdamW, clipping at 1. Every program stays
alive and makes its blocks of steps in turn with the others (A B C D A B C D), so that a busy
machine is busy for all; the speed is that of the median block. Ours runs through the trainer with
all that it does in a step. Peers compiled run under bf16 autocast with float32 weights, as ours.

    .venv/bin/python benchmarks/train_throughput.py [--quick]

`ratio_eager` is our speed (compiled) over transformers' plain fp32 loop, `ratio` over the fastest
compiled peer, both by wall time on two threads; `peak_fraction` is the model's FLOPs a second over
the fastest bf16 matmul that the machine showed in the run. Beside a load, what is of CPU
seconds (`ratios_cpu`; `peak_fraction_cpu`, against the peak of one thread) says more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beside import ROOT, Peer, finish

SHAPE_FLOPS = 85_685_760.0  # a token, forward and backward: model/flops.py
PEERS = ROOT / "benchmarks" / "peers"
PEAK = """
import json, sys, torch
from gristmill.train.precision import matmul_flops
torch.set_num_threads(int(sys.argv[1]))
cpu = torch.device("cpu")
print(json.dumps(max(matmul_flops(cpu, torch.bfloat16, width) for width in (384, 512, 1024))))
"""


class Program:
    """One program that trains a block of steps when it is asked."""

    def __init__(self, name: str, command: Sequence[str | Path], ours: bool = False):
        self.name = name
        # Threads that spin while they wait take the time of the program whose turn it is.
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        environment["PYTHONPATH"] = str(ROOT / "src") if ours else ""
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def wait_until_warm(self) -> dict[str, Any]:
        """What it says of itself. RuntimeError where it ended instead."""
        return self._line()

    def block(self, steps: int) -> None:
        """Makes `steps` steps and notes their seconds each."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        found = self._line()
        self.wall.append(found["wall"] / steps)
        self.cpu.append(found["cpu"] / steps)

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
    trainer = [sys.executable, ROOT / "benchmarks" / "train_throughput_ours.py"]
    wanted = [
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
        other = [
            transformers.python, PEERS / "train_throughput_peer.py", "compiled_eager_attention"
        ]  # fmt: skip
        wanted.append(("ours eager", [*trainer, "eager"]))
        wanted.append(("transformers compiled bf16, its own attention", other))
    peaks, peaks_one = [_peak(threads)], [_peak(1)]
    programs = []
    try:
        for name, command in wanted:
            program = Program(
                name, [*command, str(threads), str(rows)], ours=name.startswith("ours")
            )
            programs.append(program)
            said = program.wait_until_warm()
            print(f"  {name}: {said['parameters']:,} parameters, warm", file=sys.stderr)
        for number in range(blocks):
            for program in programs:
                program.block(steps)
            if number % 3 == 2:
                peaks.append(_peak(threads))
                peaks_one.append(_peak(1))
    finally:
        for program in programs:
            program.stop()
    tokens = rows * 256
    found: dict[str, Any] = {
        "peak_gflops": round(max(peaks) / 1e9),
        "peak_gflops_one": round(max(peaks_one) / 1e9),
        "wall": {},
        "cpu": {},
    }
    for program in programs:
        found["wall"][program.name] = round(tokens / statistics.median(program.wall))
        found["cpu"][program.name] = round(tokens / statistics.median(program.cpu))
        print(
            f"  {threads} threads, {program.name}: {found['wall'][program.name]:,} tokens a "
            f"second, {found['cpu'][program.name]:,} a CPU second",
            flush=True,
        )
    return found


def _peak(threads: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(threads)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


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
    blocks = arguments.blocks or (2 if arguments.quick else 12)
    result: dict[str, Any] = {}
    for threads in counts:
        found = measure(threads, blocks, 2, arguments.rows, arguments.quick)
        eager, best, llama, lit = ratios(found["wall"])
        cpu = ratios(found["cpu"])
        fraction = found["wall"]["ours compiled"] * SHAPE_FLOPS / 1e9 / found["peak_gflops"]
        one = {
            "ratio_eager": eager,
            "ratio": best,
            "ratio_transformers": llama,
            "ratio_litgpt": lit,
            "peak_fraction": round(fraction, 3),
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
