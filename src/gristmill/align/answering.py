"""What an assistant answers to questions whose answers are known.

Greedy answers are right, wrong or "I do not know"; what is wrong and does not say so is invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Literal

from gristmill.align.chats import Answer, Chat
from gristmill.align.rules import correct, score
from gristmill.align.sampling import HowSampled, sample_answers
from gristmill.core.figure import Figure, Samples, Table, proportion, t_mean
from gristmill.core.progress import Progress
from gristmill.infer.generator import Generator
from gristmill.tokenizer.chat import ChatFormat

Outcome = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True)
class Answered:
    """One question with its greedy answer."""

    chat: Chat
    answer: Answer
    outcome: Outcome
    score: float


@dataclass(frozen=True)
class Answering:
    """The answers to a set of questions, and what they come to."""

    answered: list[Answered]

    def figures(self, kinds: Sequence[str] | None = None) -> dict[str, Figure]:
        """stops, right, invented (wrong, and not said to be unknown) and unknown: shares with 95%
        intervals; score: the mean by the gold rule; tokens: the mean length. Of `kinds` only.

        What no truth is known of (a user's own chats) is not judged, it only stops or does not.
        """
        kept = [a for a in self.answered if kinds is None or a.chat.kind in kinds]
        judged = [a for a in kept if a.chat.truth]

        def share(of: Sequence[Answered], holds: Callable[[Answered], bool]) -> Figure:
            return proportion(sum(map(holds, of)), len(of))

        return {
            "stops": share(kept, lambda a: a.answer.stopped),
            "right": share(judged, lambda a: a.outcome == "right"),
            "invented": share(judged, lambda a: a.outcome == "wrong"),
            "unknown": share(judged, lambda a: a.outcome == "unknown"),
            "score": t_mean([a.score for a in judged]),
            "tokens": t_mean([float(a.answer.tokens or 0) for a in kept]),
        }

    def counts(self) -> Counter[str]:
        """How many questions of each kind were judged."""
        return Counter(a.chat.kind for a in self.answered if a.chat.truth)

    def first(self, most: Mapping[str, int]) -> Answering:
        """The first so many judged questions of each kind."""
        left = Counter(most)
        kept = []
        for one in self.answered:
            if one.chat.truth and left[one.chat.kind] > 0:
                left[one.chat.kind] -= 1
                kept.append(one)
        return Answering(kept)

    def table(self, title: str) -> Table:
        """One row for each kind of question, and one for all."""
        kinds = sorted({a.chat.kind for a in self.answered})
        rows = []
        for name, chosen in [*((kind, [kind]) for kind in kinds), ("all", kinds)]:
            found = self.figures(chosen)
            count = found["stops"].n or 0
            cells = [found[key] for key in ("stops", "right", "invented", "unknown", "score")]
            rows.append([name or "own", count, *cells])
        columns = ["kind", "questions", "stops", "right", "invented", "I do not know", "score"]
        return Table(title, columns, rows)

    def samples(self, title: str, most: int = 12) -> Samples:
        """Questions, answers and truths to read, spread over all of them."""
        step = max(1, len(self.answered) // most)
        rows = [
            {
                "question": a.chat.prompt[-1].content,
                "answer": a.answer.content + ("" if a.answer.stopped else " [not ended]"),
                "truth": a.chat.truth.get("answer", ""),
                "verdict": _verdict(a),
            }
            for a in self.answered[::step][:most]
        ]
        return Samples(title, rows)


def _verdict(answered: Answered) -> str:
    if not answered.chat.truth:
        return "not judged"
    return "I do not know" if answered.outcome == "unknown" else answered.outcome


def evaluate_answers(
    generator: Generator,
    chat_format: ChatFormat,
    chats: Sequence[Chat],
    *,
    context: int,
    max_tokens: int = 80,
    progress: Progress | None = None,
) -> Answering:
    """The greedy answers to the chats' prompts; prompts that fill the context are left out.

    A chat's own last answer is not shown to the model; it is the truth.
    """
    how = HowSampled(samples=0, max_tokens=max_tokens)
    answers = sample_answers(
        generator, chat_format, chats, how, seed=0, context=context, progress=progress
    )
    # Prompts that do not fit are not answered; the rest keeps its order, copies too.
    left = list(chats)
    answered = []
    for found in answers:
        while left[0].id != found.id:
            left.pop(0)
        chat = left.pop(0)
        answer = found.answers[0]
        answered.append(Answered(chat, answer, correct(answer, chat), score(answer, chat).total))
    return Answering(answered)


def alike(found: Mapping[str, Answering]) -> dict[str, Answering]:
    """As many judged questions of each kind from every set, so that the sets can be compared.

    One kind is easier than another, and a set may lack one: questions that give a text to read can
    only be asked about articles that were read. Sets without a kind in common stay as they are.
    """
    shared = in_common(found)
    if len(found) == 1 or not shared:
        return dict(found)
    return {name: answering.first(shared) for name, answering in found.items()}


def in_common(found: Mapping[str, Answering]) -> Counter[str]:
    """How many judged questions of each kind every set has."""
    return reduce(and_, (answering.counts() for answering in found.values()))


def invented_by_set(found: Mapping[str, Answering]) -> Table:
    """Sets of questions side by side, of read articles and of unread ones: what is `alike`."""
    rows = []
    compared = alike(found)
    for name, answering in compared.items():
        figures = answering.figures()
        cells = [figures[key] for key in ("stops", "right", "invented", "unknown")]
        rows.append([name, len(answering.answered), *cells])
    columns = ["articles", "questions", "stops", "right", "invented", "I do not know"]
    return Table("Answers to questions held out from training", columns, rows, _chosen(found))


def _chosen(found: Mapping[str, Answering]) -> str:
    """Which questions are compared, where these are not all."""
    if not in_common(found):
        return (
            "" if len(found) == 1 else "No kind of question is in every set: they do not compare."
        )
    compared = alike(found)
    if all(len(compared[name].answered) == len(found[name].answered) for name in found):
        return ""
    counts = next(iter(compared.values())).counts()
    kinds = ", ".join(f"{kind or 'own'} {counts[kind]}" for kind in sorted(counts))
    alone = sorted(
        {kind or "own" for one in found.values() for kind in one.counts().keys() - counts}
    )
    rest = f" Left out, as not every set has any: {', '.join(alone)}." if alone else ""
    return (
        f"As many questions of each kind from every set: {kinds}.{rest} All stand below, by kind."
    )
