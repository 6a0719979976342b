"""The loop: exact resume, stops, signals, skipped steps, accumulation, probes."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gristmill.core.errors import GristmillError, Retryable
from gristmill.model.transformer import Transformer
from gristmill.train.checkpoints import folders
from gristmill.train.interfaces import Batch, Loss, Models, Moment, State, View
from gristmill.train.metrics import METRICS, read_metrics
from gristmill.train.objectives import NextToken
from gristmill.train.trainer import Trainer

_spec = importlib.util.spec_from_file_location(
    "train_conftest", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
weights, same, SHAPE, CONTEXT, VOCAB = (
    shared.weights, shared.same, shared.SHAPE, shared.CONTEXT, shared.VOCAB,
)  # fmt: skip

Make = Callable[..., Trainer]


class StopAt:
    """Sends a signal to this process while the batch of a step is drawn."""

    def __init__(self, source: Any, step: int, number: signal.Signals = signal.SIGTERM):
        self.source, self.step, self.number = source, step, number

    def next(self, moment: Moment) -> Batch:
        if moment.step == self.step:
            signal.raise_signal(self.number)
        return self.source.next(moment)

    def state(self) -> State:
        return self.source.state()

    def restore(self, state: State) -> None:
        self.source.restore(state)


def stopped_at(make: Make, run: Path, step: int, number: signal.Signals = signal.SIGTERM) -> None:
    trainer = make(run)
    trainer._source = StopAt(trainer._source, step - 1, number)
    with pytest.raises(Retryable, match=f"after step {step} of 40"):
        trainer.fit()


def test_17_and_23_steps_equal_40(trainer: Make, tmp_path: Path) -> None:
    straight = trainer(tmp_path / "straight")
    result = straight.fit()
    stopped_at(trainer, tmp_path / "cut", 17)
    resumed = trainer(tmp_path / "cut")
    assert resumed.fit().loss == result.loss
    assert same(weights(straight), weights(resumed))
    states = [t._optimizers["policy"].tensors() for t in (straight, resumed)]
    assert same(*states)
    logs = [read_metrics(tmp_path / run / METRICS) for run in ("straight", "cut")]
    assert [r["loss"] for r in logs[0]] == [r["loss"] for r in logs[1]]
    assert len(logs[0]) == 40 and logs[0][-1]["loss"] < logs[0][0]["loss"]


def test_resumed_twice_in_the_annealing_phase(trainer: Make, tmp_path: Path) -> None:
    straight = trainer(tmp_path / "straight")
    straight.fit()
    stopped_at(trainer, tmp_path / "cut", 31, signal.SIGINT)
    stopped_at(trainer, tmp_path / "cut", 35)
    resumed = trainer(tmp_path / "cut")
    resumed.fit()
    assert same(weights(straight), weights(resumed))


def test_the_handlers_are_given_back(trainer: Make, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stopped_at(trainer, tmp_path / "run", 3)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_finished_run_is_not_trained_again(trainer: Make, tmp_path: Path) -> None:
    first = trainer(tmp_path / "run")
    first.fit()
    again = trainer(tmp_path / "run")
    assert again.fit().steps == 40
    assert same(weights(first), weights(again))
    assert len((tmp_path / "run" / METRICS).read_text().splitlines()) == 40


KILLED = """
    import importlib.util, pathlib, sys
    spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    class Gated:
        def __init__(self, source): self.source = source
        def next(self, moment):
            if moment.step >= int(sys.argv[4]):
                sys.stdin.read()  # nothing comes: here it waits to be killed
            return self.source.next(moment)
        def state(self): return self.source.state()
        def restore(self, state): self.source.restore(state)
    trainer = shared.make_trainer(
        pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), checkpoint_steps=1
    )
    trainer._source = Gated(trainer._source)
    trainer.fit()
