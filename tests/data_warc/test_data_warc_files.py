"""Records written, read back, checked by warcio, and read past damage."""

import gzip
import io
import random
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.data.warc.reader import (
    MAX_RECORD,
    Damage,
    Record,
    parse_http,
    read_record,
    read_records,
)
from gristmill.data.warc.writer import WarcWriter, gzip_member, record_bytes, sha1_base32

DATE = "2026-01-31T12:00:00Z"


def _response(i: int, size: int = 900) -> bytes:
    body = random.Random(i).randbytes(size).hex().encode()
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Two: a: b\r\n\r\n" + body
    return record_bytes(
        "response",
        block,
        date=DATE,
        target_uri=f"http://a.example/{i}",
        content_type="application/http; msgtype=response",
        payload_digest=sha1_base32(body),
    )


def _write(folder: Path, records: int = 200, size: int = 900, **options: int) -> list[int]:
    with WarcWriter(folder, date=DATE, info=[("software", "test")], **options) as writer:
        return [writer.write(_response(i, size))[0].offset for i in range(records)]


def _read(path: Path, **options: object) -> tuple[list[Record], list[Damage]]:
    damage: list[Damage] = []
    return list(read_records(path, on_damage=damage.append, **options)), damage  # type: ignore[arg-type]


@pytest.fixture
def sound(tmp_path: Path) -> tuple[Path, list[int]]:
    offsets = _write(tmp_path)
    return tmp_path / "crawl-00000.warc.gz", offsets


def test_warcio_reads_and_checks_what_is_written(sound: tuple[Path, list[int]]) -> None:
    path, _ = sound
    with open(path, "rb") as file:
        found = [
            (r.rec_type, r.rec_headers.get_header("WARC-Target-URI"), r.content_stream().read())
            for r in ArchiveIterator(file, check_digests="raise")
        ]
    assert [kind for kind, _, _ in found] == ["warcinfo"] + ["response"] * 200
    assert found[1][1] == "http://a.example/0"
    assert found[1][2] == parse_http(read_record(path, sound[1][0]).block).body

    class Command:
        verbose = False
        inputs = (str(path),)

    assert Checker(Command()).process_all() == 0


def test_each_record_is_a_gzip_member_of_its_own(sound: tuple[Path, list[int]]) -> None:
    path, offsets = sound
    data = path.read_bytes()
    member = gzip.decompress(data[offsets[3] : offsets[4]])
    assert member.startswith(b"WARC/1.1\r\nWARC-Type: response\r\n")
    assert member.count(b"WARC/1.1\r\n") == 1


def test_reader_gives_types_urls_bodies_and_offsets(sound: tuple[Path, list[int]]) -> None:
    path, offsets = sound
    records, damage = _read(path)
    assert damage == []
    assert [r.offset for r in records] == offsets
    assert [r.url for r in records] == [f"http://a.example/{i}" for i in range(200)]
    message = records[7].http()
    assert (message.status, message.header("x-two")) == (200, "a: b")
    assert message.body == random.Random(7).randbytes(900).hex().encode()
    again = read_record(path, offsets[7])
    assert again == records[7] and again.date == DATE
    assert len(_read(path, types=("warcinfo", "response"))[0]) == 201


@pytest.mark.parametrize("where", [0, 4, 12, 200, 700])
def test_one_damaged_member_costs_one_record(sound: tuple[Path, list[int]], where: int) -> None:
    path, offsets = sound
    data = bytearray(path.read_bytes())
    for i in range(8):
        data[offsets[100] + where + i] ^= 0xFF
    path.write_bytes(data)
    records, damage = _read(path)
    assert [r.offset for r in records] == offsets[:100] + offsets[101:]
    assert damage == [Damage(path.name, offsets[100], offsets[101] - offsets[100], "damaged")]
    with pytest.raises(GristmillError, match="no whole WARC record"):
        read_record(path, offsets[100])


