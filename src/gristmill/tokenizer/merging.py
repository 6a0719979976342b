"""Learning the merges of byte-level BPE (Sennrich, Haddow and Birch 2016, algorithm 1).

At every step the most frequent pair of neighbouring tokens becomes a new token. Ties go by a fixed
rule (`ties.Ties`). The result depends on the counted pretokens alone, not on their order.

No two merges make the same bytes. Inside a stretch of text which no merge crosses, merges do not
depend on what stands around it, so a second occurrence of the bytes goes the way of the first.

The work goes in rounds, each down to a count. A pair's count only falls once it is made, so a round
needs no pair that begins below its count: where pairs stand is kept for the others alone, which is
a small part of all, and the next round finds the rest again in words that are shorter by then.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.counting import PretokenCounts
from gristmill.tokenizer.merge_kernels import (
    FULL_EVENTS,
    FULL_PAIRS,
    FULL_PLACES,
    MADE,
    PAIRS,
    PLACED,
    SPELLED,
    heap_pairs,
    merge_on,
    put_pairs,
)
from gristmill.tokenizer.pair_numbers import (
    AHEAD,
    NEXT,
    compact,
    find_places,
    lay_out,
    move_numbered,
    number_bytes,
    number_pairs,
)
from gristmill.tokenizer.ties import Ties

Numbers = npt.NDArray[np.int64]


def learn_merges(
    pretokens: PretokenCounts,
    merges: int,
    *,
    min_frequency: int = 2,
    max_token_length: int | None = 64,
    ties: Ties = "lowest-ids",
) -> tuple[npt.NDArray[np.int32], Numbers]:
    """The pairs to merge, in order, int32 of shape (n, 2), and the count of each when chosen.

    Ids 0 to 255 are the bytes; merge k makes id 256 + k. Fewer than `merges` come back where no
    pair is left that occurs `min_frequency` times and is at most `max_token_length` bytes long
    (None: any length).
    """
    if ties not in get_args(Ties):
        raise GristmillError(
            f"'{ties}' is not a rule for ties", mend=f"choose one of {', '.join(get_args(Ties))}"
        )
    useful = np.flatnonzero(pretokens.lengths > 1)
    lengths = pretokens.lengths[useful]
    size = int(lengths.sum()) + useful.size + 1
    if size >= 2**31:
        raise GristmillError(
            f"the text has {size:,} bytes of distinct pretokens, more than training can hold",
            mend="train on a sample of the documents, or leave rare pretokens out (min_count)",
        )
    symbols = np.empty(size, dtype=np.int32)
    lay_out(pretokens.arena, pretokens.starts[useful], lengths, symbols)
    learning = _Learning(
        symbols,
        pretokens.counts[useful],
        merges,
        max(1, min_frequency),
        2**31 if max_token_length is None else max_token_length,
        ties == "greatest-bytes",
    )
    while learning.round():
        pass
    made = int(learning.state[MADE])
    return learning.learned[:made].copy(), learning.learned_count[:made].copy()


class _Found(NamedTuple):
    """The pairs of a round, most of them too rare: each one's key, the weight of its words and how
    often it stands somewhere; and which of them each slot holds the beginning of."""

    key: Numbers
    weight: Numbers
    often: Numbers
    numbers: npt.NDArray[np.int32]


class _Frequent(NamedTuple):
    """The pairs that a round merges, from 1 on: each one's key, count, and where its places begin
    and how many they are; the places, slot and word. All have room for more."""

    key: Numbers
    counts: Numbers
    first: Numbers
    number: Numbers
    place: npt.NDArray[np.int32]
    place_word: npt.NDArray[np.int32]


class _Learning:
    """What has been learnt so far, and the text as it is by then."""

    def __init__(
        self,
        symbols: npt.NDArray[np.int32],
        weights: Numbers,
        merges: int,
        min_frequency: int,
        max_token_length: int,
        by_bytes: bool,
    ):
        self._symbols, self._size = symbols, symbols.size
        self._weights = weights
        self._min_frequency, self._max_token_length = min_frequency, max_token_length
        self._by_bytes = by_bytes
        vocabulary = 256 + merges
        self.learned = np.empty((merges, 2), dtype=np.int32)
        self.learned_count = np.empty(merges, dtype=np.int64)
        self.state = np.zeros(5, dtype=np.int64)
        self._token_length = np.ones(vocabulary, dtype=np.int64)
        self._spelled = np.arange(256, dtype=np.uint8)
        self._spelled_at = np.arange(vocabulary, dtype=np.int64)
        self.state[SPELLED] = 256
        self._before = np.full(vocabulary, -1, dtype=np.int32)
        self._after = np.full(vocabulary, -1, dtype=np.int32)
        self._fresh = np.empty(8 * vocabulary, dtype=np.int64)
        self._events = [np.empty(1 << 12, dtype=np.int32) for _ in range(3)]

    def round(self) -> bool:
        """Merges down to a count of its own choice; False where there is nothing more to do."""
        left = self.learned_count.size - int(self.state[MADE])
        if left == 0:
            return False
        begins = left == self.learned_count.size
        found = self._pairs_of_bytes() if begins else self._pairs_of_tokens()
        fits = found.weight >= self._min_frequency
        length = self._token_length
        fits &= length[found.key >> 32] + length[found.key & 0xFFFFFFFF] <= self._max_token_length
        fitting = found.weight[fits]
        if fitting.size == 0:
            return False
        # The count of this round: what as many pairs reach as there are tokens to make; in the
        # first round, of pairs of bytes, a fifth of that. Tuned on 98 MB of mixed text at 32,768.
        wanted = max(1, left // 5 if begins else left)
        floor = self._min_frequency
        if fitting.size > wanted:
            floor = int(np.partition(fitting, fitting.size - wanted)[fitting.size - wanted])
        frequent = self._places(found, np.flatnonzero(fits & (found.weight >= floor)))
        del found, fits, fitting
        self._merge(frequent, floor)
        return True

    def _pairs_of_bytes(self) -> _Found:
        numbers = np.empty(self._size, dtype=np.int32)
        sums = np.zeros(2 << 16, dtype=np.int64)
        number_bytes(self._symbols, self._size, self._weights, numbers, sums)
        pairs = np.arange(1 << 16, dtype=np.int64)
        return _Found(pairs >> 8 << 32 | pairs & 0xFF, sums[::2], sums[1::2], numbers)

    def _pairs_of_tokens(self) -> _Found:
        self._size = compact(self._symbols, self._size, self._weights)
        numbers = np.empty(self._size, dtype=np.int32)
        slots = np.empty(AHEAD, dtype=np.int64)
        table = _empty(1 << 16, 4)
        state = np.zeros(3, dtype=np.int64)
        state[NEXT] = 1
        while not number_pairs(
            self._symbols, self._size, self._weights, numbers, table, slots, state
        ):
            larger = _empty(table.size >> 1, 4)
            move_numbered(table, larger)
            table = larger
        rows = table.reshape(-1, 4)
        rows = rows[rows[:, 0] >= 0]
        order = np.empty(len(rows), dtype=np.int64)
        order[rows[:, 1]] = np.arange(len(rows))
        rows = rows[order]
        return _Found(rows[:, 0].copy(), rows[:, 2].copy(), rows[:, 3].copy(), numbers)

    def _places(self, found: _Found, kept: npt.NDArray[np.intp]) -> _Frequent:
        """The pairs of this round, by their numbers among those that were found."""
        pairs = 1 + kept.size
        # Pair 0 stands for all that are too rare.
        pair_of = np.zeros(found.key.size, dtype=np.int32)
        pair_of[kept] = np.arange(1, pairs)
        # Room for the pairs that will be made; growing would copy all of it.
        left = self.learned_count.size - int(self.state[MADE])
        room = 1 << max(2 * pairs, 8 * left).bit_length()
        key, count, first, number = (np.zeros(room, dtype=np.int64) for _ in range(4))
        key[1:pairs], count[1:pairs] = found.key[kept], found.weight[kept]
        number[1:pairs] = found.often[kept]
        ends = np.cumsum(number[:pairs])
        first[:pairs] = ends - number[:pairs]
        self.state[PAIRS], self.state[PLACED] = pairs, ends[-1]
        # Pages of this that are never used take no memory; 2.1 and 2.2 times were used of 98 and of
        # 9.8 MB of text.
        place, place_word = (np.empty(3 * int(ends[-1]) + 64, dtype=np.int32) for _ in range(2))
        find_places(self._size, found.numbers, pair_of, first.copy(), place, place_word)
        return _Frequent(key, count, first, number, place, place_word)

    def _merge(self, frequent: _Frequent, floor: int) -> None:
        """Merges until no pair occurs `floor` times."""
        key, count, first, number, place, place_word = frequent
        state = self.state
        room = key.size
        table = _empty(2 * room, 2)
        put_pairs(key, 1, int(state[PAIRS]), table)
        heap_count, heap_pair = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        ordering = (key, self._by_bytes, self._spelled, self._spelled_at, self._token_length)
        heap_pairs(count, heap_count, heap_pair, *ordering, state)
        while full := merge_on(
            self._symbols, self._weights, self.learned, self.learned_count,
            key, count, first, number, heap_count, heap_pair, table,
            place, place_word, *self._events, self._before, self._after, self._fresh,
            self._by_bytes, self._spelled, self._spelled_at, self._token_length,
            floor, self._max_token_length, state,
        ):  # fmt: skip
            if full == FULL_PAIRS:
                key, count, first, number = map(_grown, (key, count, first, number))
                heap_count, heap_pair = _grown(heap_count), _grown(heap_pair)
                table = _empty(2 * key.size, 2)
                put_pairs(key, 1, int(state[PAIRS]), table)
            elif full == FULL_PLACES:
                place, place_word = _grown(place), _grown(place_word)
            elif full == FULL_EVENTS:
                self._events = [_grown(array) for array in self._events]
            else:
                self._spelled = _grown(self._spelled)


def _empty(entries: int, columns: int) -> Numbers:
    """A table without an entry: the first column of each is -1, the others 0."""
    table = np.zeros((entries, columns), dtype=np.int64)
    table[:, 0] = -1
    return table.reshape(-1)


def _grown(array: Any) -> Any:
    """The same with twice the room."""
    larger = np.empty(array.size * 2, dtype=array.dtype)
    larger[: array.size] = array
    return larger
