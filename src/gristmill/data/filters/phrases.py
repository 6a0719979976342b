"""The phrases that C4 looks for, at a place in the bytes of a text.

Compiled into `kernel.read_texts`, whose cache does not notice an edit here: after one, the files
*.nbi in `__pycache__` have to go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.tokenizer.eight_bytes import kernel


def _letters(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


JAVASCRIPT_LETTERS, LOREM, IPSUM = _letters("javascript"), _letters("lorem "), _letters("ipsum")
_TERMS, _OF_USE, _PRIVACY = _letters("terms"), _letters(" of use"), _letters("privacy")
_POLICY, _COOKIE, _COOKIES = _letters(" policy"), _letters("cookie"), _letters("cookies")
_USES_, _USE_OF_, _USE_ = _letters("uses "), _letters("use of "), _letters("use ")
_EDIT, _NEEDED = _letters("edit]"), _letters("citation needed]")


@kernel
def stands(data, at, start, stop, letters):  # type: ignore[no-untyped-def]
    """Whether the letters stand at `at`, without regard to case, inside [start, stop)."""
    if at < start or at + len(letters) > stop:
        return False
    for k in range(len(letters)):
        byte = data[at + k]
        if 65 <= byte <= 90:
            byte += np.uint8(32)
        if byte != letters[k]:
            return False
    return True


@kernel
def is_policy(data, i, j, start, stop):  # type: ignore[no-untyped-def]
    """Whether the word at [i, j) stands in a phrase of `c4.POLICY`, as its rarest word."""
    if stands(data, j - 5, i, j, _TERMS) and stands(data, j, start, stop, _OF_USE):
        return True
    if stands(data, j - 7, i, j, _PRIVACY) or stands(data, j - 6, i, j, _COOKIE):
        return stands(data, j, start, stop, _POLICY)
    return stands(data, i, i, j, _COOKIES) and (
        stands(data, i - 4, start, stop, _USE_)
        or stands(data, i - 5, start, stop, _USES_)
        or stands(data, i - 7, start, stop, _USE_OF_)
    )


@kernel
def citation_end(data, i, stop):  # type: ignore[no-untyped-def]
    """Where the citation mark that the bracket at i opens ends; 0 where it opens none."""
    at = i + 1
    while at < stop and 48 <= data[at] <= 57:
        at += 1
    if at < stop and data[at] == 93:
        return at + 1
    for mark in (_EDIT, _NEEDED):
        if i + 1 + len(mark) <= stop:
            at = 0
            while at < len(mark) and data[i + 1 + at] == mark[at]:
                at += 1
            if at == len(mark):
                return i + 1 + at
    return 0
