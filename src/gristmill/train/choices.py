"""What each choice of the trainer is worth, taken back one by one: time, memory, loss.

A few steps of a model of the same shape on the same rows, the training's first, each choice off by
itself, each in a process of its own, so that its peak of memory is its own. A choice that costs
accuracy shows in the loss of the last step.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gristmill.core.progress import progress
from gristmill.core.run import Run
from gristmill.model.weights import ModelConfig, new_model
from gristmill.tokenizer.shards import TokenShards
from gristmill.train.interfaces import Batch, Moment, State
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.precision import Precision
from gristmill.train.schedules import Schedule
from gristmill.train.settings import Settings
from gristmill.train.starting import start_weights

Name = Literal[
    "all",
    "compile",
    "precision",
    "lanes",
    "tiling",
    "flash",
    "chunks",
    "memory",
    "recompute",
    "keep",
]
CHOICES: dict[Name, str] = {
    "all": "as chosen",
    "compile": "without compiled blocks",
    "precision": "without 16-bit products (float32 throughout)",
    "lanes": "threads that share each operation, no lanes",
    "tiling": "attention by torch's fused kernel, not in blocks of queries",
    "flash": "attention as one matrix of scores, not fused",
    "chunks": "all logits at once, not in chunks",
    "memory": "freed memory given back each step",
    "recompute": "activations kept, not computed again",
    "keep": "activations computed again, not kept",
}
_MATMUL = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "mkldnn::", "aten::_scaled")
# In the names of a GPU's kernels; attention's are products for the greatest part.
_GPU_MATMUL = ("gemm", "cutlass", "nvjet", "xmma", "flash", "fmha", "flex_attention", "_mm_")
# The first steps compile and warm up.
_WARM = 2


@dataclass(frozen=True)
class Trial:
    """What is trained: `rows` rows of the shape's context, `steps` (3 at least) of them.

    compile, precision, recompute, lanes, device: as in the training whose choices they are.
    text_SBT: rows of context + 1 tokens for each step, taken again from the first on; None: made
    up.
    """

    shape: ModelConfig
    rows: int
    steps: int = 8
    threads: int | None = None
    compile: bool = False
    precision: Precision = "bf16"
    recompute: bool = False
    lanes: int = 1
    device: str = "cpu"
    text_SBT: NDArray[np.int64] | None = None

    @property
    def tokens(self) -> int:
        """In a step."""
        return self.rows * self.shape.context

    def names(self) -> list[Name]:
        """`all`, then what is changed of it one by one."""
        gpu = self.device != "cpu"
        made: list[Name] = ["all"]
        made += ["compile"] if self.compile else []
        made += ["precision"] if self.precision != "fp32" else []
        made += ["lanes"] if self.lanes > 1 else []
        attention = hasattr(self.shape, "heads")
        if attention:
            made += ["flash" if gpu else "tiling"]
        made += ["chunks"] if gpu else ["chunks", "memory"]
        if attention:
            made += ["recompute" if self.recompute else "keep"]
        return made


@dataclass(frozen=True)
class Measured:
    """A trial without the choice `off`: seconds of a step by the clock and by all processors
    (medians; on a GPU both by the clock), bytes that it held at most beyond the start (on a GPU
    there), the last step's loss; of `all`, shares of a step's time by kind too (without lanes)."""

    off: Name
    seconds: float
    cpu: float
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
    # The profiler says of itself that it starts and stops.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    device = torch.device(trial.device)
    if trial.threads is not None:
        torch.set_num_threads(trial.threads)
    if off == "tiling":
        attention.MATMUL_LIMIT = 0
    if off == "chunks":
        cross_entropy._CHUNK_FLOATS = cross_entropy._GPU_CHUNK_FLOATS = 1 << 62
        cross_entropy._SOFTMAX_FLOATS = 1 << 62
    if off == "flash":
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)
    if off == "memory":
        trainer.keep_freed_memory = lambda: False  # type: ignore[attr-defined]
    model = new_model(trial.shape)
    start_weights(model, 0)
    model.to(device)
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
                recompute=(trial.recompute and off != "recompute") or off == "keep",
                lanes=1 if off == "lanes" else trial.lanes,
                checkpoint_seconds=1e9,
            ),
            say=lambda _: None,
        )
        seconds: list[tuple[float, float]] = []
        losses: list[float] = []
        step = run._one_step

        def timed() -> dict[str, Any]:
            start, spent = _clocks(device)
            record = step()
            end, spent_then = _clocks(device)
            seconds.append((end - start, spent_then - spent))
            losses.append(record["loss"])
            return record

        run._one_step = timed  # type: ignore[method-assign]
        before = _peak(device)
        run.fit()
        return Measured(
            off,
            statistics.median(wall for wall, _ in seconds[_WARM:]),
            statistics.median(cpu for _, cpu in seconds[_WARM:]),
            _peak(device) - before,
            losses[-1],
            _parts(run, device) if off == "all" else {},
        )


class _Rows:
    """The trial's text; without one, rows in which each token tends to follow the last, so that
    there is a lesson."""

    def __init__(self, trial: Trial):
        self._trial = trial

    def next(self, moment: Moment) -> Batch:
        rows, shape, text_SBT = self._trial.rows, self._trial.shape, self._trial.text_SBT
        if text_SBT is not None:
            both_BT = torch.from_numpy(text_SBT[moment.step % len(text_SBT)])
        else:
            generator = torch.Generator().manual_seed(moment.seed)
            steps_BT = torch.randint(1, 4, (rows, shape.context + 1), generator=generator)
            both_BT = steps_BT.cumsum(1) % shape.vocab_size
        tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
        return Batch(tensors, tokens=self._trial.tokens)

    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None: ...


def first_rows(shards: TokenShards, rows: int, context: int, steps: int = 8) -> NDArray[np.int64]:
    """The first windows of a split for a trial of `steps` steps; fewer where it is short."""
    count = min(steps, max(1, (shards.total_tokens - 1) // (rows * context)))
    starts = np.arange(count * rows) * context % max(1, shards.total_tokens - context)
    return shards.gather(starts, context + 1).astype(np.int64).reshape(count, rows, context + 1)


def _clocks(device: torch.device) -> tuple[float, float]:
    """Seconds by the clock and CPU seconds of this process; on a GPU the clock's twice, when it
    has done all that it was given."""
    if device.type == "cpu":
        return time.perf_counter(), time.process_time()
    torch.accelerator.synchronize()
    return (time.perf_counter(),) * 2


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory()


def _parts(run: Any, device: torch.device) -> dict[str, float]:
    """Shares of three steps' time: matmul, memory-bound operations, waiting (for the batch; on a
    GPU whenever it has nothing to do), the rest (Python; on a GPU copies)."""
    from torch.profiler import ProfilerActivity, profile

    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    run._blocks.prepare()
    run._one_step()
    _clocks(device)
    start, waiting = time.perf_counter(), 0.0
    with profile(activities=activities) as profiler:
        for _ in range(3):
            waiting += 1e6 * run._one_step()["source_seconds"]
        _clocks(device)
    run._blocks.undo()
    wall = (time.perf_counter() - start) * 1e6
    sums: dict[str, float] = dict.fromkeys(("matmul", "memory-bound", "waiting", "the rest"), 0.0)
    for event in profiler.key_averages():
        if gpu:
            sums[_kind_on_gpu(event.key)] += event.self_device_time_total
        else:
            sums[_kind(event.key)] += event.self_cpu_time_total
    if gpu:
        sums["waiting"] = max(0.0, wall - sum(sums.values()))
    else:
        sums["waiting"] = waiting
        sums["the rest"] += max(0.0, wall - sum(sums.values()))
    return {kind: round(value / sum(sums.values()), 3) for kind, value in sums.items()}


def _kind(operation: str) -> str:
    if not operation.startswith(("aten::", "mkldnn::", "##")):
        return "the rest"
    return "matmul" if operation.startswith(_MATMUL) else "memory-bound"


def _kind_on_gpu(kernel: str) -> str:
    if kernel.startswith(("Memcpy", "Memset")):
        return "the rest"
    return "matmul" if any(name in kernel.lower() for name in _GPU_MATMUL) else "memory-bound"


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
