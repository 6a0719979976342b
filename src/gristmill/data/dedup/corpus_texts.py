"""A document set as deduplication reads it: without the lines that its sites repeat.

What is known of a document while its text is not in memory stands in columns on disk, 36 to 44
bytes a document; in memory are a part and a flag or a group number of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.core.errors import GristmillError
from gristmill.core.progress import track
from gristmill.data.dedup.columns import Column, Flags, Rows, groups_of
from gristmill.data.dedup.exact import (
    Normalisation,
    address_numbers,
    digest_numbers,
    site_numbers,
    text_digest,
)
from gristmill.data.dedup.line_counts import LinesPart, repeated_lines
from gristmill.data.dedup.lines import RepeatedLines, Unit, remove_lines
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.local import LocalEngine
from gristmill.data.engine.steps import Engine
from gristmill.data.ngrams import Hashes, Offsets, Texts

Cut = tuple[str, str | None, str, list[str]]
_ONE = np.uint64(1)
ALONE = LocalEngine(1)

WORKERS_FROM = 1_000_000_000
"""Letters that take some 15 CPU seconds to read, count and sign; workers are started three times,
which takes each of them a second or two."""
PARTITION_LETTERS = 1 << 24
"""Letters whose lines are counted at once: some 400,000 lines of 16 bytes."""


@dataclass(frozen=True)
class LineSettings:
    """share, min_pages: on how much of a site a unit must stand, and on at least how many pages.
    corpus_pages: on so many pages of the corpus it is repeated too; 0: it never is."""

    unit: Unit = "line"
    share: float = 0.2
    min_pages: int = 5
    min_letters: int = 8
    corpus_pages: int = 0


@dataclass(frozen=True)
class CurrentTexts:
    """The texts of a document set without the lines in `repeated`, a folder, or as they are. Small:
    it is sent to workers."""

    documents: DocumentSet
    repeated: Path | None = None

    def of(self, part: str) -> list[str]:
        """The part's texts."""
        return [text if new is None else new for text, new, _, _ in self.cuts(part)]

    def chosen(self, part: str, rows: Rows) -> list[str]:
        """Some of the part's texts, by their places."""
        texts = self.of(part)
        return [texts[row] for row in rows.tolist()]

    def cuts(self, part: str) -> Iterator[Cut]:
        """Each text of the part, its new text or None, its site, and the lines taken out."""
        table = self.documents.read(part, ["host", "text"])
        hosts, texts = table["host"].to_pylist(), table["text"].to_pylist()
        if self.repeated is None or not texts:
            yield from ((text, None, host, []) for host, text in zip(hosts, texts, strict=True))
            return
        found = _lines_in(self.repeated)
        marks, starts = _marks(found, site_numbers(hosts), table["text"])
        # A text has at least one line, if an empty one.
        marked = np.logical_or.reduceat(marks, starts[:-1])
        for place, (host, text) in enumerate(zip(hosts, texts, strict=True)):
            gone: list[str] = []
            new = None
            if marked[place]:
                drop = marks[starts[place] : starts[place + 1]].tolist()
                new = remove_lines(text, drop, gone.append)
            yield text, new, host, gone


Found = list[tuple[RepeatedLines, bool]]
"""Lines repeated in sites, and in the corpus as a whole (True), as if it were one site."""


def _keep_lines(folder: Path, found: Found) -> None:
    """Writes repeated lines, so that workers need not be sent them."""
    folder.mkdir()
    for number, (lines, whole) in enumerate(found):
        np.savez(
            folder / f"{number}.npz",
            keys=lines.keys,
            counts=lines.counts,
            sites=lines.sites,
            needed=lines.needed,
            how=np.array([lines.min_letters, lines.unit == "paragraph", whole]),
        )


@lru_cache(1)
def _lines_in(folder: Path) -> Found:
    """What `_keep_lines` wrote; held for the next part."""
    found: Found = []
    for number in range(len(list(folder.iterdir()))):
        with np.load(folder / f"{number}.npz") as one:
            letters, paragraph, whole = one["how"].tolist()
            unit: Unit = "paragraph" if paragraph else "line"
            keys, counts, sites, needed = map(one.get, ("keys", "counts", "sites", "needed"))
            found.append((RepeatedLines(keys, counts, sites, needed, letters, unit), bool(whole)))
    return found


def _marks(found: Found, sites: Hashes, texts: Texts) -> tuple[Flags, Offsets]:
    everywhere = np.full(len(sites), _ONE)
    each = [lines.marks(everywhere if one else sites, texts) for lines, one in found]
    marks, starts = each[0]
    for more, _ in each[1:]:
        marks = marks | more
    return marks, starts


