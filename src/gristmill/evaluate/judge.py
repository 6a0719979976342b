"""Win rates by a judge: each pair asked in both orders, a tie counting half.

    pairs (baseline, model) -> verdicts in both orders -> the model's share of each prompt
        -> win rate, raw and length-controlled, with intervals over prompts; consistency; cost

A judge prefers places and lengths as well as answers (Zheng et al. 2023, section 3.3; Dubois et al.
2024). The first cancels, because both orders are asked, and its size is reported; the second is
reported beside the raw rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Table
from gristmill.core.progress import Progress
from gristmill.evaluate.agreement import bootstrap_mean
from gristmill.evaluate.length_controlled import (
    FOLDS,
    LengthControlled,
    difficulty_of_others,
    length_controlled,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgePair:
    """Two answers to one instruction. first_ended, second_ended: whether each ended by itself.
    about: what a rule or a reward model needs to know of the prompt; no judge of text sees it."""

    id: str
    instruction: str
    first: str
    second: str
    first_ended: bool = True
    second_ended: bool = True
    about: Any = None

    def turned(self) -> JudgePair:
        """The same with the answers in each other's place."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            first_ended=self.second_ended,
            second_ended=self.first_ended,
        )


@dataclass(frozen=True)
class Verdict:
    """preference: for the second answer, in [0, 1]; None where it cannot be read, for the reason in
    `error`. text: what the judge said."""

    preference: float | None
    text: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    error: str = ""


class Judge(Protocol):
    """Whoever compares. name: what results say."""

    name: str

    def compare(
        self, pairs: Sequence[JudgePair], progress: Progress | None = None
    ) -> list[Verdict]:
        """One verdict for each pair, as it is given; asking in both orders is the caller's."""
        ...


@dataclass(frozen=True)
class Judgement:
    """One pair after both orders. pair: the baseline's answer first. forward: the verdict on it;
    backward: on the pair turned. share: what the model won, nan where a verdict is unreadable, for
    one order alone would let the place decide. same: equal answers, which no one is asked about."""

    model: str
    pair: JudgePair
    forward: Verdict | None
    backward: Verdict | None
    share: float
    same: bool = False

    @property
    def consistent(self) -> bool | None:
        """Whether both orders say the same; None where they cannot be compared."""
        if self.same or math.isnan(self.share):
            return None
        assert self.forward is not None and self.backward is not None
        ahead, behind = self.forward.preference, self.backward.preference
        assert ahead is not None and behind is not None
        return _side(ahead) == -_side(behind)

    @property
    def first_favour(self) -> float:
        """How much above one half the answer shown first did, over both orders."""
        if self.same or self.forward is None or self.backward is None:
            return math.nan
        given = (self.forward.preference, self.backward.preference)
        return (
            math.nan if None in given else 0.5 - (float(given[0] or 0) + float(given[1] or 0)) / 2
        )

    @property
    def delta(self) -> int:
        """The length of the model's answer less the baseline's, characters."""
        return len(self.pair.second) - len(self.pair.first)


def judge_both_orders(
    judge: Judge, pairs: Mapping[str, Sequence[JudgePair]], progress: Progress | None = None
) -> dict[str, list[Judgement]]:
    """Every pair of every model, asked in both orders in one go. pairs: by model, the baseline's
    answer first."""
    flat = [(model, pair) for model, several in pairs.items() for pair in several]
    asked = [place for place, (_, pair) in enumerate(flat) if not _equal(pair)]
    turned = [flat[place][1].turned() for place in asked]
    verdicts = judge.compare([*(flat[place][1] for place in asked), *turned], progress)
    if len(verdicts) != 2 * len(asked):
        raise GristmillError(
            f"the judge gave {len(verdicts)} verdicts on {2 * len(asked)} pairs", where=judge.name
        )
    both = {place: (verdicts[i], verdicts[len(asked) + i]) for i, place in enumerate(asked)}
    found: dict[str, list[Judgement]] = {model: [] for model in pairs}
    for place, (model, pair) in enumerate(flat):
        if place not in both:
            found[model].append(Judgement(model, pair, None, None, 0.5, same=True))
            continue
        forward, backward = both[place]
        for verdict in (forward, backward):
            if verdict.preference is not None and not 0 <= verdict.preference <= 1:
                raise GristmillError(
                    f"the judge said {verdict.preference}", where=judge.name,
                    mend="a preference lies between 0 and 1",
                )  # fmt: skip
        share = math.nan
        if forward.preference is not None and backward.preference is not None:
            share = (forward.preference + 1 - backward.preference) / 2
        found[model].append(Judgement(model, pair, forward, backward, share))
    return found


@dataclass(frozen=True)
class Against:
    """How a model does against the baseline.

    rate: raw win rate, interval over prompts. controlled: the length-controlled one; None where
    too few verdicts are left. consistency: the share of pairs where both orders agree.
    first_favour: how much above one half the answer shown first does. letters, baseline_letters:
    mean lengths in characters. same: pairs of equal answers, ties by definition.
    """

    model: str
    rate: Figure
    controlled: LengthControlled | None
    consistency: Figure
    first_favour: Figure
    wins: int
    ties: int
    losses: int
    unreadable: int
    same: int
    letters: Figure
    baseline_letters: Figure
    tokens_in: int
    tokens_out: int


