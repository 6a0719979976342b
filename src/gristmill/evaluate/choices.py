"""Multiple choice by likelihood: the continuation that the model finds most probable.

An `Instance` stands between task and model: a task makes instances, this file turns them into
sequences of ids, any `Scorer` scores them once, and all normalisations come from that pass, since
which one is used moves scores by tens of points.

The border between context and continuation is cut on the ids of the joined text. Encoding the two
apart gives other tokens than a model would see: the token that crosses the border belongs to the
continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Table, proportion
from gristmill.core.progress import Progress
from gristmill.evaluate.likelihood import score_all
from gristmill.infer.generator import Scorer


class TextEncoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def eot_id(self) -> int: ...
    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]: ...
    def token_bytes(self, token_id: int) -> bytes: ...


@dataclass(frozen=True)
class Instance:
    """One question. `continuations` begin with their own space where they need one.

    gold: the place of the right one. unconditional: the context in which a continuation's own
    probability is taken for the PMI score (Holtzman et al. 2021, "domain context"). group: under
    which results are also given apart, such as whether training saw the source.
    """

    id: str
    context: str
    continuations: tuple[str, ...]
    gold: int
    unconditional: str = ""
    group: str = "all"

    def __post_init__(self) -> None:
        if len(self.continuations) < 2:
            raise GristmillError("a question needs two choices or more", where=self.id)
        if not 0 <= self.gold < len(self.continuations):
            raise GristmillError(f"choice {self.gold} does not exist", where=self.id)
        if not all(self.continuations):
            raise GristmillError("a choice is empty", where=self.id)


@dataclass(frozen=True)
class Cut:
    """A joined text as ids (after end-of-text) and where its continuation begins among them."""

    ids: list[int]
    start: int
    characters: int
    bytes: int

    @property
    def tokens(self) -> int:
        """Tokens of the continuation."""
        return len(self.ids) - self.start


@dataclass(frozen=True)
class ChoiceScores:
    """log p (nats) of a question's continuations, in their context and in `unconditional`."""

    instance: Instance
    log_p_C: NDArray[np.float64]
    unconditional_C: NDArray[np.float64]
    tokens_C: NDArray[np.int64]
    characters_C: NDArray[np.int64]
    bytes_C: NDArray[np.int64]

    def score(self, normalisation: str) -> NDArray[np.float64]:
        """One number a continuation, higher is better."""
        return NORMALISATIONS[normalisation](self)

    def chosen(self, normalisation: str) -> int:
        """The best continuation; the first of equals."""
        return int(np.argmax(self.score(normalisation)))


NORMALISATIONS: dict[str, Callable[[ChoiceScores], NDArray[np.float64]]] = {
    "sum": lambda s: s.log_p_C,
    "characters": lambda s: s.log_p_C / s.characters_C,
    "bytes": lambda s: s.log_p_C / s.bytes_C,
    "tokens": lambda s: s.log_p_C / s.tokens_C,
    # Pointwise mutual information of context and continuation.
    "pmi": lambda s: s.log_p_C - s.unconditional_C,
}


def score_choices(
    scorer: Scorer,
    tokenizer: TextEncoder,
    instances: Sequence[Instance],
    *,
    context: int | None = None,
    bar: Progress | None = None,
) -> list[ChoiceScores]:
    """Scores every continuation of every instance in one pass.

    context: the most tokens that the scorer can look back on; a longer context loses its
    beginning. Raises GristmillError where a continuation alone does not fit.
    """
    pairs = [(i.context, c) for i in instances for c in i.continuations]
    pairs += [(i.unconditional, c) for i in instances for c in i.continuations]
    # A continuation alone occurs once per question that offers it: score each pair once.
    distinct = list(dict.fromkeys(pairs))
    cuts = [
        _fit(cut, context, text)
        for cut, (_, text) in zip(cut_texts(tokenizer, distinct), distinct, strict=True)
    ]
    scored = score_all(scorer, [cut.ids for cut in cuts], bar)
    log_p = {
        pair: (float(scores[cut.start - 1 :].sum()), cut)
        for pair, cut, scores in zip(distinct, cuts, scored, strict=True)
    }
    results = []
    for instance in instances:
        inside = [log_p[instance.context, text] for text in instance.continuations]
        alone = [log_p[instance.unconditional, text] for text in instance.continuations]
        results.append(
            ChoiceScores(
                instance,
                np.array([p for p, _ in inside]),
                np.array([p for p, _ in alone]),
                np.array([cut.tokens for _, cut in inside]),
                np.array([cut.characters for _, cut in inside]),
                np.array([cut.bytes for _, cut in inside]),
            )
        )
    return results


def cut_texts(tokenizer: TextEncoder, pairs: Sequence[tuple[str, str]]) -> list[Cut]:
    """Each (context, continuation) joined, encoded and cut at the first token that ends in the
    continuation."""
    encoded = tokenizer.encode_batch([context + text for context, text in pairs])
    lengths = _TokenLengths(tokenizer)
    cuts = []
    for (context, text), ids in zip(pairs, encoded, strict=True):
        border = len(context.encode())
        ends = np.cumsum([lengths[token] for token in ids.tolist()])
        start = 1 + int(np.searchsorted(ends, border, side="right"))
        cuts.append(Cut([tokenizer.eot_id, *ids.tolist()], start, len(text), len(text.encode())))
    return cuts


class _TokenLengths(dict[int, int]):
    """Bytes of each token, looked up once."""

    def __init__(self, tokenizer: TextEncoder):
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> int:
        self[token] = len(self._tokenizer.token_bytes(token))
        return self[token]


def _fit(cut: Cut, context: int | None, text: str) -> Cut:
    if context is None or len(cut.ids) <= context + 1:
        return cut
    surplus = len(cut.ids) - context - 1
    if cut.start - surplus < 1:
        raise GristmillError(
            f"a choice of {cut.tokens} tokens does not fit a context of {context}",
            where=text[:60],
            mend="shorten it",
        )
    return Cut(cut.ids[surplus:], cut.start - surplus, cut.characters, cut.bytes)


def accuracy(scores: Sequence[ChoiceScores], normalisation: str) -> Figure:
    """The share of right choices with its 95% Wilson interval."""
    right = sum(s.chosen(normalisation) == s.instance.gold for s in scores)
    return proportion(right, len(scores))


def chance(scores: Sequence[ChoiceScores]) -> float:
    """The accuracy of guessing: the mean of one over the number of choices."""
    return float(np.mean([1 / len(s.instance.continuations) for s in scores]))


def accuracy_table(title: str, models: Mapping[str, Sequence[ChoiceScores]]) -> Table:
    """Accuracy by model, group of questions and normalisation."""
    rows: list[list[object]] = []
    for name, scores in models.items():
        groups = sorted({s.instance.group for s in scores})
        for group in ["all", *[g for g in groups if g != "all"]]:
            inside = [s for s in scores if group in ("all", s.instance.group)]
            cells = [accuracy(inside, normalisation) for normalisation in NORMALISATIONS]
            rows.append([name, group, len(inside), chance(inside), *cells])
    return Table(
        title,
        ["model", "questions from", "n", "chance", *NORMALISATIONS],
        rows,
        note="By log-probability: summed, per character, byte and token, and minus that of the "
        "continuation without its context (pmi); 95% Wilson intervals.",
    )
