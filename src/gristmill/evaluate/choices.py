"""Multiple choice by likelihood: the continuation that the model finds most probable.

An `Instance` stands between task and model: a task makes instances, this file turns them into
sequences of ids, any `Scorer` scores them once, and all normalisations come from that pass, since
which one is used moves scores by tens of points.

The two other ways to ask the same question are in `letters.py` and `answers.py`; how it stands
before a model, as text or in a chat, is in `framing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Table, proportion
from gristmill.core.progress import Progress
from gristmill.evaluate.framing import Cut, Framing, TextEncoder, TextFraming, cut_texts, fit
from gristmill.evaluate.likelihood import score_all
from gristmill.infer.generator import Scorer

__all__ = ["Cut", "Instance", "TextEncoder", "cut_texts", "score_choices"]


@dataclass(frozen=True)
class Instance:
    """One question. `continuations` begin with their own space where they need one.

    gold: the place of the right one. unconditional: the context in which a continuation's own
    probability is taken for the PMI score (Holtzman et al. 2021, "domain context"). group: under
    which results are also given apart, such as whether training saw the source. stem: the question
    itself, without a template, for the ways that show the choices and for chats (default: the
    context).
    """

    id: str
    context: str
    continuations: tuple[str, ...]
    gold: int
    unconditional: str = ""
    group: str = "all"
    stem: str = ""

    @property
    def question(self) -> str:
        """The stem, or the context where there is none."""
        return self.stem or self.context.strip()

    @property
    def options(self) -> tuple[str, ...]:
        """The choices as they are listed."""
        return tuple(text.strip() for text in self.continuations)

    def __post_init__(self) -> None:
        if len(self.continuations) < 2:
            raise GristmillError("a question needs two choices or more", where=self.id)
        if not 0 <= self.gold < len(self.continuations):
            raise GristmillError(f"choice {self.gold} does not exist", where=self.id)
        if not all(text.strip() for text in self.continuations):
            raise GristmillError("a choice is empty", where=self.id)


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
    framing: Framing | None = None,
    shots: Sequence[Instance] = (),
    context: int | None = None,
    bar: Progress | None = None,
) -> list[ChoiceScores]:
    """Scores every continuation of every instance in one pass.

    framing: default the text itself. shots: questions that stand before each one with their right
    answers. context: the most tokens that the scorer can look back on; a longer context loses its
    beginning. Raises GristmillError where a continuation alone does not fit.
    """
    framing = framing or TextFraming(tokenizer)
    asked = {
        id(i): i.question if framing.name == "chat" else i.context for i in [*instances, *shots]
    }
    pairs = [(asked[id(i)], c) for i in instances for c in i.continuations]
    pairs += [(i.unconditional, c) for i in instances for c in i.continuations]
    # A continuation alone occurs once per question that offers it: score each pair once.
    distinct = list(dict.fromkeys(pairs))
    before = [(asked[id(i)], i.continuations[i.gold]) for i in shots]
    cuts = [
        fit(cut, context, text)
        for cut, (_, text) in zip(framing.cuts(distinct, before), distinct, strict=True)
    ]
    scored = score_all(scorer, [cut.ids for cut in cuts], bar)
    log_p = {
        pair: (float(scores[cut.start - 1 :].sum()), cut)
        for pair, cut, scores in zip(distinct, cuts, scored, strict=True)
    }
    results = []
    for instance in instances:
        inside = [log_p[asked[id(instance)], text] for text in instance.continuations]
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
