"""The compressed members of a WARC: gzip members (RFC 1952) and zstd frames (RFC 8878).

A member is read in one of two ways. One that lies whole in the window is inflated at once. One
that is long, holds several records, is the last of its file or looks odd goes through a `Member`,
a stream with a limit on what it gives at a time, that knows where the member ends.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import zstandard

from gristmill.data.warc.window import Window

GZIP = b"\x1f\x8b\x08"
ZSTD = b"\x28\xb5\x2f\xfd"
# The frame before all others that holds the dictionary of a .warc.zst.
ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"
_FEED = 1 << 16
_MAX_DICTIONARY = 16 << 20
# What a frame may ask its reader to remember; longer ones are refused.
_MAX_ZSTD_WINDOW = 32 << 20
# A member that inflates to more is not followed to its end, but searched for the next one.
_MAX_INFLATED = 1 << 30
_BLOCK = struct.Struct("<I")


class Damaged(Exception):
    """A member that cannot be inflated."""


class CutOff(Exception):
    """A member that the file's end cuts off."""


class Member(Protocol):
    """A member as a stream of what it inflates to. Raises Damaged and CutOff."""

    given: int
    """Bytes that it inflated to so far."""
    consumed: int
    """Where in the file, at least, the reading of it has come."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> None: ...
    def end(self) -> int:
        """Where in the file the member ends, when all was read."""
        ...


class _Forward:
    """The seek of a stream that cannot go back."""

    given = 0

    def read(self, size: int, /) -> bytes:
        raise NotImplementedError

    def seek(self, offset: int, /) -> None:
        if offset < self.given:
            raise Damaged
        while self.given < offset:
            if not self.read(min(_FEED, offset - self.given)) or self.given > _MAX_INFLATED:
                raise Damaged


class GzipMember(_Forward):
    """The gzip member that begins at the start of the window."""

    def __init__(self, window: Window):
        self._window = window
        self._unpacker = zlib.decompressobj(31)
        self._at = 0
        self._waiting = b""
        self.consumed = window.base

    def read(self, size: int, /) -> bytes:
        window, unpacker = self._window, self._unpacker
        while not unpacker.eof:
            feed = self._waiting
            if not feed:
                if self._at >= len(window.data):
                    if not window.more(self._at):
                        raise CutOff
                    self._at = 0
                feed = window.data[self._at : self._at + _FEED]
                self._at += len(feed)
                self.consumed = window.base + self._at
            try:
                piece = unpacker.decompress(feed, size)
            except zlib.error as error:
                raise Damaged from error
            self._waiting = unpacker.unconsumed_tail
            if piece:
                self.given += len(piece)
                return piece
        return b""

    def end(self) -> int:
        return self._window.base + self._at - len(self._unpacker.unused_data)


class ZstdMember(_Forward):
    """The zstd frame that begins at the start of the window."""

    def __init__(self, window: Window, dictionary: zstandard.ZstdCompressionDict | None):
        self._window = window
        self._pieces = _frame_pieces(self)
        self._at = 0
        self.consumed = window.base
        self._reader = _decompressor(dictionary).stream_reader(_Feeder(self._pieces))

    def read(self, size: int, /) -> bytes:
        try:
            piece: bytes = self._reader.read(size)
        except zstandard.ZstdError as error:
            raise Damaged from error
        self.given += len(piece)
        return piece

    def end(self) -> int:
        return self.consumed

    def take(self, size: int) -> bytes:
        """The next `size` bytes of the file."""
        if len(self._window.data) - self._at < size:
            self._window.more(self._at, size)
            self._at = 0
        piece = self._window.data[self._at : self._at + size]
        if len(piece) < size:
            raise CutOff
        self._at += size
        self.consumed = self._window.base + self._at
        return piece


class _Feeder:
    """What the decompressor reads from: the bytes of one frame and no more."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces

    def read(self, size: int) -> bytes:
        return next(self._pieces, b"")


def _frame_pieces(member: ZstdMember) -> Iterator[bytes]:
    head = member.take(5)
    if head[:4] != ZSTD:
        raise Damaged
    yield head
    yield member.take(_header_length(head[4]) - 5)
    last = False
    while not last:
        block = member.take(3)
        yield block
        last, length = _block(block + b"\0")
        yield member.take(length)
    if head[4] & 4:
        yield member.take(4)


def _header_length(descriptor: int) -> int:
    """Bytes of a frame's header with its magic number."""
    single = descriptor >> 5 & 1
    sizes = (1 if single else 0, 2, 4, 8)
    return 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + sizes[descriptor >> 6]


