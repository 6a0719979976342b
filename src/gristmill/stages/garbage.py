"""What can go from a workspace: nothing that a kept artifact was made from.

Kept are the artifacts that nodes name, those that are asked for by name, those that a workspace
beside this one was made from, and whatever any of these was made from, down to the first input.
The rest can go, with runs whose artifact is there and folders that a killed process left.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gristmill.core.artifact import MANIFEST, Artifact, artifact_name
from gristmill.core.canonical import read_json
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.core.run import ever_held, is_held
from gristmill.stages.workspace import Workspace

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9]+\.tmp")


@dataclass(frozen=True)
class Item:
    """Something that can go."""

    path: Path
    what: str
    """artifact, run or leftover."""
    why: str
    bytes: int


@dataclass
class Garbage:
    """What can go, in an order in which each step leaves whole what stays."""

    items: list[Item] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Artifacts that stay, by folder name, with the reason."""
    waiting: list[Item] = field(default_factory=list)
    """Unfinished runs without an artifact: the same command goes on from them. They stay."""
    problems: list[str] = field(default_factory=list)
    """Damaged and foreign things, left as they are."""
    held: list[str] = field(default_factory=list)
    """Runs that a process works on now."""

    @property
    def bytes(self) -> int:
        """What all that can go takes on the disk."""
        return sum(item.bytes for item in self.items)


@dataclass(frozen=True)
class _Found:
    """A folder that may be an artifact: what it was made from, or why that is not known."""

    path: Path
    needs: frozenset[str]
    """Names of artifacts of this workspace."""
    created: str
    problem: str = ""


def find_garbage(workspace: Workspace, keep: Sequence[str] = ()) -> Garbage:
    """What can go; changes nothing.

    keep: names of nodes or artifacts, or the first letters of one, that stay as if a node named
    them. Raises GristmillError for an unknown one or a folder that is no workspace,
    DamagedArtifact where the list of nodes cannot be read.
    """
    folder = workspace.artifacts_folder
    if not folder.is_dir() or folder.is_symlink():
        raise GristmillError(
            "no artifacts here", where=workspace.path, mend="give the folder of a workspace"
        )
    found = {path.name: _look(path, folder) for path in _folders(folder)}
    garbage = Garbage(problems=[one.problem for one in found.values() if one.problem])
    garbage.held = _held(workspace)
    roots = _roots(workspace, found, keep, garbage)
    _close(roots, found, garbage)
    unknown = [name for name in garbage.kept if found[name].problem]
    if unknown:
        # What it was made from cannot be read, so nothing is known to be unneeded.
        garbage.problems.append(
            f"{found[unknown[0]].path}: is kept, and what it needs is not known, so no artifact "
            "can go; delete that folder and run again, or mend it"
        )
    else:
        garbage.items += _artifacts_that_go(found, garbage.kept)
    going = {item.path.name for item in garbage.items}
    garbage.items = (
        _runs(workspace, found, garbage) + _leftovers(workspace, garbage) + garbage.items
    )
    assert not going & set(garbage.kept)
    return garbage


def collect(
    workspace: Workspace, garbage: Garbage, told: Callable[[Item], None] = lambda item: None
) -> int:
    """Deletes what `find_garbage` found; returns the bytes that it freed.

    Each folder is first renamed, so that an interrupted collection leaves whole artifacts and a
    leftover that the next one takes. Raises GristmillError, before the first or between two,
    where a process works in this workspace: it may be reading what would go.
    """
    freed = 0
    for item in garbage.items:
        busy = _held(workspace)
        if busy:
            raise GristmillError(
                f"a gristmill process is working on {busy[0]}",
                where=workspace.path,
                mend="wait for it, or stop it, and collect again",
            )
        _remove(workspace, item)
        freed += item.bytes
        told(item)
    return freed


def _remove(workspace: Workspace, item: Item) -> None:
    parent = item.path.parent
    if parent not in (workspace.artifacts_folder, workspace.path / "unfinished"):
        raise AssertionError(item.path)
    if item.path.is_symlink():
        raise GristmillError("a link is never followed", where=item.path)
    gone = item.path
    if item.what != "leftover":
        gone = parent / f".{item.path.name}.{os.getpid()}.tmp"
        item.path.rename(gone)
    shutil.rmtree(gone)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _look(path: Path, folder: Path) -> _Found:
    if path.is_symlink() or not path.is_dir():
        return _Found(path, frozenset(), "", f"{path}: is a file or a link, no artifact; it stays")
    if not (path / MANIFEST).is_file():
        return _Found(path, frozenset(), "", f"{path}: has no {MANIFEST}; it stays")
    try:
        artifact = Artifact.open(path)
    except DamagedArtifact as error:
        return _Found(path, frozenset(), "", error.one_line())
    refs = [ref for refs in artifact.manifest.inputs.values() for ref in refs]
    # As Artifact.resolve finds them: where they lay, or else beside it under their name.
    where = [Path(os.path.normpath(path / ref.path)) for ref in refs]
    names = {one.name for one in where if _same(one.parent, folder)}
    names |= {artifact_name(ref.stage, ref.key) for ref in refs}
    return _Found(path, frozenset(names), artifact.manifest.created)


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()


