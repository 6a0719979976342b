"""The pieces of the report as HTML. Every text is escaped here, so that text is never markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gristmill.core.figure import Figure
from gristmill.report.charts import chart_svg
from gristmill.report.funnel import funnel_html

_OPEN_SAMPLES = 2
# Answers side by side are there to be compared over several questions.
_OPEN_COLUMNS = 10
_LONG_TABLE, _OPEN_ROWS = 10, 6
_LONGEST_TEXT = 1_200
# What a table may be wide at 1280 px, and roughly what a letter and a cell's sides take, in px.
_WIDEST, _LETTER, _SIDES = 1_180, 8.4, 21
_SMALL_ROWS, _SMALL_WIDTH = 10, 590
_SMALLER = 0.78  # an interval's letters beside its value's
_MOST_PLACES = 6
_MOST_TURNED = 12  # rows that can stand as columns


def text(value: object) -> str:
    """Escaped text."""
    return escape(str(value), quote=True)


def page(
    title: str,
    about: str,
    sections: Sequence[tuple[str, str]],
    *,
    lead: str = "",
    tiles: str = "",
    footer: str = "",
) -> str:
    """A whole page that opens offline. sections: a heading's text and the HTML below it; lead (what
    is said first), tiles and footer are HTML."""
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
        f'{lead}{tiles}<nav aria-label="contents">{nav}</nav></header>'
        f"<main>{body}</main>{footer}</body></html>\n"
    )


def table(shown: Mapping[str, Any]) -> str:
    """A table; columns that hold numbers stand to the right. One that is too wide for a page and
    has few rows is turned, so that its rows stand side by side; others scroll, long ones fold."""
    columns: Sequence[str] = shown["columns"]
    rows: Sequence[Sequence[Any]] = shown["rows"]
    turned = _better_turned(columns, rows)
    if turned:
        lines = [[column, *cells] for column, *cells in zip(columns, *rows, strict=True)]
        columns, rows = [str(cell) for cell in lines[0]], lines[1:]
    numeric = [any(_is_number(row[index]) for row in rows) for index in range(len(columns))]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{text(column)}</th>'
        for column, number in zip(columns, numeric, strict=True)
    )
    body = [_row(row, numeric, turned) for row in rows]
    note = f'<p class="soft">{text(shown["note"])}</p>' if shown.get("note") else ""
    caption = f"<caption>{text(shown['title'])}</caption>" if shown.get("title") else ""
    first, rest = body, body[:0]
    if len(body) > _LONG_TABLE and not turned:
        first, rest = body[:_OPEN_ROWS], body[_OPEN_ROWS:]
    more = fold(f"{len(rest)} more rows", _grid("", head, rest)) if rest else ""
    # Equal columns, each wide enough for a value and its interval.
    style = f' class="turned" style="min-width:{7 * len(columns):.0f}rem"' if turned else ""
    return _grid(caption, head, first, style) + more + note


def fold(summary: str, inner: str) -> str:
    """HTML that opens when its summary is pressed."""
    return f"<details><summary>{text(summary)}</summary>{inner}</details>"


def _row(row: Sequence[Any], numeric: Sequence[bool], turned: bool) -> str:
    """A turned row is named by what was a heading; text below numbers stands where they do."""
    first, *others = row
    shown = [f'<th scope="row">{text(first)}</th>' if turned else _cell(first)]
    for cell, number in zip(others, numeric[1:], strict=True):
        drawn = _cell(cell)
        shown.append(drawn.replace("<td>", '<td class="n">', 1) if turned and number else drawn)
    return f"<tr>{''.join(shown)}</tr>"


def _better_turned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    if not 0 < len(rows) <= _MOST_TURNED or len(columns) <= len(rows):
        return False
    upright = _upright(columns, rows)
    cells = [[_letters(cell) for cell in row] for row in rows]
    turned = _width([len(str(column)) for column in columns]) + sum(map(_width, cells))
    return upright > _WIDEST and turned < upright


def is_small(shown: Mapping[str, Any]) -> bool:
    """Whether a table can stand beside a chart."""
    return len(shown["rows"]) <= _SMALL_ROWS and (
        _upright(shown["columns"], shown["rows"], whole=True) <= _SMALL_WIDTH
    )


def _upright(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, whole: bool = False
) -> float:
    """About how many px the columns take at least; whole: when no cell breaks into lines."""
    # Headings wrap, so their longest word counts.
    heads: list[float] = [max(map(len, str(column).split()), default=0) for column in columns]
    cells = [[_letters(cell, whole) for cell in row] for row in rows]
    return sum(_width([head, *below]) for head, *below in zip(heads, *cells, strict=True))


def _width(letters: Sequence[float]) -> float:
    return _LETTER * max(letters, default=0) + _SIDES


def _letters(cell: Any, whole: bool = False) -> float:
    """How many letters of a cell stand on one line at least."""
    if isinstance(cell, Mapping) and "figure" in cell:
        value, interval = _rounded(Figure.from_json(cell["figure"]))
        lines = [len(value), _SMALLER * len(interval)]
    elif isinstance(cell, (int, float)):
        lines = [len(_number(cell))]
    else:
        lines = [len(word) for word in str("" if cell is None else cell).split()]
    return sum(lines) + len(lines) - 1 if whole and lines else max(lines, default=0)


def _grid(caption: str, head: str, rows: Sequence[str], style: str = "") -> str:
    return (
        f'<div class="scroll" tabindex="0"><table{style}>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def figures_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures with their intervals and counts."""
    rows = []
    for name, entry in figures.items():
        figure = Figure.from_json(entry)
        value, interval = _rounded(figure)
        interval = interval.strip("[]").replace(", ", " to ")
        rows.append([name, value if interval else figure.value, interval, figure.n])
    return table({"title": "", "columns": ["figure", "value", "95% interval", "n"], "rows": rows})


