"""Judges: a model that reads both answers, or a score of each answer by itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gristmill.core.progress import Progress, Silent
from gristmill.evaluate.judge import Judge, JudgePair, Verdict
from gristmill.evaluate.judge_prompts import LETTERS, JudgePrompt, read_verdict
from gristmill.infer.text import TextGenerator, TextRequest


class TextJudge:
    """A judge that reads: a model here or behind an endpoint.

    letters: its preference is the probability of the letter B beside that of A, a soft label from
    one reading; else it writes, and its last line is the verdict.
    """

    def __init__(
        self,
        name: str,
        generator: TextGenerator,
        prompt: JudgePrompt,
        *,
        letters: bool,
        max_tokens: int = 256,
        seed: int = 0,
    ):
        self.name = f"{name} ({prompt.name} v{prompt.version})"
        self.generator, self.prompt, self.letters = generator, prompt, letters
        self.max_tokens, self.seed = max_tokens, seed

    def compare(
        self, pairs: Sequence[JudgePair], progress: Progress | None = None
    ) -> list[Verdict]:
        """Each pair put into the prompt, and what came back read."""
        requests = [
            TextRequest(
                self.prompt.build(pair.instruction, pair.first, pair.second),
                self.max_tokens,
                seed=self.seed,
                choices=LETTERS if self.letters else (),
            )
            for pair in pairs
        ]
        verdicts = []
        for answer in self.generator.answer(requests, progress):
            preference, error = None, answer.error
            if answer.finish == "failed":
                pass
            elif self.letters:
                if answer.choice_log_p is None:
                    error = "no probability of A or B"
                else:
                    first, second = answer.choice_log_p
                    preference = 0.5 * (1 + math.tanh((second - first) / 2))
            else:
                preference = read_verdict(answer.text)
                if preference is None:
                    cut = " (cut at the longest answer)" if answer.finish == "length" else ""
                    error = f"no verdict on the last line{cut}"
            verdicts.append(
                Verdict(
                    preference, answer.text, answer.tokens_in or 0, answer.tokens_out or 0, error
                )
            )
        return verdicts


@dataclass(frozen=True)
class Said:
    """One answer as a score sees it: to what, the text, whether it ended by itself."""

    about: Any
    text: str
    ended: bool


class ScoreJudge:
    """A judge that scores answers one by one: a reward model, or a rule.

    soft: the preference is sigmoid(second - first), the probability that a Bradley-Terry reward
    means; else the higher score wins, and scores no more than `margin` apart are a tie.
    """

    def __init__(
        self,
        name: str,
        score: Callable[[Sequence[Said]], Sequence[float]],
        *,
        soft: bool = False,
        margin: float = 0.0,
    ):
        self.name, self.score, self.soft, self.margin = name, score, soft, margin

    def compare(
        self, pairs: Sequence[JudgePair], progress: Progress | None = None
    ) -> list[Verdict]:
        """Each answer scored once, and the scores compared."""
        said = [Said(p.about, p.first, p.first_ended) for p in pairs]
        said += [Said(p.about, p.second, p.second_ended) for p in pairs]
        scores = [float(value) for value in self.score(said)]
        (progress or Silent()).advance(len(pairs))
        verdicts = []
        for first, second in zip(scores[: len(pairs)], scores[len(pairs) :], strict=True):
            gap = second - first
            text = f"{first:.4g} against {second:.4g}"
            if math.isnan(gap):
                verdicts.append(Verdict(None, text, error="a score that is not a number"))
            elif self.soft:
                verdicts.append(Verdict(0.5 * (1 + math.tanh(gap / 2)), text))
            else:
                tie = abs(gap) <= self.margin
                verdicts.append(Verdict(0.5 if tie else float(gap > 0), text))
        return verdicts


class Timed:
    """A judge with a clock: seconds and calls of another judge."""

    def __init__(self, judge: Judge):
        self.judge, self.name = judge, judge.name
        self.seconds, self.asked = 0.0, 0

    def compare(
        self, pairs: Sequence[JudgePair], progress: Progress | None = None
    ) -> list[Verdict]:
        """What the other judge says."""
        start = time.monotonic()
        try:
            return self.judge.compare(pairs, progress)
        finally:
            self.seconds += time.monotonic() - start
            self.asked += len(pairs)