def _block(head: bytes) -> tuple[bool, int]:
    """Whether it is a frame's last block, and the bytes that follow its header."""
    value = _BLOCK.unpack(head)[0]
    kind = value >> 1 & 3
    if kind == 3:
        raise Damaged
    return bool(value & 1), 1 if kind == 1 else value >> 3


def frame_end(data: bytes, at: int) -> tuple[int, int]:
    """Where a zstd frame in `data` ends, and how much it inflates to at most.

    Raises Damaged where it is none, CutOff where it goes on after `data`.
    """
    if len(data) - at < 6:
        raise CutOff
    if data[at : at + 4] != ZSTD:
        raise Damaged
    checksum = 4 if data[at + 4] & 4 else 0
    at += _header_length(data[at + 4])
    last, most = False, 0
    while not last:
        if at + 4 > len(data) + 1:
            raise CutOff
        last, length = _block(data[at : at + 3] + b"\0")
        most += 1 << 17
        at += 3 + length
    if at + checksum > len(data):
        raise CutOff
    return at + checksum, most


def inflate_frame(
    frame: bytes, most: int, dictionary: zstandard.ZstdCompressionDict | None
) -> bytes:
    """What a whole zstd frame holds, at most `most` bytes. Raises Damaged."""
    try:
        with _decompressor(dictionary).stream_reader(frame) as reader:
            return bytes(reader.read(most))
    except zstandard.ZstdError as error:
        raise Damaged from error


def _decompressor(dictionary: zstandard.ZstdCompressionDict | None) -> Any:
    return zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_MAX_ZSTD_WINDOW)


def dictionary_of(window: Window) -> zstandard.ZstdCompressionDict | None:
    """The dictionary frame at the start of the window, which then stands behind it.

    It may be compressed itself. Raises Damaged and CutOff.
    """
    if window.data[:4] != ZSTD_DICTIONARY:
        return None
    while len(window.data) < 8:
        if not window.more(0):
            raise CutOff
    length = _BLOCK.unpack(window.data[4:8])[0]
    if length > _MAX_DICTIONARY:
        raise Damaged
    if len(window.data) < 8 + length:
        window.more(0, 8 + length)
        if len(window.data) < 8 + length:
            raise CutOff
    content = window.data[8 : 8 + length]
    if content[:4] == ZSTD:
        content = inflate_frame(content, _MAX_DICTIONARY, None)
    window.jump(window.base + 8 + length)
    try:
        found = zstandard.ZstdCompressionDict(content)
        _decompressor(found)
    except zstandard.ZstdError as error:
        raise Damaged from error
    return found


def gzip_heads(data: bytes) -> list[int]:
    """Where gzip members may begin in `data`.

    A scan of arrays: bytes.find looks at this three-letter pattern byte by byte.
    """
    return _heads(np.frombuffer(data, np.uint8)).tolist()


def gzip_stops(data: bytes) -> list[tuple[int, int]]:
    """Where a member that begins with `data` and those behind it may end, as another begins there,
    each with the length that it says to inflate to."""
    array = np.frombuffer(data, np.uint8)
    places = _heads(array)
    places = places[places >= 4]
    sizes = np.zeros(len(places), np.int64)
    for byte in range(4):
        sizes |= array[places + (byte - 4)].astype(np.int64) << 8 * byte
    return list(zip(places.tolist(), sizes.tolist(), strict=True))


def _heads(array: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    if len(array) < 4:
        return np.zeros(0, np.intp)
    places = np.flatnonzero(array[:-3] == GZIP[0])
    places = places[array[places + 1] == GZIP[1]]
    # Three of the flags are reserved and 0.
    return places[(array[places + 2] == GZIP[2]) & (array[places + 3] < 32)]


def begins_record(data: bytes, at: int, dictionary: zstandard.ZstdCompressionDict | None) -> bool:
    """Whether a member at `at` inflates to the beginning of a record."""
    try:
        if data[at : at + 3] == GZIP:
            return zlib.decompressobj(31).decompress(data[at : at + 4096], 5) == b"WARC/"
        if data[at : at + 4] == ZSTD:
            member = ZstdMember(_window_of(data[at : at + (1 << 18)]), dictionary)
            return member.read(5) == b"WARC/"
    except (zlib.error, Damaged, CutOff):
        pass
    return False


def _window_of(data: bytes) -> Window:
    window = Window(_Nothing())
    window.data = data
    return window


class _Nothing:
    def read(self, size: int, /) -> bytes:
        return b""

    def seek(self, offset: int, /) -> None:
        raise OSError