def chart(shown: Mapping[str, Any]) -> str:
    """A drawn chart with its title. It keeps its size where the window is narrower, and scrolls."""
    caption = f"<figcaption>{text(shown['title'])}</figcaption>"
    if shown["style"] == "funnel":
        return f'<figure class="whole">{caption}{funnel_html(shown)}</figure>'
    return f'<figure>{caption}<div class="drawn" tabindex="0">{chart_svg(shown)}</div></figure>'


def samples(shown: Mapping[str, Any], opened: int | None = None) -> str:
    """Examples as cards, or as columns side by side; all but the first `opened` are folded."""
    columns = shown.get("layout", "cards") == "columns"
    draw = _columns if columns else _card
    if opened is None:
        opened = _OPEN_COLUMNS if columns else _OPEN_SAMPLES
    cards = [draw(row) for row in shown["rows"]]
    head = f"<h4>{text(shown['title'])}</h4>"
    if shown.get("note"):
        head += f'<p class="soft">{text(shown["note"])}</p>'
    rest = cards[opened:]
    more = fold(f"{len(rest)} more", "".join(rest)) if rest else ""
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
        value, interval = _rounded(Figure.from_json(cell["figure"]))
        beside = f" <small>{text(interval)}</small>" if interval else ""
        return f'<td class="n">{text(value)}{beside}</td>'
    if isinstance(cell, bool):
        return f"<td>{'yes' if cell else 'no'}</td>"
    if isinstance(cell, (int, float)):
        return f'<td class="n">{_number(cell)}</td>'
    return f"<td>{text('' if cell is None else cell)}</td>"


def _rounded(figure: Figure) -> tuple[str, str]:
    """A value and its interval, both to two decimals, or as many as the interval's half width has
    before and with its first significant digit: more would say nothing."""
    low, high = figure.low, figure.high
    if low is None or high is None:
        return str(figure), ""
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return str(Figure(figure.value)), f"[{_number(low)}, {_number(high)}]"
    size = math.floor(math.log10(half))
    places = max(2, -size) if size < 0 else max(0, 1 - size)
    if places > _MOST_PLACES:
        return str(Figure(figure.value)), f"[{_number(low)}, {_number(high)}]"
    value, low_text, high_text = (f"{one:,.{places}f}" for one in (figure.value, low, high))
    return value, f"[{low_text}, {high_text}]"


def interval_text(figure: Figure) -> str:
    """A value with its interval, as tables have them."""
    return " ".join(part for part in _rounded(figure) if part)


def _number(value: float) -> str:
    if isinstance(value, int) or (value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
