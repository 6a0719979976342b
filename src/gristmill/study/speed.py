"""How long a sweep will take: each size takes a few steps on text that says nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gristmill.stages.train_lm import dial_of
from gristmill.study.grid import PlannedRun, flops_of

if TYPE_CHECKING:
    from gristmill.scaling.dial import Dial

_STEPS = 3
# Log, clipping, checkpoints and probes, beside the steps themselves: measured on sweeps of 0.1 to
# 2.4 million parameters on two cores.
_BESIDE = 1.25
_MOST_ROWS = 8


def explain_runs(family: str, runs: Sequence[PlannedRun], vocabulary: int) -> list[str]:
    """The sweep in sentences: each size's runs, FLOPs and time."""
    lines = [
        f"{len(runs)} trainings of {len({run.size for run in runs})} sizes ({family}) "
        f"for a vocabulary of {vocabulary:,}:"
    ]
    flops = seconds = 0.0
    for size in dict.fromkeys(run.size for run in runs):
        own = [(run, dial_of(run.config, vocabulary)) for run in runs if run.size == size]
        speed = training_speed(own[-1][1])
        trained = sum(dial.tokens for _, dial in own)
        cost = sum(flops_of(dial) for _, dial in own)
        flops, seconds = flops + cost, seconds + trained / speed
        dial = own[0][1]
        lines.append(
            f"{dial.parameters:,} parameters, {len(own)} runs, {cost:.2g} FLOPs, "
            f"{_BESIDE * trained / speed:,.0f} s"
        )
        lines += [
            f"  {dial.tokens:,} tokens: {dial.steps:,} steps of {dial.batch_rows} rows"
            for dial in dict.fromkeys(dial for _, dial in own)
        ]
    lines.append(
        f"in all {flops:.3g} FLOPs, about {_BESIDE * seconds / 60:.1f} minutes at the speed "
        "measured now, scoring not counted"
    )
    return lines


def training_speed(dial: Dial) -> float:
    """Tokens a second of full steps (forward, backward, update) of this shape, here and now."""
    import torch

    from gristmill.model.device import choose_device
    from gristmill.model.weights import new_model
    from gristmill.train.objectives import NextToken
    from gristmill.train.optimizers import Optimizer, OptimizerSettings
    from gristmill.train.precision import Computing, choose_precision

    device = choose_device("auto")
    model = new_model(dial.model)
    model.init_weights(0)
    model.to(device)
    optimizer = Optimizer(model, OptimizerSettings())
    choice = choose_precision("auto", device)
    computing = Computing(NextToken(), {"policy": model}, choice.precision)
    rows = min(dial.batch_rows, _MOST_ROWS)
    both_BT = torch.randint(dial.model.vocab_size, (rows, dial.model.context + 1), device=device)
    best = float("inf")
    for step in range(_STEPS):
        start = time.perf_counter()
        loss = computing.loss({"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]})
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step(step, 1.0)
        model.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return rows * dial.model.context / best
