"""What each step left of every site, source or domain, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

OTHERS: Final = "(others)"
_MOST_NAMES: Final = 50_000
"""Names that are told apart; where a part brings more, the smallest are counted together."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One name: what was there first, what each step left, and what took most."""

    name: str
    documents: tuple[int, ...]
    """After each step."""
    words: tuple[int, ...]
    bytes: tuple[int, ...]
    reasons: Counter[tuple[int, str]]
    """Documents dropped, by the step's number and the reason."""

    def mostly(self) -> str:
        """The reason that took most; empty where nothing was dropped."""
        by_reason: Counter[str] = Counter()
        for (_, reason), count in self.reasons.items():
            by_reason[reason] += count
        ranked = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
        return f"{ranked[0][0]} {ranked[0][1]:,}" if ranked else ""

    def to_json(self, steps: Sequence[str]) -> dict[str, Any]:
        """For `inspection.json`."""
        dropped = sorted(self.reasons.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
        return {
            "name": self.name,
            "documents": list(self.documents),
            "words": list(self.words),
            "bytes": list(self.bytes),
            "dropped": [
                {"step": steps[number], "reason": reason, "documents": count}
                for (number, reason), count in dropped
            ],
        }


class Groups:
    """Counts by name.

    Up to 50,000 names the counts are exact. Beyond that those with the fewest documents become
    "(others)" at the end of a part; one that comes again counts from there on.
    """

    def __init__(self, steps: int, most_names: int = _MOST_NAMES) -> None:
        self._steps, self._most = steps, most_names
        self._left: dict[str, Counts] = {}
        self._took: dict[str, Counter[tuple[int, str]]] = {}

    def left(self, names: Sequence[str], step: int, counts: Counts) -> None:
        """Adds what a step left of each name: int64 [names, 3], documents, words, bytes."""
        for name, row in zip(names, counts, strict=True):
            self._of(name)[step] += row
        if len(self._left) > self._most and step == self._steps - 1:
            self._fold()

    def took(self, name: str, step: int, reason: str, documents: int) -> None:
        """Adds documents that a step dropped."""
        self._of(name)
        self._took.setdefault(name, Counter())[step, reason] += documents

    def top(self, count: int) -> list[Row]:
        """The `count` names that most came of, and the others together."""
        ranked = sorted(self._left, key=lambda name: (-self._came(name), name))
        shown = [name for name in ranked if name != OTHERS][:count]
        rest = sorted(set(self._left) - set(shown))
        rows = [self._row(name, [name]) for name in shown]
        if rest:
            several = sum(name != OTHERS for name in rest)
            folded = OTHERS in self._left
            rows.append(self._row(f"({several:,}{' and more' if folded else ''} others)", rest))
        return rows

    def __len__(self) -> int:
        return len(self._left)

    def _of(self, name: str) -> Counts:
        if name not in self._left:
            self._left[name] = np.zeros((self._steps, 3), np.int64)
        return self._left[name]

    def _came(self, name: str) -> int:
        """What came of a name: its documents, and its pages that never became any."""
        never = sum(n for (step, _), n in self._took.get(name, {}).items() if step == 0)
        return int(self._left[name][0, 0]) + never

    def _row(self, title: str, names: Sequence[str]) -> Row:
        counts = np.sum([self._left[name] for name in names], axis=0)
        reasons: Counter[tuple[int, str]] = Counter()
        for name in names:
            reasons.update(self._took.get(name, {}))
        documents, words, sizes = (tuple(counts[:, i].tolist()) for i in range(3))
        return Row(title, documents, words, sizes, reasons)

    def _fold(self) -> None:
        keep = sorted(self._left, key=lambda name: (-self._came(name), name))[: self._most // 2]
        rest = set(self._left) - set(keep) - {OTHERS}
        others = self._of(OTHERS)
        taken = self._took.setdefault(OTHERS, Counter())
        for name in sorted(rest):
            others += self._left.pop(name)
            taken.update(self._took.pop(name, {}))
