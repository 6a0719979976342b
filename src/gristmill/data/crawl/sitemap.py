"""Addresses in a sitemap (sitemaps.org protocol 0.9), found by one linear scan while it arrives.

No XML parser: entities and nesting of a hostile file then cost nothing. The file is never held: a
gzipped one is inflated piece by piece, and of each piece only an address that it cuts is kept.
"""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator

from gristmill.data.crawl.decode import BadEncoding, TooLarge
from gristmill.data.crawl.urls import BadUrl, normalise

MAX_URLS = 50_000
MAX_BYTES = 52_428_800
"""The protocol's bounds of one file, without compression."""
_MAX_CHARACTERS = 16 << 20  # of all addresses of a file: what one that is made to hurt costs
_LOC = re.compile(r"<(?:\w{1,20}:)?loc>([^<]{1,4000})</", re.IGNORECASE)
_LOC_END = re.compile(rb"</(?:\w{1,20}:)?loc>", re.IGNORECASE)
_INDEX = re.compile(rb"<(?:\w{1,20}:)?sitemapindex[\s>]", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[([^\]<]{1,4000})\]\]>")
_SPACE = re.compile(rb"\s")
_HEAD = 4000
_LONGEST = 1 << 14  # bytes of an address with its element
_STEP = 1 << 18
_KIND = 200  # bytes that show whether it is XML
_MAX_MEMBERS = 1000
_GZIP = b"\x1f\x8b"
_LAYERS = 2  # a file named .xml.gz, sent with a content encoding


class Sitemap:
    """A sitemap that arrives in pieces. Plain text lists and gzipped files count too.

    limit: bytes of the file without compression.
    """

    def __init__(self, limit: int = MAX_BYTES):
        self._limit = limit
        self._unpackers: list[zlib._Decompress] = []
        self._begun, self._sniffed = b"", False
        self._head = b""
        self._rest = b""
        self._size = self._characters = self._seen = self._members = 0
        self._urls: dict[str, None] = {}

    @property
    def is_index(self) -> bool:
        """Whether it lists further sitemaps."""
        return _INDEX.search(self._head) is not None

    @property
    def urls(self) -> list[str]:
        """The normalised addresses found so far."""
        return list(self._urls)

    def feed(self, piece: bytes) -> bool:
        """Reads on; False where no more is wanted, since it lists as many as a sitemap may.

        Raises BadEncoding for a gzipped file that is damaged, TooLarge past the limit.
        """
        return all(self._take(data) for data in self._unpacked(piece, 0))

    def _take(self, data: bytes) -> bool:
        """Looks at a piece of the file itself."""
        self._size += len(data)
        if self._size > self._limit:
            raise TooLarge
        self._head += data[: _HEAD - len(self._head)]
        self._rest += data
        if len(self._head) >= _KIND:
            self._scan(self._cut())
        return not self._full

    @property
    def _full(self) -> bool:
        return self._seen >= MAX_URLS or self._characters >= _MAX_CHARACTERS

    def end(self) -> None:
        """All has arrived. Raises BadEncoding where a gzipped file breaks off."""
        if self._full:
            return
        if any(not unpacker.eof for unpacker in self._unpackers):
            raise BadEncoding("cut off")
        self._take(self._begun)
        self._begun = b""
        self._scan(len(self._rest))

    def _unpacked(self, piece: bytes, layer: int) -> Iterator[bytes]:
        """What a piece holds, in steps of bounded size."""
        if layer == len(self._unpackers):
            piece, self._begun = self._begun + piece, b""
            if not self._sniffed and len(piece) < len(_GZIP):
                self._begun = piece
                return
            if self._sniffed or piece[:2] != _GZIP:
                self._sniffed = True
                yield piece
                return
            if layer == _LAYERS:
                raise BadEncoding("too many layers")
            self._unpackers.append(zlib.decompressobj(31))
        while piece:
            unpacker = self._unpackers[layer]
            if unpacker.eof:
                # Several members one after the other are one file; anything else is ignored.
                if piece[0] != _GZIP[0]:
                    return
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise BadEncoding("too many members")
                unpacker = self._unpackers[layer] = zlib.decompressobj(31)
            try:
                data = unpacker.decompress(piece, _STEP)
            except zlib.error as error:
                raise BadEncoding(f"gzip: {error}") from error
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            if data:
                yield from self._unpacked(data, layer + 1)

    def _cut(self) -> int:
        """Where the addresses end that have arrived whole."""
        if b"<" in self._head[:_KIND]:
            ends = [match.end() for match in _LOC_END.finditer(self._rest)]
        else:
            ends = [match.end() for match in _SPACE.finditer(self._rest)]
        if ends:
            return ends[-1]
        # Nothing of that length is an address.
        return max(0, len(self._rest) - _LONGEST) if len(self._rest) > 4 * _LONGEST else 0

    def _scan(self, cut: int) -> None:
        text = self._rest[:cut].decode("utf-8", "replace").removeprefix("\ufeff")
        self._rest = self._rest[cut:]
        if b"<" in self._head[:_KIND]:
            text = _CDATA.sub(r"\1", text)
            found = [html.unescape(match) for match in _LOC.findall(text)]
        else:
            found = text.split()
        for address in found[: MAX_URLS - self._seen]:
            self._seen += 1
            try:
                url = normalise(address.strip())
            except BadUrl:
                continue
            if url not in self._urls:
                self._urls[url] = None
                self._characters += len(url)


def read_sitemap(body: bytes, limit: int = MAX_BYTES) -> tuple[bool, list[str]]:
    """(whether it lists further sitemaps, normalised addresses) of a whole file.

    Raises BadEncoding or TooLarge for a gzipped file that is damaged or inflates past `limit`.
    """
    sitemap = Sitemap(limit)
    sitemap.feed(body)
    sitemap.end()
    return sitemap.is_index, sitemap.urls
