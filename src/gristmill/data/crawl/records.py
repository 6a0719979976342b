"""The WARC records of one answer: request, response, metadata.

The body is stored without its content encodings, as Common Crawl does, so that digests do not
depend on how a server packed it; what the server said stands in X-Crawl- headers.
"""

from __future__ import annotations

from gristmill.data.crawl.fetch import Response
from gristmill.data.crawl.links import PageLinks
from gristmill.data.warc.record import Record
from gristmill.data.warc.writer import new_record_id, record_bytes, sha1_base32

_REWRITTEN = (b"content-encoding", b"transfer-encoding", b"content-length")
_HTTP_RESPONSE = "application/http; msgtype=response"
_HTTP_REQUEST = "application/http; msgtype=request"
_NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"


def response_block(response: Response) -> bytes:
    """The HTTP message as it is stored."""
    status = f"{response.version} {response.status} {response.reason}".strip()
    lines = [status.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace")]
    for name, value in response.headers:
        if name.lower() in _REWRITTEN:
            name = b"X-Crawl-" + name
        lines.append(name + b": " + value)
    lines.append(b"Content-Length: %d" % len(response.body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + response.body


def answer_records(
    url: str,
    response: Response,
    *,
    date: str,
    via: str,
    depth: int,
    links: PageLinks | None,
    robots: str | None,
) -> tuple[list[bytes], str, str]:
    """(records: response, request, metadata; the response's record id; the payload's digest)."""
    record_id = new_record_id()
    digest = sha1_base32(response.body)
    address = [("WARC-IP-Address", response.address)] if response.address else []
    answer = record_bytes(
        "response",
        response_block(response),
        date=date,
        target_uri=url,
        content_type=_HTTP_RESPONSE,
        record_id=record_id,
        payload_digest=digest,
        headers=address,
    )
    beside = _beside(record_id, url, response, date, via, depth, links, robots)
    return [answer, *beside], record_id, digest


def revisit_records(
    url: str,
    response: Response,
    stored: Record,
    digest: str,
    *,
    date: str,
    via: str,
    depth: int,
    links: PageLinks | None,
    robots: str | None,
) -> list[bytes]:
    """The stored response record as it was, then revisit, request and metadata of the answer 304.

    digest: of the stored payload. ISO 28500:2017, section 6.7.3 (server not modified).
    """
    record_id = new_record_id()
    headers = [
        ("WARC-Profile", _NOT_MODIFIED),
        ("WARC-Refers-To", stored.record_id),
        ("WARC-Refers-To-Target-URI", stored.url),
        ("WARC-Refers-To-Date", stored.date),
    ]
    if response.address:
        headers.append(("WARC-IP-Address", response.address))
    revisit = record_bytes(
        "revisit",
        response_block(response),
        date=date,
        target_uri=url,
        content_type=_HTTP_RESPONSE,
        record_id=record_id,
        payload_digest=digest,
        headers=headers,
    )
    before = stored.head + b"\r\n" + stored.block + b"\r\n\r\n"
    return [
        before,
        revisit,
        *_beside(record_id, url, response, date, via, depth, links, robots),
    ]


def _beside(
    record_id: str,
    url: str,
    response: Response,
    date: str,
    via: str,
    depth: int,
    links: PageLinks | None,
    robots: str | None,
) -> tuple[bytes, bytes]:
    """The request and the metadata that belong to the record of an answer."""
    together = [("WARC-Concurrent-To", record_id)]
    request = record_bytes(
        "request",
        response.request_head,
        date=date,
        target_uri=url,
        content_type=_HTTP_REQUEST,
        headers=together,
    )
    fields = [f"hopsFromSeed: {depth}"]
    if via:
        fields.append(f"via: {via}")
    if links is not None:
        fields.append(f"outlinks: {len(links.links)}")
        if links.canonical:
            fields.append(f"canonical: {links.canonical}")
    if robots:
        fields.append(f"robots: {robots}")
    metadata = record_bytes(
        "metadata",
        ("\r\n".join(fields) + "\r\n").encode(),
        date=date,
        target_uri=url,
        content_type="application/warc-fields",
        headers=together,
    )
    return request, metadata
