"""The pieces of the report as HTML. Every text is escaped here, so that text is never markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gristmill.core.figure import Figure
from gristmill.report.charts import chart_svg

_OPEN_SAMPLES = 2
# Answers side by side are there to be compared over several questions.
_OPEN_COLUMNS = 10
_LONG_TABLE, _OPEN_ROWS = 16, 12
_LONGEST_TEXT = 1_200


def text(value: object) -> str:
    """Escaped text."""
    return escape(str(value), quote=True)


def page(
    title: str,
    about: str,
    sections: Sequence[tuple[str, str]],
    *,
    tiles: str = "",
    footer: str = "",
) -> str:
    """A whole page that opens offline. sections: a heading's text and the HTML below it; tiles and
    footer are HTML."""
    nav = "".join(f'<a href="#s{i}">{text(name)}</a>' for i, (name, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{i}"><h2>{text(name)}</h2>{inner}</section>'
        for i, (name, inner) in enumerate(sections)
    )
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # No script and nothing from elsewhere: what a page smuggled into a sample cannot run.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{text(title)}</title><style>{css}</style></head><body>"
        f"<header><h1>{text(title)}</h1><p>{text(about)}</p>"
        f"{tiles}<nav>{nav}</nav></header><main>{body}</main>{footer}</body></html>\n"
    )


def table(shown: Mapping[str, Any]) -> str:
    """A table; columns that hold numbers stand to the right. Wide ones scroll, long ones fold."""
    columns: Sequence[str] = shown["columns"]
    rows: Sequence[Sequence[Any]] = shown["rows"]
    numeric = [any(_is_number(row[index]) for row in rows) for index in range(len(columns))]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{text(column)}</th>'
        for column, number in zip(columns, numeric, strict=True)
    )
    body = ["<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows]
    note = f'<p class="soft">{text(shown["note"])}</p>' if shown.get("note") else ""
    caption = f"<caption>{text(shown['title'])}</caption>" if shown.get("title") else ""
    first, rest = body, body[:0]
    if len(body) > _LONG_TABLE:
        first, rest = body[:_OPEN_ROWS], body[_OPEN_ROWS:]
    more = (
        f"<details><summary>{len(rest)} more rows</summary>{_grid('', head, rest)}</details>"
        if rest
        else ""
    )
    return _grid(caption, head, first) + more + note


def _grid(caption: str, head: str, rows: Sequence[str]) -> str:
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def figures_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures with their intervals and counts."""
    rows = []
    for name, entry in figures.items():
        figure = Figure.from_json(entry)
        interval = (
            f"{_number(figure.low)} to {_number(figure.high)}"
            if figure.low is not None and figure.high is not None
            else ""
        )
        rows.append([name, figure.value, interval, figure.n])
    return table({"title": "", "columns": ["figure", "value", "95% interval", "n"], "rows": rows})


def chart(shown: Mapping[str, Any]) -> str:
    """A drawn chart with its title."""
    return f"<figure><figcaption>{text(shown['title'])}</figcaption>{chart_svg(shown)}</figure>"


def samples(shown: Mapping[str, Any]) -> str:
    """Examples as cards, or as columns side by side; all but the first few are folded."""
    columns = shown.get("layout", "cards") == "columns"
    draw, opened = (_columns, _OPEN_COLUMNS) if columns else (_card, _OPEN_SAMPLES)
    cards = [draw(row) for row in shown["rows"]]
    head = f"<h4>{text(shown['title'])}</h4>"
    if shown.get("note"):
        head += f'<p class="soft">{text(shown["note"])}</p>'
    rest = cards[opened:]
    more = f"<details><summary>{len(rest)} more</summary>{''.join(rest)}</details>" if rest else ""
    return head + "".join(cards[:opened]) + more


def tiles(items: Sequence[tuple[str, str, str]]) -> str:
    """Headline numbers: (value, label, explanation)."""
    inner = "".join(
        f"<li><b>{text(value)}</b>{text(label)}<span>{text(note)}</span></li>"
        for value, label, note in items
    )
    return f'<ul class="tiles">{inner}</ul>'


def _card(row: Mapping[str, Any]) -> str:
    inner = "".join(f"<dt>{text(k)}</dt><dd>{text(_cut(v))}</dd>" for k, v in row.items())
    return f'<div class="card"><dl>{inner}</dl></div>'


def _columns(row: Mapping[str, Any]) -> str:
    """The first entry as a heading, the others beside each other below it."""
    (_, asked), *answers = list(row.items()) or [("", "")]
    inner = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(_cut(answer))}</dd></div>" for name, answer in answers
    )
    heading = f'<p class="asked">{text(_cut(asked))}</p>'
    return f'<div class="card">{heading}<dl class="side">{inner}</dl></div>'


def _cut(value: object) -> str:
    shown = str(value)
    if len(shown) <= _LONGEST_TEXT:
        return shown
    return shown[:_LONGEST_TEXT] + f" [... {len(shown) - _LONGEST_TEXT:,} more letters]"


def _is_number(cell: Any) -> bool:
    figure = isinstance(cell, Mapping) and "figure" in cell
    return figure or (isinstance(cell, (int, float)) and not isinstance(cell, bool))


def _cell(cell: Any) -> str:
    if isinstance(cell, Mapping) and "figure" in cell:
        return f'<td class="n">{text(Figure.from_json(cell["figure"]))}</td>'
    if isinstance(cell, bool):
        return f"<td>{'yes' if cell else 'no'}</td>"
    if isinstance(cell, (int, float)):
        return f'<td class="n">{_number(cell)}</td>'
    return f"<td>{text('' if cell is None else cell)}</td>"


def _number(value: float) -> str:
    if isinstance(value, int) or (value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
