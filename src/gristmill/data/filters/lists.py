"""The lines of a user's lists of hosts: what a line names, in the formats that public lists have.

A line may be a host (`bad.example`, `*.bad.example`, `http://bad.example/`), a line of a hosts file
(`0.0.0.0 bad.example`) or the plain rule of an ad blocker (`||bad.example^`). A line that names
something else is bad: it is counted and shown, and the others hold.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import re2

from gristmill.core.errors import GristmillError

_HOST = re2.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_ADDRESS = re2.compile(r"([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*::?[0-9a-fA-F:]*(%[a-z0-9]+)?)")
_OWN_NAMES = frozenset(
    "localhost localhost.localdomain local broadcasthost ip6-localhost ip6-loopback ip6-localnet "
    "ip6-mcastprefix ip6-allnodes ip6-allrouters ip6-allhosts 0.0.0.0".split()
)
# What may follow `||host^$` and still means all of the host.
_WHOLE = frozenset({"all", "important", "document", "doc"})
_PIECE = 8 << 20
BAD_SHOWN = 20


@dataclass(frozen=True)
class ListFile:
    """What was read of one file: its entries, and its bad lines, the first of them in words."""

    path: Path
    name: str
    entries: int
    bad: int
    shown: tuple[dict[str, str], ...]
    """Each with `line`, `reason` and `sample`."""


def plain_host(text: str) -> str | None:
    """A host in the one spelling that is compared: lower case, Punycode, no dot at its ends.

    None where it is none. Labels beyond ASCII follow IDNA 2003, as Python has it.
    """
    host = text.lower().strip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").strip(".").lower()
        except UnicodeError:
            return None
    return host if len(host) <= 253 and _HOST.fullmatch(host) else None


def host_entries(line: str) -> list[str]:
    """The hosts that a line names; none for a comment. Raises ValueError that says what is bad."""
    line = line.strip()
    if not line or line[0] in "#!" or line.startswith("[Adblock"):
        return []
    if line.startswith("@@"):
        raise ValueError("an exception, which is not followed (allowed hosts have their own list)")
    if "##" in line or "#@#" in line or "#?#" in line:
        raise ValueError("a rule on elements of pages")
    if line.startswith("||"):
        named, caret, options = line[2:].partition("^")
        further = set(options.removeprefix("$").split(",")) - {""}
        if not caret or not further <= _WHOLE:
            raise ValueError("a rule on some of a host's addresses")
        return [_checked(named)]
    fields = line.split("#", 1)[0].split()
    if len(fields) > 1 and _ADDRESS.fullmatch(fields[0]):
        return [_checked(name) for name in fields[1:] if name.lower() not in _OWN_NAMES]
    if len(fields) != 1:
        raise ValueError("more than one word")
    return [_checked(fields[0])]


def bare_address(url: str) -> str:
    """An address as lists write it: without scheme, user, port, `www.`, a final slash; lower case
    in ASCII."""
    rest = url.partition("://")[2] or url
    rest = rest.encode(errors="replace").lower().decode(errors="replace")
    cut = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    host = rest[:cut].rpartition("@")[2].partition(":")[0].rstrip(".")
    head, dot, tail = host.partition(".")
    if (
        dot
        and "." in f"{dot}{tail}"
        and head[:3] == "www"
        and (head[3:].isdigit() or head == "www")
    ):
        host = tail
    return (host + rest[cut:]).rstrip("/")


def ascii_url(url: str) -> str | None:
    """A URL whose host is written with escapes or beyond ASCII, with the host that is meant."""
    rest = url.partition("://")[2]
    cut = min((at for mark in "/?#\\" if (at := rest.find(mark)) >= 0), default=len(rest))
    named = unquote(rest[:cut].rpartition("@")[2], errors="replace").strip()
    host = plain_host("".join(named.split()).partition(":")[0])
    return None if host is None else f"x://{host}{rest[cut:]}"


def pieces(path: Path) -> Iterator[bytes]:
    """A file (also gzip) in pieces of whole lines, so that a long list does not fill the memory.

    Raises GristmillError where it cannot be read.
    """
    left = b""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            while piece := file.read(_PIECE):
                whole, newline, rest = (left + piece).rpartition(b"\n")
                if newline:
                    yield whole + newline
                    left = rest
                else:
                    left = rest
        if left:
            yield left
    except (OSError, EOFError) as error:
        said = getattr(error, "strerror", None) or error
        raise GristmillError(f"this list cannot be read: {said}", where=path) from error


def _checked(named: str) -> str:
    text = named.partition("://")[2] or named
    text, _, path = text.partition("/")
    if path:
        raise ValueError("an address with a path, not a host")
    host = plain_host(text.removeprefix("*."))
    if host is None:
        raise ValueError("not a host")
    return host
