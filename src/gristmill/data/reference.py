"""What a user calls good: pages by their addresses, or documents of their own, from files.

A list of addresses has one a line (or is JSONL with `url`); documents are JSONL with `text`. With
them the classifier of `data quality` needs no site whose links say what is good.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.data.links import same_page

_SHOWN = 100


@dataclass
class ReferenceList:
    """pages: `same_page` keys. texts: of documents that are no part of the corpus. bad: lines that
    are neither, `shown` the first of them."""

    pages: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    bad: int = 0
    shown: list[dict[str, str]] = field(default_factory=list)


def read_reference(paths: Sequence[Path]) -> ReferenceList:
    """Addresses and texts of files, mixed as they like: a line that begins with { is JSON.

    Blank lines and lines that begin with # are nothing. Raises GristmillError for a file that is
    not there or gives nothing.
    """
    found = ReferenceList()
    for path in paths:
        before = len(found.pages) + len(found.texts)
        try:
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    plain = line.strip()
                    if plain and not plain.startswith("#"):
                        _take(found, path, number, plain)
        except OSError as error:
            raise GristmillError(
                f"cannot be read: {error.strerror}", where=path, mend="check the path"
            ) from error
        if len(found.pages) + len(found.texts) == before:
            raise GristmillError(
                "gives neither an address nor a text that no file before it gave",
                where=path,
                mend='give an address a line, or {"text": ...} or {"url": ...} a line',
            )
    return found


def _take(found: ReferenceList, path: Path, number: int, line: str) -> None:
    url: object = line
    if line.startswith("{"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = {}
        text, url = record.get("text"), record.get("url")
        if isinstance(text, str) and text.strip():
            found.texts.append(text)
            return
    key = ""
    if isinstance(url, str):
        key = same_page(url if "://" in url else f"http://{url}")
    # A word is no address: a host has a dot.
    if "." in key.partition("/")[0] and " " not in key:
        found.pages.add(key)
        return
    found.bad += 1
    if len(found.shown) < _SHOWN:
        where = f"{path.name}:{number}"
        found.shown.append({"where": where, "reason": "no address, no text", "sample": line[:200]})
