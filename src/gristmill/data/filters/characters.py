"""Unicode classes of characters as one table, so that a compiled loop agrees with Python's str."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

SPACE: Final = 1
ALPHA: Final = 2
ALNUM: Final = 4
DIGIT: Final = 8
UPPER: Final = 16
# . ? ! and the closing quotation marks that C4 and FineWeb accept at the end of a line.
LINE_END: Final = 32
# Characters that end a sentence.
SENTENCE_END: Final = 64
# What may stand between the end of a sentence and the space after it.
CLOSING: Final = 128

LINE_END_CHARACTERS: Final = ".?!\"'”’。？！"
SENTENCE_END_CHARACTERS: Final = ".?!…。？！"
CLOSING_CHARACTERS: Final = "\"'”’»)]"

# Unicode assigns letters up to the third extension plane; beyond it there are tags and private
# use, which belong to no class here.
TABLE_SIZE: Final = 0x33480


@cache
def class_table() -> npt.NDArray[np.uint8]:
    """uint8 [TABLE_SIZE]: the classes of each code point, as bits."""
    table = np.zeros(TABLE_SIZE, dtype=np.uint8)
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
    for characters, bit in (
        (LINE_END_CHARACTERS, LINE_END),
        (SENTENCE_END_CHARACTERS, SENTENCE_END),
        (CLOSING_CHARACTERS, CLOSING),
    ):
        for character in characters:
            table[ord(character)] |= bit
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
