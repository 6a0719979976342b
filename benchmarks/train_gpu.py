"""Pre-training on one GPU: tokens a second, MFU, loss against time, and the 1 billion shape.

    .venv/bin/python benchmarks/train_gpu.py [--quick] [--precision bf16|fp8] [--tokens FOLDER]
                                             [--minutes 10] [--dry]

124 million parameters (GPT-2 small's shape of depth and width: 12 layers of 768, 12 heads, 50,304
tokens of vocabulary, 1,024 context), 64 rows held at once, 8 micro-batches a step, Muon, compiled
blocks, attention kept inside documents of 400 tokens on average, through the trainer with all that
it does in a step. Then 1 billion parameters (18 layers of 2,048). MFU is the share of the maker's
published peak in bf16 (train/peaks.py), in fp8 too, by 6 N + causal attention (model/flops.py).
With --tokens (an artifact of `tokenizer encode`, or any folder with tokens.json) both architectures
are then trained on it for --minutes each, and the loss over time is in the last line.

Exits 3 where there is no CUDA device. --dry runs the whole of it on the CPU with tiny shapes, to
see that it works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beside import finish, missing

from gristmill.core.run import Run
from gristmill.model.flops import ModelConfig, flops_per_token
from gristmill.model.speedrun_config import SpeedrunConfig
from gristmill.model.transformer import TransformerConfig, document_segments
from gristmill.model.weights import new_model
from gristmill.tokenizer.shards import TokenShards
from gristmill.train.gpu import prepare
from gristmill.train.interfaces import Batch, Moment, Source, State
from gristmill.train.metrics import read_metrics
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.precision import Precision
from gristmill.train.prefetch import Prefetched
from gristmill.train.schedules import Schedule
from gristmill.train.starting import start_weights
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import METRICS, Settings, Trainer

SMALL = TransformerConfig(
    50_304, width=768, layers=12, heads=12, kv_heads=12, head_dim=64, mlp_width=2048, context=1024
)
SECOND = SpeedrunConfig(
    50_304, width=768, layers=12, heads=12, kv_heads=12, head_dim=64, mlp_width=3072, context=1024,
    tied=True, value_embeddings=1, logit_cap=15.0,
)  # fmt: skip
BILLION = TransformerConfig(
    50_304, width=2048, layers=18, heads=16, kv_heads=16, head_dim=128, mlp_width=5632,
    context=1024,
)  # fmt: skip
_DOCUMENT = 400
_WARM = 5
# Those that the size dial gives a model of this width (scaling/dial.py).
RATES = OptimizerSettings(
    matrix_lr=0.03, embedding_lr=0.01, head_lr=0.01, other_lr=0.003, weight_decay=0.0
)


class Random:
    """Rows of random documents."""

    def __init__(self, shape: ModelConfig, rows: int):
        self._shape, self._rows = shape, rows

    def next(self, moment: Moment) -> Batch:
        rng = np.random.default_rng(moment.step)
        size = (self._rows, self._shape.context + 1)
        ids_BT = rng.integers(1, self._shape.vocab_size, size)
        ids_BT[rng.random(size) < 1 / _DOCUMENT] = 0
        both_BT = torch.from_numpy(ids_BT)
        tensors = {
            "tokens_BT": both_BT[:, :-1],
            "targets_BT": both_BT[:, 1:],
            "segments_BT": document_segments(both_BT[:, :-1], 0),
        }
        length = self._shape.context
        return Batch(tensors, tokens=self._rows * length, length=length)

    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None: ...


def tiny(shape: ModelConfig) -> ModelConfig:
    """The same shape with sizes that a CPU trains in a second."""
    sizes = {"vocab_size": 320, "width": 64, "layers": 2, "heads": 2, "kv_heads": 2}
    return dataclasses.replace(shape, **sizes, head_dim=32, mlp_width=128, context=32)


def train(
    shape: ModelConfig,
    source: Source,
    steps: int,
    arguments: argparse.Namespace,
    micro_batch: int,
    seconds: float = 1e9,
) -> tuple[list[dict[str, Any]], int]:
    """The records of each step, or of as many as fit into `seconds`; and the parameters."""
    device = torch.device("cpu" if arguments.dry else "cuda")
    model = new_model(shape)
    start_weights(model, 0)
    model.to(device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            Run(Path(folder)),
            models={"policy": model},
            optimizers={"policy": Optimizer(model, RATES)},
            source=Until(Prefetched(source, pinned=not arguments.dry), seconds),
            objective=NextToken(),
            schedule=Schedule("wsd", steps, warmup=min(100, steps // 10), decay=steps // 2),
            settings=Settings(
                micro_batch=micro_batch,
                precision=arguments.precision,
                compile=not arguments.dry,
                checkpoint_seconds=1e9,
            ),
            flops_per_token=lambda length: flops_per_token(shape, length),
            title=f"{model.num_parameters() / 1e6:,.0f} M",
        )
        with contextlib.suppress(TimeUp):
            trainer.fit()
        return read_metrics(Path(folder) / METRICS), model.num_parameters()


class TimeUp(Exception):
    """The minutes of a training are over."""


class Until:
    """A source that ends the training when its time is up; compiling is not counted."""

    def __init__(self, source: Source, seconds: float):
        self._source, self._seconds = source, seconds
        self._start = 0.0

    def next(self, moment: Moment) -> Batch:
        if moment.step == _WARM:
            self._start = time.monotonic()
        if moment.step > _WARM and time.monotonic() - self._start > self._seconds:
            raise TimeUp
        return self._source.next(moment)

    def state(self) -> State:
        return self._source.state()

    def restore(self, state: State) -> None:
        self._source.restore(state)


def speed(
    shape: ModelConfig, rows: int, micro: int, steps: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """Medians over the steps after the warm-up."""
    records, parameters = train(shape, Random(shape, rows), steps, arguments, micro)
    kept = records[_WARM:]
    found: dict[str, float] = {"parameters": parameters, "steps": len(kept)}
    for name in ("tokens_per_second", "seconds", "source_seconds", "mfu", "mfu_published"):
        values = [record[name] for record in kept if name in record]
        if values:
            found[name] = statistics.median(values)
    found["memory_bytes"] = records[-1]["memory_bytes"]
    found["compile_seconds"] = records[0]["seconds"]
    return found


def curve(
    shape: ModelConfig, rows: int, micro: int, rate: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    """The training loss over seconds and tokens, each point a mean of a fiftieth of the steps.

    rate: tokens a second, so that the schedule ends with the minutes.
    """
    seconds = 60 * arguments.minutes
    steps = max(_WARM + 5, round(rate * seconds / (rows * shape.context)))
    split = TokenShards.open(arguments.tokens, "train")
    source = TextSource(
        {"train": split}, [Phase(steps, {"train": 1.0})],
        context=shape.context, batch=rows, seed=0, document_mask=True,
    )  # fmt: skip
    records, _ = train(shape, source, steps, arguments, micro, seconds)
    spent = np.cumsum([record["seconds"] for record in records])
    size = max(1, len(records) // 50)
    points = [
        {
            "seconds": round(float(spent[end - 1] - spent[0]), 1),
            "tokens": records[end - 1]["tokens"],
            "loss": statistics.fmean(r["loss"] for r in records[end - size : end]),
        }
        for end in range(size, len(records) + 1, size)
    ]
    return {"steps": len(records), "points": points}


def said(name: str, found: Mapping[str, float]) -> None:
    """One line for a person."""
    mfu = found.get("mfu_published", found.get("mfu", 0.0))
    print(
        f"{name}: {found['tokens_per_second']:,.0f} tokens/s, {100 * mfu:.1f}% MFU, waits "
        f"{100 * found['source_seconds'] / found['seconds']:.2f}% for its text, "
        f"{found['memory_bytes'] / 2**30:.1f} GiB, first step {found['compile_seconds']:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 steps, not 60")
    parser.add_argument("--precision", choices=("bf16", "fp8"), default="bf16")
    parser.add_argument("--tokens", type=Path, help="token shards to train on for --minutes")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU")
    arguments = parser.parse_args()
    precision: Precision = arguments.precision
    if arguments.dry and precision == "fp8":
        parser.error("--dry computes in bf16: the CPU has no fast products in fp8")
    if not arguments.dry and not torch.cuda.is_available():
        missing("this machine has no CUDA device", "--dry tries the program on the CPU")
    os.environ.setdefault("GRISTMILL_PROGRESS", "off")
    result: dict[str, Any] = {"precision": precision, "dry": arguments.dry}
    if not arguments.dry:
        result["device"] = torch.cuda.get_device_name()
        for sentence in prepare(torch.device("cuda")):
            print(f"  {sentence}", flush=True)
    steps = _WARM + (3 if arguments.dry else 20 if arguments.quick else 60)
    plans: dict[str, tuple[ModelConfig, int, int]] = {
        "small": (SMALL, 512, 64),
        "second": (SECOND, 512, 64),
        "billion": (BILLION, 128, 16),
    }
    if arguments.dry:
        plans = {name: (tiny(shape), 8, 4) for name, (shape, _, _) in plans.items()}
    for name, (shape, rows, micro) in plans.items():
        result[name] = speed(shape, rows, micro, steps, arguments)
        said(name, result[name])
    if arguments.tokens is not None:
        for name in ("small", "second"):
            shape, rows, micro = plans[name]
            shape = dataclasses.replace(
                shape, vocab_size=TokenShards.open(arguments.tokens, "train").vocab_size
            )
            rate = result[name]["tokens_per_second"]
            result[f"{name}_curve"] = curve(shape, rows, micro, rate, arguments)
            last = result[f"{name}_curve"]["points"][-1]
            print(f"{name}: loss {last['loss']:.3f} after {last['seconds']:,.0f} s", flush=True)
    finish(result)


if __name__ == "__main__":
    main()