def _roots(
    workspace: Workspace, found: dict[str, _Found], keep: Sequence[str], garbage: Garbage
) -> dict[str, str]:
    roots = {}
    nodes = workspace.node_names()
    for node, name in nodes.items():
        if name in found:
            roots[name] = f"the node {node}"
    for wanted in keep:
        names = [nodes[wanted]] if wanted in nodes else [n for n in found if n.startswith(wanted)]
        if not names:
            raise GristmillError(
                f"no artifact '{wanted}' to keep",
                where=workspace.path,
                mend=did_you_mean(wanted, [*nodes, *found]),
            )
        roots.update((name, "asked for") for name in names if name not in roots)
    for name in garbage.held:
        if name in found:
            roots.setdefault(name, "a process works on it")
    for name, user in _needed_beside(workspace):
        if name in found:
            roots.setdefault(name, f"needed by {user}")
    return roots


def _needed_beside(workspace: Workspace) -> Iterable[tuple[str, str]]:
    """Artifacts of this workspace that those of a workspace beside it were made from."""
    here = workspace.artifacts_folder.resolve()
    for manifest in sorted(workspace.path.resolve().parent.glob(f"*/artifacts/*/{MANIFEST}")):
        path = manifest.parent
        if path.parent.resolve() == here:
            continue
        for ref in _input_paths(manifest):
            place = Path(os.path.normpath(path / ref))
            if _same(place.parent, here):
                yield place.name, f"{path.parent.parent.name}/{path.name}"


def _input_paths(manifest: Path) -> list[str]:
    """The paths of a manifest's inputs, read from one that may be damaged."""
    try:
        inputs: Any = read_json(manifest)["inputs"]
        return [str(ref["path"]) for refs in inputs.values() for ref in refs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _close(roots: dict[str, str], found: dict[str, _Found], garbage: Garbage) -> None:
    """Fills `kept`: the roots and all that they need."""
    waiting = list(roots.items())
    while waiting:
        name, why = waiting.pop()
        if name in garbage.kept or name not in found:
            continue
        garbage.kept[name] = why
        waiting += [(below, f"{name} was made from it") for below in found[name].needs]


def _artifacts_that_go(found: dict[str, _Found], kept: dict[str, str]) -> list[Item]:
    """What is not kept, each before what it was made from."""
    going = {name: one for name, one in found.items() if name not in kept and not one.problem}
    order: list[str] = []
    state: dict[str, bool] = {}
    for first in sorted(going):
        stack = [first]
        while stack:
            name = stack[-1]
            if name in state:
                stack.pop()
                if not state[name]:
                    state[name] = True
                    order.append(name)
                continue
            state[name] = False
            stack += [n for n in sorted(going[name].needs) if n in going and n not in state]
    return [
        Item(going[name].path, "artifact", "no node names it", _bytes(going[name].path))
        for name in reversed(order)
    ]


def _runs(workspace: Workspace, found: dict[str, _Found], garbage: Garbage) -> list[Item]:
    """Runs of dead processes whose artifact is there; the others go to `garbage.waiting`."""
    items = []
    folder = workspace.path / "unfinished"
    for path in _folders(folder) if folder.is_dir() and not folder.is_symlink() else []:
        if path.name in garbage.held or path.is_symlink() or not path.is_dir():
            continue
        if path.name in found and not found[path.name].problem:
            items.append(Item(path, "run", "its artifact is there", _bytes(path)))
        else:
            garbage.waiting.append(Item(path, "run", "would go on", _bytes(path)))
    return items


def _leftovers(workspace: Workspace, garbage: Garbage) -> list[Item]:
    items = []
    for folder in (workspace.artifacts_folder, workspace.path / "unfinished"):
        for path in sorted(folder.glob(".*.tmp")) if folder.is_dir() else []:
            match = _LEFTOVER.fullmatch(path.name)
            if not match or not path.is_dir() or path.is_symlink():
                continue
            if match["name"] not in garbage.held:
                items.append(Item(path, "leftover", "a process was killed", _bytes(path)))
    return items


def _held(workspace: Workspace) -> list[str]:
    """The names of the runs that a process works on now."""
    folder = workspace.path / "unfinished"
    return [name for name in ever_held(folder) if is_held(folder / name)]


def _bytes(folder: Path) -> int:
    """Bytes of the files below, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
