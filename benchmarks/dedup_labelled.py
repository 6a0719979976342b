"""Recall and precision of near copies on real documents with known edits (see dedup.py)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from gristmill.data.dedup.near import NearSettings, near_groups

WORDS = 5
THRESHOLD, MARGIN = 0.8, 0.05


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def shingles_of(text: str) -> frozenset[tuple[str, ...]]:
    found = words_of(text)
    return frozenset(tuple(found[k : k + WORDS]) for k in range(max(1, len(found) - WORDS + 1)))


def edited(text: str, rate: float, draw: random.Random, others: Sequence[str]) -> str:
    """Each word is deleted, replaced or preceded by another with the probability `rate`."""
    out = []
    for token in text.split(" "):
        kind = draw.randrange(3) if draw.random() < rate else 3
        if kind == 1:
            token = draw.choice(others)
        elif kind == 2:
            out.append(draw.choice(others))
        if kind != 0:
            out.append(token)
    return " ".join(out)


def labelled(texts: Sequence[str], families: int) -> list[str]:
    """Documents in families of three: an original and two edited copies."""
    draw = random.Random(9)
    chosen = [t for t in texts if t.isascii() and 60 <= len(words_of(t)) <= 3000]
    draw.shuffle(chosen)
    originals: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    for text in chosen:
        shingles = shingles_of(text)
        # Pages of one manual share their menus: a family of its own shares next to nothing.
        if sum(one in seen for one in shingles) < min(12, len(shingles) * 0.05):
            originals.append(text)
            seen.update(dict.fromkeys(shingles, len(originals)))
        if len(originals) == families:
            break
    vocabulary = sorted({word for text in originals[:200] for word in words_of(text)})
    found = []
    for text in originals:
        found.append(text)
        for _ in range(2):
            # An edit spoils 5 shingles: they survive with (1 - rate)^5, and Jaccard is s / (2 - s).
            jaccard = draw.uniform(0.5, 1.0)
            survive = 2 * jaccard / (1 + jaccard)
            found.append(edited(text, 1 - survive ** (1 / WORDS), draw, vocabulary))
    return found


def quality(texts: Sequence[str], families: int) -> dict[str, Any]:
    """Recall and precision on the labelled set."""
    documents_ = labelled(texts, families)
    exact: dict[tuple[int, int], float] = {}
    for first in range(0, len(documents_), 3):
        sets = [shingles_of(text) for text in documents_[first : first + 3]]
        for i, j in combinations(range(3), 2):
            shared = len(sets[i] & sets[j])
            exact[first + i, first + j] = shared / (len(sets[i]) + len(sets[j]) - shared)
    settings = NearSettings(n=WORDS, threshold=THRESHOLD)
    passed: list[Any] = []
    found = near_groups(lambda: [documents_], settings, told=lambda *one: passed.append(one[0]))
    reported = {(i, j) for pairs in passed for i, j in pairs.tolist()}
    similar = {pair for pair, value in exact.items() if value >= THRESHOLD}
    members: dict[int, list[int]] = {}
    for document, group in enumerate(found.groups.tolist()):
        members.setdefault(group, []).append(document)
    together = [pair for group in members.values() for pair in combinations(group, 2)]
    right = sum(exact.get(pair, 0.0) >= THRESHOLD - MARGIN for pair in together)
    passed.clear()
    loose = NearSettings(n=WORDS, threshold=1e-9)
    near_groups(lambda: [documents_], loose, told=lambda *one: passed.append(one[0]))
    candidates = {(i, j) for pairs in passed for i, j in pairs.tolist()}
    near = sum(0.75 <= value < 0.85 for value in exact.values())
    print(
        f"\n{len(documents_)} documents in families of three, {len(exact)} pairs, {len(similar)} of"
        f" at least {THRESHOLD}, {near} within 0.05 of it; {found.candidates} candidates"
    )
    for low in np.arange(0.5, 1.0, 0.1):
        inside = [pair for pair, value in exact.items() if low <= value < low + 0.1]
        caught = sum(found.groups[i] == found.groups[j] for i, j in inside)
        print(f"Jaccard {low:.1f} to {low + 0.1:.1f}: {len(inside):>6} pairs, {caught:>6} grouped")
    return {
        "recall": round(len(reported & similar) / len(similar), 4),
        "precision": round(len(reported & similar) / len(reported), 4),
        "precision_unchecked": round(len(candidates & similar) / len(candidates), 4),
        "precision_groups": round(right / len(together), 4),
        "labelled_pairs": len(exact),
    }
