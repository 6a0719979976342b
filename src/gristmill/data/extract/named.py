"""What the names and attributes of elements mean to the walk over a page.

The cue of an element is what its tag, class, id, role and schema.org's attributes say together; the
rest here tells elements that hide, lay out, or are marks beside the text, and no part of it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gristmill.data.extract import cues
from gristmill.data.extract.tags import BLOCK, INLINE, KINDS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Tags that are a cue themselves.
TAG_CUES = {
    "nav": cues.NAVIGATION,
    "menu": cues.NAVIGATION,
    "footer": cues.FURNITURE,
    "aside": cues.FURNITURE,
    "figcaption": cues.CAPTION,
    "caption": cues.NONE,
    "article": cues.MAIN,
    "main": cues.MAIN,
    "form": cues.NONE,
}
_ROLE_CUES = {
    "navigation": cues.NAVIGATION,
    "banner": cues.NAVIGATION,
    "contentinfo": cues.FURNITURE,
    "complementary": cues.FURNITURE,
    "search": cues.FURNITURE,
    "dialog": cues.FURNITURE,
    "alertdialog": cues.FURNITURE,
    "menu": cues.NAVIGATION,
    "menubar": cues.NAVIGATION,
    "main": cues.MAIN,
    "article": cues.MAIN,
}
# Paragraphs and lists are parts of a main text, whatever their names say.
_NEVER_MAIN = _words("p ul ol li h1 h2 h3 h4 h5 h6 dl dt dd blockquote figure header")

# Names of rows and quotations speak of what they are about ("player-12", "twitter-tweet").
_SAY_NOTHING = _words("blockquote tr td th tbody thead")
# Attributes that say what an element is, besides its names.
_TELLING = _words("role itemprop data-testid aria-label itemtype hidden aria-hidden style")
# Elements of other names that ARIA calls parts of a table.
_TABLE_TAGS = _words("table thead tbody tfoot tr td th caption")
ROLE_TAGS = {
    "table": "table",
    "grid": "table",
    "treegrid": "table",
    "rowgroup": "tbody",
    "row": "tr",
    "cell": "td",
    "gridcell": "td",
    "columnheader": "th",
    "rowheader": "th",
}
_MAX_SPAN = 100
SECTIONS = _words("section div aside")
_SECTION_NAMES = ("", "section", "sect1", "sect2", "sect3", "level2", "level3")
_HEADINGS = _words("h1 h2 h3 h4 h5 h6")
_INLINE_OUT = (cues.HIDDEN, cues.SHARE, cues.CAPTION, cues.FURNITURE, cues.NAVIGATION)
_HOLD_LAYOUT = frozenset(("div", "section", "article", "main", "center"))


def may_skip(tag: str, name: str, key: int, enter: Collection[int], titled: set[int]) -> bool:
    """Whether an element that is named as navigation and the like need not be walked.

    key: its node's `mem_id`. enter: of those that are walked all the same. titled: of those that
    hold a headline.
    """
    # Headlines and subtitles stand in headers, whole articles behind what is named a paywall.
    if tag == "header" or "header" in name or "wall" in name:
        return False
    # "content sidebar-right" tells where the sidebar is.
    return key not in enter and not (tag in _HOLD_LAYOUT and key in titled)


def holding_headlines(parser: Any) -> set[int]:
    """`mem_id` of all nodes of a page that hold an <h1>."""
    found: set[int] = set()
    for node in parser.tags("h1"):
        while node is not None and node.mem_id not in found:
            found.add(node.mem_id)
            node = node.parent
    return found


def _is_target(node: Any) -> bool:
    """Whether a node only gives links a place to lead to."""
    return node.tag in ("a", "span") and not node.text(strip=True)


def is_section(node: Any, attributes: dict[str, str | None]) -> bool:
    """Whether a name is that of a part of the text, as generators of documentation make it.

    The id of a section is made of the words of its heading ("search-and-replace"), and a box in
    the text has a heading of its own (`sidebar` in DocBook, `topic` in Sphinx).
    """
    name = attributes.get("class") or ""
    own = attributes.get("id")
    if name not in ("sidebar", "topic") and not (own and name in _SECTION_NAMES):
        return False
    head = node.first_child
    while head is not None and (head.tag == "-text" or _is_target(head)):
        head = head.next
    if head is None:
        return False
    if head.tag in _HEADINGS and own and name in _SECTION_NAMES:
        said = "".join(filter(str.isalnum, head.text().casefold()))
        return "".join(filter(str.isalnum, own.casefold())) in said
    inner = head.attributes.get("class")
    return (name == "sidebar" and inner in ("titlepage", "sidebar-title")) or name == "topic"


def names_of(tag: str, attributes: dict[str, str | None]) -> tuple[str, str, int, bool]:
    """(The tag that an element stands for; its class and id; the cue that all its attributes and
    its tag give; whether its names are odd ones, see `cues.ODD`)."""
    name = attributes.get("class") or ""
    if name and len(attributes) == 1 and tag not in TAG_CUES:  # as most elements are
        found = cues.told(name)
        if not found:
            return tag, name, found, False
    own = attributes.get("id")
    if own:
        name = f"{name} {own}"
    telling = not _TELLING.isdisjoint(attributes)
    if telling and (role := attributes.get("role")):
        tag = _role_tag(tag, role)
    verdict = TAG_CUES.get(tag, cues.NONE)
    odd = False
    if name and (found := cues.told(name)):
        odd = found >= cues.ODD
        found %= cues.ODD
        if found and own and tag in _HEADINGS:
            # The id of a heading is made of its words: "discussion", "recommendations".
            found = cues.told(attributes.get("class") or "") % cues.ODD
        if (
            found
            and verdict <= cues.MAIN
            and tag not in _SAY_NOTHING
            and (found != cues.MAIN or tag not in _NEVER_MAIN)
        ):
            verdict = found
    if telling:
        if "role" in attributes:
            verdict = _ROLE_CUES.get(attributes["role"] or "", verdict)
        if attributes.get("itemprop") == "articleBody":
            verdict = cues.MAIN
        elif attributes.get("data-testid") == "subtitle":
            verdict = cues.SUBTITLE
        if "crumb" in (attributes.get("aria-label") or "").lower() or "BreadcrumbList" in (
            attributes.get("itemtype") or ""
        ):
            verdict = cues.NAVIGATION
            name = f"{name} breadcrumb"
            odd = True  # a trail
        if "hidden" in attributes or attributes.get("aria-hidden") == "true" or hides(attributes):
            verdict = cues.HIDDEN
    return tag, name, verdict, odd


def has_letters(node: Any) -> bool:
    return any(map(str.isalpha, node.text()))


def _role_tag(tag: str, role: str) -> str:
    """The tag that an element stands for: a table for layout is none, a grid of others is one."""
    if tag == "table" and role in ("presentation", "none"):
        return "div"
    return tag if tag in _TABLE_TAGS else ROLE_TAGS.get(role, tag)


def holds_code(node: Any) -> bool:
    return node.css_first("pre, [role=tabpanel]") is not None


def spans_of(attributes: dict[str, str | None]) -> tuple[int, int]:
    """Rows and columns of a cell. A span of 0 rows reaches to the table's end."""
    found = []
    for key in ("rowspan", "colspan"):
        value = (attributes.get(key) or "1").strip()
        number = int(value) if value.isdecimal() and len(value) < 6 else 1
        found.append(min(number, _MAX_SPAN) if number or key == "colspan" else _MAX_SPAN)
    return found[0], max(1, found[1])


