"""All text of a page in one scan of its bytes: tags out, no tree, menus and all.

A twentieth of the work of the main text, for rules that need no more than this. What it finds
holds the main text, but for text that a page states for scripts.
"""

from __future__ import annotations

import html

import numba
import numpy as np
import numpy.typing as npt

_INLINE = (
    "a abbr b bdi bdo big cite code del dfn em font i ins kbd mark nobr q s samp small span strike "
    "strong sub sup time tt u var wbr"
).split()
_SKIPPED = ("script", "style", "template", "textarea", "select", "svg", "title", "noscript")


def _packed(name: str) -> int:
    """A name's first eight letters as a number."""
    return int.from_bytes(name.encode()[:8], "little")


_INLINE_NAMES = np.sort(np.array([_packed(name) for name in _INLINE], np.uint64))
_SKIPPED_NAMES = np.array([_packed(name) for name in _SKIPPED], np.uint64)


def visible_text(utf8: bytes) -> str:
    """The text between tags, a line for each block; scripts, styles and comments are left out."""
    out = np.empty(len(utf8) + 1, np.uint8)
    page = np.frombuffer(utf8, np.uint8)
    size = _strip(page, out, _INLINE_NAMES, _SKIPPED_NAMES)
    text = out[:size].tobytes().decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _strip(
    page: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint8],
    inline: npt.NDArray[np.uint64],
    skipped: npt.NDArray[np.uint64],
) -> int:
    """Writes the text to `out`, at least as long as the page; returns its bytes.

    A quoted '>' does not end a tag; a '<' that begins no tag is text. White space is one space, a
    tag that is not inline one line feed.
    """
    count, at, size = len(page), 0, 0
    # 0: nothing is owed; 1: a space; 2: a line feed. Owed, so that none is written twice.
    owed = 0
    while at < count:
        byte = page[at]
        if byte != 60:  # <
            if byte <= 32:
                owed = max(owed, 1)
            else:
                if owed and size:
                    out[size] = 32 if owed == 1 else 10
                    size += 1
                owed = 0
                out[size] = byte
                size += 1
            at += 1
            continue
        if at + 3 < count and page[at + 1] == 33 and page[at + 2] == 45 and page[at + 3] == 45:
            at += 4  # <!--
            while at < count and not (page[at] == 62 and page[at - 1] == 45 and page[at - 2] == 45):
                at += 1
            at += 1
            continue
        start = at + 1
        closing = start < count and page[start] == 47
        if closing:
            start += 1
        first = page[start] | 32 if start < count else 0
        if not (97 <= first <= 122) and not (start < count and page[start] in (33, 63)):
            if owed and size:
                out[size] = 32 if owed == 1 else 10
                size += 1
            owed = 0
            out[size] = 60
            size += 1
            at += 1
            continue
        name, letters, end = np.uint64(0), 0, start
        while end < count and (97 <= (page[end] | 32) <= 122 or 48 <= page[end] <= 57):
            if letters < 8:
                small = page[end] if page[end] < 65 else page[end] | 32
                name |= np.uint64(small) << np.uint64(8 * letters)
            letters += 1
            end += 1
        quote = 0
        while end < count:
            mark = page[end]
            if quote:
                if mark == quote:
                    quote = 0
            elif mark == 62:
                break
            elif mark in (34, 39) and page[end - 1] == 61:  # after =
                quote = mark
            end += 1
        at = end + 1
        place = np.searchsorted(inline, name)
        if place == len(inline) or inline[place] != name:
            owed = 2
        if closing or letters > 8 or (end < count and page[end - 1] == 47):
            continue
        for one in skipped:
            if one != name:
                continue
            # To its end tag, however it is written; to the end of the page where there is none.
            while at < count:
                if page[at] == 60 and at + 1 < count and page[at + 1] == 47:
                    same, letter = True, 0
                    while letter < letters:
                        here = at + 2 + letter
                        want = np.uint8((name >> np.uint64(8 * letter)) & np.uint64(255))
                        if here >= count or page[here] | 32 != want:
                            same = False
                            break
                        letter += 1
                    if same:
                        break
                at += 1
            break
    return size
