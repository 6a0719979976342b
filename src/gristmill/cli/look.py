"""`ls`, `show`, `lineage`, `data why`: looking at what a workspace holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.present import bytes_text, console, print_table
from gristmill.cli.stage import artifact_json, tell_what_it_shows
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.registry import stage_by_verb
from gristmill.stages.workspace import Workspace, asked_for

_HELP = {
    "ls": "gristmill ls [--workspace DIR] [--json]\n\nThe artifacts of a workspace, oldest first."
    "\nAt the end of a line: study, made for a comparison; older, no node's newest."
    "\n\nexample\n  gristmill ls --workspace runs/demo",
    "show": "gristmill show ARTIFACT [--workspace DIR] [--verify] [--json]\n\nARTIFACT is a "
    "folder, a node's name (data.filter) or the first letters of a\nfolder's name. --verify "
    "hashes every file.\n\nexample\n  gristmill show data.filter --workspace runs/demo",
    "lineage": "gristmill lineage ARTIFACT [--workspace DIR] [--json]\n\nWhat an artifact was made "
    "from, down to the first input.\n\nexample\n  gristmill lineage train.lm --workspace runs/demo",
    "why": "gristmill data why URL [--workspace DIR] [--all] [--json]\n\nWhat each step said of "
    "one page, from the crawl to the training text, with the\nnumbers that decided: limits and how "
    "far the page was from them, scores, the\ncopy that was kept. --all shows every limit. The "
    "page beside its text, block by\nblock: gristmill data inspect URL. Documents on both sides of "
    "a limit:\ngristmill data inspect --near RULE.\n\nexample\n  gristmill data why "
    "http://atlas.example/places/minsk --workspace runs/demo",
}


def ls(arguments: list[str]) -> int:
    """Lists the artifacts of a workspace."""
    flags = _flags("ls", arguments)
    if flags is None:
        return 0
    if flags.words:
        raise GristmillError(
            f"'{flags.words[0]}' is not a flag",
            mend="give --workspace DIR; see gristmill ls --help",
        )
    workspace = _workspace(flags)
    artifacts = workspace.artifacts()
    if flags.on("json"):
        print(json.dumps([artifact_json(artifact) for artifact in artifacts], ensure_ascii=False))
        return 0
    nodes = workspace.nodes()
    names = {artifact.name: node for node, artifact in nodes.items()}
    asked = {a.name: "study" for a, _ in asked_for(list(nodes.values()))}
    rows = [
        (
            artifact.name,
            artifact.kind,
            bytes_text(sum(ref.bytes for ref in artifact.manifest.files.values())),
            f"{artifact.manifest.seconds:.1f} s",
            asked.get(artifact.name, "" if artifact.name in names else "older"),
        )
        for artifact in artifacts
    ]
    if not rows:
        print(f"{workspace.path} holds no artifacts yet")
        return 0
    columns = ["artifact", "kind", "size", "time", ""]
    print_table(str(workspace.path), columns, rows, console(), names=True)
    return 0


def show(arguments: list[str]) -> int:
    """Prints one artifact: its manifest's facts and what it gave for the report."""
    flags = _flags("show", arguments)
    if flags is None:
        return 0
    artifact = find_artifact(flags)
    if flags.on("verify"):
        artifact.verify()
    if flags.on("json"):
        print(json.dumps(artifact.manifest.model_dump(mode="json"), ensure_ascii=False))
        return 0
    manifest = artifact.manifest
    out = console()
    memory = bytes_text(manifest.peak_memory_bytes)
    out.print(f"{artifact.name}  {manifest.kind}, made {manifest.created}", markup=False)
    out.print(
        f"  {manifest.seconds:.1f} s, {manifest.cpu_seconds:.1f} CPU s, peak memory {memory}, "
        f"stage version {manifest.stage_version}, code {manifest.code_version}"
    )
    out.print(f"  content {manifest.content}")
    for name, refs in manifest.inputs.items():
        for ref in refs:
            out.print(f"  from {name}: {ref.stage}-{ref.key[:12]}", markup=False)
    for line in _changed_settings(artifact):
        out.print(f"  {line}", markup=False)
    for name, count in manifest.counts.items():
        out.print(f"  {count:>12,} {name}", markup=False)
    for file, sealed in list(manifest.files.items())[:20]:
        out.print(f"  {bytes_text(sealed.bytes):>12} {file}", markup=False)
    if len(manifest.files) > 20:
        out.print(f"  and {len(manifest.files) - 20} more files")
    if flags.on("verify"):
        out.print("  every file has the content that was sealed")
    tell_what_it_shows(artifact)
    return 0


