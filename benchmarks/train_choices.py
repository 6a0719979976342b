"""What each choice of the trainer is worth, taken back one by one: speed, memory, loss.

    .venv/bin/python benchmarks/train_choices.py [--quick]

The shape of train_throughput.py on one thread; all choices on, then each off by itself, each in a
process of its own, in turns. Seconds are CPU seconds of a step (median), memory is the most that
the process held, the loss is that of the last step, on the same rows in the same order: a choice
that costs accuracy shows there. The last lines say where a step's time goes by torch's profiler.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from beside import ROOT, finish, peak_memory

CHOICES = {
    "all": "all choices",
    "compile": "blocks compiled",
    "bf16": "bf16 products, float32 weights and sums",
    "tiling": "attention as matmuls in blocks of queries, not the fused kernel",
    "chunks": "cross-entropy in chunks, never all logits",
    "memory": "freed memory stays with the process",
}
_MATMUL = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "mkldnn::", "aten::_scaled")


def one(off: str, steps: int) -> dict[str, Any]:
    """A training without the choice `off` (or with all), in this process."""
    import torch
    from train_throughput_ours import CONFIG

    from gristmill.core.run import Run
    from gristmill.model import attention
    from gristmill.model.transformer import Transformer
    from gristmill.train import cross_entropy, trainer
    from gristmill.train.interfaces import Batch, Moment, State
    from gristmill.train.objectives import NextToken
    from gristmill.train.optimizers import Optimizer, OptimizerSettings
    from gristmill.train.schedules import Schedule

    os.environ["GRISTMILL_PROGRESS"] = "off"
    torch.set_num_threads(1)
    if off == "tiling":
        attention.MATMUL_LIMIT = 0
    if off == "chunks":
        cross_entropy._CHUNK_FLOATS = 1 << 62
    if off == "memory":
        trainer.keep_freed_memory = lambda: False

    class Rows:
        """Eight rows in which each token tends to follow the last, so that there is a lesson."""

        def next(self, moment: Moment) -> Batch:
            generator = torch.Generator().manual_seed(moment.seed)
            steps_BT = torch.randint(1, 4, (8, CONFIG.context + 1), generator=generator)
            both_BT = steps_BT.cumsum(1) % CONFIG.vocab_size
            tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
            return Batch(tensors, tokens=8 * CONFIG.context)

        def state(self) -> State:
            return State()

        def restore(self, state: State) -> None: ...

    model = Transformer(CONFIG)
    model.init_weights(0)
    rates = OptimizerSettings(
        matrix_optimizer="adamw", matrix_lr=1e-3, embedding_lr=1e-3, head_lr=1e-3, other_lr=1e-3
    )
    with tempfile.TemporaryDirectory() as folder:
        run = trainer.Trainer(
            Run(Path(folder)),
            models={"policy": model},
            optimizers={"policy": Optimizer(model, rates)},
            source=Rows(),
            objective=NextToken(),
            schedule=Schedule("constant", steps),
            settings=trainer.Settings(
                precision="fp32" if off == "bf16" else "bf16",
                compile=off != "compile",
                checkpoint_seconds=1e9,
            ),
            say=lambda _: None,
        )
        seconds: list[float] = []
        losses: list[float] = []
        step = run._one_step

        def timed() -> dict[str, Any]:
            start = time.process_time()
            record = step()
            seconds.append(time.process_time() - start)
            losses.append(record["loss"])
            return record

        run._one_step = timed  # type: ignore[method-assign]
        before = peak_memory()
        run.fit()
        found = {
            "seconds": statistics.median(seconds[2:]),
            "warm_up": seconds[0],
            "memory": peak_memory() - before,
            "loss": losses[-1],
        }
        if off == "all":
            found["parts"] = parts(run)
    return found


def parts(run: Any) -> dict[str, float]:
    """Shares of three steps' time: matmul, memory-bound operations, the rest (Python)."""
    from torch.profiler import ProfilerActivity, profile

    run._one_step()
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(3):
            run._one_step()
    wall = (time.perf_counter() - start) * 1e6
    sums: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kind = "matmul" if event.key.startswith(_MATMUL) else "memory-bound"
        if not event.key.startswith(("aten::", "mkldnn::", "##")):
            kind = "the rest"
        sums[kind] += event.self_cpu_time_total
    sums["the rest"] += max(0.0, wall - sum(sums.values()))
    return {kind: round(value / sum(sums.values()), 3) for kind, value in sorted(sums.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn of 8 steps, not 3 of 30")
    parser.add_argument("--one", choices=list(CHOICES), help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.steps)))
        return
    steps, turns = (8, 1) if arguments.quick else (30, 3)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CHOICES}
    for _ in range(turns):
        for name in CHOICES:
            done = subprocess.run(
                [sys.executable, __file__, "--one", name, "--steps", str(steps)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            )
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    table: dict[str, Any] = {}
    print(f"{'without':<66} CPU s a step  MB held   loss")
    for name, rows in found.items():
        seconds = statistics.median(row["seconds"] for row in rows)
        memory = statistics.median(row["memory"] for row in rows)
        table[name] = {"seconds": seconds, "memory": memory, "loss": rows[0]["loss"]}
        said = "nothing: " + CHOICES[name] if name == "all" else CHOICES[name]
        print(f"{said:<66} {seconds:12.3f} {memory / 1e6:8.0f} {rows[0]['loss']:6.3f}")
    finish({"choices": table, "parts": found["all"][0]["parts"]})


if __name__ == "__main__":
    main()
