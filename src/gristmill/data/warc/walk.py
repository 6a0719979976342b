"""The walk over one WARC file: member by member, record by record, and over what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import deflate

from gristmill.data.warc.members import (
    GZIP,
    ZSTD,
    ZSTD_DICTIONARY,
    CutOff,
    Damaged,
    GzipMember,
    Member,
    ZstdMember,
    begins_record,
    dictionary_of,
    frame_end,
    gzip_heads,
    gzip_stops,
    inflate_frame,
)
from gristmill.data.warc.record import ALL_TYPES, HEADER_END, Record, head_value
from gristmill.data.warc.window import Window

_HEADER_ROOM = 1 << 16
# Bytes of a member that show whether it begins a record.
_BEGINNING = 4096
_TYPES = {name.encode(): name for name in ALL_TYPES}
_LENGTH = b"\r\nContent-Length: "
_TYPE = b"\r\nWARC-Type: "
_FIRST_LINES = {
    version + _TYPE + kind: name
    for version in (b"WARC/1.0", b"WARC/1.1")
    for kind, name in _TYPES.items()
}
# A member of more compressed bytes than this goes through a stream.
_LONG_MEMBER = 4 << 20
# What may be inflated in vain for each byte of the file before false beginnings are skipped.
_VAIN_AT_FIRST, _VAIN_A_BYTE = 256 << 20, 8


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a file that gave no record: damaged, truncated (the file's end), too long.

    records: how many it held, at least.
    """

    file: str
    offset: int
    length: int
    reason: str
    records: int = 1