def against_baseline(
    judged: Mapping[str, Sequence[Judgement]], *, seed: int = 0
) -> dict[str, Against]:
    """What the judgements come to, model by model. Where several models were judged on the same
    prompts, the others tell how hard each prompt is."""
    names = list(judged)
    same_prompts = len({tuple(j.pair.id for j in several) for several in judged.values()}) == 1
    shares_MP = np.array([[j.share for j in judged[n]] for n in names]) if same_prompts else None
    found = {}
    for place, name in enumerate(names):
        several = judged[name]
        share_P = np.array([j.share for j in several])
        known = int((~np.isnan(share_P)).sum())
        difficulty = None if shares_MP is None else difficulty_of_others(shares_MP, place)
        controlled = None
        if known >= 2 * FOLDS:
            deltas = [float(j.delta) for j in several]
            controlled = length_controlled(share_P, deltas, difficulty, seed=seed)
        agreed = [j.consistent for j in several]
        found[name] = Against(
            name,
            bootstrap_mean(share_P, seed, share=True),
            controlled,
            bootstrap_mean(
                [math.nan if one is None else float(one) for one in agreed], seed, share=True
            ),
            bootstrap_mean([j.first_favour for j in several], seed),
            wins=int((share_P > 0.5).sum()),
            ties=int((share_P == 0.5).sum()),
            losses=int((share_P < 0.5).sum()),
            unreadable=int(np.isnan(share_P).sum()),
            same=sum(j.same for j in several),
            letters=bootstrap_mean([float(len(j.pair.second)) for j in several], seed),
            baseline_letters=bootstrap_mean([float(len(j.pair.first)) for j in several], seed),
            tokens_in=sum(v.tokens_in for v in _verdicts(several)),
            tokens_out=sum(v.tokens_out for v in _verdicts(several)),
        )
    return found


def rejected(judged: Mapping[str, Sequence[Judgement]]) -> list[dict[str, str]]:
    """The verdicts that cannot be read, for `rejects/`."""
    return [
        {
            "where": f"{j.model}/{j.pair.id}/{order}",
            "reason": verdict.error or "unreadable",
            "sample": verdict.text[:500],
        }
        for several in judged.values()
        for j in several
        for order, verdict in (("forward", j.forward), ("backward", j.backward))
        if verdict is not None and verdict.preference is None
    ]


def judgement_to_json(one: Judgement, baseline: str, judge: str) -> dict[str, Any]:
    """The line of `judgements.jsonl`: preference and verdicts are for the model; null where there
    is none."""
    forward, backward = one.forward, one.backward
    return {
        "id": one.pair.id,
        "model": one.model,
        "baseline": baseline,
        "judge": judge,
        "instruction": one.pair.instruction,
        "baseline_answer": one.pair.first,
        "answer": one.pair.second,
        "preference": None if math.isnan(one.share) else round(one.share, 6),
        "consistent": one.consistent,
        "same": one.same,
        "length": len(one.pair.second),
        "baseline_length": len(one.pair.first),
        "verdicts": [
            {
                "first": first,
                "preference_for_second": v.preference and round(v.preference, 6),
                "said": v.text,
                "error": v.error,
                "tokens_in": v.tokens_in,
                "tokens_out": v.tokens_out,
            }
            for first, v in (("baseline", forward), ("model", backward))
            if v is not None
        ],
    }


def annotation(one: Judgement, baseline: str, judge: str) -> dict[str, Any]:
    """One of AlpacaEval's annotations: preference in [1, 2], 2 for output_2, null where unread."""
    return {
        "instruction": one.pair.instruction,
        "output_1": one.pair.first,
        "generator_1": baseline,
        "output_2": one.pair.second,
        "generator_2": one.model,
        "annotator": judge,
        "preference": None if math.isnan(one.share) else round(1 + one.share, 6),
    }


def judge_table(found: Mapping[str, Against], baseline: str, judge: str) -> Table:
    """One row for each model: raw beside length-controlled."""
    rows = []
    for one in found.values():
        controlled = "too few" if one.controlled is None else one.controlled.rate
        rows.append(
            [
                one.model,
                one.rate,
                controlled,
                one.wins,
                one.ties,
                one.losses,
                one.unreadable,
                one.consistency,
                one.first_favour,
                one.letters,
            ]
        )
    letters = next(iter(found.values())).baseline_letters.value if found else math.nan
    far = [n for n, one in found.items() if one.controlled and one.controlled.extrapolated]
    warning = (
        f" Of {', '.join(far)} nearly every answer is longer than the baseline's, or nearly every "
        "one shorter: there the length-controlled rate is an extrapolation."
        if far
        else ""
    )
    return Table(
        f"Win rate against {baseline}, by {judge}",
        [
            "model",
            "win rate",
            "length-controlled",
            "won",
            "tied",
            "lost",
            "unreadable",
            "both orders agree",
            "favour for the first place",
            "letters",
        ],
        rows,
        note="Both orders, a tie counts half; 95% by bootstrap over prompts. 0.5 is even. Length-"
        f"controlled: at the baseline's length, {letters:.0f} letters on average (Dubois et al. "
        "2024). Equal answers are ties and are not put to the judge." + warning,
    )


def _side(preference: float) -> int:
    return int(preference > 0.5) - int(preference < 0.5)


def _equal(pair: JudgePair) -> bool:
    return (pair.first, pair.first_ended) == (pair.second, pair.second_ended)


def _verdicts(several: Sequence[Judgement]) -> list[Verdict]:
    return [v for j in several for v in (j.forward, j.backward) if v is not None]
