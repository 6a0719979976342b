"""Rows side by side: the same gradient, the same bits whoever is first, and an exact resume."""

from __future__ import annotations

import importlib.util
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gristmill.core.errors import GristmillError, Retryable
from gristmill.model.lstm import LstmConfig, LstmModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.train.gradients import Gradients, Processes
from gristmill.train.interfaces import Batch, Loss, Models
from gristmill.train.lanes import Lanes, choose_lanes
from gristmill.train.objectives import NextToken
from gristmill.train.precision import DTYPES, Computing, Precision
from gristmill.train.starting import start_weights
from gristmill.train.trainer import Trainer

_spec = importlib.util.spec_from_file_location(
    "train_conftest_of_lanes", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
same, weights = shared.same, shared.weights
Make = Callable[..., Trainer]
WIDE = TransformerConfig(
    12_000, width=128, layers=2, heads=2, kv_heads=2, head_dim=64, mlp_width=256, context=32,
    tied=False,
)  # fmt: skip


def _model(tied: bool = False) -> Transformer:
    shape = TransformerConfig(
        61, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, mlp_width=64, context=16,
        tied=tied,
    )  # fmt: skip
    model = Transformer(shape)
    start_weights(model, 7)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # no matrix of zeros, behind which all gradients are 0
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def _batch(rows: int = 8) -> Batch:
    both_BT = torch.randint(0, 61, (rows, 17), generator=torch.Generator().manual_seed(1))
    mask_BT = (both_BT[:, 1:] % 3 > 0).float()
    tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:], "mask_BT": mask_BT}
    return Batch(tensors, tokens=rows * 16, bytes=100.0)


def _gradients(
    lanes: int,
    precision: Precision = "fp32",
    *,
    tied: bool = False,
    batch: Batch | None = None,
    micro_batch: int | None = None,
    objective: Any = None,
    times: int = 1,
) -> tuple[float, float, dict[str, float], dict[str, Tensor]]:
    """Mean loss, norm, metrics and the gradients, computed `times` times."""
    models, objective = {"policy": _model(tied)}, objective or NextToken()
    trained = list(models["policy"].parameters())
    computing = Computing(objective, models, precision)
    found = Gradients(computing, trained, Processes(), micro_batch=micro_batch, clip=1.0)
    made = Lanes(objective, models, trained, DTYPES[precision], lanes) if lanes > 1 else None
    found.lanes = made
    try:
        for _ in range(times):
            loss, norm, metrics = found(batch or _batch())
    finally:
        if made is not None:
            made.close()
    named = models["policy"].named_parameters()
    scaled = {n: p.grad * found.scale for n, p in named if p.grad is not None}
    assert norm == pytest.approx(_norm(scaled) if norm < 1.0 else norm * _norm(scaled), rel=1e-5)
    return loss, norm, metrics, scaled


