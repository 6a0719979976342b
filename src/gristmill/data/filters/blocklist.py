"""Host blocklists in the UT1 format: one folder per category with a file `domains`, one host a
line. A listed host also blocks what lies below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gristmill.core.errors import GristmillError

_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Blocklist:
    """`categories` by host; `urls` by address without its scheme (UT1's file `urls`)."""

    hosts: dict[str, str]
    urls: dict[str, str]

    @classmethod
    def read(cls, folders: Iterable[Path], categories: Sequence[str] | None = None) -> Blocklist:
        """From folders of categories; where a host stands in two, the first in order counts.

        Raises GristmillError where a folder holds no list or a category is missing.
        """
        hosts: dict[str, str] = {}
        urls: dict[str, str] = {}
        missing = set(categories or ())
        for folder in folders:
            found = sorted(
                path for path in folder.glob("*") if path.is_dir() and (path / "domains").is_file()
            )
            if not found:
                raise GristmillError(
                    "this is no folder of blocklists",
                    where=folder,
                    mend="give a folder that holds CATEGORY/domains (the UT1 format)",
                )
            for path in found:
                if categories is not None and path.name not in categories:
                    continue
                missing.discard(path.name)
                for line in _lines(path / "domains"):
                    hosts.setdefault(line.lower().strip("."), path.name)
                if (path / "urls").is_file():
                    for line in _lines(path / "urls"):
                        urls.setdefault(_bare(line), path.name)
        if missing:
            raise GristmillError(
                f"no blocklist has the category '{min(missing)}'",
                where="data.filter.urls.categories",
            )
        return cls(hosts, urls)

    def category(self, url: str) -> tuple[str, str] | None:
        """(category, the listed host or address) that blocks a URL, or None."""
        try:
            host = (urlsplit(url).hostname or "").strip(".")
        except ValueError:
            return None
        if self.urls:
            bare = _bare(url)
            if bare in self.urls:
                return self.urls[bare], bare
        while host:
            if host in self.hosts:
                return self.hosts[host], host
            _, _, host = host.partition(".")
        return None


@dataclass(frozen=True)
class AddressRules:
    """What is decided from a URL alone."""

    blocklist: Blocklist
    soft_words: frozenset[str] = frozenset()
    soft_words_at_least: int = 2

    def verdict(self, url: str) -> tuple[str, str] | None:
        """(reason, detail) of an address that is dropped, or None."""
        found = self.blocklist.category(url)
        if found is not None:
            return f"blocklist.{found[0]}", f"listed as {found[1]}"
        soft = sorted(url_words(url) & self.soft_words) if self.soft_words else []
        if soft and len(soft) >= self.soft_words_at_least:
            return "url.soft_words", f"{', '.join(soft)} in the address"
        return None


def url_words(url: str) -> set[str]:
    """The words of an address, in lower case: runs of letters and digits of host, path, query."""
    parts = url.partition("://")[2] or url
    return set(_NOT_LETTERS.split(unquote(parts, errors="replace").lower())) - {""}


def _bare(url: str) -> str:
    return (url.partition("://")[2] or url).rstrip("/").lower()


def _lines(path: Path) -> list[str]:
    # Public lists hold a few bytes that are no UTF-8; such a line matches nothing.
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
