"""Pages as WAT files describe them: Common Crawl's metadata of each page, as JSON.

They hold no text but the title and the description, and all links; so a document of a WAT record
is these two, with its links, its licence and what it says against use.
"""

from __future__ import annotations

import html
import json
from typing import Any

from gristmill.data.crawl.urls import BadUrl, normalise
from gristmill.data.extract.opt_out import stated_opt_out
from gristmill.data.sources.record import Record, is_unicode

_MAX_LINKS = 2000
_LICENCES = ("dcterms.license", "dc.rights", "dcterms.rights")


def is_wat(content_type: str, block: bytes) -> bool:
    """Whether a metadata record describes another record, as WAT files do."""
    return content_type.lower().startswith("application/json") and b'"Envelope"' in block[:4096]


def read_description(row: int, block: bytes) -> Record | None:
    """The page that a WAT record describes; None where it describes no answer of a server."""
    try:
        envelope = _table(_table(json.loads(block)), "Envelope")
    except (ValueError, RecursionError):
        return Record(row, problem="not JSON", sample=ascii(block[:100]))
    stated = _table(envelope, "WARC-Header-Metadata")
    payload = _table(envelope, "Payload-Metadata")
    answer = _table(payload, "HTTP-Response-Metadata")
    if not answer:
        return None
    status = _text(_table(answer, "Response-Message").get("Status"))
    if status not in ("", "200"):
        return Record(row, skipped=f"status {status[:3]}")
    page = _table(answer, "HTML-Metadata")
    head = _table(page, "Head")
    metas: dict[str, str] = {}
    robots: list[str] = []
    for meta in _rows(head, "Metas"):
        name = _text(meta.get("name") or meta.get("property")).strip().lower()
        value = _line(_text(meta.get("content")))
        metas.setdefault(name, value)
        if name == "robots":
            robots.append(value)
    title = _line(_text(head.get("Title")))
    description = metas.get("description") or metas.get("og:description") or ""
    text = "\n\n".join(part for part in (title, description) if part)
    if not text:
        return Record(row, skipped="no title and no description")
    url = _text(stated.get("WARC-Target-URI"))
    links = _rows(page, "Links")
    headers = [(str(key), _text(value)) for key, value in _table(answer, "Headers").items()]
    licence = next(
        (
            _text(link.get("url") or link.get("href"))
            for link in (*_rows(head, "Link"), *links)
            if "license" in _text(link.get("rel")).lower().split()
        ),
        next((metas[name] for name in _LICENCES if metas.get(name)), ""),
    )
    fields = {
        "title": title,
        "description": description,
        "licence": licence,
        "opt_out": stated_opt_out(robots, metas, headers) or "",
    }
    return Record(
        row,
        text,
        url=url or None,
        fields={name: value for name, value in fields.items() if value},
        links=_absolute(links, url, _text(head.get("Base"))),
        fetched_at=_text(stated.get("WARC-Date")) or None,
    )


def _absolute(links: list[dict[str, Any]], url: str, base: str) -> tuple[str, ...]:
    """The addresses that the page's links lead to, each once."""
    found: dict[str, None] = {}
    try:
        base = normalise(base, url) if base else url
    except BadUrl:
        base = url
    for link in links:
        if not _text(link.get("path")).startswith(("A@", "AREA@")):
            continue
        try:
            found[normalise(_text(link.get("url")), base)] = None
        except BadUrl:
            continue
        if len(found) >= _MAX_LINKS:
            break
    return tuple(found)


def _table(value: Any, key: str | None = None) -> dict[str, Any]:
    if key is not None:
        value = value.get(key)
    return value if isinstance(value, dict) else {}


def _rows(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = value.get(key)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) and is_unicode(value) else ""


def _line(text: str) -> str:
    """One line, with its character references read: they are stored as they stood."""
    return " ".join(html.unescape(text).split())
