"""`gc`: what can go from a workspace, what it frees, and on request the deletion."""

from __future__ import annotations

import json

from gristmill.cli.flags import parse_flags
from gristmill.cli.present import bytes_text, console
from gristmill.core.errors import GristmillError
from gristmill.stages.garbage import Garbage, Item, collect, find_garbage
from gristmill.stages.workspace import Workspace

_HELP = """gristmill gc [--workspace DIR] [--keep NAME,...] [--delete] [--json]

Lists what can go from a workspace and what that frees: artifacts that no node
names and that nothing kept was made from, runs whose artifact is there, and
folders that a killed process left. Deletes nothing without --delete.

What a kept artifact was made from stays, down to the first page; so does what
a workspace in the same folder was made from. Workspaces elsewhere are not
seen: name what they need with --keep. Nothing goes while a process works in
the workspace, and nothing that is damaged.

  --keep NAME   nodes or artifacts that stay too, with all they were made from
  --delete      do it

example
  gristmill gc --workspace runs/demo
  gristmill gc --workspace runs/demo --keep train.lm-06fc --delete"""


def gc(arguments: list[str]) -> int:
    """Says what can go and, with --delete, removes it."""
    flags = parse_flags(
        arguments,
        options=("workspace", "keep"),
        switches=("help", "delete", "json"),
        settings=False,
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    if flags.words:
        raise GristmillError(f"'{flags.words[0]}' is not a flag", mend="see gristmill gc --help")
    workspace = Workspace.existing(flags.text("workspace", "runs/demo"))
    keep = [name for name in flags.text("keep", "").split(",") if name]
    garbage = find_garbage(workspace, keep)
    freed = collect(workspace, garbage) if flags.on("delete") else None
    if flags.on("json"):
        print(json.dumps(_json(garbage, freed), ensure_ascii=False))
    else:
        _print(garbage, freed)
    return 0


def _print(garbage: Garbage, freed: int | None) -> None:
    out = console()
    for item in garbage.items:
        out.print(
            f"{bytes_text(item.bytes):>9}  {item.what:<8}  {item.path.name}  ({item.why})",
            markup=False,
            soft_wrap=True,
        )
    for item in garbage.waiting:
        out.print(f"stays: {item.path.name}, unfinished, {bytes_text(item.bytes)}", markup=False)
    for name in garbage.held:
        out.print(f"stays: {name}, a process works on it", markup=False)
    for problem in garbage.problems:
        out.print(f"left alone: {problem}", markup=False, soft_wrap=True)
    count = len(garbage.items)
    things = "thing" if count == 1 else "things"
    kept = f"{len(garbage.kept)} artifacts stay"
    if not count:
        out.print(f"nothing can go; {kept}")
    elif freed is None and garbage.held:
        out.print(
            f"{count} {things}, {bytes_text(garbage.bytes)}, that no node names. While a process "
            f"works here nothing goes, and what it has just made may be among them; {kept}"
        )
    elif freed is None:
        out.print(f"{count} {things}, {bytes_text(garbage.bytes)}, can go with --delete; {kept}")
    else:
        out.print(f"{count} {things} deleted, {bytes_text(freed)} freed; {kept}")


def _json(garbage: Garbage, freed: int | None) -> dict[str, object]:
    def told(item: Item) -> dict[str, object]:
        return {
            "path": str(item.path), "what": item.what, "why": item.why, "bytes": item.bytes
        }  # fmt: skip

    return {
        "items": [told(item) for item in garbage.items],
        "bytes": garbage.bytes,
        "deleted": freed is not None,
        "kept": garbage.kept,
        "waiting": [told(item) for item in garbage.waiting],
        "held": garbage.held,
        "problems": garbage.problems,
    }
