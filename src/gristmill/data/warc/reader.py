"""Reading WARC: fast where a file is sound, past the damage where it is not.

A file is a series of gzip members, of zstd frames, or of records as they are. Each member is
inflated whole and must hold one whole record with its checksum right before the record is given.
Where one does not, the next member that inflates to a WARC record is searched, and reading goes on
there. What was stepped over is reported, and so is a file that ends in the middle of a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from gristmill.core.errors import GristmillError
from gristmill.data.warc.members import GZIP, ZSTD, CutOff, Damaged, dictionary_of
from gristmill.data.warc.record import ALL_TYPES, HttpMessage, NoSuchFile, Record, parse_http
from gristmill.data.warc.walk import Damage, Reading
from gristmill.data.warc.window import Window

__all__ = [
    "ALL_TYPES",
    "MAX_RECORD",
    "Damage",
    "HttpMessage",
    "Losses",
    "NoSuchFile",
    "Record",
    "parse_http",
    "read_record",
    "read_records",
]

# Two copies of a record exist for a moment: this bounds what a hostile file makes us hold.
MAX_RECORD = 24 << 20


@dataclass
class Losses:
    """What was lost in reading: give one as `on_damage`."""

    records: int = 0
    """At least: damage can hide where a record began."""
    bytes: int = 0
    """Of the files as they are stored."""
    reasons: Counter[str] = field(default_factory=Counter)

    def __call__(self, damage: Damage) -> None:
        self.records += damage.records
        self.bytes += damage.length
        self.reasons[damage.reason] += 1


class Readable(Protocol):
    """Where records are read from when it is no local file: a remote one."""

    name: str

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> Any: ...
    def close(self) -> None: ...


def read_records(
    path: Path | Readable,
    types: Sequence[str] | None = ("response",),
    on_damage: Callable[[Damage], None] | None = None,
    max_record: int = MAX_RECORD,
) -> Iterator[Record]:
    """The records of `types` (None: all) in the file, in order; damage is stepped over, reported.

    path: .warc, .warc.gz, .warc.zst (the content says which), or a remote file
        (`warc.remote.RemoteFile`), which is closed at the end.
    max_record: a record whose block is longer, in bytes, is reported and left out; so is one that
        says less and inflates to more. It bounds the memory that a file can claim, to three times
        as much.

    A record is given only when its member is whole and its checksum fits; where a member holds
    several, each but the last is given as it comes. Raises GristmillError where there is no file.
    """
    for name in types or ():
        if name not in ALL_TYPES:
            raise GristmillError(f"no WARC record type '{name}'", mend=f"one of {ALL_TYPES}")
    file = _open(path) if isinstance(path, Path) else path
    name = path.name
    with closing(file):
        reading = Reading(name, types, on_damage or (lambda damage: None), max_record)
        yield from reading.records(Window(file, rereads=isinstance(path, Path)))


def read_record(
    path: Path | Readable, offset: int, inner: int = 0, *, length: int | None = None
) -> Record:
    """The record of any type that starts at `offset` (and `inner`, in a member of several).

    length: of its member in bytes, where an index tells it: no more is read then, and a gzip member
    of one record is inflated in a third of the time. One that lies costs nothing but that.

    Raises GristmillError where no whole one does.
    """
    file = _open(path) if isinstance(path, Path) else path
    with closing(file):
        reading = Reading(path.name, None, _raise, MAX_RECORD)
        if length is not None and inner == 0 and 0 < length <= MAX_RECORD:
            file.seek(offset)
            plain = reading.alone(file.read(length), offset)
            if plain is not None:
                return plain
            file.seek(0)
        window = Window(file, chunk=1 << 16)
        try:
            if offset and reading.needs_dictionary(window):
                reading.dictionary = dictionary_of(window)
            window.jump(offset)
            window.more(0)
            if window.data.startswith((GZIP, ZSTD)):
                reading.stored = "gzip" if window.data.startswith(GZIP) else "zstd"
                found = reading.member(window)
            elif window.data.startswith(b"WARC/"):
                found = reading.plain(window)
            else:
                raise Damaged
            for record in found:
                if record.inner == inner:
                    return record
        except (Damaged, CutOff, _Lost):
            pass
    raise GristmillError(f"no whole WARC record at byte {offset}", where=path.name)


class _Lost(Exception):
    pass


def _raise(damage: Damage) -> None:
    raise _Lost


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError as error:
        raise NoSuchFile("no such file", where=path) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise GristmillError(f"cannot be read: {why}", where=path) from error
