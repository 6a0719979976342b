"""Near groups of a document set: of one document of each exact group, with what is shown of them.

Texts are signed by the engine: in this process where they are few, else part by part in worker
processes or on a cluster, which leave a part's keys in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.band_index import BandIndex
from gristmill.data.dedup.columns import Column, Flags, Rows
from gristmill.data.dedup.corpus_texts import Corpus, CurrentTexts, worth_workers
from gristmill.data.dedup.earlier import Earlier
from gristmill.data.dedup.estimate import SampleEstimate, sample_estimate
from gristmill.data.dedup.lsh import Keys, Pairs
from gristmill.data.dedup.near import NearSettings, near_groups, sign_part
from gristmill.data.dedup.verdicts import NearPairs
from gristmill.data.engine.local import LocalEngine
from gristmill.data.engine.map_parts import map_parts
from gristmill.data.engine.steps import Engine
from gristmill.data.ngrams import Hashes, mix_array

PAIRS_HELD = 1 << 16


@dataclass(frozen=True)
class NearCopies:
    """group: of each document a row that is the same within its group. earlier: the earlier
    document of the smallest id in that group, or -1; None where there is none at all. pairs: found
    within the new documents. index: the keys of all that were compared, earlier ones first."""

    group: Rows
    earlier: Rows | None
    pairs: NearPairs
    estimate: SampleEstimate | None
    index: BandIndex | None


def near_copies(
    corpus: Corpus,
    exact: Rows,
    gone: Flags,
    settings: NearSettings | None,
    sample: int,
    engine: Engine,
    earlier: Earlier,
    scratch: Path,
) -> NearCopies:
    """exact: of each document one that is the same within its exact group; gone: those that are not
    looked at. sample: documents by which the estimate is made; 0: none is."""
    total, old = len(exact), len(earlier)
    copied = np.full(total, -1, np.int64) if old else None
    if settings is None or not total:
        return NearCopies(exact, copied, NearPairs.none(), None, None)
    distinct = distinct_rows(exact, gone)
    parts = _distinct_texts(corpus, distinct)

    def content() -> Hashes:
        # Equal texts have equal digests: here there is one of each, but for what a layout changes.
        new: Hashes = corpus.digests[0].take(distinct)
        return np.concatenate([earlier.digests[0].read(), new]) if old else new

    signed = None
    if worth_workers(engine, corpus):
        signed = partial(_signed, corpus, distinct, settings, engine, scratch / "signed")
    drawn = _DrawnPairs(old, distinct, corpus.ids)
    found = near_groups(
        parts,
        settings,
        workers=engine.workers if isinstance(engine, LocalEngine) else 1,
        earlier=earlier.parts,
        content=content,
        sign=signed,
        folder=scratch,
        told=drawn,
    )
    groups, index = found.groups, found.index
    del found
    # In the numbering of `distinct`. A group that holds an earlier document is named by it.
    local = groups[old:]
    local -= old
    if copied is not None:
        tied = np.flatnonzero(local < 0)
        roots, leader, which = np.unique(local[tied], return_index=True, return_inverse=True)
        copied[distinct[tied]] = _smallest_ids(groups[:old], roots + old, earlier)[which]
        local[tied] = tied[leader[which]]
        copied = copied[exact]
    estimate = None
    if sample and len(distinct):
        estimate = sample_estimate(
            parts,
            local,
            settings,
            content=corpus.digests[0].take(distinct),
            sample=sample,
        )
    local[:] = distinct[local]
    group = np.arange(total, dtype=np.int64)
    group[distinct] = local
    # An exact copy belongs to the near group of its twin.
    return NearCopies(group[exact], copied, drawn.pairs, estimate, index)


def distinct_rows(exact: Rows, gone: Flags) -> Rows:
    """The documents that stand for their exact group, in order: what the index numbers."""
    rows: Rows = np.flatnonzero((exact == np.arange(len(exact))) & ~gone)
    return rows


def index_keys(index: BandIndex, old: int, distinct: Rows, rows: Rows) -> Keys:
    """The keys of some rows of `distinct`: uint32[bands, rows]. old: earlier documents."""
    if not len(rows):
        return np.zeros((index.bands, 0), np.uint32)
    wanted = np.searchsorted(distinct, rows)
    first, last = int(wanted.min()), int(wanted.max())
    return index.part(old + first, last - first + 1)[:, wanted - first]


def _distinct_texts(corpus: Corpus, distinct: Rows) -> Callable[[], Iterable[Sequence[str]]]:
    def parts() -> Iterable[Sequence[str]]:
        for part, here in _distinct_in(corpus, distinct):
            yield corpus.texts.chosen(part, here)

    return parts


def _distinct_in(corpus: Corpus, distinct: Rows) -> Iterator[tuple[str, Rows]]:
    """Each part with the places in it of its documents among `distinct`."""
    for part, first, count in corpus.places():
        low, high = np.searchsorted(distinct, (first, first + count))
        yield part, distinct[low:high] - first


def _signed(
    corpus: Corpus, distinct: Rows, settings: NearSettings, engine: Engine, folder: Path
) -> Iterator[Keys]:
    folder.mkdir()
    sign = partial(_sign_to, corpus.texts, settings, folder)
    for name in map_parts(engine, sign, _distinct_in(corpus, distinct), isolate=False):
        file = folder / name
        yield np.load(file)
        file.unlink()


def _sign_to(
    texts: CurrentTexts, settings: NearSettings, folder: Path, part: tuple[str, Rows]
) -> str:
    name, rows = part
    np.save(folder / f"{name}.npy", sign_part(texts.chosen(name, rows), settings))
    return f"{name}.npy"


class _DrawnPairs:
    """Up to `PAIRS_HELD` pairs of new documents, drawn by the ids: all would be many in a corpus of
    large groups, and they are looked at for samples only."""

    def __init__(self, old: int, distinct: Rows, ids: Column):
        self._old, self._distinct, self._ids = old, distinct, ids
        self._drawn = np.zeros(0, np.uint64)
        self.pairs = NearPairs.none()

    def __call__(self, pairs: Pairs, similarity: npt.NDArray[np.float64]) -> None:
        new = pairs[:, 0] >= self._old
        rows = self._distinct[pairs[new] - self._old]
        drawn = np.zeros(len(rows), np.uint64)
        for side in range(2):
            # Both ways round the same.
            drawn += mix_array(self._ids.take(rows[:, side]))
        rows = np.concatenate([self.pairs.rows, rows])
        similarity = np.concatenate([self.pairs.similarity, similarity[new]])
        drawn = np.concatenate([self._drawn, drawn])
        if len(drawn) > PAIRS_HELD:
            chosen = np.sort(np.argpartition(drawn, PAIRS_HELD)[:PAIRS_HELD])
            rows, similarity, drawn = rows[chosen], similarity[chosen], drawn[chosen]
        self.pairs, self._drawn = NearPairs(rows, similarity), drawn


def _smallest_ids(groups: Rows, roots: Rows, earlier: Earlier) -> Rows:
    """Of each root's group the earlier document of the smallest id. roots: sorted."""
    members = np.flatnonzero(np.isin(groups, roots))
    order = members[np.lexsort((earlier.ids.take(members), groups[members]))]
    found: npt.NDArray[np.int64] = order[np.searchsorted(groups[order], roots)]
    return found
