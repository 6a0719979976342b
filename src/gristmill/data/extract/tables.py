"""Tables that hold data, told from tables that only lay out a page, and written row by row.

A cell that spans rows or columns is written once; empty cells stand in the other places, so that
what stands below one another in the table has the same number of bars before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gristmill.data.extract.tree import Tree

_LONG_CELL = 200  # characters; data cells are shorter on average
_MOST_COLUMNS = 1000
# Of the cells of a table of data so many say something that is no link.
_PLAIN_SHARE = 0.15
# Classes that generators of documents and wikis give to tables of data.
_DATA_NAMES = frozenset(
    """docutils wikitable infobox ltx_tabular confluenceTable doc-table doxtable markdownTable
    memberdecls fieldtable directory params tablepress""".split()
)
_SPANNED_EACH = 20  # cells that one cell stands for, on average over a table


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a block stands in a table of data.

    headed: the table has cells of headers, or a caption. linked: nearly all its cells are links.
    equation: a numbered equation that is laid out as a row. named: by its class a table of data.
    """

    table: int
    row: int
    column: int
    header: bool
    headed: bool
    linked: bool
    equation: bool
    named: bool

    @property
    def plain(self) -> bool:
        """Whether this is a table of a text, and no list of entries in rows."""
        return not self.linked and (self.headed or self.named)


@dataclass(slots=True)
class _Table:
    rows: list[int] = field(default_factory=list)
    cells: list[tuple[int, int]] = field(default_factory=list)  # (row, element)
    header: bool = False
    nested: int = 0  # tables inside of it


def find_tables(tree: Tree, main: int) -> dict[int, Cell]:
    """Block index -> cell, for the blocks in data tables inside the element `main`."""
    if not tree.tables:
        return {}
    if tree.cells is None or tree.cells[0] != main:
        tree.cells = (main, _find(tree, main))
    return tree.cells[1]


def _find(tree: Tree, main: int) -> dict[int, Cell]:
    elements = tree.elements
    first, end = elements[main].start, elements[main].end
    tables: dict[int, _Table] = {}
    owner: dict[int, int] = {}  # row or section element -> table
    for index in range(max(main + 1, tree.tables[0]), len(elements)):
        element = elements[index]
        if element.start >= end and element.end > end:
            break
        tag = element.tag
        if tag == "table":
            if element.end <= end:
                tables[index] = _Table()
                outer = _enclosing(tree, element.parent, main)
                if outer in tables:
                    tables[outer].nested += 1
        elif not tables:
            continue
        elif tag in ("tbody", "thead", "tfoot", "caption"):
            if element.parent in tables:
                owner[index] = element.parent
                if tag != "tbody":
                    tables[element.parent].header = True
        elif tag == "tr":
            above = owner.get(element.parent, element.parent)
            if above in tables:
                owner[index] = above
                tables[above].rows.append(index)
        elif tag in ("td", "th"):
            found = owner.get(element.parent)
            if found is not None:
                tables[found].cells.append((element.parent, index))
                if tag == "th":
                    tables[found].header = True
    cells: dict[int, Cell] = {}
    for index, table in tables.items():
        name = elements[index].name
        equation = "eqn" in name or "equation" in name
        if not equation and not _holds_data(tree, table):
            continue
        linked = _is_linked(tree, table)
        named = not _DATA_NAMES.isdisjoint(name.split())
        for row, column, at in _places(tree, table):
            element = elements[at]
            cell = Cell(
                index, row, column, element.tag == "th", table.header, linked, equation, named
            )
            for block in range(max(element.start, first), min(element.end, end)):
                cells[block] = cell
    return cells


def row_line(cells: dict[int, str], markdown: bool, width: int, equation: bool = False) -> str:
    """A row as one line, cells parted by ' | '. Empty cells at the end are left out in text.

    cells: text by column. width: columns of the table.
    """
    texts = {column: text.replace("\n", " ") for column, text in cells.items()}
    if equation:
        return " ".join(texts[column] for column in sorted(texts))
    if markdown:
        escaped = [texts.get(column, "").replace("|", "\\|") for column in range(width)]
        return "| " + " | ".join(escaped) + " |"
    return " | ".join(texts.get(column, "") for column in range(max(texts) + 1)).strip(" ")


def widths(cells: dict[int, Cell]) -> dict[int, int]:
    """Columns of each table."""
    found: dict[int, int] = {}
    for cell in cells.values():
        found[cell.table] = max(found.get(cell.table, 0), cell.column + 1)
    return found


def _places(tree: Tree, table: _Table) -> list[tuple[int, int, int]]:
    """(row, column, element) of each cell, as spans move them."""
    number = {row: place for place, row in enumerate(table.rows)}
    left = _SPANNED_EACH * len(table.cells)
    taken: dict[int, int] = {}  # column -> first row in which it is free again
    columns: dict[int, int] = {}
    found = []
    for row_element, at in table.cells:
        row = number[row_element]
        column = columns.get(row, 0)
        while taken.get(column, 0) > row:
            column += 1
        down, across = tree.spans.get(at, (1, 1))
        down = min(down, len(table.rows) - row)
        if down * across > left or column + across > _MOST_COLUMNS:
            down = across = 1
        left -= down * across - 1
        found.append((row, column, at))
        if down > 1:
            for one in range(column, column + across):
                taken[one] = row + down
        columns[row] = column + across
    return found


def _holds_data(tree: Tree, table: _Table) -> bool:
    if not table.cells:
        return False
    rows, cells = len(table.rows), len(table.cells)
    if table.nested and not (table.header and rows > 2 * table.nested):
        return False
    if cells < rows * 1.5 and not (rows == 1 and cells > 1) and not _spanned(tree, table):
        return False
    if rows < 2 and not table.header:
        return False
    length = sum(
        len(tree.blocks[b].text)
        for _, element in table.cells
        for b in range(tree.elements[element].start, tree.elements[element].end)
    )
    return length <= _LONG_CELL * cells * (2 if table.header else 1)


def _spanned(tree: Tree, table: _Table) -> bool:
    """Whether rows are short only because their cells span columns."""
    width = sum(tree.spans.get(at, (1, 1))[1] for _, at in table.cells)
    return width >= 1.5 * len(table.rows) and len(table.cells) > len(table.rows)


def _is_linked(tree: Tree, table: _Table) -> bool:
    blocks, elements = tree.blocks, tree.elements
    filled = plain = 0
    for _, at in table.cells:
        inside = blocks[elements[at].start : elements[at].end]
        if inside:
            filled += 1
            plain += sum(block.links for block in inside) * 2 <= sum(len(b.text) for b in inside)
    return len(table.rows) < 2 or plain < _PLAIN_SHARE * filled


def _enclosing(tree: Tree, index: int, main: int) -> int:
    while index > main:
        if tree.elements[index].tag == "table":
            return index
        index = tree.elements[index].parent
    return -1
