"""Spans of a text that stand in the training text, and which of them are worth telling.

Spans are found by tokens and grown by bytes: a word at the edge of a text is tokenized otherwise
than the same word inside a document (`The` without the space before it), so at both ends a span
goes on letter by letter, as far as the document goes with it.

Any text shares short runs with any large corpus. What that comes to is measured on held-out
pages, which nobody trained on: a finding is a span as improbable as only one in 200 of theirs, by
the frequencies of its tokens alone. A finding is a match. It does not say that the model wrote it
because of that page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.data.suffix_index import SuffixIndex
from gristmill.tokenizer.shards import TokenShards
from gristmill.tokenizer.tokenizer import Tokenizer

Ids = npt.NDArray[np.int64]

QUANTILE = 0.995
_FEWEST_SPANS = 200
_CHANCE_TOKENS = 60_000
_MOST_PLACES = 200
"""Occurrences of one span that are looked at one by one."""
_GROWN_PLACES = 32
"""Of these, how many to see how far the span goes on; a long one has few."""
_CLOSING = ".,;:!?)]}»”…"
_EDGE_TOKENS = 12
"""Tokens at an edge that may be cut otherwise in the documents."""
_SPACED_SCRIPTS = 0x0E00
"""Letters below (Latin, Greek, Cyrillic, Arabic, Indic) come in words with spaces between."""


@dataclass(frozen=True)
class Span:
    """A longest run: query tokens `start` to `end` stand in a document, and no longer run does."""

    start: int
    end: int
    low: int
    high: int
    """The suffixes that begin with it are `index.suffixes[low:high]`."""
    bits: float
    """Improbability: minus the binary logarithm of the product of its tokens' frequencies."""

    @property
    def tokens(self) -> int:
        """How long it is."""
        return self.end - self.start

    @property
    def count(self) -> int:
        """How often it stands in the training text, copies of a document included."""
        return self.high - self.low


@dataclass(frozen=True)
class TextSpan:
    """A span of a text, in characters, grown by bytes and cut to whole words."""

    start: int
    end: int
    tokens: int
    """Tokens of the text that lie in it, by one byte at least."""
    bits: float


@dataclass(frozen=True)
class Places:
    """Where a span stands in the training text."""

    count: int
    """How often, copies of a document included."""
    at_least: bool
    """Whether only a part of the occurrences was looked at, so that there may be more."""
    tokens: tuple[tuple[int, int], ...]
    """For each occurrence, at most 200, its first whole token and the token after its last."""


@dataclass(frozen=True)
class Chance:
    """What held-out text shares with the training text."""

    bits: float
    """The improbability that one in 200 of its spans reaches: from here on a span is a finding."""
    spans: int
    documents: int

    def to_json(self) -> dict[str, Any]:
        return {"bits": self.bits, "spans": self.spans, "documents": self.documents}


def find_spans(index: SuffixIndex, ids: npt.ArrayLike) -> list[Span]:
    """The maximal runs of `ids` that stand in a document, in order; none lies inside another."""
    query = np.asarray(ids, dtype=np.int64)
    lengths = index.longest(query)
    ends = np.arange(len(query)) + lengths
    # Where a run from here ends no later than the one before, it is that one's tail.
    longest = np.ones(len(query), dtype=np.bool_)
    longest[1:] = ends[1:] > ends[:-1]
    starts = np.flatnonzero(longest & (lengths > 0))
    if not len(starts):
        return []
    low, high = index.ranges(query, starts, lengths[starts])
    sums = np.concatenate([[0.0], np.cumsum(_information(index, query))])
    return [
        Span(int(a), int(b), int(x), int(y), float(sums[b] - sums[a]))
        for a, b, x, y in zip(starts, ends[starts], low, high, strict=True)
    ]


