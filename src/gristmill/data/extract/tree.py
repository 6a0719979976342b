"""What a page becomes when it is walked: blocks in page order, in elements that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.data.extract.tables import Cell


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
    spoken_against: list[int] = field(default_factory=list)  # elements with a cue but the main one
    quotations: list[int] = field(default_factory=list)  # elements
    trails: list[str] = field(default_factory=list)  # breadcrumbs, parted by \x1f
    times: list[str] = field(default_factory=list)  # datetime attributes
    # Rows and columns that a cell spans, of those that span more than one, by element.
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    tables: list[int] = field(default_factory=list)  # elements
    cells: tuple[int, dict[int, Cell]] | None = None  # by block, as `tables.find_tables` found them
    skipped: list[Any] = field(default_factory=list)  # nodes that were not walked
    titled: set[int] | None = None  # `mem_id` of nodes that hold an <h1>, where it was asked for
