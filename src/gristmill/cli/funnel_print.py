"""A funnel in the terminal: a bar for each step, and below it what each reason took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

_MOST_REASONS = 4
_MOST_NAME, _INDENT = 19, 2


def print_funnel(chart: Mapping[str, Any], out: Console) -> None:
    """A chart of style 'funnel' (core.figure.Chart)."""
    steps = chart["series"]
    widest = max((sum(map(float, one["y"])) for one in steps), default=0) or 1
    names = [str(one["name"]).removeprefix("data.")[:_MOST_NAME] for one in steps]
    margin = _INDENT + max(map(len, names), default=0) + 1
    # Behind the bar: a count and a share.
    room = max(10, min(out.width, 100) - margin - 20)
    first = sum(map(float, steps[0]["y"])) if steps else 0
    out.print(f"\n[bold]{escape(str(chart['title']))}[/bold]")
    for name, one in zip(names, steps, strict=True):
        left, *took = (float(value) for value in one["y"])
        dropped = sum(took)
        full = round(room * left / widest)
        gone = round(room * (left + dropped) / widest) - full
        share = f"{100 * left / first:5.1f}%" if first else ""
        bar = (
            f"{'█' * full}[red]{'░' * gone}[/red]" if out.color_system else "█" * full + "░" * gone
        )
        space = " " * (room - full - gone)
        out.print(
            f"{'':{_INDENT}}{escape(name):<{margin - _INDENT}}{bar}{space} {left:>10,.0f} {share}"
        )
        for line in _took(one["labels"][1:], took):
            out.print(f"{'':{margin}}[dim]{escape(line)}[/dim]", no_wrap=True, overflow="ellipsis")


def _took(labels: Any, counts: list[float]) -> list[str]:
    ranked = sorted(zip(counts, map(str, labels), strict=True), key=lambda one: (-one[0], one[1]))
    lines = [f"-{count:,.0f} {reason}" for count, reason in ranked if count]
    if len(lines) > _MOST_REASONS + 1:
        rest = ranked[_MOST_REASONS : len(lines)]
        total = sum(count for count, _ in rest)
        lines = [*lines[:_MOST_REASONS], f"-{total:,.0f} by {len(rest)} other reasons"]
    return lines
