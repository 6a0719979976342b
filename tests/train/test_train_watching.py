"""What is watched, and what makes a step cheap: the same numbers as the plain way."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gristmill.core.errors import DamagedArtifact
from gristmill.model.transformer import Transformer
from gristmill.tokenizer.shards import TokenShards
from gristmill.train import checkpoints
from gristmill.train.checkpoints import Checkpoint, Writer, folders, load
from gristmill.train.cross_entropy import cross_entropy_sum
from gristmill.train.interfaces import Loss, Models
from gristmill.train.objectives import NextToken
from gristmill.train.precision import Computing
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import Trainer
from gristmill.train.watching import SPIKE_STEPS, measured_update, spike

_spec = importlib.util.spec_from_file_location(
    "train_conftest_watching", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
weights, same, SHAPE, CONTEXT, VOCAB = (
    shared.weights, shared.same, shared.SHAPE, shared.CONTEXT, shared.VOCAB,
)  # fmt: skip

Make = Callable[..., Trainer]


def test_a_spike_is_more_than_six_deviations_over_128_losses() -> None:
    window = [2.0, 4.0] * (SPIKE_STEPS // 2)  # mean 3, deviation 1
    assert spike(window, 9.5) == pytest.approx(6.5)
    assert spike(window, 8.9) is None
    assert spike(window[1:], 100.0) is None  # too few to say
    assert spike([1000.0, *window], 9.5) == pytest.approx(6.5)  # older ones do not count
    assert spike([1.0] * SPIKE_STEPS, 1.0) is None


def test_an_update_is_measured_by_hand() -> None:
    first, second = torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])
    found: dict[str, float] = {}
    with measured_update([first, second], found):
        first += torch.tensor([0.0, 1.0])
        second -= 2.0
    assert found["update_norm"] == pytest.approx(5**0.5)
    assert found["update_ratio"] == pytest.approx(5**0.5 / 5.0)


class SpikeAt:
    """The loss of one step is larger by 100."""

    def __init__(self, step: int):
        self.step, self.calls = step, 0

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        found = NextToken()(tensors, models)
        self.calls += 1
        more = 100.0 * float(found.count) if self.calls == self.step else 0.0
        return Loss(found.total + more, found.count)


def test_a_spike_is_said_and_logged(trainer: Make, tmp_path: Path) -> None:
    said: list[str] = []
    one = trainer(
        tmp_path, steps=140, objective=SpikeAt(135), say=said.append, update_norm_every=70
    )
    one.fit()
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log if "spike" in record] == [135]
    assert next(s for s in said if "spike" in s).startswith("step 135: the loss 10")
    assert [record["step"] for record in log if "update_norm" in record] == [1, 71]
    assert all(record["update_ratio"] > 0 for record in log if "update_norm" in record)


def test_in_the_background_the_bits_are_the_same(trainer: Make, tmp_path: Path) -> None:
    at_once = trainer(tmp_path / "a", checkpoint_steps=3, keep=20)
    at_once.fit()
    beside = trainer(tmp_path / "b", checkpoint_steps=3, keep=20, background=True)
    beside.fit()
    assert same(weights(at_once), weights(beside))
    names = [path.name for path in folders(tmp_path / "a" / "checkpoints")]
    assert names == [path.name for path in folders(tmp_path / "b" / "checkpoints")]
    assert len(names) == 14
    for name in names:  # what a later step did to the weights is not in it
        first, second = (load(tmp_path / run / "checkpoints" / name) for run in "ab")
        assert same(dict(first.models["policy"]), dict(second.models["policy"]))
        assert same(dict(first.optimizers["policy"]), dict(second.optimizers["policy"]))


def small(step: int) -> Checkpoint:
    tensors = {"w": torch.full((4,), float(step))}
    return Checkpoint(step, {"policy": tensors}, {"policy": tensors})


def test_what_fails_in_the_background_is_raised_where_the_training_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path, keep=2, background=True)
    writer.write(small(1))
    writer.wait()
    assert writer.last == "step-00000001"

    def damaged(folder: Path) -> None:
        raise DamagedArtifact("damaged checkpoint", where=folder)

    monkeypatch.setattr(checkpoints, "verify", damaged)
    writer.write(small(2))
    with pytest.raises(DamagedArtifact):
        writer.write(small(3))
    assert writer.last == "step-00000001"
    assert [path.name for path in folders(tmp_path)] == ["step-00000001", "step-00000002"]


def test_some_are_kept_for_good(tmp_path: Path) -> None:
    writer = Writer(tmp_path, keep=2, keep_every=4)
    for step in range(1, 12):
        writer.write(small(step))
    assert [int(path.name[5:]) for path in folders(tmp_path)] == [4, 8, 10, 11]


def test_the_cast_weights_are_those_of_functional_call(tmp_path: Path) -> None:
    models = []
    for _ in range(2):
        model = Transformer(SHAPE)
        model.init_weights(1)
        models.append(model)
    both_BT = torch.randint(1, VOCAB, (6, CONTEXT + 1), generator=torch.Generator().manual_seed(0))
    tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
    halves = [{name: t[rows] for name, t in tensors.items()} for rows in (slice(3), slice(3, 6))]
    computing = Computing(NextToken(), {"policy": models[0]}, "bf16")
    with computing.held():
        for half in halves:
            computing.loss(half).total.backward()  # type: ignore[no-untyped-call]
    assert all(isinstance(p, torch.nn.Parameter) for p in models[0].parameters())

    class Called(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.policy = models[1]

        def forward(self, half: Mapping[str, Tensor]) -> Tensor:
            return NextToken()(half, {"policy": self.policy}).total

    called = Called()
    for half in halves:
        cast = {name: p.to(torch.bfloat16) for name, p in called.named_parameters()}
        torch.func.functional_call(called, cast, (half,)).backward()
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert (first.grad is None) == (second.grad is None)
        assert first.grad is None or torch.equal(first.grad, second.grad)


def test_parameters_come_back_where_the_loss_fails() -> None:
    model = Transformer(SHAPE)

    def fails(tensors: Mapping[str, Tensor], models: Models) -> Loss:
        assert next(models["policy"].parameters()).dtype == torch.bfloat16
        raise ValueError

    with pytest.raises(ValueError):
        Computing(fails, {"policy": model}, "bf16").loss({})
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_places_worked_out_ahead_are_those_of_each_sample(tokens_folder: Path) -> None:
    splits = {name: TokenShards.open(tokens_folder, name) for name in ("train", "anneal")}
    phases = [Phase(20, {"train": 1.0}), Phase(20, {"train": 0.3, "anneal": 0.7})]
    source = TextSource(splits, phases, context=CONTEXT, batch=8, seed=3)
    together = source.positions(100, 150)
    assert together == [source.position(sample) for sample in range(100, 250)]
    assert len({(p.split, p.epoch) for p in together}) > 2


def test_a_target_of_no_probability_has_its_logit_as_loss() -> None:
    hidden_ND = torch.tensor([[1.0], [1.0]], requires_grad=True)
    weight_VD = torch.tensor([[0.0], [-300.0], [1.0]], requires_grad=True)
    total, plain = cross_entropy_sum(hidden_ND, weight_VD, torch.tensor([1, 2]))
    logits_NV = (hidden_ND @ weight_VD.T).detach()
    expected = torch.nn.functional.cross_entropy(logits_NV, torch.tensor([1, 2]), reduction="sum")
    assert plain.item() == pytest.approx(expected.item(), rel=1e-6) and plain.item() > 300
    total.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(weight_VD.grad).all() if weight_VD.grad is not None else False
