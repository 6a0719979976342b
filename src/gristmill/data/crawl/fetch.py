"""One request: sent, checked, read within limits. What a WARC needs of it comes back."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from gristmill.data.crawl.decode import BadEncoding, TooLarge, decode_body
from gristmill.data.crawl.resolver import AddressRefused, Resolver
from gristmill.data.crawl.urls import host_of

REDIRECTS = (301, 302, 303, 307, 308)
_META_CHARSET = re.compile(rb"charset\s{0,5}=\s{0,5}[\"']?([A-Za-z0-9_\-]{1,40})", re.IGNORECASE)


class FetchFailed(Exception):
    """No usable answer. `reason` names the kind; `retry` says whether a later try may succeed."""

    def __init__(self, reason: str, *, retry: bool = False):
        super().__init__(reason)
        self.reason, self.retry = reason, retry


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `body` is without content encodings; empty where it was not wanted.

    skipped: why the body was not read (content type, size), else None.
    """

    status: int
    reason: str
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    request_head: bytes
    address: str | None
    skipped: str | None = None

    def header(self, name: str) -> str:
        """The first header of that name, or an empty text."""
        wanted = name.lower().encode()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value.decode("utf-8", "replace").strip()
        return ""

    def all_headers(self, name: str) -> list[str]:
        """Every header of that name."""
        wanted = name.lower().encode()
        return [v.decode("utf-8", "replace") for k, v in self.headers if k.lower() == wanted]

    @property
    def content_type(self) -> str:
        """The media type, in lower case, without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        """The charset of the Content-Type header, or an empty text."""
        for part in self.header("content-type").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'").lower()
        return ""

    @property
    def is_binary(self) -> bool:
        """Whether a body that calls itself text is something else."""
        start = self.body[:1024]
        if start.startswith((b"\xff\xfe", b"\xfe\xff")) or "utf-16" in self.charset:
            return False
        return b"\x00" in start or start.startswith((b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"GIF8"))

    def text(self) -> str:
        """The body as text, well enough for its links; extraction looks at encodings closely."""
        charset = self.charset
        if not charset:
            declared = _META_CHARSET.search(self.body[:1024])
            charset = declared[1].decode("ascii").lower() if declared else "utf-8"
        try:
            return self.body.decode(charset, "replace")
        except (LookupError, ValueError):
            return self.body.decode("utf-8", "replace")

    def retry_after(self, now: datetime | None = None) -> float | None:
        """Seconds that the server asks to wait; None where it does not say."""
        value = self.header("retry-after")
        if value.isascii() and value.isdigit():
            return float(value[:9])
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may cost."""

    timeout: float = 30.0
    """Seconds for the whole answer: a server that drips is left."""
    connect_timeout: float = 10.0
    body_bytes: int = 8 << 20
    """Bytes of a body, both as sent and without its encodings."""


class Fetcher:
    """An HTTP client that connects only where the resolver lets it."""

    def __init__(
        self, resolver: Resolver, *, agent: str, concurrency: int, per_host: int, limits: Limits
    ):
        self._resolver, self._limits = resolver, limits
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            socket_factory=resolver.make_socket,
            limit=concurrency,
            limit_per_host=per_host,
            keepalive_timeout=20.0,
            happy_eyeballs_delay=None,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=limits.timeout, connect=None, sock_connect=limits.connect_timeout
            ),
            headers={
                "User-Agent": agent,
                "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.1",
                "Accept-Encoding": "gzip, deflate, br, zstd",
            },
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            raise_for_status=False,
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def get(
        self,
        url: str,
        accept: frozenset[str] | None = None,
        headers: Mapping[str, str] | None = None,
        into: Callable[[bytes], bool] | None = None,
    ) -> Response:
        """The answer for a normalised URL; redirects are not followed.

        accept: media types whose bodies are read; all where None. headers: of this request alone.
        into: is given the body of a 200 as it arrives, gzipped where the server sends it so, until
            it returns False; no limit of size holds but its own, and the answer has no body.
        Raises FetchFailed.
        """
        if self._resolver.refused_literal(host_of(url)):
            raise FetchFailed("private_address")
        try:
            async with self._session.get(
                URL(url, encoded=True), allow_redirects=False, headers=headers
            ) as answer:
                return await self._read(answer, accept, into)
        except TooLarge:
            raise FetchFailed("too_large") from None
        except BadEncoding:
            raise FetchFailed("bad_encoding") from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error) from error

    async def _read(
        self,
        answer: aiohttp.ClientResponse,
        accept: frozenset[str] | None,
        into: Callable[[bytes], bool] | None,
    ) -> Response:
        limit = self._limits.body_bytes
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        skipped = None
        body = b""
        if answer.status == 200 and accept is not None and kind and kind not in accept:
            skipped = f"content_type:{kind[:60]}"
        elif answer.status != 200:
            into = None
        if into is None and skipped is None and (answer.content_length or 0) > limit:
            skipped = "too_large"
        address = _peer(answer)
        encodings = answer.headers.get("Content-Encoding", "")
        if skipped is None and into is not None:
            await _pass_on(answer, encodings, into)
        elif skipped is None:
            raw = await _read_body(answer, limit)
            body = decode_body(raw, encodings, limit)
        else:
            answer.close()  # the rest of the body is not worth its transfer
        version = answer.version
        return Response(
            status=answer.status,
            reason=answer.reason or "",
            version=f"HTTP/{version.major}.{version.minor}" if version else "HTTP/1.1",
            headers=tuple(answer.raw_headers),
            body=body,
            request_head=_request_head(answer),
            address=address,
            skipped=skipped,
        )


async def _read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    parts = []
    total = 0
    while chunk := await answer.content.readany():
        total += len(chunk)
        if total > limit:
            answer.close()
            raise TooLarge
        parts.append(chunk)
    return b"".join(parts)


async def _pass_on(
    answer: aiohttp.ClientResponse, encodings: str, into: Callable[[bytes], bool]
) -> None:
    if encodings.strip().lower() not in ("", "identity", "gzip", "x-gzip"):
        raise BadEncoding("nothing but gzip was asked for")
    while chunk := await answer.content.readany():
        if not into(chunk):
            answer.close()
            return


def _request_head(answer: aiohttp.ClientResponse) -> bytes:
    info = answer.request_info
    target = info.real_url.raw_path_qs
    lines = [f"{info.method} {target} HTTP/1.1"]
    lines.extend(f"{name}: {value}" for name, value in info.headers.items())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _peer(answer: aiohttp.ClientResponse) -> str | None:
    connection: Any = answer.connection
    transport = connection.transport if connection is not None else None
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if peer else None


def _failure(error: BaseException) -> FetchFailed:
    """The kind of an error of the client."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return FetchFailed("private_address")
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchFailed("dns", retry=True)
    if isinstance(error, asyncio.TimeoutError):
        return FetchFailed("timeout", retry=True)
    if isinstance(error, (ssl.SSLError, aiohttp.ClientSSLError)):
        return FetchFailed("tls")
    if isinstance(error, aiohttp.InvalidURL):
        return FetchFailed("bad_url")
    if isinstance(error, (aiohttp.ClientConnectorError, ConnectionError)):
        return FetchFailed("connection", retry=True)
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        return FetchFailed("disconnected", retry=True)
    if isinstance(error, aiohttp.ClientOSError):
        return FetchFailed("connection", retry=True)
    return FetchFailed("protocol")
