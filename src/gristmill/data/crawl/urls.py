"""One spelling per page: URLs resolved, checked and normalised.

Parsing follows the WHATWG URL standard where browsers and old parsers disagree about the host
(userinfo, backslashes, decimal, octal and hexadecimal IPv4), because a crawler that reads a host
differently from the one who connects can be led to places that it would have refused.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urljoin

MAX_LENGTH = 2000
_KEPT_LENGTH = 300

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):")
_CONTROL = re.compile(r"[\t\n\r]")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What may stand bare in a path; the rest is percent-encoded. '%' is handled by _ESCAPE.
_PATH_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]")
_QUERY_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]|]")
_LONE_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST = re.compile(r"[a-z0-9_\-]+(\.[a-z0-9_\-]+)*\.?")
_DEFAULT_PORT = {"http": 80, "https": 443}

# Parameters that name the visitor or the campaign, never the page.
_TRACKING = re.compile(
    r"(?:utm_[a-z_]+|gclid|dclid|fbclid|msclkid|yclid|igshid|mc_cid|mc_eid|_ga|_gl"
    r"|phpsessid|jsessionid|aspsessionid[a-z]*|sessionid)",
    re.IGNORECASE,
)
_PATH_SESSION = re.compile(r";jsessionid=[^/;]*", re.IGNORECASE)


class BadUrl(ValueError):
    """Not an http or https address that can be fetched; the text says why."""


def normalise(url: str, base: str = "") -> str:
    """The one spelling of `url`, seen on the page `base`: absolute, no fragment, no userinfo.

    Host in lower case and IDNA, IPv4 in dotted decimal, default port dropped, dot segments
    resolved, escapes of unreserved characters undone and the others in upper case, tracking
    parameters dropped. Raises BadUrl.
    """
    # A menu stands on every page; long addresses are kept nowhere, so that the cache stays small.
    return (_kept if len(url) + len(base) < _KEPT_LENGTH else _normalise)(url, base)


def _normalise(url: str, base: str) -> str:
    url = _CONTROL.sub("", url.strip("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x1f "))
    url = url.strip()
    url = url.partition("#")[0]
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() not in _DEFAULT_PORT:
        raise BadUrl(f"scheme {scheme[1].lower()[:20]}")
    # Browsers read a backslash in http URLs as a slash; Python's parser would not.
    head, mark, query = url.partition("?")
    url = head.replace("\\", "/") + mark + query
    if scheme and not url[scheme.end() :].startswith("//"):
        if not base or not base.startswith(scheme[0].lower()):
            url = scheme[0] + "//" + url[scheme.end() :].lstrip("/")
        else:
            url = url[scheme.end() :]
    if base:
        try:
            url = urljoin(base, url)
        except ValueError as error:
            raise BadUrl("malformed") from error
    return _normalise_absolute(url)


_kept = lru_cache(maxsize=1 << 15)(_normalise)


def _normalise_absolute(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _DEFAULT_PORT:
        raise BadUrl("not an absolute http address")
    rest = rest.lstrip("/").partition("#")[0]
    end = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    path, mark, query = tail.partition("?")
    text = f"{scheme}://{_authority(authority, scheme)}{_path(path)}"
    query = _query(query)
    if query:
        text += "?" + query
    if len(text) > MAX_LENGTH:
        raise BadUrl("too long")
    return text


def _authority(authority: str, scheme: str) -> str:
    # The last '@' ends the userinfo, as in browsers: what stands before it is never the host.
    authority = authority.rpartition("@")[2]
    host, port = authority, ""
    if authority.startswith("["):
        inside, bracket, after = authority[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise BadUrl("malformed IPv6 host")
        host, port = f"[{inside}]", after[1:]
    elif ":" in authority:
        host, _, port = authority.partition(":")
    host = normalise_host(host)
    if port:
        if not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536:
            raise BadUrl("malformed port")
        if int(port) != _DEFAULT_PORT[scheme]:
            return f"{host}:{int(port)}"
    return host


@lru_cache(maxsize=1 << 14)
def normalise_host(host: str) -> str:
    """Host in lower case, IDNA-encoded; addresses in their one form. Raises BadUrl."""
    if host.startswith("["):
        try:
            # A zone identifier names a local interface: nothing that a page may choose.
            return f"[{ipaddress.IPv6Address(host[1:-1].partition('%')[0]).compressed}]"
        except ValueError as error:
            raise BadUrl("malformed IPv6 host") from error
    if "%" in host:
        host = unquote_to_bytes(host).decode("utf-8", "replace")
    if not host.isascii():
        try:
            # Also maps full-width letters and digits to plain ones.
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise BadUrl("malformed host") from error
    host = host.lower()
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise BadUrl("malformed host")
    host = host.rstrip(".")
    last = host.rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        return _ipv4(host)
    return host


def _ipv4(host: str) -> str:
    """IPv4 as inet_aton reads it: one to four parts in decimal, octal or hexadecimal."""
    numbers: list[int] = []
    for part in host.split("."):
        try:
            if part.startswith("0x"):
                numbers.append(int(part[2:] or "0", 16))
            elif len(part) > 1 and part.startswith("0"):
                numbers.append(int(part, 8))
            else:
                numbers.append(int(part))
        except ValueError as error:
            raise BadUrl("malformed IPv4 host") from error
    if len(numbers) > 4 or any(n > 255 for n in numbers[:-1]):
        raise BadUrl("malformed IPv4 host")
    if numbers[-1] >= 256 ** (5 - len(numbers)):
        raise BadUrl("malformed IPv4 host")
    value = numbers[-1]
    for place, number in enumerate(numbers[:-1]):
        value += number << (8 * (3 - place))
    return str(ipaddress.IPv4Address(value))


def _unescape(match: re.Match[str]) -> str:
    byte = int(match[0][1:], 16)
    return chr(byte) if byte in _UNRESERVED else match[0].upper()


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _clean(text: str, unsafe: re.Pattern[str]) -> str:
    if "%" in text:
        text = _ESCAPE.sub(_unescape, _LONE_PERCENT.sub("%25", text))
    return unsafe.sub(_escape, text)


def _path(path: str) -> str:
    if ";" in path:
        path = _PATH_SESSION.sub("", path)
    path = _clean(path, _PATH_UNSAFE)
    if "/." not in path:
        return path or "/"
    kept: list[str] = []
    segments = path.split("/")[1:]
    for place, segment in enumerate(segments):
        last = place == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def _query(query: str) -> str:
    if not query:
        return ""
    query = _clean(query, _QUERY_UNSAFE)
    parts = [
        part
        for part in query.split("&")
        if part and not _TRACKING.fullmatch(part.partition("=")[0])
    ]
    return "&".join(parts)


@lru_cache(maxsize=1 << 12)
def split_origin(url: str) -> tuple[str, str, int, str]:
    """(scheme, host, port, origin) of a normalised URL; an IPv6 host without its brackets."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0]
    host, port = authority, _DEFAULT_PORT[scheme]
    if authority.startswith("["):
        host, _, after = authority[1:].partition("]")
        if after:
            port = int(after[1:])
    elif ":" in authority:
        host, _, text = authority.partition(":")
        port = int(text)
    return scheme, host, port, f"{scheme}://{authority}"


def path_of(url: str) -> str:
    """Path and query of a normalised URL."""
    return "/" + url.partition("://")[2].partition("/")[2]


def host_of(url: str) -> str:
    """Host of a normalised URL, an IPv6 address without its brackets."""
    authority = url.partition("://")[2].partition("/")[0]
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]
