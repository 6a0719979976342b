"""Kept blocks as plain text or Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.data.extract.dom import Block, Element, Tree
from gristmill.data.extract.tables import Cell, find_tables, table_lines

_HEADING_LEVEL = {f"h{level}": level for level in range(1, 7)}


@dataclass(slots=True)
class _Place:
    """Where an element stands: its list item, how deep in lists, in a quotation."""

    item: int = -1
    depth: int = 0
    ordered: bool = False
    quote: bool = False


def render(tree: Tree, kept: list[int], main: int, markdown: bool) -> str:
    """Text of the blocks `kept` (ascending) inside the element `main`.

    Paragraphs are parted by an empty line, list items and table rows by a line's end; a code
    block keeps its lines as they are.
    """
    out: list[str] = []
    previous = ""  # what the last line belongs to: '' paragraph, 'list', 'table:N'
    places: dict[int, _Place] = {main: _Place()}
    numbers: dict[int, int] = {}
    seen_items: set[int] = set()
    cells = find_tables(tree, main)
    table_blocks: dict[int, list[tuple[Cell, str]]] = {}
    if cells:
        for i in kept:
            cell = cells.get(i)
            if cell is not None:
                table_blocks.setdefault(cell.table, []).append(
                    (cell, _text(tree.blocks[i], markdown))
                )
    done_tables: set[int] = set()
    for i in kept:
        cell = cells.get(i) if cells else None
        if cell is not None:
            if cell.table not in done_tables:
                done_tables.add(cell.table)
                _join(out, "\n".join(table_lines(table_blocks[cell.table], markdown)), "\n\n")
            previous = "table"
            continue
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
    return "".join(out)


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
