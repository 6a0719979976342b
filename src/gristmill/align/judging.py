"""Which of two models answers better: pairs of answers, a judge, both orders.

A judge is any function of a chat and two answers: 1 where the first is better, 0 where the second
is, 0.5 for a tie. It is asked in both orders, because judges, people and models alike, favour a
place (Zheng et al. 2023, section 3.3); the favour is measured and cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.align.chats import Answer, Chat
from gristmill.align.intervals import Floats, mean_figure
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Table

Judge = Callable[[Chat, Answer, Answer], float]
ScoreOf = Callable[[Answer, Chat], float]


def judge_by_score(score: ScoreOf, margin: float = 0.0) -> Judge:
    """The answer with the higher score is better; scores no more than `margin` apart are a tie."""

    def judge(chat: Chat, first: Answer, second: Answer) -> float:
        gap = score(first, chat) - score(second, chat)
        return 0.5 if abs(gap) <= margin else float(gap > 0)

    return judge


@dataclass(frozen=True)
class WinRate:
    """How A does against B on the same prompts.

    rate: the share won by A, a tie counting half, the mean over both orders; 0.5 is even.
    order_bias: how much above one half the answer shown first scores; 0 for a fair judge.
    inconsistent: the share of pairs whose verdict turned with the order.
    wins, ties, losses: pairs, by the mean of the two verdicts. each_P: A's share of each prompt.
    """

    rate: Figure
    order_bias: Figure
    inconsistent: Figure
    wins: float
    ties: float
    losses: float
    each_P: Floats


def win_rate(
    judge: Judge,
    chats: Sequence[Chat],
    a: Sequence[Sequence[Answer]],
    b: Sequence[Sequence[Answer]],
    *,
    weights: Sequence[Sequence[float]] | Floats | None = None,
    seed: int = 0,
) -> WinRate:
    """A's win rate against B, with a bootstrap interval over prompts.

    a, b: for each prompt one answer or more. A's i-th answer meets B's i-th (counted from the
    front again where B has fewer). weights: of A's answers within a prompt, each row summing to 1
    (best of n gives its picks); even where not given.
    """
    if not len(chats) == len(a) == len(b):
        raise GristmillError(f"{len(a)} and {len(b)} answers to {len(chats)} prompts")
    if not chats:
        raise GristmillError("nothing to judge: no prompts")
    share, first, turned = (np.zeros(len(chats)) for _ in range(3))
    tally = np.zeros(3)
    for place, (chat, ours, theirs) in enumerate(zip(chats, a, b, strict=True)):
        if not ours or not theirs:
            raise GristmillError("a prompt without an answer", where=chat.id)
        row = np.full(len(ours), 1 / len(ours)) if weights is None else np.asarray(weights[place])
        for i, (answer, weight) in enumerate(zip(ours, row, strict=True)):
            if weight == 0:
                continue
            other = theirs[i % len(theirs)]
            forward, backward = (
                _verdict(judge, chat, answer, other),
                _verdict(judge, chat, other, answer),
            )
            mean = (forward + 1 - backward) / 2
            share[place] += weight * mean
            first[place] += weight * ((forward + backward) / 2 - 0.5)
            turned[place] += weight * float(forward != 1 - backward)
            tally[0 if mean > 0.5 else 1 if mean == 0.5 else 2] += weight
    wins, ties, losses = (float(count) for count in tally)
    return WinRate(
        mean_figure(share, seed),
        mean_figure(first, seed),
        mean_figure(turned, seed),
        wins,
        ties,
        losses,
        share,
    )


def _verdict(judge: Judge, chat: Chat, first: Answer, second: Answer) -> float:
    verdict = float(judge(chat, first, second))
    if not 0 <= verdict <= 1:
        raise GristmillError(
            f"the judge said {verdict}", where=chat.id, mend="a verdict lies between 0 and 1"
        )
    return verdict


def win_rate_table(rates: dict[str, WinRate], against: str = "SFT") -> Table:
    """One row for each model."""
    rows = [
        [name, r.rate, round(r.wins, 1), round(r.ties, 1), round(r.losses, 1), r.order_bias]
        for name, r in rates.items()
    ]
    return Table(
        f"Win rate against {against}",
        ["model", "win rate", "won", "tied", "lost", "favour for the first place"],
        rows,
        note="Both orders, a tie counts half; 95% by bootstrap over prompts. 0.5 is even.",
    )
