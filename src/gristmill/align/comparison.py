"""One method of alignment, measured: reward, KL, win rate, length, diversity, perplexity, cost.

Everything comes from fresh samples on held-out prompts. What is measured of an answer is averaged
within its prompt first, with weights: even ones for samples, the chances to be picked for best of
n. So a policy and best of n are measured alike, and every interval resamples prompts.

The gold reward only measures here: nothing is trained on it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.align.best_of_n import kl_of_best_of_n, pick_matrix
from gristmill.align.chats import Answer, Chat
from gristmill.align.drawing import Drawn, draw
from gristmill.align.intervals import Floats, mean_figure, ratio_figure
from gristmill.align.judging import Judge, ScoreOf, WinRate, judge_by_score, win_rate
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.core.progress import Progress
from gristmill.core.seeds import derive_seed
from gristmill.evaluate.likelihood import score_documents
from gristmill.evaluate.perplexity import DocumentTokens, Perplexity
from gristmill.infer.generator import Generator, Sampling
from gristmill.tokenizer.chat import ChatFormat

AnswersOf = Literal["sample", "best_of_n"]
Proxy = Callable[[Sequence[Sequence[int]]], Sequence[float] | Floats]

DRAWN_AGAIN = "drawn again"
"""In place of a strength: the reference's second answers, which are no method of their own."""


class Policy(Generator, Protocol):
    """A model that answers and gives probabilities, such as `infer.engine.Engine`."""

    context: int

    def score_tokens(
        self, sequences: Sequence[Sequence[int]], *, temperature: float = 1.0
    ) -> list[NDArray[np.float32]]:
        """log p of every token but the first of each, at a temperature."""
        ...


@dataclass(frozen=True)
class Method:
    """One trained policy, or best of n over one.

    strength: how hard it was pulled, as a label (`beta 0.1`, `n 16`). engine: the policy that
    answers. models_held_training: models in memory at once while it was trained.
    """

    name: str
    strength: str
    seed: int
    engine: Policy
    train_cpu_seconds: float = 0.0
    models_held_training: int = 0
    answers_of: AnswersOf = "sample"
    n: int = 1


@dataclass(frozen=True)
class Bench:
    """What all methods are measured on.

    reference: the SFT policy, to which KL is measured and against which wins are counted. proxy:
    the learned reward of whole conversations as ids. gold: the rule. samples: answers to each
    prompt. margin: gold scores no further apart are a tie. heldout: documents for bits per byte.
    judge: in place of the gold rule for the win rate.
    """

    chats: Sequence[Chat]
    chat_format: ChatFormat
    reference: Policy
    proxy: Proxy
    gold: ScoreOf
    samples: int = 4
    max_tokens: int = 48
    temperature: float = 1.0
    margin: float = 0.0
    seed: int = 0
    heldout: DocumentTokens | None = None
    judge: Judge | None = None
    missing_end_score: float | None = None
    """The proxy of an answer that did not end by itself; None: the proxy's own."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one method at one strength with one seed, or the mean over seeds.

    figures: by short name (`gold`, `kl`, `win_rate`, ...); gains and changes are paired with the
    reference by prompt, which itself has none. seeds: how many it is the mean of.
    """

    name: str
    strength: str
    seeds: int
    figures: Mapping[str, Figure]

    @property
    def label(self) -> str:
        """`dpo, beta 0.1`."""
        return f"{self.name}, {self.strength}" if self.strength else self.name


@dataclass(frozen=True)
class Baseline:
    """The reference's own answers and scores, which every method is held against."""

    scored: _Scored
    bits: Perplexity | None


@dataclass(frozen=True)
class _Scored:
    """Answers with the scores of each, and their weights within a prompt, (P, N) all."""

    drawn: Drawn
    proxy_PN: Floats
    gold_PN: Floats
    weights_PN: Floats

    def each(self, values_PN: Floats) -> Floats:
        """The weighted mean of each prompt, (P,)."""
        mean_P: Floats = (self.weights_PN * values_PN).sum(axis=1)
        return mean_P

    @property
    def gold_P(self) -> Floats:
        """The gold reward of each prompt."""
        return self.each(self.gold_PN)

    @property
    def proxy_P(self) -> Floats:
        """The learned reward of each prompt."""
        return self.each(self.proxy_PN)


def baseline_of(bench: Bench, bar: Progress | None = None) -> Baseline:
    """Draws and scores the reference's answers. Raises GristmillError where there is no prompt."""
    if not bench.chats:
        raise GristmillError("a comparison needs a prompt or more")
    drawn = _draw(bench, bench.reference, bench.samples, "reference", bar)
    return Baseline(_scored(bench, drawn), _perplexity(bench, bench.reference))


