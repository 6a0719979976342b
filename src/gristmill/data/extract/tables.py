"""Tables that hold data, told from tables that only lay out a page, and written row by row."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.data.extract.dom import Tree

_LONG_CELL = 200  # characters; data cells are shorter on average


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a block stands in a data table."""

    table: int
    row: int
    column: int
    header: bool


@dataclass(slots=True)
class _Table:
    rows: list[int]
    cells: list[tuple[int, int]]  # (row, element)
    header: bool = False
    nested: bool = False


def find_tables(tree: Tree, main: int) -> dict[int, Cell]:
    """Block index -> cell, for the blocks in data tables inside the element `main`."""
    elements = tree.elements
    first, end = elements[main].start, elements[main].end
    tables: dict[int, _Table] = {}
    owner: dict[int, int] = {}  # row or section element -> table
    for index in range(main + 1, len(elements)):
        element = elements[index]
        if element.start >= end and element.end > end:
            break
        tag = element.tag
        if tag == "table":
            if element.end <= end:
                tables[index] = _Table([], [])
                outer = _enclosing(tree, element.parent, main)
                if outer in tables:
                    tables[outer].nested = True
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
        if not _holds_data(tree, table):
            continue
        row_number = {row: number for number, row in enumerate(table.rows)}
        columns: dict[int, int] = {}
        for row, element_index in table.cells:
            column = columns.get(row, 0)
            columns[row] = column + 1
            element = elements[element_index]
            for block in range(max(element.start, first), min(element.end, end)):
                cells[block] = Cell(index, row_number[row], column, element.tag == "th")
    return cells


def table_lines(blocks: list[tuple[Cell, str]], markdown: bool) -> list[str]:
    """One line a row, cells parted by ' | '; in Markdown with a line below the first."""
    rows: dict[int, dict[int, str]] = {}
    width = 0
    for cell, text in blocks:
        row = rows.setdefault(cell.row, {})
        text = text.replace("\n", " ")
        if markdown:
            text = text.replace("|", "\\|")
        row[cell.column] = f"{row[cell.column]} {text}" if cell.column in row else text
        width = max(width, cell.column + 1)
    lines = []
    for number in sorted(rows):
        row = rows[number]
        if markdown:
            lines.append("| " + " | ".join(row.get(c, "") for c in range(width)) + " |")
        else:
            lines.append(" | ".join(row.get(c, "") for c in range(max(row) + 1)).strip(" |"))
    if markdown and lines:
        lines.insert(1, "|" + " --- |" * width)
    return lines


def _holds_data(tree: Tree, table: _Table) -> bool:
    if table.nested or not table.cells:
        return False
    rows, cells = len(table.rows), len(table.cells)
    if cells < rows * 1.5 and not (rows == 1 and cells > 1):
        return False
    if rows < 2 and not table.header:
        return False
    length = sum(
        len(tree.blocks[b].text)
        for _, element in table.cells
        for b in range(tree.elements[element].start, tree.elements[element].end)
    )
    return length <= _LONG_CELL * cells * (2 if table.header else 1)


def _enclosing(tree: Tree, index: int, main: int) -> int:
    while index > main:
        if tree.elements[index].tag == "table":
            return index
        index = tree.elements[index].parent
    return -1
