"""Pages that quote a held-out one, which a mixture must not train on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.dedup.minhash import shingle_sets
from gristmill.data.features import save_arrays
from gristmill.data.ngrams import Hashes, Offsets
from gristmill.data.postings import Postings

MOST_GRAMS = 1 << 24
"""N-grams of held-out text that are held, 16 bytes each."""
ALL_HASHES = np.uint64(0xFFFFFFFFFFFFFFFF)


def found_once(path: Path, find: Callable[[], npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    """What `find` returns, kept in a file: an attempt after a kill does not look again."""
    if not path.exists():
        save_arrays(path, {"leak": find()})
    with np.load(path) as arrays:
        leak: npt.NDArray[np.bool_] = arrays["leak"]
    return leak


def leaking(
    texts: Callable[[], Iterable[pa.ChunkedArray]],
    heldout: npt.NDArray[np.bool_],
    *,
    n: int = 8,
    share: float = 0.5,
    most: int = MOST_GRAMS,
) -> npt.NDArray[np.bool_]:
    """Documents outside the held-out split that hold at least `share` of a held-out text's n-grams.

    Near-duplicate groups miss a page that quotes another whole among much else: its Jaccard
    similarity is low. texts: called twice, each time the texts of every part in row order. most:
    n-grams of held-out texts that are held; where there are more, those with the smallest hashes
    stand for all, a half, a quarter and so on, and the share is an estimate by them (Broder 1997).
    """
    sets: list[tuple[Hashes, Offsets]] = []
    first, held, limit = 0, 0, ALL_HASHES
    for part in texts():
        rows = np.flatnonzero(heldout[first : first + len(part)])
        sets.append(_below(shingle_sets(part.take(pa.array(rows)), n), limit))
        held += len(sets[-1][0])
        first += len(part)
        while held > most:
            limit = np.uint64(limit >> np.uint64(1))
            sets = [_below(one, limit) for one in sets]
            held = sum(len(hashes) for hashes, _ in sets)
    index = Postings.build(sets)
    sets.clear()
    leak = np.zeros(len(heldout), np.bool_)
    first = 0
    for part in texts():
        rows = np.flatnonzero(~heldout[first : first + len(part)])
        grams = _below(shingle_sets(part.take(pa.array(rows)), n), limit)
        document, owner, shared = index.shared(*grams)
        found = shared >= share * index.sizes[owner]
        leak[first + rows[document[found]]] = True
        first += len(part)
    return leak


def _below(sets: tuple[Hashes, Offsets], limit: np.uint64) -> tuple[Hashes, Offsets]:
    """The hashes of each text that are not above the limit."""
    hashes, starts = sets
    if limit == ALL_HASHES:
        return sets
    kept = hashes <= limit
    before = np.zeros(len(hashes) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    return hashes[kept], before[starts]
