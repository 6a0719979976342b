"""`diff A B`: two artifacts or two workspaces beside each other."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from rich.console import Console

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.present import console
from gristmill.cli.talk import printable
from gristmill.core.artifact import MANIFEST, Artifact
from gristmill.core.canonical import write_text_atomic
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.core.nearest import did_you_mean
from gristmill.stages.difference import (
    Curve,
    Difference,
    FigureDifference,
    at_common_places,
    brief,
    compare,
    compare_nodes,
)
from gristmill.stages.workspace import Workspace

_HELP = """gristmill diff A B [--workspace DIR] [--node NAME] [--html FILE] [--json]

Two artifacts beside each other: where their lineages part, settings, counts,
figures with their difference and whether the intervals overlap, curves, and
samples for the same prompts. Two workspaces are compared node by node.

A and B are folders of artifacts, folders of workspaces, or names in
--workspace: a node (train.dpo) or the first letters of an artifact's folder.

  --workspace DIR   where names are looked up (runs/demo)
  --node NAME       of two workspaces, this node alone
  --html FILE       writes a page, with both curves in one chart
  --json            for programs

example
  gristmill diff train.sft train.dpo --workspace runs/demo
  gristmill diff runs/demo runs/other --node train.lm --html diff.html"""

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40
_ROWS = 4


def diff(arguments: list[str]) -> int:
    """Compares and prints."""
    flags = parse_flags(
        arguments,
        options=("workspace", "node", "html"),
        switches=("help", "json"),
        settings=False,
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    if len(flags.words) != 2:
        raise GristmillError("two things are wanted", mend="see gristmill diff --help")
    a, b = (_named(word, flags) for word in flags.words)
    if isinstance(a, Workspace) and isinstance(b, Workspace) and "node" not in flags.options:
        return _workspaces(a, b, flags)
    first, second = (_artifact(one, flags) for one in (a, b))
    found = compare(first, second)
    if "html" in flags.options:
        _write_page([(first.stage, found)], flags)
    if flags.on("json"):
        print(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        print_difference(found, console())
    return 0


def print_difference(found: Difference, out: Console) -> None:
    """Everything that differs, at 80 columns."""
    for letter, artifact in (("A", found.a), ("B", found.b)):
        made = artifact.manifest.created[:16].replace("T", " ")
        seconds = artifact.manifest.seconds
        out.print(
            f"{letter}  {artifact.path}\n   {artifact.kind}, made {made}, {seconds:.1f} s",
            markup=False,
            soft_wrap=True,
        )
    if found.same:
        out.print("Both hold the same content.", style="bold")
    _part("Where they part", out, bool(found.partings))
    for parting in found.partings:
        if parting.path:
            out.print(f"  by way of {parting.path}", markup=False, soft_wrap=True)
            out.print(f"    {parting.a} | {parting.b}", markup=False, soft_wrap=True)
        else:
            out.print("  in what they are made with")
        for why in parting.why:
            _wrapped(why, out, "    ")
    # Where they part here, the settings were told.
    settings = [] if any(not parting.path for parting in found.partings) else found.settings
    _part("Settings", out, bool(settings))
    for key, x, y in settings:
        _wrapped(f"{key}: {brief(x)} and {brief(y)}", out, "  ")
    changed = [(name, x, y) for name, x, y in found.counts if x != y]
    _part("Counts", out, bool(changed))
    for name, count_a, count_b in changed:
        delta = f"{count_b - count_a:+,}" if count_a is not None and count_b is not None else ""
        out.print(
            f"  {name:<30} {_count(count_a):>14} {_count(count_b):>14} {delta:>14}", markup=False
        )
    _print_figures(found.figures, out)
    moved = [curve for curve in found.curves if curve.a != curve.b]
    _part("Curves", out, bool(found.curves))
    for curve in moved:
        _print_curve(curve, out)
    if len(moved) < len(found.curves):
        out.print(f"  equal curves: {len(found.curves) - len(moved)}", style="dim")
    for group in found.samples:
        _part(group.title, out, True)
        rows = [row for row in group.rows if row[1] != row[2]]
        for prompt, x, y in rows[:_ROWS]:
            _wrapped(prompt, out, "  ", lines=2, style="bold")
            _wrapped(x, out, "  A  ", lines=3)
            _wrapped(y, out, "  B  ", lines=3)
        if len(rows) > _ROWS:
            out.print(f"  and {len(rows) - _ROWS} more: --json or --html", style="dim")
        if len(rows) < len(group.rows):
            out.print(f"  equal answers: {len(group.rows) - len(rows)}", style="dim")


def _print_figures(figures: list[FigureDifference], out: Console) -> None:
    changed = [one for one in figures if one.difference != 0]
    _part("Figures (A, B, B - A, intervals)", out, bool(figures))
    for one in changed:
        word = {True: "apart", False: "overlap", None: ""}[one.apart]
        delta = "" if one.difference is None else f"{one.difference:+.4g}"
        values = [_figure(one.a), _figure(one.b), delta, word]
        line = "  ".join(value for value in values if value)
        if len(one.name) + len(line) + 6 <= 80:
            out.print(f"  {one.name}  {line}", markup=False)
        else:
            out.print(f"  {one.name}\n      {line}", markup=False)
    if len(changed) < len(figures):
        out.print(f"  equal figures: {len(figures) - len(changed)}", style="dim")


def _print_curve(curve: Curve, out: Console) -> None:
    out.print(f"  {curve.title}: {curve.name}, {curve.y_label}, by {curve.x_label}", markup=False)
    every = [y for _, y in (*curve.a, *curve.b)]
    low, high = min(every), max(every)
    left = min(curve.a[0][0], curve.b[0][0])
    right = max(curve.a[-1][0], curve.b[-1][0])
    for letter, points in (("A", curve.a), ("B", curve.b)):
        drawn = sparkline(points, (left, right), (low, high))
        out.print(f"    {letter} {drawn}  {points[0][1]:.4g} to {points[-1][1]:.4g}", markup=False)
    places = at_common_places(curve, 5)
    if places:
        for name, index in (("at", 0), ("A", 1), ("B", 2)):
            cells = "".join(f"{_short(place[index]):>12}" for place in places)
            out.print(f"    {name:<3}{cells}", markup=False, style="dim" if not index else None)


def sparkline(
    points: tuple[tuple[float, float], ...], xs: tuple[float, float], ys: tuple[float, float]
) -> str:
    """A row of bars over `xs`, as high as the mean of the points of each cell within `ys`."""
    sums: list[list[float]] = [[] for _ in range(_WIDTH)]
    for x, y in points:
        share = (x - xs[0]) / (xs[1] - xs[0]) if xs[1] > xs[0] else 0.0
        sums[min(_WIDTH - 1, int(share * _WIDTH))].append(y)
    drawn, last = "", " "
    end = max(index for index, cell in enumerate(sums) if cell)
    for index, cell in enumerate(sums):
        if cell:
            height = (sum(cell) / len(cell) - ys[0]) / (ys[1] - ys[0]) if ys[1] > ys[0] else 0.0
            last = _BARS[min(7, int(8 * height))]
        drawn += last if index <= end else " "
    return drawn


def _workspaces(a: Workspace, b: Workspace, flags: Flags) -> int:
    rows, only_a, only_b = compare_nodes(a.nodes(), b.nodes())
    different = [(name, found) for name, found in rows if found is not None]
    if "html" in flags.options:
        _write_page(different, flags)
    if flags.on("json"):
        told: dict[str, Any] = {
            "same": [name for name, found in rows if found is None],
            "different": {name: found.to_json() for name, found in different},
            "only_a": only_a,
            "only_b": only_b,
        }
        print(json.dumps(told, ensure_ascii=False))
        return 0
    out = console()
    out.print(f"A  {a.path}\nB  {b.path}", markup=False, soft_wrap=True)
    for name, found in rows:
        out.print(f"  {name:<24} {_in_short(found)}", markup=False, overflow="ellipsis")
    for letter, names in (("A", only_a), ("B", only_b)):
        for name in names:
            out.print(f"  {name:<24} only in {letter}", markup=False)
    for name, found in different:
        # A stage that only had other inputs is told of by the list; its figures may differ.
        if found.settings or any(one.difference for one in found.figures):
            out.print(f"\n{name}", style="bold reverse", markup=False)
            print_difference(found, out)
    return 0


def _in_short(found: Difference | None) -> str:
    if found is None:
        return "same"
    told = ["same content" if found.same else "differs"]
    if found.settings:
        told.append("settings: " + ", ".join(key for key, _, _ in found.settings[:3]))
    apart = sum(one.apart is True for one in found.figures)
    if apart:
        told.append(f"{apart} figure{'' if apart == 1 else 's'} apart")
    return "; ".join(told)


def _write_page(differences: list[tuple[str, Difference]], flags: Flags) -> None:
    from gristmill.stages.difference_page import difference_page

    path = Path(flags.text("html", ""))
    if not path.parent.is_dir():
        raise GristmillError("no such folder", where=path.parent, mend="give --html a path in one")
    names = ("A", "B")
    about = f"A is {flags.words[0]}, B is {flags.words[1]}."
    write_text_atomic(path, difference_page("Beside each other", about, differences, names))
    if not flags.on("json"):
        console().print(f"written: {path}", markup=False, soft_wrap=True)


def _named(word: str, flags: Flags) -> Artifact | Workspace:
    path = Path(word)
    if (path / MANIFEST).is_file():
        return Artifact.open(path)
    if (path / "artifacts").is_dir():
        return Workspace.at(path, create=False)
    place = Path(flags.text("workspace", "runs/demo"))
    if not place.is_dir():
        raise GristmillError(
            f"'{word}' is no artifact and no workspace",
            where=place,
            mend="give a folder, or a node's name and --workspace DIR",
        )
    return Workspace.at(place, create=False).named(word)


def _artifact(given: Artifact | Workspace, flags: Flags) -> Artifact:
    if isinstance(given, Artifact):
        return given
    name = flags.text("node", "")
    if not name:
        raise GristmillError(
            "a workspace stands beside an artifact", mend="give --node NAME to take one of it"
        )
    nodes = given.nodes()
    if name not in nodes:
        raise GristmillError(
            f"no node '{name}'", where=given.path, mend=did_you_mean(name, [*nodes])
        )
    return nodes[name]


def _part(title: str, out: Console, there: bool) -> None:
    if there:
        out.print()
        out.print(title, style="bold", markup=False)


def _wrapped(
    text: str, out: Console, lead: str, *, lines: int | None = None, style: str | None = None
) -> None:
    shown = textwrap.wrap(
        " ".join(printable(text).split()),
        79,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        max_lines=lines,
        placeholder=" ...",
    )
    out.print("\n".join(shown or [lead.rstrip()]), markup=False, style=style)


def _figure(figure: Figure | None) -> str:
    return "absent" if figure is None else str(figure)


def _count(count: int | None) -> str:
    return "absent" if count is None else f"{count:,}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
