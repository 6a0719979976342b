"""`s3://` through fsspec and s3fs, against a server on loopback that speaks enough of S3: objects
by ranges, their heads, and listings in pages."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.warc.listing import expand, open_archive
from gristmill.data.warc.reader import read_records
from gristmill.data.warc.writer import gzip_member, record_bytes
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.data_warc import WarcConfig, data_warc
from gristmill.stages.workspace import Workspace

s3fs = pytest.importorskip("s3fs")

DATE = "2026-01-31T12:00:00Z"
BUCKET = "commoncrawl"
FOLDER = "crawl-data/CC-MAIN-2026-05/segments/17.5/"
PAGE_OF_LISTING = 2


class Bucket(BaseHTTPRequestHandler):
    """One bucket, `objects` by key. Every `break_every`-th body breaks off in its middle."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []
    bodies: ClassVar[list[str]] = []
    break_every = 0
    busy = 0

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
        self.asked.append(f"{self.command} {key}")
        if bucket != BUCKET:
            self._error(404, "NoSuchBucket")
        elif type(self).busy > 0:
            type(self).busy -= 1
            self._error(503, "SlowDown")
        elif not key:
            self._list({name: values[0] for name, values in parse_qs(parts.query).items()})
        elif key not in self.objects:
            self._error(404, "NoSuchKey")
        else:
            self._object(self.objects[key])

    def _object(self, data: bytes) -> None:
        first, last, status = 0, len(data) - 1, 200
        wanted = self.headers.get("Range")
        if wanted:
            low, high = wanted.removeprefix("bytes=").split("-")
            first, last, status = int(low), min(int(high or last), last), 206
        piece = data[first : last + 1]
        self.send_response(status)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self._headers(len(piece), "binary/octet-stream")
        if self.command == "GET":
            self.bodies.append(self.path)
            if self.break_every and len(self.bodies) % self.break_every == 0:
                self.wfile.write(piece[: len(piece) // 2])
                self.close_connection = True
                return
            self.wfile.write(piece)

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        found: dict[str, int | None] = {}
        for key in sorted(self.objects):
            if key.startswith(prefix):
                rest, mark, _ = key[len(prefix) :].partition(delimiter or "\0")
                found[prefix + rest + mark] = None if mark else len(self.objects[key])
        names = [name for name in found if name > query.get("continuation-token", "")]
        shown, more = names[:PAGE_OF_LISTING], len(names) > PAGE_OF_LISTING
        lines = [f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"]
        lines.append(f"<KeyCount>{len(shown)}</KeyCount><MaxKeys>{PAGE_OF_LISTING}</MaxKeys>")
        lines.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            lines.append(f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>")
        encode = quote if query.get("encoding-type") == "url" else escape
        for name in shown:
            size = found[name]
            if size is None:
                lines.append(f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>")
            else:
                lines.append(
                    f"<Contents><Key>{encode(name)}</Key><LastModified>2026-01-31T12:00:00.000Z"
                    f'</LastModified><ETag>"x"</ETag><Size>{size}</Size></Contents>'
                )
        self._xml(200, "ListBucketResult", "".join(lines))

    def _error(self, status: int, code: str) -> None:
        self._xml(status, "Error", f"<Code>{code}</Code><Message>no</Message>")

    def _xml(self, status: int, name: str, inner: str) -> None:
        space = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' if status == 200 else ""
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}{space}>{inner}</{name}>'.encode()
        self.send_response(status)
        self._headers(len(body), "application/xml")
        if self.command == "GET":
            self.wfile.write(body)

    def _headers(self, length: int, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Sat, 31 Jan 2026 12:00:00 GMT")
        self.end_headers()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Bucket]]:
    handler = type("Handler", (Bucket,), {"objects": {}, "asked": [], "bodies": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # As a user would: the endpoint and the keys are the environment's, not ours.
    for name, value in {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_MAX_ATTEMPTS": "2",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    yield handler
    s3fs.S3FileSystem.clear_instance_cache()
    server.shutdown()
    server.server_close()


def _page(i: int) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + b"words of page %d " % i * 90
    return gzip_member(
        record_bytes(
            "response",
            block,
            date=DATE,
            target_uri=f"http://a.example/{i:03d}",
            content_type="application/http; msgtype=response",
        )
    )


def _text(i: int) -> bytes:
    text = f"Text of page {i}.".encode()
    return gzip_member(
        record_bytes("conversion", text, date=DATE, target_uri=f"http://a.example/{i:03d}")
    )


def _metadata(i: int) -> bytes:
    head = {"Title": f"Title {i}", "Metas": [{"name": "description", "content": f"About {i}."}]}
    envelope = {
        "Envelope": {
            "WARC-Header-Metadata": {
                "WARC-Type": "response",
                "WARC-Target-URI": f"http://a.example/{i:03d}",
                "WARC-Date": DATE,
            },
            "Payload-Metadata": {
                "HTTP-Response-Metadata": {
                    "Response-Message": {"Status": "200"},
                    "HTML-Metadata": {"Head": head, "Links": []},
                }
            },
        }
    }
    block = json.dumps(envelope).encode()
    return gzip_member(
        record_bytes(
            "metadata",
            block,
            date=DATE,
            target_uri=f"http://a.example/{i:03d}",
            content_type="application/json",
        )
    )


def _publish(bucket: type[Bucket], kind: str, ending: str, make: Any) -> str:
    """Five files of four records, and the list of their paths; returns the list's address."""
    names = [f"{FOLDER}{kind}/CC-MAIN-{n}.{ending}" for n in range(5)]
    for n, name in enumerate(names):
        bucket.objects[name] = b"".join(make(10 * n + i) for i in range(4))
    listed = f"crawl-data/CC-MAIN-2026-05/{kind}.paths.gz"
    bucket.objects[listed] = gzip.compress("\n".join(names).encode() + b"\n")
    return f"s3://{BUCKET}/{listed}"


def test_a_list_in_a_bucket_names_files_of_the_bucket(bucket: type[Bucket], tmp_path: Path) -> None:
    listed = _publish(bucket, "warc", "warc.gz", _page)
    made = data_warc.run(
        WarcConfig(paths=[listed], limit_files=3), {}, Workspace.at(tmp_path / "w")
    )
    rows = pq.read_table(made.file("index.parquet")).to_pylist()
    wanted = [f"http://a.example/{10 * n + i:03d}" for n in range(3) for i in range(4)]
    assert [row["url"] for row in rows] == wanted
    # Files that were not wanted were not asked for; a list in the folder says the same.
    assert not [line for line in bucket.asked if "CC-MAIN-3" in line]
    local = tmp_path / "warc.paths.gz"
    local.write_bytes(bucket.objects[listed.removeprefix(f"s3://{BUCKET}/")])
    again = WarcConfig(paths=[str(local)], base=f"s3://{BUCKET}/", limit_files=3)
    assert data_warc.run(again, {}, Workspace.at(tmp_path / "w2")).content == made.content


@pytest.mark.parametrize(
    ("kind", "ending", "make"), [("wet", "warc.wet.gz", _text), ("wat", "warc.wat.gz", _metadata)]
)
def test_texts_and_metadata_by_a_list(
    bucket: type[Bucket], tmp_path: Path, kind: str, ending: str, make: Any
) -> None:
    listed = _publish(bucket, kind, ending, make)
    made = data_import.run(
        ImportConfig(path=Path(listed), limit_files=2), {}, Workspace.at(tmp_path / "w")
    )
    rows = pq.read_table(made.path / "documents").to_pylist()
    wanted = [f"http://a.example/{10 * n + i:03d}" for n in range(2) for i in range(4)]
    assert [row["url"] for row in rows] == wanted
    told = "Text of page 11." if kind == "wet" else "About 11."
    assert told in rows[5]["text"]
    if kind == "wat":
        assert rows[5]["title"] == "Title 11"


def test_a_pattern_is_listed_page_by_page(bucket: type[Bucket], tmp_path: Path) -> None:
    _publish(bucket, "warc", "warc.gz", _page)
    found = expand([f"s3://{BUCKET}/{FOLDER}warc/*.warc.gz"])
    assert found == [f"s3://{BUCKET}/{FOLDER}warc/CC-MAIN-{n}.warc.gz" for n in range(5)]
    with pytest.raises(GristmillError, match="nothing is there"):
        expand([f"s3://{BUCKET}/{FOLDER}warc/*.none"])


def test_broken_transfers_and_busy_servers(
    bucket: type[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{FOLDER}warc/big.warc.gz"
    bucket.objects[name] = b"".join(_page(i) for i in range(300))
    monkeypatch.setattr("gristmill.data.warc.remote.BLOCK", 4000)
    monkeypatch.setattr("gristmill.data.warc.remote.time.sleep", lambda seconds: None)
    bucket.break_every, bucket.busy = 7, 1
    from gristmill.data.warc.remote import RemoteFile

    file = RemoteFile(f"s3://{BUCKET}/{name}", block=4000)
    assert [r.url[-3:] for r in read_records(file)] == [f"{i:03d}" for i in range(300)]
    assert len(bucket.bodies) > len(bucket.objects[name]) // 4000


def test_what_is_not_there_is_told(bucket: type[Bucket], tmp_path: Path) -> None:
    for address in (f"s3://{BUCKET}/none.warc.gz", "s3://other/none.warc.gz"):
        with pytest.raises(GristmillError, match="no such file"):
            open_archive(address)
        with pytest.raises(GristmillError, match="no such file"):
            data_warc.run(WarcConfig(paths=[address]), {}, Workspace.at(tmp_path / "w"))


def test_without_credentials(bucket: type[Bucket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(GristmillError, match=r"no credentials.*AWS_ACCESS_KEY_ID"):
        open_archive(f"s3://{BUCKET}/none.warc.gz")
    assert not bucket.asked
