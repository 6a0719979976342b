import dataclasses

import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Generator, Request, Sampling, Scorer, StreamingGenerator
from gristmill.infer.sampling import greedy
from gristmill.model.transformer import Transformer, TransformerConfig

VOCABULARY = 61


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(
        TransformerConfig(
            vocab_size=VOCABULARY,
            width=32,
            layers=2,
            heads=4,
            kv_heads=2,
            head_dim=16,
            mlp_width=64,
            context=64,
        )
    )
    model.init_weights(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model.eval()


def prompts(count: int = 9) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    lengths = [1, 7, 3, 20, 12, 3, 40, 5, 2][:count]
    return [torch.randint(0, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def test_engine_fulfils_the_protocols(model: Transformer) -> None:
    engine = Engine(model)
    assert isinstance(engine, Generator)
    assert isinstance(engine, StreamingGenerator)
    assert isinstance(engine, Scorer)


def test_greedy_equals_the_model_without_a_cache(model: Transformer) -> None:
    for prompt in prompts():
        (completion,) = Engine(model).generate([Request(prompt, greedy(12))])
        tokens = list(prompt)
        with torch.no_grad():
            for _ in range(12):
                logits = model.head(model(torch.tensor([tokens])))[0, -1]
                tokens.append(int(logits.argmax()))
        assert completion.tokens == tokens[len(prompt) :]
        assert completion.finish == "length"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_gives_what_each_prompt_gives_alone(model: Transformer, temperature: float) -> None:
    requests = [
        Request(prompt, Sampling(5 + 3 * i, temperature, stop_ids=(4, 9)), seed=100 + i)
        for i, prompt in enumerate(prompts())
    ]
    together = Engine(model, max_rows=32).generate(requests)
    in_threes = Engine(model, max_rows=3).generate(requests)
    alone = [Engine(model).generate([request])[0] for request in requests]
    for a, b, c in zip(together, in_threes, alone, strict=True):
        assert a.tokens == b.tokens == c.tokens
        assert a.finish == b.finish == c.finish
        assert a.log_probabilities == pytest.approx(c.log_probabilities, abs=1e-5)
    assert len({tuple(c.tokens) for c in together}) > 5


def test_same_prompt_differs_by_seed_only(model: Transformer) -> None:
    requests = [Request([3, 5], Sampling(20), seed=seed) for seed in (1, 2, 1)]
    first, second, third = Engine(model).generate(requests)
    assert first.tokens == third.tokens != second.tokens


def test_stop_ids_end_the_output_and_stand_in_it(model: Transformer) -> None:
    free = Engine(model).generate([Request(prompts()[1], greedy(30))])[0].tokens
    stop = free[4]
    cut = Engine(model).generate([Request(prompts()[1], greedy(30, (stop,)))])[0]
    assert cut.tokens == free[: free.index(stop) + 1]
    assert cut.finish == "stop"


def test_output_ends_with_the_context(model: Transformer) -> None:
    (completion,) = Engine(model).generate([Request([1] * 60, greedy(30))])
    assert len(completion.tokens) == 4
    assert completion.finish == "length"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_log_probabilities_are_those_of_scoring(model: Transformer, temperature: float) -> None:
    engine = Engine(model)
    requests = [Request(p, Sampling(8, temperature), seed=i) for i, p in enumerate(prompts())]
    completions = engine.generate(requests)
    whole = [[*r.prompt, *c.tokens] for r, c in zip(requests, completions, strict=True)]
    scores = engine.score_tokens(whole, temperature=temperature)
    for request, completion, score in zip(requests, completions, scores, strict=True):
        made = score[len(request.prompt) - 1 :]
        assert made.tolist() == pytest.approx(completion.log_probabilities, abs=1e-5)


def test_scores_do_not_depend_on_the_batch(model: Transformer) -> None:
    engine = Engine(model)
    sequences = [*prompts(), []]
    together = engine.score_tokens(sequences)
    for sequence, scores in zip(sequences, together, strict=True):
        assert len(scores) == max(0, len(sequence) - 1)
        (alone,) = engine.score_tokens([sequence])
        assert scores.tolist() == pytest.approx(alone.tolist(), abs=1e-5)


def test_scores_are_the_log_softmax(model: Transformer) -> None:
    sequence = prompts()[3]
    (scores,) = Engine(model).score_tokens([sequence])
    with torch.no_grad():
        logits = model.head(model(torch.tensor([sequence])))[0]
    expected = torch.log_softmax(logits.double(), -1)[
        torch.arange(len(sequence) - 1), torch.tensor(sequence[1:])
    ]
    assert scores.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_streams_every_token_in_order(model: Transformer) -> None:
    requests = [Request(prompt, greedy(6)) for prompt in prompts()]
    tokens: dict[int, list[int]] = {}
    for emitted in Engine(model, max_rows=4).stream(requests):
        tokens.setdefault(emitted.request, []).append(emitted.token)
        assert (emitted.finish is None) == (len(tokens[emitted.request]) < 6)
    expected = Engine(model).generate(requests)
    assert [tokens[i] for i in range(len(requests))] == [c.tokens for c in expected]


def test_a_module_in_training_stays_so(model: Transformer) -> None:
    model.train()
    try:
        stream = Engine(model).stream([Request([1, 2], greedy(3))])
        next(stream)
        assert model.training
        Engine(model).score_tokens([[1, 2, 3]])
        assert model.training
        assert all(p.requires_grad and p.grad is None for p in model.parameters())
    finally:
        model.eval()


def test_follows_weights_that_change(model: Transformer) -> None:
    other = Transformer(model.config)
    other.load_state_dict(model.state_dict())
    engine = Engine(other)
    before = engine.score_tokens([[1, 2, 3, 4]])[0]
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(1.5)
    assert abs(engine.score_tokens([[1, 2, 3, 4]])[0] - before).max() > 1e-3


@pytest.mark.parametrize(
    ("prompt", "message"),
    [([], "empty"), ([1] * 64, "no room"), ([VOCABULARY], "vocabulary"), ([-1], "vocabulary")],
)
def test_refuses_prompts_that_cannot_be(
    model: Transformer, prompt: list[int], message: str
) -> None:
    with pytest.raises(GristmillError, match=message):
        Engine(model).generate([Request(prompt, greedy(2))])


def test_refuses_sequences_beyond_the_context(model: Transformer) -> None:
    Engine(model).score_tokens([[1] * 65])
    with pytest.raises(GristmillError, match="windows"):
        Engine(model).score_tokens([[1] * 66])


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}]
)
def test_refuses_sampling_that_means_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(GristmillError, match=next(iter(wrong))):
        dataclasses.replace(Sampling(), **wrong)  # type: ignore[arg-type]


