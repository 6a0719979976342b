"""Files of hosts, addresses and expressions into hashes; lines that are none are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import re2

from gristmill.data.filters.hosts import HashTable, Numbers, address_hash, hash_hosts, host_hash
from gristmill.data.filters.lists import (
    BAD_SHOWN,
    ListFile,
    bare_address,
    host_entries,
    pieces,
    plain_host,
)
from gristmill.data.ngrams import Hashes

_MAX_EXPRESSION = 1000


@dataclass
class Entries:
    """Hashes with the number of their list, file by file."""

    keys: list[Hashes] = field(default_factory=list)
    numbers: list[Numbers] = field(default_factory=list)

    def append(self, keys: Hashes, number: int) -> None:
        self.keys.append(keys)
        self.numbers.append(np.full(len(keys), number, np.uint16))

    def table(self) -> HashTable:
        if not self.keys:
            return HashTable.empty()
        return HashTable.build(np.concatenate(self.keys), np.concatenate(self.numbers))


class ListReader:
    """Gathers what the files hold."""

    def __init__(self) -> None:
        self.names = ["allowed"]
        self.hosts, self.addresses = Entries(), Entries()
        self.expressions: list[tuple[str, Any]] = []
        self.files: list[ListFile] = []

    def category(self, folder: Path, expressions: bool) -> None:
        """A folder of the UT1 format."""
        path = domains_file(folder)
        if path is not None:
            self.host_file(path, folder.name)
        if (folder / "urls").is_file():
            self.address_file(folder / "urls", folder.name)
        if expressions and (folder / "expressions").is_file():
            self.expression_file(folder / "expressions", folder.name)

    def host_file(self, path: Path, name: str) -> None:
        number = self._number(name)
        entries, bad, line_number = 0, _BadLines(), 0
        for piece in pieces(path):
            data = np.frombuffer(piece.removeprefix(b"\xef\xbb\xbf"), np.uint8)
            out = np.empty(piece.count(b"\n") + 1, np.uint64)
            odd = np.empty((len(out), 3), np.int64)
            count, strange, lines = hash_hosts(data, out, odd)
            further = []
            for first, last, line in odd[:strange].tolist():
                text = bytes(data[first:last]).decode(errors="replace")
                try:
                    further += [host_hash(host) for host in host_entries(text)]
                except ValueError as error:
                    bad.add(line_number + line, text, str(error))
            line_number += lines
            self.hosts.append(out[:count].copy(), number)
            self.hosts.append(np.array(further, np.uint64), number)
            entries += count + len(further)
        self._done(path, name, entries, bad)

    def address_file(self, path: Path, name: str) -> None:
        number = self._number(name)
        found, bad = [], _BadLines()
        for line, text in _lines(path):
            address = bare_address(text)
            if plain_host(address.partition("/")[0].partition("?")[0]) is None or " " in address:
                bad.add(line, text, "not an address")
            else:
                found.append(address_hash(address))
        self.addresses.append(np.array(found, np.uint64), number)
        self._done(path, name, len(found), bad)

    def expression_file(self, path: Path, name: str) -> None:
        good, bad = [], _BadLines()
        for line, text in _lines(path):
            try:
                if len(text) > _MAX_EXPRESSION:
                    raise ValueError("it is very long")
                re2.compile(text.lower())
                good.append(text.lower())
            except (re2.error, ValueError) as error:
                bad.add(line, text, f"not a regular expression: {error}")
        if good:
            self._number(name)
            whole = "|".join(f"(?:{expression})" for expression in good)
            self.expressions.append((name, re2.compile(whole)))
        self._done(path, name, len(good), bad)

    def _number(self, name: str) -> int:
        if name not in self.names[1:]:
            self.names.append(name)
        return self.names.index(name, 1)

    def _done(self, path: Path, name: str, entries: int, bad: _BadLines) -> None:
        self.files.append(ListFile(path, name, entries, bad.count, tuple(bad.shown)))


class _BadLines:
    def __init__(self) -> None:
        self.count = 0
        self.shown: list[dict[str, str]] = []

    def add(self, line: int, text: str, reason: str) -> None:
        self.count += 1
        if len(self.shown) < BAD_SHOWN:
            self.shown.append({"line": str(line), "reason": reason, "sample": text[:200]})


def domains_file(folder: Path) -> Path | None:
    """The file of hosts of a category, also where it is compressed."""
    if not folder.is_dir():
        return None
    return next((p for p in (folder / "domains", folder / "domains.gz") if p.is_file()), None)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    for piece in pieces(path):
        # Public lists hold a few bytes that are no UTF-8; such a line matches nothing.
        for line in piece.decode("utf-8-sig", errors="replace").split("\n"):
            number += 1
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, line.strip()
        number -= 1
