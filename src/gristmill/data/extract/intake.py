"""What becomes of a crawl's pages, part by part, wherever the engine runs them; a killed extraction
goes on after the parts that are whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from gristmill.data.engine import Limits
from gristmill.data.engine.steps import Engine
from gristmill.data.extract.step import ExtractPart, ExtractStep, for_elsewhere
from gristmill.data.extract.stored import StoredPage
from gristmill.data.extract.tally import Tally
from gristmill.data.journal import PartJournal
from gristmill.data.sources.shares import Shares

_REJECTS = "extract"


class Intake:
    """Counts of all parts that are whole; begins with those of earlier attempts."""

    def __init__(self, journal: PartJournal):
        self._journal = journal
        self.tally, self.shares = Tally(), Shares()
        self.pages = self.documents = self.characters = 0
        for note in journal.notes():
            self._take_up(note)
        self.taken_over = self.pages
        """Pages that earlier attempts looked at, and that this one is not to be given."""
        self._start = time.monotonic()

    def extract(
        self,
        pages: Iterable[StoredPage],
        step: ExtractStep,
        *,
        part_pages: int,
        part_bytes: int,
        engine: Engine,
        limits: Limits,
    ) -> Iterator[int]:
        """Extracts the pages after those taken over; yields how many each part had.

        part_pages: pages of a part, with and without a document. part_bytes: what their records
        take as they are stored, where a page alone does not take more. No more pages are held than
        the engine has parts in work.
        """
        if engine.elsewhere:
            step = for_elsewhere(step)
        first = len(self._journal.parts)
        parts = (
            ExtractPart(f"part-{number:05d}", tuple(batch))
            for number, batch in enumerate(
                _at_least_one(in_parts(pages, part_pages, part_bytes), first), first
            )
        )
        for number, told in enumerate(engine.run(step, parts, limits=limits), first):
            name, note = f"part-{number:05d}", dict(told["note"])
            rejects = self._journal.write_rejects(name, _REJECTS, told["rejects"])
            files = [f"documents/{name}.parquet", f"provenance/{name}.parquet", rejects]
            self._journal.end(name, files, note)
            self._take_up(note)
            yield note["pages"]

    def note(self) -> str:
        """For a progress bar: pages a second in this attempt, and all rejects."""
        rate = (self.pages - self.taken_over) / max(time.monotonic() - self._start, 1e-3)
        return f"{rate:,.0f} pages/s, {self.tally.rejected:,} rejected"

    def _take_up(self, note: Mapping[str, Any]) -> None:
        self.pages += note["pages"]
        self.documents += note["documents"]
        self.characters += note["characters"]
        self.tally.take_up(note["tally"])
        self.shares.take_up(note["shares"])


def in_parts(pages: Iterable[StoredPage], most: int, most_bytes: int) -> Iterator[list[StoredPage]]:
    """The pages in lists of at most so many, and of so many stored bytes: in the order of URLs the
    long pages of a site stand together, and a part is held in memory. Where the index does not tell
    the length of a record, it counts nothing."""
    part: list[StoredPage] = []
    size = 0
    for page in pages:
        length = page.length or 0
        if part and (len(part) == most or size + length > most_bytes):
            yield part
            part, size = [], 0
        part.append(page)
        size += length
    if part:
        yield part


def _at_least_one(parts: Iterator[list[StoredPage]], already: int) -> Iterator[list[StoredPage]]:
    """The parts; one empty part where there is none at all."""
    head = next(parts, None)
    if head is None:
        return iter(()) if already else iter([[]])
    return chain([head], parts)
