"""Files by address, lists of paths, and pages out of WARC files, over a real server on loopback."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.run import Run
from gristmill.data.warc.collect import collect
from gristmill.data.warc.listing import expand, identity, open_archive
from gristmill.data.warc.reader import read_record, read_records
from gristmill.data.warc.remote import RemoteFile
from gristmill.data.warc.writer import gzip_member, record_bytes
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.data_warc import WarcConfig, data_warc
from gristmill.stages.workspace import Workspace

DATE = "2026-01-31T12:00:00Z"
ALLOWED = "archive.example"


class Archive(BaseHTTPRequestHandler):
    """Serves `files` by ranges; every `break_every`-th answer breaks off in its middle."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    ranges: ClassVar[list[str]] = []
    asked: ClassVar[list[str]] = []
    failing = ""
    break_every = 0
    with_ranges = True

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, body: bool) -> None:
        if self.path == "/inside":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port + 1}/x")  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.asked.append(self.path)
        if self.path == self.failing:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.files.get(self.path)
        if data is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = self.headers.get("Range")
        if wanted and self.with_ranges:
            first, last = wanted.removeprefix("bytes=").split("-")
            piece = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            if body:
                self.ranges.append(wanted)
        else:
            piece = data
            self.send_response(200)
        if self.with_ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        if not body:
            return
        if self.break_every and len(self.ranges) % self.break_every == 0:
            self.wfile.write(piece[: len(piece) // 2])
            self.close_connection = True
            return
        self.wfile.write(piece)


@pytest.fixture
def archive() -> Iterator[tuple[type[Archive], str, dict[str, str]]]:
    handler = type("Handler", (Archive,), {"files": {}, "ranges": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    try:
        yield handler, f"http://{ALLOWED}:{port}", {ALLOWED: f"127.0.0.1:{port}"}
    finally:
        server.shutdown()
        server.server_close()


def _page(i: int, status: bytes = b"200 OK", kind: bytes = b"text/html", words: int = 200) -> bytes:
    body = b"<html><title>t</title><p>" + b"words of page %d " % i * words
    block = b"HTTP/1.1 %b\r\nContent-Type: %b; charset=utf-8\r\n\r\n" % (status, kind) + body
    return gzip_member(
        record_bytes(
            "response",
            block,
            date=DATE,
            target_uri=f"http://a.example/{i:03d}",
            content_type="application/http; msgtype=response",
        )
    )


def test_a_broken_transfer_goes_on_by_range(
    archive: tuple[type[Archive], str, dict[str, str]],
) -> None:
    handler, root, allow = archive
    handler.files["/a.warc.gz"] = b"".join(_page(i) for i in range(200))
    handler.break_every = 3
    file = RemoteFile(f"{root}/a.warc.gz", allow=allow, block=2000, rest=0.001)
    records = list(read_records(file))
    assert [r.url for r in records] == [f"http://a.example/{i:03d}" for i in range(200)]
    assert file.retried > 3
    # No byte is asked for twice but those of ranges that broke.
    size = len(handler.files["/a.warc.gz"])
    assert len(handler.ranges) == -(-size // 2000) + file.retried
    again = RemoteFile(f"{root}/a.warc.gz", allow=allow, block=2000, rest=0.001)
    assert read_record(again, records[150].offset).block == records[150].block


def test_what_stays_broken_is_to_be_tried_again(
    archive: tuple[type[Archive], str, dict[str, str]],
) -> None:
    handler, root, allow = archive
    handler.files["/a.warc.gz"] = b"".join(_page(i) for i in range(20))
    handler.break_every = 1
    file = RemoteFile(f"{root}/a.warc.gz", allow=allow, tries=2, rest=0.001)
    with pytest.raises(Retryable, match="failed 2 times"):
        list(read_records(file))
    with pytest.raises(Retryable):
        RemoteFile("http://archive.example:9/a", allow={ALLOWED: "127.0.0.1:9"}, tries=1)
    with pytest.raises(GristmillError, match="no such file"):
        RemoteFile(f"{root}/none.warc.gz", allow=allow, rest=0.001)


def test_private_addresses_need_to_be_allowed(
    archive: tuple[type[Archive], str, dict[str, str]],
) -> None:
    handler, root, allow = archive
    handler.files["/a.warc.gz"] = _page(1)
    port = root.rpartition(":")[2]
    for address in (f"http://127.0.0.1:{port}/a.warc.gz", f"http://localhost:{port}/a.warc.gz"):
        with pytest.raises(GristmillError, match="private"):
            RemoteFile(address, rest=0.001)
    with pytest.raises(GristmillError, match="private"):
        RemoteFile(f"{root}/inside", allow=allow, rest=0.001)
    assert handler.ranges == []


def test_a_server_without_ranges_is_refused(
    archive: tuple[type[Archive], str, dict[str, str]],
) -> None:
    handler, root, allow = archive
    handler.files["/a.warc.gz"] = b"".join(_page(i) for i in range(50))
    handler.with_ranges = False
    with pytest.raises((GristmillError, Retryable)):
        file = RemoteFile(f"{root}/a.warc.gz", allow=allow, block=1000, tries=2, rest=0.001)
        list(read_records(file))


def test_lists_of_paths_as_common_crawl_publishes_them(
    archive: tuple[type[Archive], str, dict[str, str]], tmp_path: Path
) -> None:
    handler, root, allow = archive
    names = [f"crawl-data/CC-MAIN-2026-05/segments/1/warc/{i}.warc.gz" for i in range(3)]
    text = "\n".join(names).encode() + b"\n"
    handler.files["/crawl-data/warc.paths.gz"] = gzip.compress(text)
    listed = expand([f"{root}/crawl-data/warc.paths.gz"], allow=allow, limit=2)
    assert listed == [f"{root}/{name}" for name in names[:2]]
    local = tmp_path / "warc.paths"
    local.write_bytes(text)
    assert expand([str(local)]) == [f"{tmp_path.as_posix()}/{name}" for name in names]
    base = "https://data.commoncrawl.org"
    assert expand([str(local)], base=base)[0] == f"{base}/{names[0]}"
    for entry in ("../../etc/passwd", "/etc/passwd", "http://10.0.0.1/x", "a b", "a\\..\\b"):
        local.write_text(f"{names[0]}\n{entry}\n", encoding="utf-8")
        with pytest.raises(GristmillError, match="line 2 is no path"):
            expand([str(local)])
    (tmp_path / "warc.paths.gz").write_bytes(gzip.compress(text)[:-12])
    with pytest.raises(GristmillError, match="breaks off"):
        expand([str(tmp_path / "warc.paths.gz")])


def test_folders_globs_and_buckets(tmp_path: Path) -> None:
    for name in ("b.warc.gz", "a.warc.gz", "notes.txt"):
        (tmp_path / name).write_bytes(_page(1))
    both = [f"{tmp_path.as_posix()}/{name}" for name in ("a.warc.gz", "b.warc.gz")]
    assert expand([str(tmp_path)]) == both == expand([f"{tmp_path.as_posix()}/*.warc.gz"])
    with pytest.raises(GristmillError, match="no such file"):
        expand([str(tmp_path / "none.warc.gz")])
    memory = fsspec.filesystem("memory")
    for i in range(3):
        memory.pipe(f"/bucket/{i}.warc.gz", b"".join(_page(n) for n in range(i, i + 2)))
    files = expand(["memory://bucket/*.warc.gz"])
    assert len(files) == 3
    urls = [r.url[-3:] for name in files for r in read_records(open_archive(name))]
    assert urls == ["000", "001", "001", "002", "002", "003"]
    with pytest.raises(GristmillError, match="does not list"):
        expand(["https://a.example/*.warc.gz"])


def test_identity_is_content_or_address(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"one")
    before = identity(path)
    path.write_bytes(b"two")
    assert identity(path) != before
    assert identity(Path("https://a.example/warc.paths.gz")) == "https://a.example/warc.paths.gz"


class _Stop(Exception):
    pass


def test_pages_are_collected_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        path = tmp_path / f"{number}.warc.gz"
        pages = [_page(number * 10 + i) for i in range(5)]
        pages += [_page(90, status=b"404 Not Found"), _page(91, kind=b"image/png"), _page(7)]
        data = b"".join(pages)
        path.write_bytes(data[:-20] if number == 2 else data)
        files.append(str(path))

    def results(folder: Path) -> tuple[str, list[str], list[bytes]]:
        run = Run(folder)
        options: dict[str, Any] = {"content_types": ["text/html"], "max_page_bytes": 1 << 20}
        output = folder / "out"
        output.mkdir()
        content, found = collect(run, files, output, **options)
        assert found.skipped == {"status 404": 3, "content type": 3}
        assert (found.lost_records, found.twice) == (1, 1)
        assert found.damage[0]["reason"] == "truncated"
        rows = pq.read_table(output / "index.parquet").to_pylist()
        assert found.pages == len(rows)
        blocks = [read_record(output / "warc" / r["file"], r["offset"]).block for r in rows]
        return content, [r["url"] for r in rows], blocks

    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    straight.mkdir()
    stopped.mkdir()
    wanted = results(straight)
    assert wanted[1][0] == "http://a.example/000" and len(wanted[1]) == 16

    def stop(files: int, note: str) -> None:
        if note == "6 pages" and files:
            raise _Stop

    half = {"content_types": ["text/html"], "max_page_bytes": 1 << 20, "advance": stop}
    with pytest.raises(_Stop):
        collect(Run(stopped), files, stopped, **half)  # type: ignore[arg-type]
    assert len(Run(stopped).read("files.jsonl")) == 1
    assert results(stopped) == wanted


def _text(i: int) -> bytes:
    text = f"Text of page {i}.".encode()
    return gzip_member(
        record_bytes("conversion", text, date=DATE, target_uri=f"http://a.example/{i:03d}")
    )


def test_texts_by_a_list_of_addresses(
    archive: tuple[type[Archive], str, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler, root, allow = archive
    for n in range(4):
        packed = b"".join(_text(10 * n + i) for i in range(5))
        handler.files[f"/crawl/{n}.warc.wet.gz"] = packed
    names = [
        "crawl/0.warc.wet.gz",
        "crawl/gone.warc.wet.gz",
        *(f"crawl/{n}.warc.wet.gz" for n in (1, 2, 3)),
    ]
    listed = tmp_path / "wet.paths.gz"
    listed.write_bytes(gzip.compress("\n".join(names).encode()))
    monkeypatch.setattr("gristmill.data.warc.remote.RemoteFile._try", _once)
    config = ImportConfig(path=listed, base=root, limit_files=4, allow=allow, part_documents=3)

    # It breaks in the third file, and goes on.
    sound = handler.files.pop("/crawl/1.warc.wet.gz")
    handler.files["/crawl/1.warc.wet.gz"] = b""
    handler.failing = "/crawl/1.warc.wet.gz"
    with pytest.raises(Retryable, match="failed"):
        data_import.run(config, {}, Workspace.at(tmp_path / "w"))
    handler.files["/crawl/1.warc.wet.gz"] = sound
    handler.failing = ""
    asked = len(handler.asked)
    made = data_import.run(config, {}, Workspace.at(tmp_path / "w"))
    assert "/crawl/0.warc.wet.gz" in handler.asked[asked:]  # its last records are in no part yet
    found = pq.read_table(made.path / "documents")
    assert found["url"].to_pylist() == [
        f"http://a.example/{10 * n + i:03d}" for n in (0, 1, 2) for i in range(5)
    ]
    assert made.manifest.counts["rejected"] == 1
    assert "no such file" in made.file("rejects/import.jsonl").read_text(encoding="utf-8")
    straight = data_import.run(config, {}, Workspace.at(tmp_path / "straight"))
    assert straight.content == made.content

    one = ImportConfig(path=Path(f"{root}/crawl/2.warc.wet.gz"), allow=allow)
    made = data_import.run(one, {}, Workspace.at(tmp_path / "w"))
    assert made.manifest.counts["documents"] == 5
    for name, why in (("gone.wet.gz", "no such file"), ("rows.jsonl", "only web archives")):
        config = ImportConfig(path=Path(f"{root}/crawl/{name}"), allow=allow)
        with pytest.raises(GristmillError, match=why):
            data_import.run(config, {}, Workspace.at(tmp_path / "w"))


def test_files_taken_in_whole_are_not_fetched_again(
    archive: tuple[type[Archive], str, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler, root, allow = archive
    for n in range(3):
        handler.files[f"/{n}.wet.gz"] = b"".join(_text(10 * n + i) for i in range(4))
    listed = tmp_path / "wet.paths"
    listed.write_text("\n".join(f"{n}.wet.gz" for n in range(3)), encoding="utf-8")
    monkeypatch.setattr("gristmill.data.warc.remote.RemoteFile._try", _once)
    config = ImportConfig(path=listed, base=root, allow=allow, part_documents=3)
    handler.failing = "/2.wet.gz"
    with pytest.raises(Retryable):
        data_import.run(config, {}, Workspace.at(tmp_path / "w"))
    handler.failing, asked = "", len(handler.asked)
    made = data_import.run(config, {}, Workspace.at(tmp_path / "w"))
    assert made.manifest.counts["documents"] == 12
    # Two parts of three were written: the last of them ends in the second file.
    assert set(handler.asked[asked:]) == {"/1.wet.gz", "/2.wet.gz"}


def test_a_list_with_files_that_are_gone(
    archive: tuple[type[Archive], str, dict[str, str]], tmp_path: Path
) -> None:
    handler, root, allow = archive
    handler.files["/1.warc.gz"] = _page(1)
    listed = tmp_path / "warc.paths"
    listed.write_text("0.warc.gz\n1.warc.gz\n2.warc.gz\n", encoding="utf-8")
    config = WarcConfig(paths=[str(listed)], base=root, allow=allow)
    made = data_warc.run(config, {}, Workspace.at(tmp_path / "w"))
    assert (made.manifest.counts["pages"], made.manifest.counts["missing_files"]) == (1, 2)
    assert "0.warc.gz" in made.file("rejects/warc.jsonl").read_text(encoding="utf-8")
    del handler.files["/1.warc.gz"]
    config = config.model_copy(update={"max_page_bytes": 9000})
    with pytest.raises(GristmillError, match="none of 3 is there"):
        data_warc.run(config, {}, Workspace.at(tmp_path / "w"))
    handler.files["/1.warc.gz"] = _page(1)
    made = data_warc.run(config, {}, Workspace.at(tmp_path / "w"))
    assert made.manifest.counts["pages"] == 1


def test_a_page_out_of_an_archive_can_be_asked_about(tmp_path: Path) -> None:
    from gristmill.data.why import explain_page

    path = tmp_path / "a.warc.gz"
    path.write_bytes(_page(1) + _page(2))
    made = data_warc.run(WarcConfig(paths=[str(path)]), {}, Workspace.at(tmp_path / "w"))
    [told] = explain_page("http://a.example/002", [made])
    assert (told["stage"], told["said"]) == ("data.warc", "fetched")
    with pytest.raises(GristmillError, match=r"did you mean .http://a\.example/002"):
        explain_page("http://a.example/02", [made])


def _once(self: RemoteFile, action: Any) -> Any:
    """`RemoteFile._try` without rests."""
    self._tries, self._rest = 2, 0.0
    return TRY(self, action)


TRY = RemoteFile._try
