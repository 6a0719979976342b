"""Pages from WARC files through `extract_page`, for worker processes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, Rejected, extract_page
from gristmill.data.warc.reader import read_record


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A row of a crawl's index: where a page's response record lies."""

    url: str
    status: int
    content_type: str | None
    file: str
    offset: int
    fetched_at: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stored page, and the id of its record."""

    result: ExtractedPage | Rejected
    record_id: str | None = None


@dataclass(frozen=True)
class PageExtractor:
    """Extracts batches of stored pages; picklable, so that workers can be given it."""

    folder: Path
    options: ExtractOptions

    def __call__(self, pages: Sequence[StoredPage]) -> list[Outcome]:
        return [self._one(page) for page in pages]

    def _one(self, page: StoredPage) -> Outcome:
        if page.status != 200:
            return Outcome(Rejected(f"status {page.status}"))
        try:
            record = read_record(self.folder / page.file, page.offset)
        except GristmillError as error:
            return Outcome(Rejected("damaged record", error.what))
        message = record.http()
        robots = message.header("x-robots-tag").lower()
        if self.options.respect_noindex and "noindex" in robots:
            return Outcome(Rejected("noindex"), record.record_id)
        body = _decoded(message.body, message.header("content-encoding"), self.options.limits.bytes)
        if isinstance(body, Rejected):
            return Outcome(body, record.record_id)
        content_type = message.header("content-type") or page.content_type
        return Outcome(extract_page(body, page.url, content_type, self.options), record.record_id)


def _decoded(body: bytes, encoding: str, limit: int) -> bytes | Rejected:
    """The body with its content encoding undone, where a crawler stored it as received."""
    names = [name.strip().lower() for name in encoding.split(",") if name.strip()]
    if not names or names == ["identity"]:
        return body
    if names in (["gzip"], ["x-gzip"]) and body.startswith(b"\x1f\x8b"):
        inflate = zlib.decompressobj(wbits=31)
    elif names == ["deflate"] and body[:1] == b"\x78":
        inflate = zlib.decompressobj()
    else:
        # Crawlers that undo the encoding often keep the header.
        return body
    try:
        whole = inflate.decompress(body, limit + 1)
    except (zlib.error, gzip.BadGzipFile):
        return Rejected("damaged content encoding", encoding[:40])
    return whole
