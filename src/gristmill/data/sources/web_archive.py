"""Texts of web archives: the conversion records of WET files, as Common Crawl makes them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from gristmill.data.sources.record import Raw, Record, SourceFile
from gristmill.data.warc.reader import Damage, Readable, read_records

_PAGES = ("response", "resource")


class _InMemory(io.BytesIO):
    """A member of an archive as the reader of records takes files."""

    def __init__(self, name: str, data: bytes):
        super().__init__(data)
        self.name = name


def read_web_archive(file: SourceFile) -> Iterator[Record | Raw]:
    """Each conversion record whose text is UTF-8. Pages as they were fetched are skipped: they are
    taken by `data warc` and `data extract`. Damage is a problem, and reading goes on after it."""
    damage: list[Damage] = []
    source: Path | Readable = file.path
    if file.data is not None:
        source = _InMemory(file.name, file.data)
    row = -1
    for row, record in enumerate(read_records(source, None, damage.append)):
        yield from _problems(damage)
        if record.type in _PAGES:
            yield Record(row, skipped="a page, for data warc")
            continue
        if record.type != "conversion":
            continue
        headers = record.headers
        if not headers.get("content-type", "text/plain").lower().startswith("text/plain"):
            yield Record(row, skipped="conversion that is no text")
            continue
        try:
            text = record.block.decode("utf-8")
        except UnicodeDecodeError:
            yield Record(row, problem="not UTF-8", sample=ascii(record.block[:100]))
            continue
        # Several languages are given most used first.
        language = headers.get("warc-identified-content-language", "").partition(",")[0]
        yield Record(
            row,
            text,
            url=record.url or None,
            fields={"language_attribute": language} if language else {},
            fetched_at=record.date or None,
        )
    yield from _problems(damage)


def _problems(damage: list[Damage]) -> Iterator[Record]:
    for found in damage:
        where = f"byte {found.offset}"
        yield Record(where, problem=f"{found.reason} archive", sample=f"{found.length} bytes")
    damage.clear()
