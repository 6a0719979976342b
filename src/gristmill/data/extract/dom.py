"""One pass over the tree: from nodes to a flat list of elements and a flat list of text blocks.

Every node is visited once, with an own stack, so that depth costs memory and never a recursion.
An element knows the range of blocks inside it; with prefix sums over blocks, what the rules ask of
a subtree costs one subtraction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from gristmill.data.extract import cues
from gristmill.data.extract.code import code_language, code_text, is_line_number
from gristmill.data.extract.formulae import formula_of_image, formula_of_math, formula_of_script


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What an element's tag means to the walk.
_SKIP, _INLINE, _BREAK, _BLOCK, _SPECIAL = range(5)
_KINDS: dict[str, int] = {}
for _kind, _tags in {
    _SKIP: """style template noscript iframe object embed svg canvas audio video select option
        button input textarea head link meta title frameset noframes map datalist progress meter
        applet dialog base source track param area amp-ad amp-analytics -comment -doctype""",
    _INLINE: """a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark
        nobr q rp rt ruby s samp small span strike strong sub sup time tt u var rb rtc output
        slot center-inline""",
    _BREAK: "br wbr",
    _SPECIAL: "script math img pre hr mjx-container textarea listing xmp plaintext",
}.items():
    for _tag in _tags.split():
        _KINDS[_tag] = _kind

# Tags that are a cue themselves.
_TAG_CUES = {
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
_LINE = "\0"  # a forced line break inside a block: no parsed text holds a NUL
_MARKS = {
    "b": "**",
    "strong": "**",
    "i": "*",
    "em": "*",
    "code": "`",
    "tt": "`",
    "samp": "`",
    "kbd": "`",
}


# Paragraphs and lists are parts of a main text, whatever their names say.
_NEVER_MAIN = _words("p ul ol li h1 h2 h3 h4 h5 h6 dl dt dd blockquote figure header")

# Names of rows and quotations speak of what they are about ("player-12", "twitter-tweet").
_SAY_NOTHING = _words("blockquote tr td th tbody thead")
_NAMED_INLINE = _words("span label small sup font")
_INLINE_OUT = (cues.HIDDEN, cues.SHARE, cues.CAPTION, cues.FURNITURE, cues.NAVIGATION)
# Not walked where that is asked for. A quotation in the others may belong to the main text.
_SKIPPED = frozenset(
    (cues.NAVIGATION, cues.RELATED, cues.ADVERT, cues.SIGN_UP, cues.FURNITURE, cues.HIDDEN)
)
_ENDS_BLOCK, _ENDS_LINK, _ENDS_MARK = 1, 2, 3
_MAX_TRAILS = 4


class TooDeep(Exception):
    """The tree is deeper than the limit."""


@dataclass(slots=True)
class Element:
    """A block-level element and the blocks [start, end) that lie in it."""

    tag: str
    parent: int
    cue: int
    name: str  # class and id
    start: int
    end: int = 0


@dataclass(slots=True)
class Block:
    """A run of inline content: a paragraph, a heading, a list item's text, a cell, code."""

    text: str
    element: int
    tag: str
    links: int = 0  # characters in links
    kind: str = "text"  # or 'code', 'rule'
    marked: str = ""  # the text with inline Markdown marks, where they were asked for


@dataclass(slots=True)
class Tree:
    """A page, flat. `anchors` are (href, index of the block that they lie in)."""

    elements: list[Element] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    anchors: list[tuple[str, int]] = field(default_factory=list)
    headlines: list[int] = field(default_factory=list)  # blocks in <h1>
    subtitles: list[int] = field(default_factory=list)  # elements that are named so
    trails: list[str] = field(default_factory=list)  # breadcrumbs, parted by \x1f
    times: list[str] = field(default_factory=list)  # datetime attributes
    skipped: list[Any] = field(default_factory=list)  # nodes that were not walked


def flatten(
    parser: LexborHTMLParser,
    *,
    marks: bool = False,
    skip: bool = False,
    enter: Collection[int] = (),
    max_depth: int = 4000,
) -> Tree:
    """Elements and blocks of a page's body in document order.

    marks: keep inline emphasis and code as Markdown in `Block.marked`. skip: do not walk what is
    named as navigation and the like, four fifths of a page of news, but put it into
    `Tree.skipped`; nodes whose `mem_id` is in `enter` are walked all the same. Raises TooDeep.
    """
    walk = _Walk(marks, skip, max_depth)
    walk.enter = enter
    if parser.body is not None:
        walk.run(parser.body.first_child)
    return walk.tree


def flatten_node(node: Any, *, max_depth: int = 4000) -> Tree:
    """The same for what is below one node."""
    walk = _Walk(False, False, max_depth)
    walk.run(node.first_child)
    return walk.tree


