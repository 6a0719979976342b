"""Charts drawn as SVG text that stands inside the report.

Colours are CSS variables that the page's light and dark themes set (page.css); where no page sets
them, the fallback beside each is the light theme's.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

COLOURS = ("#1f5f8b", "#c8553d", "#4a7c3a", "#8a5a9e", "#b58900", "#5b6770", "#2aa198", "#a23b72")
_INK, _GRID = "#33383d", "#dfe3e6"
_VARIABLES = {colour: f"--c{place}" for place, colour in enumerate(COLOURS)} | {
    _INK: "--chart-ink",
    _GRID: "--chart-grid",
}
"""What page.css calls each colour."""
_MOST_LETTERS = 70  # that names along the x axis have together while they lie flat
_BESIDE = 0.12
_FORMATS = {"": "o-", "dots": "o", "hollow": "o", "line": "-"}


def chart_svg(chart: Mapping[str, Any]) -> str:
    """An `<svg>` element for a chart as `presentation.json` holds it (core.figure.Chart)."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": str(chart["title"]),
        "font.family": "sans-serif",
        "font.size": 10.5,
        "axes.edgecolor": _GRID,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "text.color": _INK,
    }
    with matplotlib.rc_context(settings):
        if chart["style"] == "bar":
            canvas = _bars(chart, Canvas)
        elif chart["style"] == "points":
            canvas = _points(chart, Canvas)
        else:
            canvas = _curves(chart, Canvas)
        buffer = io.StringIO()
        canvas.savefig(
            buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
        )
    return _inline(buffer.getvalue(), str(chart["title"]))


def _curves(chart: Mapping[str, Any], canvas_type: Any) -> Any:
    canvas = canvas_type(figsize=(7.2, 3.0), layout="constrained")
    axes = canvas.add_subplot()
    for index, series in enumerate(chart["series"]):
        colour = COLOURS[index % len(COLOURS)]
        x, y = _numbers(series["x"]), _numbers(series["y"])
        if chart["style"] == "scatter":
            axes.plot(x, y, "o", color=colour, markersize=4, alpha=0.7, label=series["name"])
        else:
            axes.plot(x, y, color=colour, linewidth=1.7, label=series["name"])
        if series.get("low") is not None and series.get("high") is not None:
            axes.fill_between(
                x, _numbers(series["low"]), _numbers(series["high"]), color=colour, alpha=0.15, lw=0
            )
    if chart.get("log_x"):
        axes.set_xscale("log")
    if chart.get("log_y"):
        _log_y(axes)
    axes.set_xlabel(chart["x_label"])
    axes.set_ylabel(chart["y_label"])
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(chart["series"]) > 1:
        axes.legend(frameon=False, fontsize=9.5)
    return canvas


