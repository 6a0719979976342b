"""Content encodings undone, with a limit on what comes out: a bomb stops at the limit."""

from __future__ import annotations

import io
import zlib

import brotli
import zstandard

_STEP = 1 << 16
_PIECE = 1 << 14
_MAX_LAYERS = 2
_MAX_MEMBERS = 10_000
_MAX_WINDOW = 8 << 20


class BadEncoding(Exception):
    """The body is not what its Content-Encoding says, or an encoding is unknown."""


class TooLarge(Exception):
    """More bytes than the limit."""


def decode_body(body: bytes, encodings: str, limit: int) -> bytes:
    """`body` without its Content-Encodings (`gzip`, `deflate`, `br`, `zstd`, in applied order).

    Raises TooLarge past `limit` bytes, BadEncoding for damaged data or more than two layers.
    """
    names = [name.strip().lower() for name in encodings.split(",")]
    names = [name for name in names if name and name != "identity"]
    if len(names) > _MAX_LAYERS:
        raise BadEncoding("too many layers")
    for name in reversed(names):
        try:
            if name in ("gzip", "x-gzip"):
                body = _inflate(body, 31, limit)
            elif name == "deflate":
                # Servers send it with and without the zlib header.
                wrapped = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
                body = _inflate(body, 15 if wrapped else -15, limit)
            elif name == "br":
                body = _brotli(body, limit)
            elif name == "zstd":
                body = _zstd(body, limit)
            else:
                raise BadEncoding(name[:20])
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise BadEncoding(f"{name}: {error}") from error
    if len(body) > limit:
        raise TooLarge
    return body


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    parts: list[bytes] = []
    total = members = 0
    unpacker = zlib.decompressobj(window)
    # In small pieces: what follows a member is copied at its end, and a body may have a member
    # every twenty bytes.
    for start in range(0, len(body), _PIECE):
        piece = body[start : start + _PIECE]
        while piece:
            if unpacker.eof:
                # Several members one after the other are one body; anything else is ignored.
                if window != 31 or piece[0] != 0x1F:
                    return b"".join(parts)
                members += 1
                if members > _MAX_MEMBERS:
                    raise BadEncoding("too many members")
                unpacker = zlib.decompressobj(window)
            part = unpacker.decompress(piece, limit - total + 1)
            total += len(part)
            parts.append(part)
            if total > limit:
                raise TooLarge
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise BadEncoding("cut off")
    return b"".join(parts)


def _brotli(body: bytes, limit: int) -> bytes:
    unpacker = brotli.Decompressor()
    parts = [unpacker.process(body, output_buffer_limit=_STEP)]
    total = len(parts[0])
    while not unpacker.is_finished():
        if unpacker.can_accept_more_data():
            raise BadEncoding("cut off")
        part = unpacker.process(b"", output_buffer_limit=_STEP)
        total += len(part)
        if total > limit:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def _zstd(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    with unpacker.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        while part := reader.read(_STEP):
            total += len(part)
            if total > limit:
                raise TooLarge
            parts.append(part)
    return b"".join(parts)
