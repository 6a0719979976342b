"""Real documentation pages and their sources: the HTML packages of Debian's registry.

The sources (reStructuredText, AsciiDoc) of Python's and git's documentation lie in the same
packages: text in which no extractor and no filter had a hand, so that it is fair to all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from corpora import debian_package

PACKAGES = ("python3.11-doc", "git-doc", "postgresql-doc-15", "sqlite3-doc", "anarchism")


@dataclass(frozen=True)
class Pages:
    """Files to extract, and the held-out sources of others."""

    train: list[Path]
    held_out: list[str]


def read_pages(*, quick: bool) -> Pages:
    """The packages' pages. A page with a source is held out by the hash of its name: one of 8."""
    train: list[Path] = []
    held_out: list[str] = []
    for package in PACKAGES[:2] if quick else PACKAGES:
        folder = debian_package(package)
        for page in sorted(folder.rglob("*.html")) if folder else ():
            source = source_of(page)
            if page.is_symlink() or not page.is_file():
                continue
            if source is not None and hashlib.sha256(page.name.encode()).digest()[0] < 32:
                held_out.append(source.read_text(encoding="utf-8"))
            else:
                train.append(page)
    return Pages(train[::6], held_out[::6]) if quick else Pages(train, held_out)


def source_of(page: Path) -> Path | None:
    """The text that a page was made from, where its package has it."""
    if "git-doc" in page.parts:
        candidates = [page.with_suffix(".txt")]
    else:
        root = next((p for p in page.parents if (p / "_sources").is_dir()), None)
        if root is None:
            return None
        candidates = [root / "_sources" / page.relative_to(root).with_suffix(".rst.txt")]
    return next((file for file in candidates if file.is_file()), None)
