"""What must hold at the first step, and what a source may compute with the models."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gristmill.core.errors import GristmillError
from gristmill.train.checkpoints import model_tensors
from gristmill.train.interfaces import Batch, Loss, Models, Moment, State
from gristmill.train.metrics import METRICS, read_metrics
from gristmill.train.objectives import NextToken
from gristmill.train.precision import Computing
from gristmill.train.trainer import Trainer

_spec = importlib.util.spec_from_file_location(
    "train_checks_conftest", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)

Make = Callable[..., Trainer]


class LossBelow:
    """A check that counts its calls."""

    name = "the loss starts low"

    def __init__(self, limit: float):
        self.limit, self.calls = limit, 0

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        self.calls += 1
        assert not models["policy"].training and not torch.is_grad_enabled()
        mean = float(loss.total.detach()) / float(loss.count)
        return None if mean < self.limit else f"{mean:.3f} is not below {self.limit}"


def test_a_broken_check_stops_the_run_with_its_name_and_nothing_moves(
    trainer: Make, tmp_path: Path
) -> None:
    broken = trainer(tmp_path / "run")
    broken._checks = [LossBelow(100.0), LossBelow(0.5)]
    before = {n: t.clone() for n, t in shared.weights(broken).items()}
    with pytest.raises(GristmillError, match=r"'the loss starts low' failed.*is not below 0.5"):
        broken.fit()
    assert shared.same(before, shared.weights(broken))


def test_a_sound_check_runs_once_for_each_micro_batch_of_the_first_step(
    trainer: Make, tmp_path: Path
) -> None:
    plain, checked = trainer(tmp_path / "plain"), trainer(tmp_path / "checked")
    check = LossBelow(100.0)
    checked._checks = [check]
    rows = checked._source._batch
    checked._gradients._micro_batch = rows // 2
    plain._gradients._micro_batch = rows // 2
    plain.fit()
    checked.fit()
    assert check.calls == 2
    # Looking changed nothing.
    assert shared.same(shared.weights(plain), shared.weights(checked))


class Watching:
    """A source that asks for the loss of its own batch before it hands it out."""

    def __init__(self, inner: object):
        self.inner, self.seen = inner, []

    def next(self, moment: Moment) -> Batch:
        batch = self.inner.next(moment)
        objective = NextToken()
        loss = moment.compute(lambda models: objective(batch.slice(0, batch.rows), models))
        assert not loss.total.requires_grad
        self.seen.append(float(loss.total) / float(loss.count))
        return replace(batch, metrics={"seen": self.seen[-1]})

    def state(self) -> State:
        return self.inner.state()

    def restore(self, state: State) -> None:
        self.inner.restore(state)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_source_computes_is_what_the_objective_computes(
    trainer: Make, tmp_path: Path, precision: str
) -> None:
    watched = trainer(tmp_path / "run", precision=precision)
    watched._source = Watching(watched._source)
    watched.fit()
    records = read_metrics(tmp_path / "run" / METRICS)
    assert [r["seen"] for r in records] == [r["loss"] for r in records]


def test_looking_gives_the_modes_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    model[0].eval()
    computing = Computing(lambda tensors, models: Loss(torch.zeros(()), 1), {"m": model}, "fp32")
    assert computing.look(lambda models: models["m"].training) is False
    assert model.training and not model[0].training and model[1].training


def test_frozen_parameters_are_no_state() -> None:
    model = torch.nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    assert list(model_tensors(model)) == ["bias"]