def measure_reference(bench: Bench, baseline: Baseline, name: str = "sft") -> list[Measured]:
    """The reference itself as two rows, KL 0 by definition.

    First the very answers that all others are held against, so that a gain is the difference of two
    rows; then fresh answers, against those: what they seem to gain or lose is chance alone.
    """
    method = Method(name, "", 0, bench.reference)
    scored = baseline.scored
    own = _of_answers(scored, bench) | _diversity(scored.drawn.answers)
    own |= _bits(bench, bench.reference, baseline) | _cost(method, _answer_seconds(scored.drawn), 1)
    again = measure(method, bench, baseline)
    nothing = {key: Figure(0.0) for key in ("kl", "kl_k3", "kl_error")}
    return [
        Measured(name, "", 1, own | nothing),
        replace(again, strength=DRAWN_AGAIN, figures={**again.figures, **nothing}),
    ]


def measure(
    method: Method, bench: Bench, baseline: Baseline, bar: Progress | None = None
) -> Measured:
    """One method on the bench: its figures by short name."""
    if method.answers_of == "best_of_n":
        return measure_best_of_n([method], bench, baseline, bar)[0]
    drawn = _draw(bench, method.engine, bench.samples, f"{method.name}/{method.seed}", bar)
    scored = _scored(bench, drawn)
    figures = _of_answers(scored, bench) | _against(scored, bench, baseline)
    figures.update(kl_figures(drawn, bench.reference, bench.temperature))
    figures.update(_diversity(drawn.answers))
    figures.update(_bits(bench, method.engine, baseline))
    figures.update(_cost(method, _answer_seconds(drawn), 1))
    return Measured(method.name, method.strength, 1, figures)


def measure_best_of_n(
    methods: Sequence[Method], bench: Bench, baseline: Baseline, bar: Progress | None = None
) -> list[Measured]:
    """Best of several n over one policy and one run of samples, twice the largest n of them.

    The policy is to be the reference, or the analytic KL is not the KL to it. Twice, so that every
    n has two answers or more to a prompt that share no sample, whose
    difference is its diversity.
    """
    if len({id(method.engine) for method in methods}) != 1:
        raise GristmillError("best of n at several n is measured over one policy at a time")
    first = methods[0]
    pool = _draw(
        bench, first.engine, 2 * max(m.n for m in methods), f"{first.name}/{first.seed}", bar
    )
    start = time.process_time()
    scored = _scored(bench, pool)
    answers = sum(len(row) for row in pool.answers)
    each = (pool.cpu_seconds + time.process_time() - start) / answers
    bits = _bits(bench, first.engine, baseline)
    found = []
    for method in methods:
        picked = _Scored(
            pool, scored.proxy_PN, scored.gold_PN, pick_matrix(scored.proxy_PN, method.n)
        )
        figures = _of_answers(picked, bench) | _against(picked, bench, baseline)
        figures["kl"] = Figure(kl_of_best_of_n(method.n))
        figures.update(_diversity(_blocks(scored, method.n)))
        figures.update(bits)
        # n answers are sampled and scored for one that is given.
        figures.update(_cost(method, each * method.n, 2))
        found.append(Measured(method.name, method.strength, 1, figures))
    return found


def _draw(bench: Bench, engine: Policy, count: int, name: str, bar: Progress | None) -> Drawn:
    sampling = Sampling(bench.max_tokens, bench.temperature)
    seed = derive_seed(bench.seed, "answers", name)
    return draw(engine, bench.chat_format, bench.chats, sampling, count=count, seed=seed, bar=bar)


def _scored(bench: Bench, drawn: Drawn) -> _Scored:
    proxy_PN = drawn.matrix(bench.proxy(drawn.conversations))
    if bench.missing_end_score is not None:
        proxy_PN = np.where(drawn.stopped_PN, proxy_PN, bench.missing_end_score)
    gold = [
        [float(bench.gold(answer, chat)) for answer in row]
        for chat, row in zip(drawn.chats, drawn.answers, strict=True)
    ]
    even_PN = np.full(proxy_PN.shape, 1 / drawn.per_prompt)
    return _Scored(drawn, proxy_PN, np.array(gold, dtype=np.float64), even_PN)


def _of_answers(scored: _Scored, bench: Bench) -> dict[str, Figure]:
    """Rewards, length, share that ended, entropy."""
    drawn, seed = scored.drawn, bench.seed
    tokens_PN = _matrix(drawn, lambda a: a.tokens or 0)
    surprise_PN = -_matrix(drawn, lambda a: a.log_probability or 0.0)
    return {
        "gold": mean_figure(scored.gold_P, seed),
        "proxy": mean_figure(scored.proxy_P, seed),
        "length": mean_figure(scored.each(tokens_PN), seed),
        "letters": mean_figure(scored.each(_matrix(drawn, lambda a: len(a.content))), seed),
        "ended": mean_figure(scored.each(_matrix(drawn, lambda a: float(a.stopped))), seed),
        "entropy": ratio_figure(scored.each(surprise_PN), scored.each(tokens_PN), seed),
    }