def _changed_settings(artifact: Artifact) -> list[str]:
    """The settings that are not the default, `a.b: value`; all where the stage is not known."""
    config = artifact.manifest.config
    usual: dict[str, Any] = {}
    try:
        stage = stage_by_verb(artifact.stage.replace(".", " "))
        usual = stage.config.model_construct().model_dump(mode="json")
    except (GristmillError, ImportError):
        pass
    told = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in _flat(config)
        if dict(_flat(usual)).get(name, ...) != value
    ]
    if not told:
        return ["settings: the defaults (all: --json)"] if config else []
    return ["settings other than the defaults (all: --json)", *(f"  {line}" for line in told)]


def _flat(config: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", value))
    return found


def lineage(arguments: list[str]) -> int:
    """Prints the tree of inputs below an artifact."""
    flags = _flags("lineage", arguments)
    if flags is None:
        return 0
    artifact = find_artifact(flags)
    if flags.on("json"):
        print(json.dumps(_lineage_json(artifact), ensure_ascii=False))
        return 0
    console().print(_branch(artifact, set()))
    return 0


def why(arguments: list[str]) -> int:
    """Prints what each step said of one page."""
    flags = _flags("why", arguments)
    if flags is None:
        return 0
    if len(flags.words) != 1:
        raise GristmillError("one URL is wanted", mend="see gristmill data why --help")
    from gristmill.data.why import explain_page

    workspace = _workspace(flags)
    told = explain_page(flags.words[0], list(workspace.nodes().values()))
    if flags.on("json"):
        print(json.dumps(told, ensure_ascii=False))
        return 0
    from gristmill.cli.why_print import print_steps

    print_steps(told, console(), whole=flags.on("all"))
    return 0


def find_artifact(flags: Flags) -> Artifact:
    """The artifact that the one word of a command names. GristmillError where there is none."""
    if len(flags.words) != 1:
        raise GristmillError("one artifact is wanted", mend="give a folder or a node's name")
    word = flags.words[0]
    if (Path(word) / "manifest.json").is_file():
        return Artifact.open(Path(word))
    return _workspace(flags).named(word)


def _workspace(flags: Flags) -> Workspace:
    return Workspace.existing(flags.text("workspace", "runs/demo"))


def _flags(command: str, arguments: list[str]) -> Flags | None:
    flags = parse_flags(
        arguments,
        options=("workspace",),
        switches=("help", "json", "verify", "all"),
        settings=False,
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP[command])
        return None
    return flags


def _branch(artifact: Artifact, seen: set[str]) -> Tree:
    label = f"[bold]{escape(artifact.stage)}[/bold] {artifact.manifest.key[:12]} {artifact.kind}"
    if artifact.name in seen:
        return Tree(f"{label} [dim](above)[/dim]")
    seen.add(artifact.name)
    tree = Tree(label)
    for slot, found in artifact.inputs():
        branch = _branch(found, seen)
        branch.label = f"[dim]{escape(slot)}:[/dim] {branch.label}"
        tree.children.append(branch)
    return tree


def _lineage_json(artifact: Artifact) -> dict[str, Any]:
    return {
        "artifact": artifact.name,
        "kind": artifact.kind,
        "content": artifact.content,
        "inputs": [{"slot": slot, **_lineage_json(found)} for slot, found in artifact.inputs()],
    }
