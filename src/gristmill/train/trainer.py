"""The one loop: batch, loss, gradients, update, log, probes, checkpoint.

Everything that differs between pre-training, SFT, a reward model, DPO and PPO is plugged in
(interfaces.py). A run that is stopped or killed at any point goes on from its last checkpoint and
ends with the same bits as a run that was not, on one machine with a fixed number of threads.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.progress import progress
from gristmill.core.run import Run
from gristmill.core.seeds import derive_seed
from gristmill.train.allocation import keep_freed_memory
from gristmill.train.blocks import Blocks
from gristmill.train.gradients import Gradients, Processes
from gristmill.train.interfaces import (
    Check,
    Loss,
    Moment,
    Objective,
    Probe,
    Source,
    View,
)
from gristmill.train.keeping import CHECKPOINTS, Keeper, Progress
from gristmill.train.lanes import LaneChoice, Lanes, pinned_lanes
from gristmill.train.loss_scale import LossScale
from gristmill.train.metrics import METRICS, MetricsLog
from gristmill.train.optimizers import Optimizer
from gristmill.train.precision import DTYPES, Choice, Computing, choose_precision
from gristmill.train.schedules import Schedule
from gristmill.train.settings import Result, Settings
from gristmill.train.sinks import MetricsSink
from gristmill.train.stopping import StopRequest
from gristmill.train.watching import SPIKE_STEPS, Watch, measured_update, note, spike

__all__ = ["CHECKPOINTS", "Result", "Settings", "Trainer"]
_MEAN_STEPS = 50


def _say(sentence: str) -> None:
    # Not standard output: that is for results, which programs read.
    print(f"  {sentence}", file=sys.stderr, flush=True)


class Trainer:
    """Trains the models that have an optimizer; the others are frozen and only looked at.

    run: the folder that survives a kill; it holds checkpoints/, metrics.jsonl and pinned.json.
    models: by role. optimizers: by the role that each trains. flops_per_token: of a step's forward
    and backward pass, by the tokens of its rows (None: the model's context), for MFU, which leaves
    out what is computed again to save memory; None: no MFU. say: where a sentence to the user
    goes (default: standard error). checks: what must hold at the first step; one that does not
    stops the run with its name. sinks: read every record of metrics.jsonl as it is written.
    """

    def __init__(
        self,
        run: Run,
        *,
        models: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        source: Source,
        objective: Objective,
        schedule: Schedule,
        settings: Settings | None = None,
        probes: Sequence[Probe] = (),
        checks: Sequence[Check] = (),
        sinks: Sequence[MetricsSink] = (),
        flops_per_token: Callable[[int | None], float] | None = None,
        processes: Processes | None = None,
        say: Callable[[str], None] = _say,
        title: str = "train",
    ):
        self._run, self._models, self._optimizers = run, dict(models), dict(optimizers)
        self._source, self._schedule, self._probes = source, schedule, probes
        self._checks, self._sinks = checks, sinks
        self._settings = settings or Settings()
        self._flops_per_token, self._say, self._title = flops_per_token, say, title
        self._processes = processes or Processes()
        unknown = set(self._optimizers) - set(self._models)
        assert not unknown, f"optimizers without a model: {unknown}"
        for role, model in self._models.items():
            if role not in self._optimizers:
                model.requires_grad_(False)
        self._trained = [
            parameter
            for role in self._optimizers
            for parameter in self._models[role].parameters()
            if parameter.requires_grad
        ]
        self._device = self._trained[0].device
        self._choice = self._pinned_precision()
        self._peak = self._choice.peak
        self._objective = objective
        self._computing = Computing(objective, self._models, self._choice.precision)
        self._loss_scale = LossScale() if self._choice.precision == "fp16" else None
        self._gradients = Gradients(
            self._computing,
            self._trained,
            self._processes,
            micro_batch=self._settings.micro_batch,
            clip=self._settings.clip,
            loss_scale=self._loss_scale,
        )
        self._keeper = Keeper(run, self._models, self._optimizers, self._settings)
        self._watch = Watch(self._device)
        self._at = Progress()
        self._blocks = Blocks(
            self._models.values(), self._settings, self._choice.precision, self._say
        )
        self._gradients.fall_back = self._blocks.to_eager

    def fit(self) -> Result:
        """Trains to the schedule's last step.

        Raises Retryable after a checkpoint where SIGINT or SIGTERM asked to stop, GristmillError
        where the loss was not finite `max_bad_steps` times in a row.
        """
        self._resume()
        self._train_mode()
        keep_freed_memory()
        lanes, why = self._make_lanes()
        try:
            self._blocks.prepare(() if lanes is None else lanes.models)
            self._all_steps()
        finally:
            self._blocks.undo()
            if lanes is not None:
                self._gradients.lanes = None  # they hold a copy of the weights
                lanes.close()
        recent = self._at.recent[-_MEAN_STEPS:]
        return Result(
            steps=self._at.step,
            tokens=self._at.tokens,
            skipped=self._at.skipped,
            loss=sum(recent) / len(recent) if recent else math.nan,
            precision=self._choice,
            lanes=why,
        )

    def _all_steps(self) -> None:
        bar = progress(self._title, self._schedule.steps, "steps")
        bar.advance(self._at.step)
        log = MetricsLog(self._run.path / METRICS, self._sinks)
        try:
            with StopRequest() as stop, torch.random.fork_rng(devices=[]):
                saved, warming = time.monotonic(), self._settings.compile
                while self._at.step < self._schedule.steps:
                    record = self._one_step()
                    if warming:
                        self._say(f"the first step, which compiles, took {record['seconds']:.1f} s")
                        warming = False
                    log.write(record)
                    bar.advance(1, note=note(record))
                    if self._at.bad_in_a_row >= self._settings.max_bad_steps:
                        raise self._keeper.not_finite(self._at, record["loss"])
                    last = self._at.step == self._schedule.steps
                    for values in self._probe(last):
                        log.write(values)
                    if last or stop.signal or self._checkpoint_due(saved):
                        self._checkpoint()
                        if last or stop.signal:
                            self._keeper.wait()
                        saved = time.monotonic()
                    if stop.signal and not last:
                        raise Retryable(
                            f"{stop.signal} stopped the training after step {self._at.step} of "
                            f"{self._schedule.steps}",
                            where=self._run.path,
                            mend="give the same command again; it goes on from there",
                        )
        finally:
            self._keeper.close()
            log.close()
            bar.close()

    def _one_step(self) -> dict[str, Any]:
        """Draws a batch, moves the weights once (or skips), and says what happened."""
        start, step = time.perf_counter(), self._at.step
        seed = derive_seed(self._settings.seed, "step", step)
        self._seed(seed)
        look = self._computing.look
        moment = Moment(step, seed, self._processes.share, self._models, look)
        with self._blocks.eagerly():
            batch = self._source.next(moment)
        drawing = time.perf_counter() - start
        if step == 0:
            self._gradients.check = self._check
        loss, norm, metrics = self._gradients(batch)
        self._gradients.check = lambda tensors, loss: None
        factor = self._schedule.factor(step)
        seen: dict[str, Any] = {}
        finite = math.isfinite(loss) and math.isfinite(norm)
        excused = self._loss_scale.after(finite) if self._loss_scale is not None else False
        if finite:
            with measured_update(self._trained, seen) if self._measures(step) else nullcontext():
                for optimizer in self._optimizers.values():
                    optimizer.step(step, factor, self._gradients.scale)
            self._at.bad_in_a_row = 0
            sigmas = spike(self._at.recent, loss)
            if sigmas is not None:
                seen["spike"] = sigmas
                self._say(f"step {step + 1}: the loss {loss:.3f} is a spike of {sigmas:.1f} sigma")
            self._at.recent = [*self._at.recent[1 - SPIKE_STEPS :], loss]
        else:
            self._at.skipped += 1
            if not (excused and math.isfinite(loss)):
                self._at.bad_in_a_row += 1
        self._at.step += 1
        tokens = round(self._everywhere(batch.tokens))
        self._at.tokens += tokens
        seconds = time.perf_counter() - start
        record: dict[str, Any] = {"step": self._at.step, "loss": loss, **metrics}
        record |= dict(batch.metrics)
        record |= {"lr": factor, "grad_norm": norm, "tokens": self._at.tokens}
        record |= seen
        if self._loss_scale is not None:
            record["loss_scale"] = self._loss_scale.scale
        if self._schedule.annealing(step):
            record["annealing"] = True
        if self._at.skipped:
            record["skipped"] = self._at.skipped
        record |= {"position": dict(batch.info), "seconds": seconds}
        record["source_seconds"] = drawing
        record |= self._speed(tokens / seconds, batch.length)
        return record

    def _seed(self, seed: int) -> None:
        # torch.manual_seed would note a traceback for each kind of device that is not there yet:
        # 1.5 ms a step, and the notes add up.
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed_all(seed)
        elif self._device.type == "mps":
            torch.mps.manual_seed(seed)

    def _check(self, tensors: Mapping[str, Tensor], loss: Loss) -> None:
        """Raises GristmillError with the name of the first check that fails."""
        for check in self._checks:
            wrong = self._computing.look(partial(check, tensors, loss))
            if wrong is not None:
                raise GristmillError(
                    f"the check '{check.name}' failed before the first update: {wrong}",
                    where=self._run.path,
                    mend="nothing was trained; this is a defect of the data or of the program",
                )

    def _probe(self, last: bool) -> list[dict[str, Any]]:
        found = []
        for probe in self._probes:
            if last or (probe.every and self._at.step % probe.every == 0):
                for model in self._models.values():
                    model.eval()
                with torch.no_grad(), self._blocks.eagerly():
                    values = probe(View(self._at.step, self._at.tokens, self._models))
                named = {f"{probe.name}.{key}": value for key, value in values.items()}
                found.append({"step": self._at.step, **named})
                self._train_mode()
        return found

    def _train_mode(self) -> None:
        for role, model in self._models.items():
            model.train(role in self._optimizers)

    def _everywhere(self, value: float) -> float:
        return float(self._processes.sum(torch.tensor([float(value)], dtype=torch.float64))[0])

    def _speed(self, tokens_per_second: float, length: int | None) -> dict[str, float]:
        found = {"tokens_per_second": tokens_per_second}
        if self._flops_per_token and self._choice.peak:
            flops = tokens_per_second * self._flops_per_token(length)
            # Measured once, maybe while others kept the machine busy: no step is above the peak.
            if flops > self._peak == self._choice.peak:
                self._say(
                    f"a step reached {flops / 1e9:,.0f} GFLOP/s, above the measured peak of "
                    f"{self._peak / 1e9:,.0f}: MFU is a share of the fastest step from here on"
                )
            self._peak = max(self._peak, self._choice.peak, flops)
            found["mfu"] = flops / self._peak
            if self._choice.peak_published:
                found["mfu_published"] = flops / self._choice.peak_published
        found["memory_bytes"] = self._watch.memory_bytes()
        return found

    def _measures(self, step: int) -> bool:
        every = self._settings.update_norm_every
        return every > 0 and step % every == 0

    def _pinned_precision(self) -> Choice:
        """Measured at the first start, and the same in every later attempt."""
        asked = self._settings.precision
        pinned = self._run.pin("precision", lambda: choose_precision(asked, self._device).to_json())
        choice = Choice(**pinned)
        self._say(f"precision: {choice.precision} ({choice.reason})")
        return choice

    def _make_lanes(self) -> tuple[Lanes | None, LaneChoice]:
        choice = pinned_lanes(self._run, self._settings.lanes, self._models, self._device)
        if self._settings.lanes == "auto" and self._device.type == "cpu":
            self._say(f"lanes: {choice.count} ({choice.reason})")
        dtype, lanes = DTYPES[self._choice.precision], None
        if choice.count > 1:
            lanes = Lanes(self._objective, self._models, self._trained, dtype, choice.count)
        self._gradients.lanes = lanes
        return lanes, choice

    def _checkpoint_due(self, saved: float) -> bool:
        if self._at.bad_in_a_row:
            return False  # it would be named as the last good one
        steps = self._settings.checkpoint_steps
        if steps is not None:
            return self._at.step % steps == 0
        return time.monotonic() - saved >= self._settings.checkpoint_seconds

    def _checkpoint(self) -> None:
        more: dict[str, Any] = {"precision": self._choice.to_json()}
        if self._loss_scale is not None:
            more["loss_scale"] = self._loss_scale.state()
        self._keeper.save(self._at, self._source.state(), more)

    def _resume(self) -> None:
        self._at, state = self._keeper.resume(self._source, self._say)
        if not state:
            return
        if self._loss_scale is not None:
            self._loss_scale.restore(state["loss_scale"])
        self._say(f"goes on from step {self._at.step} of {self._schedule.steps}")
