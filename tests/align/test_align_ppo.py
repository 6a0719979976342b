"""PPO as a source and an objective of the one trainer: it learns, logs, and resumes to the bit."""

from __future__ import annotations

import math
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import ppo_world as world

from gristmill.align import losses, ppo, ppo_source
from gristmill.align.policy_evaluation import (
    Asking,
    evaluate_policy,
    gain,
    measure_kl,
    sequence_kl,
)
from gristmill.align.ppo import PpoSettings
from gristmill.align.ppo_source import PpoSource
from gristmill.align.rollouts import answer_log_probabilities, answer_values, lay_out
from gristmill.core.errors import GristmillError, Retryable
from gristmill.infer.engine import Engine
from gristmill.model.lora import add_adapters, disabled
from gristmill.train import checkpoints
from gristmill.train.interfaces import Batch, Moment, Share
from gristmill.train.metrics import read_metrics
from gristmill.train.precision import Computing
from gristmill.train.trainer import Trainer

ASKING = Asking(max_tokens=8, temperature=0.8, stop_ids=(world.END, 0), seed=3)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def source(settings: PpoSettings = world.SETTINGS, micro_batch: int | None = None) -> PpoSource:
    return PpoSource(
        world.PROMPTS, world.score, settings, end_id=world.END, stop_ids=(world.END, 0), seed=5,
        micro_batch=micro_batch,
    )  # fmt: skip


def moment(share: Share | None = None) -> Moment:
    models = world.models()
    computing = Computing(lambda tensors, models: None, models, "fp32")  # type: ignore[arg-type,return-value]
    return Moment(0, 0, share or Share(), models, computing.look)


def stopping(at: set[int]) -> type[PpoSource]:
    """A source that is interrupted while it draws those batches."""
    drawn = [0]

    class Stopping(PpoSource):
        def next(self, moment: Moment) -> Batch:
            drawn[0] += 1
            if drawn[0] in at:
                signal.raise_signal(signal.SIGINT)
            return super().next(moment)

    return Stopping


def bits(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        f"{role}.{name}": tensor.clone()
        for role in ("policy", "value")
        for name, tensor in trainer._models[role].state_dict().items()
    }


