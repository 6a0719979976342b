"""`data inspect --near RULE`: documents on both sides of a limit of `data filter`."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gristmill.cli.flags import Flags
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.data.near import Near, Neighbour

_TAKEN = ("near", "count", "node", "seed", "workspace", "html", "json")
_EXCERPT_LINES = 3


def near(flags: Flags) -> int:
    """Prints them, or writes an HTML page."""
    wrong = next((name for name in flags.options if name not in _TAKEN), None)
    wrong = wrong or next(iter(flags.settings), None)
    if wrong is not None or flags.words:
        raise GristmillError(
            "does not go with --near",
            where=f"--{wrong}" if wrong else flags.words[0],
            mend=f"with it go {', '.join(f'--{name}' for name in _TAKEN[1:])}",
        )
    count = flags.number("count", 5)
    if count < 1:
        raise GristmillError("must be at least 1", where="--count")
    from gristmill.data.documents import DocumentSet
    from gristmill.data.near import near as find
    from gristmill.data.near import parse_near

    rule, limit = parse_near(flags.text("near", ""))
    documents = DocumentSet.open(_documents(flags))
    found = find(documents, rule, limit, count=count, seed=flags.number("seed", 0))
    if "html" in flags.options:
        from gristmill.report.near import near_page

        flags.write_html(near_page(found.to_json()))
    if flags.on("json"):
        print(json.dumps(found.to_json(), ensure_ascii=False))
    elif "html" not in flags.options:
        from gristmill.cli.present import console

        print_near(found, console())
    return 0


def _documents(flags: Flags) -> Artifact:
    """What `--node` names, else the newest filter's layer, else the newest documents."""
    if "node" in flags.options:
        word = flags.text("node", "")
        if (Path(word) / "manifest.json").is_file():
            return Artifact.open(Path(word))
        return Workspace.existing(flags.text("workspace", "runs/demo")).named(word)
    nodes = list(Workspace.existing(flags.text("workspace", "runs/demo")).nodes().values())
    filters = [one for one in nodes if one.stage == "data.filter"]
    fitting = filters or [one for one in nodes if one.kind in ("layer", "documents")]
    if not fitting:
        raise GristmillError(
            "this workspace has no documents", mend="give another with --workspace DIR"
        )
    return fitting[-1]


def print_near(found: Near, out: Console) -> None:
    """The limit, what other limits would do, and the documents on both sides."""
    from gristmill.cli.present import print_table
    from gristmill.data.filters.limits import number

    out.print(
        f"{found.rule}: dropped where the number is {found.fails} {number(found.limit)}",
        markup=False,
        style="bold",
    )
    how = ", counted anew from the texts" if found.recomputed else ""
    out.print(f"  {found.judged:,} of {found.documents:,} documents were judged{how}", markup=False)
    if not found.only:
        out.print("  a context decides beside the number: see the documents", markup=False)
    if found.quantiles:
        said = ", ".join(f"{float(q):.0%} {number(v)}" for q, v in found.quantiles.items())
        for line in textwrap.wrap(f"so many are below: {said}", out.width - 2):
            out.print(f"  {line}", markup=False)
    print_table(
        "Other limits",
        ("limit", "drops", "no other rule does", "kept more", "dropped more"),
        [
            (
                f"{number(move.limit)}{' *' if move.limit == found.limit else ''}",
                move.drops,
                move.alone,
                move.kept_more,
                move.dropped_more,
            )
            for move in found.moves
        ],
        out,
        "kept more, dropped more: than now, by all rules together.",
    )
    for title, side in (("Dropped", found.failing), ("Kept by this rule", found.passing)):
        out.print(f"\n{title}, nearest first", style="bold")
        for one in side:
            _document(one, out)
        if not side:
            out.print("  none")


def _document(one: Neighbour, out: Console) -> None:
    from gristmill.data.filters.limits import number

    out.print(f"  {number(one.value)}  {one.url}", markup=False, soft_wrap=True)
    if one.reason:
        out.print(f"    dropped: {one.reason}", markup=False)
    text = " ".join(one.text[: 2 * _EXCERPT_LINES * out.width].split())
    for line in textwrap.wrap(text, out.width - 6, max_lines=_EXCERPT_LINES, placeholder=" ..."):
        out.print(f"    | {line}", markup=False, style="dim", soft_wrap=True)