def _against(scored: _Scored, bench: Bench, baseline: Baseline) -> dict[str, Figure]:
    """Gains of both rewards over the baseline's answers, and wins against them."""
    wins = win_rate(
        bench.judge or judge_by_score(bench.gold, bench.margin),
        scored.drawn.chats,
        scored.drawn.answers,
        baseline.scored.drawn.answers,
        weights=scored.weights_PN,
        seed=bench.seed,
    )
    return {
        "gold_gain": mean_figure(scored.gold_P - baseline.scored.gold_P, bench.seed),
        "proxy_gain": mean_figure(scored.proxy_P - baseline.scored.proxy_P, bench.seed),
        **_wins(wins),
    }


def _answer_seconds(drawn: Drawn) -> float:
    return drawn.cpu_seconds / sum(len(row) for row in drawn.answers)


def _wins(wins: WinRate) -> dict[str, Figure]:
    return {"win_rate": wins.rate, "order_bias": wins.order_bias}


def _matrix(drawn: Drawn, of: Callable[[Answer], float]) -> Floats:
    return np.array([[of(answer) for answer in row] for row in drawn.answers], dtype=np.float64)


def kl_figures(drawn: Drawn, reference: Policy, temperature: float) -> dict[str, Figure]:
    """KL of the policy to the reference in nats per answer, both at the sampling temperature.

    kl: the mean of log p - log ref summed over each sampled answer (k1), its end included.
    kl_k3: the sum of exp(-k1) - 1 + k1 of each token: the same expectation, never negative
    (Schulman 2020). kl_error: the standard error of the mean of k1, prompts being the cases.
    """
    log_ref = reference.score_tokens(drawn.conversations, temperature=temperature)
    flat = [completion for row in drawn.completions for completion in row]
    k1, k3 = [], []
    for completion, scores in zip(flat, log_ref, strict=True):
        answer_T = scores[len(scores) - len(completion.tokens) :].astype(np.float64)
        ratio_T = np.array(completion.log_probabilities) - answer_T
        k1.append(float(ratio_T.sum()))
        k3.append(float((np.exp(-ratio_T) - 1 + ratio_T).sum()))
    k1_P, k3_P = drawn.matrix(k1).mean(axis=1), drawn.matrix(k3).mean(axis=1)
    count = len(k1_P)
    error = float(k1_P.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return {
        "kl": mean_figure(k1_P),
        "kl_k3": mean_figure(k3_P),
        "kl_error": Figure(error, n=count),
    }


def _blocks(scored: _Scored, n: int) -> list[list[Answer]]:
    """The best of each run of n samples that share none: independent answers of best of n."""
    picked = []
    for row, scores_N in zip(scored.drawn.answers, scored.proxy_PN, strict=True):
        starts = range(0, len(row) - n + 1, n)
        picked.append([row[start + int(scores_N[start : start + n].argmax())] for start in starts])
    return picked


def _diversity(answers: Sequence[Sequence[Answer]]) -> dict[str, Figure]:
    """distinct: the share of pairs of answers to one prompt that differ, which does not depend on
    how many answers there are. distinct_bigrams: different pairs of words over all pairs of words,
    in the first answer to each prompt (Li et al. 2016)."""
    shares = [_different([answer.content.strip() for answer in row]) for row in answers]
    pairs: Counter[tuple[str, str]] = Counter()
    for row in answers:
        words = row[0].content.lower().split()
        pairs.update(pairwise(words))
    total = pairs.total()
    return {
        "distinct": mean_figure(shares),
        "distinct_bigrams": Figure(len(pairs) / total if total else math.nan, n=total),
    }


def _different(contents: Sequence[str]) -> float:
    count = len(contents)
    if count < 2:
        return math.nan
    same = sum(k * (k - 1) for k in Counter(contents).values())
    return 1 - same / (count * (count - 1))


def _perplexity(bench: Bench, engine: Policy) -> Perplexity | None:
    if bench.heldout is None:
        return None
    data = bench.heldout
    scores = score_documents(engine, data.documents, data.eot_id, engine.context)
    return Perplexity.of(scores, data)


def _bits(bench: Bench, engine: Policy, baseline: Baseline) -> dict[str, Figure]:
    found = baseline.bits if engine is bench.reference else _perplexity(bench, engine)
    if found is None or baseline.bits is None:
        return {}
    change_P = found.bits_N - baseline.bits.bits_N
    return {
        "bits_per_byte": found.bits_per_byte(bench.seed),
        "bits_per_byte_change": ratio_figure(
            change_P, found.bytes_N.astype(np.float64), bench.seed
        ),
    }


def _cost(method: Method, answer_cpu_seconds: float, answering: int) -> dict[str, Figure]:
    """models: the most that are held at once, in training or in answering."""
    return {
        "train_cpu_seconds": Figure(method.train_cpu_seconds),
        "answer_cpu_seconds": Figure(answer_cpu_seconds),
        "models": Figure(float(max(method.models_held_training, answering))),
        "models_training": Figure(float(method.models_held_training)),
        "models_answering": Figure(float(answering)),
    }
