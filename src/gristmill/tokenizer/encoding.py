"""Text to ids: exact BPE in merge order, most of it by looking up what pretokens became before.

Text is worked through in blocks of pretokens, twice: first they are cut and the memory that holds
what they became is asked for, then it is read. Every token starts out as a pretoken that was seen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.tokenizer.eight_bytes import PADDING, kernel, prefetch
from gristmill.tokenizer.kept_pieces import (
    KEPT_BYTES,
    KEPT_IDS,
    MIDDLE_BYTES,
    MIDDLE_IDS,
    find_short,
    keep_long,
    keep_middle,
    keep_short,
    long_slots,
    middle_slots,
    recall_long,
    recall_middle,
    short_key,
    short_slots,
    take_short,
)
from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.piece_merging import (
    Ids,
    check_ids,
    merge_piece,
    merge_tables,
    scratch,
    whole_place,
    whole_tokens,
)
from gristmill.tokenizer.splitter import padded, piece_end
from gristmill.tokenizer.unicode_classes import class_table

Offsets = npt.NDArray[np.int64]

_BLOCK = 256
_LONGEST_PIECE = 4096
_DOCUMENT, _CUT, _COUNT, _LONGEST = range(4)
# Documents are encoded together until there are so many bytes: ids of that many stay in the cache.
_BATCH_BYTES = 1 << 20


class Encoder:
    """Encodes with one vocabulary; may be used from several threads, which then run in parallel.

    byte_ids: int32 (256,), the id of each byte; a byte with -1 is left out of what is encoded.
    merges: int32 (n, 2), pairs of ids in order. merged_ids: int32 (n,), the id that each merge
    makes. whole: bytes of tokens with their ids; a pretoken that is one of them becomes it,
    whatever the merges would make of it. seen: pretokens that are likely, such as the tokens;
    they change no id.
    """

    def __init__(
        self,
        byte_ids: Ids,
        merges: Ids,
        merged_ids: Ids,
        pattern: str,
        whole: Mapping[bytes, int] | None = None,
        seen: Sequence[bytes] = (),
    ):
        self._pattern = pattern_code(pattern)
        self._tables = merge_tables(byte_ids, merges, merged_ids)
        self._kept = short_slots()
        whole = whole or {}
        pieces = [*whole, *(piece for piece in seen if piece not in whole)]
        ids = np.full(len(pieces), -1, dtype=np.int32)
        ids[: len(whole)] = list(whole.values())
        check_ids(ids)
        ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        longest = max(map(len, pieces), default=0)
        out = np.empty(longest + 1 + KEPT_IDS, dtype=np.int32)
        _learn(padded(pieces), ends, ids, self._kept, *self._tables, *scratch(longest), out)
        # Those that their merges make anyway need no look-up.
        self._whole = whole_tokens({pieces[i]: int(ids[i]) for i in np.flatnonzero(ids >= 0)})
        self._local = threading.local()

    def encode(self, text: bytes) -> Ids:
        """The ids of one document."""
        return self.encode_batch([text])[0]

    def encode_batch(self, documents: Sequence[bytes]) -> list[Ids]:
        """The ids of each document; none depends on its neighbours."""
        results: list[Ids] = []
        first = 0
        while first < len(documents):
            size, last = 0, first
            while last < len(documents) and (last == first or size < _BATCH_BYTES):
                size += len(documents[last])
                last += 1
            some = documents[first:last]
            ends = np.cumsum([len(document) for document in some], dtype=np.int64)
            # A bytearray: kernels would be compiled once more for memory that is only read.
            text = np.frombuffer(bytearray().join([*some, bytes(PADDING)]), dtype=np.uint8)
            out, id_ends = self._encode_padded(text, ends)
            start = 0
            for end in id_ends.tolist():
                results.append(out[start:end].copy())
                start = end
            first = last
        return results

    def encode_joined(
        self, text: npt.NDArray[np.uint8], ends: Offsets, end_id: int = -1
    ) -> tuple[Ids, Offsets]:
        """The ids of documents that lie one after the other, and where each one's ids end.

        text: their bytes, uint8. ends: where each ends in them, int64 (documents,). end_id: what
        each document's ids end with, where it is not -1. The same ids as of `encode_batch`,
        without an object for each document.
        """
        chunks, id_ends, before = [np.empty(0, dtype=np.int32)], [ends[:0]], 0
        for ids, part_ends in self.encode_stretches(text, ends, end_id):
            chunks.append(ids.copy())
            id_ends.append(part_ends + before)
            before += ids.size
        return np.concatenate(chunks), np.concatenate(id_ends)

    def encode_stretches(
        self, text: npt.NDArray[np.uint8], ends: Offsets, end_id: int = -1
    ) -> Iterator[tuple[Ids, Offsets]]:
        """The same, of some documents after the other: their ids, in memory that is written over
        when the next are asked for, and where each one's end in these."""
        text = _unlocked(text)
        # So far documents are read where they lie: behind them kernels look at PADDING bytes more.
        inside = int(np.searchsorted(ends, text.size - PADDING, side="right"))
        first = start = 0
        while first < ends.size:
            last = ends.size
            # No small stretch is left over.
            if int(ends[-1]) - start > 2 * _BATCH_BYTES:
                last = int(np.searchsorted(ends, start + _BATCH_BYTES, side="right"))
            last = max(first + 1, min(last, inside) if first < inside else last)
            stop = int(ends[last - 1])
            stretch = text[start : stop + PADDING]
            if last > inside:
                room = self._workspace().room_for(stop - start + PADDING)
                room[: stop - start] = stretch[: stop - start]
                stretch = room
            out, id_ends = self._encode_padded(stretch, ends[first:last] - start, end_id)
            yield out[: int(id_ends[-1])], id_ends
            first, start = last, stop

    def _encode_padded(
        self, text: npt.NDArray[np.uint8], ends: Offsets, end_id: int = -1
    ) -> tuple[Ids, Offsets]:
        """Ids, in an array that the next call writes over, and where each document's end. Behind
        the text there are PADDING bytes, whatever they are."""
        work = self._workspace()
        # What was kept is written by threes, and a piece's bytes before they merge.
        out = work.ids_for(int(ends[-1]) + ends.size + 2 * MIDDLE_IDS)
        id_ends = np.empty(ends.size, dtype=np.int64)
        state = np.zeros(4, dtype=np.int64)
        while not _encode(
            text, ends, class_table(self._pattern), self._pattern, work.kept, work.kept_middle,
            work.kept_long, work.stops, work.keys, *self._tables, *self._whole, *work.scratch,
            out, id_ends, end_id, state,
        ):  # fmt: skip
            work.scratch = scratch(int(state[_LONGEST]))
        return out, id_ends

    def _workspace(self) -> _Workspace:
        work: _Workspace | None = getattr(self._local, "work", None)
        if work is None:
            work = self._local.work = _Workspace(self._kept)
        return work


