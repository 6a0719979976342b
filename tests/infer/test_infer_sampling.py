import numpy as np
import pytest
import torch

from gristmill.infer.generator import Request, Sampling
from gristmill.infer.sampling import SamplingRows, choose, token_seeds, truncate

LOGITS = [2.0, 0.0, 1.0, -1.0, 1.0]


def draws(sampling: Sampling, count: int) -> np.ndarray:
    requests = [Request([0], sampling, seed=seed) for seed in range(count)]
    rows = SamplingRows.of(requests, "cpu")
    tokens, _ = choose(torch.tensor(LOGITS).repeat(count, 1), rows, 0)
    return np.bincount(tokens.numpy(), minlength=len(LOGITS)) / count


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_probabilities(temperature: float) -> None:
    expected = torch.softmax(torch.tensor(LOGITS) / temperature, -1).numpy()
    assert np.abs(draws(Sampling(1, temperature), 20_000) - expected).max() < 0.015


def test_top_k_and_top_p_leave_the_rest_in_proportion() -> None:
    probs = torch.softmax(torch.tensor(LOGITS), -1).numpy()
    kept = probs * np.array([1, 0, 1, 0, 1])
    assert np.abs(draws(Sampling(1, top_k=3), 20_000) - kept / kept.sum()).max() < 0.015
    # 0.526, then 0.194 twice: 0.7 needs the first two, of which equal ones rank by id.
    kept = probs * np.array([1, 0, 1, 0, 0])
    assert np.abs(draws(Sampling(1, top_p=0.7), 20_000) - kept / kept.sum()).max() < 0.015


def truncate_by_hand(probs: list[float], top_k: int, top_p: float) -> list[float]:
    order = sorted(range(len(probs)), key=lambda i: (-probs[i], i))
    kept = order[:top_k] if top_k else order
    total, mass, chosen = sum(probs[i] for i in kept), 0.0, []
    for index in kept:
        if chosen and top_p < 1 and mass >= top_p * total:
            break
        chosen.append(index)
        mass += probs[index]
    return [p if i in chosen else 0.0 for i, p in enumerate(probs)]


def test_truncate_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.softmax(torch.randn(200, 12, generator=generator).double(), -1)
    top_k = torch.randint(0, 14, (200,), generator=generator)
    top_p = torch.rand(200, generator=generator).double().clamp(min=0.01)
    top_p[::5] = 1.0
    cut = truncate(probs, top_k, top_p)
    for row in range(200):
        expected = truncate_by_hand(probs[row].tolist(), int(top_k[row]), float(top_p[row]))
        assert cut[row].tolist() == pytest.approx(expected)


def test_temperature_zero_is_greedy_beside_rows_that_sample() -> None:
    requests = [Request([0], Sampling(1, t), seed=7) for t in (0.0, 1.0, 0.0)]
    tokens, scores = choose(
        torch.tensor([[0.0, 3.0, 1.0]] * 3), SamplingRows.of(requests, "cpu"), 0
    )
    assert tokens[0] == tokens[2] == 1
    expected = torch.log_softmax(torch.tensor([0.0, 3.0, 1.0]), -1)
    assert scores[0] == pytest.approx(float(expected[1]))


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([[-float("inf"), 0.0, -float("inf"), 0.0, -float("inf")]] * 4000)
    rows = SamplingRows.of([Request([0], Sampling(1), seed=s) for s in range(4000)], "cpu")
    tokens, _ = choose(logits, rows, 0)
    assert set(tokens.tolist()) == {1, 3}


def test_longer_requests_draw_the_same_first_numbers() -> None:
    assert token_seeds(3, 50)[:10].tolist() == token_seeds(3, 10).tolist()
    assert token_seeds(3, 10).tolist() != token_seeds(4, 10).tolist()
