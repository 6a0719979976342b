"""Rows that join and leave between tokens say what each says alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world

from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.model.language_model import LanguageModel
from gristmill.model.lstm import LstmConfig, LstmModel
from gristmill.serve import batching
from gristmill.serve.batching import RowSpec, RunningBatch, TokenScore

CONTEXT = 96


def lstm() -> LstmModel:
    model = LstmModel(LstmConfig(world.byte_tokenizer().vocab_size, 24, 2, 24, CONTEXT))
    model.init_weights(3)
    with torch.no_grad():
        model.embedding_weight.mul_(20)
    return model.eval()


@pytest.fixture(scope="module", params=["transformer", "lstm"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return world.random_model(CONTEXT, 1) if request.param == "transformer" else lstm()


def requests(stop_ids: tuple[int, ...] = ()) -> list[Request]:
    generator = torch.Generator().manual_seed(4)
    lengths, temperatures = [3, 17, 5, 5, 40, 1, 9], [0.0, 0.9, 1.3, 0.0, 0.7, 1.0, 0.0]
    return [
        Request(
            torch.randint(0, 256, (length,), generator=generator).tolist(),
            Sampling(6 + 7 * (i % 3), temperature, top_p=0.9 if i % 2 else 1.0, stop_ids=stop_ids),
            seed=50 + i,
        )
        for i, (length, temperature) in enumerate(zip(lengths, temperatures, strict=True))
    ]


def spec(request: Request, **more: object) -> RowSpec:
    room = min(request.sampling.max_tokens, CONTEXT - len(request.prompt))
    return RowSpec(request.prompt, request.sampling, request.seed, room, **more)  # type: ignore[arg-type]


def decode(
    model: LanguageModel, asked: list[Request], arrivals: dict[int, list[int]]
) -> dict[int, list[int]]:
    """Tokens of each request; `arrivals`: which join before which step."""
    batch = RunningBatch(model)
    made: dict[int, list[int]] = {}
    ended: dict[int, str] = {}
    for step in range(200):
        list(batch.join([(key, spec(asked[key])) for key in arrivals.get(step, [])]))
        for one in batch.step():
            made.setdefault(one.key, []).append(one.score.token)
            if one.finish is not None:
                ended[one.key] = one.finish
    assert len(batch) == 0 and len(ended) == len(made)
    return made


@pytest.mark.parametrize(
    "arrivals",
    [{0: [0, 1, 2, 3, 4, 5, 6]}, {0: [4], 2: [0, 3], 3: [1], 9: [6, 5, 2]}],
    ids=["together", "one after the other"],
)
def test_whoever_joins_when_each_says_what_the_engine_says(
    model: LanguageModel, arrivals: dict[int, list[int]]
) -> None:
    stop = Engine(model).generate(requests()[2:3])[0].tokens[4]
    asked = requests((stop,))
    expected = {i: Engine(model).generate([r])[0].tokens for i, r in enumerate(asked)}
    assert decode(model, asked, arrivals) == expected
    assert len({tuple(tokens) for tokens in expected.values()}) == 7
    assert expected[2][-1] == stop


def test_a_row_that_leaves_moves_none_of_the_others(model: LanguageModel) -> None:
    asked = requests()
    expected = Engine(model).generate([asked[2]])[0].tokens
    batch = RunningBatch(model)
    list(batch.join([(key, spec(asked[key])) for key in (1, 2, 6)]))
    made = []
    for step in range(40):
        if step == 2:
            batch.leave({1, 6})
            assert len(batch) == 1
        steps = batch.step()
        made += [one.score.token for one in steps if one.key == 2]
    assert made == expected
    batch.leave({2, 99})


def test_choices_of_one_prompt_are_drawn_apart(model: LanguageModel) -> None:
    (request,) = requests()[1:2]
    batch = RunningBatch(model)
    seeds = [7, 8, 7]
    rows = [
        (key, RowSpec(request.prompt, Sampling(12, 1.0), seed, 12))
        for key, seed in enumerate(seeds)
    ]
    list(batch.join(rows))
    made: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for _ in range(12):
        for one in batch.step():
            made[one.key].append(one.score.token)
    assert made[0] == made[2] != made[1]


def test_prompts_are_scored_as_the_scorer_does(model: LanguageModel) -> None:
    asked = requests()
    rows = [(key, spec(request, top=3, score_prompt=True)) for key, request in enumerate(asked)]
    found = dict(RunningBatch(model).join(rows))
    scores = Engine(model).score_tokens([request.prompt for request in asked])
    for key, request in enumerate(asked):
        first, *rest = found[key]
        assert first == TokenScore(request.prompt[0])
        assert [score.token for score in rest] == list(request.prompt[1:])
        given = [score.log_probability for score in rest]
        assert given == pytest.approx(scores[key].tolist(), abs=1e-4)
        for place, score in enumerate(rest):
            best, ids = world.distribution(model, request.prompt[: place + 1]).topk(3)
            assert [token for token, _ in score.top] == ids.tolist()
            assert [value for _, value in score.top] == pytest.approx(best.tolist(), abs=1e-4)


def test_a_long_prompt_is_scored_in_parts(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests()
    rows = [(key, spec(request, top=1, score_prompt=True)) for key, request in enumerate(asked)]
    whole = dict(RunningBatch(model).join(rows))
    assert max(len(scores) for scores in whole.values()) > 3
    # Two places at a time.
    monkeypatch.setattr(batching, "_SCORED_LOGITS", 2 * model.config.vocab_size)
    parts = dict(RunningBatch(model).join(rows))
    for key, scores in whole.items():
        given = [score.log_probability for score in parts[key]]
        assert given[0] is None and len(given) == len(scores)
        assert given[1:] == pytest.approx([score.log_probability for score in scores[1:]], abs=1e-5)


def test_made_tokens_bring_the_model_s_own_probabilities(model: LanguageModel) -> None:
    """Temperature and top-p move what is drawn, not what is said of it."""
    (request,) = requests()[4:5]
    batch = RunningBatch(model)
    list(batch.join([(0, spec(request, top=2))]))
    tokens = list(request.prompt)
    for _ in range(5):
        (step,) = batch.step()
        expected = world.distribution(model, tokens)
        assert step.score.log_probability == pytest.approx(
            float(expected[step.score.token]), abs=1e-4
        )
        assert [token for token, _ in step.score.top] == expected.topk(2).indices.tolist()
        tokens.append(step.score.token)


def test_an_output_outgrows_the_room_that_it_was_given(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_ROOM", 3)
    asked = [Request([1, 2, 3], Sampling(80, 1.0), 1), Request([4] * 30, Sampling(50, 0.0), 2)]
    expected = {i: Engine(model).generate([r])[0].tokens for i, r in enumerate(asked)}
    assert decode(model, asked, {0: [0], 20: [1]}) == expected


def test_a_prompt_alone_is_read_and_gone(model: LanguageModel) -> None:
    batch = RunningBatch(model)
    row = RowSpec([1, 2, 3], Sampling(1), 0, 0, top=0, score_prompt=True)
    ((key, scores),) = batch.join([(5, row)])
    assert key == 5 and len(scores) == 3
    assert len(batch) == 0 and batch.step() == []
