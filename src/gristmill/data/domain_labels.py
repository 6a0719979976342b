"""Labels of domains that a user gives: a JSONL file, or rules on addresses and breadcrumbs.

A file labels documents by their address or gives labelled texts of its own, which are learnt from
and belong to no corpus; one object a line:

    {"url": "https://a.example/physics/1", "domain": "Science"}
    {"text": "The mitochondrion is ...", "domain": "Science"}

A rule is the beginning of an address (`a.example`, also for its subdomains, or
`a.example/physics/`), a piece of the path on any host (`/physics/`), or a breadcrumb (`topic:
Physics`). No regexes: what is compared is plain text, in time that grows with its length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gristmill.core.errors import GristmillError
from gristmill.data.links import bare_host, same_page

_SHOWN = 100
TOPIC = "topic:"


@dataclass
class GivenLabels:
    """What files say. by_page: `same_page` key -> domain. texts: (text, domain). bad: lines that
    say nothing, `shown` the first of them."""

    by_page: dict[str, str] = field(default_factory=dict)
    texts: list[tuple[str, str]] = field(default_factory=list)
    bad: int = 0
    shown: list[dict[str, str]] = field(default_factory=list)


def read_given_labels(paths: Sequence[Path]) -> GivenLabels:
    """The labels of JSONL files; of two for one page the last holds.

    Raises GristmillError for a file that is not there or in which no line is a label.
    """
    found = GivenLabels()
    for path in paths:
        before = len(found.by_page) + len(found.texts)
        lines = 0
        try:
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        lines += 1
                        _take(found, path, number, line)
        except OSError as error:
            raise GristmillError(
                f"cannot be read: {error.strerror}", where=path, mend="check the path"
            ) from error
        if len(found.by_page) + len(found.texts) == before:
            raise GristmillError(
                f"none of {lines} lines is a label",
                where=path,
                mend='give {"url": ..., "domain": ...} or {"text": ..., "domain": ...} a line',
            )
    return found


def _take(found: GivenLabels, path: Path, number: int, line: str) -> None:
    reason = ""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record, reason = None, "no JSON"
    if isinstance(record, dict):
        name, url, text = (record.get(key) for key in ("domain", "url", "text"))
        domain = " ".join(name.split()) if isinstance(name, str) else ""
        if not domain:
            reason = "no domain"
        elif isinstance(url, str) and same_page(url):
            found.by_page[same_page(url)] = domain
        elif isinstance(text, str) and text.strip():
            found.texts.append((text, domain))
        else:
            reason = "neither an address nor a text"
    elif not reason:
        reason = "no object"
    if reason:
        found.bad += 1
        if len(found.shown) < _SHOWN:
            where = f"{path.name}:{number}"
            found.shown.append({"where": where, "reason": reason, "sample": line[:200]})


class Rules:
    """Domains by rules: `domain(url, topic)`. Of several rules that fit the longest holds."""

    def __init__(self, rules: Mapping[str, Sequence[str]]):
        """rules: domain -> patterns. Raises GristmillError for a pattern that is none, and for
        one that names two domains."""
        self._topics: dict[str, str] = {}
        self._hosts: dict[str, list[tuple[str, str]]] = {}
        self._pieces: list[tuple[str, str]] = []
        known: dict[str, str] = {}
        for domain, patterns in rules.items():
            for pattern in patterns:
                plain = pattern.strip()
                if known.setdefault(plain, domain) != domain:
                    raise GristmillError(
                        f"'{plain}' names both '{known[plain]}' and '{domain}'", where="rules"
                    )
                self._add(plain, domain)
        self._pieces.sort(key=lambda rule: (-len(rule[0]), rule))

    def _add(self, pattern: str, domain: str) -> None:
        if pattern.lower().startswith(TOPIC):
            self._topics[_folded(pattern[len(TOPIC) :])] = domain
            return
        if pattern.startswith("/") and len(pattern) > 2:
            self._pieces.append((pattern, domain))
            return
        host, slash, path = pattern.removeprefix("https://").removeprefix("http://").partition("/")
        if "." not in host or any(letter.isspace() or letter in "*?()[]" for letter in host):
            raise GristmillError(
                f"'{pattern}' is no rule",
                where="rules",
                mend="give a host (a.example), the beginning of an address (a.example/physics/), "
                "a piece of a path (/physics/) or a breadcrumb (topic: Physics)",
            )
        self._hosts.setdefault(bare_host(host), []).append((slash + path, domain))

    def domain(self, url: str, topic: str | None) -> str | None:
        """The domain of a page; None where no rule fits."""
        try:
            parts = urlsplit(url)
            host = bare_host(parts.hostname or "")
        except ValueError:
            parts, host = urlsplit(""), ""
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        best: tuple[int, str] | None = None
        name = host
        while name:
            for beginning, domain in self._hosts.get(name, ()):
                length = len(name) + len(beginning)
                if path.startswith(beginning) and (best is None or length > best[0]):
                    best = (length, domain)
            name = name.partition(".")[2]
        if best is not None:
            return best[1]
        for piece, domain in self._pieces:
            if piece in path:
                return domain
        return self._topics.get(_folded(topic)) if topic else None


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
