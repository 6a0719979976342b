"""Measured values with their uncertainty, and the data of pictures.

Rooms return these; the report draws them. `figures.json` is flat: a dotted name to
`{"value": ..., "low": ..., "high": ..., "n": ...}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A measured value; `low` and `high` bound it (95% unless said otherwise), `n` counts cases."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None

    def to_json(self) -> dict[str, float | int]:
        """The entry of `figures.json`; what is unknown is left out."""
        entry = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        return {key: value for key, value in entry.items() if value is not None}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Figure:
        """The inverse of `to_json`."""
        return cls(entry["value"], entry.get("low"), entry.get("high"), entry.get("n"))

    def __str__(self) -> str:
        text = _short(self.value)
        if self.low is not None and self.high is not None:
            text += f" [{_short(self.low)}, {_short(self.high)}]"
        return text


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class Series:
    """One curve: y over x; `low` and `high` are an optional band of the same length.

    labels: a name for each point. panel: series of one panel share a y axis of that name; panels
    stand above each other over one x axis. mark, in charts of points: 'dots' that no line
    joins, 'hollow' the same as rings (what was left out of a fit), 'line' without marks, its bounds
    a band (the fit).
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    labels: Sequence[str] = ()
    panel: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Chart:
    """Curves or bars that share their axes.

    `style` is 'line', 'bar', 'scatter', or 'points': marks with bars for their intervals, joined;
    or 'funnel': a series is a step, its y what is left and what each reason took, its labels their
    names.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    style: str = "line"
    log_x: bool = False
    log_y: bool = False
    # For bars: the names along the x axis, one for each x.
    categories: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Table:
    """Rows under named columns; cells are text, numbers or Figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


def proportion(successes: int, n: int) -> Figure:
    """A share with its 95% Wilson score interval (Wilson 1927); nan where n is 0."""
    if n == 0:
        return Figure(math.nan, n=0)
    z = 1.959963984540054
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding leaves 1e-18 where the end is 0 or 1.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Figure(p, low, high, n)


def all_equal(value: float, cases: int, n: int, *, share: bool) -> Figure:
    """A mean whose cases are all equal, where a bootstrap would see no doubt.

    A share that is 0 or 1 gets Wilson's interval over the cases, anything else none. n: what is
    counted, such as pairs of which several are one case.
    """
    if not share or value not in (0.0, 1.0) or cases == 0:
        return Figure(value, n=n)
    wilson = proportion(round(value * cases), cases)
    return Figure(value, wilson.low, wilson.high, n)


def t_mean(values: Sequence[float]) -> Figure:
    """The mean with its 95% interval by Student's t (Student 1908); what is nan does not count.

    nan where nothing is left, no interval for one value.
    """
    known = [float(value) for value in values if not math.isnan(value)]
    n = len(known)
    if n == 0:
        return Figure(math.nan, n=0)
    centre = math.fsum(known) / n
    if n < 2:
        return Figure(centre, n=n)
    from scipy.special import stdtrit

    error = math.sqrt(math.fsum((value - centre) ** 2 for value in known) / (n - 1) / n)
    half = float(stdtrit(n - 1, 0.975)) * error
    return Figure(centre, centre - half, centre + half, n)


def precision_recall(
    true_positives: int, false_positives: int, false_negatives: int
) -> tuple[Figure, Figure]:
    """Precision and recall with Wilson intervals."""
    precision = proportion(true_positives, true_positives + false_positives)
    recall = proportion(true_positives, true_positives + false_negatives)
    return precision, recall


def figures_to_json(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | int]]:
    """The flat mapping of `figures.json`, sorted by name; what is not a number is left out."""
    known = sorted(name for name in figures if not math.isnan(figures[name].value))
    return {name: figures[name].to_json() for name in known}


def figures_from_json(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """The inverse of `figures_to_json`."""
    return {name: Figure.from_json(entry) for name, entry in entries.items()}


@dataclass(frozen=True)
class Samples:
    """Examples to read: each row maps a label (`url`, `reason`, `text`, ...) to text.

    layout: 'cards', or 'columns': the first label's text is a heading and the others stand side by
    side below it, one column for each label (what several models answered).
    """

    title: str
    rows: Sequence[Mapping[str, str]]
    note: str = ""
    layout: str = "cards"


def short_count(value: float) -> str:
    """1,234,000,000 as 1.23B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}" if value < 999.5e12 else f"{value / size:,.0f}{unit}"
    return f"{value:.3g}"
