"""What a classifier says of every document of a corpus: part by part, here or on a cluster, going
on after a kill where it stopped.

A classifier that was trained a moment ago is a file that every worker loads; a part's scores are a
file too, in the stage's journal. Training is the same each time, so the scores of an attempt that
was killed are those of the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.core.progress import progress
from gristmill.data.classifier import Classifier
from gristmill.data.documents import DocumentSet
from gristmill.data.domains import DomainModel
from gristmill.data.engine.map_parts import map_parts, workers_worth
from gristmill.data.engine.steps import Engine
from gristmill.data.features import save_arrays
from gristmill.data.filters.trained import TextClassifier
from gristmill.data.journal import PartJournal

Arrays = Mapping[str, npt.NDArray[Any]]


class Scorer(Protocol):
    """What is said of texts: arrays by name, a value a text. Picklable and small: a file's path."""

    def __call__(self, texts: pa.ChunkedArray, /) -> Arrays: ...


@dataclass
class QualityScorer:
    """quality: the probability that the `TextClassifier` at `path` gives; bytes: of the text."""

    path: Path
    _model: TextClassifier | None = field(default=None, init=False, repr=False)

    def __call__(self, texts: pa.ChunkedArray) -> Arrays:
        if self._model is None:
            self._model = TextClassifier.load(self.path)
        return {
            "quality": self._model.probabilities(texts),
            "bytes": pc.binary_length(texts).to_numpy().astype(np.int64),
        }


@dataclass
class DomainScorer:
    """label: number of the likeliest label of the `Classifier` at `path`; probability: its own."""

    path: Path
    temperature: float
    _model: DomainModel | None = field(default=None, init=False, repr=False)

    def __call__(self, texts: pa.ChunkedArray) -> Arrays:
        if self._model is None:
            self._model = DomainModel(Classifier.load(self.path), self.temperature)
        label, probability = self._model.predict(self._model.classifier.features(texts))
        return {"label": label, "probability": probability}


def score_documents(
    engine: Engine, documents: DocumentSet, scorer: Scorer, journal: PartJournal, title: str
) -> dict[str, npt.NDArray[Any]]:
    """The scorer's arrays over all documents that earlier layers keep, in order.

    journal: of this step alone; parts that it holds are not scored again.
    """
    todo = documents.parts[len(journal.parts) :]
    bar = progress(title, len(documents.parts), "parts")
    bar.advance(len(journal.parts))
    told = map_parts(
        engine,
        partial(_score_part, documents, scorer, journal.folder.resolve()),
        todo,
        isolate=False,
        most_workers=workers_worth(documents.text_bytes()),
    )
    try:
        for part, name in zip(todo, told, strict=True):
            journal.end(part, [name])
            bar.advance(1)
    finally:
        bar.close()
    found: dict[str, list[npt.NDArray[Any]]] = {}
    if not documents.parts:
        return dict(scorer(pa.chunked_array([], pa.string())))
    for part in documents.parts:
        with np.load(journal.folder / _file(part)) as arrays:
            for name in arrays.files:
                found.setdefault(name, []).append(arrays[name])
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def _score_part(documents: DocumentSet, scorer: Scorer, folder: Path, part: str) -> str:
    """Writes a part's scores; returns their path below the folder."""
    save_arrays(folder / _file(part), scorer(documents.read(part, ["text"])["text"]))
    return _file(part)


def _file(part: str) -> str:
    return f"scores/{part}.npz"
