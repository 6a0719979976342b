"""A difference as a page: both curves in one chart, answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gristmill.core.figure import Figure
from gristmill.report.beside import Section, render_beside
from gristmill.stages.difference import Difference, brief


def difference_page(
    title: str, about: str, differences: Sequence[tuple[str, Difference]], names: tuple[str, str]
) -> str:
    """The page of some differences, each under its heading. names: what a and b are called."""
    return render_beside(title, about, [_section(head, one, names) for head, one in differences])


def _section(head: str, found: Difference, names: tuple[str, str]) -> Section:
    a, b = names
    lines = [f"{a}: {found.a.name}, made {found.a.manifest.created}"]
    lines.append(f"{b}: {found.b.name}, made {found.b.manifest.created}")
    if found.same:
        lines.append("Both hold the same content.")
    tables: list[dict[str, Any]] = []

    def add(title: str, columns: list[str], rows: list[list[Any]], note: str = "") -> None:
        if rows:
            tables.append({"title": title, "columns": columns, "rows": rows, "note": note})

    add(
        "Where they part",
        ["by way of", a, b, "why"],
        [[p.path or "itself", p.a, p.b, "; ".join(p.why)] for p in found.partings],
    )
    add("Settings", ["setting", a, b], [[k, brief(x), brief(y)] for k, x, y in found.settings])
    add("Counts", ["", a, b], [[n, x, y] for n, x, y in found.counts if x != y])
    add(
        "Figures",
        ["figure", a, b, "difference", "intervals"],
        [
            [one.name, _cell(one.a), _cell(one.b), one.difference,
             {True: "apart", False: "overlap", None: ""}[one.apart]]
            for one in found.figures
        ],
        "Intervals that lie apart are a difference that chance hardly makes; overlapping ones "
        "may still differ.",
    )  # fmt: skip
    return Section(head, lines, tables, _charts(found, names), _samples(found, names))


def _cell(figure: Figure | None) -> Any:
    return None if figure is None else {"figure": figure.to_json()}


def _charts(found: Difference, names: tuple[str, str]) -> list[dict[str, Any]]:
    """One chart for each curve, so that two colours are all there is to tell apart."""
    return [
        {
            "title": f"{curve.title}: {curve.name}",
            "x_label": curve.x_label,
            "y_label": curve.y_label,
            "style": "line",
            "series": [
                {"name": name, "x": [x for x, _ in points], "y": [y for _, y in points]}
                for name, points in zip(names, (curve.a, curve.b), strict=True)
            ],
        }
        for curve in found.curves
    ]


def _samples(found: Difference, names: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "title": group.title,
            "layout": "columns",
            "rows": [{"prompt": p, names[0]: x, names[1]: y} for p, x, y in group.rows],
        }
        for group in found.samples
    ]
