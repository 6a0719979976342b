"""One pass over the tree: from nodes to a flat list of elements and a flat list of text blocks.

Every node is visited once, with an own stack, so that depth costs memory and never a recursion.
An element knows the range of blocks inside it; with prefix sums over blocks, what the rules ask of
a subtree costs one subtraction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from selectolax.lexbor import LexborHTMLParser

from gristmill.data.extract import cues
from gristmill.data.extract.code import (
    code_container,
    code_language,
    code_of_breaks,
    code_of_container,
    code_of_script,
    code_text,
    has_breaks,
    is_code_area,
    is_label,
    is_line_number,
    is_numbering,
)
from gristmill.data.extract.formulae import (
    formula_of_image,
    formula_of_math,
    formula_of_rendering,
    formula_of_script,
)
from gristmill.data.extract.named import (
    ROLE_TAGS,
    SECTIONS,
    TAG_CUES,
    has_letters,
    holds_code,
    is_footnote,
    is_mark,
    is_section,
    left_out,
    may_skip,
    names_of,
    spans_of,
)

if TYPE_CHECKING:
    from gristmill.data.extract.record import Record
    from gristmill.data.extract.tables import Cell


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
        slot center-inline math-renderer""",
    _BREAK: "br wbr",
    _SPECIAL: """script math m:math mml:math img pre hr mjx-container textarea listing xmp
        plaintext""",
}.items():
    for _tag in _tags.split():
        _KINDS[_tag] = _kind

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


_NAMED_INLINE = _words("span label small sup font")
_TYPED = _words("code tt samp kbd")  # a block of code where lines end in <br>

_MOST_SEARCHES = 200  # of whole elements for code: nested in one another they cost the square
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
    # Rows and columns that a cell spans, of those that span more than one, by element.
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    tables: list[int] = field(default_factory=list)  # elements
    cells: tuple[int, dict[int, Cell]] | None = None  # by block, as `tables.find_tables` found them
    skipped: list[Any] = field(default_factory=list)  # nodes that were not walked


def flatten(
    parser: LexborHTMLParser,
    *,
    marks: bool = False,
    skip: bool = False,
    enter: Collection[int] = (),
    max_depth: int = 4000,
    record: Record | None = None,
) -> Tree:
    """Elements and blocks of a page's body in document order.

    marks: keep inline emphasis and code as Markdown in `Block.marked`. skip: do not walk what is
    named as navigation and the like, four fifths of a page of news, but put it into
    `Tree.skipped`; nodes whose `mem_id` is in `enter` are walked all the same. record: is told what
    is not walked. Raises TooDeep.
    """
    walk = _Walk(marks, skip, max_depth)
    walk.enter = enter
    walk.record = record
    # A page of frames has no body.
    walk.run(parser.body.first_child if parser.body is not None else None)
    return walk.tree


def flatten_node(node: Any, *, skip: bool = False, max_depth: int = 4000) -> Tree:
    """The same for what is below one node."""
    walk = _Walk(False, skip, max_depth)
    walk.run(node.first_child)
    return walk.tree


class _Walk:
    """The state of one pass: the open elements and the block that is being collected."""

    __slots__ = (
        "current", "enter", "in_link", "lines", "link_chars", "marked", "marks", "max_depth",
        "parts", "record", "searches", "skip", "stack", "tree",
    )  # fmt: skip

    def __init__(self, marks: bool, skip: bool, max_depth: int):
        self.tree = Tree()
        self.skip = skip
        self.enter: Collection[int] = ()
        self.record: Record | None = None
        self.marks = marks
        self.searches = 0
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
                if self.record is not None:
                    self.leave(node, "tag", name=tag)
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
            tag, name, verdict, odd = names_of(tag, attributes)
            if verdict == cues.SUBTITLE:
                tree.subtitles.append(len(tree.elements))
            if odd:
                verdict = self.odd_name(node, name, verdict)
                if verdict < 0:
                    return None
        else:
            name, verdict = "", TAG_CUES.get(tag, 0)
        if verdict > cues.MAIN:
            if tag in SECTIONS and is_section(node, attributes):
                verdict = cues.NONE
            elif verdict == cues.BYLINE and node.css_first("th") is not None:
                verdict = cues.NONE  # what a program is made for, and since when
            elif self.skip and verdict in _SKIPPED and may_skip(tag, name, node, self.enter):
                tree.skipped.append(node)
                if self.record is not None:
                    self.leave(node, "name", verdict, name)
                return None
        if tag == "table":
            tree.tables.append(len(tree.elements))
        elif (tag == "td" or tag == "th") and ("rowspan" in attributes or "colspan" in attributes):
            tree.spans[len(tree.elements)] = spans_of(attributes)
        at = len(tree.blocks)
        element = Element(tag, self.current, verdict, name, at)
        tree.elements.append(element)
        if child is None:
            element.end = at
            return None
        if child.next is None and child.tag == "-text" and not self.marks and not self.in_link:
            # One run of text, as most paragraphs are: no need to go in and out.
            text = _clean(child.text_content or "")
            if text:
                if tag == "h1":
                    tree.headlines.append(at)
                tree.blocks.append(Block(text, len(tree.elements) - 1, tag))
            element.end = len(tree.blocks)
            self.lines = 0
            return None
        self.current = len(tree.elements) - 1
        self.stack.append((node, _ENDS_BLOCK, ""))
        if len(self.stack) > self.max_depth:
            raise TooDeep
        return child

    def odd_name(self, node: Any, name: str, verdict: int) -> int:
        """Trails, formulae and code, which names tell; the element's cue, -1 where it is done."""
        if "rumb" in name and len(self.tree.trails) < _MAX_TRAILS:
            self.tree.trails.append(_trail(node))
        if "MathJax" in name and "MathJax" in name.replace("_", " ").split():
            self.formula(formula_of_rendering(node))
            return -1  # a picture of a formula whose source is beside it
        # "gutter" also names the space between a layout's columns.
        if is_line_number(name) and not has_letters(node):
            if self.record is not None:
                self.leave(node, "line number", name=name)
            return -1
        if kind := code_container(name):
            if kind == "label" and is_label(node):
                if self.record is not None:
                    self.leave(node, "label of code", name=name)
                return -1
            if kind != "label" and self.add_code(code_of_container(node, kind), node):
                return -1
        if verdict == cues.NAVIGATION and "tab" in name and self.searches < _MOST_SEARCHES:
            self.searches += 1
            if holds_code(node):
                return cues.NONE  # one text in several languages
        if "infobox" in name and node.tag == "table" and len(node.css("tr")) > 2:
            return cues.NONE  # facts in rows, and no box beside the text
        return verdict

    def inline(self, node: Any, tag: str) -> Any:
        """Enters an inline element; returns its first child, None where it is left out."""
        child = node.first_child
        if child is None:
            return None
        what, mark = 0, ""
        if tag in _TYPED and child.next is not None and not self.parts and has_breaks(child):
            code = code_of_breaks(node)
            if "\n" in code and self.add_code(code, node):
                return None
        if tag == "a":
            attributes = node.attributes
            href = attributes.get("href")
            if href and (href[0] == "#" or child.text_content == "§") and is_mark(node):
                if self.record is not None:
                    self.leave(node, "mark")
                return None
            if href:
                self.tree.anchors.append((href, len(self.tree.blocks)))
            # Without an address it is the target of links: <h2><a name=x>Heading</a></h2>.
            if href or not ("name" in attributes or "id" in attributes) or "onclick" in attributes:
                what = _ENDS_LINK
                self.in_link += 1
        elif tag in _NAMED_INLINE:
            attributes = node.attributes
            if attributes and attributes.get("class") == "lang" and self.in_listing():
                return None
            if attributes and attributes.get("role") in ROLE_TAGS:
                return self.block(node, tag)
            if attributes and left_out(attributes):
                if "MathJax" in (attributes.get("class") or ""):
                    self.formula(formula_of_rendering(node))
                if "rumb" in (attributes.get("class") or ""):
                    self.tree.trails.append(_trail(node))
                if self.record is not None:
                    self.leave(node, "inline", name=attributes.get("class") or "")
                return None
            if tag == "sup" and is_footnote(node):
                if self.record is not None:
                    self.leave(node, "footnote")
                return None
        elif tag == "time":
            value = node.attributes.get("datetime")
            if value:
                self.tree.times.append(value)
        elif self.marks and tag in _MARKS and not self.in_link and not self.in_typed():
            what, mark = _ENDS_MARK, _MARKS[tag]
            self.marked.append(mark)
        if child.next is None and not self.marks and child.tag == "-text":
            # One run of text: no need to go in and out.
            self.text(child.text_content or "")
            if what:
                self.in_link -= 1
            return None
        self.stack.append((node, what, mark))
        if len(self.stack) > self.max_depth:
            raise TooDeep
        return child

    def text(self, text: str) -> None:
        """Adds to the current block, where no marks are asked for."""
        if self.parts or not text.isspace():
            self.parts.append(text)
            if self.in_link:
                self.link_chars += len(text)
            if self.lines and not text.isspace():
                self.lines = 0

    def in_typed(self) -> bool:
        """Whether code in the running text is open: marks in it would be shown as they are."""
        return any(mark == "`" for _, _, mark in self.stack)

    def in_listing(self) -> bool:
        """Whether this is a box around code that names its language."""
        return self.tree.elements[self.current].name.startswith("language-")

    def leave(self, node: Any, rule: str, cue: int = 0, name: str = "") -> None:
        """Tells the record of a node that is not walked."""
        assert self.record is not None
        at, inside = len(self.tree.blocks), bool(self.parts)
        self.record.leave(at, node, rule, self.current, cue=cue, name=name, inside=inside)

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
            elements = self.tree.elements
            element = elements[self.current]
            around = "math" in (element.name, elements[element.parent].name)
            formula = formula_of_image(node.attributes, around)
        elif tag == "script":
            kind = node.attributes.get("type")
            if kind and kind.startswith("math/"):
                formula = formula_of_script(node)
            elif kind == "syntaxhighlighter":
                self.add_code(code_of_script(node), node)
        elif tag in ("pre", "listing", "xmp"):
            code = code_text(node)
            if not is_numbering(code):
                self.add_code(code, node)
        elif tag == "textarea":
            if is_code_area(node.attributes):
                self.add_code(code_text(node), node)
        elif tag == "hr":
            if self.parts:
                self.flush()
        else:
            formula = formula_of_math(node)
        if self.record is not None and formula is None and tag == "script":
            self.leave(node, "tag", name=tag)
        self.formula(formula)

    def formula(self, formula: str | None) -> None:
        """Puts a formula into the running text."""
        if not formula:
            return
        # It is often there twice: as MathML, and as an image for old browsers.
        for part in reversed(self.parts[-3:]):
            if part == formula:
                return
            if not part.isspace():
                break
        self.parts.append(formula)
        if self.marks:
            self.marked.append(formula)
        self.lines = 0

    def add_code(self, text: str, node: Any) -> bool:
        """Adds a block of preformatted text, if there is any."""
        if not text or text.isspace():
            return False
        if self.parts:
            self.flush()
        tree = self.tree
        language = code_language(node, tree.elements[self.current].name)
        at = len(tree.blocks)
        tree.elements.append(Element("pre", self.current, cues.NONE, language, at, at + 1))
        tree.blocks.append(Block(text, len(tree.elements) - 1, "pre", 0, "code"))
        return True


def _clean(text: str) -> str:
    # Most text is clean: no white space but the space itself is printable, nor is what goes.
    text = text.strip()
    if text.isprintable() and "  " not in text:
        return text
    if "\xad" in text:
        text = text.replace("\xad", "")
    if "\u200b" in text or "\ufeff" in text:
        text = text.replace("\u200b", "").replace("\ufeff", "")
    if _LINE not in text:
        return " ".join(text.split())
    lines = [" ".join(line.split()) for line in text.split(_LINE)]
    return "\n".join(line for line in lines if line)


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
