"""What each step said of one page, in a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from gristmill.data.filters.limits import Judged

_NAME = 24
_NEAREST = 5
_TEXT_LINES = 3
_LONGEST = 400


def print_steps(told: Sequence[Mapping[str, Any]], out: Console, *, whole: bool = False) -> None:
    """What `gristmill.data.why.explain_page` returns. whole: every limit, not the nearest only."""
    for step in told:
        out.print(f"[bold]{escape(step['stage'])}[/bold]  {escape(step['said'])}")
        rules = [Judged(**one) for one in step.get("rules", ())]
        for name, value in step["numbers"].items():
            if name == "text":
                _text(str(value), out)
            # The limits say it with their numbers.
            elif name != "reasons_all" or not any(one.failed for one in rules):
                _line(name, _shown(value), out)
        _rules(rules, out, whole)


def _rules(rules: Sequence[Judged], out: Console, whole: bool) -> None:
    failed = [one for one in rules if one.failed]
    passed = [one for one in rules if not one.failed]
    shown = passed if whole else passed[:_NEAREST]
    width = max((len(one.rule) for one in [*failed, *shown]), default=0)
    if failed:
        out.print("    limits that it failed")
        for one in failed:
            _limit(one, width, out)
    if shown:
        rest = f", of {len(passed)}" if len(shown) < len(passed) else ""
        out.print(f"    limits that it kept, the nearest first{rest}")
        for one in shown:
            _limit(one, width, out)


def _limit(one: Judged, width: int, out: Console) -> None:
    out.print(f"     {one.rule:<{width}} {one.said()}", markup=False)


def _line(name: str, value: str, out: Console) -> None:
    head = f"    {name:<{_NAME}} "
    folded = textwrap.wrap(value, max(20, out.width - len(head)), break_on_hyphens=False) or [""]
    for place, line in enumerate(folded):
        out.print((head if not place else " " * len(head)) + line, markup=False, soft_wrap=True)


def _text(text: str, out: Console) -> None:
    joined = " ".join(text[: _TEXT_LINES * out.width].split())
    wrapped = textwrap.wrap(
        joined, max(20, out.width - 8), max_lines=_TEXT_LINES, placeholder=" ..."
    )
    for line in wrapped:
        out.print(f"      | {line}", markup=False, soft_wrap=True, style="dim")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))[:_LONGEST]
    return str(value)[:_LONGEST]
