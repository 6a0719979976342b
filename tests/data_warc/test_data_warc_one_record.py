"""One record by its place, with and without its length."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.warc.reader import Record, read_record
from gristmill.data.warc.writer import record_bytes


def _member(record: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(record) + packer.flush()


def _record(text: bytes) -> bytes:
    return record_bytes("response", text, date="2026-01-31T12:00:00Z", target_uri="http://a/")


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, list[tuple[int, int]]]:
    members = [_member(_record(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * n)) for n in (10, 70_000, 0)]
    places, at = [], 0
    for member in members:
        places.append((at, len(member)))
        at += len(member)
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(members))
    return path, places


def test_a_length_changes_nothing(stored: tuple[Path, list[tuple[int, int]]]) -> None:
    path, places = stored
    for offset, length in places:
        wanted = read_record(path, offset)
        assert isinstance(wanted, Record) and wanted.offset == offset
        # One that lies too: shorter, over the next member, past the end of the file.
        for told in (length, length - 1, 1, length + 5, length + 20, 1 << 20, 0, -3):
            assert read_record(path, offset, length=told) == wanted


def test_damage_is_told_with_a_length_too(stored: tuple[Path, list[tuple[int, int]]]) -> None:
    path, places = stored
    offset, length = places[1]
    data = bytearray(path.read_bytes())
    data[offset + length - 6] ^= 1  # in the checksum
    path.write_bytes(bytes(data))
    with pytest.raises(GristmillError, match="no whole WARC record"):
        read_record(path, offset, length=length)


def test_a_plain_file_and_several_records_in_a_member(tmp_path: Path) -> None:
    path = tmp_path / "b.warc"
    one, two = _record(b"one"), _record(b"two")
    path.write_bytes(one + two)
    assert read_record(path, len(one), length=len(two)).block == b"two"
    packed = tmp_path / "c.warc.gz"
    packed.write_bytes(_member(one + two))
    size = packed.stat().st_size
    assert read_record(packed, 0, length=size).block == b"one"
    assert read_record(packed, 0, len(one), length=size).block == b"two"