def _norm(grads: dict[str, Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(list(grads.values())))


def test_each_lane_works_with_one_thread() -> None:
    """A lane's operations that shared themselves out again would wait for each other's threads."""
    seen = []

    def objective(tensors: Any, models: Any) -> Loss:
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return NextToken()(tensors, models)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _gradients(2, objective=objective)
        assert sorted(seen) == [("lane-0_0", 1), ("lane-1_0", 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("micro_batch", [None, 4, 7])
def test_lanes_give_the_gradient_of_the_whole(tied: bool, micro_batch: int | None) -> None:
    loss, norm, metrics, whole = _gradients(1, tied=tied)
    for lanes in (2, 3):
        again = _gradients(lanes, tied=tied, micro_batch=micro_batch)
        assert again[0] == pytest.approx(loss, rel=1e-6)
        assert again[1] == pytest.approx(norm, rel=1e-5)
        assert again[2] == pytest.approx(metrics, rel=1e-6)
        assert set(again[3]) == set(whole)
        for name, grad in whole.items():
            assert grad.dtype == again[3][name].dtype == torch.float32
            torch.testing.assert_close(again[3][name], grad, rtol=1e-4, atol=1e-6)


def test_low_products_are_summed_in_float32() -> None:
    *_, exact = _gradients(1)
    *_, whole = _gradients(1, "bf16")
    *_, cut = _gradients(2, "bf16")
    for name, grad in exact.items():
        assert (cut[name] - grad).norm() <= 1.3 * (whole[name] - grad).norm() + 1e-6


class _InOrder:
    """Lets the lanes end in a given order, once all have been through it alone."""

    def __init__(self, order: list[str]):
        self._order, self._done = order, {name: threading.Event() for name in order}
        self._calls, self._lock = 0, threading.Lock()

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        found = NextToken()(tensors, models)
        with self._lock:
            self._calls += 1
            first = self._calls <= len(self._order)
        if not first:
            me = threading.current_thread().name.split("_")[0]
            place = self._order.index(me)
            if place:
                assert self._done[self._order[place - 1]].wait(60)
            found.total.register_hook(lambda grad: self._done[me].set())
        return found


def test_the_sum_does_not_know_who_was_first() -> None:
    names = ["lane-0", "lane-1", "lane-2"]
    forward = _gradients(3, objective=_InOrder(names), times=2)
    backward = _gradients(3, objective=_InOrder(names[::-1]), times=2)
    assert forward[:3] == backward[:3]
    assert same(forward[3], backward[3])


def test_fewer_rows_than_lanes_are_taken_whole() -> None:
    batch = _batch(rows=2)
    whole, cut = _gradients(1, batch=batch), _gradients(3, batch=batch)
    assert same(whole[3], cut[3])


def test_17_and_23_steps_equal_40_in_lanes(trainer: Make, tmp_path: Path) -> None:
    straight = trainer(tmp_path / "straight", lanes=2)
    straight.fit()
    stopped = trainer(tmp_path / "stopped", lanes=2)
    step = stopped._one_step

    def stop_after_17() -> dict[str, Any]:
        record = step()
        if record["step"] == 17:
            signal.raise_signal(signal.SIGTERM)
        return record

    stopped._one_step = stop_after_17  # type: ignore[method-assign]
    with pytest.raises(Retryable, match="after step 17"):
        stopped.fit()
    # The number is the run's: what the next attempt asks for does not matter.
    resumed = trainer(tmp_path / "stopped", lanes=1)
    resumed.fit()
    assert same(weights(straight), weights(resumed))


def test_recomputed_in_lanes_gives_the_same_bits(trainer: Make, tmp_path: Path) -> None:
    plain = trainer(tmp_path / "a", steps=6, lanes=2)
    again = trainer(tmp_path / "b", steps=6, lanes=2, recompute=True)
    plain.fit()
    again.fit()
    assert same(weights(plain), weights(again))


def test_a_compilation_that_fails_in_a_lane_falls_back_to_eager(
    trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trainer(tmp_path / "plain", steps=6, lanes=2)
    plain.fit()

    def no_compiler(*_: object, **__: object) -> object:
        def call(*_: object, **__: object) -> object:
            raise RuntimeError("no C++ compiler here")

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    said: list[str] = []
    compiled = trainer(tmp_path / "compiled", steps=6, lanes=2, compile=True, say=said.append)
    compiled.fit()
    assert "compiles 2 blocks at their first call" in said
    assert sum("no C++ compiler here" in sentence for sentence in said) == 1
    assert same(weights(plain), weights(compiled))


def test_a_check_that_fails_in_a_lane_stops_the_run(trainer: Make, tmp_path: Path) -> None:
    class Never:
        name = "never right"

        def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str:
            return f"{tensors['tokens_BT'].shape[0]} rows"

    made = trainer(tmp_path, steps=6, lanes=2)
    made._checks = [Never()]
    with pytest.raises(GristmillError, match=r"never right.*4 rows"):
        made.fit()
    assert not any(thread.name.startswith("lane-") for thread in threading.enumerate())


def test_a_check_looks_at_one_lane_at_a_time(trainer: Make, tmp_path: Path) -> None:
    together: list[bool] = []
    meeting = threading.Barrier(2)

    class Meets:
        name = "alone"

        def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> None:
            try:
                meeting.wait(0.2)
                together.append(True)
            except threading.BrokenBarrierError:
                together.append(False)
                meeting.reset()

    # The lanes take the first micro-batch one after the other anyway, the second not.
    made = trainer(tmp_path, steps=6, lanes=2, micro_batch=4)
    made._checks = [Meets()]
    made.fit()
    assert together == [False] * 4
    assert {p.dtype for p in made._models["policy"].parameters()} == {torch.float32}


def test_auto_knows_models_and_threads() -> None:
    cpu, small = torch.device("cpu"), _model()
    with torch.device("meta"):
        wide = Transformer(WIDE)
        lstm = LstmModel(LstmConfig(12_000, width=256, layers=1, hidden=256, context=32))
    for model in (wide, lstm):
        assert sum(p.numel() for p in model.parameters()) > 3_000_000
    assert choose_lanes("auto", {"policy": wide}, cpu).count == 1
    torch.set_num_threads(2)
    try:
        found = choose_lanes("auto", {"policy": wide}, cpu)
        assert (found.count, found.reason[:9]) == (2, "2 threads")
        assert choose_lanes("auto", {"policy": small}, cpu).count == 1
        assert choose_lanes("auto", {"policy": lstm}, cpu).count == 1
        assert choose_lanes("auto", {"policy": wide}, torch.device("cuda")).count == 1
        assert choose_lanes(3, {"policy": small}, cpu).count == 3
    finally:
        torch.set_num_threads(1)


def test_the_choice_is_said_and_the_threads_come_back(trainer: Make, tmp_path: Path) -> None:
    said: list[str] = []
    trainer(tmp_path / "one", steps=2, lanes="auto", say=said.append).fit()
    assert "lanes: 1 (one thread)" in said
    made = trainer(tmp_path / "two", steps=2, lanes=2)
    torch.set_num_threads(3)
    try:
        made.fit()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
