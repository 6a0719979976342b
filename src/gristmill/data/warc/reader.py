"""Reading WARC: fast where a file is sound, and past the damage where it is not.

Sound stretches are read by fastwarc. Where it stops on an error, the file is walked gzip member by
gzip member to the damage, the next member that inflates to a WARC record is searched, and reading
goes on there. What was stepped over is reported, and so is a file that ends in the middle of a
record, which fastwarc passes over in silence.
"""

from __future__ import annotations

import mmap
import os
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from gristmill.core.errors import GristmillError

ALL_TYPES = ("warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion")
MAX_RECORD = 1 << 28
_FAST_TYPES = {name: getattr(WarcRecordType, name) for name in (*ALL_TYPES, "continuation")}
_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 16
_HEADER_ROOM = 1 << 16
_CONTENT_LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*([0-9]{1,12})\r\n", re.IGNORECASE)
_HTTP_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a file that gave no record: damaged, truncated (the file's end), too long."""

    file: str
    offset: int
    length: int
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record: its type, its headers (names in lower case) and its block."""

    type: str
    headers: dict[str, str]
    block: bytes
    file: str
    offset: int

    @property
    def url(self) -> str:
        """The target URI; some old writers put it between angle brackets."""
        return self.headers.get("warc-target-uri", "").strip("<>")

    @property
    def record_id(self) -> str:
        return self.headers.get("warc-record-id", "")

    @property
    def date(self) -> str:
        return self.headers.get("warc-date", "")

    def http(self) -> HttpMessage:
        """The HTTP message in the block of a response or request record."""
        return parse_http(self.block)


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """An HTTP message: status (0 in a request), headers in order, and the body as it was stored."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of that name, or an empty text."""
        name = name.lower()
        return next((value for key, value in self.headers if key.lower() == name), "")


def parse_http(block: bytes) -> HttpMessage:
    """The message in a block; lines that are no headers are left out."""
    end = _HTTP_END.search(block)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    lines = head.decode("utf-8", "replace").splitlines() or [""]
    words = lines[0].split(None, 2)
    status = 0
    if words and words[0].startswith("HTTP/") and len(words) > 1 and words[1][:3].isdigit():
        status = int(words[1][:3])
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip(), value.strip()))
    return HttpMessage(status, tuple(headers), body)


def read_records(
    path: Path,
    types: Sequence[str] = ("response",),
    on_damage: Callable[[Damage], None] | None = None,
    max_record: int = MAX_RECORD,
) -> Iterator[Record]:
    """The records of `types` in the file, in order; damage is stepped over and reported.

    path: .warc, .warc.gz (a member per record) or .warc.zst. A record is given only when its
    gzip member is whole and its checksum fits. One whose block is longer than max_record bytes is
    reported and left out. Raises GristmillError where there is no file.
    """
    report = on_damage or (lambda damage: None)
    mask = _mask(types)
    with _mapped(path) as data:
        start = 0
        while start < len(data):
            end = yield from _fast(path, data, start, mask, max_record, report)
            if end is None:
                return
            start = yield from _slow(path, data, end, types, max_record, report)


def read_record(path: Path, offset: int) -> Record:
    """The record that starts at `offset`. Raises GristmillError where no whole one does."""
    with _mapped(path) as data:
        try:
            if data[offset : offset + 3] == _MAGIC:
                text, _ = _inflate(data, offset, MAX_RECORD)
            else:
                text = data[offset : _plain_end(data, offset)]
            return parse_record(text, path.name, offset)
        except (zlib.error, ValueError, EOFError, _TooLong) as error:
            raise GristmillError(f"no whole WARC record at byte {offset}", where=path) from error


def _mask(types: Sequence[str]) -> WarcRecordType:
    mask = WarcRecordType.no_type
    for name in types:
        if name not in _FAST_TYPES:
            raise GristmillError(f"no WARC record type '{name}'", mend=f"one of {ALL_TYPES}")
        mask |= _FAST_TYPES[name]
    return mask


def _fast(
    path: Path,
    data: mmap.mmap | bytes,
    start: int,
    mask: WarcRecordType,
    max_record: int,
    report: Callable[[Damage], None],
) -> Generator[Record, None, int | None]:
    """Records from `start` by fastwarc; None at the file's end, else where it must be walked from.

    A record is held back until the next one was reached: only then was its checksum looked at.
    """
    held: Record | None = None
    at = start
    with open(path, "rb") as stream:
        stream.seek(start)
        try:
            for found in ArchiveIterator(stream, record_types=mask, parse_http=False):
                if held is not None:
                    yield held
                    held = None
                at = found.stream_pos
                length = found.content_length
                if length > max_record:
                    report(Damage(path.name, at, length, "record too long"))
                    continue
                block = found.reader.read()
                if len(block) < length:
                    break
                headers = {name.lower(): value for name, value in found.headers.items()}
                kind = headers.get("warc-type", "")
                held = Record(kind, headers, block, path.name, at)
        except OSError:
            return at
    torn = _torn_tail(data, at)
    if held is not None and (torn is None or torn > held.offset):
        yield held
    if torn is not None:
        report(Damage(path.name, torn, len(data) - torn, "truncated"))
    return None


