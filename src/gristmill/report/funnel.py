"""The picture of a funnel: for each step a bar of what is left, and what each reason took.

Drawn narrow, with its words above the bars, so that it can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

MOST_REASONS: Final = 4
_LEFT, _SOFT, _OTHERS = "#1f5f8b", "#5b6770", "#b9c0c5"
_TOOK: Final = ("#c8553d", "#b58900", "#8a5a9e", "#4a7c3a")
_WIDTH, _LINE = 3.9, 0.2  # inches
_BAR: Final = 0.75  # of two lines


def draw_funnel(chart: Mapping[str, Any], canvas_type: Any) -> Any:
    """A matplotlib figure. Each series is a step: `y` what is left and what each reason took,
    `labels` a name for each, the first of no use."""
    steps: Sequence[Mapping[str, Any]] = chart["series"]
    shown = [_step(one) for one in steps]
    whole = max((left + sum(n for _, n in took) for left, took, _ in shown), default=0) or 1
    # A title, a bar of two lines, a line for each reason, and room.
    heights = [3.4 + len(took) for _, took, _ in shown]
    total = sum(heights)
    canvas = canvas_type(figsize=(_WIDTH, 0.15 + _LINE * total), layout="constrained")
    axes = canvas.add_subplot()
    axes.set_xlim(0, whole)
    axes.set_ylim(total, 0)
    axes.axis("off")
    top = 0.0
    first = None
    for one, (left, took, dropped), height in zip(steps, shown, heights, strict=True):
        came = left + dropped
        first = came if first is None else first
        share = f"{100 * left / first:.1f}%" if first else ""
        axes.text(0, top + 0.7, one["name"], va="center", fontsize=10.5, fontweight="bold")
        axes.text(
            whole, top + 0.7, f"{left:,.0f} left · {share}", va="center", ha="right", fontsize=10.5
        )
        place = top + 2.0
        axes.barh(place, left, 2 * _BAR, color=_LEFT)
        begin = left
        for number, (name, count) in enumerate(took):
            colour = _TOOK[number] if number < len(_TOOK) else _OTHERS
            axes.barh(place, count, 2 * _BAR, left=begin, color=colour)
            begin += count
            line = top + 3.25 + number
            axes.barh(line, 0.02 * whole, 0.62, left=0.02 * whole, color=colour)
            # A pair of dollars would be read as a formula.
            said = str(name).replace("$", r"\$")
            axes.text(0.06 * whole, line, said, va="center", fontsize=9.5, color=_SOFT)
            axes.text(
                whole, line, f"−{count:,.0f}", va="center", ha="right", fontsize=9.5, color=_SOFT
            )
        top += height
    return canvas


def _step(one: Mapping[str, Any]) -> tuple[float, list[tuple[str, float]], float]:
    """What is left, the reasons that took most (the others as one), and what they took in all."""
    left, *counts = (float(value) for value in one["y"])
    named = sorted(
        zip(one["labels"][1:], counts, strict=True), key=lambda item: (-item[1], item[0])
    )
    took = [(str(name), count) for name, count in named if count > 0]
    rest = took[MOST_REASONS:]
    if len(rest) > 1:
        said = f"{len(rest)} other reasons"
        took = [*took[:MOST_REASONS], (said, sum(count for _, count in rest))]
    return left, took, sum(counts)
