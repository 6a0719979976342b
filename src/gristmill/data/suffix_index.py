"""A suffix array over token shards: where any run of tokens stands in the training text.

The suffixes of all documents, each cut off at its own end of text, in lexicographic order (Manber
and Myers 1990). A suffix that is another's beginning comes first; equal ones stand in the order
of their places. What a query shares with the text is found by binary search in the memory-mapped
array, 4 bytes for each token, with no other file to read than the shards themselves.

Built by prefix doubling (Larsson and Sadakane 2007) in stretches of bounded size: beside the array
itself only a rank (4 bytes) and a mark (1 byte) for each token are held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.core.progress import Progress, Silent
from gristmill.tokenizer.shards import TokenShards

INDEX = "index.json"
SUFFIXES = "suffixes.bin"
COUNTS = "counts.bin"

Places = npt.NDArray[np.int64]

_STRETCH = 1 << 22
"""Suffixes that are sorted at once."""
_MOST = (1 << 32) - 2
_WINDOW = 16
_QUERY = 4096


def build(
    tokens_folder: Path | str,
    out_folder: Path | str,
    *,
    split: str = "train",
    stretch: int = _STRETCH,
    bar: Progress | None = None,
) -> dict[str, Any]:
    """Writes `suffixes.bin`, `counts.bin` and `index.json` below `out_folder`; returns the last.

    The bytes depend on the tokens alone, not on `stretch` (suffixes sorted at once). `bar`
    advances by tokens. Raises GristmillError where there are 2^32 tokens or more.
    """
    shards, out = TokenShards.open(tokens_folder, split), Path(out_folder)
    n = len(shards)
    if n > _MOST:
        raise GristmillError(
            f"{n:,} tokens are too many for one index", mend="index fewer shards at a time"
        )
    bar = bar or Silent()
    out.mkdir(parents=True, exist_ok=True)
    counts = np.zeros(shards.vocab_size, dtype=np.int64)
    for _, ids in _blocks(shards, stretch, 0):
        counts += np.bincount(ids, minlength=shards.vocab_size)
    ends = int(counts[shards.eot_id])
    entries = n - ends
    bar.total(2 * entries)
    if entries:
        suffixes = np.memmap(out / SUFFIXES, dtype="<u4", mode="w+", shape=(entries,))
        _sort(shards, suffixes, ends, stretch, bar)
        suffixes.flush()
    else:
        (out / SUFFIXES).write_bytes(b"")
    counts.astype("<i8").tofile(out / COUNTS)
    described = {"split": split, "tokens": n, "suffixes": entries, "vocab_size": shards.vocab_size}
    write_json(out / INDEX, described)
    return described


def _blocks(
    shards: TokenShards, size: int, ahead: int
) -> Iterator[tuple[int, npt.NDArray[np.integer]]]:
    """Stretches of the split with `ahead` more tokens behind each, fewer at the end."""
    for start in range(0, len(shards), size):
        length = min(size + ahead, len(shards) - start)
        yield start, shards.tokens(start, length, np.int64)


def _keys(ids: npt.NDArray[np.integer], eot: int, bits: int, width: int, count: int) -> Places:
    """The first `width` tokens at each of the first `count` places as one number, int64 (count,).

    A token counts as its id plus one; from the end of text on there are zeros.
    """
    padded = np.full(count + width, eot, dtype=np.int64)
    padded[: len(ids)] = ids[: count + width]
    value = np.where(padded == eot, 0, padded + 1)
    keys = np.zeros(count, dtype=np.int64)
    alive = np.ones(count, dtype=np.bool_)
    for k in range(width):
        here = value[k : k + count]
        alive &= here > 0
        keys = (keys << bits) | np.where(alive, here, 0)
    return keys


def _sort(shards: TokenShards, suffixes: Any, ends: int, stretch: int, bar: Progress) -> None:
    n = len(shards)
    bits = int(shards.vocab_size).bit_length()
    width = max(1, 62 // bits)
    rank = np.empty(n, dtype=np.uint32)
    # same[i]: the suffix at place i of the array is not yet told from the one before it.
    same = np.zeros(len(suffixes) + 1, dtype=np.bool_)
    _sort_by_first_tokens(shards, suffixes, rank, same, ends, stretch, bits, width, bar)
    depth = width
    while True:
        left = _refine(suffixes, rank, same, ends, stretch, depth)
        bar.note(f"{depth} tokens deep")
        if not left:
            break
        depth *= 2
    bar.advance(len(suffixes))


def _sort_by_first_tokens(
    shards: TokenShards,
    suffixes: Any,
    rank: npt.NDArray[np.uint32],
    same: npt.NDArray[np.bool_],
    ends: int,
    stretch: int,
    bits: int,
    width: int,
    bar: Progress,
) -> None:
    """Sorts by the first `width` tokens, range of keys by range of keys."""
    eot = shards.eot_id
    shift = max(0, bits * width - 20)
    histogram = np.zeros((1 << (bits * width - shift)) + 1, dtype=np.int64)
    end_number = 0
    for start, ids in _blocks(shards, stretch, width):
        count = min(stretch, len(shards) - start)
        keys = _keys(ids, eot, bits, width, count)
        histogram += np.bincount(keys >> shift, minlength=len(histogram))
        # Ends of text rank below all suffixes, in their order: nothing is compared across them.
        at = np.flatnonzero(ids[:count] == eot)
        rank[start + at] = np.arange(end_number, end_number + len(at))
        end_number += len(at)
    histogram[0] -= ends  # a suffix that begins with the end of text is not one
    done = 0
    for low, high in _ranges(histogram, stretch):
        found, found_keys = [], []
        for start, ids in _blocks(shards, stretch, width):
            count = min(stretch, len(shards) - start)
            keys = _keys(ids, eot, bits, width, count)
            bins = keys >> shift
            chosen = np.flatnonzero((bins >= low) & (bins < high) & (ids[:count] != eot))
            found.append(start + chosen)
            found_keys.append(keys[chosen])
        places, keys = np.concatenate(found), np.concatenate(found_keys)
        order = np.argsort(keys, kind="stable")
        places, keys = places[order], keys[order]
        # A last field of zero: the text ended before it, so equal keys are equal suffixes, and
        # their order is that of their places.
        whole = (keys & ((1 << bits) - 1)) == 0
        equal = np.zeros(len(keys), dtype=np.bool_)
        equal[1:] = (keys[1:] == keys[:-1]) & ~whole[1:]
        index = np.arange(done, done + len(places))
        suffixes[done : done + len(places)] = places
        same[done : done + len(places)] = equal
        rank[places] = ends + np.maximum.accumulate(np.where(equal, 0, index))
        done += len(places)
        bar.advance(len(places))


def _ranges(histogram: Places, stretch: int) -> Iterator[tuple[int, int]]:
    """Neighbouring bins that together hold at most `stretch`, or one bin that holds more."""
    low, held = 0, 0
    for bin_number in np.flatnonzero(histogram):
        count = int(histogram[bin_number])
        if held and held + count > stretch:
            yield low, int(bin_number)
            low, held = int(bin_number), 0
        held += count
    if held:
        yield low, len(histogram)


def _refine(
    suffixes: Any,
    rank: npt.NDArray[np.uint32],
    same: npt.NDArray[np.bool_],
    ends: int,
    stretch: int,
    depth: int,
) -> bool:
    """Tells suffixes of equal rank, alike in their first `depth` tokens, apart by what follows.

    Returns whether any are left. What follows is a suffix or an end of text: it has a rank, and
    one that was refined a moment ago serves as well as the old one.
    """
    n, left, low = len(suffixes), False, 0
    while low < n:
        high = min(n, low + stretch)
        if high < n and same[high]:
            high += int(np.argmin(same[high:]))  # same[n] is False: the group ends somewhere
        open_ = same[low:high] | same[low + 1 : high + 1]
        index = low + np.flatnonzero(open_)
        if len(index):
            places = np.asarray(suffixes[index], dtype=np.int64)
            group = np.cumsum(~same[index]).astype(np.uint64)
            key = (group << np.uint64(32)) | rank[places + depth].astype(np.uint64)
            order = np.argsort(key)
            key, places = key[order], places[order]
            equal = np.zeros(len(key), dtype=np.bool_)
            equal[1:] = key[1:] == key[:-1]
            suffixes[index] = places
            same[index] = equal
            rank[places] = ends + np.maximum.accumulate(np.where(equal, 0, index))
            left = left or bool(equal.any())
        low = high
    return left


@dataclass(frozen=True)
class SuffixIndex:
    """An index, memory-mapped, with the shards that it is over."""

    shards: TokenShards
    suffixes: npt.NDArray[np.uint32]
    """The places of all suffixes in order."""
    counts: Places
    """How often each id stands in the split, int64 (vocab_size,)."""

    @classmethod
    def open(cls, folder: Path | str, tokens_folder: Path | str) -> SuffixIndex:
        """Raises GristmillError where there is none, DamagedArtifact for a file of wrong size."""
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise GristmillError("no index here", where=folder, mend="run data index")
        described = read_json(folder / INDEX)
        shards = TokenShards.open(tokens_folder, described["split"])
        if len(shards) != described["tokens"]:
            raise GristmillError(
                "the index is over other tokens", where=folder, mend="run data index again"
            )
        path, entries = folder / SUFFIXES, described["suffixes"]
        if not path.is_file() or path.stat().st_size != 4 * entries:
            raise DamagedArtifact(f"does not hold {entries} suffixes", where=path)
        # A map of nothing cannot be made.
        suffixes = np.memmap(path, dtype="<u4", mode="r") if entries else np.empty(0, "<u4")
        counts = np.fromfile(folder / COUNTS, dtype="<i8")
        return cls(shards, np.asarray(suffixes), counts)

    def __len__(self) -> int:
        return len(self.suffixes)

    def longest(self, query: npt.ArrayLike) -> Places:
        """How many tokens from each place of the query stand somewhere in one document.

        query: ids, length m; an end of text in it matches nothing. Returns int64 (m,).
        """
        ids = np.asarray(query, dtype=np.int64)
        lengths = np.zeros(len(ids), dtype=np.int64)
        for start in range(0, len(ids) if len(self) else 0, _QUERY):
            begins = np.arange(start, min(start + _QUERY, len(ids)))
            wanted = len(ids) - begins
            place = self._lower_bound(ids, begins, wanted)
            for neighbour in (place - 1, place):
                inside = (neighbour >= 0) & (neighbour < len(self))
                at = self.suffixes[np.clip(neighbour, 0, len(self) - 1)].astype(np.int64)
                common, _ = self._compare(ids, begins, wanted, at)
                lengths[begins] = np.maximum(lengths[begins], np.where(inside, common, 0))
        return lengths

    def find(self, query: npt.ArrayLike) -> tuple[int, int]:
        """The range of `suffixes` that begin with the whole query; empty where none does."""
        ids = np.asarray(query, dtype=np.int64)
        if not len(self) or not len(ids):
            return (0, len(self))
        low, high = self.ranges(ids, np.zeros(1, dtype=np.int64), np.full(1, len(ids)))
        return int(low[0]), int(high[0])

    def ranges(
        self, query: npt.ArrayLike, begins: Places, lengths: Places
    ) -> tuple[Places, Places]:
        """`find` for many pieces of one query at once: where each begins, and its tokens."""
        ids = np.asarray(query, dtype=np.int64)
        low = self._lower_bound(ids, begins, lengths)
        return low, self._lower_bound(ids, begins, lengths, after=True)

    def _lower_bound(
        self, ids: Places, begins: Places, wanted: Places, after: bool = False
    ) -> Places:
        """For each `begins` the first suffix that is not smaller than the query's `wanted` tokens.

        after: the first one behind those that begin with them. All queries are searched at once.
        """
        low = np.zeros(len(begins), dtype=np.int64)
        high = np.full(len(begins), len(self), dtype=np.int64)
        while (active := np.flatnonzero(low < high)).size:
            middle = (low[active] + high[active]) // 2
            at = self.suffixes[middle].astype(np.int64)
            common, smaller = self._compare(ids, begins[active], wanted[active], at)
            right = smaller | ((common == wanted[active]) if after else False)
            low[active] = np.where(right, middle + 1, low[active])
            high[active] = np.where(right, high[active], middle)
        return low

    def _compare(
        self, ids: Places, begins: Places, wanted: Places, at: Places
    ) -> tuple[Places, npt.NDArray[np.bool_]]:
        """Tokens in common of the query at `begins` with the text at `at`, up to `wanted`.

        Second: whether the text is the smaller; false where all that is wanted is in common.
        """
        eot = self.shards.eot_id
        common = np.zeros(len(begins), dtype=np.int64)
        smaller = np.zeros(len(begins), dtype=np.bool_)
        active = np.arange(len(begins))
        width = _WINDOW
        while active.size:
            step = np.arange(width)
            done = common[active]
            text = self._gather(at[active] + done, width)
            place = begins[active, None] + done[:, None] + step
            asked = ids[np.minimum(place, len(ids) - 1)]
            # Over the end of what is wanted nothing is equal.
            stops = (done[:, None] + step) >= wanted[active, None]
            differs = (text != asked) | stops | (text == eot)
            first = np.where(differs.any(axis=1), differs.argmax(axis=1), width)
            common[active] += first
            settled = first < width
            rows, cells = active[settled], first[settled]
            text_token = text[settled, cells]
            asked_token = asked[settled, cells]
            smaller[rows] = ~stops[settled, cells] & (
                (text_token == eot) & (asked_token != eot)
                | ((text_token < asked_token) & (text_token != eot) & (asked_token != eot))
            )
            active = active[~settled]
            width = min(4096, 4 * width)
        return common, smaller

    def _gather(self, starts: Places, width: int) -> Places:
        """Rows of tokens, int64 (len(starts), width); behind a shard's end its last, an end."""
        maps, firsts = self._maps
        rows = np.empty((len(starts), width), dtype=np.int64)
        shard = np.searchsorted(firsts, starts, side="right") - 1
        for number in np.unique(shard):
            chosen = np.flatnonzero(shard == number)
            local = (starts[chosen] - firsts[number])[:, None] + np.arange(width)
            rows[chosen] = maps[number][np.minimum(local, len(maps[number]) - 1)]
        return rows

    @cached_property
    def _maps(self) -> tuple[list[npt.NDArray[Any]], Places]:
        shards = self.shards
        filled = [(name, tokens) for name, tokens in shards.shards if tokens]
        maps = [np.memmap(shards.folder / name, dtype=shards.dtype, mode="r") for name, _ in filled]
        firsts = np.cumsum([0, *(tokens for _, tokens in filled)], dtype=np.int64)[:-1]
        return [np.asarray(one) for one in maps], firsts
