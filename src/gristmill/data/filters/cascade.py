"""Cheap rules on all text of a page, before its main text is looked for.

The text of the whole page holds the main text and menus beside it: a page that has too few words
in all has too few in its main text as well. Where the whole may mislead, as menus in another
language do, only what is far beyond the limit of the filter is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gristmill.data.extract.fast_text import visible_text
from gristmill.data.extract.scan import holds
from gristmill.data.filters.language import identify

PREFIX: Final = "cascade"
"""Of every reason."""
_LONG: Final = 60
"""Characters of a line that is more than an entry of a menu."""
_SAMPLES, _SAMPLE_LETTERS, _FIRST_LETTERS = 3, 100, 50
_PROSE_WORDS, _SENTENCE_WORDS = 12, 5
_ENDS = (".", "!", "?", '."', ".”", "。", "！", "？", "।", "؟")
_HEAD = 4096
_LANG = re.compile(rb"<html\b[^>]{0,1000}?\slang\s*=\s*[\"']?([A-Za-z]{2,3})\b", re.I)
# Text that a page holds for scripts is no visible text.
_STATED = (b"articleBody", b"text/template", b"text/x-template")


@dataclass(frozen=True)
class Cascade:
    """What drops a page; None and empty leave a rule out. Picklable, for worker processes."""

    languages: tuple[str, ...] = ()
    """Those wanted, as ISO codes."""
    min_probability: float = 0.8
    """That a page is in another, in each of three places."""
    language_model: Path | None = None
    min_words: int | None = None
    min_prose_words: int | None = None
    """Words in lines of at least 12 words, or of 5 that end like a sentence."""
    max_repeated_share: float | None = None
    """Of the characters in long lines, those in lines that were there before."""
    adult_words: frozenset[str] = frozenset()
    max_adult_share: float | None = None

    def warm_up(self) -> None:
        """Compiles and loads what the first page would, before a worker's time counts."""
        visible_text(b"<p>A page.</p>")
        if self.language_model is not None:
            identify(["A page."], self.language_model)

    def verdict(self, utf8: bytes) -> tuple[str, str] | None:
        """Why the main text need not be looked for (reason, numbers), or None."""
        text = visible_text(utf8)
        lines = text.split("\n")
        if self.min_words is not None or self.min_prose_words is not None:
            few = self._few(lines, utf8)
            if few is not None:
                return few
        long = [line for line in lines if len(line) >= _LONG]
        if self.max_repeated_share is not None and long:
            share = _repeated(long)
            if share > self.max_repeated_share:
                return _said("repeated", share, ">", self.max_repeated_share)
        if self.max_adult_share is not None and self.adult_words:
            words = text.lower().split()
            listed = sum(word.strip(".,;:!?()\"'") in self.adult_words for word in words)
            share = listed / max(1, len(words))
            if share > self.max_adult_share:
                return _said("adult", share, ">", self.max_adult_share)
        if not self.languages or self._says_wanted(utf8):
            return None
        return self._foreign(long or lines)

    def _says_wanted(self, utf8: bytes) -> bool:
        """Whether the page states a language that is wanted. Such pages are seldom in another, and
        telling the language costs ten times the text."""
        stated = _LANG.search(utf8, 0, _HEAD)
        return stated is not None and stated[1].decode().lower() in self.languages

    def _few(self, lines: Sequence[str], utf8: bytes) -> tuple[str, str] | None:
        counts = [line.count(" ") + 1 for line in lines if line]
        found: tuple[str, str] | None = None
        if self.min_words is not None and sum(counts) < self.min_words:
            found = _said("words", sum(counts), "<", self.min_words)
        elif self.min_prose_words is not None:
            filled = (line for line in lines if line)
            prose = sum(
                count
                for line, count in zip(filled, counts, strict=True)
                if count >= _PROSE_WORDS or (count >= _SENTENCE_WORDS and line.endswith(_ENDS))
            )
            if prose < self.min_prose_words:
                found = _said("prose_words", prose, "<", self.min_prose_words)
        if found is not None and any(holds(utf8, word) for word in _STATED):
            return None
        return found

    def _foreign(self, lines: Sequence[str]) -> tuple[str, str] | None:
        """Where each of three places of the page is in another language."""
        samples = _places(lines)
        # The beginnings together first: of most pages that tells enough. fastText takes a
        # millisecond for a thousand letters, most of what the cascade costs.
        first = " ".join(one[:_FIRST_LETTERS] for one in samples)
        if not samples or self._other(first, self.min_probability) is None:
            return None
        # A short piece is told less surely; that none is in a wanted language is what counts.
        told = [self._other(sample, self.min_probability / 2) for sample in samples]
        if None in told:
            return None
        return f"{PREFIX}.language", ", ".join(dict.fromkeys(map(str, told)))

    def _other(self, text: str, least: float) -> str | None:
        """Another language than those wanted, with its probability; None where that is less."""
        assert self.language_model is not None
        (label,), (probability,) = identify([text], self.language_model)
        if label in self.languages or label == "und" or probability < least:
            return None
        return f"{label} {probability:.2f}"


def _places(lines: Sequence[str]) -> list[str]:
    """Up to three pieces of some lines, from their begin, middle and end."""
    letters = sum(map(len, lines))
    if letters <= 2 * _SAMPLES * _SAMPLE_LETTERS:
        joined = " ".join(lines).strip()
        third = -(-len(joined) // _SAMPLES)
        return [joined[i : i + third] for i in range(0, len(joined), third)] if joined else []
    found, passed, wanted = [], 0, 0
    held: list[str] = []
    for line in lines:
        if passed >= wanted * letters // _SAMPLES:
            held.append(line[:_SAMPLE_LETTERS])
            if sum(map(len, held)) >= _SAMPLE_LETTERS:
                found.append(" ".join(held))
                held, wanted = [], wanted + 1
        passed += len(line)
        if wanted == _SAMPLES:
            break
    return found or [" ".join(held)]


def _repeated(lines: Sequence[str]) -> float:
    seen: set[str] = set()
    again = 0
    for line in lines:
        if line in seen:
            again += len(line)
        else:
            seen.add(line)
    return again / sum(map(len, lines))


def _said(name: str, value: float, sign: str, limit: float) -> tuple[str, str]:
    return f"{PREFIX}.{name}", f"{value:.4g} {sign} {limit:g}"
