"""Pages from WARC files through `extract_page`, for worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.data.crawl.decode import BadEncoding, TooLarge, decode_body
from gristmill.data.extract.opt_out import OPT_OUT_HEADERS, TdmRules
from gristmill.data.extract.page import (
    ExtractedPage,
    ExtractOptions,
    FirstLook,
    Rejected,
    extract_page,
)
from gristmill.data.extract.record import Record as Decisions
from gristmill.data.warc.reader import Record, read_record

_HEADERS = 1 << 14


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A row of a crawl's index: where a page's response record lies."""

    url: str
    status: int
    content_type: str | None
    file: str
    offset: int
    fetched_at: str | None = None
    refused: tuple[str, str] | None = None
    """Why its address alone rules it out (reason, sample)."""
    length: int | None = None
    """Bytes of the record's gzip member, where the index tells them."""


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
    tdm: TdmRules = field(default_factory=lambda: TdmRules({}))
    first: FirstLook | None = None

    def __call__(self, pages: Sequence[StoredPage]) -> list[Outcome]:
        return [self.extract(page) for page in pages]

    def extract(self, page: StoredPage, decisions: Decisions | None = None) -> Outcome:
        """What becomes of one page. decisions: is told what was decided on the way."""
        if page.status != 200:
            return Outcome(Rejected(f"status {page.status}"))
        if page.refused is not None:
            return Outcome(Rejected(*page.refused))
        try:
            record = read_record(self.folder / page.file, page.offset, length=page.length)
        except GristmillError as error:
            return Outcome(Rejected("damaged record", error.what))
        found = body_of(record, page.content_type, self.options)
        if isinstance(found, Rejected):
            return Outcome(found, record.record_id)
        body, content_type = found
        result = extract_page(
            body,
            page.url,
            content_type,
            self.options,
            decisions,
            headers=opt_out_headers(record),
            reserved_by_host=self.tdm.reserved(page.url),
            first=self.first,
        )
        return Outcome(result, record.record_id)


def opt_out_headers(record: Record) -> list[tuple[str, str]]:
    """The headers of a response that may opt out; the message is read again only if it has any."""
    head = record.block[:_HEADERS].lower()
    if not any(name.encode() in head for name in OPT_OUT_HEADERS):
        return []
    return [one for one in record.http().headers if one[0].lower() in OPT_OUT_HEADERS]


def body_of(
    record: Record, content_type: str | None, options: ExtractOptions
) -> tuple[bytes, str | None] | Rejected:
    """The page in a response record, chunks and content encodings undone, and its content type.

    content_type: for a response that names none. A body that swells past the limit is rejected
    when it does.
    """
    message = record.http()
    if options.respect_noindex and "noindex" in message.header("x-robots-tag").lower():
        return Rejected("noindex")
    body = _decoded(message.whole_body(), message.header("content-encoding"), options.limits.bytes)
    if isinstance(body, Rejected):
        return body
    return body, message.header("content-type") or content_type


def _decoded(body: bytes, encodings: str, limit: int) -> bytes | Rejected:
    """The body with its content encodings undone, where a crawler stored it as received.

    Crawlers that undo the encoding often keep the header: a body that is not what the header says
    is taken as it is where it looks like a page.
    """
    if not encodings or encodings.strip().lower() == "identity":
        return body
    if body.lstrip()[:1] == b"<":
        return body
    try:
        return decode_body(body, encodings, limit)
    except TooLarge:
        return Rejected("too large")
    except BadEncoding as error:
        if b"<" in body[:2048] and b"\0" not in body[:2048]:
            return body
        return Rejected("damaged content encoding", str(error)[:80])
