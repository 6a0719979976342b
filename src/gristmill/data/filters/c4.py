"""C4's rules (Raffel et al. 2020, section 2.2): lines are removed, then pages are judged.

Most pages hold nothing that only a look at single lines can settle; the shared statistics judge
them. The others go through `clean`, which also writes their new text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.data.filters.characters import (
    CLOSING_CHARACTERS,
    LINE_END_CHARACTERS,
    SENTENCE_END_CHARACTERS,
)
from gristmill.data.filters.checks import Check, above, below
from gristmill.data.filters.rules import C4Rules
from gristmill.data.filters.statistics import LineRules, Statistics

POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
# Every phrase of POLICY holds one of these.
_POLICY_RARE = ("cookie", "terms of use", "privacy policy")
_CITATION = re.compile(r"\[\d{0,9}\]|\[edit\]|\[citation needed\]")
_INNER_STOP = re.compile(
    f"[{re.escape(SENTENCE_END_CHARACTERS)}][{re.escape(CLOSING_CHARACTERS)}]{{0,9}}"
    f"[^{re.escape(SENTENCE_END_CHARACTERS + CLOSING_CHARACTERS)}]"
)


@dataclass(frozen=True)
class C4Result:
    """The checks, and the new texts by row where they differ from the old ones."""

    checks: list[Check]
    texts: dict[int, str]


def line_rules(rules: C4Rules, short_line: int) -> LineRules:
    """What the shared pass has to know to count C4's lines and FineWeb's short ones."""
    return LineRules(
        short_line=short_line,
        c4_min_words=rules.min_words_per_line,
        c4_max_word=rules.max_word_length,
        c4_terminal=rules.terminal_punctuation,
    )


def c4(texts: Sequence[str], lowered: Sequence[str], s: Statistics, rules: C4Rules) -> C4Result:
    """C4 on a batch and its texts in lower case; `s` was counted with `line_rules`."""
    lorem = np.array(["lorem ipsum" in text for text in lowered], dtype=np.int64)
    by_line = np.array(
        [
            (rules.citations and "[" in text)
            or (rules.javascript and "javascript" in text)
            or (rules.policy and any(rare in text for rare in _POLICY_RARE))
            for text in lowered
        ],
        dtype=np.bool_,
    )
    if rules.rewrite:
        by_line |= s["c4_lines"] < s["lines"]
    sentences = s["c4_sentences"].copy()
    changed: dict[int, str] = {}
    for row in np.flatnonzero(by_line).tolist():
        text = texts[row]
        new, sentences[row] = clean(text, rules)
        if rules.rewrite and new != text:
            changed[row] = new
    checks = []
    if rules.lorem_ipsum:
        checks += above("c4.lorem_ipsum", lorem, 0)
    if rules.curly_brackets:
        checks += above("c4.curly_brackets", s["curly_brackets"], 0)
    checks += below("c4.sentences", sentences, rules.min_sentences)
    return C4Result(checks, changed)


def clean(text: str, rules: C4Rules) -> tuple[str, int]:
    """The lines of a text that C4 keeps, and how many sentences they hold.

    Blank lines stay where paragraphs remain on both sides of them.
    """
    kept: list[str] = []
    sentences = 0
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped:
            if kept and kept[-1]:
                kept.append("")
            continue
        if not _keeps(stripped, rules):
            continue
        if rules.citations:
            line = _CITATION.sub("", line)
            stripped = line.strip()
        sentences += count_sentences(stripped)
        kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept), sentences


def _keeps(line: str, rules: C4Rules) -> bool:
    words = line.split()
    if len(words) < rules.min_words_per_line or max(map(len, words)) > rules.max_word_length:
        return False
    if rules.terminal_punctuation:
        bare = _CITATION.sub("", line).rstrip() if rules.citations else line
        if not bare.endswith(tuple(LINE_END_CHARACTERS)) or bare.endswith(("...", "…")):
            return False
    lowered = line.lower()
    if rules.javascript and "javascript" in lowered:
        return False
    return not (rules.policy and any(phrase in lowered for phrase in POLICY))


def count_sentences(line: str) -> int:
    """Sentences of a line, as the shared statistics count them: words that end in a full stop,
    question or exclamation mark, but for abbreviations ('U.S.', 'J.'); the rest counts as one."""
    count, open_end = 0, False
    for word in line.split():
        ends = word.rstrip(CLOSING_CHARACTERS).endswith(tuple(SENTENCE_END_CHARACTERS))
        if ends and not _INNER_STOP.search(word) and sum(c.isalnum() for c in word) != 1:
            count, open_end = count + 1, False
        else:
            open_end = True
    return count + open_end
