"""The text layer of a PDF, mended: running heads and page numbers off, hyphens closed, lines
joined.

Needs pdfminer.six (the extra `pdf`). A page without a text layer is a picture: counted, not read.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gristmill.core.errors import GristmillError

MAX_PAGES = 5000
_EDGE = 2  # lines at the top and bottom of a page among which running heads are looked for
_HYPHEN = re.compile(r"(\w{2,})[-\u00ad\u2010]\Z")
_NUMBER = re.compile(
    r"[\[(–—-]*\s*(?:page\s*)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of)\s*\d{1,4})?\s*[\])–—-]*\Z",
    re.I,
)
_LIGATURES = str.maketrans(
    {"ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st"}
)
_LIST_ITEM = re.compile(r"(?:[•‣◦–—*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")


@dataclass(frozen=True)
class PdfText:
    """text of all pages. empty: pages that have none. title: as the file states it, or empty."""

    text: str
    pages: int
    empty: int
    title: str
    date: str


def require_pdf_reader(where: object = None) -> None:
    """Raises GristmillError where the extra is not installed."""
    try:
        import pdfminer  # noqa: F401
    except ImportError as error:
        raise GristmillError(
            "reading PDF needs pdfminer.six", mend="install it with: pip install 'gristmill[pdf]'"
        ) from error


def pdf_text(data: bytes) -> PdfText:
    """The text of a PDF. Raises ValueError with the reason where there is none."""
    import logging

    from pdfminer.high_level import extract_pages
    from pdfminer.pdfdocument import PDFDocument, PDFPasswordIncorrect
    from pdfminer.pdfparser import PDFParser

    # It says of each small fault of a file that it was mended.
    logging.getLogger("pdfminer").setLevel(logging.CRITICAL)
    try:
        document = PDFDocument(PDFParser(io.BytesIO(data)))
        stated = {k: _stated(v) for one in document.info for k, v in one.items()}
        pages = [_page(page) for page in extract_pages(io.BytesIO(data), maxpages=MAX_PAGES)]
    except PDFPasswordIncorrect as error:
        raise ValueError("encrypted") from error
    except Exception as error:  # damaged files make it raise whatever its pieces raise
        raise ValueError("damaged file") from error
    empty = sum(not page for page in pages)
    if empty == len(pages):
        raise ValueError("no text layer")
    created = re.match(r"(?:D:)?(\d{4})(\d{2})(\d{2})", stated.get("CreationDate", ""))
    return PdfText(
        "\n\n".join(mended(pages)),
        len(pages),
        empty,
        " ".join(stated.get("Title", "").split())[:300],
        "-".join(created.groups()) if created else "",
    )


def _stated(value: object) -> str:
    from pdfminer.utils import decode_text

    return decode_text(value).replace("\0", "") if isinstance(value, bytes) else ""


def mended(pages: Sequence[Sequence[str]]) -> list[str]:
    """The paragraphs of pages of lines."""
    lines = [line for page in _without_heads(pages) for line in page]
    words = Counter(word for line in lines for word in re.findall(r"[\w-]+", line.lower()))
    width = sorted(map(len, lines))[int(0.9 * (len(lines) - 1))] if lines else 0
    paragraphs: list[str] = []
    open_ = False
    for line in lines:
        if not line:
            open_ = False
            continue
        if open_ and not _LIST_ITEM.match(line):
            paragraphs[-1] = _joined(paragraphs[-1], line, words)
        else:
            paragraphs.append(line)
        open_ = _goes_on(line, width)
    return paragraphs


def _page(page: Any) -> list[str]:
    """The lines of a page, in the order of reading; an empty one between two blocks."""
    from pdfminer.layout import LTTextContainer

    lines: list[str] = []
    for block in page:
        if isinstance(block, LTTextContainer):
            text = block.get_text().translate(_LIGATURES).replace("\xa0", " ").replace("\0", "")
            found = [" ".join(line.split()) for line in text.split("\n")]
            lines += [*(line for line in found if line), ""]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _without_heads(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pages without the lines at their edges that come back on others, and without page numbers."""
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_shape(line) for line in _edges(page)})
    full = sum(bool(page) for page in pages)
    often = {shape for shape, count in seen.items() if count >= 3 and count >= 0.3 * full}
    out = []
    for page in pages:
        lines = list(page)
        for end in (0, -1):
            for _ in range(_EDGE):
                if lines and (
                    not lines[end] or _shape(lines[end]) in often or _NUMBER.match(lines[end])
                ):
                    lines.pop(end)
        out.append(lines)
    return out


def _edges(page: Sequence[str]) -> list[str]:
    return [*page[:_EDGE], *page[-_EDGE:]]


def _shape(line: str) -> str:
    return re.sub(r"\d+", "#", line.lower())


def _goes_on(line: str, width: int) -> bool:
    """Whether a line was broken by its width and not by its writer."""
    if len(line) < 0.6 * width:
        return bool(_HYPHEN.search(line)) and len(line) > 0.4 * width
    return len(line) >= 0.85 * width or line[-1] not in ".:!?"


def _joined(before: str, line: str, words: Counter[str]) -> str:
    hyphen = _HYPHEN.search(before)
    if not hyphen or not line[:1].islower():
        return f"{before} {line}"
    tail = re.match(r"\w+", line)
    closed = (hyphen[1] + (tail[0] if tail else "")).lower()
    # A compound that is written with its hyphen elsewhere keeps it.
    with_hyphen = f"{hyphen[1]}-{tail[0] if tail else ''}".lower()
    if words[with_hyphen] > words[closed]:
        return before + line
    return before[: hyphen.end(1)] + line