def test_a_run_that_is_stopped_twice_has_the_bits_of_one_that_was_not(tmp_path: Path) -> None:
    straight = world.trainer(tmp_path / "straight", 14)
    straight.fit()
    cut = stopping({6, 9})  # in the middle of the second iteration, and first of the third
    for _ in range(2):
        with pytest.raises(Retryable):
            world.trainer(tmp_path / "cut", 14, source=cut).fit()
    # Stopped after 6 steps of iterations of 4: half of the rows are still to be used.
    resumed = world.trainer(tmp_path / "cut", 14, source=cut)
    resumed.fit()
    first, second = bits(straight), bits(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    untouched = {f"policy.{n}": t for n, t in world.policy().state_dict().items()}
    assert any(not torch.equal(first[name], untouched[name]) for name in untouched)
    one, other = (
        checkpoints.load(checkpoints.folders(tmp_path / name / "checkpoints")[-1])
        for name in ("straight", "cut")
    )
    assert one.state["source"] == other.state["source"]
    # 14 steps are three iterations and a half: the buffer and an adapted beta are in there.
    said = one.state["source"]
    assert (said["iteration"], said["position"], said["drawn"]) == (3, 2, 32)
    assert said["beta"] != world.SETTINGS.beta
    assert "advantages_BT" in one.source
    assert all(torch.equal(one.source[name], other.source[name]) for name in one.source)
    logged = [
        [r["loss"] for r in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("straight", "cut")
    ]
    assert logged[0] == logged[1]


def test_beta_follows_the_kl_and_stays_without_a_target(tmp_path: Path) -> None:
    world.trainer(tmp_path / "adaptive", 12).fit()
    beta = world.SETTINGS.beta
    records = [r for r in read_metrics(tmp_path / "adaptive" / "metrics.jsonl") if "kl" in r]
    assert len(records) == 3
    for record in records:
        assert record["beta"] == pytest.approx(beta)
        beta = losses.adapted_beta(beta, record["kl"], 0.5, 8, 100.0)
    fixed = replace(world.SETTINGS, target_kl=None)
    world.trainer(tmp_path / "fixed", 12, settings=fixed).fit()
    records = [r for r in read_metrics(tmp_path / "fixed" / "metrics.jsonl") if "kl" in r]
    assert {r["beta"] for r in records} == {0.1}


def test_the_reward_rises_and_everything_is_logged(tmp_path: Path) -> None:
    settings = replace(world.SETTINGS, rollouts=32, target_kl=None, beta=0.02)
    trainer = world.trainer(
        tmp_path, 60, settings=settings, lr=5e-3, micro_batch=None, checkpoint_steps=1000
    )
    trainer.fit()
    records = read_metrics(tmp_path / "metrics.jsonl")
    iterations = [r for r in records if "score" in r]
    assert len(iterations) == 15
    assert iterations[-1]["score"] > iterations[0]["score"] + 0.5
    first = iterations[0]
    assert first["kl"] == first["kl_k3"] == 0.0 and iterations[-1]["kl"] > 0.1
    assert first["ratio"] == pytest.approx(1.0, abs=1e-6) and first["clip_fraction"] == 0.0
    assert 0 < first["entropy"] < math.log(23) and 0 <= first["ended"] <= 1
    assert first["sampler_difference"] < 1e-4
    assert {"kl_error", "answer_tokens", "explained_variance", "sampler_kl"} <= first.keys()
    every = {
        "policy_loss", "value_loss", "clip_fraction", "ratio", "ratio_variance",
        "value_clip_fraction", "approximate_kl",
    }  # fmt: skip
    assert all(every <= record.keys() for record in records)
    assert any(r["clip_fraction"] > 0 for r in records)
    assert any(r["value_clip_fraction"] > 0 for r in records)
    # Held-out prompts, fresh samples.
    after, reference = Engine(trainer._models["policy"]), Engine(world.policy())  # type: ignore[arg-type]
    prompts = [[5, 3], [6, 2, 4]] * 20
    about = (reference, prompts, world.score, ASKING)
    named = {"end_id": world.END, "missing_end_score": -3.0}
    evaluated = evaluate_policy(after, *about, **named)
    base = evaluate_policy(reference, *about, **named)
    found = gain(base, evaluated)
    assert found.low is not None and found.low > 0 and found.n == 40
    assert found.value == pytest.approx(evaluated.reward.value - base.reward.value)
    assert evaluated.kl.value > 0.1 and base.kl.value == pytest.approx(0.0, abs=1e-5)


def test_rewards_advantages_and_returns_of_a_roll_out() -> None:
    settings = replace(
        world.SETTINGS, epochs=1, minibatches=1, whiten_advantages=False, lam=1.0,
        missing_end_score=-5.0,
    )  # fmt: skip
    batch = source(settings).next(moment())
    tensors = batch.tensors
    mask, returns = tensors["mask_BT"], tensors["returns_BT"]
    ended = 0
    for row in range(8):
        columns = mask[row].nonzero()[:, 0]
        conversation = tensors["tokens_BL"][row, : tensors["length_B"][row]].tolist()
        expected = world.score([conversation])[0] if conversation[-1] == world.END else -5.0
        ended += conversation[-1] == world.END
        # Policy and reference are one here: no KL, so the whole return is the score, undiscounted.
        assert returns[row, columns].tolist() == pytest.approx([expected] * len(columns), abs=1e-4)
        assert columns[-1] == tensors["length_B"][row] - 2
    assert 0 < ended < 8
    gap = tensors["returns_BT"] - tensors["old_values_BT"]
    assert torch.allclose(tensors["advantages_BT"], gap * mask, atol=1e-5)
    assert batch.tokens == int(tensors["length_B"].sum())


@pytest.mark.parametrize(
    ("kl", "gamma", "lam", "white"),
    [("k1", 1.0, 1.0, False), ("k3", 0.9, 0.5, False), ("k1", 1.0, 0.95, True)],
)
def test_the_kl_of_each_token_is_taken_off_at_the_beta_of_the_iteration(
    kl: Any, gamma: float, lam: float, white: bool
) -> None:
    settings = replace(
        world.SETTINGS, epochs=1, minibatches=1, whiten_advantages=False, kl=kl, gamma=gamma,
        lam=lam, whiten_rewards=white,
    )  # fmt: skip
    models = {**world.models(), "reference": world.policy(2)}
    computing = Computing(lambda tensors, models: None, models, "fp32")  # type: ignore[arg-type,return-value]
    drawn, betas = source(settings), []
    for _ in range(2):
        betas.append(drawn.beta)
        batch = drawn.next(Moment(0, 0, Share(), models, computing.look))
        tensors, real = batch.tensors, batch.tensors["mask_BT"] > 0
        about = (tensors["tokens_BL"], tensors["mask_BT"])
        with torch.no_grad():
            log_ref = answer_log_probabilities(models["reference"], *about, temperature=0.8)  # type: ignore[arg-type]
        k1 = tensors["old_log_p_BT"] - log_ref
        k3 = torch.exp(-k1) - 1 + k1
        assert bool((k1[real] < 0).any())  # and is not clamped
        rewards = -betas[-1] * (k1 if kl == "k1" else k3) * real
        for row, length in enumerate(tensors["length_B"].tolist()):
            conversation = tensors["tokens_BL"][row, :length].tolist()
            ended = conversation[-1] == world.END
            rewards[row, length - 2] += world.score([conversation])[0] if ended else -3.0
        if white:
            mean, deviation = rewards[real].mean(), rewards[real].std(unbiased=False)
            rewards = ((rewards - mean) / deviation + mean) * real
        values = tensors["old_values_BT"]
        for row in range(8):
            advantage = following = 0.0
            for t in reversed(real[row].nonzero()[:, 0].tolist()):
                delta = float(rewards[row, t] + gamma * following - values[row, t])
                advantage, following = delta + gamma * lam * advantage, float(values[row, t])
                assert float(tensors["advantages_BT"][row, t]) == pytest.approx(advantage, abs=1e-4)
                assert float(tensors["returns_BT"][row, t]) == pytest.approx(
                    advantage + following, abs=1e-4
                )
        # What is logged is nats a sequence, of k1 whichever is trained on.
        sums = (k1 * real).sum(dim=1)
        returns = tensors["returns_BT"][real]
        left = (returns - values[real]).var(unbiased=False) / returns.var(unbiased=False)
        for name, expected in (
            ("kl", sums.mean()),
            ("kl_k3", (k3 * real).sum(dim=1).mean()),
            ("kl_error", sums.std() / math.sqrt(8)),
            ("explained_variance", 1 - left),
            ("beta", betas[-1]),
        ):
            assert batch.metrics[name] == pytest.approx(float(expected), abs=1e-4), name
        after = losses.adapted_beta(betas[-1], float(sums.mean()), 0.5, 8, 100.0)
        assert drawn.beta == pytest.approx(after)
    assert betas[0] == 0.1 != betas[1]


def test_advantages_are_white_over_the_iteration() -> None:
    settings = replace(world.SETTINGS, epochs=1, minibatches=1)
    tensors = source(settings).next(moment()).tensors
    real = tensors["advantages_BT"][tensors["mask_BT"] > 0]
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(real.std(unbiased=False)) == pytest.approx(1.0, abs=1e-4)


def test_each_pass_uses_each_row_once_and_is_shuffled_anew() -> None:
    settings = replace(world.SETTINGS, epochs=3, minibatches=2)
    drawn, at = source(settings), moment()
    epochs = [
        torch.cat([drawn.next(at).tensors["old_log_p_BT"] for _ in range(2)]) for _ in range(3)
    ]
    keys = [[tuple(row) for row in epoch.tolist()] for epoch in epochs]
    assert sorted(keys[0]) == sorted(keys[1]) == sorted(keys[2])
    assert keys[0] != keys[1] and keys[1] != keys[2]
    assert len(set(keys[0])) == 8


def test_the_first_epoch_reads_the_rows_in_the_parts_of_the_old_log_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a product gives may depend on its shape: the ratio 1 rests on this, whatever the machine.
    def noting(module: Any, name: str) -> list[list[list[int]]]:
        seen: list[list[list[int]]] = []
        real = getattr(module, name)

        def call(model: Any, tokens_BL: torch.Tensor, *rest: Any, **named: Any) -> Any:
            seen.append(tokens_BL.tolist())
            return real(model, tokens_BL, *rest, **named)

        monkeypatch.setattr(module, name, call)
        return seen

    before, learnt = (
        noting(ppo_source, "answer_statistics"), noting(ppo, "answer_log_probabilities")
    )  # fmt: skip
    trainer = world.trainer(tmp_path, 2, settings=replace(world.SETTINGS, epochs=1))
    trainer._checks = []
    trainer.fit()
    assert [len(part) for part in before] == [3, 1, 3, 1]
    assert before == learnt


def test_the_objective_clips_and_logs_as_it_is_told() -> None:
    settings = replace(world.SETTINGS, clip=0.1, value_clip=0.05, value_weight=0.7)
    tensors = dict(source(replace(settings, epochs=1, minibatches=1)).next(moment()).tensors)
    mask, models = tensors["mask_BT"], world.models()
    with torch.no_grad():
        log_p = answer_log_probabilities(
            models["policy"],
            tensors["tokens_BL"],
            mask,
            temperature=0.8,  # type: ignore[arg-type]
        )
        values = answer_values(models["value"], tensors["tokens_BL"], mask)
    old, old_values = log_p - 0.3 * mask, values + 0.2 * mask
    tensors |= {"old_log_p_BT": old, "old_values_BT": old_values}
    found = ppo.Ppo(settings)(tensors, models)
    policy = losses.policy_loss(log_p, old, tensors["advantages_BT"], mask, clip=0.1)
    value = losses.value_loss(values, old_values, tensors["returns_BT"], mask, clip=0.05).sum()
    total = float(policy.loss.sum() + 0.7 * value)
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-4)
    assert float(found.count) == float(mask.sum())
    logged = {name: float(a) / float(b) for name, (a, b) in found.metrics.items()}
    gap = math.exp(0.3) - 1
    assert logged["ratio"] == pytest.approx(1 + gap, abs=1e-4)
    assert logged["ratio_variance"] == pytest.approx(gap**2, abs=1e-4)
    assert logged["approximate_kl"] == pytest.approx(gap - 0.3, abs=1e-4)
    assert logged["clip_fraction"] == pytest.approx(
        float((policy.clipped * mask).sum() / mask.sum())
    )
    assert 0 < logged["clip_fraction"] < 1 and logged["value_clip_fraction"] == 1.0
    near = {**tensors, "old_values_BT": values + 0.04 * mask}
    fraction, _ = ppo.Ppo(settings)(near, models).metrics["value_clip_fraction"]
    assert float(fraction) == 0.0


def test_prompts_come_once_each_before_any_comes_again() -> None:
    drawn = source()
    order = [drawn._which(number) for number in range(22)]
    assert sorted(order[:11]) == sorted(order[11:]) == list(range(11))
    assert order[:11] != order[11:]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_rows_of_one(processes: int) -> None:
    whole = source(micro_batch=2).next(moment())
    parts = []
    states = []
    for rank in range(processes):
        own = source(micro_batch=2)
        parts.append(own.next(moment(Share(rank, processes))))
        states.append(own.state())
    for name, tensor in whole.tensors.items():
        joined = torch.cat([part.tensors[name] for part in parts])
        assert torch.allclose(joined.double(), tensor.double(), atol=1e-5), name
    for state in states[1:]:
        assert state.json == states[0].json
        assert all(torch.equal(state.tensors[n], t) for n, t in states[0].tensors.items())


def test_value_warmup_leaves_the_policy_as_it_is(tmp_path: Path) -> None:
    trainer = world.trainer(tmp_path, 4, settings=replace(world.SETTINGS, value_warmup=1))
    before = bits(trainer)
    trainer.fit()
    after = bits(trainer)
    assert all(torch.equal(after[n], before[n]) for n in before if n.startswith("policy."))
    assert any(not torch.equal(after[n], before[n]) for n in before if n.startswith("value."))


def test_truncated_importance_weighs_by_trainer_over_sampler() -> None:
    drawn = source(replace(world.SETTINGS, truncated_importance=1.5))
    rows = lay_out([[2], [2]], [_answer([3, 4], [-1.0, -2.0]), _answer([5], [-3.0])], world.END)
    trainer = rows.sampler_BT + torch.tensor([[0.1, 2.0], [-0.2, 7.0]])
    found = drawn._weights(trainer, rows)
    expected = torch.tensor([[math.exp(0.1), 1.5], [math.exp(-0.2), 0.0]])
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.equal(source()._weights(trainer, rows), rows.mask_BT)


def test_with_an_adapter_no_reference_is_held(tmp_path: Path) -> None:
    made = world.models()
    del made["reference"]
    add_adapters(made["policy"], 4, 8.0)
    base = {n: t.clone() for n, t in made["policy"].state_dict().items() if "lora" not in n}
    trainer = world.trainer(tmp_path, 16, models=made, lr=2e-2)
    trainer.fit()
    after = made["policy"].state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in base.items())
    kl = [r["kl"] for r in read_metrics(tmp_path / "metrics.jsonl") if "kl" in r]
    assert kl[0] == 0.0 and kl[-1] != 0.0
    engine = Engine(made["policy"])  # type: ignore[arg-type]
    prompts = [[5, 3], [6, 2, 4]] * 8
    held = measure_kl(engine, engine, prompts, ASKING, as_reference=disabled(made["policy"]))
    copied = measure_kl(engine, Engine(world.policy()), prompts, ASKING)
    assert held.value == pytest.approx(copied.value, abs=1e-4) and held.value != 0.0


