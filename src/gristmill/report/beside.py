"""A page that shows two things beside each other, in the report's own pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    return elements.page(title, about, [(one.title, _inner(one)) for one in sections])


def _inner(section: Section) -> str:
    return (
        "".join(f"<p>{elements.text(line)}</p>" for line in section.lines)
        + "".join(elements.table(table) for table in section.tables)
        + "".join(elements.chart(chart) for chart in section.charts)
        + "".join(elements.samples(samples) for samples in section.samples)
    )
