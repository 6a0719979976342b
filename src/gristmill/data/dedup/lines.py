"""Lines on a large share of a site's pages: menus, footers, notices that extraction left.

Counted over a site's distinct texts: on a site that serves one page under fifty addresses every
line would otherwise be "repeated", and the page would lose its text instead of its copies. Lines of
few letters (a brace, a rule, `else:`) are left alone: they repeat because of what they are.
Documents without a site (imported files) have no such lines.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


def _line_key(line: str) -> bytes:
    return hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _distinct_lines(text: str, min_letters: int) -> set[str]:
    lines = {line.strip() for line in text.split("\n")}
    return {line for line in lines if sum(map(str.isalpha, line)) >= min_letters}


@dataclass
class SiteLines:
    """How many distinct texts of each site hold each line; adds up over parts in any order.

    Lines are held as 8-byte keys, texts as the digests that the caller gives.
    """

    min_letters: int = 8
    pages: Counter[str] = field(default_factory=Counter)
    lines: dict[str, Counter[bytes]] = field(default_factory=dict)
    _seen: set[tuple[str, bytes]] = field(default_factory=set)

    def add(self, host: str, digest: bytes, text: str) -> None:
        """Counts a page's lines, unless it has no site or its site had the same text before."""
        if not host or (host, digest) in self._seen:
            return
        self._seen.add((host, digest))
        self.pages[host] += 1
        self.lines.setdefault(host, Counter()).update(
            map(_line_key, _distinct_lines(text, self.min_letters))
        )

    def repeated(self, *, share: float, min_pages: int) -> dict[str, frozenset[bytes]]:
        """By site the lines on at least `share` of its pages and on at least `min_pages` pages."""
        found: dict[str, frozenset[bytes]] = {}
        for host in sorted(self.pages):
            needed = max(min_pages, share * self.pages[host])
            keys = frozenset(key for key, count in self.lines[host].items() if count >= needed)
            if keys:
                found[host] = keys
        return found


def remove_lines(
    text: str, repeated: frozenset[bytes], removed: Callable[[str], None] | None = None
) -> str | None:
    """The text without its repeated lines, or None where it has none of them.

    Blank lines that are left doubled by a removal become one; `removed` is told each line taken.
    """
    lines = text.split("\n")
    drop = [bool(stripped := line.strip()) and _line_key(stripped) in repeated for line in lines]
    if not any(drop):
        return None
    kept: list[str] = []
    gap = False
    for line, dropped in zip(lines, drop, strict=True):
        if dropped:
            gap = True
            if removed is not None:
                removed(line.strip())
        elif gap and not line.strip() and (not kept or not kept[-1].strip()):
            continue
        else:
            kept.append(line)
            gap = False
    return "\n".join(kept).strip("\n")
