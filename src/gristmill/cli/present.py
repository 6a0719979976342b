"""Figures, tables and samples on the terminal, at 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from gristmill.cli.talk import printable
from gristmill.core.artifact import Artifact
from gristmill.core.figure import Figure

_MOST_FIGURES = 40
_GAP = 2  # between two columns
_FOLDED = 18  # a column of texts is not folded below this


class _Plain(Console):
    """Names and texts of files from elsewhere cannot drive the terminal, wherever they stand."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Of rich: what is written, piece by piece."""
        for segment in super().render(renderable, options):
            if not segment.control and not segment.text.isprintable():
                segment = Segment(printable(segment.text), segment.style)
            yield segment


def console(*, soft_wrap: bool = False) -> Console:
    """A console that never takes text for markup by itself, nor for control characters."""
    return _Plain(highlight=False, soft_wrap=soft_wrap)


def print_presentation(shown: Mapping[str, Any]) -> None:
    """What a stage gave for the report, as text."""
    out = console()
    figures = shown.get("figures", {})
    if len(figures) <= _MOST_FIGURES:
        print_figures(figures, out)
    else:
        out.print(f"  {len(figures)} figures: --json has them, and the report", markup=False)
    for chart in shown.get("charts", []):
        if chart["style"] == "funnel":
            from gristmill.cli.funnel_print import print_funnel

            print_funnel(chart, out)
    for table in shown.get("tables", []):
        print_table(table["title"], table["columns"], table["rows"], out, table.get("note", ""))
    for samples in shown.get("samples", []):
        out.print(f"\n[bold]{escape(samples['title'])}[/bold]")
        for row in samples["rows"][:5]:
            for label, text in row.items():
                cut = text if len(text) <= 400 else text[:400] + " ..."
                out.print(f"  [dim]{escape(label)}[/dim]  {escape(cut)}")
            out.print("")
    for note in shown.get("notes", []):
        out.print(f"\n{escape(note)}")


def print_alignment(artifact: Artifact, shown: Mapping[str, Any], out: Console) -> None:
    """The methods beside each other, narrow enough for a terminal, and two questions answered."""
    methods = artifact.read_json("alignment.json")["methods"]
    rows = [
        [f"{one['method']} {one['strength']}".strip(), *(
            str(Figure.from_json(one["figures"][key])) if key in one["figures"] else ""
            for key in ("gold", "kl", "win_rate")
        )]
        for one in methods
    ]  # fmt: skip
    print_table(
        "Ways to learn from preferences, held-out questions",
        ["", "gold reward", "KL to SFT", "wins against SFT"],
        rows,
        out,
    )
    for samples in shown.get("samples", []):
        out.print(f"\n[bold]{escape(samples['title'])}[/bold]")
        for row in samples["rows"][:3]:
            for name, said in row.items():
                line = textwrap.shorten(str(said), 66, placeholder=" ...")
                out.print(f"  {escape(name):<9} {escape(line)}")
            out.print("")


def print_figures(figures: Mapping[str, Any], out: Console) -> None:
    """One line a figure, with its interval and count."""
    for name, entry in figures.items():
        figure = Figure.from_json(entry)
        count = f"  n = {figure.n:,}" if figure.n is not None else ""
        out.print(f"  {name:<34} {figure}{count}", markup=False)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    out: Console,
    note: str = "",
    *,
    names: bool = False,
) -> None:
    """A table whose number columns stand to the right; narrow terminals fold the text columns,
    of names not the first, so that it can be copied.

    Columns that do not fit beside the first are left out and counted: the report has them all.
    """
    whole = 0 if names else None
    widths = _widths(columns, rows, out.width, whole)
    bare = False
    if len(widths) < len(columns):
        # A model's column is worth more than the intervals of another's.
        short = [[_bare(cell) for cell in row] for row in rows]
        narrow = _widths(columns, short, out.width, whole)
        if len(narrow) > len(widths):
            rows, widths, bare = short, narrow, True
    shown = list(widths)
    table = Table(box=None, show_header=any(columns))
    for index, width in widths.items():
        table.add_column(
            escape(columns[index]),
            justify="right" if _holds_numbers(rows, index) else "left",
            # Left to itself rich would take some characters from each column, of numbers too.
            width=width,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(escape(cell_text(row[index])) for index in shown))
    # A title of the table would be folded to the width of its columns.
    out.print(f"\n[bold]{escape(title)}[/bold]")
    out.print(table)
    if len(shown) < len(columns):
        left_out = [columns[index] for index in range(len(columns)) if index not in widths]
        said = f"{len(left_out)} more column{'' if len(left_out) == 1 else 's'} in the report"
        if named := ", ".join(filter(None, left_out)):
            said += f": {named}"
        out.print(f"[dim]({escape(said)})[/dim]")
    if bare:
        out.print("[dim](the 95% intervals stand in the report)[/dim]")
    if note:
        out.print(f"[dim]{escape(note)}[/dim]")


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int, whole: int | None
) -> dict[int, int]:
    """How wide each column is that fits. Numbers are never cut or folded, nor is the column
    `whole`; headings fold between words and other texts fold."""
    room = width
    widths: dict[int, int] = {}
    wanted: dict[int, int] = {}
    for index, column in enumerate(columns):
        cells = [cell_text(row[index]) for row in rows]
        longest = max(map(len, cells), default=0)
        folds = not _holds_numbers(rows, index) and index != whole
        need = min(longest, max([_FOLDED, *map(_longest_word, cells)])) if folds else longest
        need = min(need, max(_FOLDED, width // 3)) if folds else need
        need = max(need, _longest_word(column))
        if widths and need + _GAP > room:
            break
        need = min(need, max(1, width - _GAP))
        widths[index], wanted[index] = need, longest
        room -= need + _GAP
    # What is left goes to texts that would be folded, then to headings.
    for most in (wanted, {index: len(columns[index]) for index in widths}):
        while room > 0 and (short := [i for i in widths if widths[i] < most[i]]):
            for index in short[:room]:
                widths[index] += 1
            room -= min(room, len(short))
    return widths


def _holds_numbers(rows: Sequence[Sequence[Any]], index: int) -> bool:
    return any(isinstance(row[index], (int, float, Mapping)) for row in rows)


def _longest_word(text: str) -> int:
    return max((len(word) for word in text.split()), default=0)


def _bare(cell: Any) -> Any:
    """A figure without its interval."""
    if not (isinstance(cell, Mapping) and "figure" in cell):
        return cell
    return {"figure": Figure(Figure.from_json(cell["figure"]).value).to_json()}


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


def bytes_text(count: int) -> str:
    """1,230,000 as 1.2 MB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
