"""A crawl that knows an earlier one: what has not changed is taken over, and says so."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from warcio.archiveiterator import ArchiveIterator

from gristmill.data.crawl.attempt import crawl
from gristmill.data.crawl.links import canonical_header, page_links
from gristmill.data.crawl.seal import seal
from gristmill.data.warc.reader import read_record, read_records

VERSIONS: dict[str, tuple[str, str]] = {
    "/": ('"v1"', '<a href="/old"><a href="/new"><a href="/dated">'),
    "/old": ('W/"x"', '<link rel="canonical" href="/"><a href="/below">'),
    "/new": ('"1"', "<p>first"),
    "/below": ("", "<p>no version"),
}


@pytest.fixture
def versions(site: Any) -> dict[str, tuple[str, str]]:
    """A site that answers 304 to who has the version it has."""
    pages = dict(VERSIONS)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/dated":
            headers = {"Last-Modified": "Sat, 31 Jan 2026 12:00:00 GMT"}
            if request.headers.get("If-Modified-Since") == headers["Last-Modified"]:
                return web.Response(status=304)
            return web.Response(text="<p>dated", content_type="text/html", headers=headers)
        if request.path not in pages:
            return web.Response(status=404)
        etag, body = pages[request.path]
        headers = {"ETag": etag} if etag else {}
        if etag and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(text=body, content_type="text/html", headers=headers)

    site.other = answer
    return pages


def _crawl(folder: Path, plan: Any) -> tuple[list[dict[str, Any]], str, dict[str, str | None]]:
    crawl(folder / "run", plan)
    (folder / "out").mkdir()
    content, _ = seal(folder / "run", plan, folder / "out")
    frontier = pq.read_table(folder / "out" / "frontier.parquet").to_pylist()
    index = pq.read_table(folder / "out" / "index.parquet").to_pylist()
    return index, content, {row["url"]: row["reason"] for row in frontier}


def test_only_what_changed_is_sent_again(
    versions: dict[str, tuple[str, str]], make_plan: Any, tmp_path: Path
) -> None:
    first, content, _ = _crawl(tmp_path / "1", make_plan())
    assert len(first) == 5
    before = {row["url"].removeprefix("http://a.example"): row for row in first}
    assert before["/old"]["etag"] == 'W/"x"' and before["/below"]["etag"] is None
    assert before["/dated"]["last_modified"].startswith("Sat, 31 Jan")
    assert before["/old"]["canonical"] == "http://a.example/"
    assert before["/"]["canonical"] is None

    again, same, reasons = _crawl(tmp_path / "2", make_plan(earlier=tmp_path / "1" / "out"))
    assert same == content
    assert [reason for _, reason in sorted(reasons.items())] == [
        "not_modified", None, "not_modified", "not_modified", "not_modified",
    ]  # fmt: skip

    versions["/new"] = ('"2"', "<p>second")
    last, other, reasons = _crawl(tmp_path / "3", make_plan(earlier=tmp_path / "2" / "out"))
    assert other != content and reasons["http://a.example/new"] is None
    for now, row in zip(last, again, strict=True):
        assert now["url"] == row["url"]
        assert (now["digest"] == row["digest"]) == (not now["url"].endswith("new"))
        record = read_record(tmp_path / "3" / "out" / "warc" / now["file"], now["offset"])
        assert record.type == "response" and record.url == now["url"]
        assert record.record_id == now["record_id"] and record.date == now["fetched_at"]
    after = {row["url"].removeprefix("http://a.example"): row for row in last}
    # Found below pages that were not sent, and with their versions still known.
    assert after["/old"]["record_id"] == before["/old"]["record_id"]
    assert after["/old"]["etag"] == 'W/"x"' and after["/dated"]["last_modified"]

    warc = tmp_path / "3" / "out" / "warc" / "crawl-00000.warc.gz"
    revisits = list(read_records(warc, types=("revisit",)))
    assert sorted(r.url.rpartition("/")[2] for r in revisits) == ["", "dated", "old"]
    for record in revisits:
        fields = record.headers
        row = before["/" + record.url.rpartition("/")[2]]
        assert fields["warc-profile"].endswith("/revisit/server-not-modified")
        assert fields["warc-refers-to"] == row["record_id"]
        assert fields["warc-payload-digest"] == row["digest"]
        assert fields["warc-refers-to-date"] == row["fetched_at"]
        assert record.http().status == 304
    requests = b"".join(r.block for r in read_records(warc, types=("request",)))
    assert b'If-None-Match: "1"' in requests
    _checks(warc)


def test_a_damaged_earlier_page_is_fetched(
    site: Any, versions: dict[str, tuple[str, str]], make_plan: Any, tmp_path: Path
) -> None:
    _, content, _ = _crawl(tmp_path / "1", make_plan())
    warc = tmp_path / "1" / "out" / "warc" / "crawl-00000.warc.gz"
    data = warc.read_bytes()
    warc.unlink()  # a hard link of the run's file
    warc.write_bytes(data[:400] + bytes(len(data) - 400))
    index, same, reasons = _crawl(tmp_path / "2", make_plan(earlier=tmp_path / "1" / "out"))
    assert same == content and len(index) == 5
    assert set(reasons.values()) == {None}
    assert site.counts["a.example/new"] == 3


def test_an_index_without_versions_is_no_help(
    versions: dict[str, tuple[str, str]], make_plan: Any, tmp_path: Path
) -> None:
    _, content, _ = _crawl(tmp_path / "1", make_plan())
    path = tmp_path / "1" / "out" / "index.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["etag"]), path)
    _, same, reasons = _crawl(tmp_path / "2", make_plan(earlier=tmp_path / "1" / "out"))
    assert same == content and set(reasons.values()) == {None}


def test_an_answer_304_that_nobody_asked_for(site: Any, crawled: Any) -> None:
    site.page("a.example/", status=304)
    assert crawled().urls["a.example/"] == ("failed", "http_304")


def test_canonical_addresses(site: Any, make_plan: Any, tmp_path: Path) -> None:
    link = '<http://a.example/style>; rel=preload, </true?utm_source=x>; rel="canonical"'
    site.page("a.example/", "<p>", Link=link)
    site.page("a.example/true", '<link rel=canonical href="http://A.example:80/true">')
    index, _, reasons = _crawl(tmp_path, make_plan())
    assert [row["canonical"] for row in index] == ["http://a.example/true", None]
    assert set(reasons) == {"http://a.example/", "http://a.example/true"}
    url = "http://a.example/x"
    assert canonical_header(["</a>; rel=next", "<b> ; rel=canonical"], url) == "http://a.example/b"
    assert canonical_header(["<mailto:x>; rel=canonical", "<" * 10_000, "x"], url) is None
    found = page_links("<link rel=canonical href=/c>", url, canonical="http://a.example/h")
    assert found.canonical == "http://a.example/h" and len(found.links) == 2


def _checks(warc: Path) -> None:
    """As `warcio check` does: every digest of every record."""
    with open(warc, "rb") as file:
        kinds = []
        for record in ArchiveIterator(file, check_digests="raise"):
            record.content_stream().read()
            kinds.append(record.rec_type)
            if record.rec_type != "revisit":
                assert record.digest_checker.passed is not False
    assert {"warcinfo", "response", "request", "metadata", "revisit"} == set(kinds)
