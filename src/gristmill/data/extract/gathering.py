"""The text of one block, as the walk over a page gathers it piece by piece."""

from __future__ import annotations

from typing import Any

from gristmill.data.extract import cues
from gristmill.data.extract.code import code_language
from gristmill.data.extract.tree import Block, Element, Tree

_LINE = "\0"  # a forced line break inside a block: no parsed text holds a NUL


class Gathering:
    """The block that is being gathered, and the tree that it becomes a part of."""

    __slots__ = (
        "current", "in_link", "lines", "link_chars", "marked", "marks", "parts", "tree",
    )  # fmt: skip

    def __init__(self, marks: bool):
        self.tree = Tree()
        self.marks = marks
        self.current = 0  # index of the innermost open block-level element
        self.in_link = 0
        self.link_chars = 0
        self.lines = 0  # breaks since the last text: two of them end a paragraph
        self.parts: list[str] = []
        self.marked: list[str] = []

    def flush(self) -> None:
        """Ends the current block."""
        text = clean("".join(self.parts))
        self.parts.clear()
        if text:
            blocks = self.tree.blocks
            tag = self.tree.elements[self.current].tag
            block = Block(text, self.current, tag, min(self.link_chars, len(text)))
            if tag == "h1":
                self.tree.headlines.append(len(blocks))
            blocks.append(block)
            if self.marks:
                block.marked = clean("".join(self.marked))
        self.marked.clear()
        self.link_chars = 0
        self.lines = 0

    def text(self, text: str) -> None:
        """Adds to the current block, where no marks are asked for."""
        if self.parts or not text.isspace():
            self.parts.append(text)
            if self.in_link:
                self.link_chars += len(text)
            if self.lines and not text.isspace():
                self.lines = 0

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


def clean(text: str) -> str:
    """Runs of white space as one space, lines at forced breaks, no signs that nobody sees."""
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
