"""Exact duplicates: equal text after a normalisation, and the rule which copy is kept."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Normalisation = Literal["whitespace", "none"]


def text_digest(text: str, normalisation: Normalisation = "whitespace") -> bytes:
    """16 bytes that are equal for equal texts.

    whitespace: Unicode NFC, runs of white space are one space, none at the ends; so that the same
    text laid out by two page designs is one text. Case and punctuation count: what differs there
    is a near duplicate. none: the text as it is.
    """
    if normalisation == "whitespace":
        text = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def first_with(keys: Sequence[object]) -> npt.NDArray[np.int64]:
    """For each item the index of the first item with an equal key."""
    first: dict[object, int] = {}
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], np.int64)


def keep_order(
    hosts: Sequence[str],
    linking_sites: Sequence[int],
    lengths: Sequence[int] | npt.NDArray[np.int64],
    urls: Sequence[str],
    prefer_hosts: Sequence[str] = (),
) -> npt.NDArray[np.int64]:
    """Rank of each document among its copies; the smallest of a group is kept.

    Order: preferred hosts (in the order given), then the page to which the most other sites link
    (people link to the original), then the longest text, then the shortest URL (a copy tends to
    carry parameters and deeper paths), then the URL itself: no tie is left to chance.
    """
    preference = {host: rank for rank, host in enumerate(prefer_hosts)}
    keys = [
        (preference.get(host, len(preference)), -sites, -int(length), len(url), url, i)
        for i, (host, sites, length, url) in enumerate(
            zip(hosts, linking_sites, lengths, urls, strict=True)
        )
    ]
    ranks = np.empty(len(keys), np.int64)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks


def kept_of_group(
    groups: npt.NDArray[np.int64], ranks: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """For each document the document of its group that is kept (the one of smallest rank)."""
    order = np.lexsort((ranks, groups))
    kept = np.empty(len(groups), np.int64)
    sorted_groups = groups[order]
    is_first = np.ones(len(groups), np.bool_)
    is_first[1:] = sorted_groups[1:] != sorted_groups[:-1]
    kept[order] = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    return kept
