"""What is done with adult and toxic text: documents are dropped, marked, or weigh less.

A trained classifier's score and a word list's verdict each say so by themselves; the lowest weight
counts. The columns are there only where something is marked, weighed or scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.checks import Check, above
from gristmill.data.filters.rules import TextUse
from gristmill.data.filters.trained import loaded
from gristmill.data.ngrams import Texts

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Uses:
    """models: the files of classifiers by name. by_name: what is done with each, `adult` and
    `toxic`."""

    models: Mapping[str, Path] = field(default_factory=dict)
    by_name: Mapping[str, TextUse] = field(default_factory=dict)

    def of(self, name: str) -> TextUse:
        return self.by_name.get(name) or TextUse()

    @property
    def has_columns(self) -> bool:
        return bool(self.models) or any(use.words != "drop" for use in self.by_name.values())

    def fields(self) -> list[pa.Field]:
        """The columns that `columns` makes: NAME_score, marks, weight."""
        if not self.has_columns:
            return []
        return [
            *(pa.field(f"{name}_score", pa.float32()) for name in sorted(self.models)),
            pa.field("marks", pa.list_(pa.string())),
            pa.field("weight", pa.float32()),
        ]

    def scores(self, texts: Texts) -> dict[str, Floats]:
        """Each classifier's probability of each text."""
        return {
            name: loaded(self.models[name]).probabilities(texts) for name in sorted(self.models)
        }

    def checks(
        self, name: str, words: Sequence[Check], scores: Mapping[str, Floats]
    ) -> list[Check]:
        """Those that drop: the word list's, where that is their use, and the classifier's."""
        use = self.of(name)
        dropping = list(words) if use.words == "drop" else []
        if name in scores:
            dropping += above(f"{name}.classifier", scores[name], use.drop, strict=False)
        return dropping

    def columns(
        self, count: int, words: Mapping[str, Sequence[Check]], scores: Mapping[str, Floats]
    ) -> dict[str, pa.Array]:
        """For `count` documents: the scores, whose marks they bear, and their weight."""
        if not self.has_columns:
            return {}
        marks: list[list[str]] = [[] for _ in range(count)]
        weight = np.ones(count, np.float32)
        for name in sorted({*self.models, *words}):
            use = self.of(name)
            marked = _reach(scores.get(name), use.mark, count)
            lowered = _reach(scores.get(name), use.lower, count)
            for check in words.get(name, ()):
                if use.words == "mark":
                    marked = marked | check.failed
                elif use.words == "lower":
                    lowered = lowered | check.failed
            for row in np.flatnonzero(marked).tolist():
                marks[row].append(name)
            weight[lowered] = np.minimum(weight[lowered], np.float32(use.weight))
        return {
            **{f"{name}_score": pa.array(scores[name], pa.float32()) for name in sorted(scores)},
            "marks": pa.array(marks, pa.list_(pa.string())),
            "weight": pa.array(weight),
        }


def _reach(scores: Floats | None, threshold: float | None, count: int) -> npt.NDArray[np.bool_]:
    if scores is None or threshold is None:
        return np.zeros(count, np.bool_)
    return scores >= threshold
