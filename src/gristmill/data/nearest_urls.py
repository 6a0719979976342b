"""The known addresses that are most like one that nobody knows."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable

_CANDIDATES = 50


def nearest_urls(url: str, known: Iterable[str], count: int = 5) -> list[str]:
    """Up to `count` addresses, best first; one pass, in the memory of the few that are held.

    A cheap measure chooses 50: what they share at their begin and their end, without scheme,
    `www.`, a final slash and case. The nearest of these are told by their longest common pieces.
    """
    wanted = _plain(url)
    shares = ((_shared(wanted, _plain(one)), one) for one in known)
    # Several artifacts may know an address.
    candidates = {one for shared, one in heapq.nlargest(_CANDIDATES, shares) if shared > 0}
    # Of equally near ones those that begin alike.
    ranked = sorted(
        (
            -difflib.SequenceMatcher(None, wanted, _plain(one)).ratio(),
            -_same(wanted, _plain(one)),
            one,
        )
        for one in candidates
    )
    return [one for *_, one in ranked[:count]]


def _plain(url: str) -> str:
    rest = (url.partition("://")[2] or url).lower()
    return rest.removeprefix("www.").rstrip("/")


def _shared(one: str, other: str) -> float:
    if one == other:
        return 2.0
    begin = _same(one, other)
    room = min(len(one), len(other)) - begin
    end = min(room, _same(one[::-1], other[::-1]))
    return (begin + end) / max(len(one), len(other), 1)


def _same(one: str, other: str) -> int:
    """Letters that both begin with."""
    unequal = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(unequal, min(len(one), len(other)))