class Reading:
    """The reading of one file."""

    def __init__(
        self,
        name: str,
        types: Sequence[str] | None,
        report: Callable[[Damage], None],
        max_record: int,
    ):
        self.name = name
        self.types = frozenset(ALL_TYPES if types is None else types)
        self.every = types is None
        self.report = report
        self.limit = max_record
        self.stored = ""
        self.dictionary: Any = None
        self.vain = 0

    def records(self, window: Window) -> Generator[Record, None, None]:
        if not window.more(0):
            return
        while len(window.data) < 8 and window.more(0):
            pass
        self.stored = self.kind(window)
        if self.stored == "plain":
            yield from self.plain(window)
        elif self.stored == "gzip":
            yield from self.gzip(window)
        else:
            try:
                self.dictionary = dictionary_of(window)
            except (Damaged, CutOff):
                start = window.base
                self.search(window, start + 1)
                self.damaged(window, start, "damaged dictionary")
            yield from self.zstd(window)

    def needs_dictionary(self, window: Window) -> bool:
        window.more(0)
        return window.data[:4] == ZSTD_DICTIONARY

    def kind(self, window: Window) -> str:
        """By the first bytes; by the name where damage is there."""
        data, name = window.data, self.name.lower()
        if data.startswith(b"WARC/"):
            return "plain"
        if data.startswith(GZIP) or name.endswith((".gz", ".gzip")):
            return "gzip"
        if data.startswith((ZSTD, ZSTD_DICTIONARY)) or name.endswith((".zst", ".zstd")):
            return "zstd"
        return "plain"

    # Members that lie whole in the window, one record each: nearly all there are.

    def gzip(self, window: Window) -> Generator[Record, None, None]:
        inflate, new, name = deflate.gzip_decompress, tuple.__new__, self.name
        limit = self.limit
        kinds, types = _FIRST_LINES, self.types
        while True:
            data, base = window.data, window.base
            at = 0
            odd = False
            for stop, size in gzip_stops(data):
                # What it says of its size is checked by inflating; till then it bounds the memory.
                if size > limit:
                    odd = True
                    break
                try:
                    text = inflate(data[at:stop], size)
                except deflate.DeflateError:
                    odd = True
                    break
                middle = text.find(HEADER_END)
                head = bytes(text[: middle + 2])
                # As most writers write it; anything else is read with more care below.
                kind = kinds.get(head[: head.find(b"\r", 10)])
                length = head.partition(_LENGTH)[2].partition(b"\r")[0]
                if kind is None or length != b"%d" % (size - middle - 8):
                    odd = True
                    break
                if kind in types:
                    del text[: middle + 4], text[-4:]
                    yield new(Record, (kind, head, bytes(text), name, base + at, 0))
                at = stop
            if not odd and not window.ended and len(data) - at < _LONG_MEMBER:
                window.more(at)
                continue
            window.jump(base + at)
            if not window.data and not window.more(0):
                return
            yield from self.member_or_damage(window)

    def zstd(self, window: Window) -> Generator[Record, None, None]:
        while window.data or window.more(0):
            at, data, cut = 0, window.data, False
            while at < len(data):
                try:
                    end, most = frame_end(data, at)
                    if most > self.limit:
                        break
                    text = inflate_frame(data[at:end], most, self.dictionary)
                except CutOff:
                    cut = True
                    break
                except Damaged:
                    break
                record = self.single(text, window.base + at)
                if record is None:
                    break
                if self.every or record.type in self.types:
                    yield record
                at = end
            if cut and not window.ended and len(data) - at < _LONG_MEMBER:
                window.more(at)
                continue
            window.jump(window.base + at)
            if window.data or window.more(0):
                yield from self.member_or_damage(window)

    def alone(self, member: bytes, offset: int) -> Record | None:
        """The record that is all of a gzip member; None where it is not that plain."""
        # As in `gzip`: what it says of its size bounds the memory, and inflating checks it.
        size = int.from_bytes(member[-4:], "little")
        if not member.startswith(GZIP) or len(member) < 18 or size > self.limit:
            return None
        try:
            text = bytes(deflate.gzip_decompress(member, size))
        except deflate.DeflateError:
            return None
        return self.single(text, offset) if len(text) == size else None

    def single(self, text: bytes, offset: int) -> Record | None:
        """The record that is all of `text`; None where it is not that plain."""
        found = _measure(text, 0, len(text))
        if found is None or found[1] + 4 != len(text) or text[-4:] != HEADER_END:
            return None
        middle, end, kind = found
        return Record(kind, text[: middle - 2], text[middle:end], self.name, offset)

    # All other members.

    def member_or_damage(self, window: Window) -> Generator[Record, None, None]:
        """The records of the member at the window's start, and the window behind it; where it is
        damaged, the damage, and the window at the next one that begins a record."""
        start, data = window.base, window.data
        if not data.strip(b"\0") and self.only_zeros(window):
            # Zero bytes behind the last member are padding of tapes and block devices.
            return
        try:
            yield from self.member(window)
        except (Damaged, CutOff) as error:
            resume = start + 1
            if self.vain > _VAIN_AT_FIRST + _VAIN_A_BYTE * start:
                resume = max(resume, window.base)
            self.search(window, resume)
            cut = isinstance(error, CutOff) and not window.data
            self.damaged(window, start, "truncated" if cut else "damaged")

    def only_zeros(self, window: Window) -> bool:
        start = window.base
        while not window.data.strip(b"\0"):
            if not window.more(len(window.data)):
                return True
        window.jump(start)
        if not window.data:
            window.more(0)
        return False

    def member(self, window: Window) -> Generator[Record, None, None]:
        """The records of the member at the window's start. Raises Damaged and CutOff."""
        start = window.base
        while len(window.data) < 4 and window.more(0):
            pass
        magic = ZSTD if self.stored == "zstd" else GZIP
        begun = window.data[: len(magic)]
        if begun != magic[: len(begun)]:
            raise Damaged
        if len(begun) < len(magic):
            window.jump(start + len(window.data))
            raise CutOff
        member: Member
        if self.stored == "zstd":
            member = ZstdMember(window, self.dictionary)
        else:
            member = GzipMember(window)
        inside: list[Damage] = []
        held: Record | None = None
        plain = Reading(self.name, None, inside.append, self.limit)
        try:
            for record in plain.plain(Window(member, chunk=1 << 16)):
                record = record._replace(inner=record.offset, offset=start)
                # The last one waits for the member's end, where its checksum stands.
                if held is not None:
                    yield held
                held = record if self.every or record.type in self.types else None
            while member.read(1 << 16):
                pass
        except (Damaged, CutOff):
            self.vain += member.given
            raise
        if held is not None:
            yield held
        end = member.end()
        window.jump(end)
        if inside:
            reasons = {damage.reason for damage in inside}
            reason = "record too long" if reasons == {"record too long"} else "damaged"
            lost = sum(damage.records for damage in inside)
            self.report(Damage(self.name, start, end - start, reason, lost))

    def search(self, window: Window, offset: int) -> None:
        """Moves the window to the next member from `offset` that begins a record, or the end."""
        window.jump(offset)
        if not window.data and not window.more(0):
            return
        while True:
            data = window.data
            rest = max(0, len(data) - 3)
            for at in self.beginnings(data):
                if len(data) - at < _BEGINNING and not window.ended:
                    rest = at
                    break
                if begins_record(data, at, self.dictionary):
                    window.jump(window.base + at)
                    return
            if window.ended:
                window.jump(window.base + len(data))
                return
            window.more(rest)

    def beginnings(self, data: bytes) -> list[int]:
        return _all(data, ZSTD) if self.stored == "zstd" else gzip_heads(data)

    def damaged(self, window: Window, start: int, reason: str, records: int = 1) -> None:
        self.report(Damage(self.name, start, window.base - start, reason, records))

    # Records as they are, in a file or inside a member.

    def plain(self, window: Window) -> Generator[Record, None, None]:
        at, name, new = 0, self.name, tuple.__new__
        kinds, types = _FIRST_LINES, self.types
        while True:
            data, base, limit = window.data, window.base, self.limit
            while True:
                middle = data.find(HEADER_END, at, at + _HEADER_ROOM)
                head = data[at : middle + 2]
                kind = kinds.get(head[: head.find(b"\r", 10)])
                length = head.partition(_LENGTH)[2].partition(b"\r")[0]
                if kind is None or not length.isdigit() or len(length) > 9:
                    break
                end = middle + 4 + int(length)
                if not data.startswith(HEADER_END, end) or int(length) > limit:
                    break
                if kind in types:
                    yield new(Record, (kind, head, data[middle + 4 : end], name, base + at, 0))
                at = end + 4
            # As most writers write it; anything else is read with more care here.
            data = window.data
            if at >= len(data) or not data.startswith(b"WARC/", at):
                if len(data) - at < 16 and not window.ended:
                    window.more(at)
                    at = 0
                    continue
                # Empty lines between records are the work of writers that count otherwise.
                blank = len(data) - len(data[at:].lstrip(b"\r\n\0"))
                if blank > at and (blank == len(data) or data.startswith(b"WARC/", blank)):
                    at = blank
                    continue
                if at >= len(data):
                    return
            measured = _measure(data, at, min(len(data), at + _HEADER_ROOM))
            if measured is None and len(data) - at < _HEADER_ROOM and not window.ended:
                window.more(at, _HEADER_ROOM)
                at = 0
                continue
            if measured is not None:
                middle, end, kind = measured
                if end - middle > self.limit:
                    window.jump(window.base + at)
                    at = 0
                    if self.step_over(window, end - at):
                        continue
                    data = window.data
                elif end + 4 > len(data) and not window.ended:
                    window.more(at, end + 4 - at)
                    at = 0
                    continue
                elif data[end : end + 4] == HEADER_END or data.startswith(b"WARC/1.", end):
                    if self.every or kind in types:
                        head, block = data[at : middle - 2], data[middle:end]
                        yield Record(kind, head, block, self.name, window.base + at)
                    at = end + 4 if data[end : end + 4] == HEADER_END else end
                    continue
            at = self.resynchronise(window, at, measured)

    def step_over(self, window: Window, length: int) -> bool:
        """Over a record that is too long, where one of that length is there."""
        start = window.base
        window.jump(start + length)
        window.more(0, 4)
        if window.data[:4] == HEADER_END:
            window.jump(window.base + 4)
            self.damaged(window, start, "record too long")
            return True
        window.jump(start)
        window.more(0)
        return False

    def resynchronise(self, window: Window, at: int, measured: tuple[int, int, str] | None) -> int:
        """From a record that is not whole to the next one that begins; where it is in the window.

        measured: what the record says of itself, where it says it.
        """
        start = window.base + at
        cut = measured is not None and measured[1] + 4 > len(window.data) and window.ended
        cut = cut or (measured is None and window.ended and _is_cut_head(window.data, at))
        at += 1
        while (found := window.data.find(b"\nWARC/1.", at - 1)) < 0:
            if window.ended:
                found = len(window.data)
                break
            window.more(max(at, len(window.data) - 8))
            at = 1
        else:
            found += 1
            cut = False
        reason = "truncated" if cut else "damaged"
        self.report(Damage(self.name, start, window.base + found - start, reason))
        return found


def _measure(data: bytes, at: int, room: int) -> tuple[int, int, str] | None:
    """Of the record at `at`: where its block begins, where it ends, and its type.

    None where it has no head that ends before `room`, or one that does not say these things.
    """
    middle = data.find(HEADER_END, at, room)
    if middle < 0 or data[at : at + 5] != b"WARC/":
        return None
    head = data[at : middle + 2]
    length = head_value(head, _LENGTH)
    kind = head_value(head, _TYPE)
    if length is None or not length.isdigit() or len(length) > 18 or not kind:
        return None
    known = _TYPES.get(kind) or kind.decode("ascii", "replace").lower()
    return middle + 4, middle + 4 + int(length), known


def _is_cut_head(data: bytes, at: int) -> bool:
    """Whether the data end inside a head of a record."""
    begun = data[at : at + 5]
    return begun == b"WARC/"[: len(begun)] and data.find(HEADER_END, at, at + _HEADER_ROOM) < 0


def _all(data: bytes, pattern: bytes) -> list[int]:
    found, at = [], -1
    while (at := data.find(pattern, at + 1)) >= 0:
        found.append(at)
    return found