def _torn_tail(data: mmap.mmap | bytes, start: int) -> int | None:
    """Where a last record begins that the file's end cuts off; None where the file ends whole."""
    if data[start : start + 3] != _MAGIC:
        return None if data[:4] == _ZSTD_MAGIC else _torn_plain(data, start)
    at = len(data)
    while (at := data.rfind(_MAGIC, start, at + 2 if at < len(data) else at)) >= 0:
        try:
            _, end = _inflate(data, at, MAX_RECORD)
        except EOFError:
            if _begins_record(data, at):
                return at
            end = None
        except (zlib.error, _TooLong):
            end = None
        if end is not None:
            rest = data[end:]
            # Zero bytes behind the last member are padding of tapes and block devices.
            return None if not rest.strip(b"\0") else end
        if at == start:
            return start
    return start


def _torn_plain(data: mmap.mmap | bytes, start: int) -> int | None:
    at = start
    while at < len(data):
        try:
            at = _plain_end(data, at)
        except (EOFError, ValueError):
            return at
    return None


def _begins_record(data: mmap.mmap | bytes, at: int) -> bool:
    try:
        return zlib.decompressobj(31).decompress(data[at : at + 4096], 5) == b"WARC/"
    except zlib.error:
        return False


def _slow(
    path: Path,
    data: mmap.mmap | bytes,
    at: int,
    types: Sequence[str],
    max_record: int,
    report: Callable[[Damage], None],
) -> Generator[Record, None, int]:
    """Walks from the record at `at` to the damage and over it; returns where to go on."""
    gzipped = data[:3] == _MAGIC
    while at < len(data):
        reason = "damaged"
        try:
            if gzipped:
                text, end = _inflate(data, at, max_record)
            else:
                end = _plain_end(data, at)
                text = data[at:end]
            record = parse_record(text, path.name, at)
        except _TooLong:
            reason = "record too long"
        except EOFError:
            reason = "truncated"
        except (zlib.error, ValueError):
            pass
        else:
            if record.type in types:
                yield record
            at = end
            continue
        end = _next_record(data, at + 1, gzipped)
        if end < len(data) and reason == "truncated":
            reason = "damaged"
        report(Damage(path.name, at, end - at, reason))
        return end
    return at


def _next_record(data: mmap.mmap | bytes, at: int, gzipped: bool) -> int:
    """Where the next record begins at or after `at`; the file's end where none does."""
    if not gzipped:
        found = data.find(b"\nWARC/1.", at - 1)
        return found + 1 if found >= 0 else len(data)
    while (at := data.find(_MAGIC, at)) >= 0:
        if _begins_record(data, at):
            return at
        at += 1
    return len(data)


class _TooLong(Exception):
    """A member that inflates to more than a record may have."""


def _inflate(data: mmap.mmap | bytes, at: int, limit: int) -> tuple[bytes, int]:
    """The gzip member at `at` and where it ends. EOFError where the data end inside it."""
    unpacker = zlib.decompressobj(31)
    parts = []
    total = 0
    position = at
    while not unpacker.eof:
        chunk = data[position : position + _CHUNK]
        if not chunk:
            raise EOFError
        position += len(chunk)
        part = unpacker.decompress(chunk, limit + _HEADER_ROOM - total + 1)
        total += len(part)
        if total > limit + _HEADER_ROOM:
            raise _TooLong
        parts.append(part)
    return b"".join(parts), position - len(unpacker.unused_data)


def _plain_end(data: mmap.mmap | bytes, at: int) -> int:
    """Where the uncompressed record at `at` ends. ValueError where it is not one."""
    head_end = data.find(b"\r\n\r\n", at, at + _HEADER_ROOM)
    if data[at : at + 5] != b"WARC/" or head_end < 0:
        if len(data) - at < _HEADER_ROOM and data[at : at + 5] == b"WARC/"[: len(data) - at]:
            raise EOFError
        raise ValueError
    length = _CONTENT_LENGTH.search(data[at : head_end + 2])
    if not length:
        raise ValueError
    end = head_end + 4 + int(length[1]) + 4
    if end > len(data):
        raise EOFError
    if data[end - 4 : end] != b"\r\n\r\n":
        raise ValueError
    return end


def parse_record(data: bytes, file: str = "", offset: int = 0) -> Record:
    """The record in `data` (uncompressed, alone). Raises ValueError where it is not one."""
    head, mark, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    if not mark or not lines[0].startswith("WARC/"):
        raise ValueError("not a WARC record")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else -1
    if not 0 <= length <= len(rest):
        raise ValueError("the block is shorter than its Content-Length")
    return Record(headers.get("warc-type", ""), headers, rest[:length], file, offset)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                yield b""  # an empty file cannot be mapped
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except FileNotFoundError as error:
        raise GristmillError("no such file", where=path) from error
