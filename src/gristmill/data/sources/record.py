"""What a reader yields for each record of a source: a text, why there is none, or what a worker
process is to make a text of.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gristmill.data.licences import licence_name
from gristmill.data.sources.packed import open_packed

# Columns and keys that are taken over where a record has them, by their names here.
FIELDS = ("title", "description", "topic", "language_attribute", "date", "licence", "opt_out")
OTHER_NAMES = {
    "language": "language_attribute",
    "lang": "language_attribute",
    "license": "licence",
}
# A record of more bytes than this is refused: it would be held in memory whole.
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A record of an input. `row` is None where the file is one document, else its number or the
    name that it has within the file (a member of an archive, a path in a repository).

    Either `text` is a text of at least one visible character, or `problem` says what is wrong and
    `sample` shows the beginning of it, or `skipped` says why it is no text by its nature (a
    redirect, a binary file): counted, but nothing bad.
    """

    row: int | str | None
    text: str = ""
    problem: str | None = None
    sample: str = ""
    skipped: str | None = None
    url: str | None = None
    source: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    fetched_at: str | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """What costs time or may hang a parser: a worker process turns it into a Record.

    kind: 'html', 'wikitext', 'latex', 'mail' or 'pdf'. data: the bytes, or for LaTeX the project's
    files by name. frame: a Record without text, whose row, url and fields the result keeps.
    extra: what the conversion needs besides, such as namespaces of a wiki.
    """

    kind: str
    data: bytes | str | Mapping[str, bytes]
    frame: Record
    extra: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes or characters."""
        if isinstance(self.data, Mapping):
            return sum(len(one) for one in self.data.values())
        return len(self.data)


@dataclass(frozen=True)
class SourceFile:
    """A file or folder to read: where it lies, its name relative to what the user named, format."""

    path: Path
    name: str
    format: str = ""
    data: bytes | None = None
    """The content of a member of an archive, which has no path of its own."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What is stated for the whole file beside it: `licence`, `source`, `language_attribute`."""
    address: str = ""
    """Of a remote file, which has no path; allow: hosts that may be at a private address."""
    allow: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True
    """Whether it is all that was asked for: one of many may be missing."""

    def open(self) -> io.BufferedIOBase:
        """A stream of the content, decompressed. Raises what `packed.DAMAGE` names."""
        return open_packed(self.path) if self.data is None else io.BytesIO(self.data)

    def whole(self) -> bytes | None:
        """The content; None where it is more than MAX_BYTES."""
        with self.open() as stream:
            data = stream.read(MAX_BYTES + 1)
        return data if len(data) <= MAX_BYTES else None

    def modified(self) -> str | None:
        """When the file was last written, ISO 8601 in UTC: nearest to when it was fetched."""
        try:
            stamp = self.path.stat().st_mtime
        except OSError:
            return None
        return iso_time(stamp)


def iso_time(stamp: float) -> str | None:
    """Seconds since 1970 as `2026-01-31T12:00:00Z`; None for what is no date."""
    try:
        return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None


def record_from(row: int, values: Mapping[str, Any], text_key: str) -> Record:
    """A Record from a JSON object's or a table row's values."""
    text = values.get(text_key)
    if text is None:
        return Record(row, problem=f"no '{text_key}'", sample=_sample(values))
    if not isinstance(text, str):
        return Record(row, problem=f"'{text_key}' is not text", sample=_sample(text))
    found: dict[str, str] = {}
    for key, value in values.items():
        name = OTHER_NAMES.get(key, key)
        if name in FIELDS and name != text_key and isinstance(value, str) and is_unicode(value):
            found.setdefault(name, " ".join(value.split()))
    if "licence" in found:
        found["licence"] = licence_name(found["licence"]) or ""
    url, source = _stated(values, "url"), _stated(values, "source")
    return Record(
        row,
        text,
        url=url if url and url.strip() else None,
        source=source or None,
        fields={name: value for name, value in found.items() if value},
        fetched_at=_stated(values, "fetched_at"),
    )


def checked(record: Record) -> Record:
    """The record, with line ends as \\n; empty texts and broken Unicode become problems."""
    if record.problem is not None or record.skipped is not None:
        return record
    text = record.text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text.strip("\n\ufeff \t")
    if not text.strip():
        return Record(record.row, problem="empty")
    if not is_unicode(text):
        return Record(record.row, problem="lone surrogates", sample=_sample(text))
    return record if text == record.text else replace(record, text=text)


def checked_all(records: Iterator[Record | Raw]) -> Iterator[Record | Raw]:
    """`checked` for what is a Record already."""
    for one in records:
        yield checked(one) if isinstance(one, Record) else one


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8, which JSON's \\ud800 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stated(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if isinstance(value, datetime):
        return iso_time(value.replace(tzinfo=value.tzinfo or UTC).timestamp())
    return value if isinstance(value, str) and is_unicode(value) else None


def _sample(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()[:200]