class _Walk:
    """The state of one pass: the open elements and the block that is being collected."""

    __slots__ = (
        "current", "enter", "in_link", "lines", "link_chars", "marked", "marks", "max_depth",
        "parts", "skip", "stack", "tree",
    )  # fmt: skip

    def __init__(self, marks: bool, skip: bool, max_depth: int):
        self.tree = Tree()
        self.skip = skip
        self.enter: Collection[int] = ()
        self.marks = marks
        self.max_depth = max_depth
        self.current = 0  # index of the innermost open block-level element
        self.in_link = 0
        self.link_chars = 0
        self.lines = 0  # breaks since the last text: two of them end a paragraph
        self.parts: list[str] = []
        self.marked: list[str] = []
        # Open elements: (node, what ends with it, the mark that closes it).
        self.stack: list[tuple[Any, int, str]] = []

    def run(self, node: Any) -> None:
        """Visits `node`, its later siblings and all that is in them."""
        elements, blocks = self.tree.elements, self.tree.blocks
        elements.append(Element("body", -1, cues.NONE, "", 0))
        parts, stack, kinds = self.parts, self.stack, _KINDS
        while True:
            if node is None:
                if not stack:
                    break
                node, what, mark = stack.pop()
                if what == _ENDS_BLOCK:
                    if parts:
                        self.flush()
                    element = elements[self.current]
                    element.end = len(blocks)
                    self.current = element.parent
                elif what == _ENDS_LINK:
                    self.in_link -= 1
                elif what == _ENDS_MARK:
                    self.marked.append(mark)
                node = node.next
                continue
            tag = node.tag
            if tag == "-text":
                text = node.text_content
                if text and (parts or not text.isspace()):
                    parts.append(text)
                    if self.marks:
                        self.marked.append(text)
                    if self.in_link:
                        self.link_chars += len(text)
                    if self.lines and not text.isspace():
                        self.lines = 0
                node = node.next
                continue
            kind = kinds.get(tag, _BLOCK)
            if kind == _BLOCK:
                inner = self.block(node, tag)
            elif kind == _INLINE:
                inner = self.inline(node, tag)
            elif kind == _SKIP:
                inner = None
            elif kind == _BREAK:
                self.line_break(tag)
                inner = None
            else:
                self.special(node, tag)
                inner = None
            node = node.next if inner is None else inner
        if parts:
            self.flush()
        elements[0].end = len(blocks)

    def flush(self) -> None:
        """Ends the current block."""
        text = _clean("".join(self.parts))
        self.parts.clear()
        if text:
            blocks = self.tree.blocks
            tag = self.tree.elements[self.current].tag
            block = Block(text, self.current, tag, min(self.link_chars, len(text)))
            if tag == "h1":
                self.tree.headlines.append(len(blocks))
            blocks.append(block)
            if self.marks:
                block.marked = _clean("".join(self.marked))
        self.marked.clear()
        self.link_chars = 0
        self.lines = 0

    def block(self, node: Any, tag: str) -> Any:
        """Enters a block-level element, known or not; returns its first child."""
        if self.parts:
            self.flush()
        child = node.first_child
        if child is None and tag != "td" and tag != "th":
            return None
        attributes = node.attributes
        tree = self.tree
        if attributes:
            name, verdict = _names(tag, attributes)
            if "rumb" in name and len(tree.trails) < _MAX_TRAILS:
                tree.trails.append(_trail(node))
            if verdict == cues.SUBTITLE:
                tree.subtitles.append(len(tree.elements))
        else:
            name, verdict = "", _TAG_CUES.get(tag, 0)
        if "MathJax" in name and "MathJax" in name.replace("_", " ").split():
            return None  # a picture of a formula whose source is beside it
        if name and is_line_number(name):
            return None
        if self.skip and verdict in _SKIPPED and _may_skip(tag, name, node, self.enter):
            tree.skipped.append(node)
            return None
        tree.elements.append(Element(tag, self.current, verdict, name, len(tree.blocks)))
        if child is None:
            tree.elements[-1].end = len(tree.blocks)
            return None
        self.current = len(tree.elements) - 1
        self.stack.append((node, _ENDS_BLOCK, ""))
        if len(self.stack) > self.max_depth:
            raise TooDeep
        return child

    def inline(self, node: Any, tag: str) -> Any:
        """Enters an inline element; returns its first child, None where it is left out."""
        child = node.first_child
        if child is None:
            return None
        what, mark = 0, ""
        if tag == "a":
            attributes = node.attributes
            href = attributes.get("href")
            if href and href[0] == "#" and _is_mark(node):
                return None
            if href:
                self.tree.anchors.append((href, len(self.tree.blocks)))
            what = _ENDS_LINK
            self.in_link += 1
        elif tag in _NAMED_INLINE:
            attributes = node.attributes
            if attributes and _left_out(attributes):
                if "rumb" in (attributes.get("class") or ""):
                    self.tree.trails.append(_trail(node))
                return None
            if tag == "sup" and _is_footnote(node):
                return None
        elif tag == "time":
            value = node.attributes.get("datetime")
            if value:
                self.tree.times.append(value)
        elif self.marks and tag in _MARKS and not self.in_link:
            what, mark = _ENDS_MARK, _MARKS[tag]
            self.marked.append(mark)
        self.stack.append((node, what, mark))
        if len(self.stack) > self.max_depth:
            raise TooDeep
        return child

    def line_break(self, tag: str) -> None:
        """<br>: a line's end, or with another one a paragraph's."""
        if tag == "br" and self.parts:
            self.lines += 1
            if self.lines > 1:
                self.flush()
            else:
                self.parts.append(_LINE)
                if self.marks:
                    self.marked.append(_LINE)

    def special(self, node: Any, tag: str) -> None:
        """Formulae and code, which are not walked."""
        formula = None
        if tag == "img":
            formula = formula_of_image(node.attributes)
        elif tag == "script":
            formula = formula_of_script(node)
        elif tag in ("pre", "listing", "xmp"):
            self.code(node)
        elif tag == "hr":
            if self.parts:
                self.flush()
        else:
            formula = formula_of_math(node)
        # A formula is often there twice: as MathML, and as an image for old browsers.
        if formula and formula not in self.parts[-6:]:
            self.parts.append(formula)
            if self.marks:
                self.marked.append(formula)
            self.lines = 0

    def code(self, node: Any) -> None:
        """A block of preformatted text."""
        if self.parts:
            self.flush()
        text = code_text(node)
        if text.strip():
            tree = self.tree
            language = code_language(node, tree.elements[self.current].name)
            at = len(tree.blocks)
            tree.elements.append(Element("pre", self.current, cues.NONE, language, at, at + 1))
            tree.blocks.append(Block(text, len(tree.elements) - 1, "pre", 0, "code"))


