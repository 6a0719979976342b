"""What a reader yields for each record of a file: a text, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Columns and keys that are taken over where a record has them, by their names here.
FIELDS = ("title", "description", "topic", "language_attribute", "date", "licence")
_OTHER_NAMES = {
    "language": "language_attribute",
    "lang": "language_attribute",
    "license": "licence",
}
# A record of more bytes than this is refused: it would be held in memory whole.
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A record of an input file. `row` is None where the file is one document.

    Either `text` is a text of at least one visible character, or `problem` says what is wrong and
    `sample` shows the beginning of it.
    """

    row: int | None
    text: str = ""
    problem: str | None = None
    sample: str = ""
    url: str | None = None
    source: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceFile:
    """A file to read: where it lies, and its name relative to what the user named."""

    path: Path
    name: str


def record_from(row: int, values: Mapping[str, Any], text_key: str) -> Record:
    """A Record from a JSON object's or a table row's values."""
    text = values.get(text_key)
    if text is None:
        return Record(row, problem=f"no '{text_key}'", sample=_sample(values))
    if not isinstance(text, str):
        return Record(row, problem=f"'{text_key}' is not text", sample=_sample(text))
    found: dict[str, str] = {}
    for key, value in values.items():
        name = _OTHER_NAMES.get(key, key)
        if name in FIELDS and name != text_key and isinstance(value, str) and is_unicode(value):
            found.setdefault(name, " ".join(value.split()))
    url, source = values.get("url"), values.get("source")
    return Record(
        row,
        text,
        url=url if isinstance(url, str) and is_unicode(url) and url.strip() else None,
        source=source if isinstance(source, str) and is_unicode(source) and source else None,
        fields={name: value for name, value in found.items() if value},
    )


def checked(records: Iterator[Record]) -> Iterator[Record]:
    """The records, with line ends as \\n; empty texts and broken Unicode become problems."""
    for record in records:
        if record.problem is not None:
            yield record
            continue
        text = record.text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        text = text.strip("\n\ufeff \t")
        if not text.strip():
            yield Record(record.row, problem="empty")
        elif not is_unicode(text):
            yield Record(record.row, problem="lone surrogates", sample=_sample(text))
        else:
            yield Record(
                record.row, text, url=record.url, source=record.source, fields=record.fields
            )


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8, which JSON's \\ud800 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sample(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()[:200]
