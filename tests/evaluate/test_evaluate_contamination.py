"""The order test: uniform where nothing is known, small where an order was planted."""

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.run import Run
from gristmill.evaluate.contamination import OrderTest, order_test, shards_of
from gristmill.stages.evaluate_contamination import ContaminationConfig, _beside, _scores, _sets
from gristmill.stages.stage import Execution, Inputs, Output
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

EXAMPLES = [f"Question {i * 7919 % 1000}: is {i * 31 % 97} more? No." for i in range(60)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(EXAMPLES, 340)


class Random:
    """Log-probabilities that depend on the sequence alone, as a model's do."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        return [
            np.random.default_rng([self.seed, *s]).normal(-3, 1, len(s) - 1).astype(np.float32)
            for s in sequences
        ]


class Remembers:
    """Tokens that follow their neighbour of the published text are a little more probable."""

    def __init__(self, tokenizer: Tokenizer, examples: Sequence[str], gain: float) -> None:
        ids = tokenizer.encode("\n\n".join(examples))
        self.known = {tuple(ids[i : i + 17]) for i in range(len(ids))}
        self.gain, self.noise = gain, Random(0)

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        scores = self.noise.score_tokens(sequences)
        for sequence, score in zip(sequences, scores, strict=True):
            for i in range(16, len(sequence)):
                score[i - 1] += self.gain * (tuple(sequence[i - 16 : i + 1]) in self.known)
        return scores


def test_p_is_uniform_where_no_order_is_known(tokenizer: Tokenizer) -> None:
    found = [
        order_test(Random(seed), tokenizer, EXAMPLES, context=80, orders=8, seed=seed)
        for seed in range(120)
    ]
    assert kstest([test.p for test in found], "uniform").pvalue > 0.01
    ranks = np.array([test.p_by_rank for test in found]) * 9
    assert set(np.round(ranks).astype(int)) == set(range(1, 10))
    # Never more often small than it may be.
    assert np.mean(ranks < 1.5) < 0.2
    assert np.mean([test.p < 0.05 for test in found]) < 0.11


def test_an_order_that_is_remembered_is_found(tokenizer: Tokenizer) -> None:
    known = Remembers(tokenizer, EXAMPLES, 1.0)
    assert order_test(known, tokenizer, EXAMPLES, context=80, seed=1).p < 1e-4
    assert order_test(known, tokenizer, EXAMPLES, context=80, seed=1).p_by_rank == 1 / 21
    # The same model does not know another order of the same examples.
    other = [EXAMPLES[i] for i in np.random.default_rng(3).permutation(len(EXAMPLES))]
    assert order_test(known, tokenizer, other, context=80, seed=1).p > 0.05
    forgets = Remembers(tokenizer, EXAMPLES, 0.0)
    assert order_test(forgets, tokenizer, EXAMPLES, context=80, seed=1).p > 0.05


def test_t_and_p_by_hand() -> None:
    test = OrderTest(np.array([3.0, 1.0, 2.0]), np.array([[1.0, 1], [0, 2], [0, 0]]), (2, 2, 2))
    assert test.gains_S.tolist() == [2, 0, 2]
    assert test.t == pytest.approx((4 / 3) / (np.sqrt(4 / 3) / np.sqrt(3)))
    # Two degrees of freedom: P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)).
    assert test.p == pytest.approx(0.5 - test.t / (2 * np.sqrt(2 + test.t**2)))
    assert test.p_by_rank == 1 / 3
    flat = OrderTest(np.zeros(6), np.zeros((6, 3)), (2,) * 6)
    assert (flat.t, flat.p, flat.p_by_rank) == (0.0, 0.5, 1.0)


def test_shards_hold_neighbours_and_fit() -> None:
    assert shards_of([10] * 7, 30) == [range(0, 3), range(3, 6)]
    assert shards_of([10] * 7, 30, most=2) == [range(0, 2), range(2, 4), range(4, 6)]
    assert shards_of([10, 10, 50, 10, 10], 30) == [range(0, 2), range(3, 5)]
    assert shards_of([], 30) == []


def test_each_shard_is_compared_with_orders_of_its_own_examples(tokenizer: Tokenizer) -> None:
    seen: list[list[str]] = []

    class Keeps(Random):
        def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
            seen.extend(tokenizer.decode(list(s[1:])).split("\n\n") for s in sequences)
            return super().score_tokens(sequences)

    found = order_test(Keeps(0), tokenizer, EXAMPLES, context=120, orders=6, most=3)
    shards = [set(EXAMPLES[i : i + 3]) for i in range(0, 60, 3)]
    assert found.sizes == (3,) * 20
    asked = [[one for one in seen if set(one) == shard and len(one) == 3] for shard in shards]
    assert [len(orders) for orders in asked] == [7] * 20
    assert len({tuple(order) for orders in asked for order in orders}) > 60


def test_of_several_tests_one_must_be_smaller_to_accuse() -> None:
    gains = np.array([3.0, 1.0, 2.0, -1.0, 2.0, 1.0, -0.5])
    test = OrderTest(gains, np.zeros((7, 1)), (2,) * 7)
    assert 0.025 < test.p < 0.05

    def said(sets: dict[str, OrderTest]) -> list[object]:
        return [row[2] for row in _beside({"m": sets}, {}, {}, {}).rows]

    assert said({"one": test}) == ["yes"]
    assert said({"one": test, "two": test}) == ["no sign", "no sign"]
    certain = OrderTest(gains + 9, np.zeros((7, 1)), (2,) * 7)
    assert said({"one": test, "two": certain}) == ["no sign", "yes"]


def test_questions_with_their_right_answers_are_tested_beside_their_likelihood(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    question = {"context": "The sky is", "continuations": [" red", " blue"], "gold": 1}
    files = {
        "results.json": {"tasks": {"sky": {"questions": [question]}}},
        "presentation.json": {
            "figures": {
                f"{way}.accuracy.base": {"value": value}
                for way, value in (("letter", 0.1), ("likelihood", 0.2), ("generation", 0.3))
            }
        },
    }
    (tmp_path / "tasks").mkdir()
    for name, value in files.items():
        (tmp_path / "tasks" / name).write_text(json.dumps(value), encoding="utf-8")
    inputs = Inputs({"tasks": [seal(tmp_path / "tasks", "evaluation", "evaluate.tasks")]})
    output = Output(tmp_path, Run(tmp_path / "run"), 0, Execution())
    assert _sets(ContaminationConfig(), inputs, output) == {"sky": ["The sky is blue"]}
    for name in ("sky.jsonl", "sky.more.jsonl"):
        (tmp_path / name).write_text('{"text": "It is blue."}\n', encoding="utf-8")
    given = [str(tmp_path / "sky.jsonl"), str(tmp_path / "sky.more.jsonl")]
    # One would take the other's place without a word.
    for several, slots in ((given, Inputs({})), (given[:1], inputs)):
        with pytest.raises(GristmillError, match="two test sets are called 'sky'"):
            _sets(ContaminationConfig(sets=tuple(several)), slots, output)
    found = _scores(inputs)
    assert {place: figure.value for place, figure in found.items()} == {("base", "sky"): 0.2}


def test_too_few_examples_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(GristmillError, match="the test needs 5"):
        order_test(Random(0), tokenizer, EXAMPLES[:8], context=80)


def test_a_planted_set_is_found_in_a_trained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    path = Path(__file__).parents[2] / "benchmarks" / "contamination.py"
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location("benchmark_contamination", path)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)
    spec.loader.exec_module(benchmark)
    small = benchmark.Planting(40, 16, copies=8, steps=48, batch=12, shard=4)
    assert benchmark.test_of("published", 1, small).p < 0.01
    assert benchmark.test_of("unseen", 1, small).p > 0.05
