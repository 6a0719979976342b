"""Text to ids without merges: by longest match, or whole words with a token for the unknown.

All tokens stand in one tree of bytes. Longest match walks it from each place and takes the last
token that it met, so a text costs its length times the longest token at worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.splitter import padded, piece_end
from gristmill.tokenizer.unicode_classes import class_table

Ids = npt.NDArray[np.int32]

_GOLDEN = -7046029254386353131
_BATCH_BYTES = 4 << 20


class WholeEncoder:
    """Encodes with tokens alone; may be used from several threads, which then run in parallel.

    tokens: bytes to id. unknown: None for longest match inside each pretoken, where a byte that
    begins no token is left out; else the id of every pretoken that is no token.
    """

    def __init__(self, tokens: Mapping[bytes, int], pattern: str, unknown: int | None):
        self._pattern = pattern_code(pattern)
        self._unknown = -1 if unknown is None else unknown
        text = np.frombuffer(b"".join(tokens), dtype=np.uint8)
        ends = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
        ids = np.array(list(tokens.values()), dtype=np.int32)
        size = 1 << (2 * text.size + 2).bit_length()
        self._branches = np.full(size, -1, dtype=np.int64)
        self._nodes = np.zeros(size, dtype=np.int32)
        self._ids = np.full(text.size + 1, -1, dtype=np.int32)
        _plant(text, ends, ids, self._branches, self._nodes, self._ids)

    def encode_batch(self, documents: Sequence[bytes]) -> list[Ids]:
        """The ids of each document; none depends on its neighbours."""
        results: list[Ids] = []
        first = 0
        while first < len(documents):
            size, last = 0, first
            while last < len(documents) and (last == first or size < _BATCH_BYTES):
                size += len(documents[last])
                last += 1
            results.extend(self._encode_some(documents[first:last]))
            first = last
        return results

    def _encode_some(self, documents: Sequence[bytes]) -> list[Ids]:
        text = padded(documents)
        ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
        out = np.empty(text.size, dtype=np.int32)
        id_ends = np.empty(ends.size, dtype=np.int64)
        _encode_whole(
            text, ends, class_table(self._pattern), self._pattern,
            self._branches, self._nodes, self._ids, self._unknown, out, id_ends,
        )  # fmt: skip
        return [out[a:b].copy() for a, b in pairwise([0, *id_ends.tolist()])]


@njit(nogil=True, inline="always")
def _branch(branches: Any, node: int, byte: int) -> Any:
    """The slot of a branch, or the free one where it would stand."""
    key = np.int64(node) << 8 | np.int64(byte)
    slot = ((key * _GOLDEN) >> 30) & (branches.size - 1)
    while branches[slot] >= 0 and branches[slot] != key:
        slot = (slot + 1) & (branches.size - 1)
    return slot


@njit(cache=True, nogil=True)
def _plant(text: Any, ends: Any, token_ids: Any, branches: Any, nodes: Any, ids: Any) -> None:
    """Fills the tree: open addressing from node << 8 | byte to the node behind it, 0 the root."""
    count = 1
    for token in range(token_ids.size):
        node = np.int64(0)
        for i in range(ends[token], ends[token + 1]):
            slot = _branch(branches, node, text[i])
            if branches[slot] < 0:
                branches[slot] = np.int64(node) << 8 | np.int64(text[i])
                nodes[slot] = count
                count += 1
            node = np.int64(nodes[slot])
        ids[node] = token_ids[token]


@njit(cache=True, nogil=True)
def _encode_whole(
    text: Any,
    ends: Any,
    classes: Any,
    pattern: int,
    branches: Any,
    nodes: Any,
    ids: Any,
    unknown: int,
    out: Any,
    id_ends: Any,
) -> None:
    at, count = np.int64(0), np.int64(0)
    for document in range(ends.size):
        end = ends[document]
        while at < end:
            stop = piece_end(text, at, end, classes, pattern)
            while at < stop:
                node, place = np.int64(0), at
                found, found_end = np.int32(-1), at + 1
                while place < stop:
                    slot = _branch(branches, node, text[place])
                    if branches[slot] < 0:
                        break
                    node = np.int64(nodes[slot])
                    place += 1
                    if ids[node] >= 0:
                        found, found_end = ids[node], place
                if unknown >= 0 and found_end < stop:
                    found, found_end = np.int32(unknown), stop
                elif unknown >= 0 and found < 0:
                    found = np.int32(unknown)
                if found >= 0:
                    out[count] = found
                    count += 1
                at = found_end
        id_ends[document] = count
