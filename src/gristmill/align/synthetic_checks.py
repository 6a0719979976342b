"""Whether what a generator wrote is a document: whole, no refusal, no copy.

Each check that fails gives a reason, under which the text is counted and kept among the rejects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gristmill.align.novelty import Compared, Earlier, Likeness, distinct_share, has_words
from gristmill.infer.text import TextAnswer

Cut = Literal["reject", "trim"]

NO_ANSWER = "no answer"
EMPTY = "empty"
REFUSAL = "a refusal"
CUT = "cut at the limit of tokens"
SHORT = "too short"
LOOPS = "repeats itself"
INSTRUCTION = "repeats its instruction"
NEAR_SEED = "a near-duplicate of its seed"
COPIES = "copies its seed"
RUN = "a long passage of its seed"
NEAR_OTHER = "a near-duplicate of another synthetic text"

# Of an instruction, a run that an answer does not hold by chance.
_INSTRUCTION_WORDS = 10
_LEAST_DISTINCT = 0.5
# A remark of an assistant in front of what it was asked for.
_LEAD_IN = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|here(?:'|’)?s|here is|here are|below is)\b"
    r"[^\n]{0,160}:[ \t]*\n+",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```[a-z]*\n(.*)\n```", re.DOTALL)
_REFUSES = re.compile(
    r"(?:(?:i(?:'|’)?m|i am) (?:very |so )?(?:sorry|afraid|unable|not able)|"
    r"sorry,|my apologies|i apologi[sz]e|unfortunately, i|"
    r"i (?:must|have to) decline|"
    r"i (?:can(?:'|’)?t|cannot|can not|won(?:'|’)?t|will not|am not going to) "
    r"(?:help|assist|comply|provide|do |fulfil|write|rewrite|rephrase|create|generate|answer|"
    r"continue|complete|process)|"
    r"as an? (?:ai|artificial|language model)|as a (?:large )?language model)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]?(?=\s|$)|[。！？][」』”）]?")


@dataclass(frozen=True)
class Limits:
    """min_words: of a document. most_copied: share of its 8-grams that may stand in its seed.
    longest_run: words of the longest passage that may. near: Jaccard similarity (of 5-grams) from
    which two texts are near-duplicates. cut: whether an answer that reached the limit of tokens is
    dropped, or ends with its last whole sentence. refusals: further beginnings of refusals."""

    min_words: int = 30
    most_copied: float = 0.4
    longest_run: int = 40
    near: float = 0.8
    cut: Cut = "reject"
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """reason: None where the text is a document. likeness: to its seed, where it came to that."""

    text: str
    reason: str | None = None
    likeness: Likeness | None = None


def judged(
    answer: TextAnswer,
    *,
    instruction: str,
    seed: Compared,
    earlier: Earlier,
    limits: Limits,
) -> Verdict:
    """The document that an answer is, or why it is none; the cheap checks come first."""
    if answer.finish == "failed":
        return Verdict("", NO_ANSWER)
    text = without_remarks(answer.text)
    if not text:
        return Verdict(answer.text, EMPTY)
    if refuses(text, limits.refusals):
        return Verdict(text, REFUSAL)
    if answer.finish == "length":
        trimmed = up_to_a_sentence(text) if limits.cut == "trim" else ""
        if not trimmed:
            return Verdict(text, CUT)
        text = trimmed
    if not has_words(text, limits.min_words):
        return Verdict(text, SHORT)
    if distinct_share(text) < _LEAST_DISTINCT:
        return Verdict(text, LOOPS)
    if Compared(instruction).likeness(text).run >= _INSTRUCTION_WORDS:
        return Verdict(text, INSTRUCTION)
    found = seed.likeness(text)
    if found.jaccard >= limits.near:
        return Verdict(text, NEAR_SEED, found)
    if found.copied > limits.most_copied:
        return Verdict(text, COPIES, found)
    if found.run > limits.longest_run:
        return Verdict(text, RUN, found)
    if earlier.like(text):
        return Verdict(text, NEAR_OTHER, found)
    return Verdict(text, None, found)


def without_remarks(text: str) -> str:
    """A text without the fence around it and the remark before it ("Sure, here it is:")."""
    text = text.strip()
    remark = _LEAD_IN.match(text)
    if remark is not None:
        text = text[remark.end() :].strip()
    fenced = _FENCE.fullmatch(text)
    return (fenced[1] if fenced else text).strip()


def refuses(text: str, more: Sequence[str] = ()) -> bool:
    """Whether an answer begins as refusals do, in English or as the user says (`more`)."""
    folded = text.casefold()
    return bool(_REFUSES.match(text)) or any(folded.startswith(one.casefold()) for one in more)


def up_to_a_sentence(text: str) -> str:
    """The text up to the end of its last whole sentence; empty where it has none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""
