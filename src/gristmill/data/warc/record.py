"""A WARC record and the HTTP message in it (ISO 28500; RFC 9112 for the message)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from gristmill.core.errors import GristmillError

ALL_TYPES = (
    "warcinfo",
    "response",
    "resource",
    "request",
    "metadata",
    "revisit",
    "conversion",
    "continuation",
)
HEADER_END = b"\r\n\r\n"
_HTTP_END = re.compile(rb"\r?\n\r?\n")
_URI = b"\r\nWARC-Target-URI: "
_MAX_HTTP_HEAD = 1 << 18
_MAX_CHUNK_LINE = 1 << 12


class Record(NamedTuple):
    """A record: its type, the lines of its head, its block, and where it was found.

    A tuple, because making an object of each of millions of records is what reading them costs.
    """

    type: str
    head: bytes
    """From `WARC/1.1` to the CRLF of its last field."""
    block: bytes
    file: str = ""
    offset: int = 0
    """Where the record begins in its file, or the gzip member or zstd frame that holds it."""
    inner: int = 0
    """Its place in what that member inflates to: 0 where it is alone there."""

    @property
    def headers(self) -> dict[str, str]:
        """Values by name in lower case; of a name that stands there twice, the first."""
        return header_fields(self.head)

    @property
    def url(self) -> str:
        """The target URI; some old writers put it between angle brackets."""
        value, _, rest = self.head.partition(_URI)[2].partition(b"\r\n")
        # Absent, folded over two lines or in other letters: the careful way.
        if not value or rest[:1] in (b" ", b"\t"):
            return self.headers.get("warc-target-uri", "").strip("<>")
        return value.strip(b" \t<>").decode("utf-8", "replace")

    @property
    def record_id(self) -> str:
        return self.headers.get("warc-record-id", "")

    @property
    def date(self) -> str:
        return self.headers.get("warc-date", "")

    def http(self) -> HttpMessage:
        """The HTTP message in the block of a response or request record."""
        return parse_http(self.block)


def header_fields(head: bytes) -> dict[str, str]:
    """The fields below the first line of a record's head, folded lines joined."""
    fields: dict[str, str] = {}
    name = ""
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] = f"{fields[name]} {line.strip()}".strip()
            continue
        key, colon, value = line.partition(":")
        key = key.strip().lower()
        # A second field of the same name is left out, and so are the lines that continue it.
        name = key if colon and key and key not in fields else ""
        if name:
            fields[name] = value.strip()
    return fields


def head_value(head: bytes, name: bytes) -> bytes | None:
    """The first value of a field in a head that ends in CRLF; None where it has none.

    name: as most writers write it, `\\r\\nWARC-Type: `; any other case is found too, slower.
    """
    at = head.find(name)
    if at < 0:
        name = name.rstrip().lower()
        at = head.lower().find(b"\r\n" + name.lstrip())
        if at < 0:
            return None
        at += 2 + len(name.lstrip())
    else:
        at += len(name)
    return head[at : head.find(b"\r\n", at)].strip()


class NoSuchFile(GristmillError):
    """A file that is named and not there: in a list of thousands one is lost, not the list."""


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

    def whole_body(self) -> bytes:
        """The body without its chunks, where it was stored as it came over the wire.

        Some writers undo the chunks and keep the header: then the body is no series of chunks, and
        is given as it is.
        """
        if "chunked" not in self.header("transfer-encoding").lower():
            return self.body
        joined = unchunked(self.body)
        return self.body if joined is None else joined


def parse_http(block: bytes) -> HttpMessage:
    """The message in a block; lines that are no headers are left out."""
    end = _HTTP_END.search(block, 0, _MAX_HTTP_HEAD)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    lines = head[:_MAX_HTTP_HEAD].decode("utf-8", "replace").splitlines() or [""]
    words = lines[0].split(None, 2)
    status = 0
    if words and words[0].startswith("HTTP/") and len(words) > 1:
        code = words[1][:3]
        status = int(code) if code.isascii() and code.isdigit() else 0
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip(), value.strip()))
    return HttpMessage(status, tuple(headers), body)


def unchunked(body: bytes) -> bytes | None:
    """A chunked body joined (RFC 9112, section 7.1), as far as it is whole; None where it is none.

    A body that breaks off inside a chunk gives what came before and the part of that chunk.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        end = body.find(b"\r\n", at, at + _MAX_CHUNK_LINE)
        digits = body[at:end].split(b";", 1)[0].strip() if end >= 0 else b""
        if not digits or len(digits) > 8 or digits.strip(b"0123456789abcdefABCDEF"):
            return b"".join(parts) if parts else None
        size = int(digits, 16)
        if size == 0:
            break
        at = end + 2 + size
        parts.append(body[end + 2 : at])
        if body[at : at + 2] not in (b"\r\n", b""):
            return b"".join(parts) if len(parts) > 1 else None
        at += 2
    return b"".join(parts)
