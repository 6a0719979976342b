"""Tokenizers beside each other on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gristmill.cli.present import cell_text, console, print_table
from gristmill.core.figure import Table


def print_comparison(tables: Sequence[Table], about: str) -> None:
    """The tables; one with more tokenizers than fit goes on below itself."""
    out = console()
    out.print(about, markup=False)
    for table in tables:
        if not table.rows:
            continue
        blocks = list(_blocks(table, out.width))
        for number, (columns, rows) in enumerate(blocks):
            last = number == len(blocks) - 1
            title = table.title if not number else f"{table.title} (on)"
            print_table(title, columns, rows, out, table.note if last else "")


def _blocks(table: Table, width: int) -> list[tuple[list[str], list[list[Any]]]]:
    """The table cut by its columns so that each part fits, the first column in all of them."""
    columns = list(table.columns)
    if columns[0] == "tokenizer":
        return [(columns, [list(row) for row in table.rows])]
    widths = [
        max(len(columns[i]), *(len(cell_text(row[i])) for row in table.rows)) + 2
        for i in range(len(columns))
    ]
    parts: list[list[int]] = [[]]
    room = width - widths[0]
    for i in range(1, len(columns)):
        if parts[-1] and widths[i] > room:
            parts.append([])
            room = width - widths[0]
        parts[-1].append(i)
        room -= widths[i]
    return [
        ([columns[i] for i in (0, *part)], [[row[i] for i in (0, *part)] for row in table.rows])
        for part in parts
    ]
