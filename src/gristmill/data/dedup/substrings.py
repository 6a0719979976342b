"""Long passages that stand in a corpus more than once, cut out of all documents but one.

A passage of at least so many bytes stays in the document of the smallest id, where it stands first
there, and in no other: the same for every order of documents. A text of an earlier snapshot goes
before all others and loses nothing. A passage that overlaps with its own next occurrence (a row of
dashes) loses what does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.core.progress import track
from gristmill.data.dedup.columns import Column, Flags, Rows
from gristmill.data.dedup.corpus_texts import Corpus
from gristmill.data.dedup.repeats import END, entries, mark_repeats, ranges
from gristmill.data.documents import DocumentSet
from gristmill.data.ngrams import Bytes, Hashes, text_buffer

_NO_ROW = -1


@dataclass(frozen=True)
class SubstringSettings:
    """least: bytes of UTF-8 from which on a passage counts. stretch: bytes that are sorted at once,
    about ten bytes of memory each."""

    least: int = 400
    stretch: int = 1 << 25


@dataclass(frozen=True)
class Removed:
    """ranges: first byte and the one behind the last, of one text, ascending."""

    ranges: npt.NDArray[np.int64]

    def apply(self, text: str) -> tuple[str, list[str]]:
        """The text without them, and what was taken. Where it was cut one space or line break
        stays, or a blank line, whatever stood on both sides."""
        data = text.encode("utf-8", "surrogatepass")
        taken: list[str] = []
        out, done = "", 0
        for first, last in self.ranges.tolist():
            out = _joined(out, taken, _text(data[done:first]))
            taken.append(_text(data[first:last]))
            done = last
        return _joined(out, taken, _text(data[done:])), taken


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _joined(left: str, taken: list[str], right: str) -> str:
    """Both with what parted them, once. taken: the last of it stood between them."""
    if not taken:
        return right
    bare_left, bare_right = left.rstrip(), right.lstrip()
    if not bare_left or not bare_right:
        return bare_left or bare_right
    gone, bare = taken[-1], taken[-1].strip()
    gaps = [left[len(bare_left) :], right[: len(right) - len(bare_right)]]
    gaps += [gone[: gone.find(bare)], gone[gone.find(bare) + len(bare) :]]
    if not any(gaps):
        return left + right
    breaks = min(2, max(gap.count("\n") for gap in gaps))
    return bare_left + ("\n" * breaks or " ") + bare_right


@dataclass(frozen=True)
class SubstringCuts:
    """What is to go, by document. searched: bytes of all texts. documents, bytes: with something to
    cut, and how much."""

    rows: Column
    bounds: Column
    searched: int
    documents: int
    bytes: int

    def part(self, first: int, count: int) -> dict[int, Removed]:
        """Of `count` documents from `first` on those that lose something, by their place."""
        if not len(self.rows):
            return {}
        low, high = self.rows.between(first, first + count)
        rows = self.rows.read(low, high - low) - first
        bounds = self.bounds.read(2 * low, 2 * (high - low)).reshape(-1, 2)
        starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)])
        pieces = np.split(bounds, starts[1:])
        return {int(row): Removed(piece) for row, piece in zip(rows[starts], pieces, strict=False)}


def find_substrings(
    corpus: Corpus,
    keep: Flags,
    settings: SubstringSettings,
    against: Sequence[DocumentSet],
    scratch: Path,
) -> SubstringCuts:
    """Passages that repeat in the documents that are kept, and in those of earlier snapshots.

    scratch: a folder for 5 bytes for each byte of text.
    """
    texts = _Stretches(scratch, settings)
    for snapshot in against:
        for _, table in snapshot.tables(["text"]):
            none = np.zeros(len(table), np.int64)
            texts.add(table["text"].to_pylist(), none + _NO_ROW, none.astype(np.uint64))
    for part, first, count in track(list(corpus.places()), "repeated substrings", unit="parts"):
        here = np.flatnonzero(keep[first : first + count])
        found = corpus.texts.of(part)
        # 0 is that of earlier documents.
        order = np.maximum(corpus.ids.read(first, count)[here], np.uint64(1))
        texts.add([found[row] for row in here], first + here, order)
    return texts.find()


class _Stretches:
    """Texts one after the other in a file, with their places, in stretches of whole documents."""

    def __init__(self, scratch: Path, settings: SubstringSettings):
        self._folder, self._settings = scratch / "substrings", settings
        self._text = Column(self._folder / "text", np.uint8)
        self._entries = Column(self._folder / "entries", "<u4")
        self._rows = Column(self._folder / "rows", "<i8")
        self._order = Column(self._folder / "order", "<u8")
        self._starts = Column(self._folder / "starts", "<i8")
        self._bases, self._bounds, self._documents = [0], [0], [0]
        self._held: list[Bytes] = []

    def add(self, texts: Sequence[str], rows: Rows, order: Hashes) -> None:
        data, offsets = text_buffer(texts)
        lengths = np.diff(offsets)
        starts = np.zeros(len(texts), np.int64)
        first = 0
        while first < len(texts):
            room = self._settings.stretch - sum(map(len, self._held))
            sizes = np.cumsum(lengths[first:] + 1)
            many = int(np.searchsorted(sizes, room, "right"))
            if many == 0:
                if self._held:
                    self._sort()
                    continue
                many = 1  # a document longer than a stretch is one
            last = first + many
            piece = np.full(int(sizes[many - 1]), END, np.uint8)
            inside = np.ones(len(piece), np.bool_)
            inside[sizes[:many] - 1] = False
            piece[inside] = data[offsets[first] : offsets[last]]
            base = self._bases[-1] + sum(map(len, self._held))
            starts[first:last] = base + sizes[:many] - lengths[first:last] - 1
            self._held.append(piece)
            self._starts.append(starts[first:last])
            self._rows.append(rows[first:last])
            self._order.append(order[first:last])
            first = last

    def _sort(self) -> None:
        text = np.concatenate(self._held)
        self._held = []
        found = entries(text, self._settings.least)
        self._text.append(text)
        self._entries.append(found)
        self._bases.append(self._bases[-1] + len(text))
        self._bounds.append(self._bounds[-1] + len(found))
        self._documents.append(len(self._starts))

    def find(self) -> SubstringCuts:
        """The merge of the stretches, and what is to go."""
        if self._held:
            self._sort()
        cuts = Column(self._folder / "cut-rows", "<i8"), Column(self._folder / "cuts", "<i8")
        total = self._bases[-1]
        if not len(self._entries):
            return SubstringCuts(*cuts, total - len(self._starts), 0, 0)
        self._starts.append(np.array([total]))
        marks = np.memmap(self._folder / "marks", np.uint8, "w+", shape=(total // 8 + 1,))
        maps = [one.map() for one in (self._text, self._entries, self._starts, self._order)]
        text, found, starts, order = maps
        bounds, bases = np.array(self._bounds), np.array(self._bases[:-1])
        least = self._settings.least
        mark_repeats(text, found, bounds, bases, starts, order, least, marks.view(np.ndarray))
        del maps, text, found, starts, order
        documents = size = 0
        for number, base in enumerate(bases.tolist()):
            first, last = self._documents[number], self._documents[number + 1]
            gone = ranges(
                self._text.read(base, self._bases[number + 1] - base),
                base,
                marks.view(np.ndarray),
                self._starts.read(first, last - first + 1),
                least,
            )
            rows = self._rows.read(first, last - first)[gone[:, 0]]
            cuts[0].append(rows)
            cuts[1].append(gone[:, 1:].ravel())
            documents += len(np.unique(rows))
            size += int(np.sum(gone[:, 2] - gone[:, 1]))
        del marks
        return SubstringCuts(*cuts, total - len(self._rows), documents, size)


def repeated_passages(
    texts: Iterable[Sequence[str]], settings: SubstringSettings, scratch: Path
) -> Iterator[dict[int, Removed]]:
    """For texts that are no document set, part by part: what goes of each, by its place. A passage
    stays where it stands first."""
    stretches = _Stretches(scratch, settings)
    counts = [0]
    for part in texts:
        rows = np.arange(counts[-1], counts[-1] + len(part))
        stretches.add(part, rows, rows.astype(np.uint64) + np.uint64(1))
        counts.append(counts[-1] + len(part))
    found = stretches.find()
    for first, last in pairwise(counts):
        yield found.part(first, last - first)
