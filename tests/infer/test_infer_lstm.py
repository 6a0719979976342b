"""The engine and the scorer over an LSTM: what they promise of a transformer, promised of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.infer.sampling import greedy
from gristmill.infer.scoring import token_log_probabilities
from gristmill.model.lstm import LstmConfig, LstmModel

VOCABULARY = 61


@pytest.fixture(scope="module")
def model() -> LstmModel:
    torch.manual_seed(0)
    model = LstmModel(LstmConfig(VOCABULARY, width=24, layers=2, hidden=32, context=64))
    model.init_weights(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    lengths = [1, 7, 3, 20, 12, 3, 40, 5, 2]
    found = [torch.randint(0, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]
    return [*found, found[3], found[1]]


def test_greedy_equals_the_model_without_a_cache(model: LstmModel) -> None:
    for prompt in prompts():
        (completion,) = Engine(model).generate([Request(prompt, greedy(12))])
        tokens = list(prompt)
        with torch.no_grad():
            for _ in range(12):
                tokens.append(int(model.head(model(torch.tensor([tokens])))[0, -1].argmax()))
        assert completion.tokens == tokens[len(prompt) :]


@pytest.mark.parametrize("max_rows", [3, 32])
def test_a_batch_of_ragged_prompts_gives_what_each_gives_alone(
    model: LstmModel, max_rows: int
) -> None:
    requests = [
        Request(prompt, Sampling(3 + 7 * (i % 4), stop_ids=(4, 9, 30)), seed=i)
        for i, prompt in enumerate(prompts())
    ]
    together = Engine(model, max_rows=max_rows).generate(requests)
    assert len({len(one.tokens) for one in together}) > 3  # rows leave at different times
    for request, one in zip(requests, together, strict=True):
        (alone,) = Engine(model).generate([request])
        assert one.tokens == alone.tokens and one.finish == alone.finish
        assert one.log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-5)


def test_scores_are_the_log_probabilities_of_the_softmax(model: LstmModel) -> None:
    sequences = [prompt for prompt in prompts() if len(prompt) > 1]
    scores = Engine(model, batch_tokens=50).score_tokens(sequences)
    for sequence, score in zip(sequences, scores, strict=True):
        with torch.no_grad():
            logits = model.head(model(torch.tensor([sequence[:-1]])))[0]
        expected = logits.log_softmax(-1)[range(len(sequence) - 1), sequence[1:]].numpy()
        assert np.allclose(score, expected, atol=1e-5)


def test_segments_separate_documents_in_scoring(model: LstmModel) -> None:
    row = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        packed = token_log_probabilities(model, row, segments_BT=segments)
        alone = token_log_probabilities(model, row[:, 3:])
    assert torch.allclose(packed[:, 3:], alone, atol=1e-5)


def test_a_prompt_that_fills_the_context_is_refused(model: LstmModel) -> None:
    with pytest.raises(GristmillError, match="leave no room in a context of 64"):
        Engine(model).generate([Request([1] * 64)])
    (full,) = Engine(model).generate([Request([1] * 60, greedy(50))])
    assert len(full.tokens) == 4
