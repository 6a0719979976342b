"""Figures, tables and samples on the terminal, at 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gristmill.core.figure import Figure


def console() -> Console:
    """A console that never takes text for markup by itself."""
    return Console(highlight=False)


def print_presentation(shown: Mapping[str, Any]) -> None:
    """What a stage gave for the report, as text."""
    out = console()
    print_figures(shown.get("figures", {}), out)
    for table in shown.get("tables", []):
        print_table(table["title"], table["columns"], table["rows"], out, table.get("note", ""))
    for samples in shown.get("samples", []):
        out.print(f"\n[bold]{escape(samples['title'])}[/bold]")
        for row in samples["rows"][:5]:
            for label, text in row.items():
                cut = text if len(text) <= 400 else text[:400] + " ..."
                out.print(f"  [dim]{escape(label)}[/dim]  {escape(cut)}")
            out.print("")


def print_figures(figures: Mapping[str, Any], out: Console) -> None:
    """One line a figure, with its interval and count."""
    for name, entry in figures.items():
        figure = Figure.from_json(entry)
        count = f"  n = {figure.n:,}" if figure.n is not None else ""
        out.print(f"  {name:<34} {figure}{count}", markup=False)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], out: Console, note: str = ""
) -> None:
    """A table whose number columns stand to the right."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None)
    for index, column in enumerate(columns):
        numbers = any(isinstance(row[index], (int, float)) for row in rows)
        table.add_column(escape(column), justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(escape(cell_text(cell)) for cell in row))
    out.print()
    out.print(table)
    if note:
        out.print(f"[dim]{escape(note)}[/dim]")


def cell_text(cell: Any) -> str:
    """A cell as text: figures with their interval, numbers with separators."""
    if isinstance(cell, Mapping) and "figure" in cell:
        return str(Figure.from_json(cell["figure"]))
    if isinstance(cell, bool) or cell is None:
        return {True: "yes", False: "no", None: ""}[cell]
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)
