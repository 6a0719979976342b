"""LaTeX sources, as a folder or an archive holds them: the main file, and what it takes in.

`\\input` and the like are followed by name among the files that were given, nowhere else, to a
depth and a size. A preprint server's archive is such a set of files; figures and styles are left.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from gristmill.data.sources.latex_macros import without_comments
from gristmill.data.sources.latex_text import latex_to_text

MAX_FILES = 2000
MAX_EXPANDED = 16 << 20
_MAX_DEPTH = 12
_MAX_INPUTS = 2000
_DOCUMENT = re.compile(r"\\document(?:class|style)\s*[\[{]")
_USUAL_NAMES = ("main.tex", "ms.tex", "paper.tex", "article.tex", "manuscript.tex", "thesis.tex")
_INPUT = re.compile(
    r"\\(?:input|include|subfile|@input)\s*\{([^{}\n]{1,200})\}"
    r"|\\(?:sub)?import\*?\s*\{([^{}\n]{0,200})\}\s*\{([^{}\n]{1,200})\}"
    r"|\\input\s+([\w./-]{1,200})"
)


def main_file(files: Mapping[str, str]) -> str | None:
    """The file that the document begins with; None where no file has a document class.

    Of several the one with a usual name, then the one nearest the top, the longest.
    """
    found = [name for name, text in files.items() if _DOCUMENT.search(without_comments(text))]
    whole = [name for name in found if "\\begin{document}" in files[name]]
    order = sorted(
        whole or found,
        key=lambda name: (
            posixpath.basename(name).lower() not in _USUAL_NAMES,
            name.count("/"),
            -len(files[name]),
            name,
        ),
    )
    return order[0] if order else None


def is_main(text: str) -> bool:
    """Whether a file begins a document of its own."""
    return bool(_DOCUMENT.search(without_comments(text)))


def gathered(main: Path, root: Path) -> tuple[dict[str, bytes], str]:
    """The main file and what it takes in, by names below `root`; nothing outside of it is read."""
    inside = root.resolve()
    top = main.resolve().relative_to(inside).as_posix()
    files: dict[str, bytes] = {}
    waiting = [top]
    left = MAX_EXPANDED
    while waiting and len(files) < MAX_FILES:
        name = waiting.pop()
        path = (inside / name).resolve()
        if name in files or not path.is_relative_to(inside) or not path.is_file():
            continue
        left -= path.stat().st_size
        if left < 0:
            break
        files[name] = path.read_bytes()
        text = without_comments(decoded(files[name]))
        for match in islice(_INPUT.finditer(text), _MAX_INPUTS):
            wanted = match[1] or match[4] or posixpath.join(match[2] or "", match[3] or "")
            for base in (posixpath.dirname(top), posixpath.dirname(name), ""):
                found = posixpath.normpath(posixpath.join(base, wanted.strip()))
                if not found.startswith(("..", "/")):
                    waiting += [found, f"{found}.tex", f"{found}.ltx"]
    return files, top


def project_text(files: Mapping[str, bytes], main: str | None, markdown: bool) -> tuple[str, str]:
    """(title, text) of the document. Raises ValueError with the reason where there is none."""
    texts = {name: decoded(data) for name, data in sorted(files.items())}
    main = main or main_file(texts)
    if main is None:
        raise ValueError("no main file")
    if len(texts) == 1 and not _DOCUMENT.search(texts[main]) and "\\begin" not in texts[main]:
        # Plain TeX, or a piece of a document: read as it stands.
        return latex_to_text(without_comments(texts[main]), markdown=markdown)
    return latex_to_text(_Inputs(texts, posixpath.dirname(main)).whole(main), markdown=markdown)


def decoded(data: bytes) -> str:
    """UTF-8, else Latin-1, which old sources are in."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


class _Inputs:
    def __init__(self, files: Mapping[str, str], top: str):
        self._files = files
        self._top = top
        self._left = MAX_EXPANDED
        self._count = 0

    def whole(self, name: str, above: tuple[str, ...] = ()) -> str:
        """A file with what it takes in put in its place; none takes itself in."""
        text = without_comments(self._files[name])
        self._left -= len(text)
        if self._left < 0:
            raise ValueError("too large")
        out, place = [], 0
        for match in _INPUT.finditer(text):
            self._count += 1
            found = None
            if len(above) < _MAX_DEPTH and self._count <= _MAX_INPUTS:
                wanted = match[1] or match[4] or posixpath.join(match[2] or "", match[3] or "")
                found = self._resolve(wanted.strip(), name)
            out.append(text[place : match.start()])
            if found is not None and found not in above and found != name:
                out.append(self.whole(found, (*above, name)))
            place = match.end()
        out.append(text[place:])
        return "".join(out)

    def _resolve(self, wanted: str, of: str) -> str | None:
        """A file of the set: from the main file's folder as LaTeX does, or beside what names it."""
        for base in (self._top, posixpath.dirname(of), ""):
            path = posixpath.normpath(posixpath.join(base, wanted))
            for name in (path, f"{path}.tex", f"{path}.ltx"):
                if name in self._files:
                    return name
        return None
