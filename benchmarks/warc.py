"""Reading WARC beside fastwarc, and past damage.

    make bench-warc            or: python benchmarks/warc.py --quick

It writes a WARC as Common Crawl does (request, response and metadata record of each page, a gzip
member each, headers of their length, zlib's level 6) from windows of real pages whose lengths are
log-normal, and the same records uncompressed. Both readers then go over all records and take type,
target URI, length and payload of each, with HTTP parsing off, in a process of their own; what
counts is CPU seconds of the loop, a process ours, a process theirs, in turn, medians. A smaller
set has pages of Common Crawl's mean length.

Last line: `ratio` (our records per CPU second over fastwarc's, gzip), `ratio_plain`,
`ratio_long_pages` (gzip), `recovered` (of 200 records, one gzip member damaged; `peer_recovered`
is fastwarc's), `cuts` and `cuts_reported` (truncations of a file at every byte, or a sample).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from beside import ROOT, SHARED, Peer, finish, in_turn, missing, ratio

from gristmill.data.warc.reader import Damage, read_records
from gristmill.data.warc.writer import gzip_member, record_bytes, sha1_base32

DATE = "2026-01-31T12:00:00Z"
INFO = "<urn:uuid:668d88fc-4208-41fc-b327-1aa6cb783331>"
REQUEST = (
    b"GET /section HTTP/1.1\r\nUser-Agent: bot/1.0 (+https://bot.example/about/)\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: br,gzip\r\nHost: a.example\r\n"
    b"Connection: Keep-Alive\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nDate: Sat, 31 Jan 2026 12:00:00 GMT\r\nServer: nginx\r\n"
    b"Content-Type: text/html; charset=UTF-8\r\nVary: Accept-Encoding\r\n"
    b"X-Crawler-Content-Encoding: gzip\r\nCache-Control: private, max-age=0\r\n"
    b"Content-Length: %d\r\n\r\n"
)
METADATA = (
    b'fetchTimeMs: 312\r\ncharset-detected: UTF-8\r\nlanguages: {"reliable":true,"text-bytes":'
    b'3728,"languages":[{"code":"en","text-covered":0.99,"score":1030.0,"name":"ENGLISH"}]}\r\n'
)


def triples(html: bytes, pages: int, median: int, seed: int) -> Iterator[bytes]:
    """The records of `pages` pages; lengths are log-normal with sigma 1, at most 1 MiB."""
    random_ = random.Random(seed)
    for i in range(pages):
        size = min(1 << 20, int(median * math.exp(random_.gauss(0, 1))), len(html) - 1)
        start = random_.randrange(len(html) - size)
        body = html[start : start + size]
        uri = f"https://host{i % 997}.example/section/{i}/a-page-of-usual-length.html?id={i}"
        for kind, head in (("request", REQUEST), ("response", RESPONSE), ("metadata", METADATA)):
            block = head % size + body if kind == "response" else head
            content_type = "application/warc-fields" if kind == "metadata" else "application/http"
            yield record_bytes(
                kind,
                block,
                date=DATE,
                target_uri=uri,
                content_type=f"{content_type}; msgtype={kind}",
                payload_digest=sha1_base32(block[-200:]),
                headers=[("WARC-IP-Address", "192.0.2.7"), ("WARC-Warcinfo-ID", INFO)],
            )


def write(folder: Path, name: str, records: Iterator[bytes], plain: bool) -> Path:
    """`NAME.warc.gz`, with `NAME.warc` beside it where `plain`."""
    path = folder / f"{name}.warc.gz"
    with open(path, "wb") as packed, open(folder / f"{name}.warc", "wb") as unpacked:
        for record in records:
            packer = zlib.compressobj(6, zlib.DEFLATED, 31)
            packed.write(packer.compress(record) + packer.flush())
            if plain:
                unpacked.write(record)
    return path


def read_all(path: Path) -> None:
    """Our turn, in a process of its own: prints what the peer's script prints."""
    records = size = uris = 0
    started = time.process_time()
    for record in read_records(path, None):
        kind = record.type
        uri = record.url
        payload = record.block
        length = len(payload)
        records += kind is not None
        size += length
        uris += len(uri)
    seconds = time.process_time() - started
    print(json.dumps({"seconds": seconds, "records": records, "bytes": size, "uris": uris}))


