"""Addresses in a sitemap (sitemaps.org protocol 0.9), read by one linear scan.

No XML parser: entities and nesting of a hostile file then cost nothing.
"""

from __future__ import annotations

import html
import re

from gristmill.data.crawl.decode import decode_body
from gristmill.data.crawl.urls import BadUrl, normalise

MAX_URLS = 50_000
_LOC = re.compile(r"<(?:\w{1,20}:)?loc>([^<]{1,4000})</", re.IGNORECASE)
_INDEX = re.compile(r"<(?:\w{1,20}:)?sitemapindex[\s>]", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[([^\]<]{1,4000})\]\]>")


def read_sitemap(body: bytes, limit: int) -> tuple[bool, list[str]]:
    """(whether it lists further sitemaps, normalised addresses). Plain text lists count too.

    Raises BadEncoding or TooLarge for a gzipped file that is damaged or inflates past `limit`.
    """
    if body.startswith(b"\x1f\x8b"):
        body = decode_body(body, "gzip", limit)
    text = body.decode("utf-8-sig", "replace")
    if "<" in text[:200]:
        text = _CDATA.sub(r"\1", text)
        found = [html.unescape(match) for match in _LOC.findall(text)]
    else:
        found = text.split()
    urls: dict[str, None] = {}
    for address in found[:MAX_URLS]:
        try:
            urls[normalise(address.strip())] = None
        except BadUrl:
            continue
    return bool(_INDEX.search(text, 0, 4000)), list(urls)
