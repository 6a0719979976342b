"""The picture of a funnel: for each step a bar of what is left, and what each reason took.

Drawn with boxes and words of the page itself, so that it fills a wide page, can be read on a phone
and follows the page's theme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

MOST_REASONS: Final = 4


def funnel_html(chart: Mapping[str, Any]) -> str:
    """A list of steps. Each series is a step: `y` what is left and what each reason took,
    `labels` a name for each, the first of no use."""
    steps: Sequence[Mapping[str, Any]] = chart["series"]
    shown = [_step(one) for one in steps]
    whole = max((left + dropped for left, _, dropped in shown), default=0) or 1
    first = shown[0][0] + shown[0][2] if shown else 0
    rows = []
    for one, (left, took, _) in zip(steps, shown, strict=True):
        share = f" · {100 * left / first:.1f}%" if first else ""
        counts = [("left", left), *((f"took{n}", count) for n, (_, count) in enumerate(took))]
        bar = "".join(
            f'<span class="{name}" style="width:{100 * count / whole:.3f}%"></span>'
            for name, count in counts
        )
        reasons = "".join(
            f'<li><span class="key took{number}"></span>{escape(name)} <b>−{count:,.0f}</b></li>'
            for number, (name, count) in enumerate(took)
        )
        rows.append(
            f'<li><p class="step"><b>{escape(str(one["name"]))}</b> '
            f"<span>{left:,.0f} left{share}</span></p>"
            f'<div class="bar">{bar}</div>'
            + (f'<ul class="took">{reasons}</ul>' if reasons else "")
            + "</li>"
        )
    return f'<ol class="funnel">{"".join(rows)}</ol>'


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
