"""Near duplicates of a corpus that is read part by part.

Steps: 1 sign, 2 index by bands, 3 candidates, 4 their exact Jaccard, 5 connected components. The
index (4 bytes a band and document), candidates and their shingles stand in scratch files; in memory
are a part, one band with its pairs, half a million candidates, and some 20 bytes a document. Groups
are the same however the documents are ordered and cut into parts.

Documents of an earlier snapshot may stand before them. They are known to differ from each other, so
pairs of two of them are not looked at, and keys that are still there are not made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.dedup.band_index import BandIndex, SpilledPairs, SpilledSets
from gristmill.data.dedup.columns import Column
from gristmill.data.dedup.exact import digest_numbers, text_digest
from gristmill.data.dedup.lsh import (
    Components,
    Keys,
    Pairs,
    band_keys,
    band_pairs,
    unpacked,
)
from gristmill.data.dedup.minhash import shingle_sets, signatures
from gristmill.data.ngrams import Hashes, Texts

PAIRS_AT_ONCE = 1 << 19
"""Candidates that are compared at once, some 60 bytes each."""


@dataclass(frozen=True)
class NearSettings:
    """n: words per shingle. threshold: smallest Jaccard similarity of a near duplicate."""

    n: int = 5
    threshold: float = 0.5
    bands: int = 25
    rows: int = 4
    seed: int = 0


@dataclass(frozen=True)
class EarlierPart:
    """A part of an earlier snapshot. read: its texts; keys: their band keys under the same
    settings, uint32[bands, count], or None where they are to be made. Called when wanted."""

    count: int
    read: Callable[[], Texts]
    keys: Callable[[], Keys] | None = None


@dataclass(frozen=True)
class NearGroups:
    """groups: for each document the smallest index of its group. candidates: how many pairs were
    looked at; passed: how many were similar enough. index: the keys of all; read it while its
    folder is there. Earlier documents come first in the numbering."""

    groups: npt.NDArray[np.int64]
    candidates: int
    passed: int
    index: BandIndex


Told = Callable[[Pairs, npt.NDArray[np.float64]], None]


def near_groups(
    parts: Callable[[], Iterable[Texts]],
    settings: NearSettings,
    *,
    workers: int = 1,
    earlier: Sequence[EarlierPart] = (),
    content: Callable[[], Hashes] | None = None,
    sign: Callable[[], Iterable[Keys]] | None = None,
    folder: Path | None = None,
    told: Told | None = None,
) -> NearGroups:
    """Groups of near duplicates among all texts of all parts, numbered in order.

    `parts` is called twice: once to sign, once to fetch the shingles of candidates. content: gives
    a number of each text, earlier ones first, that equal texts share; by default they are made from
    the texts, which reads the earlier ones too. sign: gives the keys of each part where they are
    made elsewhere, as `sign_part` makes them. folder: where the scratch files stand, by default a
    temporary one. told: pairs that passed, ascending, and their similarity, some at a time.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            return near_groups(
                parts,
                settings,
                workers=workers,
                earlier=earlier,
                content=content,
                sign=sign,
                folder=Path(temporary),
                told=told,
            )
    index = BandIndex(folder, settings.bands)
    old = 0
    for part in earlier:
        kept = part.keys
        index.append(sign_part(part.read(), settings, workers) if kept is None else kept())
        old += part.count
    assert index.documents == old
    for keys in sign() if sign else (sign_part(t, settings, workers) for t in parts()):
        index.append(keys)
    candidates, wanted = _candidates(
        index, content() if content else _content(_readers(earlier, parts)), old, folder
    )
    sets = _spilled_sets(_readers(earlier, parts), wanted, settings.n, folder)
    # The place of a candidate's shingles.
    place = np.flatnonzero(wanted)
    del wanted
    components = Components(index.documents)
    passed = 0
    for first in range(0, len(candidates), PAIRS_AT_ONCE):
        count = min(PAIRS_AT_ONCE, len(candidates) - first)
        pairs = unpacked(candidates.read(first, count))
        similarity = sets.jaccard(np.searchsorted(place, pairs))
        enough = similarity >= settings.threshold
        pairs, similarity = pairs[enough], similarity[enough]
        components.unite(pairs)
        passed += len(pairs)
        if told is not None and len(pairs):
            told(pairs, similarity)
    return NearGroups(components.smallest(), len(candidates), passed, index)


def sign_part(texts: Texts, settings: NearSettings, workers: int = 1) -> Keys:
    """From text to the keys that the index holds: uint32[bands, texts]."""
    count = settings.bands * settings.rows
    signed = signatures(texts, n=settings.n, count=count, seed=settings.seed, workers=workers)
    return band_keys(signed, settings.bands, settings.rows)


Reader = tuple[int, Callable[[], Texts]]


def _readers(
    earlier: Sequence[EarlierPart], parts: Callable[[], Iterable[Texts]]
) -> Iterator[Reader]:
    """How many texts each part has, and what gives them."""
    for part in earlier:
        yield part.count, part.read
    for texts in parts():
        yield len(texts), partial(_itself, texts)


def _itself(texts: Texts) -> Texts:
    return texts


def _candidates(
    index: BandIndex, content: Hashes, old: int, folder: Path
) -> tuple[Column, npt.NDArray[np.bool_]]:
    """The pairs to look at, packed and ascending, and whether each document is in one."""
    spilled = SpilledPairs(folder / "pairs", index.documents)
    for packed in band_pairs(index, content):
        # The smaller index stands first: where the larger is of the earlier snapshot, both are.
        new = packed & np.uint64(0xFFFFFFFF) >= old
        spilled.append(packed if new.all() else packed[new])
    found = Column(folder / "candidates", "<u8")
    wanted = np.zeros(index.documents, np.bool_)
    for packed in spilled:
        wanted[unpacked(packed)] = True
        found.append(packed)
    return found, wanted


def _spilled_sets(
    readers: Iterable[Reader], wanted: npt.NDArray[np.bool_], n: int, folder: Path
) -> SpilledSets:
    sets = SpilledSets(folder / "shingles")
    first = 0
    for count, read in readers:
        chosen = np.flatnonzero(wanted[first : first + count])
        first += count
        if len(chosen):
            sets.append(*shingle_sets(chosen_texts(read(), chosen), n))
    return sets


def _content(readers: Iterable[Reader]) -> Hashes:
    return content_numbers(read() for _, read in readers)


def content_numbers(parts: Iterable[Texts]) -> Hashes:
    """A number of each text, the same for equal ones: uint64[texts]."""
    numbers = [np.zeros(0, np.uint64)]
    for texts in parts:
        found = texts.to_pylist() if isinstance(texts, pa.Array | pa.ChunkedArray) else texts
        numbers.append(digest_numbers(map(text_digest, found))[0])
    return np.concatenate(numbers)


def chosen_texts(texts: Texts, chosen: npt.NDArray[np.int64]) -> Texts:
    """Some of the texts, by their places."""
    if isinstance(texts, pa.Array | pa.ChunkedArray):
        return texts.take(pa.array(chosen))
    return [texts[i] for i in chosen]
