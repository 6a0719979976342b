"""Kept blocks as plain text or Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.data.extract.record import Record
from gristmill.data.extract.tables import Cell, find_tables, row_line, widths
from gristmill.data.extract.tree import Block, Element, Tree

_HEADING_LEVEL = {f"h{level}": level for level in range(1, 7)}


@dataclass(slots=True)
class _Place:
    """Where an element stands: its list item, how deep in lists, in a quotation."""

    item: int = -1
    depth: int = 0
    ordered: bool = False
    quote: bool = False


def render(
    tree: Tree, kept: list[int], main: int, markdown: bool, record: Record | None = None
) -> str:
    """Text of the blocks `kept` (ascending) inside the element `main`.

    Paragraphs are parted by an empty line, list items and table rows by a line's end; a code
    block keeps its lines as they are. record: is told where each block begins.
    """
    out: list[str] = []
    previous = ""  # what the last line belongs to: '' paragraph, 'list', 'table:N'
    places: dict[int, _Place] = {main: _Place()}
    numbers: dict[int, int] = {}
    seen_items: set[int] = set()
    cells = find_tables(tree, main)
    columns = widths(cells) if cells and markdown else {}
    rows = _Rows(out, columns, markdown, record)
    for i in kept:
        cell = cells.get(i) if cells else None
        if cell is not None and not _is_program(tree.blocks[i]):
            rows.add(i, cell, _text(tree.blocks[i], markdown))
            previous = "table"
            continue
        if cells:
            rows.end()
        if record is not None:
            record.pieces.append((i, len(out)))
        block = tree.blocks[i]
        place = _place(tree.elements, block.element, places)
        text = _text(block, markdown)
        if block.kind == "code":
            if markdown:
                fence = "````" if "```" in block.text else "```"
                language = tree.elements[block.element].name
                text = f"{fence}{language}\n{block.text}\n{fence}"
            _join(out, text, "\n\n")
            previous = ""
            continue
        if block.tag in _HEADING_LEVEL:
            if markdown:
                text = "#" * _HEADING_LEVEL[block.tag] + " " + text.replace("\n", " ")
            _join(out, text, "\n\n")
            previous = ""
            continue
        if place.item >= 0:
            indent = "  " * (place.depth - 1)
            if place.item in seen_items:
                text = f"{indent}  {text}"
            else:
                seen_items.add(place.item)
                mark = "-"
                if place.ordered and markdown:
                    owner = tree.elements[place.item].parent
                    numbers[owner] = numbers.get(owner, 0) + 1
                    mark = f"{numbers[owner]}."
                text = f"{indent}{mark} {text}"
            _join(out, text, "\n" if previous == "list" else "\n\n")
            previous = "list"
            continue
        if markdown and place.quote:
            text = "> " + text.replace("\n", "\n> ")
        _join(out, text, "\n\n")
        previous = ""
    rows.end()
    if record is not None:
        record.strings = out
    return "".join(out)


class _Rows:
    """Rows of tables, written when the next block does not belong to them."""

    def __init__(
        self, out: list[str], columns: dict[int, int], markdown: bool, record: Record | None
    ):
        self.out = out
        self.columns = columns
        self.markdown = markdown
        self.record = record
        self.row: Cell | None = None
        self.first = 0  # block that the row begins with
        self.texts: dict[int, str] = {}  # by column
        self.last = -1  # table of the line before, -1 where something else stands there

    def add(self, block: int, cell: Cell, text: str) -> None:
        """The text of a cell, or more of it."""
        row = self.row
        if row is None or (row.table, row.row) != (cell.table, cell.row):
            if row is not None:
                self.write(row)
            self.row, self.first, self.texts = cell, block, {}
        before = self.texts.get(cell.column)
        self.texts[cell.column] = text if before is None else f"{before} {text}"

    def end(self) -> None:
        """Something else follows."""
        if self.row is not None:
            self.write(self.row)
        self.row, self.last = None, -1

    def write(self, row: Cell) -> None:
        out, width = self.out, self.columns.get(row.table, 0)
        if self.record is not None:
            self.record.pieces.append((self.first, len(out)))
        line = row_line(self.texts, self.markdown, width, row.equation)
        _join(out, line, "\n" if row.table == self.last else "\n\n")
        if self.markdown and row.table != self.last and not row.equation:
            out.append("\n|" + " --- |" * width)
        self.last = row.table


def _is_program(block: Block) -> bool:
    return block.kind == "code" and "\n" in block.text


def _text(block: Block, markdown: bool) -> str:
    return (block.marked or block.text) if markdown else block.text


def _join(out: list[str], text: str, gap: str) -> None:
    if out:
        out.append(gap)
    out.append(text)


def _place(elements: list[Element], index: int, places: dict[int, _Place]) -> _Place:
    known = places.get(index)
    if known is not None:
        return known
    chain = [index]
    while True:
        parent = elements[chain[-1]].parent
        if parent < 0:
            above = _Place()
            break
        if parent in places:
            above = places[parent]
            break
        chain.append(parent)
    for index in reversed(chain):
        element = elements[index]
        if element.tag == "li":
            ordered = element.parent >= 0 and elements[element.parent].tag == "ol"
            above = _Place(index, above.depth + 1, ordered, above.quote)
        elif element.tag == "blockquote":
            above = _Place(above.item, above.depth, above.ordered, True)
        places[index] = above
    return above
