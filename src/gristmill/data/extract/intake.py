"""What becomes of pages, kept part by part, so that a killed extraction goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gristmill.data.engine import Failure
from gristmill.data.extract.page import ExtractedPage, Rejected
from gristmill.data.extract.stored import Outcome, StoredPage
from gristmill.data.extract.tally import Tally
from gristmill.data.journal import PartJournal
from gristmill.data.sources.parts import PartWriter
from gristmill.data.sources.shares import Shares

_REJECTS = "extract"


class Intake:
    """Takes outcomes in the order of the pages; begins where an earlier attempt ended.

    run: the folder that outlives a kill. source: the documents' source. part_pages: pages of a
    part, with and without a document.
    """

    def __init__(self, run: Path, source: str, part_pages: int):
        self._source, self._part_pages = source, part_pages
        self._journal = PartJournal(run, "extract")
        self.tally, self.shares = Tally(), Shares()
        self.pages = self.documents = self.characters = 0
        """Of all parts that are whole."""
        for note in self._journal.notes():
            self._take_up(note)
        self.taken_over = self.pages
        """Pages that earlier attempts looked at, and that this one is not to be given."""
        self._writer = PartWriter(self._journal.folder, parts=len(self._journal.parts))
        self._begin_part()
        self._start = time.monotonic()

    def take(self, page: StoredPage, outcome: Outcome | Failure) -> None:
        """Writes the page's document, or keeps why there is none."""
        self._pages += 1
        # A page that cost its worker is a reject with the engine's reason.
        found = Rejected(outcome.reason) if isinstance(outcome, Failure) else outcome.result
        if isinstance(found, ExtractedPage):
            self._writer.add(found.url, found.text, self._source, found.fields(), {
                "fetched_at": page.fetched_at,
                "warc": page.file,
                "offset": page.offset,
                "record_id": None if isinstance(outcome, Failure) else outcome.record_id,
            })  # fmt: skip
            self._shares.add(self._source, found.licence, found.opt_out, len(found.text))
            self._tally.document(found)
        else:
            self._rejects.append({"url": page.url, "reason": found.reason, "sample": found.sample})
            self._tally.reject(page.url, found.reason, found.sample)
            if found.reason == "opt_out":
                self._shares.leave_out(found.sample)
        if self._pages == self._part_pages:
            self._end_part()

    def finish(self, output: Path) -> None:
        """Writes the last part, and all of them below `output`."""
        if self._pages or not self._journal.parts:
            self._end_part()
        self._journal.hand_over(output)

    def note(self) -> str:
        """For a progress bar: pages a second in this attempt, and all rejects."""
        done = self.pages + self._pages - self.taken_over
        rate = done / max(time.monotonic() - self._start, 1e-3)
        return f"{rate:,.0f} pages/s, {self.tally.rejected + self._tally.rejected:,} rejected"

    def _begin_part(self) -> None:
        self._tally, self._shares = Tally(), Shares()
        self._rejects: list[dict[str, str]] = []
        self._pages = 0

    def _end_part(self) -> None:
        name = self._writer.part
        documents, characters = self._writer.pending, self._writer.pending_characters
        files = self._writer.end_part()
        files.append(self._journal.write_rejects(name, _REJECTS, self._rejects))
        note = {
            "pages": self._pages,
            "documents": documents,
            "characters": characters,
            "tally": self._tally.to_json(),
            "shares": self._shares.to_json(),
        }
        self._journal.end(name, files, note)
        self._take_up(note)
        self._begin_part()

    def _take_up(self, note: dict[str, Any]) -> None:
        self.pages += note["pages"]
        self.documents += note["documents"]
        self.characters += note["characters"]
        self.tally.take_up(note["tally"])
        self.shares.take_up(note["shares"])
