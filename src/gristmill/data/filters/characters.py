"""Unicode classes of characters as one table, so that a compiled loop agrees with Python's str."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

SPACE: Final = 1
ALPHA: Final = 2
ALNUM: Final = 4
DIGIT: Final = 8
UPPER: Final = 16
# May stand at the end of a line that C4 keeps.
LINE_END: Final = 32
# Characters that end a sentence.
SENTENCE_END: Final = 64
# What may stand between the end of a sentence and the space after it.
CLOSING: Final = 128
# May stand at the end of a line that FineWeb takes for a sentence.
FINEWEB_END: Final = 256
# Makes the word it stands in more than a symbol.
WORDLIKE: Final = 512
BULLET: Final = 1024

# . ? ! and closing quotation marks.
LINE_END_CHARACTERS: Final = ".?!\"'”’。？！"
SENTENCE_END_CHARACTERS: Final = ".?!…。？！"
CLOSING_CHARACTERS: Final = "\"'”’»)]"
BULLETS: Final = "•‣⁃▪●◦-*"

# Unicode assigns letters up to the third extension plane; beyond it there are tags and private
# use, which belong to no class here.
TABLE_SIZE: Final = 0x33480


@lru_cache(maxsize=8)
def class_table(
    line_end: str = LINE_END_CHARACTERS,
    fineweb_end: str = LINE_END_CHARACTERS,
    bullets: str = BULLETS,
    symbols: str | None = None,
) -> npt.NDArray[np.uint16]:
    """uint16 [TABLE_SIZE]: the classes of each code point, as bits.

    symbols: the characters of which alone no word consists; None for all but letters and digits.
    """
    table = _unicode_table().copy()
    table[table & ALNUM != 0] |= WORDLIKE
    if symbols is not None:
        table |= WORDLIKE
    for characters, bit in (
        (line_end, LINE_END),
        (fineweb_end, FINEWEB_END),
        (bullets, BULLET),
        (SENTENCE_END_CHARACTERS, SENTENCE_END),
        (CLOSING_CHARACTERS, CLOSING),
    ):
        for character in characters:
            if ord(character) < TABLE_SIZE:
                table[ord(character)] |= bit
    for character in symbols or "":
        if ord(character) < TABLE_SIZE:
            table[ord(character)] &= ~np.uint16(WORDLIKE)
    return table


@cache
def _unicode_table() -> npt.NDArray[np.uint16]:
    table = np.zeros(TABLE_SIZE, dtype=np.uint16)
    for code in range(TABLE_SIZE):
        character = chr(code)
        if character.isalnum():
            table[code] = (
                ALNUM
                | (ALPHA if character.isalpha() else 0)
                | (DIGIT if "0" <= character <= "9" else 0)
                | (UPPER if character.isupper() else 0)
            )
        elif character.isspace():
            table[code] = SPACE
    return table


@cache
def lower_table() -> npt.NDArray[np.uint32]:
    """uint32 [TABLE_SIZE]: the lower case of each code point where that is one character; the
    curly apostrophe becomes the straight one, so that word lists need one spelling."""
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    for code in range(TABLE_SIZE):
        character = chr(code)
        if character.isalpha():
            lower = character.lower()
            if len(lower) == 1:
                table[code] = ord(lower)
    table[0x2019] = ord("'")
    return table


def lower(text: str) -> str:
    """`text` through `lower_table`."""
    table = lower_table()
    return "".join(chr(table[ord(c)]) if ord(c) < TABLE_SIZE else c for c in text)


def core(word: str) -> str:
    """A word in lower case without the punctuation around it: '(Well-known,' -> 'well-known'."""
    first = next((i for i, c in enumerate(word) if c.isalnum()), None)
    if first is None:
        return ""
    last = next(i for i in range(len(word) - 1, -1, -1) if word[i].isalnum())
    return lower(word[first : last + 1])
