"""What becomes of a training that is killed: nothing but time is lost.

    .venv/bin/python benchmarks/train_faults.py [--quick]

A small model is trained on random tokens. 17 + 23 steps, stopped by a signal between, and a run
stopped twice in the middle of a pass over the data end with the bits of a run that was not. Then
runs that write a checkpoint after each step are killed with SIGKILL while they write one, at
points spread over the writing, again and again, sync and in the background: each must go on from
a whole checkpoint that is at least as far as the one before, and the end must have the straight
run's bits. Children are forked, so it needs a POSIX system.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beside import finish

from gristmill.core.errors import Retryable
from gristmill.core.run import Run
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.shards import TokenShards, write_index
from gristmill.train.checkpoints import folders, load_latest
from gristmill.train.interfaces import Batch, Moment, State
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.schedules import Schedule
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import CHECKPOINTS, Settings, Trainer

CONTEXT, VOCABULARY, ROWS = 32, 256, 8
SHAPE = TransformerConfig(
    VOCABULARY, width=64, layers=2, heads=2, kv_heads=1, head_dim=32, mlp_width=128,
    context=CONTEXT,
)  # fmt: skip
WEIGHTS = "weights.sha256"
# A kill falls this long after the writing began, at most: longer than a checkpoint takes.
_WRITING_S = 0.06


class StopAt:
    """A source that sends its own process SIGTERM while the batch of a step is drawn."""

    def __init__(self, source: TextSource, step: int):
        self._source, self._step = source, step

    def next(self, moment: Moment) -> Batch:
        if moment.step == self._step:
            signal.raise_signal(signal.SIGTERM)
        return self._source.next(moment)

    def state(self) -> State:
        return self._source.state()

    def restore(self, state: State) -> None:
        self._source.restore(state)


def write_tokens(folder: Path) -> None:
    """Random tokens: a pass over them is 40 steps, so a run of 100 is in its third."""
    rng = np.random.default_rng(0)
    count = 40 * ROWS * CONTEXT + CONTEXT
    ids = rng.integers(1, VOCABULARY, count).astype("<u2")
    ids[::50] = 0
    (folder / "train").mkdir(parents=True)
    ids.tofile(folder / "train" / "shard-00000.bin")
    shards = [{"file": "train/shard-00000.bin", "tokens": count}]
    entry = {"shards": shards, "tokens": count, "documents": int((ids == 0).sum()), "bytes": count}
    write_index(folder, VOCABULARY, 0, {"train": entry})


def train(tokens: Path, run: Path, steps: int, stop: int | None = None, **settings: Any) -> None:
    """Trains to the end, or to the step after which it is stopped; leaves its weights' hash."""
    torch.set_num_threads(1)
    run.mkdir(parents=True, exist_ok=True)
    model = Transformer(SHAPE)
    model.init_weights(0)
    source = TextSource(
        {"train": TokenShards.open(tokens, "train")},
        [Phase(steps, {"train": 1.0})],
        context=CONTEXT, batch=ROWS, seed=1, document_mask=True,
    )  # fmt: skip
    trainer = Trainer(
        Run(run),
        models={"policy": model},
        optimizers={"policy": Optimizer(model, OptimizerSettings())},
        source=source if stop is None else StopAt(source, stop - 1),
        objective=NextToken(),
        schedule=Schedule("linear", steps, 5),
        settings=Settings(**{"precision": "bf16", "checkpoint_seconds": 1e9, **settings}),
        say=lambda _: None,
    )
    try:
        trainer.fit()
    except Retryable:
        return
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    for name, tensor in sorted(trainer._optimizers["policy"].tensors().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    (run / WEIGHTS).write_text(digest.hexdigest())


def forked(work: Callable[[], None]) -> int:
    """The process that does `work` and ends."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def done(child: int) -> bool:
    """Waits; whether it ended well."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def stopped(tokens: Path, folder: Path, steps: int, stops: list[int], straight: str) -> bool:
    """Whether a run that is stopped after each of these steps ends with the straight one's bits."""
    for stop in [*stops, None]:
        if not done(forked(lambda stop=stop: train(tokens, folder, steps, stop))):
            return False
    return (folder / WEIGHTS).read_text() == straight


def killed(
    tokens: Path, folder: Path, steps: int, kills: int, background: bool, straight: str
) -> dict[str, Any]:
    """Kills a run `kills` times while it writes a checkpoint, and then lets it end."""
    rng = random.Random(f"{kills} {background}")
    root = folder / CHECKPOINTS
    resumed, furthest, hit = 0, 0, 0
    for _ in range(kills):
        child = forked(
            lambda: train(tokens, folder, steps, checkpoint_steps=1, background=background)
        )
        begun = furthest + rng.randrange(3)
        while _newest(root) < begun or not any(root.glob(".step-*.tmp")):
            if os.waitpid(child, os.WNOHANG)[0]:
                raise RuntimeError("the run ended before it was killed")
            time.sleep(0.0002)
        time.sleep(rng.random() * _WRITING_S)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        hit += any(root.glob(".step-*.tmp"))
        found, _ = load_latest(root)
        step = 0 if found is None else found.step
        # Of two kept checkpoints the one before is whole even where the newest is not.
        resumed += step >= furthest
        furthest = step
    ended = done(forked(lambda: train(tokens, folder, steps, background=background)))
    equal = ended and (folder / WEIGHTS).read_text() == straight
    return {"kills": kills, "resumed": resumed, "while_writing": hit, "equal": equal}


def _newest(root: Path) -> int:
    found = folders(root)
    return int(found[-1].name[5:]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 kills each instead of 100")
    quick = parser.parse_args().quick
    if not hasattr(os, "fork"):
        print("it needs a system with fork", file=sys.stderr)
        raise SystemExit(3)
    os.environ["GRISTMILL_PROGRESS"] = "off"
    kills = 10 if quick else 100
    steps = 4 * kills + 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = folder / "tokens"
        write_tokens(tokens)
        straight = {}
        for length in (40, 100, steps):
            run = folder / f"straight-{length}"
            if not done(forked(lambda run=run, length=length: train(tokens, run, length))):
                raise RuntimeError("the straight run failed")
            straight[length] = (run / WEIGHTS).read_text()
        result: dict[str, Any] = {
            "17_and_23_equal_40": stopped(tokens, folder / "cut", 40, [17], straight[40]),
            "mid_pass_twice": stopped(tokens, folder / "twice", 100, [53, 97], straight[100]),
        }
        for kind, background in (("sync", False), ("background", True)):
            result[kind] = killed(tokens, folder / kind, steps, kills, background, straight[steps])
            print(f"  {kind}: {result[kind]}", flush=True)
    finish(result)


if __name__ == "__main__":
    main()