def compare(peer: Peer, path: Path, rounds: int) -> dict[str, float]:
    """CPU seconds of both in turn. RuntimeError where they did not read the same."""
    counts = []

    def ours() -> float:
        command = [sys.executable, __file__, "--read", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        counts.append((found["records"], found["bytes"], found["uris"]))
        return float(found["seconds"])

    def theirs() -> float:
        found = peer.run(ROOT / "benchmarks" / "peers" / "warc_peer.py", path)
        counts.append((found["records"], found["bytes"], found["uris"]))
        return float(found["seconds"])

    our_seconds, their_seconds = in_turn(rounds, ours, theirs, warm_up=True)
    if len(set(counts)) != 1:
        raise RuntimeError(f"the readers did not read the same of {path.name}: {set(counts)}")
    records = counts[0][0]
    print(
        f"{path.name:18} {records:,} records, {path.stat().st_size / 1e6:,.0f} MB: "
        f"ours {records / min(our_seconds):,.0f} records/s, "
        f"fastwarc {records / min(their_seconds):,.0f} (best of {rounds})"
    )
    return {"ratio": ratio(their_seconds, our_seconds), "records": records}


def recovered(folder: Path, peer: Peer) -> tuple[int, int]:
    """How many of 200 records are read where eight bytes of one member are wrong."""
    records = [
        record_bytes("resource", random.Random(i).randbytes(600).hex().encode(), date=DATE,
                     target_uri=f"https://a.example/{i}")
        for i in range(200)
    ]  # fmt: skip
    members = [gzip_member(record) for record in records]
    at = sum(map(len, members[:100])) + 300
    data = bytearray(b"".join(members))
    data[at : at + 8] = bytes(byte ^ 0xFF for byte in data[at : at + 8])
    path = folder / "damaged.warc.gz"
    path.write_bytes(data)
    theirs = peer.run(ROOT / "benchmarks" / "peers" / "warc_peer.py", path)
    return sum(1 for _ in read_records(path, None)), int(theirs["records"])


def cuts(folder: Path, html: bytes, quick: bool) -> tuple[int, int]:
    """Truncations tried, and those that were reported: every byte of three records, gzip and
    plain, and places drawn from a longer file."""
    tried = reported = 0
    random_ = random.Random(5)
    for name, pages, share in (("short", 1, 4 if quick else 1), ("longer", 60, 0)):
        records = list(triples(html, pages, 3000 if pages > 1 else 200, 3))
        for store in (gzip_member, bytes):
            members = [store(record) for record in records]
            ends = {sum(map(len, members[:i])) for i in range(len(members) + 1)}
            data = b"".join(members)
            places = range(1, len(data), share) if share else random_.sample(range(len(data)), 40)
            path = folder / f"{name}.warc{'.gz' if store is gzip_member else ''}"
            for place in sorted(set(places) - ends):
                path.write_bytes(data[:place])
                found: list[Damage] = []
                for _ in read_records(path, None, found.append):
                    pass
                tried += 1
                reported += [damage.reason for damage in found] == ["truncated"]
    return tried, reported


def main() -> None:
    parser = argparse.ArgumentParser(description="WARC reading beside fastwarc")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and long pages")
    parser.add_argument("--read", type=Path, help="reads one file and prints the seconds")
    arguments = parser.parse_args()
    if arguments.read:
        read_all(arguments.read)
        return
    pages = sorted((SHARED / "web" / "extraction_dev" / "html").glob("*.html.gz"))
    if not pages:
        missing("the development pages are not here", f"put them at {SHARED}")
    peer = Peer("warc")
    html = b"".join(gzip.decompress(path.read_bytes()) for path in pages)
    rounds = 3 if arguments.quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        usual = write(folder, "usual", triples(html, 13_500, 12_000, 1), plain=True)
        count = 500 if arguments.quick else 3000
        long_pages = write(folder, "long", triples(html, count, 90_000, 2), plain=False)
        packed = compare(peer, usual, rounds)
        plain = compare(peer, usual.with_suffix(""), rounds)
        longer = compare(peer, long_pages, rounds)
        ours, theirs = recovered(folder, peer)
        tried, reported = cuts(folder, html, arguments.quick)
    finish(
        {
            "ratio": round(packed["ratio"], 3),
            "ratio_plain": round(plain["ratio"], 3),
            "ratio_long_pages": round(longer["ratio"], 3),
            "records": int(packed["records"]),
            "recovered": ours,
            "peer_recovered": theirs,
            "cuts": tried,
            "cuts_reported": reported,
            "peer": peer.versions("fastwarc"),
            "quick": arguments.quick,
        }
    )


if __name__ == "__main__":
    main()
