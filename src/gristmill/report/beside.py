"""A page that shows two things beside each other, in the report's own pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gristmill.report import elements


@dataclass(frozen=True)
class Section:
    """A part of the page: paragraphs, then tables, charts and samples as the report draws them."""

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Mapping[str, Any]] = ()
    charts: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def render_beside(title: str, about: str, sections: Sequence[Section]) -> str:
    """The whole page as text; it opens offline and holds no script."""
    nav = "".join(
        f'<a href="#s{i}">{elements.text(one.title)}</a>' for i, one in enumerate(sections)
    )
    body = "".join(
        f'<section id="s{i}"><h2>{elements.text(one.title)}</h2>{_inner(one)}</section>'
        for i, one in enumerate(sections)
    )
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{elements.text(title)}</title><style>{css}</style></head><body>"
        f"<header><h1>{elements.text(title)}</h1><p>{elements.text(about)}</p>"
        f"<nav>{nav}</nav></header><main>{body}</main></body></html>\n"
    )


def _inner(section: Section) -> str:
    return (
        "".join(f"<p>{elements.text(line)}</p>" for line in section.lines)
        + "".join(elements.table(table) for table in section.tables)
        + "".join(elements.chart(chart) for chart in section.charts)
        + "".join(elements.samples(samples) for samples in section.samples)
    )
