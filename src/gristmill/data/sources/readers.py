"""Readers of one file each. A bad record is a problem and the next one is read; a damaged file
gives what comes before the damage and then a problem.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from gristmill.data.sources.record import MAX_BYTES, Record, SourceFile, checked, record_from

Reader = Callable[[SourceFile, str], Iterator[Record]]

_HEADING = re.compile(r"^#[ \t]+([^\n]{1,300})$", re.M)
_FRONT_TITLE = re.compile(r"^title:[ \t]*([^\n]{1,300})$", re.M)
_ROWS = 1000


def read_text(file: SourceFile, text_key: str) -> Iterator[Record]:
    """A text file is one document."""
    text = _whole(file.path)
    yield text if isinstance(text, Record) else Record(None, text)


def read_markdown(file: SourceFile, text_key: str) -> Iterator[Record]:
    """A Markdown file is one document; a front matter block is left out, but for its title."""
    text = _whole(file.path)
    if isinstance(text, Record):
        yield text
        return
    title = None
    if text.startswith("---\n"):
        end = text.find("\n---\n", 3)
        if end >= 0:
            found = _FRONT_TITLE.search(text, 0, end)
            title = found[1].strip().strip("\"'") if found else None
            text = text[end + 5 :]
    if not title:
        found = _HEADING.search(text)
        title = found[1].strip() if found else None
    yield Record(None, text, fields={"title": title} if title else {})


def read_jsonl(file: SourceFile, text_key: str) -> Iterator[Record]:
    """One JSON object a line; row numbers count lines from 0, empty ones too."""
    with _open_lines(file.path) as lines:
        row = -1
        while True:
            row += 1
            try:
                line = lines.readline(MAX_BYTES + 1)
            except (OSError, EOFError, zlib.error, _zstd_error()) as error:
                yield Record(row, problem="damaged file", sample=str(error)[:200])
                return
            if not line:
                return
            if len(line) > MAX_BYTES:
                yield Record(row, problem="too large", sample=_ascii(line[:200]))
                while line and not line.endswith(b"\n"):
                    line = lines.readline(MAX_BYTES)
                continue
            if line.strip():
                yield _json_record(row, line, text_key)


def read_parquet(file: SourceFile, text_key: str) -> Iterator[Record]:
    """One document a row; a file that has no column of that name is one problem."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gristmill.data.sources.record import FIELDS

    try:
        with pq.ParquetFile(file.path) as table:
            names = table.schema_arrow.names
            if text_key not in names:
                columns = f"it has {', '.join(names[:20])}"
                yield Record(None, problem=f"no column '{text_key}'", sample=columns)
                return
            known = {text_key, "url", "source", "language", "lang", "license", *FIELDS}
            row = 0
            for batch in table.iter_batches(_ROWS, columns=[n for n in names if n in known]):
                for values in batch.to_pylist():
                    yield record_from(row, values, text_key)
                    row += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Record(None, problem="damaged file", sample=str(error)[:200])


READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".text": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".jsonl.zst": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}


def reader_for(name: str) -> Reader | None:
    """The reader for a file's name, or None where its format is not known."""
    lower = name.lower()
    return next((READERS[end] for end in READERS if lower.endswith(end)), None)


def read_records(file: SourceFile, text_key: str = "text") -> Iterator[Record]:
    """The records of a file of a known format, checked."""
    reader = reader_for(file.name)
    assert reader is not None, file.name
    return checked(reader(file, text_key))


def _json_record(row: int, line: bytes, text_key: str) -> Record:
    try:
        value = json.loads(line.decode("utf-8-sig" if row == 0 else "utf-8"))
    except UnicodeDecodeError:
        return Record(row, problem="not UTF-8", sample=_ascii(line[:200]))
    except (ValueError, RecursionError):
        return Record(row, problem="not JSON", sample=_ascii(line[:200]))
    if not isinstance(value, dict):
        return Record(row, problem="not a JSON object", sample=_ascii(line[:200]))
    return record_from(row, value, text_key)


def _whole(path: Path) -> str | Record:
    if path.stat().st_size > MAX_BYTES:
        return Record(None, problem="too large")
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        return Record(None, problem="not UTF-8", sample=_ascii(data[:200]))


def _open_lines(path: Path) -> IO[bytes]:
    lower = path.name.lower()
    if lower.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if lower.endswith(".zst"):
        import io

        import zstandard

        reader: Any = zstandard.ZstdDecompressor().stream_reader(
            open(path, "rb"),  # noqa: SIM115  (closed with the reader)
            read_across_frames=True,
            closefd=True,
        )
        return io.BufferedReader(reader, 1 << 20)
    return open(path, "rb")


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _ascii(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").strip()
