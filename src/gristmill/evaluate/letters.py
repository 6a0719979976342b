"""Multiple choice by letter: the choices stand in the question, and a letter is the answer.

Which letter a model prefers whatever stands behind it moves this score, so each question is asked
in several orders of its choices: in the rotation r, the letter j shows choice (j + r) mod n. Over
all n rotations every choice stands once at every letter, so a model that always says A is right
exactly as often as by chance, and its preference shows in the shares of the letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gristmill.core.figure import Figure, Table, all_equal, proportion
from gristmill.core.progress import Progress
from gristmill.core.seeds import derive_seed
from gristmill.evaluate.choices import Instance
from gristmill.evaluate.framing import Framing, Pair, fit
from gristmill.evaluate.likelihood import score_all, score_endings
from gristmill.infer.generator import Scorer

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Raised by one when the words around a question change: scores are then of another prompt.
TEMPLATE = "letters-1"


@dataclass(frozen=True)
class LetterScores:
    """log p (nats) of the letters, (rotations, letters). orders_RC[r][j]: the choice at letter j in
    rotation r; the first is the order of the question itself."""

    instance: Instance
    orders_RC: tuple[tuple[int, ...], ...]
    log_p_RC: NDArray[np.float64]

    @property
    def letters(self) -> list[int]:
        """The best letter of each rotation; the first of equals."""
        return [int(i) for i in np.argmax(self.log_p_RC, axis=1)]

    @property
    def choices(self) -> list[int]:
        """The choice behind it."""
        return [order[j] for order, j in zip(self.orders_RC, self.letters, strict=True)]

    @property
    def right(self) -> float:
        """The share of rotations in which the right choice is best."""
        return sum(choice == self.instance.gold for choice in self.choices) / len(self.choices)


def rotations_of(choices: int, rotations: int) -> tuple[tuple[int, ...], ...]:
    """The first `rotations` orders (all where there are no more choices)."""
    return tuple(
        tuple((letter + turn) % choices for letter in range(choices))
        for turn in range(min(rotations, choices))
    )


def listed(instance: Instance, framing: Framing, order: Sequence[int] | None = None) -> str:
    """The question and its choices by letter; what an assistant is told to answer with."""
    order = range(len(instance.options)) if order is None else order
    lines = [f"{LETTERS[j]}) {instance.options[choice]}" for j, choice in enumerate(order)]
    if framing.name == "chat":
        asked = "Answer with the letter of the right choice."
        return "\n".join([instance.question, "", *lines, "", asked])
    return "\n".join([f"Question: {instance.question}", *lines, "Answer:"])


def listed_shots(shots: Sequence[Instance], framing: Framing) -> list[Pair]:
    """Earlier questions with the letters of their right answers."""
    return [(listed(shot, framing), f" {LETTERS[shot.gold]}") for shot in shots]


def score_letters(
    scorer: Scorer,
    framing: Framing,
    instances: Sequence[Instance],
    *,
    shots: Sequence[Instance] = (),
    rotations: int = 4,
    context: int | None = None,
    bar: Progress | None = None,
) -> list[LetterScores]:
    """log p of each letter of each question in each rotation.

    The border before the letter is cut on the ids of the joined text. context: the most tokens that
    the scorer can look back on; a longer question loses its beginning.
    """
    orders = [rotations_of(len(i.options), rotations) for i in instances]
    pairs = [
        (listed(instance, framing, order), f" {LETTERS[j]}")
        for instance, turns in zip(instances, orders, strict=True)
        for order in turns
        for j in range(len(order))
    ]
    cuts = [
        fit(cut, context, "a letter") for cut in framing.cuts(pairs, listed_shots(shots, framing))
    ]
    log_p = np.zeros(len(cuts))
    short = [i for i, cut in enumerate(cuts) if cut.tokens == 1]
    log_p[short] = score_endings(scorer, [(cuts[i].ids[:-1], cuts[i].ids[-1]) for i in short], bar)
    # Where the letter takes two tokens, or one with what stands before it.
    rest = [i for i, cut in enumerate(cuts) if cut.tokens != 1]
    for i, scores in zip(rest, score_all(scorer, [cuts[i].ids for i in rest], bar), strict=True):
        log_p[i] = float(scores[cuts[i].start - 1 :].sum())
    results, place = [], 0
    for instance, turns in zip(instances, orders, strict=True):
        size = len(turns) * len(instance.options)
        results.append(
            LetterScores(instance, turns, log_p[place : place + size].reshape(len(turns), -1))
        )
        place += size
    return results


def letter_accuracy(scores: Sequence[LetterScores], seed: int = 0) -> Figure:
    """The mean over questions of the share of rotations that are right; 95% by bootstrap over
    questions, since the rotations of one are no new question."""
    return mean_of([s.right for s in scores], seed)


def guesses(scores: Sequence[LetterScores], seed: int = 0) -> bool:
    """Whether a model is no better than guessing: the interval of its accuracy reaches chance."""
    found = letter_accuracy(scores, seed)
    chance = sum(1 / len(s.instance.options) for s in scores) / max(1, len(scores))
    return (found.value if found.low is None else found.low) <= chance


def favourite(scores: Sequence[LetterScores]) -> tuple[str, float]:
    """The letter that is said most often, and its share; the first of equals."""
    said = [letter for s in scores for letter in s.letters]
    most = max(sorted(set(said)), key=said.count)
    return LETTERS[most], said.count(most) / len(said)


def mean_of(values: Sequence[float], seed: int = 0, resamples: int = 1000) -> Figure:
    """A mean of shares with its 95% bootstrap over questions (Efron 1979); nan for none."""
    n = len(values)
    if n == 0:
        return Figure(float("nan"), n=0)
    values_N = np.asarray(values, dtype=np.float64)
    if len(set(values_N.tolist())) == 1:
        return all_equal(float(values_N[0]), n, n, share=True)
    rng = np.random.default_rng(derive_seed(seed, "questions"))
    means_R = values_N[rng.integers(n, size=(resamples, n))].mean(axis=1)
    low, high = np.percentile(means_R, [2.5, 97.5])
    return Figure(float(values_N.mean()), float(low), float(high), n)


def position_table(
    title: str, models: Mapping[str, Sequence[LetterScores]], seed: int = 0
) -> Table:
    """What the order of the choices does: accuracy as asked and over the rotations, the same choice
    whatever its letter, and the share of each letter."""
    most = max((len(s.instance.options) for scores in models.values() for s in scores), default=0)
    rows: list[list[object]] = []
    lost: list[str] = []
    for name, scores in models.items():
        first = proportion(sum(s.choices[0] == s.instance.gold for s in scores), len(scores))
        same = proportion(sum(len(set(s.choices)) == 1 for s in scores), len(scores))
        said = [letter for s in scores for letter in s.letters]
        if scores and guesses(scores, seed):
            lost.append(name)
        shares = [said.count(j) / len(said) if said else float("nan") for j in range(most)]
        rows.append([name, len(scores), first, letter_accuracy(scores, seed), same, *shares])
    return Table(
        title,
        ["model", "n", "first order", "all orders", "same choice", *LETTERS[:most]],
        rows,
        note="First order: accuracy as the questions stand; all orders: the mean over rotations of "
        "the choices, 95% by bootstrap over questions; same choice: the share of questions where "
        "one choice wins whatever its letter. A model without a favourite letter says each equally "
        f"often. Prompt: {TEMPLATE}."
        + (
            f" No better than guessing: {', '.join(lost)}. First order then tells only how often "
            "the right choice stands at a letter that the model likes."
            if lost
            else ""
        ),
    )
