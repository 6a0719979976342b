"""Word lists of any number and of phrases of any length, looked up in the same pass as all else.

A phrase is a sequence of words (`characters.core`: lower case, no punctuation around them). The
table maps the hash of each phrase, and of each beginning of one, to what it means; a walk through
the text extends a match word by word while the beginning is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.data.filters.characters import core

MAX_CATEGORIES: Final = 12
# A value's bits: 0-11 the categories, 12 'a longer phrase begins so', 16-22 a stop word's number.
PREFIX_BIT: Final = 1 << 12
STOP_SHIFT: Final = 16
MAX_STOP_WORDS: Final = 63

_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15


def mix_int(value: int) -> int:
    """The finaliser of MurmurHash3 on a Python integer; equals `ngrams.mix`."""
    value = ((value ^ (value >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    value = ((value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return value ^ (value >> 33)


def hash_text(text: str) -> int:
    """A word's hash as the compiled pass computes it: eight bytes of UTF-8 at a time, the first
    the lowest, multiplied and folded. Never 0, which marks an empty place in tables."""
    data = text.encode("utf-8", "surrogatepass")
    state = 0
    for start in range(0, len(data), 8):
        state = ((state ^ int.from_bytes(data[start : start + 8], "little")) * _STEP) & _MASK
        state ^= state >> 29
    return mix_int(state ^ len(data)) | 1


def extend(state: int, word: int) -> int:
    """The hash of a phrase from that of its beginning (0 for none) and its next word's hash."""
    return mix_int(((state * _STEP) & _MASK) ^ word) or 1


@dataclass(frozen=True)
class Lexicon:
    """`keys` uint64 and `values` uint32 of one open-addressed table with a power of two of places;
    `categories` names the bits."""

    categories: tuple[str, ...]
    keys: npt.NDArray[np.uint64]
    values: npt.NDArray[np.uint32]

    @classmethod
    def build(cls, lists: Mapping[str, Iterable[str]], stop_words: Iterable[str] = ()) -> Lexicon:
        """From phrases by category, and the stop words of which distinct ones are counted."""
        categories = tuple(lists)
        if len(categories) > MAX_CATEGORIES:
            raise GristmillError(f"{len(categories)} word lists; at most {MAX_CATEGORIES} fit")
        entries: dict[int, int] = {}

        def add(phrase: str, value: int) -> None:
            words = [core(word) for word in phrase.split()]
            words = [word for word in words if word]
            state = 0
            for position, word in enumerate(words):
                state = extend(state, hash_text(word))
                last = position == len(words) - 1
                entries[state] = entries.get(state, 0) | (value if last else PREFIX_BIT)

        for number, category in enumerate(categories):
            for phrase in lists[category]:
                add(phrase, 1 << number)
        stops = list(dict.fromkeys(core(word) for word in stop_words))
        if len(stops) > MAX_STOP_WORDS:
            raise GristmillError(
                f"{len(stops)} stop words; at most {MAX_STOP_WORDS} are counted",
                where="data.filter.gopher_quality.stop_words",
            )
        for number, word in enumerate(stops):
            add(word, (number + 1) << STOP_SHIFT)
        size = 16
        while size < 4 * len(entries):
            size *= 2
        keys = np.zeros(size, dtype=np.uint64)
        values = np.zeros(size, dtype=np.uint32)
        for key in sorted(entries):
            place = key & (size - 1)
            while keys[place]:
                place = (place + 1) & (size - 1)
            keys[place], values[place] = key, entries[key]
        return cls(categories, keys, values)

    def find(self, key: int) -> int:
        """The value of a phrase's hash; 0 where it is unknown."""
        mask = len(self.keys) - 1
        place = key & mask
        while self.keys[place]:
            if int(self.keys[place]) == key:
                return int(self.values[place])
            place = (place + 1) & mask
        return 0


def read_word_list(path: Path) -> list[str]:
    """One word or phrase a line; blank lines and lines that begin with '#' are left out.

    Raises GristmillError where the file cannot be read as UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise GristmillError("no such word list", where=path) from error
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise GristmillError(
            f"this word list is no UTF-8 text, from line {line} on",
            where=path,
            mend="write it in UTF-8, one word or phrase a line",
        ) from error
    except OSError as error:
        raise GristmillError(
            f"this word list cannot be read: {error.strerror or error}", where=path
        ) from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
