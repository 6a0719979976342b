"""What the reader does with files that are cut, damaged, hostile, or only unusual."""

import gzip
import io
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator

from gristmill.core.errors import GristmillError
from gristmill.data.warc.reader import Damage, Losses, Record, read_record, read_records
from gristmill.data.warc.record import parse_http, unchunked
from gristmill.data.warc.writer import gzip_member, record_bytes

DATE = "2026-01-31T12:00:00Z"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def _record(i: int, size: int = 300, kind: str = "response") -> bytes:
    body = PAGE + random.Random(i).randbytes(size // 2).hex().encode()
    return record_bytes(kind, body, date=DATE, target_uri=f"http://a.example/{i}")


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def _as_is(data: bytes) -> bytes:
    return data


STORED: dict[str, Callable[[bytes], bytes]] = {
    "a.warc.gz": gzip_member,
    "a.warc.zst": _zstd,
    "a.warc": _as_is,
}


def _read(path: Path, types: tuple[str, ...] | None = None) -> tuple[list[Record], list[Damage]]:
    damage: list[Damage] = []
    return list(read_records(path, types, damage.append)), damage


@pytest.mark.parametrize("name", STORED)
def test_every_truncation_is_reported(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    members = [STORED[name](_record(i, 8)) for i in range(2)]
    data = b"".join(members)
    ends = [sum(map(len, members[: i + 1])) for i in range(2)]
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        records, damage = _read(path)
        whole = sum(e <= end for e in ends)
        assert len(records) == whole, end
        if end in ends:
            assert not damage, end
        else:
            begun = max([0, *(e for e in ends if e <= end)])
            assert [(d.offset, d.length, d.reason) for d in damage] == [
                (begun, end - begun, "truncated")
            ], end


@pytest.mark.parametrize("name", STORED)
def test_cuts_of_a_longer_file_are_reported(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    members = [STORED[name](_record(i, 40_000)) for i in range(40)]
    data = b"".join(members)
    ends = {sum(map(len, members[:i])) for i in range(41)}
    for end in random.Random(3).sample(range(1, len(data)), 25):
        path.write_bytes(data[:end])
        records, damage = _read(path)
        assert len(records) == sum(0 < e <= end for e in ends)
        assert [d.reason for d in damage] == ([] if end in ends else ["truncated"])


@pytest.mark.parametrize("name", STORED)
def test_one_damaged_record_of_200_costs_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    members = [STORED[name](_record(i)) for i in range(200)]
    starts = [sum(map(len, members[:i])) for i in range(200)]
    for victim in (0, 100, 199):
        data = bytearray(b"".join(members))
        if name.endswith(".warc"):
            at = data.index(b"Content-Length: ", starts[victim]) + 16
            data[at] = ord("9")
        else:
            at = starts[victim] + len(members[victim]) // 2
            data[at : at + 8] = bytes(b ^ 0xFF for b in data[at : at + 8])
        path.write_bytes(data)
        losses = Losses()
        urls = [r.url for r in read_records(path, None, losses)]
        assert urls == [f"http://a.example/{i}" for i in range(200) if i != victim]
        assert (losses.records, losses.bytes) == (1, len(members[victim]))


def test_a_damaged_first_byte_costs_the_first_record_only(tmp_path: Path) -> None:
    for name, store in STORED.items():
        path = tmp_path / name
        data = bytearray(b"".join(store(_record(i)) for i in range(5)))
        data[0] ^= 0xFF
        path.write_bytes(data)
        records, damage = _read(path)
        assert [r.url[-1] for r in records] == ["1", "2", "3", "4"], name
        assert len(damage) == 1


def _mutated(random_: random.Random, name: str) -> bytes:
    """A file of five records, one of them (or the whole file) made wrong in one of ten ways."""
    records = [_record(i, random_.choice((20, 300, 5000))) for i in range(5)]
    way = random_.randrange(10)
    victim = records[2]
    length = b"Content-Length: "
    at = victim.index(length) + len(length)
    end = victim.index(b"\r\n", at)
    if way == 0:
        wrong = random_.choice(
            (b"-1", b"0", b"9" * 5000, b"99999999999", b"1e3", b"", b"+7", b"1_0")
        )
        victim = victim[:at] + wrong + victim[end:]
    elif way == 1:
        victim = victim[:at] + str(random_.randrange(20_000)).encode() + victim[end:]
    elif way == 2:
        victim = victim.replace(b"\r\n\r\n", b"\r\n", random_.randrange(1, 3))
    elif way == 3:
        bomb = b"X-%d: y\r\n" * random_.randrange(1, 9_000)
        victim = victim.replace(b"WARC-Date", bomb + b"WARC-Date")
    elif way == 4:
        victim = victim.replace(b"WARC-Type: response", random_.choice((b"", b"WARC-Type:", b"x")))
    elif way == 5:
        victim = victim[: random_.randrange(len(victim))]
    records[2] = victim
    stored = [STORED[name](record) for record in records]
    if way == 6:
        stored[2] = gzip_member(b"\0" * 1_000_000)
    elif way == 7:
        stored[2] = STORED[name](records[1] + records[2]) + stored[2][: random_.randrange(60)]
    data = bytearray(b"".join(stored))
    if way in (8, 9):
        for _ in range(random_.randrange(1, 5)):
            place = random_.randrange(len(data))
            choice = random_.randrange(3)
            if choice == 0:
                data[place] ^= 1 << random_.randrange(8)
            elif choice == 1:
                del data[place : place + random_.randrange(1, 400)]
            else:
                data[place:place] = random_.randbytes(random_.randrange(1, 400))
    return bytes(data)


@pytest.mark.parametrize("name", STORED)
def test_mutated_records_neither_crash_nor_hang_nor_pass_unseen(name: str, tmp_path: Path) -> None:
    random_ = random.Random(7)
    path = tmp_path / name
    for number in range(340):
        path.write_bytes(_mutated(random_, name))
        records, damage = _read(path)
        assert len(records) + sum(d.records for d in damage) >= 3, number
        assert len(records) <= 7
        for record in records:
            record.http().whole_body()
            assert record.url is not None and record.headers is not None
        for found in damage:
            assert found.offset >= 0 and found.length > 0
            assert found.offset + found.length <= path.stat().st_size


def test_bombs_are_reported_within_bounded_memory(tmp_path: Path) -> None:
    size = 200 << 20
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    head = record_bytes("response", b"", date=DATE).replace(b"Length: 0", b"Length: %d" % size)[:-4]
    zeros = b"\0" * (1 << 20)
    zst = packer.compress(head) + b"".join(packer.compress(zeros) for _ in range(200))
    zst += packer.compress(b"\r\n\r\n") + packer.flush()
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(200):
            file.write(zeros)
        file.write(b"\r\n\r\n")
    lying = head.replace(b"%d" % size, b"100")
    gz_lying = gzip.compress(lying + zeros * 50, 1)
    for name, store, bombs in (
        ("a.warc.gz", gzip_member, (buffer.getvalue(), gz_lying)),
        ("a.warc.zst", _zstd, (zst, _zstd(lying + zeros * 50))),
    ):
        path = tmp_path / name
        data = b"".join(store(_record(0)) + bomb for bomb in bombs) + store(_record(1))
        path.write_bytes(data)
        tracemalloc.start()
        records, damage = _read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(records) == 3 and len(damage) == 2, name
        assert damage[0].reason == "record too long"
        assert peak < 64 << 20


def test_false_beginnings_without_end_do_not_hang(tmp_path: Path) -> None:
    """A file of nothing but heads of members that begin a record and never end."""
    begun = gzip_member(_record(0, 4000))[:400]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(begun * 1500 + gzip_member(_record(1)))
    started = time.process_time()
    records, damage = _read(path)
    assert [r.url for r in records] == ["http://a.example/1"]
    assert len(damage) == 1500
    plain = tmp_path / "a.warc"
    plain.write_bytes(b"WARC/1.1\r\nWARC-Type: x\r\nContent-Length: 9000000\r\n\r\n" * 20_000)
    assert _read(plain)[0] == []
    # Far from a limit on the clock: what is quadratic takes minutes here.
    assert time.process_time() - started < 20


def test_members_of_several_records_and_whole_files_in_one_member(tmp_path: Path) -> None:
    plain = b"".join(_record(i) for i in range(50))
    for name, data in (
        ("one.warc.gz", gzip.compress(plain)),
        (
            "pairs.warc.gz",
            b"".join(gzip_member(_record(i) + _record(i + 1)) for i in range(0, 50, 2)),
        ),
        ("one.warc.zst", _zstd(plain)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        records, damage = _read(path)
        assert [r.url for r in records] == [f"http://a.example/{i}" for i in range(50)], name
        assert not damage
        assert read_record(path, records[7].offset, records[7].inner) == records[7]
        path.write_bytes(data[:-9])
        records, damage = _read(path)
        assert [d.reason for d in damage] == ["truncated"]
        assert len(records) >= (0 if name.endswith("zst") else 40)


def test_a_zstd_file_with_a_dictionary(tmp_path: Path) -> None:
    """As the WARC-zstd specification puts it: a skippable frame before all others."""
    samples = [_record(i, 100) for i in range(400)]
    trained = zstandard.train_dictionary(4096, samples)
    compressor = zstandard.ZstdCompressor(dict_data=trained)
    frames = b"".join(compressor.compress(record) for record in samples[:20])
    for content in (trained.as_bytes(), _zstd(trained.as_bytes())):
        path = tmp_path / "a.warc.zst"
        path.write_bytes(struct.pack("<II", 0x184D2A5D, len(content)) + content + frames)
        records, damage = _read(path)
        assert ([r.url[-1] for r in records[:3]], len(records), damage) == (["0", "1", "2"], 20, [])
        assert read_record(path, records[9].offset) == records[9]
        wrong = bytearray(path.read_bytes())
        wrong[20] ^= 0xFF
        wrong[300] ^= 0xFF
        path.write_bytes(wrong)
        _, damage = _read(path)
        assert damage


def test_versions_casing_folding_and_kinds_of_records(tmp_path: Path) -> None:
    odd = (
        b"WARC/1.0\r\nwarc-type:REVISIT \r\nWarc-Target-Uri:<http://a.example/x>\r\n"
        b"WARC-Refers-To: <urn:uuid:1>\r\n  folded\r\nCONTENT-LENGTH:   4\r\n"
        b"WARC-Date: 2026\r\n\r\nabcd\r\n\r\n"
    )
    conversion = record_bytes("conversion", "Größe\n".encode(), date=DATE, target_uri="http://b/")
    unknown = record_bytes("screenshot", b"x", date=DATE)
    for name, store in STORED.items():
        path = tmp_path / name
        path.write_bytes(b"".join(map(store, (odd, conversion, unknown))))
        records, damage = _read(path)
        assert damage == []
        assert [r.type for r in records] == ["revisit", "conversion", "screenshot"]
        assert records[0].url == "http://a.example/x" and records[0].block == b"abcd"
        assert records[0].headers["warc-refers-to"] == "<urn:uuid:1> folded"
        assert [r.type for r in _read(path, ("revisit",))[0]] == ["revisit"]
        assert read_record(path, records[1].offset).block.decode() == "Größe\n"


def test_it_agrees_with_warcio(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(gzip_member(_record(i, 50 * i)) for i in range(60)))
    with open(path, "rb") as file:
        theirs = [
            (r.rec_type, r.rec_headers.get_header("WARC-Target-URI"), r.raw_stream.read())
            for r in ArchiveIterator(file, no_record_parse=True)
        ]
    assert [(r.type, r.url, r.block) for r in read_records(path, None)] == theirs


def test_a_type_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="no WARC record type"):
        list(read_records(tmp_path / "a.warc", ("page",)))


def test_chunked_bodies_whole_and_broken() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (
        parse_http(head + b"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n").whole_body() == b"Wikipedia"
    )
    assert parse_http(head + b"<html>").whole_body() == b"<html>"
    assert unchunked(b"4\r\nWiki\r\n9\r\nped") == b"Wikiped"
    assert unchunked(b"4\r\nWiki\r\nzz\r\nped") == b"Wiki"
    assert unchunked(b"-4\r\nWiki\r\n") is None
    assert unchunked(b"f" * 5000) is None
