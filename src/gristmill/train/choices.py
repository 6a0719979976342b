"""What each choice of the trainer is worth, taken back one by one: time, memory, loss.

A few steps of a model of the same shape on the same rows, each choice off by itself, each in a
process of its own, so that its peak of memory is its own. A choice that costs accuracy shows in
the loss of the last step.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from gristmill.core.progress import progress
from gristmill.core.run import Run
from gristmill.model.weights import ModelConfig, new_model
from gristmill.train.interfaces import Batch, Moment, State
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.precision import Precision
from gristmill.train.schedules import Schedule
from gristmill.train.settings import Settings
from gristmill.train.starting import start_weights

Name = Literal["all", "compile", "precision", "tiling", "chunks", "memory", "recompute"]
CHOICES: dict[Name, str] = {
    "all": "all choices",
    "compile": "blocks compiled",
    "precision": "products in 16 bits, float32 weights and sums",
    "tiling": "attention as matmuls in blocks of queries, not the fused kernel",
    "chunks": "cross-entropy in chunks, never all logits",
    "memory": "freed memory stays with the process",
    "recompute": "activations computed again block by block",
}
_MATMUL = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "mkldnn::", "aten::_scaled")
# The first steps compile and warm up.
_WARM = 2


@dataclass(frozen=True)
class Trial:
    """What is trained: `rows` rows of the shape's context, `steps` (3 at least) of them.

    compile, precision, recompute: as in the training whose choices they are.
    """

    shape: ModelConfig
    rows: int
    steps: int = 8
    threads: int | None = None
    compile: bool = False
    precision: Precision = "bf16"
    recompute: bool = False

    def names(self) -> list[Name]:
        """`all`, and the choices that this training made."""
        made: list[Name] = ["all"]
        made += ["compile"] if self.compile else []
        made += ["precision"] if self.precision != "fp32" else []
        attention = hasattr(self.shape, "heads") and not torch.cuda.is_available()
        made += ["tiling"] if attention else []
        made += ["chunks", "memory"]
        return [*made, "recompute"] if self.recompute else made


@dataclass(frozen=True)
class Measured:
    """A trial without the choice `off`: CPU seconds of a step (median), bytes that it held at most
    beyond the start, the last step's loss; of `all`, shares of a step's time by kind too."""

    off: Name
    seconds: float
    memory: int
    loss: float
    parts: dict[str, float] = field(default_factory=dict)


def measure(trial: Trial, names: Sequence[Name] | None = None) -> list[Measured]:
    """Each choice off by itself, one after the other, in processes of their own."""
    names = trial.names() if names is None else names
    context = multiprocessing.get_context("spawn")
    found = []
    bar = progress("choices", len(names), "trainings")
    try:
        for name in names:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                found.append(pool.submit(without, trial, name).result())
            bar.advance(1)
    finally:
        bar.close()
    return found


def without(trial: Trial, off: Name) -> Measured:
    """A training without one choice, in this process, which it changes."""
    from gristmill.model import attention
    from gristmill.train import cross_entropy, trainer

    os.environ["GRISTMILL_PROGRESS"] = "off"
    if trial.threads is not None:
        torch.set_num_threads(trial.threads)
    if off == "tiling":
        attention.MATMUL_LIMIT = 0
    if off == "chunks":
        cross_entropy._CHUNK_FLOATS = 1 << 62
    if off == "memory":
        trainer.keep_freed_memory = lambda: False  # type: ignore[attr-defined]
    model = new_model(trial.shape)
    start_weights(model, 0)
    rates = OptimizerSettings(
        matrix_optimizer="adamw", matrix_lr=1e-3, embedding_lr=1e-3, head_lr=1e-3, other_lr=1e-3
    )
    with tempfile.TemporaryDirectory() as folder:
        run = trainer.Trainer(
            Run(Path(folder)),
            models={"policy": model},
            optimizers={"policy": Optimizer(model, rates)},
            source=_Rows(trial),
            objective=NextToken(),
            schedule=Schedule("constant", trial.steps),
            settings=Settings(
                precision="fp32" if off == "precision" else trial.precision,
                compile=trial.compile and off != "compile",
                recompute=trial.recompute and off != "recompute",
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
        return Measured(
            off,
            statistics.median(seconds[_WARM:]),
            peak_memory() - before,
            losses[-1],
            _parts(run) if off == "all" else {},
        )


class _Rows:
    """Rows in which each token tends to follow the last, so that there is a lesson."""

    def __init__(self, trial: Trial):
        self._trial = trial

    def next(self, moment: Moment) -> Batch:
        rows, shape = self._trial.rows, self._trial.shape
        generator = torch.Generator().manual_seed(moment.seed)
        steps_BT = torch.randint(1, 4, (rows, shape.context + 1), generator=generator)
        both_BT = steps_BT.cumsum(1) % shape.vocab_size
        tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
        return Batch(tensors, tokens=rows * shape.context)

    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None: ...


def _parts(run: Any) -> dict[str, float]:
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


def peak_memory() -> int:
    """Bytes that this process held at most; 0 where the system does not say. On Linux not by
    getrusage, which counts what the process held that started this one."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
