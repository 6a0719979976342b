"""Hashed n-grams of some of a corpus's documents, made part by part and held once.

What a classifier learns from is often a small share of the corpus, and n-grams take more than the
text that they are of: each part writes those of its own documents to a file, here or on a cluster,
and one array is filled from these. Nobody holds what is only to be judged.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.classifier import Features, hashed_features
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.map_parts import map_parts, workers_worth
from gristmill.data.engine.steps import Engine
from gristmill.data.ngrams import Offsets, Texts


@dataclass(frozen=True)
class _Wanted:
    """A part, and which of the documents that earlier layers keep in it are wanted."""

    name: str
    rows: npt.NDArray[np.int64]


def corpus_features(
    engine: Engine,
    documents: DocumentSet,
    wanted: npt.NDArray[np.bool_],
    *,
    bits: int,
    ngrams: int,
    folder: Path,
    extra: Texts = (),
) -> Features:
    """The features of the documents of `wanted` (a place for each that earlier layers keep, in
    order), and after them those of the texts `extra`.

    folder: for a file a part, on storage that all workers share; they are gone at the end.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    parts = list(_parts(documents, wanted))
    sizes = map_parts(
        engine,
        partial(_hash_part, documents, bits, ngrams, folder),
        parts,
        isolate=False,
        most_workers=workers_worth(documents.text_bytes()),
    )
    own = hashed_features(extra, bits=bits, ngrams=ngrams)
    total = [list(told) for told in sizes] + [[len(own), len(own.buckets)]]
    texts, grams = (sum(column) for column in zip(*total, strict=True))
    buckets, starts = np.empty(grams, np.int32), np.zeros(texts + 1, np.int64)
    text = gram = 0
    for found in _each(folder, parts, own):
        starts[text : text + len(found) + 1] = gram + found.starts
        buckets[gram : gram + len(found.buckets)] = found.buckets
        text, gram = text + len(found), gram + len(found.buckets)
    return Features(buckets, starts)


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes arrays by name, whole or not at all; `np.load` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _parts(documents: DocumentSet, wanted: npt.NDArray[np.bool_]) -> Iterator[_Wanted]:
    """The parts of which something is wanted."""
    first = 0
    for name in documents.parts:
        count = len(documents.kept_rows(name))
        rows = np.flatnonzero(wanted[first : first + count])
        first += count
        if len(rows):
            yield _Wanted(name, rows)
    assert first == len(wanted)


def _hash_part(
    documents: DocumentSet, bits: int, ngrams: int, folder: Path, part: _Wanted
) -> tuple[int, int]:
    """Writes a part's file; how many texts and n-grams it holds."""
    texts = documents.read(part.name, ["text"])["text"]
    if len(part.rows) < len(texts):
        texts = texts.take(pa.array(part.rows))
    found = hashed_features(texts, bits=bits, ngrams=ngrams)
    save_arrays(_file(folder, part.name), {"buckets": found.buckets, "starts": found.starts})
    return len(found), len(found.buckets)


def _each(folder: Path, parts: list[_Wanted], own: Features) -> Iterator[Features]:
    for part in parts:
        path = _file(folder, part.name)
        with np.load(path) as arrays:
            starts: Offsets = arrays["starts"]
            yield Features(arrays["buckets"], starts)
        path.unlink()
    yield own


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npz"
