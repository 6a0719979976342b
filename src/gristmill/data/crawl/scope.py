"""Which URLs a crawl may visit: hosts, ports, patterns, and the shapes of endless sites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import re2

from gristmill.core.errors import GristmillError
from gristmill.data.crawl.urls import path_of, split_origin

_PORTS = frozenset((80, 443, 8000, 8080, 8443))
_MAX_SEGMENTS = 30
_MAX_SAME_SEGMENT = 3
_MAX_PARAMETERS = 12


class Scope:
    """The rules of a crawl.

    hosts: names, or `*.example` for a domain with all below it. include, exclude: regular
    expressions (RE2) searched in the URL; where include is given one of them must be found. ports:
    allowed besides the usual ones. Raises GristmillError for a malformed expression.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        ports: Iterable[int] = (),
    ):
        self._ports = _PORTS | frozenset(ports)
        self._hosts = frozenset(host.lower() for host in hosts if not host.startswith("*."))
        self._suffixes = tuple(host[1:].lower() for host in hosts if host.startswith("*."))
        self._include = _compile(include, "include")
        self._exclude = _compile(exclude, "exclude")

    def refusal(self, url: str) -> str | None:
        """Why a normalised URL is out of scope; None where it is in."""
        _, host, port, _ = split_origin(url.partition("?")[0])
        if not self._has_host(host):
            return "host"
        if port not in self._ports:
            return "port"
        if any(pattern.search(url) for pattern in self._exclude):
            return "excluded"
        if self._include and not any(pattern.search(url) for pattern in self._include):
            return "not_included"
        return "trap" if _is_trap(url) else None

    def _has_host(self, host: str) -> bool:
        if host in self._hosts:
            return True
        # '*.example' is example and everything below it.
        return any(host.endswith(end) or host == end[1:] for end in self._suffixes)


def _is_trap(url: str) -> bool:
    """Paths that repeat themselves or have too many parts: links that a broken site breeds."""
    path, _, query = path_of(url).partition("?")
    if query.count("&") >= _MAX_PARAMETERS:
        return True
    if path.count("/") <= _MAX_SAME_SEGMENT:
        return False
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) > _MAX_SEGMENTS:
        return True
    return any(segments.count(segment) > _MAX_SAME_SEGMENT for segment in set(segments))


def _compile(patterns: Sequence[str], key: str) -> list[re2.Pattern]:
    compiled = []
    options = re2.Options()
    options.log_errors = False  # the library writes to the terminal too
    for pattern in patterns:
        try:
            compiled.append(re2.compile(pattern, options))
        except re2.error as error:
            why = error.args[0] if error.args else "malformed"
            why = why.decode("utf-8", "replace") if isinstance(why, bytes) else why
            raise GristmillError(
                f"'{pattern}' is no regular expression: {why}",
                where=f"data.crawl.{key}",
                mend="RE2 syntax: no look-around, no back-references",
            ) from error
    return compiled