def _points(chart: Mapping[str, Any], canvas_type: Any) -> Any:
    """Marks with bars for their intervals and names beside them; panels share the x axis.

    A series of one name has one colour in every panel. Where x only counts named things, their
    names stand along the axis.
    """
    series = chart["series"]
    panels = list(dict.fromkeys(str(one.get("panel") or "") for one in series)) or [""]
    names = list(dict.fromkeys(one["name"] for one in series))
    canvas = canvas_type(figsize=(7.2, 1.1 + 2.2 * len(panels)), layout="constrained")
    rows = canvas.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    places = _places(chart)
    legend: dict[str, Any] = {}
    for axes, panel in zip(rows, panels, strict=True):
        for one in series:
            if str(one.get("panel") or "") != panel:
                continue
            colour = COLOURS[names.index(one["name"]) % len(COLOURS)]
            x, y = _numbers(one["x"]), _numbers(one["y"])
            low, high = one.get("low"), one.get("high")
            error = None
            if low is not None and high is not None:
                error = [
                    [max(0.0, v - a) for v, a in zip(y, _numbers(low), strict=True)],
                    [max(0.0, b - v) for v, b in zip(y, _numbers(high), strict=True)],
                ]
            mark = str(one.get("mark") or "")
            if mark == "line" and low is not None and high is not None:
                axes.fill_between(x, _numbers(low), _numbers(high), color=colour, alpha=0.12, lw=0)
                error = None
            drawn = axes.errorbar(
                x, y, yerr=error, color=colour, fmt=_FORMATS[mark], markersize=5, linewidth=1.2,
                elinewidth=1.0, capsize=2.5, markerfacecolor="none" if mark == "hollow" else colour,
            )  # fmt: skip
            if mark != "hollow" or one["name"] not in legend:
                legend[one["name"]] = drawn
            beside = () if places else one.get("labels") or ()
            for place, value, label in zip(x, y, beside, strict=False):
                # A pair of dollars in a label would be read as a formula.
                axes.annotate(
                    str(label).replace("$", r"\$"), (place, value), xytext=(5, 5),
                    textcoords="offset points", fontsize=9, color=colour,
                )  # fmt: skip
        if chart.get("log_x"):
            axes.set_xscale("log")
        if chart.get("log_y"):
            _log_y(axes)
        axes.set_ylabel(panel or chart["y_label"])
        axes.margins(x=0.08, y=0.12)
        axes.grid(color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if places:
        crowded = sum(len(name) for name in places) > _MOST_LETTERS
        rows[-1].set_xticks(
            range(1, len(places) + 1), [name.replace("$", r"\$") for name in places],
            rotation=30 if crowded else 0, ha="right" if crowded else "center",
        )  # fmt: skip
        rows[-1].set_xlim(0.5, len(places) + 0.5)
    rows[-1].set_xlabel(chart["x_label"])
    if len(names) > 1:
        canvas.legend(
            list(legend.values()), list(legend), loc="outside upper center",
            ncols=min(4, len(names)), frameon=False, fontsize=9.5,
        )  # fmt: skip
    return canvas


def _places(chart: Mapping[str, Any]) -> list[str]:
    """The names of places 1, 2, 3, ... where x is nothing but the number of a named thing (a hair
    beside it, so that intervals do not cover each other); nothing where x is a quantity."""
    named: dict[int, set[str]] = {}
    for one in chart["series"]:
        x = _numbers(one["x"])
        labels = [str(label) for label in one.get("labels") or ()]
        if any(not math.isfinite(value) or abs(value - round(value)) > _BESIDE for value in x):
            return []
        # One series may name the places for all.
        for value, label in zip(x, labels or [""] * len(x), strict=False):
            named.setdefault(round(value), set()).update({label} if label else ())
    names = [label for place in sorted(named) for label in named[place]]
    counted = sorted(named) == list(range(1, len(named) + 1)) and len(named) > 1
    one_each = all(len(found) == 1 for found in named.values()) and len(set(names)) == len(names)
    return names if counted and one_each and not chart.get("log_x") else []


def _log_y(axes: Any) -> None:
    """A logarithmic y axis; within a decade its ticks are plain numbers: 4.2, not 4.2 x 10^0."""
    from matplotlib.ticker import FuncFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if low > 0 and high < 10 * low:
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(plain)
        axes.grid(which="both", axis="y", color=_GRID, linewidth=0.7)


def _bars(chart: Mapping[str, Any], canvas_type: Any) -> Any:
    """Horizontal bars, first category on top; several series stand beside each other.

    The values run along x here, so the label of y stands below.
    """
    names = [str(name) for name in chart["categories"]]
    series = chart["series"]
    thickness = 0.78 / max(1, len(series))
    canvas = canvas_type(
        figsize=(7.2, 0.7 + 0.34 * len(names) * max(1.0, 0.6 * len(series))), layout="constrained"
    )
    axes = canvas.add_subplot()
    ends = [
        v
        for one in series
        for key in ("y", "low", "high")
        for v in _numbers(one.get(key) or ())
        if v == v
    ]
    left, right = min(0.0, *ends, 0.0), max(0.0, *ends, 0.0)
    span = (right - left) or 1.0
    for index, one in enumerate(series):
        values = _numbers(one["y"])
        offset = (index - (len(series) - 1) / 2) * thickness
        places = [row + offset for row in range(len(values))]
        low, high = one.get("low"), one.get("high")
        error = None
        if low is not None and high is not None:
            error = [
                [max(0.0, v - a) for v, a in zip(values, _numbers(low), strict=True)],
                [max(0.0, b - v) for v, b in zip(values, _numbers(high), strict=True)],
            ]
        axes.barh(
            places,
            values,
            thickness * 0.92,
            color=COLOURS[index % len(COLOURS)],
            label=one["name"],
            xerr=error,
            ecolor=_INK,
        )
        beyond = (
            values
            if high is None
            else [max(v, h) for v, h in zip(values, _numbers(high), strict=True)]
        )
        for place, value, end in zip(places, values, beyond, strict=True):
            axes.text(
                max(0.0, end) + span * 0.01,
                place,
                _short(value),
                va="center",
                fontsize=9,
                color=_INK,
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(left - (0.05 * span if left < 0 else 0.0), right + 0.14 * span)
    axes.set_xlabel(chart["y_label"])
    axes.tick_params(left=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=9.5)
    return canvas


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _inline(svg: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<=style=")[^"]*', lambda style: _themed(style[0]), svg)
    # Several charts share one page: their inner names must not meet.
    prefix = f"c{hash_text(title) % 10**8}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(xlink:href="|href="|url\()#', rf"\1#{prefix}", svg)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%"', svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title, quote=True)}"', 1)


def _themed(style: str) -> str:
    """Colours as the page's variables, with the colour itself where the page has none."""
    return re.sub(
        r"((?:fill|stroke): )(#[0-9a-f]{6})",
        lambda at: f"{at[1]}var({_VARIABLES[at[2]]}, {at[2]})" if at[2] in _VARIABLES else at[0],
        style,
    )


def hash_text(text: str) -> int:
    """A hash of text that is the same in every process."""
    return zlib.crc32(text.encode())