def measure_chance(index: SuffixIndex, held_out: TokenShards | None) -> Chance:
    """How improbable the longest runs of held-out documents are, evenly chosen among them.

    Where fewer than 200 spans are to be had, the bits are four times what would tell every place
    of the training text from every other.
    """
    bits: list[float] = []
    chosen: list[int] = []
    if held_out is not None and held_out.total_documents:
        step = max(1, math.ceil(len(held_out) / _CHANCE_TOKENS))
        starts = held_out.document_starts
        chosen = list(range(0, len(starts), step))
        edges = np.append(starts, len(held_out))
        pieces = [held_out.tokens(int(edges[i]), int(edges[i + 1] - edges[i])) for i in chosen]
        # An end of text between them matches nothing, so that no run goes from one to the next.
        bits = [span.bits for span in find_spans(index, np.concatenate(pieces))]
    if len(bits) < _FEWEST_SPANS:
        return Chance(round(4 * math.log2(max(2, len(index))), 1), len(bits), len(chosen))
    return Chance(round(float(np.quantile(bits, QUANTILE)), 1), len(bits), len(chosen))


@dataclass(frozen=True)
class TracedText:
    """A text, its tokens and how improbable each is."""

    text: str
    data: bytes
    ids: Ids
    offsets: Ids
    """The byte at which each token begins, and the last one's end."""
    bits: npt.NDArray[np.float64]
    """Improbability of all tokens before each."""

    @classmethod
    def of(cls, index: SuffixIndex, tokenizer: Tokenizer, text: str) -> TracedText:
        """The text must be what the tokenizer gives back of it."""
        ids = np.array(tokenizer.encode(text), dtype=np.int64)
        sizes = [len(tokenizer.token_bytes(int(i))) for i in ids]
        offsets = np.cumsum([0, *sizes], dtype=np.int64)
        bits = np.concatenate([[0.0], np.cumsum(_information(index, ids))])
        return cls(text, text.encode(), ids, offsets, bits)

    def span(self, start: int, end: int) -> TextSpan:
        """The span of these characters, with the tokens that lie in it by one byte at least."""
        first, last = len(self.text[:start].encode()), len(self.text[:end].encode())
        a = int(np.searchsorted(self.offsets, first, side="right")) - 1
        b = int(np.searchsorted(self.offsets, last, side="left"))
        return TextSpan(start, end, b - a, float(self.bits[b] - self.bits[a]))


def text_spans(index: SuffixIndex, tokenizer: Tokenizer, traced: TracedText) -> list[TextSpan]:
    """The spans of a text, grown at their edges and cut to whole words, in order of their start.

    None lies inside another; they may overlap.
    """
    found = []
    for span in find_spans(index, traced.ids):
        first, last = int(traced.offsets[span.start]), int(traced.offsets[span.end])
        best = (0, 0)
        places = index.suffixes[span.low : min(span.high, span.low + _GROWN_PLACES)]
        for place in places.astype(np.int64).tolist():
            left = _common_before(index, tokenizer, place, traced.data[:first])
            right = _common_after(index, tokenizer, place + span.tokens, traced.data[last:])
            edges = _characters(traced.data, first - left, last + right)
            start, end = _whole_words(traced.text, *edges)
            if end - start > best[1] - best[0]:
                best = (start, end)
        if best[1] > best[0]:
            found.append(traced.span(*best))
    return _not_nested(found)


def choose(
    spans: Sequence[TextSpan], traced: TracedText, bits: float, min_tokens: int | None = None
) -> list[TextSpan]:
    """The findings among spans, none overlapping another, in order.

    A finding has at least `bits` of improbability; a span that is the whole text, half of them:
    that all of it stands in a page is what was asked. Where `min_tokens` is given a finding has
    that many tokens instead. The most improbable come first; what they leave of another, in whole
    words, must still be a finding.
    """
    taken: list[TextSpan] = []
    for span in sorted(spans, key=lambda one: (-one.bits, one.start)):
        start, end = span.start, span.end
        for other in taken:
            if other.start <= start < other.end:
                start = other.end
            if other.start < end <= other.end:
                end = other.start
        start, end = _whole_words(traced.text, start, max(start, end))
        if start >= end or any(start < other.start < end for other in taken):
            continue
        left = span if (start, end) == (span.start, span.end) else traced.span(start, end)
        needed = bits / 2 if traced.text[start:end] == traced.text.strip() else bits
        if left.bits >= needed if min_tokens is None else left.tokens >= min_tokens:
            taken.append(left)
    return sorted(taken, key=lambda one: one.start)