def test_a_flipped_bit_that_still_inflates_is_found_by_the_checksum(
    sound: tuple[Path, list[int]],
) -> None:
    path, offsets = sound
    for at in (50, 199):
        data = bytearray(path.read_bytes())
        end = offsets[at + 1] if at < 199 else len(data)
        data[end - 6] ^= 1
        path.write_bytes(data)
    records, damage = _read(path)
    assert [r.offset for r in records] == [o for i, o in enumerate(offsets) if i not in (50, 199)]
    assert [d.offset for d in damage] == [offsets[50], offsets[199]]


def test_damage_in_several_places_and_garbage_between(sound: tuple[Path, list[int]]) -> None:
    path, offsets = sound
    data = bytearray(path.read_bytes())
    for at in (0, 10, 11, 150):
        data[offsets[at] + 300 : offsets[at] + 310] = b"\x00" * 10
    path.write_bytes(bytes(data[: offsets[20]]) + b"garbage" * 9 + bytes(data[offsets[20] :]))
    records, damage = _read(path)
    assert len(records) == 196
    assert sum(d.length for d in damage) == 63 + sum(
        offsets[i + 1] - offsets[i] for i in (0, 10, 11, 150)
    )


def test_every_cut_is_reported(tmp_path: Path) -> None:
    offsets = _write(tmp_path, 4, size=20)
    path = tmp_path / "crawl-00000.warc.gz"
    data = path.read_bytes()
    whole_ends = {*offsets, len(data)}
    for end in range(offsets[1], len(data)):
        path.write_bytes(data[:end])
        records, damage = _read(path)
        assert len(records) == sum(o <= end for o in offsets[1:])
        assert bool(damage) == (end not in whole_ends), end
        if damage:
            assert damage[-1].reason == "truncated"


def test_uncompressed_files_and_their_damage(sound: tuple[Path, list[int]]) -> None:
    path = sound[0]
    plain = path.with_name("plain.warc")
    data = gzip.decompress(path.read_bytes())
    plain.write_bytes(data)
    records, damage = _read(plain)
    assert (len(records), damage) == (200, [])
    assert read_record(plain, records[5].offset) == records[5]
    wrong = bytearray(data)
    at = data.index(b"Content-Length: ", records[100].offset)
    wrong[at + 16] = ord("9")
    plain.write_bytes(wrong)
    assert len(_read(plain)[0]) == 199
    plain.write_bytes(data[:-500])
    records, damage = _read(plain)
    assert (len(records), [d.reason for d in damage]) == (199, ["truncated"])


def test_a_record_that_is_too_long_is_left_out_and_reported(tmp_path: Path) -> None:
    with WarcWriter(tmp_path, date=DATE) as writer:
        for i, size in enumerate((10, 5000, 10)):
            writer.write(_response(i, size))
    records, damage = _read(tmp_path / "crawl-00000.warc.gz", max_record=4000)
    assert [r.url[-1] for r in records] == ["0", "2"]
    assert [d.reason for d in damage] == ["record too long"]


@pytest.mark.parametrize("packed", [True, False])
def test_one_record_by_its_place_or_an_error(tmp_path: Path, packed: bool) -> None:
    """Damaged, cut, too long, or not there: never another record's bytes, never another error."""
    pack = gzip_member if packed else bytes
    long = record_bytes("response", bytes(MAX_RECORD + 1), date=DATE, target_uri="http://a/long")
    parts = [pack(_response(1)), pack(long), pack(_response(2))]
    starts = [0, len(parts[0]), len(parts[0]) + len(parts[1])]
    path = tmp_path / ("a.warc.gz" if packed else "a.warc")
    path.write_bytes(b"".join(parts))
    whole = [read_record(path, starts[0]), read_record(path, starts[2])]
    assert [r.offset for r in whole] == [starts[0], starts[2]] and whole[0].url != whole[1].url
    size = path.stat().st_size
    for offset, inner in ((starts[1], 0), (starts[0] + 1, 0), (size, 0), (size + 9, 0), (0, 7)):
        with pytest.raises(GristmillError, match="no whole WARC record"):
            read_record(path, offset, inner)
    small = parts[0] + parts[2]
    for place in range(0, len(parts[0]), 13):
        for data in (small[:place], small[:place] + b"\xff" + small[place + 1 :]):
            path.write_bytes(data)
            try:
                found = read_record(path, 0)
            except GristmillError:
                continue
            # Without compression no checksum tells what was changed, but the length does. With it a
            # changed bit may be one of those that fill up the last byte of the stream.
            assert not packed or found.block == whole[0].block
            assert len(data) > place and len(found.block) == len(whole[0].block)
    with pytest.raises(GristmillError, match="cannot be read"):
        read_record(tmp_path, 0)


