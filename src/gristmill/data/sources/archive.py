"""Members of zip and tar archives, read in memory: nothing is written, so nothing can escape.

A name that leads out of the archive is refused, links and devices are not followed, and sizes and
counts are limited by what comes out, not by what the archive claims.
"""

from __future__ import annotations

import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gristmill.data.sources.packed import DAMAGE, open_packed
from gristmill.data.sources.record import MAX_BYTES

MAX_MEMBERS = 200_000
_RATIO = 200
_FREE = 256 << 20
_BAD = (*DAMAGE, tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError,
        NotImplementedError, ValueError, KeyError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """A member: its name and bytes, or why it has none. `harmless`: by its nature, nothing bad."""

    name: str
    data: bytes = b""
    problem: str | None = None
    harmless: bool = False


def is_archive(head: bytes) -> bool:
    """Whether decompressed bytes begin a zip or tar archive."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) or head[257:262] == b"ustar"


def members(path: Path, zipped: bool) -> Iterator[Member]:
    """The files of an archive in its order; what is wrong with it is the last one."""
    left = _FREE + _RATIO * path.stat().st_size
    try:
        found = _zip(path) if zipped else _tar(path)
        for count, member in enumerate(found):
            left -= len(member.data)
            if left < 0 or count >= MAX_MEMBERS:
                yield Member("", problem="archive too large", data=b"")
                return
            yield member
    except _BAD as error:
        yield Member(str(error)[:200], problem="damaged archive")


def safe_name(name: str) -> str | None:
    """A member's name as a path below the archive; None for one that leads elsewhere."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match(r"[A-Za-z]:", plain) or "\0" in plain:
        return None
    path = posixpath.normpath(plain)
    return None if path.startswith("..") or path == "." else path


def _tar(path: Path) -> Iterator[Member]:
    with open_packed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            if info.isdir():
                continue
            name = safe_name(info.name)
            if name is None:
                yield Member(info.name[:200], problem="name leads out of the archive")
            elif info.issym() or info.islnk():
                yield Member(name, problem="link", harmless=True)
            elif not info.isfile():
                yield Member(name, problem="no regular file")
            elif info.size > MAX_BYTES:
                yield Member(name, problem="too large")
            else:
                file = archive.extractfile(info)
                yield Member(name, file.read() if file else b"")


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            name = safe_name(info.filename)
            mode = info.external_attr >> 16
            if name is None:
                yield Member(info.filename[:200], problem="name leads out of the archive")
            elif stat.S_ISLNK(mode):
                yield Member(name, problem="link", harmless=True)
            elif info.flag_bits & 1:
                yield Member(name, problem="encrypted")
            elif info.file_size > MAX_BYTES:
                yield Member(name, problem="too large")
            else:
                try:
                    with archive.open(info) as file:
                        data = file.read(MAX_BYTES + 1)
                except _BAD as error:
                    yield Member(name, problem="damaged member", data=str(error).encode()[:200])
                    continue
                if len(data) > MAX_BYTES:
                    yield Member(name, problem="too large")
                else:
                    yield Member(name, data)
