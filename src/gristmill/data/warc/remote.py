"""Files by address: `https://`, `s3://` and what else fsspec knows, a range of bytes at a time.

Only one block is held. Each is asked for by its range, so a transfer that breaks goes on where it
broke. HTTP connections go to public addresses only, at every redirect, as the crawler's do; others
must be allowed by name and port.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from gristmill.core.errors import GristmillError, Retryable
from gristmill.data.crawl.resolver import AddressRefused, HostMap, Resolver
from gristmill.data.warc.record import NoSuchFile

BLOCK = 4 << 20
_ADDRESS = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
# What a further try cannot mend.
_FINAL = (PermissionError, ValueError, ImportError, GristmillError)


def is_address(text: str) -> bool:
    """Whether a text names a remote file, not a local one."""
    return _ADDRESS.match(text) is not None


class RemoteFile:
    """A remote file of known size, read forward or from any place."""

    def __init__(
        self,
        address: str,
        *,
        allow: Mapping[str, str] | None = None,
        tries: int = 5,
        rest: float = 1.0,
        block: int = BLOCK,
    ):
        """allow: hosts and the `ip:port` that they are reached at, which may be private.
        tries: for each block; rest: seconds before the second one, doubled before each further.

        Raises GristmillError where there is no such file, or the server gives no ranges of it,
        Retryable where it does not answer.
        """
        self.name = address
        self._tries, self._rest, self._block = tries, rest, block
        self._data, self._start, self._at = b"", 0, 0
        self.retried = 0
        self._system, self._path = file_system(address, allow)
        self._file = self._try(self._open)
        size = getattr(self._file, "size", None)
        if not isinstance(size, int) or not self._file.seekable():
            raise GristmillError(
                "the server does not give parts of this file",
                where=address,
                mend="fetch it with another program and name the local file",
            )
        self.size = size

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end. Raises Retryable where all tries failed."""
        if self._at >= self.size:
            return b""
        offset = self._at - self._start
        if not 0 <= offset < len(self._data):
            self._start = self._at
            self._data = self._try(self._fetch)
            offset = 0
        piece = self._data[offset : offset + size]
        self._at += len(piece)
        return piece

    def seek(self, offset: int, /) -> None:
        self._at = offset

    def close(self) -> None:
        self._data = b""
        self._file.close()

    def _open(self) -> Any:
        return self._system.open(self._path, "rb", block_size=self._block, cache_type="none")

    def _fetch(self) -> bytes:
        wanted = min(self._block, self.size - self._start)
        self._file.seek(self._start)
        data = bytes(self._file.read(wanted))
        if not data or len(data) > wanted:
            raise OSError(f"{len(data)} bytes came where {wanted} were asked for")
        return data

    def _try(self, action: Any) -> Any:
        rest = self._rest
        for attempt in range(1, self._tries + 1):
            try:
                return action()
            except Exception as error:  # each of fsspec's systems raises its own library's
                causes = _causes(error)
                if any(isinstance(cause, AddressRefused) for cause in causes):
                    raise GristmillError(
                        "its address is private, loopback or reserved",
                        where=self.name,
                        mend="name the host in `allow`, with the ip:port that it is reached at",
                    ) from error
                # fsspec says "not found" of whatever went wrong at the first look.
                status = next(filter(None, map(_status, causes)), None)
                if any(type(cause).__name__ == "NoCredentialsError" for cause in causes):
                    raise GristmillError(
                        "the service wants to know who asks, and there are no credentials",
                        where=self.name,
                        mend="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or "
                        "name the files by https://",
                    ) from error
                if status in (404, 410) or isinstance(causes[-1], FileNotFoundError):
                    raise NoSuchFile("no such file", where=self.name) from error
                if status is not None and 400 <= status < 500 and status not in (408, 429):
                    raise GristmillError(
                        f"the server refuses it (status {status})", where=self.name
                    ) from error
                if isinstance(error, _FINAL):
                    raise GristmillError(f"cannot be read: {error}", where=self.name) from error
                if attempt == self._tries:
                    raise Retryable(
                        f"the transfer failed {attempt} times: {_told(causes)}",
                        where=self.name,
                        mend="run again: it goes on with this file",
                    ) from error
                self.retried += 1
                time.sleep(rest)
                rest *= 2
        raise AssertionError("no tries")


def file_system(address: str, allow: Mapping[str, str] | None = None) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it.

    Raises GristmillError where a library is missing or the protocol unknown.
    """
    import fsspec

    options: dict[str, Any] = {}
    if address.lower().startswith(("http://", "https://")):
        options = {"get_client": _GuardedClient(dict(allow or {})), "skip_instance_cache": True}
    try:
        system, path = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        raise GristmillError(
            f"reading this address needs a library: {error}",
            where=address,
            mend="pip install 'gristmill[cloud]'",
        ) from error
    except ValueError as error:
        raise GristmillError(str(error), where=address) from error
    return system, path


class _GuardedClient:
    """Makes the HTTP client that connects only where the crawler's resolver lets it."""

    def __init__(self, allow: dict[str, str]):
        self._resolver = Resolver(HostMap(allow))

    async def __call__(self, **options: Any) -> Any:
        import aiohttp

        resolver = self._resolver
        options.pop("loop", None)
        connector = aiohttp.TCPConnector(
            resolver=resolver, socket_factory=resolver.make_socket, happy_eyeballs_delay=None
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error tells of: aiohttp's errors and botocore's."""
    status = getattr(error, "status", None)
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", status)
    return status if isinstance(status, int) else None


def _told(causes: list[BaseException]) -> str:
    """The first cause in its own words; fsspec's are the address alone."""
    return next((str(c) for c in reversed(causes) if str(c)), type(causes[-1]).__name__)


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what it came from, the first cause last."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        if cause in found:
            break
        found.append(cause)
    return found
