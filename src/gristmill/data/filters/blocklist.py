"""What is decided from a URL alone: hosts and addresses on lists, and words.

Lists come in the UT1 format, one folder per category with a file `domains` (one host a line) and
perhaps `urls` (addresses without their scheme) and `expressions` (regular expressions), or as a
user's own files of hosts (`lists.py`). A listed host also blocks what lies below it: `bad.example`
blocks `www.bad.example` and not `notbad.example`. A listed address blocks what follows it after
a `/`, `?` or `#`. Words are judged as in FineWeb's URL filter: one hard word, or several soft ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.data.filters.hosts import (
    ADDRESS,
    ALLOWED,
    NOTHING,
    ODD,
    HashTable,
    hash_bytes,
    host_hash,
    look_up,
)
from gristmill.data.filters.list_reader import ListReader, domains_file
from gristmill.data.filters.lists import ListFile, ascii_url, bare_address, plain_host
from gristmill.data.ngrams import Texts, text_buffer

_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Blocklist:
    """`names[number]` is the list that an entry of the tables is of; number 0 allows."""

    names: tuple[str, ...] = ("allowed",)
    hosts: HashTable = field(default_factory=HashTable.empty)
    addresses: HashTable = field(default_factory=HashTable.empty)
    has_addresses: bool = False
    expressions: tuple[tuple[str, Any], ...] = ()
    files: tuple[ListFile, ...] = ()

    @classmethod
    def read(
        cls,
        folders: Iterable[Path],
        categories: Sequence[str] | None = None,
        *,
        own: Iterable[Path] = (),
        allowed: Iterable[str] = (),
        expressions: bool = False,
    ) -> Blocklist:
        """From folders of categories and a user's own files of hosts, named after their files.

        Where a host stands in two lists, the first in order counts. allowed: hosts that no list
        blocks, unless it names one below them. Raises GristmillError where a folder holds no list,
        a category is missing, an allowed host is none, or a file of the user's holds nothing but
        bad lines.
        """
        reader = ListReader()
        for text in allowed:
            host = plain_host(text)
            if host is None:
                raise GristmillError(
                    f"'{text}' is no host",
                    where="data.filter.lists.allowed",
                    mend="give hosts such as good.example",
                )
            reader.hosts.append(np.array([host_hash(host)], np.uint64), ALLOWED)
        missing = set(categories or ())
        seen: set[Path] = set()
        there: set[str] = set()
        for folder in folders:
            found = sorted(path for path in folder.glob("*") if domains_file(path))
            if not found:
                raise GristmillError(
                    "this is no folder of blocklists",
                    where=folder,
                    mend="give a folder that holds CATEGORY/domains (the UT1 format)",
                )
            there.update(path.name for path in found)
            for path in found:
                if categories is not None and path.name not in categories:
                    continue
                missing.discard(path.name)
                # UT1 has second names for some categories, as links.
                if path.resolve() in seen:
                    continue
                seen.add(path.resolve())
                reader.category(path, expressions)
        if missing:
            raise GristmillError(
                f"no blocklist has the category '{min(missing)}'",
                where="data.filter.urls.categories",
                mend=did_you_mean(min(missing), there),
            )
        for path in own:
            reader.host_file(path, path.name.partition(".")[0])
            read = reader.files[-1]
            if read.bad and not read.entries:
                raise GristmillError(
                    f"no line names a host; line {read.shown[0]['line']}: "
                    f"{read.shown[0]['reason']}",
                    where=path,
                    mend="one a line: bad.example, 0.0.0.0 bad.example or ||bad.example^",
                )
        return cls(
            tuple(reader.names),
            reader.hosts.table(),
            reader.addresses.table(),
            bool(reader.addresses.keys),
            tuple(reader.expressions),
            tuple(reader.files),
        )

    def category(self, url: str) -> tuple[str, str] | None:
        """(list, the listed host or address) that blocks a URL, or None."""
        return self.listed([url], None)[0].get(0)

    def listed(
        self, urls: Texts, words: HashTable | None
    ) -> tuple[dict[int, tuple[str, str]], dict[int, str]]:
        """By position: (list, entry) of the URLs that are blocked, and the URLs that may hold some
        of `words`."""
        if not (len(urls) and (self.names[1:] or words)):
            return {}, {}
        data, offsets = text_buffer(urls)
        found = self._look_up(data, offsets, words or HashTable.empty(), words is not None)

        def url(row: int) -> str:
            return bytes(data[offsets[row] : offsets[row + 1]]).decode(errors="replace")

        blocked: dict[int, tuple[str, str]] = {}
        for row in np.flatnonzero(found[:, 0] != NOTHING).tolist():
            what, number, begin, end = found[row, :4].tolist()
            text = bytes(data[begin:end])
            if what == ODD:
                spelled = ascii_url(url(row))
                hit = None if spelled is None else self.category(spelled)
                if hit is not None:
                    blocked[row] = hit
            else:
                entry = _address_entry(text) if what == ADDRESS else text.decode().lower()
                blocked[row] = self.names[number], entry
        if self.expressions:
            for row in range(len(urls)):
                hit = None if row in blocked else self._expressed(url(row))
                if hit is not None:
                    blocked[row] = hit
        return blocked, {row: url(row) for row in np.flatnonzero(found[:, 4]).tolist()}

    def _look_up(self, data: Any, offsets: Any, words: HashTable, has_words: bool) -> Any:
        found = np.zeros((len(offsets) - 1, 5), np.int64)
        look_up(
            data,
            offsets,
            self.hosts.keys,
            self.hosts.numbers,
            self.addresses.keys,
            self.addresses.numbers,
            self.has_addresses,
            words.keys,
            words.numbers,
            has_words,
            found,
        )
        return found

    def _expressed(self, url: str) -> tuple[str, str] | None:
        bare = (url.partition("://")[2] or url).lower()
        for name, pattern in self.expressions:
            match = pattern.search(bare)
            if match:
                return name, f"{match.group()} (an expression)"
        return None


@dataclass(frozen=True)
class AddressRules:
    """What is decided from a URL alone. Words are in lower case."""

    blocklist: Blocklist
    soft_words: frozenset[str] = frozenset()
    soft_words_at_least: int = 2
    hard_words: frozenset[str] = frozenset()

    def verdict(self, url: str) -> tuple[str, str] | None:
        """(reason, detail) of an address that is dropped, or None."""
        return self.verdicts([url]).get(0)

    def verdicts(self, urls: Texts) -> dict[int, tuple[str, str]]:
        """(reason, detail) by position of the addresses that are dropped."""
        blocked, worded = self.blocklist.listed(urls, self._words)
        out = {row: (f"blocklist.{n}", f"listed as {entry}") for row, (n, entry) in blocked.items()}
        for row, url in worded.items():
            reason = None if row in out else self._by_words(url)
            if reason is not None:
                out[row] = reason
        return out

    @cached_property
    def _words(self) -> HashTable | None:
        words = sorted(self.hard_words | self.soft_words)
        if not words:
            return None
        return HashTable.build(
            np.array([hash_bytes(word.encode()) for word in words], np.uint64),
            np.ones(len(words), np.uint16),
        )

    def _by_words(self, url: str) -> tuple[str, str] | None:
        words = url_words(url)
        hard, soft = sorted(words & self.hard_words), sorted(words & self.soft_words)
        if hard:
            return "url.hard_words", f"{', '.join(hard)} in the address"
        if soft and len(soft) >= self.soft_words_at_least:
            return "url.soft_words", f"{', '.join(soft)} in the address"
        return None


def url_words(url: str) -> set[str]:
    """The words of an address, in lower case: runs of letters and digits of host, path, query."""
    parts = url.partition("://")[2] or url
    return set(_NOT_LETTERS.split(unquote(parts, errors="replace").lower())) - {""}


def _address_entry(text: bytes) -> str:
    """The part of a URL that is listed, with what `look_up` skipped left out."""
    return bare_address(text.decode(errors="replace"))