def test_the_kl_of_fresh_samples_is_the_exact_one() -> None:
    """Answers of one token: the exact KL is a sum over the vocabulary."""
    policy, reference = world.policy(1), world.policy(2)
    asking = replace(ASKING, max_tokens=1)
    prompts = [[5, 3]] * 3000
    found = measure_kl(Engine(policy, max_rows=500), Engine(reference), prompts, asking)
    log_p, log_q = (
        (m.head(m(torch.tensor([[5, 3]]))[0, -1]) / 0.8).log_softmax(-1).detach()
        for m in (policy, reference)
    )
    exact = float((log_p.exp() * (log_p - log_q)).sum())
    assert found.low is not None and found.high is not None and found.n == 3000
    # Four standard errors.
    assert abs(found.value - exact) < 2 * (found.high - found.low)
    spread = math.sqrt(float((log_p.exp() * (log_p - log_q - exact) ** 2).sum()) / 3000)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * spread, rel=0.1)


def test_the_kl_is_of_whole_answers() -> None:
    prompt, answers = [5, 3], [_answer([4, 7, 9], [-1.0, -2.0, -0.5]), _answer([6], [-3.0])]
    reference = Engine(world.policy())
    found = sequence_kl(reference, [prompt] * 2, answers, temperature=0.8)
    for kl, answer in zip(found, answers, strict=True):
        (scores,) = reference.score_tokens([[*prompt, *answer.tokens]], temperature=0.8)
        expected = sum(answer.log_probabilities) - float(scores[1:].sum())
        assert float(kl) == pytest.approx(expected, abs=1e-4)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(GristmillError, match="no multiple of 3"):
        PpoSettings(rollouts=8, minibatches=3)
    with pytest.raises(GristmillError, match="temperature 0"):
        PpoSettings(temperature=0.0)
    with pytest.raises(GristmillError, match="no prompts"):
        PpoSource([], world.score, PpoSettings(), end_id=1, stop_ids=(1,), seed=0)


def _answer(tokens: list[int], log_probabilities: list[float]) -> Any:
    from gristmill.infer.generator import Completion

    assert np.all(np.array(log_probabilities) < 0)
    return Completion(tokens, log_probabilities, "length")
