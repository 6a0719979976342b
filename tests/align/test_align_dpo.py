"""DPO: exact at the first step, the reference computed once, and the right answers pushed apart."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gristmill.align.chats import Answer, Preference
from gristmill.align.dpo import Dpo, DpoSource, StartsAtReference, answer_log_probabilities
from gristmill.align.dpo_evaluation import evaluate_dpo, pair_log_probabilities
from gristmill.align.pair_rows import Pair, encode_pairs, stack_pairs
from gristmill.core.errors import GristmillError
from gristmill.core.figure import t_mean
from gristmill.core.run import Run
from gristmill.infer.scoring import score_sequences
from gristmill.model.lora import add_adapters, disabled
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train.interfaces import Moment, Share, State
from gristmill.train.metrics import read_metrics
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.precision import Choice, Computing
from gristmill.train.schedules import Schedule
from gristmill.train.trainer import Settings, Trainer

CONTEXT = 64
CHAT = ChatFormat.native(Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4")))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def pairs_of(count: int, seed: int = 0) -> list[Pair]:
    """Chosen answers in a, rejected ones in z, ragged; one in five does not stop."""
    rng = random.Random(seed)
    given = []
    for number in range(count):
        question = Message("user", "".join(rng.choices("bcd", k=rng.randint(1, 9))))
        chosen = Answer("a" * rng.randint(1, 12), rng.random() > 0.2)
        rejected = Answer("z" * rng.randint(1, 12), rng.random() > 0.2)
        given.append(Preference(str(number), (question,), chosen, rejected))
    return encode_pairs(given, CHAT, CONTEXT)[0]


def model_of(seed: int = 1) -> Transformer:
    model = Transformer(
        TransformerConfig(
            CHAT.tokenizer.vocab_size, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
            mlp_width=64, context=CONTEXT, tied=False,
        )
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def make_trainer(
    model: Transformer, pairs: list[Pair], folder: Path, *, objective: Dpo | None = None,
    steps: int | None = None, source: DpoSource | None = None, models: Any = None, lr: float = 2e-3,
    **settings: Any,
) -> Trainer:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    objective = objective or Dpo()
    micro_batch = settings.setdefault("micro_batch", 3)
    source = source or DpoSource(pairs, batch=8, seed=5, micro_batch=micro_batch)
    rates = OptimizerSettings(
        matrix_optimizer="adamw", matrix_lr=lr, embedding_lr=lr, head_lr=lr, other_lr=lr,
        adapter_lr=lr,
    )  # fmt: skip
    run = Run(folder)
    precision = settings.get("precision", "fp32")
    run.pin("precision", lambda: Choice(precision, "pinned", 0.0, 0.0).to_json())
    return Trainer(
        run, models={"policy": model, **(models or {})},
        optimizers={"policy": Optimizer(model, rates)}, source=source, objective=objective,
        schedule=Schedule("linear", steps or 2 * source.steps_per_epoch),
        settings=Settings(**{"precision": "fp32", "checkpoint_steps": 4, **settings}),
        checks=[StartsAtReference(objective)], say=lambda _: None,
    )  # fmt: skip


def test_log_probabilities_are_of_the_answer_and_its_end_alone() -> None:
    model, pairs = model_of().eval(), pairs_of(7)
    tensors = stack_pairs(pairs)
    with torch.no_grad():
        found = answer_log_probabilities(
            model, tensors["tokens_PST"].flatten(0, 1), tensors["mask_PST"].flatten(0, 1)
        ).view(-1, 2)
    for row, pair in zip(found, pairs, strict=True):
        for value, side in zip(row.tolist(), ("chosen", "rejected"), strict=True):
            scores = score_sequences(model, [pair.conversation(side)])[0]  # type: ignore[arg-type]
            expected = float(scores[len(pair.prompt) - 1 :].sum())
            assert len(scores[len(pair.prompt) - 1 :]) == len(pair.answer(side))  # type: ignore[arg-type]
            assert value == pytest.approx(expected, abs=1e-4)
    both = pair_log_probabilities(model, pairs)
    assert np.allclose(both, found.numpy(), atol=1e-4)


class Dropping(torch.nn.Module):
    """Drops half of what a layer gives while it trains."""

    def __init__(self, inner: torch.nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, *arguments: Any, **named: Any) -> Any:
        return torch.dropout(self.inner(*arguments, **named), 0.5, self.training)


def test_what_is_read_beforehand_is_read_in_eval_mode() -> None:
    pairs = pairs_of(5)
    expected = pair_log_probabilities(model_of().eval(), pairs)
    model = model_of()
    for layer in model.model.layers:
        layer.mlp = Dropping(layer.mlp)
    model.train()
    assert pair_log_probabilities(model, pairs) == pytest.approx(expected, abs=1e-4)
    computing = Computing(lambda tensors, models: None, {"policy": model}, "fp32")  # type: ignore[arg-type,return-value]
    source = DpoSource(pairs, batch=5, seed=5)
    source.next(Moment(0, 0, Share(), {"policy": model}, computing.look))
    assert source.reference_PS is not None and model.training
    assert source.reference_PS.numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("rank", [0, 4])
def test_the_first_loss_is_log_2_and_the_first_margins_are_0(
    tmp_path: Path, precision: str, micro_batch: int | None, rank: int
) -> None:
    model = model_of()
    if rank:
        add_adapters(model, rank, 8.0)
    trainer = make_trainer(
        model, pairs_of(37), tmp_path, steps=1, precision=precision, micro_batch=micro_batch
    )
    trainer.fit()
    (first,) = read_metrics(tmp_path / "metrics.jsonl")
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["margin"] == 0.0 and first["accuracy"] == 0.0
    assert first["chosen_reward"] == 0.0 and first["rejected_reward"] == 0.0
    assert first["chosen_log_probability"] < 0


def test_the_whole_first_epoch_is_exact_while_the_policy_stands_still(tmp_path: Path) -> None:
    pairs = pairs_of(37)
    trainer = make_trainer(model_of(), pairs, tmp_path, steps=5, lr=0.0)
    trainer.fit()
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [record["margin"] for record in records] == [0.0] * 5
    assert [record["rejected_reward"] for record in records] == [0.0] * 5


def test_a_wrong_reference_is_stopped_by_name(tmp_path: Path) -> None:
    pairs, model = pairs_of(20), model_of()
    source = DpoSource(pairs, batch=8, seed=5, micro_batch=3)
    trainer = make_trainer(model, pairs, tmp_path, source=source)
    source.reference_PS = torch.from_numpy(pair_log_probabilities(model, pairs)).float() - 0.01
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(GristmillError, match=r"'DPO starts at log 2' failed.*differ by up to 0.01"):
        trainer.fit()
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    # Another model as the reference is the same mistake.
    trainer = make_trainer(model, pairs, tmp_path / "other", models={"reference": model_of(2)})
    with pytest.raises(GristmillError, match="DPO starts at log 2"):
        trainer.fit()
    # A reference that is a copy of the policy is none.
    trainer = make_trainer(model, pairs, tmp_path / "copy", models={"reference": model_of()})
    trainer.fit()


@pytest.mark.parametrize(
    ("form", "expected"),
    [("ipo", 1 / (4 * 0.25**2)), ("cdpo", math.log(2)), ("length_normalised", math.log(2))],
)
def test_every_form_starts_where_it_should(tmp_path: Path, form: Any, expected: float) -> None:
    objective = Dpo(beta=0.25, form=form, label_smoothing=0.2, sft_weight=0.5)
    trainer = make_trainer(model_of(), pairs_of(20), tmp_path, objective=objective, steps=1)
    trainer.fit()
    (first,) = read_metrics(tmp_path / "metrics.jsonl")
    assert first["preference_loss"] == pytest.approx(expected, rel=1e-6)
    assert first["loss"] == pytest.approx(expected + 0.5 * first["chosen_cross_entropy"], rel=1e-5)


def test_the_reference_is_computed_once_and_kept(tmp_path: Path) -> None:
    pairs, model = pairs_of(21), model_of()
    source = DpoSource(pairs, batch=8, seed=5, micro_batch=3)
    calls = []

    def compute(function: Any) -> Any:
        calls.append(1)
        with torch.no_grad():
            return function({"policy": model})

    moments = [Moment(s, 0, Share(), {"policy": model}, compute) for s in range(6)]
    drawn = [source.next(m) for m in moments[:4]]
    assert len(calls) == 9  # 3 batches of 7 pairs in parts of 3
    assert source.reference_PS is not None and bool(source.reference_PS.isfinite().all())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    resumed = DpoSource(pairs, batch=8, seed=5, micro_batch=3)
    resumed.restore(source.state())
    for m in moments[4:]:
        first, second = source.next(m), resumed.next(m)
        assert all(torch.equal(first.tensors[n], second.tensors[n]) for n in first.tensors)
    assert len(calls) == 9
    assert set(drawn[0].tensors) == {"tokens_PST", "mask_PST", "reference_PS"}
    with pytest.raises(GristmillError, match="of 21 pairs, not 20"):
        DpoSource(pairs[:20], batch=8, seed=5).restore(source.state())


def test_the_reference_is_read_in_the_shapes_that_the_objective_reads(tmp_path: Path) -> None:
    # What a product gives may depend on its shape: exactness rests on this, whatever the machine.
    shapes: list[tuple[int, ...]] = []
    model = model_of()
    model.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    trainer = make_trainer(model, pairs_of(37), tmp_path, steps=5)
    trainer._checks = []
    trainer.fit()
    half = len(shapes) // 2
    assert shapes[:half] == shapes[half:] and half == 15  # 5 batches of 7 or 8 in parts of 3
    assert len(set(shapes)) > 5


def test_two_processes_hold_the_same_reference_and_share_the_rows() -> None:
    pairs, model = pairs_of(21), model_of()

    def compute(function: Any) -> Any:
        with torch.no_grad():
            return function({"policy": model})

    sources = [DpoSource(pairs, batch=8, seed=5, micro_batch=2) for _ in range(2)]
    batches = [
        source.next(Moment(0, 0, Share(rank, 2), {"policy": model}, compute))
        for rank, source in enumerate(sources)
    ]
    first, second = (source.reference_PS for source in sources)
    assert first is not None and second is not None and torch.equal(first, second)
    assert [batch.rows for batch in batches] == [3, 4]


@pytest.mark.parametrize("rank", [0, 4])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, rank: int) -> None:
    def model() -> Transformer:
        made = model_of()
        if rank:
            add_adapters(made, rank, 8.0)
        return made

    pairs = pairs_of(37)
    straight = model()
    make_trainer(straight, pairs, tmp_path / "straight").fit()
    stopped = make_trainer(model(), pairs, tmp_path / "cut")
    one, steps = stopped._one_step, 0

    def until() -> dict[str, Any]:
        nonlocal steps
        steps += 1
        if steps == 7:
            raise KeyboardInterrupt
        return one()

    stopped._one_step = until  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    resumed = model()
    make_trainer(resumed, pairs, tmp_path / "cut").fit()
    own = straight.state_dict()
    assert all(torch.equal(own[n], t) for n, t in resumed.state_dict().items())
    kept = load_file(tmp_path / "cut/checkpoints/step-00000010/source.safetensors")
    assert kept["reference_PS"].shape == (37, 2)


@pytest.mark.parametrize("rank", [0, 8])
def test_it_learns_what_was_preferred(tmp_path: Path, rank: int) -> None:
    train, held = pairs_of(160), pairs_of(50, seed=8)
    model = model_of()
    if rank:
        add_adapters(model, rank, 16.0)
    reference = pair_log_probabilities(model, held)
    before = evaluate_dpo(model, reference, held, beta=0.1)
    assert before.margin.value == 0.0 and before.accuracy.value == 0.0
    make_trainer(model, train, tmp_path, lr=5e-3 if rank else 2e-3).fit()
    after = evaluate_dpo(model, reference, held, beta=0.1)
    assert after.accuracy.value > 0.9
    assert after.margin.low is not None and after.margin.low > 0
    assert after.chosen_change.value > after.rejected_change.value
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert records[-1]["loss"] < records[0]["loss"]
    if rank:  # the reference is still there: no second model is needed
        with disabled(model):
            again = evaluate_dpo(model, reference, held, beta=0.1)
        assert again.margin.value == 0.0 and again.chosen_change.value == 0.0


@pytest.mark.parametrize("form", ["dpo", "ipo", "length_normalised"])
def test_what_is_logged_and_judged_is_of_the_sides_it_says(form: Any) -> None:
    pairs, policy, old = pairs_of(9), model_of(2).eval(), model_of()
    own, reference = (pair_log_probabilities(model, pairs) for model in (policy, old))
    ratio = own - reference
    lengths = np.array([[len(pair.chosen), len(pair.rejected)] for pair in pairs])
    assert (lengths[:, 0] != lengths[:, 1]).any()
    rewards = 0.5 * ratio / (lengths if form == "length_normalised" else 1)
    margin = rewards[:, 0] - rewards[:, 1]
    tensors = stack_pairs(pairs)
    tensors["reference_PS"] = torch.from_numpy(reference).float()
    found = Dpo(beta=0.5, form=form)(tensors, {"policy": policy})
    logged = {name: float(a) / float(b) for name, (a, b) in found.metrics.items()}
    for name, expected in (
        ("chosen_log_probability", own[:, 0]),
        ("rejected_log_probability", own[:, 1]),
        ("chosen_reward", rewards[:, 0]),
        ("rejected_reward", rewards[:, 1]),
        ("margin", margin),
        ("accuracy", margin > 0),
    ):
        assert logged[name] == pytest.approx(float(expected.mean()), abs=1e-3), name
    judged = evaluate_dpo(own, reference, pairs, beta=0.5, form=form)
    assert judged.margin.value == pytest.approx(float(margin.mean()))
    assert judged.chosen_log_probability.value == pytest.approx(float(own[:, 0].mean()))
    assert judged.rejected_change.value == pytest.approx(float(ratio[:, 1].mean()))


def test_the_added_cross_entropy_holds_up_the_chosen_answers(tmp_path: Path) -> None:
    train, held = pairs_of(160), pairs_of(50, seed=8)
    found = {}
    for weight in (0.0, 1.0):
        model = model_of()
        reference = pair_log_probabilities(model, held)
        objective = Dpo(sft_weight=weight)
        make_trainer(model, train, tmp_path / str(weight), objective=objective, lr=5e-4).fit()
        found[weight] = evaluate_dpo(model, reference, held, beta=0.1).chosen_change.value
    assert found[1.0] > found[0.0]


def test_the_interval_is_students() -> None:
    figure = t_mean([1.0, 2.0, 3.0, 4.0])
    assert figure.value == 2.5 and figure.n == 4
    # t(3) at 97.5% is 3.18245; the standard error is sqrt(5/3) / 2.
    half = 3.182446 * math.sqrt(5 / 3) / 2
    assert (figure.low, figure.high) == pytest.approx((2.5 - half, 2.5 + half), abs=1e-5)
    assert t_mean([3.0]).low is None and math.isnan(t_mean([math.nan]).value)
    with pytest.raises(GristmillError, match="no held-out pair"):
        evaluate_dpo(np.zeros((0, 2)), np.zeros((0, 2)), [], beta=0.1)


def test_a_source_without_batches_drawn_has_no_tensors() -> None:
    assert DpoSource(pairs_of(3), batch=2, seed=0).state() == State({"batches": 0}, {})
