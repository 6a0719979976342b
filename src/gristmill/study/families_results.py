"""What a comparison of families shows: lines, predictions, and what they allow to say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.scaling.points import Point
from gristmill.study.family_lines import FamilyLine, difference
from gristmill.study.grid import Axis
from gristmill.study.sweep_results import by_setting, mean_loss, millions

_CURVE = 40
_AXES: dict[Axis, tuple[str, str]] = {
    "non_embedding": ("non-embedding parameters", "N"),
    "parameters": ("parameters", "N"),
    "flops": ("FLOPs", "C"),
}
# Two families at one size: shapes come in steps.
_NEAR_SIZE, _NEAR_TOKENS = 1.25, 1.05


def lines_table(lines: Sequence[FamilyLine], axis: Axis, reference: float) -> Table:
    """Slope and intercept of each family."""
    name, _ = _AXES[axis]
    rows: list[list[Any]] = [
        [line.family, line.slope, line.intercept, line.level, len(line.fitted)] for line in lines
    ]
    return Table(
        f"log loss over log {name}",
        ["", "slope", "intercept", f"loss at {_short(reference)}", "runs"],
        rows,
        "Least squares with 95% intervals (Student's t). The intercept, log10 of the loss at one "
        f"{'FLOP' if axis == 'flops' else 'parameter'}, lies far outside the runs. "
        + _which(lines, axis),
    )


def predictions_table(lines: Sequence[FamilyLine], axis: Axis) -> Table:
    """Each family's largest run, predicted from the others."""
    name, _ = _AXES[axis]
    rows: list[list[Any]] = [
        [
            line.family,
            line.predicted,
            round(line.measured, 4),
            _percent(line.error),
            _short(line.place(line.held_out[0])),
        ]
        for line in lines
    ]
    return Table(
        f"The largest run, held out of the fit and predicted from {name}",
        ["", "predicted", "measured", "error", "at"],
        rows,
        "Interval: 95% for one new run. Error: predicted over measured, less 1.",
    )


def pairs_table(runs: Mapping[str, Sequence[Point]]) -> Table:
    """Settings of the first two families that are alike in parameters and tokens."""
    first, second = list(runs)[:2]
    rows: list[list[Any]] = []
    for group in sorted(by_setting(runs[first]), key=lambda g: (g[0].tokens, g[0].parameters)):
        here = group[0]
        near = [
            other
            for other in by_setting(runs[second])
            if _ratio(other[0].parameters, here.parameters) <= _NEAR_SIZE
            and _ratio(other[0].tokens, here.tokens) <= _NEAR_TOKENS
        ]
        if near:
            other = min(near, key=lambda g: _ratio(g[0].parameters, here.parameters))
            mine, theirs = mean_loss(group), mean_loss(other)
            rows.append(
                [
                    f"{millions(here.parameters)}, {millions(other[0].parameters)}",
                    int(here.tokens),
                    round(mine, 4),
                    round(theirs, 4),
                    round(theirs - mine, 4),
                ]
            )
    return Table(
        "At equal parameters and tokens",
        ["parameters", "tokens", first, second, "difference"],
        rows,
        f"Held-out loss in nats a token, means over seeds; a positive difference: {first} is "
        "better. Parameters are all of them.",
    )


def lines_chart(lines: Sequence[FamilyLine], axis: Axis) -> Chart:
    """Runs, line with its band, and the held-out run as a ring."""
    name, _ = _AXES[axis]
    series: list[Series] = []
    for line in lines:
        place = line.place
        groups = by_setting(line.fitted)
        ends = [place(p) for p in (*line.fitted, *line.held_out)]
        x = [float(value) for value in np.geomspace(min(ends), max(ends), _CURVE)]
        curve = [line.at(value) for value in x]
        known = curve[0].low is not None
        series += [
            Series(
                line.family,
                x,
                [figure.value for figure in curve],
                [figure.low or 0.0 for figure in curve] if known else None,
                [figure.high or 0.0 for figure in curve] if known else None,
                mark="line",
            ),
            Series(
                line.family,
                [place(group[0]) for group in groups],
                [mean_loss(group) for group in groups],
                mark="dots",
            ),
            Series(line.family, [place(line.held_out[0])], [line.measured], mark="hollow"),
        ]
    return Chart(
        f"Held-out loss over {name}: lines without the largest run (ring), 95% for a new run",
        name,
        "loss, nats a token",
        series,
        style="points",
        log_x=True,
        log_y=True,
    )


