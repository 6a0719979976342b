"""What a page or its host says against use for training or text and data mining.

Read are the robots directives `noai` and `noimageai` (meta elements and X-Robots-Tag headers) and
the TDM Reservation Protocol (W3C community group report, 2024): the meta element and the header
`tdm-reservation`, and the host's file /.well-known/tdmrep.json. Of the protocol's three places the
nearest to the page counts: meta, then header, then file; a 0 there lifts a 1 further away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

TDMREP_PATH = "/.well-known/tdmrep.json"
TDM_RESERVATION = "tdm-reservation"
OPT_OUT_HEADERS = ("x-robots-tag", TDM_RESERVATION)
_DIRECTIVES = ("noai", "noimageai")
_SPLIT = re.compile(r"[\s,;:]+")
_MAX_RULES = 10_000
_MAX_FILE = 1 << 20


def stated_opt_out(
    robots: Iterable[str],
    meta: Mapping[str, str],
    headers: Sequence[tuple[str, str]] = (),
    reserved_by_host: bool | None = None,
) -> str | None:
    """The opt-outs of a page as `noai, noimageai, tdm-reservation`, those stated; None if none.

    robots: contents of its robots meta elements. meta: its other meta elements by lower-case name.
    headers: of the HTTP response. reserved_by_host: what the host's tdmrep.json says of the page.
    """
    said: set[str] = set()
    tagged = [value for name, value in headers if name.lower() == "x-robots-tag"]
    for value in (*robots, *tagged):
        said.update(_SPLIT.split(value.lower()))
    found = [name for name in _DIRECTIVES if name in said]
    header = next((value for name, value in headers if name.lower() == TDM_RESERVATION), None)
    for stated in (_flag(meta.get(TDM_RESERVATION)), _flag(header), reserved_by_host):
        if stated is not None:
            found += [TDM_RESERVATION] if stated else []
            break
    return ", ".join(found) or None


@dataclass(frozen=True)
class TdmRules:
    """The rules of tdmrep.json files, by origin (`scheme://host:port`), in the files' order."""

    by_origin: Mapping[str, tuple[tuple[str, bool], ...]]

    @classmethod
    def from_files(cls, files: Iterable[tuple[str, bytes]]) -> TdmRules:
        """From (URL, body) of fetched files; what is no such file says nothing."""
        found = {}
        for url, body in files:
            rules = parse_tdmrep(body)
            if rules:
                found[_origin(url)] = rules
        return cls(found)

    def reserved(self, url: str) -> bool | None:
        """Whether the rights of a page are reserved; None where no rule speaks of it.

        The longest location that fits counts, as in robots.txt (RFC 9309, section 2.2.2).
        """
        rules = self.by_origin.get(_origin(url))
        if not rules:
            return None
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fitting = [rule for rule in rules if _fits(rule[0], path)]
        return max(fitting, key=lambda rule: (len(rule[0]), rule[1]))[1] if fitting else None


def parse_tdmrep(body: bytes) -> tuple[tuple[str, bool], ...]:
    """(location, reserved) of each rule of a tdmrep.json; empty where it is no such file."""
    if len(body) > _MAX_FILE:
        return ()
    try:
        stated = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return ()
    rules = []
    for rule in stated[:_MAX_RULES] if isinstance(stated, list) else ():
        if not isinstance(rule, dict):
            continue
        location, reserved = rule.get("location"), _flag(rule.get(TDM_RESERVATION))
        if isinstance(location, str) and location and reserved is not None:
            rules.append((location if location[0] in "/*" else f"/{location}", reserved))
    return tuple(rules)


def _flag(value: object) -> bool | None:
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    return {"1": True, "true": True, "0": False, "false": False}.get(text.lower())


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()


def _fits(pattern: str, path: str) -> bool:
    """robots.txt patterns: `*` is anything, a final `$` the end, else a prefix is enough.

    Greedy from the left: linear in the path for each piece, no backtracking.
    """
    end = pattern.endswith("$")
    pieces = (pattern[:-1] if end else pattern).split("*")
    if not path.startswith(pieces[0]):
        return False
    place = len(pieces[0])
    for piece in pieces[1:-1]:
        place = path.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    if len(pieces) == 1:
        return not end or place == len(path)
    last = pieces[-1]
    if end:
        return path.endswith(last) and len(path) - len(last) >= place
    return path.find(last, place) >= 0