def hides(attributes: dict[str, str | None]) -> bool:
    style = attributes.get("style")
    return bool(style and "display" in style and "display:none" in style.replace(" ", "").lower())


def is_mark(link: Any) -> bool:
    """Whether a link to its own page is a sign: the ¶ or # beside a heading."""
    return len(link.text(strip=True)) <= 1


def is_footnote(node: Any) -> bool:
    """Whether a superscript is a link to a note, and no exponent."""
    child = node.first_child
    while child is not None and child.tag == "-text" and not (child.text_content or "").strip("[ "):
        child = child.next
    return (
        child is not None
        and child.tag == "a"
        and "#" in (child.attributes.get("href") or "")
        and len(node.text(strip=True)) <= 8
    )


def left_out(attributes: dict[str, str | None]) -> bool:
    """Whether an inline element is no part of the sentence around it."""
    name = attributes.get("class")
    if name:
        if "katex" in name or "mwe-math" in name:
            return "katex-html" in name
        if cues.cue(name) in _INLINE_OUT or "MathJax" in name or "editsection" in name:
            return True
        if name == "hidden":
            return True
    return "hidden" in attributes or hides(attributes)


def trail(node: Any) -> str:
    """The texts of a breadcrumb, parted by \\x1f."""
    out: list[str] = []
    stack: list[Any] = []
    child = node.first_child
    while (child is not None or stack) and len(out) < 40:
        if child is None:
            child = stack.pop().next
            continue
        tag = child.tag
        if tag == "-text":
            text = (child.text_content or "").strip()
            if text:
                out.append(text)
        elif KINDS.get(tag, BLOCK) in (INLINE, BLOCK):
            inner = child.first_child
            if inner is not None:
                stack.append(child)
                child = inner
                continue
        child = child.next
    return "\x1f".join(out)
