"""What a stage gave to show, as HTML: what tells its story is open, the rest folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.report import elements

# What is open, so that the page tells its story; the rest folds under its title.
_OPEN_CHARTS, _OPEN_SAMPLES, _OPEN_NOTES = 2, 2, 3
_OPEN_TABLES = {"Left after each step", "What each step got right"}
"""Besides the first of each stage."""


def pieces(shown: Mapping[str, Any], figures: Mapping[str, Any], *, read: bool) -> str:
    """Notes, charts beside each other, tables, samples, figures; what is secondary is folded.

    read: whether samples are the result.
    """
    charts, tables = shown.get("charts", []), shown.get("tables", [])
    samples = shown.get("samples", [])
    aside, below, folds = [], [], []
    for place, table in enumerate(tables):
        drawn = elements.table(table)
        if place and table["title"] not in _OPEN_TABLES:
            title = table["title"] or ", ".join(map(str, table["columns"]))
            folds.append(elements.fold(title, drawn))
        elif elements.is_small(table):
            aside.append(f"<div>{drawn}</div>")
        else:
            below.append(drawn)
    opened = 1 if aside else _OPEN_CHARTS  # a chart and a table fill a row, as two charts do
    beside = [elements.chart(chart) for chart in charts[:opened]] + aside
    rest = charts[opened:]
    if rest:
        titles = "; ".join(str(chart["title"]) for chart in rest)
        folds.append(elements.fold(titles, grid([elements.chart(chart) for chart in rest])))
    for one in samples:
        drawn = elements.samples(one, _OPEN_SAMPLES if read else len(one["rows"]))
        title = f"{one['title']} ({len(one['rows'])})"
        if read:
            below.append(drawn)
        else:
            folds.append(elements.fold(title, drawn))
    if figures:
        drawn = elements.figures_table(figures)
        if charts or tables or read:
            count = f"{len(figures)} figure{'s' if len(figures) > 1 else ''}"
            folds.append(elements.fold(count, drawn))
        else:
            below.append(drawn)
    more = f'<div class="folds">{"".join(folds)}</div>' if folds else ""
    return paragraphs(shown.get("notes", [])) + grid(beside) + "".join(below) + more


def grid(drawn: Sequence[str]) -> str:
    """Charts, and what stands beside them."""
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


def paragraphs(notes: Sequence[str]) -> str:
    """Notes, of which many fold."""
    said = [f"<p>{elements.text(note)}</p>" for note in notes]
    rest = said[_OPEN_NOTES:]
    more = elements.fold(f"{len(rest)} more", "".join(rest)) if rest else ""
    return "".join(said[:_OPEN_NOTES]) + more