def locate(index: SuffixIndex, tokenizer: Tokenizer, traced: TracedText, span: TextSpan) -> Places:
    """Every occurrence of a span: of the tokens that lie in it whole, with its edges around them.

    Where no token lies in it whole there are none.
    """
    first = len(traced.text[: span.start].encode())
    last = len(traced.text[: span.end].encode())
    a = int(np.searchsorted(traced.offsets, first, side="left"))
    b = int(np.searchsorted(traced.offsets, last, side="right")) - 1
    if a >= b:
        return Places(0, False, ())
    # A word at the edge may be cut otherwise in the documents: without its tokens it is found.
    best = Places(0, False, ())
    for skip in range(_EDGE_TOKENS):
        for begin, end in {(a + skip, b), (a, b - skip), (a + skip, b - skip)}:
            if begin >= end:
                continue
            low, high = index.find(traced.ids[begin:end])
            if low == high:
                continue
            before = traced.data[first : int(traced.offsets[begin])]
            after = traced.data[int(traced.offsets[end]) : last]
            places = index.suffixes[low : min(high, low + _MOST_PLACES)].astype(np.int64)
            kept = []
            for place in np.sort(places).tolist():
                beyond = place + end - begin
                if before and _common_before(index, tokenizer, place, before) < len(before):
                    continue
                if after and _common_after(index, tokenizer, beyond, after) < len(after):
                    continue
                kept.append((place, beyond))
            partly = high - low > len(places)
            count = len(kept) if before or after else high - low
            if count > best.count:
                best = Places(count, partly and bool(before or after), tuple(kept))
        if best.count:
            break
    return best


def _information(index: SuffixIndex, ids: Ids) -> npt.NDArray[np.float64]:
    """Minus the binary logarithm of each token's frequency, one added to each count."""
    total = float(index.counts.sum() + len(index.counts))
    bits: npt.NDArray[np.float64] = -np.log2((index.counts[ids] + 1) / total)
    return bits


def _common_before(index: SuffixIndex, tokenizer: Tokenizer, place: int, before: bytes) -> int:
    """Bytes that stand before `place` in its document as they end `before`."""
    eot, common, width = index.shards.eot_id, 0, 8
    while common < len(before) and place > 0:
        start = max(0, place - width)
        ids = index.shards.tokens(start, place - start)
        stops = np.flatnonzero(ids == eot)
        if len(stops):
            ids = ids[stops[-1] + 1 :]
        piece = tokenizer.decode_bytes(ids)
        rest = before[: len(before) - common]
        n = min(len(piece), len(rest))
        same = 0
        while same < n and piece[-1 - same] == rest[-1 - same]:
            same += 1
        common += same
        if same < len(piece) or len(stops):
            break
        place = start
    return common


def _common_after(index: SuffixIndex, tokenizer: Tokenizer, place: int, after: bytes) -> int:
    """Bytes that stand from `place` on in its document as they begin `after`."""
    eot, common, width, total = index.shards.eot_id, 0, 8, len(index.shards)
    while common < len(after) and place < total:
        ids = index.shards.tokens(place, min(width, total - place))
        stops = np.flatnonzero(ids == eot)
        if len(stops):
            ids = ids[: stops[0]]
        piece = tokenizer.decode_bytes(ids)
        rest = after[common : common + len(piece)]
        same = 0
        while same < len(rest) and piece[same] == rest[same]:
            same += 1
        common += same
        if same < len(piece) or len(stops):
            break
        place += width
    return common


def _characters(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Byte offsets as character offsets; a character that is cut off is left out."""
    while start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    while 0 < end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    end = max(start, end)
    first = len(data[:start].decode())
    return first, first + len(data[start:end].decode())


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The same without words that are cut off, blanks at the edges, and the mark that ends what
    stood before."""
    while start < end and start > 0 and _in_word(text[start - 1]) and _in_word(text[start]):
        start += 1
    while end > start and end < len(text) and _in_word(text[end - 1]) and _in_word(text[end]):
        end -= 1
    while start < end and (text[start].isspace() or text[start] in _CLOSING):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _in_word(letter: str) -> bool:
    return letter.isalnum() and ord(letter) < _SPACED_SCRIPTS


def _not_nested(spans: Sequence[TextSpan]) -> list[TextSpan]:
    """In order of their start, without those inside another; of equals the first."""
    kept: list[TextSpan] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept
