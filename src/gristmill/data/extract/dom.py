"""One pass over the tree: from nodes to a flat list of elements and a flat list of text blocks.

Every node is visited once, with an own stack, so that depth costs memory and never a recursion.
An element knows the range of blocks inside it; with prefix sums over blocks, what the rules ask of
a subtree costs one subtraction.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from selectolax.lexbor import LexborHTMLParser

from gristmill.data.extract import cues
from gristmill.data.extract.code import (
    code_container,
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
from gristmill.data.extract.gathering import Gathering, clean
from gristmill.data.extract.named import (
    ROLE_TAGS,
    SECTIONS,
    TAG_CUES,
    has_letters,
    holding_headlines,
    holds_code,
    is_footnote,
    is_mark,
    is_section,
    left_out,
    may_skip,
    names_of,
    spans_of,
    trail,
)
from gristmill.data.extract.tags import (
    BLOCK,
    BREAK,
    INLINE,
    KNOWN,
    SKIP,
    TEXT,
    tag_and_kind,
)
from gristmill.data.extract.tree import Block, Element, TooDeep, Tree

if TYPE_CHECKING:
    from gristmill.data.extract.record import Record


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MARKS = {
    "b": "**", "strong": "**", "i": "*", "em": "*",
    "code": "`", "tt": "`", "samp": "`", "kbd": "`",
}  # fmt: skip
_CELLS = ("td", "th")
_NOTED = frozenset(("table", "blockquote", *_CELLS))
_NAMED_INLINE = _words("span label small sup font")
_TYPED = _words("code tt samp kbd")  # a block of code where lines end in <br>

_MOST_SEARCHES = 200  # of whole elements for code: nested in one another they cost the square
# Not walked where that is asked for. A quotation in the others may belong to the main text.
_SKIPPED = frozenset(
    (cues.NAVIGATION, cues.RELATED, cues.ADVERT, cues.SIGN_UP, cues.FURNITURE, cues.HIDDEN)
)
_ENDS_BLOCK, _ENDS_LINK, _ENDS_MARK = 1, 2, 3
_MAX_TRAILS = 4


def flatten(
    parser: LexborHTMLParser,
    *,
    marks: bool = False,
    skip: bool = False,
    enter: Collection[int] = (),
    max_depth: int = 4000,
    record: Record | None = None,
    titled: set[int] | None = None,
) -> Tree:
    """Elements and blocks of a page's body in document order.

    marks: keep inline emphasis and code as Markdown in `Block.marked`. skip: do not walk what is
    named as navigation and the like, four fifths of a page of news, but put it into
    `Tree.skipped`; nodes whose `mem_id` is in `enter` are walked all the same. record: is told what
    is not walked. titled: `Tree.titled` of an earlier walk. Raises TooDeep.
    """
    walk = _Walk(marks, skip, max_depth)
    walk.enter = enter
    walk.record = record
    walk.tree.titled = titled
    # A page of frames has no body.
    walk.run(parser.body.first_child if parser.body is not None else None)
    return walk.tree


def flatten_node(
    node: Any, *, skip: bool = False, max_depth: int = 4000, titled: set[int] | None = None
) -> Tree:
    """The same for what is below one node."""
    walk = _Walk(False, skip, max_depth)
    walk.tree.titled = titled
    walk.run(node.first_child)
    return walk.tree


class _Walk(Gathering):
    """The state of one pass: the open elements and the block that is being collected."""

    __slots__ = ("enter", "max_depth", "record", "searches", "skip", "stack")

    def __init__(self, marks: bool, skip: bool, max_depth: int):
        super().__init__(marks)
        self.skip = skip
        self.enter: Collection[int] = ()
        self.record: Record | None = None
        self.searches = 0
        self.max_depth = max_depth
        # Open elements: (node, what ends with it, the mark that closes it).
        self.stack: list[tuple[Any, int, str]] = []

    def run(self, node: Any) -> None:
        """Visits `node`, its later siblings and all that is in them."""
        elements, blocks = self.tree.elements, self.tree.blocks
        elements.append(Element("body", -1, cues.NONE, "", 0))
        parts, stack, known = self.parts, self.stack, KNOWN
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
            number = node.tag_id
            if number == TEXT:
                if not parts and node.is_empty_text_node:  # between two blocks
                    node = node.next
                    continue
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
            tag, kind = known.get(number) or tag_and_kind(node)
            if kind == BLOCK:
                inner = self.block(node, tag)
            elif kind == INLINE:
                inner = self.inline(node, tag)
            elif kind == SKIP:
                inner = None
                if self.record is not None:
                    self.leave(node, "tag", name=tag)
            elif kind == BREAK:
                self.line_break(tag)
                inner = None
            else:
                self.special(node, tag)
                inner = None
            node = node.next if inner is None else inner
        if parts:
            self.flush()
        elements[0].end = len(blocks)

    def block(self, node: Any, tag: str) -> Any:
        """Enters a block-level element, known or not; returns its first child."""
        if self.parts:
            self.flush()
        child = node.first_child
        if child is None and tag not in _CELLS:
            return None
        attributes = node.attributes
        tree = self.tree
        if attributes:
            tag, name, verdict, odd = names_of(tag, attributes)
            if verdict == cues.SUBTITLE:
                tree.subtitles.append(len(tree.elements))
            if odd or (verdict == cues.NAVIGATION and "tab" in name):
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
            elif self.skip and verdict in _SKIPPED and self.may_skip(tag, name, node):
                tree.skipped.append(node)
                if self.record is not None:
                    self.leave(node, "name", verdict, name)
                return None
        elements, at = tree.elements, len(tree.blocks)
        index = len(elements)
        if verdict > cues.MAIN:
            tree.spoken_against.append(index)
        if tag in _NOTED:
            if tag == "table":
                tree.tables.append(index)
            elif tag == "blockquote":
                tree.quotations.append(index)
            elif "rowspan" in attributes or "colspan" in attributes:
                tree.spans[index] = spans_of(attributes)
        element = Element(tag, self.current, verdict, name, at)
        elements.append(element)
        if child is None:
            element.end = at
            return None
        if child.tag_id == TEXT and child.next is None and not self.marks and not self.in_link:
            # One run of text, as most paragraphs are: no need to go in and out.
            text = clean(child.text_content or "")
            if text:
                if tag == "h1":
                    tree.headlines.append(at)
                tree.blocks.append(Block(text, index, tag))
                at += 1
            element.end = at
            self.lines = 0
            return None
        self.current = index
        self.stack.append((node, _ENDS_BLOCK, ""))
        if len(self.stack) > self.max_depth:
            raise TooDeep
        return child

    def may_skip(self, tag: str, name: str, node: Any) -> bool:
        """Whether a node need not be walked that is named as navigation and the like."""
        tree = self.tree
        if tree.titled is None:
            tree.titled = holding_headlines(node.parser)
        return may_skip(tag, name, node.mem_id, self.enter, tree.titled)

    def odd_name(self, node: Any, name: str, verdict: int) -> int:
        """Trails, formulae and code, which names tell; the element's cue, -1 where it is done."""
        if "rumb" in name and len(self.tree.trails) < _MAX_TRAILS:
            self.tree.trails.append(trail(node))
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
                    self.tree.trails.append(trail(node))
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
        if child.tag_id == TEXT and child.next is None and not self.marks:
            # One run of text: no need to go in and out.
            self.text(child.text_content or "")
            if what:
                self.in_link -= 1
            return None
        self.stack.append((node, what, mark))
        if len(self.stack) > self.max_depth:
            raise TooDeep
        return child

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
