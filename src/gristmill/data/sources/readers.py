"""Readers of one file each, by its format. A bad record is a problem and the next one is read; a
damaged file gives what comes before the damage and then a problem.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from gristmill.data.sources.archive import Member, members
from gristmill.data.sources.formats import detect
from gristmill.data.sources.git import GitOptions, read_git
from gristmill.data.sources.hugging_face import read_arrow, wanted_columns
from gristmill.data.sources.latex import MAX_EXPANDED, MAX_FILES, decoded, gathered, is_main
from gristmill.data.sources.mail import read_mbox, read_message
from gristmill.data.sources.packed import DAMAGE
from gristmill.data.sources.record import (
    MAX_BYTES,
    Raw,
    Record,
    SourceFile,
    checked_all,
    record_from,
)
from gristmill.data.sources.web_archive import read_web_archive
from gristmill.data.sources.wikipedia import read_dump

_HEADING = re.compile(r"^#[ \t]+([^\n]{1,300})$", re.M)
_FRONT_TITLE = re.compile(r"^title:[ \t]*([^\n]{1,300})$", re.M)
_ROWS = 1000


@dataclass(frozen=True)
class ReadOptions:
    """What readers need to know. root: the folder that links and inputs must stay below."""

    text_key: str = "text"
    namespaces: tuple[str, ...] = ("0",)
    git: GitOptions = field(default_factory=GitOptions)


Records = Iterator[Record | Raw]
Reader = Callable[[SourceFile, ReadOptions], Records]


def read_records(file: SourceFile, options: ReadOptions | None = None) -> Records:
    """The records of a file whose format is known, checked; what its card states is filled in."""
    records = checked_all(_READERS[file.format](file, options or ReadOptions()))
    return (_with_defaults(one, file) for one in records) if file.defaults else records


def read_text(file: SourceFile, options: ReadOptions) -> Records:
    """A text file is one document."""
    text = _text_of(file)
    yield text if isinstance(text, Record) else Record(None, text, fetched_at=file.modified())


def read_markdown(file: SourceFile, options: ReadOptions) -> Records:
    """A Markdown file is one document; a front matter block is left out, but for its title."""
    text = _text_of(file)
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
    fields = {"title": title} if title else {}
    yield Record(None, text, fields=fields, fetched_at=file.modified())


def read_jsonl(file: SourceFile, options: ReadOptions) -> Records:
    """One JSON object a line; row numbers count lines from 0, empty ones too."""
    row, fetched = -1, file.modified()
    try:
        with file.open() as lines:
            while line := lines.readline(MAX_BYTES + 1):
                row += 1
                if len(line) > MAX_BYTES:
                    yield Record(row, problem="too large", sample=_ascii(line[:200]))
                    while line and not line.endswith(b"\n"):
                        line = lines.readline(MAX_BYTES)
                elif line.strip():
                    record = _json_record(row, line, options.text_key)
                    yield record if record.fetched_at else replace(record, fetched_at=fetched)
    except DAMAGE as error:
        yield Record(row + 1, problem="damaged file", sample=str(error)[:200])


def read_parquet(file: SourceFile, options: ReadOptions) -> Records:
    """One document a row; a file that has no column of that name is one problem."""
    import pyarrow as pa

    from gristmill.data.row_groups import batches, open_parquet

    text_key, fetched = options.text_key, file.modified()
    source = file.path if file.data is None else pa.BufferReader(file.data)
    try:
        with open_parquet(source) as table:
            names = table.schema_arrow.names
            if text_key not in names:
                told = f"it has {', '.join(names[:20])}"
                yield Record(None, problem=f"no column '{text_key}'", sample=told)
                return
            row = 0
            for batch in batches(table, wanted_columns(names, text_key), _ROWS):
                for values in batch.to_pylist():
                    record = record_from(row, values, text_key)
                    yield record if record.fetched_at else replace(record, fetched_at=fetched)
                    row += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Record(None, problem="damaged file", sample=str(error)[:200])


def read_whole(kind: str) -> Reader:
    """A file that a worker process turns into one document."""

    def read(file: SourceFile, options: ReadOptions) -> Records:
        try:
            data = file.whole()
        except DAMAGE as error:
            yield Record(None, problem="damaged file", sample=str(error)[:200])
            return
        if data is None:
            yield Record(None, problem="too large")
        else:
            yield Raw(kind, data, Record(None, fetched_at=file.modified()))

    return read


def read_latex(file: SourceFile, options: ReadOptions) -> Records:
    """A main file with what it takes in from its own folder and those below."""
    frame = Record(None, fetched_at=file.modified())
    if file.data is not None:
        yield Raw("latex", {file.name: file.data}, frame)
        return
    try:
        data = file.whole()
        if data is None:
            yield Record(None, problem="too large")
        elif file.path.read_bytes()[:2] == b"\x1f\x8b":
            yield Raw("latex", {file.name: data}, frame)
        else:
            files, main = gathered(file.path, file.path.parent)
            yield Raw("latex", files, frame, (main,))
    except DAMAGE as error:
        yield Record(None, problem="damaged file", sample=str(error)[:200])


def read_archive(file: SourceFile, options: ReadOptions) -> Records:
    """Every member in its own format. The .tex files of an archive that has a main file are one."""
    latex: dict[str, bytes] = {}
    room = MAX_EXPANDED
    for member in members(file.path, file.format == "zip"):
        row = member.name or None
        if member.problem is not None:
            if member.harmless:
                yield Record(row, skipped=member.problem)
            else:
                sample = member.data.decode("utf-8", "replace")
                yield Record(row, problem=member.problem, sample=sample)
            continue
        kind = detect(member.name, member.data[:2048])
        if kind == "latex" and len(latex) < MAX_FILES and len(member.data) <= room:
            latex[member.name] = member.data
            room -= len(member.data)
        elif kind in ("zip", "tar", "git", "arrow", None):
            known = kind is None
            yield Record(row, skipped="unknown format" if known else f"{kind} in an archive")
        else:
            yield from _member(member, kind, file, options)
    if any(is_main(decoded(data)) for data in latex.values()):
        yield Raw("latex", latex, Record(None, fetched_at=file.modified()))
        return
    for name, data in latex.items():
        yield Raw("latex", {name: data}, Record(name, fetched_at=file.modified()))


def _member(member: Member, kind: str, file: SourceFile, options: ReadOptions) -> Records:
    inner = SourceFile(file.path, member.name, kind, member.data)
    for one in read_records(inner, options):
        frame = one.frame if isinstance(one, Raw) else one
        row = member.name if frame.row is None else f"{member.name}#{frame.row}"
        frame = replace(frame, row=row)
        yield replace(one, frame=frame) if isinstance(one, Raw) else frame


def _with_defaults(one: Record | Raw, file: SourceFile) -> Record | Raw:
    if isinstance(one, Raw):
        frame = _with_defaults(one.frame, file)
        assert isinstance(frame, Record)
        return replace(one, frame=frame)
    if one.problem is not None or one.skipped is not None:
        return one
    fields = {name: value for name, value in file.defaults.items() if name != "source"}
    return replace(
        one, fields={**fields, **one.fields}, source=one.source or file.defaults.get("source")
    )


_READERS: dict[str, Reader] = {
    "text": read_text,
    "markdown": read_markdown,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "arrow": lambda file, options: read_arrow(file, options.text_key),
    "git": lambda file, options: read_git(file, options.git),
    "html": read_whole("html"),
    "pdf": read_whole("pdf"),
    "wikipedia": lambda file, options: read_dump(file, options.namespaces),
    "warc": lambda file, options: read_web_archive(file),
    "latex": read_latex,
    "mbox": lambda file, options: read_mbox(file),
    "mail": lambda file, options: read_message(file),
    "zip": read_archive,
    "tar": read_archive,
}


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


def _text_of(file: SourceFile) -> str | Record:
    try:
        data = file.whole()
    except DAMAGE as error:
        return Record(None, problem="damaged file", sample=str(error)[:200])
    if data is None:
        return Record(None, problem="too large")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        return Record(None, problem="not UTF-8", sample=_ascii(data[:200]))


def _ascii(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").strip()