def _may_skip(tag: str, name: str, node: Any, enter: Collection[int]) -> bool:
    # Headlines and subtitles stand in headers.
    return tag != "header" and "header" not in name and node.mem_id not in enter


def _names(tag: str, attributes: dict[str, str | None]) -> tuple[str, int]:
    """Class and id of an element, and the cue that all its attributes and its tag give."""
    verdict = _TAG_CUES.get(tag, cues.NONE)
    name = attributes.get("class") or ""
    own = attributes.get("id")
    if own:
        name = f"{name} {own}"
    if name and tag not in _SAY_NOTHING:
        found = cues.cue(name)
        if found and verdict <= cues.MAIN and (found != cues.MAIN or tag not in _NEVER_MAIN):
            verdict = found
    if len(attributes) > 1 or not name:
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
        if "hidden" in attributes or attributes.get("aria-hidden") == "true" or _hides(attributes):
            verdict = cues.HIDDEN
    return name, verdict


def _hides(attributes: dict[str, str | None]) -> bool:
    style = attributes.get("style")
    return bool(style and "display" in style and "display:none" in style.replace(" ", "").lower())


def _clean(text: str) -> str:
    if "\xad" in text:
        text = text.replace("\xad", "")
    if "\u200b" in text or "\ufeff" in text:
        text = text.replace("\u200b", "").replace("\ufeff", "")
    if _LINE not in text:
        return " ".join(text.split())
    lines = [" ".join(line.split()) for line in text.split(_LINE)]
    return "\n".join(line for line in lines if line)


def _is_mark(link: Any) -> bool:
    """Whether a link to its own page is a sign: the ¶ or # beside a heading."""
    return len(link.text(strip=True)) <= 1


def _is_footnote(node: Any) -> bool:
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


def _left_out(attributes: dict[str, str | None]) -> bool:
    """Whether an inline element is no part of the sentence around it."""
    name = attributes.get("class")
    if name:
        if "katex" in name or "mwe-math" in name:
            return "katex-html" in name
        if cues.cue(name) in _INLINE_OUT or "MathJax" in name or "editsection" in name:
            return True
    return "hidden" in attributes or _hides(attributes)


def _trail(node: Any) -> str:
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
        elif _KINDS.get(tag, _BLOCK) in (_INLINE, _BLOCK):
            inner = child.first_child
            if inner is not None:
                stack.append(child)
                child = inner
                continue
        child = child.next
    return "\x1f".join(out)
