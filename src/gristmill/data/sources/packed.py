"""Compressed files read as streams: gzip, bzip2, xz and Zstandard, by their first bytes.

What comes out is never held whole, and a stream whose output is out of all proportion to the file
is a bomb: reading stops there, as at any other damage.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import IO, Any, cast

import zstandard

_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_MAX_WINDOW = 1 << 27
# Text that is worth having never shrinks to a thousandth; JSON of repeated rows to a hundredth.
_MAX_RATIO = 2000
_FREE = 256 << 20


class Bomb(OSError):
    """A stream that grows without end."""


DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What reading a damaged or hostile compressed file raises."""


def open_packed(path: Path) -> io.BufferedIOBase:
    """The content of a file, decompressed where its first bytes say that it is compressed."""
    file = open(path, "rb")  # noqa: SIM115  (closed with what is returned)
    head = file.read(6)
    file.seek(0)
    if not head.startswith(_MAGICS):
        return file
    return unpacked(file, head, path.stat().st_size)


def unpacked(file: io.BufferedIOBase, head: bytes, size: int) -> io.BufferedIOBase:
    """A buffered reader of what the compressed `file` of `size` bytes holds."""
    inner: Any
    if head.startswith(b"\x1f\x8b"):
        inner = gzip.GzipFile(fileobj=file, mode="rb")
    elif head.startswith(b"BZh"):
        inner = bz2.BZ2File(file, "rb")
    elif head.startswith(b"\xfd7zXZ\x00"):
        inner = lzma.LZMAFile(cast("IO[bytes]", file), "rb", format=lzma.FORMAT_XZ)  # noqa: SIM115
    else:
        inner = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(
            cast("IO[bytes]", file), read_across_frames=True, closefd=False
        )
    limited = _Limited(inner, file, _FREE + _MAX_RATIO * size)
    return io.BufferedReader(limited, 1 << 18)


class _Limited(io.RawIOBase):
    """Reads from `inner` up to `limit` bytes; closes the file below it too."""

    def __init__(self, inner: Any, file: io.BufferedIOBase, limit: int):
        self._inner, self._file, self._left = inner, file, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # `read` would lose what stands before damage, `read1` gives it first.
        data = self._inner.read1(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise Bomb("it grows out of all proportion when decompressed")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._file.close()
        super().close()
