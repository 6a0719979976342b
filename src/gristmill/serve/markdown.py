"""An answer's Markdown as markup that can do nothing: no raw HTML, no images, no scripts."""

from __future__ import annotations

from functools import cache

import nh3
from markdown_it import MarkdownIt

_TAGS = set(
    "p br hr em strong code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 a del table thead tbody "
    "tr th td".split()
)
_SCHEMES = {"http", "https", "mailto"}


def render(text: str) -> str:
    """The HTML of `text`. What spells a tag is shown as it is spelt."""
    html = _parser().render(text)
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}, "*": set()},
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )


@cache
def _parser() -> MarkdownIt:
    # An image would be a request to wherever the text says.
    return (
        MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")
    )
