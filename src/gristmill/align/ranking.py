"""From scored answers to preferences.

The sampled answers of a prompt make pairs: the best against the worst, or every two that differ by
a margin, the widest first. Each sampled answer also meets the baseline, the greedy answer, in pairs
that say which of the two is the baseline: what a reward of +1 or -1 is learnt from.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from gristmill.align.chats import Answer, Answers, Baseline, Preference, Ranker
from gristmill.align.rules import Rule
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Samples, proportion
from gristmill.core.seeds import derive_seed
from gristmill.tokenizer.chat import ChatFormat

NO_PROMPT = "its id is that of no prompt"
Scorer = Callable[[Sequence[Answers]], list[list[float]]]
"""One score for each answer of each prompt, higher for better."""


ConversationScorer = Callable[[list[list[int]]], Iterable[float]]
"""What a reward model does: a number for each whole conversation of ids."""


@dataclass(frozen=True)
class HowPaired:
    """pairs: `extremes` (best against worst) or `all`. margin: smaller differences are ties.
    per_prompt: pairs of sampled answers at most. baseline: also each answer against the baseline.
    noise: the share of labels turned round, as raters err."""

    pairs: Literal["extremes", "all"] = "all"
    margin: float = 0.05
    per_prompt: int = 3
    baseline: bool = True
    noise: float = 0.0


@dataclass
class Ranked:
    """Preferences, and what was counted while they were made."""

    preferences: list[Preference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rejects: list[dict[str, str]] = field(default_factory=list)


def score_by_rule(rule: Rule) -> Scorer:
    """A rule as a scorer."""

    def scores(prompts: Sequence[Answers]) -> list[list[float]]:
        return [[float(rule(answer, one)) for answer in one.answers] for one in prompts]

    return scores


def score_by_reward(reward: ConversationScorer, chat_format: ChatFormat) -> Scorer:
    """A reward model as a scorer: it reads a prompt and an answer, with its end if it has one."""

    def scores(prompts: Sequence[Answers]) -> list[list[float]]:
        conversations = [
            chat_format.prompt(one.messages) + chat_format.answer(a.content, stopped=a.stopped)
            for one in prompts
            for a in one.answers
        ]
        found = iter(reward(conversations))
        return [[float(next(found)) for _ in one.answers] for one in prompts]

    return scores


def with_scores(prompts: Sequence[Answers], scorer: Scorer) -> list[Answers]:
    """The same records, each answer with its score."""
    return [
        dataclasses.replace(
            one,
            answers=tuple(
                dataclasses.replace(answer, score=value)
                for answer, value in zip(one.answers, values, strict=True)
            ),
        )
        for one, values in zip(prompts, scorer(prompts), strict=True)
    ]


def rank(scored: Iterable[Answers], how: HowPaired, source: Ranker, seed: int = 0) -> Ranked:
    """The preferences of scored answers. counts: pairs, baseline_pairs, ties, flipped, and the
    prompts that gave no pair of sampled answers."""
    ranked = Ranked()
    for one in scored:
        drawn = range(1, len(one.answers))
        pairs = _between(one, list(drawn), how, ranked.counts)
        ranked.counts["prompts"] += 1
        ranked.counts["prompts_without_pairs"] += not pairs
        against = []
        if how.baseline:
            for place in drawn:
                if _tie(one.answers[0], one.answers[place], how.margin):
                    ranked.counts["baseline_ties"] += 1
                else:
                    against.append(_ordered(one, 0, place))
        for better, worse in [*pairs, *against]:
            # From the pair, so that another prompt or pair beside it turns nothing round.
            draw = derive_seed(seed, "noise", one.id, better, worse) / 2.0**63
            if draw < how.noise:
                better, worse = worse, better
                ranked.counts["flipped"] += 1
            made = _preference(one, better, worse, source)
            ranked.counts["baseline_pairs" if made.baseline else "pairs"] += 1
            ranked.preferences.append(made)
    return ranked


def rank_by_hand(answers: Sequence[Answers], path: Path | str, how: HowPaired) -> Ranked:
    """Preferences from a JSON Lines file that people wrote.

    Each line names a prompt by its id and says `{"ranking": [2, 0, 1]}`, answers by number from
    the best, or `{"chosen": 2, "rejected": 0}`; in the latter an answer may also be given as text.
    Of a ranking the pairs that lie farthest apart come first, `per_prompt` at most; pairs with
    the baseline (number 0) are kept beside those. Raises GristmillError for a missing file.
    """
    path = Path(path)
    if not path.is_file():
        raise GristmillError("no such file of rankings", where=path)
    by_id = {one.id: one for one in answers}
    ranked = Ranked()
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                ranked.preferences += _by_hand(json.loads(line), by_id, how)
            except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
                where, reason = f"{path.name}:{number}", str(error)
                ranked.rejects.append({"where": where, "reason": reason, "sample": line[:200]})
    for made in ranked.preferences:
        ranked.counts["baseline_pairs" if made.baseline else "pairs"] += 1
    return ranked


def preference_figures(preferences: Sequence[Preference]) -> dict[str, Figure]:
    """pairs and baseline_pairs: how many. chosen_longer: in how many pairs of sampled answers the
    chosen one has more words, of those where the lengths differ: the labels' length bias.
    chosen_stopped, rejected_stopped: how many of each stopped by themselves."""
    drawn = [p for p in preferences if p.baseline is None]
    lengths = [(len(p.chosen.content.split()), len(p.rejected.content.split())) for p in drawn]
    differ = [chosen > rejected for chosen, rejected in lengths if chosen != rejected]
    return {
        "pairs": Figure(len(drawn), n=len(drawn)),
        "baseline_pairs": Figure(len(preferences) - len(drawn)),
        "chosen_longer": proportion(sum(differ), len(differ)),
        "chosen_stopped": proportion(sum(p.chosen.stopped for p in drawn), len(drawn)),
        "rejected_stopped": proportion(sum(p.rejected.stopped for p in drawn), len(drawn)),
        "baseline_beaten": proportion(
            sum(p.baseline == "rejected" for p in preferences), len(preferences) - len(drawn)
        ),
    }


def preference_samples(preferences: Sequence[Preference], title: str, most: int = 10) -> Samples:
    """Pairs to read, spread over all of them."""
    drawn = [p for p in preferences if p.baseline is None] or list(preferences)
    rows = [
        {
            "question": p.messages[-1].content,
            "chosen": _shown(p.chosen),
            "rejected": _shown(p.rejected),
        }
        for p in drawn[:: max(1, len(drawn) // most)][:most]
    ]
    return Samples(title, rows)


def _between(
    one: Answers, places: list[int], how: HowPaired, counts: Counter[str]
) -> list[tuple[int, int]]:
    """Pairs (better, worse) of sampled answers, the widest first."""
    candidates: list[tuple[int, int]] = []
    seen: set[tuple[str, bool, str, bool]] = set()
    for left, right in combinations(places, 2):
        if _tie(one.answers[left], one.answers[right], how.margin):
            counts["ties"] += 1
            continue
        better, worse = _ordered(one, left, right)
        a, b = one.answers[better], one.answers[worse]
        # Two draws of one text make the same pair: once is enough.
        key = (a.content, a.stopped, b.content, b.stopped)
        if key not in seen:
            seen.add(key)
            candidates.append((better, worse))
    candidates.sort(key=lambda pair: (-_difference(one, *pair), pair))
    return candidates[: 1 if how.pairs == "extremes" else how.per_prompt]


def _tie(left: Answer, right: Answer, margin: float) -> bool:
    same = (left.content, left.stopped) == (right.content, right.stopped)
    difference = abs(_score(left) - _score(right))
    return same or difference < margin or difference == 0


def _ordered(one: Answers, left: int, right: int) -> tuple[int, int]:
    return (left, right) if _difference(one, left, right) > 0 else (right, left)


def _difference(one: Answers, left: int, right: int) -> float:
    return _score(one.answers[left]) - _score(one.answers[right])


def _score(answer: Answer) -> float:
    assert answer.score is not None, "answers are scored before they are ranked"
    return answer.score


def _preference(one: Answers, better: int, worse: int, source: Ranker) -> Preference:
    baseline: Baseline | None = "chosen" if better == 0 else "rejected" if worse == 0 else None
    return Preference(
        f"{one.id}-{better}-{worse}",
        one.messages,
        one.answers[better],
        one.answers[worse],
        one.group,
        one.kind,
        one.truth,
        source,
        baseline,
    )


def _by_hand(value: Any, by_id: dict[str, Answers], how: HowPaired) -> list[Preference]:
    if not isinstance(value, dict) or str(value.get("id")) not in by_id:
        raise ValueError(NO_PROMPT)
    one = by_id[str(value["id"])]
    if "ranking" in value:
        order = [_place(given, one) for given in value["ranking"]]
        if len(set(order)) != len(order) or len(order) < 2:
            raise ValueError("a ranking names two answers or more, each once")
        pairs = list(combinations(range(len(order)), 2))
        pairs.sort(key=lambda pair: (pair[0] - pair[1], pair))
        made = [_preference(one, order[a], order[b], "hand") for a, b in pairs]
        made = [p for p in made if not _same(p.chosen, p.rejected)]
        drawn = [p for p in made if p.baseline is None]
        most = 1 if how.pairs == "extremes" else how.per_prompt
        return drawn[:most] + [p for p in made if p.baseline is not None and how.baseline]
    chosen, rejected = value["chosen"], value["rejected"]
    if isinstance(chosen, str) or isinstance(rejected, str):
        better, worse = _given(chosen, one), _given(rejected, one)
        if _same(better, worse):
            raise ValueError("chosen and rejected are the same")
        return [
            Preference(
                f"{one.id}-hand", one.messages, better, worse, one.group, one.kind, one.truth
            )
        ]
    made_one = _preference(one, _place(chosen, one), _place(rejected, one), "hand")
    if _same(made_one.chosen, made_one.rejected):
        raise ValueError("chosen and rejected are the same")
    return [made_one]


def _given(value: Any, one: Answers) -> Answer:
    return Answer(value) if isinstance(value, str) else one.answers[_place(value, one)]


def _place(value: Any, one: Answers) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(one.answers):
        raise ValueError(f"{value!r} is the number of no answer; there are {len(one.answers)}")
    return value


def _same(left: Answer, right: Answer) -> bool:
    return (left.content, left.stopped) == (right.content, right.stopped)


def _shown(answer: Answer) -> str:
    score = "" if answer.score is None else f"({answer.score:.2f}) "
    return score + answer.content + ("" if answer.stopped else " [not ended]")
