"""Where a word stands in a page's bytes, without reading them one by one.

A word of seven bytes or more holds, wherever it stands, four bytes that begin at a multiple of
four. All such fours of a page are compared at once, which takes a third of the time of
`bytes.find` for words of usual letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np


def holds(html: bytes, word: bytes, rare: int = 0) -> bool:
    """`word in html`, for a word of at least 7 bytes. rare: as for `places`."""
    return next(places(html, word, rare), -1) >= 0


def places(html: bytes, word: bytes, rare: int = 0) -> Iterator[int]:
    """Where `word`, at least 7 bytes long, stands in `html`; in no order.

    rare: where in the word seven bytes begin that pages seldom hold in other words.
    """
    fours = np.frombuffer(html, "<u4", len(html) // 4)
    if not fours.size:
        return
    same = np.empty(fours.size, np.bool_)  # made once for all pieces: that is half the time
    for offset, piece in enumerate(_pieces(word, rare), rare):
        np.equal(fours, piece, same)
        if not same[same.argmax()]:
            continue
        found = same.tobytes()  # `find` is faster than `nonzero` for the few that there are
        place = found.find(1)
        while place >= 0:
            at = 4 * place - offset
            if at >= 0 and html.startswith(word, at):
                yield at
            place = found.find(1, place + 1)


@lru_cache(maxsize=64)
def _pieces(word: bytes, start: int) -> list[np.uint32]:
    assert len(word) - start >= 7
    starts = range(start, start + 4)
    return [np.uint32(int.from_bytes(word[i : i + 4], "little")) for i in starts]