class _Workspace:
    """What one thread writes to: the pretokens of before, a block of pieces, ids."""

    def __init__(self, kept: npt.NDArray[np.uint64]):
        self.kept = short_slots()
        self.kept[:] = kept
        self.kept_middle = middle_slots()
        self.kept_long = long_slots()
        self.stops = np.empty((_BLOCK, 2), dtype=np.int64)
        self.keys = np.empty((_BLOCK, 2), dtype=np.uint64)
        self.scratch = scratch(_LONGEST_PIECE)
        self._ids = np.empty(0, dtype=np.int32)
        self._text = np.empty(0, dtype=np.uint8)

    def ids_for(self, size: int) -> Ids:
        """Room for so many ids; kept for the next time unless it is unusually large."""
        if size <= self._ids.size:
            return self._ids
        ids = np.empty(size, dtype=np.int32)
        if size <= 4 * _BATCH_BYTES:
            self._ids = ids
        return ids

    def room_for(self, size: int) -> npt.NDArray[np.uint8]:
        """The same for bytes."""
        if size <= self._text.size:
            return self._text
        text = np.empty(size, dtype=np.uint8)
        if size <= 4 * _BATCH_BYTES:
            self._text = text
        return text


def _unlocked(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The same memory as an array of the type for which the kernels are compiled, one that may be
    written to; they only read it, and copying it costs more than reading it."""
    if text.flags.writeable and text.flags.c_contiguous:
        return text
    text = np.ascontiguousarray(text)
    return np.asarray(_Lent(text))


class _Lent:
    """Memory of an array, which it keeps."""

    def __init__(self, array: npt.NDArray[Any]):
        self._array = array
        place, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (place, False)}


@kernel
def _encode(
    text: Any,
    ends: Any,
    classes: Any,
    pattern: int,
    kept: Any,
    kept_middle: Any,
    kept_long: Any,
    stops: Any,
    keys: Any,
    byte_ids: Any,
    byte_pairs: Any,
    pairs: Any,
    merged_ids: Any,
    whole_slots: Any,
    whole_text: Any,
    whole_ends: Any,
    whole_ids: Any,
    ranked: Any,
    following: Any,
    preceding: Any,
    heap: Any,
    out: Any,
    id_ends: Any,
    end_id: int,
    state: Any,
) -> bool:
    """Fills `out` with the ids of all documents, `id_ends` with where each document's ids end.

    Goes on from `state`. False before a piece that is longer than there is room to merge it in:
    state[_LONGEST] says how long.
    """
    room = following.size - 1
    cut, count = state[_CUT], state[_COUNT]
    for document in range(state[_DOCUMENT], ends.size):
        end = ends[document]
        while cut < end:
            at = cut
            pieces = 0
            while cut < end and pieces < _BLOCK:
                stop = piece_end(text, cut, end, classes, pattern)
                if stop - cut > room:
                    if pieces > 0:
                        break
                    state[_DOCUMENT], state[_CUT], state[_COUNT] = document, cut, count
                    state[_LONGEST] = stop - cut
                    return False
                first, second, line = short_key(text, cut, stop - cut)
                prefetch(kept, line)
                stops[pieces, 0], stops[pieces, 1] = stop, line
                keys[pieces, 0], keys[pieces, 1] = first, second
                pieces += 1
                cut = stop
            for piece in range(pieces):
                stop, line = stops[piece, 0], stops[piece, 1]
                first, second = keys[piece, 0], keys[piece, 1]
                slot = find_short(kept, line, first, second)
                if slot >= 0:
                    count += take_short(kept, slot, out, count)
                    at = stop
                    continue
                length = stop - at
                if length <= MIDDLE_BYTES:
                    n = recall_middle(text, at, length, kept_middle, out, count)
                    if n >= 0:
                        if length <= KEPT_BYTES and n <= KEPT_IDS:
                            keep_short(kept, line, first, second, out, count, n, False)
                        count += n
                        at = stop
                        continue
                else:
                    n = recall_long(text, at, stop, kept_long, out, count)
                if n < 0:
                    n = 0
                    if whole_slots.size > 0:
                        token = whole_place(text, at, stop, whole_slots, whole_text, whole_ends)
                        if token >= 0:
                            out[count] = whole_ids[token]
                            n = 1
                    if n == 0:
                        n = merge_piece(
                            text, at, stop, byte_ids, byte_pairs, pairs, merged_ids,
                            ranked, following, preceding, heap, out, count,
                        )  # fmt: skip
                    if length > MIDDLE_BYTES:
                        keep_long(text, at, stop, kept_long, out, count, n)
                    elif n <= MIDDLE_IDS:
                        keep_middle(text, at, length, kept_middle, out, count, n)
                        if length <= KEPT_BYTES and n <= KEPT_IDS:
                            keep_short(kept, line, first, second, out, count, n, False)
                count += n
                at = stop
        if end_id >= 0:
            out[count] = end_id
            count += 1
        id_ends[document] = count
    return True


@kernel
def _learn(
    text: Any,
    ends: Any,
    ids: Any,
    kept: Any,
    byte_ids: Any,
    byte_pairs: Any,
    pairs: Any,
    merged_ids: Any,
    ranked: Any,
    following: Any,
    preceding: Any,
    heap: Any,
    out: Any,
) -> None:
    """Keeps what short pieces become: their id in `ids`, or, where that is -1, what their merges
    make. An id that the merges make as well becomes -1."""
    for piece in range(ids.size):
        at, stop = ends[piece], ends[piece + 1]
        if stop == at:
            continue
        n = merge_piece(
            text, at, stop, byte_ids, byte_pairs, pairs, merged_ids,
            ranked, following, preceding, heap, out, 0,
        )  # fmt: skip
        if n == 1 and out[0] == ids[piece]:
            ids[piece] = -1
        elif ids[piece] >= 0:
            out[0] = ids[piece]
            n = 1
        if stop - at <= KEPT_BYTES and n <= KEPT_IDS:
            first, second, line = short_key(text, at, stop - at)
            keep_short(kept, line, first, second, out, 0, n, True)
