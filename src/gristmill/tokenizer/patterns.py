"""The pre-tokenizers: their names, their features, and the regexes by which other tools know them.

A pre-tokenizer is a row of choices: how words are cut, how digits, how white space. The regex is
written from the row, and the kernels (`splitter.py`, `pieces.py`) read the same row as a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gristmill.core.errors import GristmillError

Pattern = Literal[
    "gpt4", "gpt2", "qwen", "characters", "smollm", "llama3", "cl100k", "o200k",
    "digits-right", "digits-free", "code", "scripts", "none",
]  # fmt: skip

# bpe: merges inside the pieces of a pattern. characters: merges only inside characters, the most
# frequent first; a character without a token falls back to its bytes. words: the most frequent
# pieces of a pattern, whole. bytes: no merges.
Kind = Literal["bpe", "characters", "words", "bytes"]

# What a word without a token becomes, in a vocabulary of words.
Unknown = Literal["bytes", "token"]

# merge-order: the merge that was learnt first is made first, as every model expects. longest: the
# longest token that fits, from the left.
Match = Literal["merge-order", "longest"]

# What encodes: our own kernels, or a package that is to give the same ids.
Backend = Literal["gristmill", "gigatoken"]

# How a row is told to the kernels: one of each group, or-ed together.
WORDS, DIGITS, SPACES = 0x7, 0x70, 0x300
BLANK_WORDS, ANY_WORDS, SCRIPT_WORDS, CASED_WORDS, CHARACTERS, WHOLE = range(6)
RUN_OF_DIGITS, ONE_DIGIT, THREE_DIGITS, THREE_FROM_RIGHT, FREE_DIGITS = range(0, 0x50, 0x10)
PLAIN_SPACES, LINES, INDENTS = range(0, 0x300, 0x100)

MOST_DIGITS = 255
"""Of a longer run the first digits are cut from the left until so many are left: then each piece
is found in a bounded time."""

# Hexadecimal code points, inclusive.
# Scripts that set no spaces between words: their letters and marks, without digits and signs.
SCRIPTS = {
    "han": "3005-3006 303b 3400-4dbf 4e00-9fff f900-faff 20000-3ffff",
    "hiragana": "3041-309f",
    "katakana": "30a0-30ff 31f0-31ff ff66-ff9f",
    "thai": "e01-e3a e40-e4e",
    "lao": "e81-ebd ec0-ece edc-edf",
    "myanmar": "1000-103f 1050-108f 109a-109d a9e0-a9ef a9fa-a9fe aa60-aa76 aa7a-aa7f",
    "khmer": "1780-17d3 17d7 17dc-17dd",
}

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"


@dataclass(frozen=True)
class Features:
    """A row of the table.

    words: what a word is. "blank", letters behind at most a blank (and contractions in small
    letters only); "any", letters behind at most one character that is neither letter, number nor
    line break; "scripts", the same, and runs of a script without spaces between words stand alone,
    their marks with them; "cased", as "any", but a capital behind a small letter begins a new word,
    marks belong to words, and contractions to the word before them; "characters", each alone;
    "none", all text is one piece.

    digits: "run", behind at most a blank; else apart from all other text: "one" by one, by "threes"
    from the left, by threes from the "right" (in runs of up to MOST_DIGITS), or "free".

    spaces: "plain", a run of white space leaves its last character to the word behind it; "lines",
    the same, but the run up to its last line break is a piece; "indents", a run with a line break
    is one piece, indentation and all.
    """

    words: Literal["blank", "any", "scripts", "cased", "characters", "none"]
    digits: Literal["run", "one", "threes", "right", "free"] = "run"
    spaces: Literal["plain", "lines", "indents"] = "plain"

    @property
    def code(self) -> int:
        """The number by which the kernels know the row."""
        words = ("blank", "any", "scripts", "cased", "characters", "none").index(self.words)
        digits = ("run", "one", "threes", "right", "free").index(self.digits)
        return words | digits << 4 | ("plain", "lines", "indents").index(self.spaces) << 8

    @property
    def regex(self) -> str:
        """The same pieces by alternatives, the first that matches; for engines that look ahead."""
        if self.words in ("characters", "none"):
            return r"[\s\S]" if self.words == "characters" else r"[\s\S]+"
        return "|".join((*self._words(), *self._digits(), *self._others(), *self._spaces()))

    def _words(self) -> list[str]:
        if self.words == "blank":
            # One digit alone comes before all else: nothing stands before it.
            return [*([r"\p{N}"] if self.digits == "one" else []), _CONTRACTIONS, r" ?\p{L}+"]
        contraction = f"(?i:{_CONTRACTIONS})"
        if self.words == "any":
            return [contraction, r"[^\r\n\p{L}\p{N}]?\p{L}+"]
        if self.words == "cased":
            upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
            return [
                rf"[^\r\n\p{{L}}\p{{N}}]?{upper}{more_upper}{lower}{more_lower}{contraction}?"
                for more_upper, more_lower in (("*", "+"), ("+", "*"))
            ]
        runs = [f"[{letters}]+" for letters in _script_ranges()]
        every = "".join(_script_ranges())
        return [contraction, *runs, rf"[^\r\n\p{{L}}\p{{N}}{every}]?(?:(?![{every}])\p{{L}})+"]

    def _digits(self) -> list[str]:
        lone = self.words == "blank" and self.digits == "one"
        threes = r"\p{N}{1,3}"
        after = rf"(?=(?:\p{{N}}{{3}}){{0,{MOST_DIGITS // 3 - 1}}}(?!\p{{N}}))"
        return {
            "run": [r" ?\p{N}+"],
            "one": [] if lone else [r"\p{N}"],
            "threes": [threes],
            "right": [threes + after, r"\p{N}{3}"],
            "free": [r"\p{N}+"],
        }[self.digits]

    def _others(self) -> list[str]:
        apart = "".join(_script_ranges()) if self.words == "scripts" else ""
        behind = r"[\r\n/]*" if self.words == "cased" else r"[\r\n]*"
        if self.words == "blank" or self.spaces == "indents":
            behind = ""
        return [rf" ?[^\s\p{{L}}\p{{N}}{apart}]+{behind}"]

    def _spaces(self) -> list[str]:
        first = {
            "plain": [r"\s+(?=\p{N})"] if self.words == "blank" and self.digits == "one" else [],
            "lines": [r"\s*[\r\n]+"],
            "indents": [r"\s*[\r\n]\s*"],
        }[self.spaces]
        return [*first, r"\s+(?!\S)", r"\s+"]


def _script_ranges() -> list[str]:
    """The insides of character classes, spelled by their code points."""
    found = []
    for ranges in SCRIPTS.values():
        ends = [item.partition("-") for item in ranges.split()]
        found.append(
            "".join(f"{chr(int(a, 16))}{dash}{chr(int(b, 16)) if b else ''}" for a, dash, b in ends)
        )
    return found


# gpt4: Llama 3's, and cl100k's. (tiktoken now keeps white space at the end of a text in one piece,
# which changes no ids: no token of cl100k holds a line break and white space behind it.) qwen: the
# same with digits one by one. o200k: GPT-4o's.
# smollm: gpt2 inside the stretches between digits, each of which stands alone; white space before
# a digit is the end of a stretch, so nothing of it is left to the digit.
PATTERNS: dict[str, Features] = {
    "gpt4": Features("any", "threes", "lines"),
    "gpt2": Features("blank", "run", "plain"),
    "qwen": Features("any", "one", "lines"),
    "characters": Features("characters"),
    "smollm": Features("blank", "one", "plain"),
    "o200k": Features("cased", "threes", "lines"),
    "digits-right": Features("any", "right", "lines"),
    "digits-free": Features("any", "free", "lines"),
    "code": Features("any", "threes", "indents"),
    "scripts": Features("scripts", "threes", "lines"),
    "none": Features("none"),
}
_SAME = {"llama3": "gpt4", "cl100k": "gpt4"}
REGEXES: dict[str, str] = {name: row.regex for name, row in PATTERNS.items()}


def pattern_name(pattern: str) -> str:
    """The one name of a pre-tokenizer that may have two. Raises GristmillError for no name."""
    name = _SAME.get(pattern, pattern)
    if name not in PATTERNS:
        raise GristmillError(
            f"'{pattern}' is not a pre-tokenizer that is known here",
            mend=f"choose one of {', '.join(get_args(Pattern))}",
        )
    return name


def pattern_code(pattern: str) -> int:
    """The number by which the kernels know a pattern."""
    return PATTERNS[pattern_name(pattern)].code