@dataclass
class Corpus:
    """counts: documents of each part. texts: as they are given out. lengths, digests (two halves):
    letters and `text_digest` of these. ids: the 16 hexadecimal letters as a number. addresses:
    where asked for. letters: of all texts as they were read."""

    documents: DocumentSet
    counts: list[int]
    texts: CurrentTexts
    ids: Column
    sites: Column
    lengths: Column
    digests: tuple[Column, Column]
    addresses: Column | None
    letters: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def repeated(self) -> bool:
        """Whether any line was taken out."""
        return self.texts.repeated is not None

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Each part with the number of its first document and its documents."""
        firsts = accumulate(self.counts, initial=0)
        return zip(self.documents.parts, firsts, self.counts, strict=False)


def worth_workers(engine: Engine, corpus: Corpus) -> bool:
    """Whether a step over the corpus goes through the engine: where there is more to do than it
    takes to start worker processes."""
    if isinstance(engine, LocalEngine):
        return engine.workers > 1 and corpus.letters >= WORKERS_FROM
    return True


def read_corpus(
    documents: DocumentSet,
    normalisation: Normalisation,
    units: list[LineSettings],
    scratch: Path,
    addresses: bool = False,
    engine: Engine = ALONE,
) -> Corpus:
    """Reads everything once; again to count lines, and what repeated lines are taken out of.

    units: what is looked for in sites and in the corpus. addresses: note them too. scratch: a
    folder for the columns, and for the lines while they are counted.
    """
    corpus = Corpus(
        documents,
        [],
        CurrentTexts(documents),
        Column(scratch / "ids", "<u8"),
        Column(scratch / "sites", "<u8"),
        Column(scratch / "lengths", "<u4"),
        (Column(scratch / "digests-0", "<u8"), Column(scratch / "digests-1", "<u8")),
        Column(scratch / "addresses", "<u8") if addresses else None,
    )
    # A page under two designs is one page for its lines, whatever counts as an exact copy.
    layout = Column(scratch / "pages", "<u8") if normalisation != "whitespace" else None
    for part in track(documents.parts, "exact copies", unit="parts"):
        table = documents.read(part, ["id", "host", "text", *(["url"] if addresses else [])])
        texts = table["text"].to_pylist()
        corpus.counts.append(table.num_rows)
        corpus.ids.append(id_numbers(table["id"]))
        corpus.sites.append(site_numbers(table["host"].to_pylist()))
        lengths = pc.utf8_length(table["text"]).to_numpy()
        corpus.letters += int(lengths.sum())
        corpus.lengths.append(lengths)
        halves = digest_numbers(text_digest(text, normalisation) for text in texts)
        for column, half in zip(corpus.digests, halves, strict=True):
            column.append(half)
        if layout is not None and units:
            layout.append(digest_numbers(map(text_digest, texts))[0])
        if corpus.addresses is not None:
            corpus.addresses.append(address_numbers(table["url"].to_pylist()))
    if units:
        pages = corpus.digests[0] if layout is None else layout
        found = _repeated(corpus, pages, units, engine, scratch)
        if found:
            _keep_lines(scratch / "repeated", found)
            corpus.texts = CurrentTexts(documents, scratch / "repeated")
            if not _without_lines(corpus, normalisation):
                corpus.texts = CurrentTexts(documents)
    return corpus


def id_numbers(ids: pa.Array | pa.ChunkedArray) -> Hashes:
    """`document_id`s as numbers, in the same order: uint64[ids].

    Raises GristmillError for an id that is none.
    """
    names = ids.to_pylist()
    numbers = np.zeros(len(names), np.uint64)
    for place, name in enumerate(names):
        try:
            number = int(name, 16)
        except ValueError:
            number = -1
        if number < 0 or f"{number:016x}" != name:
            raise GristmillError(f"'{name}' is no document's id: 16 of 0123456789abcdef")
        numbers[place] = number
    return numbers


def id_names(numbers: Hashes) -> list[str]:
    """The ids of which these are the numbers."""
    return [f"{number:016x}" for number in numbers.tolist()]


def _repeated(
    corpus: Corpus, pages: Column, units: list[LineSettings], engine: Engine, scratch: Path
) -> Found:
    """Lines are counted in one page of each text of a site, that of the smallest id."""
    counted = [(unit, False) for unit in units]
    counted += [(unit, True) for unit in units if unit.corpus_pages]
    own = np.arange(len(corpus), dtype=np.int64)
    chosen = {False: groups_of([pages, corpus.sites], corpus.ids) == own}
    if any(whole for _, whole in counted):
        chosen[True] = groups_of([pages], corpus.ids) == own
    del own
    used = engine if worth_workers(engine, corpus) else ALONE
    found = []
    for number, (unit, whole) in enumerate(counted):
        share, least = (0.0, unit.corpus_pages) if whole else (unit.share, unit.min_pages)
        repeated = repeated_lines(
            used,
            corpus.documents,
            _line_parts(corpus, chosen[whole], whole),
            share=share,
            min_pages=least,
            min_letters=unit.min_letters,
            unit=unit.unit,
            folder=scratch / f"lines-{number}",
            partitions=min(1 + corpus.letters // PARTITION_LETTERS, 256),
            isolate=False,
        )
        if repeated:
            found.append((repeated, whole))
    return found


def _line_parts(corpus: Corpus, chosen: Flags, whole: bool) -> Iterator[LinesPart]:
    for part, first, count in track(list(corpus.places()), "repeated lines", unit="parts"):
        sites = corpus.sites.read(first, count)
        here = np.flatnonzero(chosen[first : first + count] & (whole | (sites > 0)))
        yield LinesPart(part, here, np.full(len(here), _ONE) if whole else sites[here])


def _without_lines(corpus: Corpus, normalisation: Normalisation) -> bool:
    """Whether any text has a repeated line; notes the new lengths and digests."""
    any_new = False
    for part, first, count in corpus.places():
        lengths = corpus.lengths.read(first, count)
        halves = [column.read(first, count) for column in corpus.digests]
        changed = []
        for place, (_, text, _, _) in enumerate(corpus.texts.cuts(part)):
            if text is not None:
                lengths[place] = len(text)
                changed.append((place, text_digest(text, normalisation)))
        if not changed:
            continue
        any_new = True
        places = np.array([place for place, _ in changed])
        new = digest_numbers(digest for _, digest in changed)
        for half, column, values in zip(halves, corpus.digests, new, strict=True):
            half[places] = values
            column.write(first, half)
        corpus.lengths.write(first, lengths)
    return any_new
