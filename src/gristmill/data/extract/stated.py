"""The text that a page states for machines, where it shows none without its scripts.

Some pages draw their text with a script and state it as schema.org's `articleBody`; some hold it
as a template in a `<script>`. Both are looked into only where nearly nothing else was found.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser

_BODY = re.compile(r'"articleBody"\s*:\s*(?=")')
_LINES = frozenset("p br div h1 h2 h3 h4 h5 h6 ul ol li".split())
_TAG = re.compile(r"</?(p|br|div|span|a|strong|em|b|i|h[1-6]|ul|ol|li)\b[^<>]{0,500}>", re.I)
_TEMPLATES = 'script[type="text/template"], script[type="text/x-template"]'
_MOST = 20  # statements or templates that are looked at
_MIN_CHARS = 250


def stated_text(source: str, found: int) -> str:
    """The longest `articleBody`, '' where it is not much longer than the `found` characters."""
    best = max(_bodies(source), key=len, default="")
    if _TAG.search(best):
        best = _TAG.sub(lambda tag: "\n" if tag[1].lower() in _LINES else "", best)
    if "&" in best:
        best = html.unescape(best)
    lines = (" ".join(line.split()) for line in best.split("\n"))
    text = "\n\n".join(line for line in lines if line)
    return text if len(text) > max(_MIN_CHARS, 4 * found) else ""


def templates(parser: LexborHTMLParser) -> str:
    """The HTML of the longest template in a script, '' where there is none."""
    held = (node.text() for node in parser.css(_TEMPLATES)[:_MOST])
    best = max(held, key=len, default="")
    return best if len(best) > _MIN_CHARS else ""


def _bodies(source: str) -> Iterator[str]:
    decoder = json.JSONDecoder(strict=False)
    for count, match in enumerate(_BODY.finditer(source)):
        if count == _MOST:
            return
        try:
            value, _ = decoder.raw_decode(source, match.end())
        except ValueError:
            continue
        if isinstance(value, str):
            yield value
