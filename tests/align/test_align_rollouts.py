"""Rows of roll-outs: temperature everywhere, nothing after the end, and the bits of the trainer."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import ppo_world as world

from gristmill.align import losses
from gristmill.align.ppo import Ppo
from gristmill.align.ppo_source import scores
from gristmill.align.rollouts import (
    Rows,
    answer_log_probabilities,
    answer_statistics,
    answer_values,
    lay_out,
    micro_batches,
    reference_of,
    sample,
)
from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion, Sampling
from gristmill.infer.scoring import token_log_probabilities
from gristmill.model.lora import add_adapters, disabled
from gristmill.model.scalar import ScalarModel


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def drawn(temperature: float = 0.8) -> Rows:
    seeds = list(range(len(world.PROMPTS)))
    answers = sample(
        Engine(world.policy(), max_rows=4), world.PROMPTS, seeds,
        max_tokens=8, temperature=temperature, stop_ids=(world.END, 0),
    )  # fmt: skip
    return lay_out(world.PROMPTS, answers, world.END)


def test_rows_by_hand() -> None:
    answers = [
        Completion([7, 1], [-0.5, -1.5], "stop"),
        Completion([4, 5, 6], [-1.0, -2.0, -3.0], "length"),
        Completion([0], [-0.1], "stop"),
    ]
    rows = lay_out([[2, 3], [2], [2, 3]], answers, 1)
    assert rows.tokens_BL.tolist() == [[2, 3, 7, 1], [2, 4, 5, 6], [2, 3, 0, 0]]
    assert rows.mask_BT.tolist() == [[0, 1, 1], [1, 1, 1], [0, 1, 0]]
    assert rows.sampler_BT.tolist() == [[0, -0.5, -1.5], [-1, -2, -3], [0, pytest.approx(-0.1), 0]]
    # An end that was not sampled is not appended; the end of a document is no end of an answer.
    assert rows.ended_B.tolist() == [True, False, False]
    assert rows.conversations == [[2, 3, 7, 1], [2, 4, 5, 6], [2, 3, 0]]
    given = scores(lambda conversations: [float(len(c)) for c in conversations], rows, -3.0)
    assert given.tolist() == [4.0, -3.0, -3.0]
    with pytest.raises(GristmillError, match="not a finite number"):
        scores(lambda conversations: [math.nan] * 3, rows, -3.0)


def test_the_whole_distribution_is_sampled_from() -> None:
    asked = []

    class Noting(Engine):
        def generate(self, requests: Any, progress: Any = None) -> list[Completion]:
            asked.extend(requests)
            return super().generate(requests, progress)

    sample(
        Noting(world.policy()), [[2], [3]], [5, 6],
        max_tokens=3, temperature=0.7, stop_ids=(world.END,),
    )  # fmt: skip
    wanted = Sampling(max_tokens=3, temperature=0.7, top_k=0, top_p=1.0, stop_ids=(world.END,))
    assert [request.sampling for request in asked] == [wanted] * 2
    assert [request.seed for request in asked] == [5, 6]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_trainer_and_sampler_agree_at_every_temperature(temperature: float) -> None:
    rows, model = drawn(temperature), world.policy()
    found = answer_log_probabilities(model, rows.tokens_BL, rows.mask_BT, temperature=temperature)
    assert torch.allclose(found, rows.sampler_BT, atol=1e-5)
    wrong = answer_log_probabilities(
        model, rows.tokens_BL, rows.mask_BT, temperature=temperature * 1.1
    )
    assert float((wrong - rows.sampler_BT).detach().abs().max()) > 1e-2
    # A second implementation, which multiplies the head at every token.
    whole = token_log_probabilities(model, rows.tokens_BL, temperature=temperature)
    assert torch.allclose(found, whole * rows.mask_BT, atol=1e-5)


def test_statistics_are_those_of_the_distribution() -> None:
    rows, model = drawn(), world.policy()
    log_p, entropy, variance = answer_statistics(
        model, rows.tokens_BL, rows.mask_BT, temperature=0.8
    )
    plain = answer_log_probabilities(model, rows.tokens_BL, rows.mask_BT, temperature=0.8)
    assert torch.equal(log_p, plain)
    row, column = rows.mask_BT.nonzero()[-1].tolist()
    hidden = model(rows.tokens_BL[row : row + 1, : column + 1])
    p = (model.head(hidden[0, -1]) / 0.8).double().softmax(-1)
    cost = -p.log()
    mean = float((p * cost).sum().detach())
    assert float(entropy[row, column]) == pytest.approx(mean, abs=1e-5)
    assert float(variance[row, column]) == pytest.approx(
        float((p * (cost - mean) ** 2).sum()), abs=1e-5
    )
    assert not entropy[rows.mask_BT == 0].any()


def test_nothing_after_the_end_counts() -> None:
    """Other garbage after the end: the same loss and the same gradients, bit for bit."""
    rows = drawn()
    generator = torch.Generator().manual_seed(3)
    values = ScalarModel.from_transformer(world.policy(), 0)

    def run(tokens_BL: torch.Tensor, noise: float) -> tuple[torch.Tensor, ...]:
        made = {"policy": world.policy(2), "value": values}
        made["policy"].zero_grad()
        values.zero_grad()
        masked = rows.mask_BT == 0
        kl = rows.sampler_BT.masked_fill(masked, noise)
        rewards = losses.token_rewards(torch.ones(len(kl)), kl, rows.mask_BT, 0.1)
        old = answer_values(values, tokens_BL, rows.mask_BT).detach().masked_fill(masked, noise)
        advantages, returns = losses.advantages_and_returns(rewards, old, rows.mask_BT)
        advantages = losses.whiten(advantages, rows.mask_BT)
        found = Ppo(world.SETTINGS)(
            {
                "tokens_BL": tokens_BL,
                "mask_BT": rows.mask_BT,
                "weight_BT": rows.mask_BT,
                "old_log_p_BT": rows.sampler_BT.masked_fill(masked, noise),
                "old_values_BT": old,
                "advantages_BT": advantages.masked_fill(masked, noise),
                "returns_BT": returns.masked_fill(masked, noise),
            },
            made,
        )
        found.total.backward()  # type: ignore[no-untyped-call]
        metrics = [torch.as_tensor(value) for value, _ in found.metrics.values()]
        grads = [p.grad.clone() for m in made.values() for p in m.parameters()]
        return (found.total.detach(), torch.as_tensor(found.count), *metrics, *grads)

    garbage = torch.randint(2, 23, rows.tokens_BL.shape, generator=generator)
    lengths = torch.tensor([len(c) for c in rows.conversations])
    after = torch.arange(rows.tokens_BL.shape[1]) >= lengths[:, None]
    assert bool(after.any())
    first = run(rows.tokens_BL, 0.0)
    second = run(torch.where(after, garbage, rows.tokens_BL), 5.0)
    assert len(first) > 20 and float(first[0]) != 0.0
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_rows_that_are_cut_alike_have_the_same_bits() -> None:
    rows, model = drawn(), world.policy()
    parts = [
        answer_log_probabilities(model, rows.tokens_BL[part], rows.mask_BT[part], temperature=1.0)
        for part in micro_batches(len(rows.tokens_BL), 6, 4, 1)
    ]
    again = answer_log_probabilities(model, rows.tokens_BL[:4], rows.mask_BT[:4], temperature=1.0)
    assert torch.equal(parts[0], again)


def test_micro_batches_are_those_of_the_trainer_of_any_number_of_processes() -> None:
    def cuts(*arguments: int | None) -> list[tuple[int, int]]:
        return [(p.start, p.stop) for p in micro_batches(*arguments)]  # type: ignore[arg-type]

    assert cuts(8, 4, None, 1) == [(0, 4), (4, 8)]
    assert cuts(8, 4, 3, 1) == [(0, 3), (3, 4), (4, 7), (7, 8)]
    assert cuts(8, 4, None, 2) == [(0, 2), (2, 4), (4, 6), (6, 8)]
    assert cuts(6, 6, 2, 2) == [(0, 2), (2, 3), (3, 5), (5, 6)]


def test_the_reference_is_the_policy_with_its_adapter_off() -> None:
    model = world.policy()
    rows = drawn()
    about = (rows.tokens_BL, rows.mask_BT)
    base = answer_log_probabilities(model, *about, temperature=1.0)
    add_adapters(model, 2, 4.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert not torch.equal(answer_log_probabilities(model, *about, temperature=1.0), base)
    with reference_of({"policy": model}) as reference:
        assert torch.equal(answer_log_probabilities(reference, *about, temperature=1.0), base)
    with disabled(model):
        assert torch.equal(answer_log_probabilities(model, *about, temperature=1.0), base)
    other = world.policy(9)
    with reference_of({"policy": model, "reference": other}) as reference:
        assert reference is other