def plain_words(lines: Sequence[FamilyLine], axis: Axis, reference: float) -> list[str]:
    """What the intervals allow to say, in sentences."""
    name, letter = _AXES[axis]
    words = [
        f"Over {name}: "
        + "; ".join(f"{line.family} loss ~ {letter}^{line.slope}" for line in lines)
        + "."
    ]
    if len(lines) > 1:
        words.append(_slopes(lines[0], lines[1], name))
        words.append(_levels(lines[0], lines[1], reference, name))
    words += [_prediction(line) for line in lines]
    words += [sentence for line in lines if (sentence := _offset(line))]
    return words


def _slopes(first: FamilyLine, second: FamilyLine, name: str) -> str:
    between = difference(first.slope, second.slope)
    if between.low is None or between.high is None:
        return "With so few runs the slopes have no intervals: which is steeper is not known."
    if between.low <= 0 <= between.high:
        return (
            f"The slopes differ by {between}, which holds 0: these runs do not tell which family "
            f"gains more from more {name}."
        )
    steeper, other = (first, second) if between.value < 0 else (second, first)
    return (
        f"The slopes differ by {between}: among these runs {steeper.family} gains more from more "
        f"{name} than {other.family}."
    )


def _levels(first: FamilyLine, second: FamilyLine, reference: float, name: str) -> str:
    between = difference(first.log_level, second.log_level)
    at = f"At {_short(reference)} {name}"
    if between.low is None or between.high is None:
        times = math.exp(between.value)
        return f"{at} {first.family} has {times:.3f} times the loss of {second.family}."
    value, low, high = (math.exp(v) - 1 for v in (between.value, between.low, between.high))
    ratio = Figure(value, low, high)
    if between.low <= 0 <= between.high:
        return (
            f"{at} the loss of {first.family} is {_percent(ratio)} against {second.family}: these "
            "runs do not tell which is better there."
        )
    word = "lower" if between.value < 0 else "higher"
    return (
        f"{at} the loss of {first.family} is {word} than that of {second.family}: "
        f"{_percent(ratio)}."
    )


def _prediction(line: FamilyLine) -> str:
    x = line.place(line.held_out[0])
    reach = x / max(line.place(point) for point in line.fitted)
    where = {
        True: "inside the interval",
        False: "outside the interval: the line does not reach so far",
        None: "two settings give no interval",
    }[line.inside]
    return (
        f"The largest {line.family} run ({_short(x)} {_AXES[line.axis][0]}, {reach:.2g} times the "
        f"next) was held out: predicted {line.predicted}, measured {line.measured:.4g}, error "
        f"{_percent(line.error)}, {where}."
    )


def _offset(line: FamilyLine) -> str:
    if line.offset is None:
        return ""
    E = line.offset.figures()["E"]
    head = f"{line.family}, with an offset (a loss that no size goes below):"
    if line.offset_is_identified:
        return f"{head} {E} nats. The runs bend: the line will not hold far beyond them."
    if E.value < 0.001:
        return f"{head} none is found. The runs show no bend."
    return f"{head} {E} nats, which these runs do not identify."


def _which(lines: Sequence[FamilyLine], axis: Axis) -> str:
    if axis == "flops":
        return "Runs that no other of the family beats with as little compute."
    budgets = {point.tokens for line in lines for point in line.fitted}
    if len(budgets) == 1:
        return f"All runs on {budgets.pop():,.0f} tokens."
    return "Each size at its largest token budget."


def _percent(figure: Figure) -> str:
    text = f"{100 * figure.value:+.1f}%"
    if figure.low is not None and figure.high is not None:
        text += f" [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"
    return text


def _ratio(a: float, b: float) -> float:
    return max(a, b) / min(a, b)


def _short(value: float) -> str:
    return f"{value:.2g}" if value >= 1e9 else millions(value)