def test_mutated_files_never_break_the_reader(sound: tuple[Path, list[int]]) -> None:
    path, _ = sound
    data = path.read_bytes()[:40_000]
    random_ = random.Random(5)
    for _ in range(150):
        wrong = bytearray(data)
        for _ in range(random_.randrange(1, 6)):
            at = random_.randrange(len(wrong))
            choice = random_.randrange(3)
            if choice == 0:
                wrong[at] = random_.randrange(256)
            elif choice == 1:
                del wrong[at : at + random_.randrange(1, 300)]
            else:
                wrong[at:at] = random_.randbytes(random_.randrange(1, 300))
        path.write_bytes(wrong)
        records, damage = _read(path)
        assert len(records) <= 40 and damage
        for record in records:
            assert record.block.startswith(b"HTTP/1.1 200 OK")


def test_files_rotate_by_size(tmp_path: Path) -> None:
    _write(tmp_path, 30, max_bytes=10_000)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) > 2 and names[1] == "crawl-00001.warc.gz"
    urls = [record.url for name in names for record in _read(tmp_path / name)[0]]
    assert urls == [f"http://a.example/{i}" for i in range(30)]
    assert all(len(_read(tmp_path / n, types=("warcinfo",))[0]) == 1 for n in names)


def test_what_was_not_committed_is_cut_off(tmp_path: Path) -> None:
    writer = WarcWriter(tmp_path, date=DATE, max_bytes=4_000)
    for i in range(3):
        writer.write(_response(i))
    lengths = writer.commit()
    for i in range(3, 20):
        writer.write(_response(i))
    writer.close()
    assert len(list(tmp_path.iterdir())) > len(lengths)
    with WarcWriter(tmp_path, date=DATE, max_bytes=4_000, lengths=lengths) as again:
        again.write(_response(99))
    urls = [record.url for path in sorted(tmp_path.iterdir()) for record in read_records(path)]
    assert urls == [f"http://a.example/{i}" for i in (0, 1, 2, 99)]


def test_a_file_shorter_than_its_journal_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, 2)
    path = tmp_path / "crawl-00000.warc.gz"
    with pytest.raises(DamagedArtifact, match="were written"):
        WarcWriter(tmp_path, date=DATE, lengths={path.name: path.stat().st_size + 1})
    with pytest.raises(DamagedArtifact, match="missing"):
        WarcWriter(tmp_path, date=DATE, lengths={path.name: 10, "crawl-00001.warc.gz": 10})


def test_header_values_cannot_forge_headers() -> None:
    data = record_bytes(
        "response", b"x", date=DATE, headers=[("WARC-IP-Address", "1.2.3.4\r\nWARC-Type: resource")]
    )
    assert data.count(b"\r\nWARC-Type:") == 1


def test_empty_and_absent_files(tmp_path: Path) -> None:
    empty = tmp_path / "empty.warc.gz"
    empty.touch()
    assert _read(empty) == ([], [])
    with pytest.raises(GristmillError, match="no such file"):
        _read(tmp_path / "none.warc.gz")


def test_http_messages_with_odd_lines() -> None:
    message = parse_http(b"HTTP/1.0 404\nContent-Type : text/html\nnonsense\n\n<p>")
    assert (message.status, message.header("content-type"), message.body) == (
        404,
        "text/html",
        b"<p>",
    )
    assert parse_http(b"").status == 0
    assert io.BytesIO(parse_http(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body).read() == b""
