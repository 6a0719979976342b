"""Texts with what they are: their language (or script), their domain, the words they stand for."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gristmill.tokenizer.sample_text import CODE, DIGITS, MATHS, PASSAGE

# Letters of a text that its script is read off.
_LETTERS = 2_000
_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
_WITHOUT_SPACES = frozenset(["Chinese", "Japanese", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"])
_CODE = frozenset(
    "py pyi js ts jsx tsx c h cc cpp hpp cs java kt go rs rb php pl sh sql r jl scala swift lua "
    "css html htm xml json yaml yml toml ipynb cmake mk".split()
)
_MATHS = frozenset(["tex", "lean"])


@dataclass(frozen=True)
class Labelled:
    """words: what white space separates; None where the script has no spaces. reference: of a
    passage that stands in several languages, the words of its English form."""

    language: str
    domain: str
    text: str
    words: int | None
    reference: int | None = None


def sample() -> Iterator[Labelled]:
    """The built-in text."""
    reference = len(PASSAGE["English"].split())
    for language, text in PASSAGE.items():
        words = None if language in _WITHOUT_SPACES else len(text.split())
        yield Labelled(language, "prose", text, words, reference)
    for text in CODE.values():
        yield Labelled("", "code", text, len(text.split()))
    yield Labelled("", "maths", MATHS, len(MATHS.split()))
    yield Labelled("", "digits", DIGITS, len(DIGITS.split()))


def labelled(text: str, domain: str, language: str = "") -> Labelled:
    """A text of a user's: its script where no language is known."""
    found = language or script(text)
    words = None if found in _WITHOUT_SPACES else len(text.split())
    return Labelled(found, domain, text, words)


def file_domain(path: Path) -> str:
    """`code`, `maths` or `prose`, by the file's name."""
    ending = path.suffix.lstrip(".").lower()
    return "code" if ending in _CODE else "maths" if ending in _MATHS else "prose"


def script(text: str) -> str:
    """The script of most letters, by the names of their characters; '' where there are none.

    A tenth of kana makes Chinese characters Japanese.
    """
    counts: Counter[str] = Counter()
    for letter in text[: 10 * _LETTERS]:
        if letter.isalpha():
            if letter.isascii():
                counts["Latin"] += 1
            else:
                name = unicodedata.name(letter, "?").split()[0]
                counts[_NAMES.get(name, name.capitalize())] += 1
            if counts.total() >= _LETTERS:
                break
    if not counts:
        return ""
    if counts["Japanese"] * 10 >= counts["Chinese"] + counts["Japanese"] > counts.total() / 2:
        return "Japanese"
    return min(counts, key=lambda name: (-counts[name], name))