def test_a_prompt_that_several_share_is_read_once(model: Transformer) -> None:
    class Counting(Engine):
        read = 0

        def _forward(self, tokens_BT, positions_BT, cache, lengths_B=None):  # type: ignore[no-untyped-def]
            if tokens_BT.shape[1] > 1:
                self.read += tokens_BT.numel()
            return super()._forward(tokens_BT, positions_BT, cache, lengths_B)

    one, other = prompts()[3], prompts()[4]
    requests = [
        Request(prompt, Sampling(4 + i % 5, stop_ids=(4, 9)), seed=i)
        for i, prompt in enumerate([one, other, one, one, other, one])
    ]
    engine = Counting(model)
    together = engine.generate(requests)
    assert engine.read == 2 * len(one)  # two different ones, padded to the longer
    alone = [Engine(model).generate([request])[0] for request in requests]
    assert [c.tokens for c in together] == [c.tokens for c in alone]
    for a, b in zip(together, alone, strict=True):
        assert a.log_probabilities == pytest.approx(b.log_probabilities, abs=1e-5)


def test_equal_sequences_are_scored_once_and_all_get_their_scores(model: Transformer) -> None:
    first, second = prompts()[3], prompts()[6]
    read = []
    inner = model.forward

    def counting(tokens_BT, **rest):  # type: ignore[no-untyped-def]
        read.append(tokens_BT.numel())
        return inner(tokens_BT, **rest)

    model.forward = counting  # type: ignore[method-assign]
    try:
        found = Engine(model).score_tokens([first, second, first, first])
        together = sum(read)
        read.clear()
        Engine(model).score_tokens([first, second])
    finally:
        del model.forward
    assert together == sum(read)
    assert [len(scores) for scores in found] == [19, 39, 19, 19]
    assert found[0].tolist() == found[2].tolist() == found[3].tolist()
    found[0][:] = 0
    assert found[2].tolist() != found[0].tolist()


def test_prompts_of_one_length_that_take_turns_keep_their_own(model: Transformer) -> None:
    one = list(prompts()[3])
    other = [*one[:-1], one[-1] + 1]
    requests = [Request(prompt, Sampling(5), seed=9) for prompt in (one, other, one, other, one)]
    together = Engine(model).generate(requests)
    for request, found in zip(requests, together, strict=True):
        (alone,) = Engine(model).generate([request])
        assert found.tokens == alone.tokens
        assert found.log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-5)


def test_progress_counts_copies_too(model: Transformer) -> None:
    class Counting:
        total = 0.0

        def advance(self, amount: float = 1.0) -> None:
            self.total += amount

    first, second, bar = prompts()[3], prompts()[6], Counting()
    Engine(model).score_tokens([first, second, first], progress=bar)  # type: ignore[arg-type]
    assert bar.total == 2 * len(first) + len(second)