"""


def test_killed_while_it_trains_and_writes_checkpoints(
    trainer: Make, tokens_folder: Path, tmp_path: Path
) -> None:
    straight = trainer(tmp_path / "straight")
    straight.fit()
    run = tmp_path / "killed"
    conftest = Path(__file__).parent / "conftest.py"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(conftest)]
    for at_least in (3, 13):  # two kills, each at whatever the process does then
        # It has leave for some steps more, so that it cannot end before.
        process = subprocess.Popen(
            [*command, str(tokens_folder), str(run), str(at_least + 12)], stdin=subprocess.PIPE
        )
        try:
            while process.poll() is None:
                found = folders(run / "checkpoints")
                if found and int(found[-1].name[5:]) >= at_least:
                    break
                time.sleep(0.001)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL or os.name == "nt"
    said: list[str] = []
    resumed = trainer(run, say=said.append)
    resumed.fit()
    assert any("goes on from step" in sentence for sentence in said)
    assert same(weights(straight), weights(resumed))
    losses = [
        [r["loss"] for r in read_metrics(tmp_path / name / METRICS)]
        for name in ("straight", "killed")
    ]
    assert losses[0] == losses[1]


def test_a_flipped_bit_falls_back_to_the_checkpoint_before(trainer: Make, tmp_path: Path) -> None:
    straight = trainer(tmp_path / "straight")
    straight.fit()
    cut = trainer(tmp_path / "cut", checkpoint_steps=5)
    cut._source = StopAt(cut._source, 16)
    with pytest.raises(Retryable):
        cut.fit()
    older, newest = folders(tmp_path / "cut" / "checkpoints")
    assert (older.name, newest.name) == ("step-00000015", "step-00000017")
    damaged = newest / "models" / "policy.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 4
    damaged.write_bytes(content)
    said: list[str] = []
    resumed = trainer(tmp_path / "cut", say=said.append)
    resumed.fit()
    assert any("step-00000017" in s and "policy.safetensors" in s for s in said)
    assert "goes on from step 15 of 40" in said
    assert same(weights(straight), weights(resumed))


class Poisoned:
    """The loss is not finite at the named steps."""

    def __init__(self, steps: set[int], value: float = math.nan):
        self.steps, self.value, self.calls = steps, value, 0

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        found = NextToken()(tensors, models)
        bad = self.calls in self.steps
        self.calls += 1
        return Loss(found.total * self.value, found.count) if bad else found


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_moves_nothing(
    trainer: Make, tmp_path: Path, value: float
) -> None:
    one = trainer(tmp_path / "run", objective=Poisoned({4, 5}, value))
    one._resume()
    seen = []
    for _ in range(7):
        record = one._one_step()
        state = {n: t.clone() for n, t in one._optimizers["policy"].tensors().items()}
        seen.append((weights(one), state, record))
    for bad in (4, 5):
        assert same(seen[bad][0], seen[3][0]) and same(seen[bad][1], seen[3][1])
    assert not same(seen[6][0], seen[5][0])
    assert seen[6][2]["skipped"] == 2


@pytest.mark.parametrize(("every", "good"), [(4, "step-00000008"), (1, "step-00000009")])
def test_three_in_a_row_stop_the_run_and_name_the_checkpoint(
    trainer: Make, tmp_path: Path, every: int, good: str
) -> None:
    poisoned = Poisoned({6, 9, 10, 11})
    with pytest.raises(GristmillError, match=good) as caught:
        trainer(tmp_path / "run", objective=poisoned, checkpoint_steps=every).fit()
    assert "3 steps in a row, up to step 12" in caught.value.what
    assert not isinstance(caught.value, Retryable)
    log = (tmp_path / "run" / METRICS).read_text().splitlines()
    assert json.loads(log[6])["loss"] is None  # NaN is no JSON
    assert len(log) == 12


class Ragged:
    """Eight rows, each with another number of loss tokens, one with none."""

    def next(self, moment: Moment) -> Batch:
        generator = torch.Generator().manual_seed(moment.seed)
        both_BT = torch.randint(1, VOCAB, (8, CONTEXT + 1), generator=generator)
        lengths_B = torch.tensor([1, 16, 3, 9, 0, 2, 16, 5])
        mask_BT = torch.arange(CONTEXT) < lengths_B[:, None]
        tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
        return Batch({**tensors, "mask_BT": mask_BT}, tokens=8 * CONTEXT)

    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None: ...


def test_accumulation_4_by_2_equals_a_batch_of_8_with_ragged_masks(
    trainer: Make, tmp_path: Path
) -> None:
    found = []
    for micro in (8, 2):
        model = Transformer(SHAPE)
        model.init_weights(1)
        with torch.no_grad():
            for parameter in model.parameters():  # no matrix of zeros: every gradient flows
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator()))
        one = trainer(
            tmp_path / str(micro), model=model, source=Ragged(), micro_batch=micro,
            precision="fp32",
        )  # fmt: skip
        batch = Ragged().next(Moment(0, 11, one._processes.share, one._models, one._computing.look))
        loss, norm, _ = one._gradients(batch)
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append((loss, norm, grads))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
    for name, grad in found[0][2].items():
        torch.testing.assert_close(grad, found[1][2][name], atol=1e-6, rtol=1e-4)


def test_the_loss_is_a_mean_over_loss_tokens_not_over_rows(trainer: Make, tmp_path: Path) -> None:
    one = trainer(tmp_path / "run", source=Ragged(), micro_batch=3, precision="fp32")
    batch = Ragged().next(Moment(0, 11, one._processes.share, one._models, one._computing.look))
    loss, _, _ = one._gradients(batch)
    model = one._models["policy"]
    assert isinstance(model, Transformer)
    logits_BTV = model.head(model(batch.tensors["tokens_BT"]))
    each_BT = torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1), batch.tensors["targets_BT"].flatten(), reduction="none"
    ).view(8, CONTEXT)
    mask_BT = batch.tensors["mask_BT"]
    assert loss == pytest.approx(each_BT[mask_BT].mean().item(), abs=1e-5)


def test_gradients_are_clipped_to_the_norm(trainer: Make, tmp_path: Path) -> None:
    one = trainer(tmp_path / "run", clip=0.05)
    batch = one._source.next(Moment(0, 1, one._processes.share, one._models, one._computing.look))
    _, norm, _ = one._gradients(batch)
    grads = [p.grad for p in one._trained if p.grad is not None]
    assert norm > 0.05
    clipped = float(torch.nn.utils.get_total_norm(grads)) * one._gradients.scale
    assert clipped == pytest.approx(0.05, rel=1e-4)


class Nosy:
    """A probe that draws random numbers and reports what it sees."""

    name, every = "nosy", 15

    def __call__(self, view: View) -> Mapping[str, Any]:
        assert not torch.is_grad_enabled()
        assert not any(model.training for model in view.models.values())
        torch.rand(100)
        return {"step": view.step, "tokens": view.tokens}


def test_probes_look_and_move_nothing(trainer: Make, tmp_path: Path) -> None:
    plain, watched = trainer(tmp_path / "plain"), trainer(tmp_path / "watched", probes=[Nosy()])
    plain.fit()
    watched.fit()
    assert same(weights(plain), weights(watched))
    seen = [r for r in read_metrics(tmp_path / "watched" / METRICS) if "nosy.step" in r]
    assert [r["nosy.step"] for r in seen] == [15, 30, 40]
    assert seen[0]["nosy.tokens"] == 15 * 8 * CONTEXT
    assert watched._models["policy"].training


def test_a_frozen_model_gets_no_gradient_and_is_not_saved(trainer: Make, tmp_path: Path) -> None:
    one = trainer(tmp_path / "run", steps=4)
    reference = Transformer(SHAPE)
    reference.init_weights(2)
    both = Trainer(
        one._run,
        models={**one._models, "reference": reference},
        optimizers=one._optimizers,
        source=one._source,
        objective=NextToken(),
        schedule=one._schedule,
        settings=one._settings,
        say=lambda _: None,
    )
    before = {n: t.clone() for n, t in reference.state_dict().items()}
    both.fit()
    assert same(before, dict(reference.state_dict()))
    assert not any(p.requires_grad for p in reference.parameters())
    (saved,) = folders(tmp_path / "run" / "checkpoints")
    assert [p.name for p in (saved / "models").iterdir()] == ["policy.safetensors"]


def test_the_precision_is_measured_once_and_pinned(trainer: Make, tmp_path: Path) -> None:
    first = trainer(tmp_path / "run", precision="auto")
    pinned = json.loads((tmp_path / "run" / "pinned.json").read_text())["precision"]
    assert pinned["precision"] in ("fp32", "bf16") and pinned["peak_fp32"] > 0
    other = "fp32" if pinned["precision"] == "bf16" else "bf16"
    again = trainer(tmp_path / "run", precision=other)
    assert again._choice == first._choice


def test_gradients_reach_float32_weights_in_float32(trainer: Make, tmp_path: Path) -> None:
    one = trainer(tmp_path / "run", precision="bf16")
    batch = one._source.next(Moment(0, 1, one._processes.share, one._models, one._computing.look))
    one._gradients(batch)
    assert {p.grad.dtype for p in one._trained if p.grad is not None} == {torch.float32}
    assert {p.dtype for p in one._trained} == {torch.float32}


def test_a_compilation_that_fails_falls_back_to_eager(
    trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = trainer(tmp_path / "eager", steps=8)
    eager.fit()

    def no_compiler(*_: object, **__: object) -> object:
        def fails(*_: object, **__: object) -> object:
            raise RuntimeError("no C++ compiler here")

        return fails

    monkeypatch.setattr(torch, "compile", no_compiler)
    said: list[str] = []
    compiled = trainer(tmp_path / "compiled", steps=8, compile=True, say=said.append)
    compiled.fit()
    assert "compiles 2 blocks at their first call" in said
    assert any("no C++ compiler here" in sentence and "eagerly" in sentence for sentence in said)
    assert same(weights(eager), weights(compiled))
