"""One stage from the command line: its inputs, its settings, its result."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.help import stage_help
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.registry import stage_by_verb
from gristmill.stages.settings import check_config, read_yaml, set_key
from gristmill.stages.stage import ENGINES, PRESENTATION, Execution, Stage, StageConfig
from gristmill.stages.workspace import Workspace

DEFAULT_WORKSPACE = "runs/hand"
EXECUTION = ("workers", "device", "engine", "address")
"""Options that say how to work, of every verb that runs stages."""
OPTIONS = ("workspace", "as", "config", "seed", *EXECUTION)
SWITCHES = ("dry-run", "json", "help")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def run_stage(verb: str, arguments: list[str]) -> int:
    """Runs `gristmill NOUN VERB ...` for a stage."""
    stage = stage_by_verb(verb)
    slots = [name.replace("_", "-") for name in stage.inputs]
    flags = parse_flags(arguments, options=(*OPTIONS, *slots), switches=SWITCHES)
    if flags.on("help") or "-h" in flags.words:
        print(stage_help(stage, [word for word in flags.words if word != "-h"]))
        return 0
    if flags.words:
        raise GristmillError(
            f"'{flags.words[0]}' is not a flag", mend=f"see gristmill {verb} --help"
        )
    node = _node_name(stage, flags)
    config = _config(stage, flags)
    workspace = Workspace.at(
        flags.text("workspace", DEFAULT_WORKSPACE), create=not flags.on("dry-run")
    )
    inputs = _inputs(stage, config, flags, workspace)
    if stage.expand is not None:
        return _run_study(stage, config, inputs, flags)
    stage.check_inputs(inputs)
    seed = flags.number("seed", 0)
    key, _ = stage.key(config, inputs, seed)
    found = None if stage.uncached else workspace.find(stage.name, key)
    if flags.on("dry-run"):
        if flags.on("json"):
            planned = {
                "artifact": str(workspace.artifact_path(stage.name, key)),
                "cached": found is not None,
                "inputs": {name: [str(a.path) for a in given] for name, given in inputs.items()},
                "config": config.model_dump(mode="json"),
                "derived": derived_settings(config, inputs),
            }
            print(json.dumps(planned, ensure_ascii=False))
        else:
            print(_plan(stage, config, inputs, workspace, key, found is not None))
        return 0
    artifact = stage.run(config, inputs, workspace, seed=seed, execution=execution_of(flags))
    workspace.name_node(node, artifact)
    if flags.on("json"):
        print(json.dumps(artifact_json(artifact), ensure_ascii=False))
    else:
        print_artifact(artifact, cached=found is not None, of=_found_for(flags, inputs))
        if node != stage.name:
            print(f"  called {node} in {workspace.path}")
    return 0


def _node_name(stage: Stage[Any], flags: Flags) -> str:
    """What the result is called in the workspace: a label keeps it beside an earlier one."""
    if "as" not in flags.options:
        return stage.name
    label = flags.text("as", "")
    if stage.expand is not None:
        raise GristmillError("a study's trainings have labels of their own", where="--as")
    if not _LABEL.fullmatch(label):
        raise GristmillError(
            "a label is letters, digits, '.', '_' and '-'", where="--as", mend=f"it is {label!r}"
        )
    return f"{stage.name}@{label}"


def execution_of(flags: Flags, settings: Mapping[str, Any] | None = None) -> Execution:
    """Workers, device and engine as the flags say, or a recipe, or as the machine has them."""
    known = settings or {}
    device = flags.text("device", "auto")
    if device.split(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise GristmillError(f"unknown device '{device}'", mend="give auto, cpu, cuda or mps")
    workers = flags.number("workers", os.cpu_count() or 1)
    if workers < 1:
        raise GristmillError("must be at least 1", where="--workers")
    engine = flags.text("engine", known.get("engine", "local"))
    if engine not in ENGINES:
        raise GristmillError(
            f"unknown engine '{engine}'", where="--engine", mend=f"give {' or '.join(ENGINES)}"
        )
    address = flags.text("address", known.get("address", "") if engine == "ray" else "") or None
    if address is not None and engine != "ray":
        raise GristmillError(
            "only a Ray cluster has an address", where="--address", mend="add --engine ray"
        )
    return Execution(workers=workers, device=device, engine=engine, address=address)


def derived_settings(
    config: StageConfig, inputs: Mapping[str, Sequence[Artifact]] | None = None
) -> list[str]:
    """The numbers that a config derives from others, each with its reason, where it can say; from
    the tokens among its inputs too, where there are some."""
    explain = getattr(config, "explain", None)
    if not callable(explain):
        return []
    tokens = (inputs or {}).get("tokens")
    if tokens and "tokens" in inspect.signature(explain).parameters:
        return list(explain(tokens=tokens[0].read_json("tokens.json")))
    return list(explain())


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    """What `--json` prints of an artifact."""
    manifest = artifact.manifest
    funnel = {}
    if manifest.kind == "inspection":
        found = artifact.read_json("inspection.json")
        funnel = {name: found[name] for name in ("crawl", "funnel", "by") if name in found}
    return {
        **funnel,
        "path": str(artifact.path),
        "kind": manifest.kind,
        "stage": manifest.stage,
        "key": manifest.key,
        "content": manifest.content,
        "counts": manifest.counts,
        "figures": presentation_of(artifact).get("figures", {}),
        "seconds": manifest.seconds,
    }


def _found_for(flags: Flags, inputs: Mapping[str, list[Artifact]]) -> list[str]:
    """The inputs that nobody named, each with its slot."""
    return [
        f"--{name.replace('_', '-')} {artifact.name}"
        for name, found in inputs.items()
        if name.replace("_", "-") not in flags.options
        for artifact in found
    ]


def print_artifact(artifact: Artifact, cached: bool, of: Sequence[str] = ()) -> None:
    """The result of a stage: where, of which inputs found by themselves, how many, and its
    figures and tables."""
    from gristmill.cli.present import console

    out = console(soft_wrap=True)
    how = "was there already" if cached else f"{artifact.manifest.seconds:.1f} s"
    out.print(f"{artifact.stage}: {artifact.path} ({how})", markup=False)
    if artifact.manifest.counts:
        out.print(f"  {counts_line(artifact.manifest.counts)}", markup=False)
    for found in of:
        out.print(f"  took {found}", markup=False)
    tell_what_it_shows(artifact)


def counts_line(counts: Mapping[str, int], width: int = 78) -> str:
    """As many counts as a line holds, and how many more there are."""
    told = [f"{count:,} {name}" for name, count in counts.items()]
    if len(", ".join(told)) <= width:
        return ", ".join(told)
    more = f", {len(told)} more (--json)"
    while len(told) > 1 and len(", ".join(told) + more) > width:
        told.pop()
    return ", ".join(told) + f", {len(counts) - len(told)} more (--json)"


def tell_what_it_shows(artifact: Artifact) -> None:
    """What a stage gave for the report, as text; a comparison of methods in its few columns."""
    from gristmill.cli.present import console, print_alignment, print_presentation

    shown = presentation_of(artifact)
    if artifact.stage == "study.alignment":
        print_alignment(artifact, shown, console())
    else:
        print_presentation(shown)


def presentation_of(artifact: Artifact) -> dict[str, Any]:
    """What the stage gave for the report; empty where it gave nothing."""
    if not (artifact.path / PRESENTATION).is_file():
        return {}
    shown = artifact.read_json(PRESENTATION)
    return shown if isinstance(shown, dict) else {}


def _config(stage: Stage[Any], flags: Flags) -> StageConfig:
    settings: dict[str, Any] = {}
    where = "--"
    if "config" in flags.options:
        path = Path(flags.text("config", ""))
        settings = _own_block(read_yaml(path), stage)
        where = f"{path}:"
    for name, value in flags.settings.items():
        set_key(settings, name.replace("-", "_"), value)
    options = (*OPTIONS, *(slot.replace("_", "-") for slot in stage.inputs))
    try:
        checked = check_config(stage.config, settings, where, options)
    except GristmillError as error:
        # A flag beside a file is not to be looked for in the file.
        key = str(error.where or "").removeprefix(where)
        flags_given = [name.replace("-", "_") for name in flags.settings]
        if where == "--" or not any(f"{key}.".startswith(f"{name}.") for name in flags_given):
            raise
        raise GristmillError(error.what, where=f"--{key}", mend=error.mend) from None
    assert isinstance(checked, StageConfig)
    return checked


def _own_block(settings: dict[str, Any], stage: Stage[Any]) -> dict[str, Any]:
    """A whole recipe holds the stage's block under its verb; a file of its own is the block."""
    place: Any = settings
    for part in stage.name.split("."):
        if not isinstance(place, dict) or part not in place:
            return settings
        place = place[part]
    block = dict(place or {})
    for key in ("inputs", "seed"):
        block.pop(key, None)
    return block


def _inputs(
    stage: Stage[Any], config: StageConfig, flags: Flags, workspace: Workspace
) -> dict[str, list[Artifact]]:
    inputs: dict[str, list[Artifact]] = {}
    for name, slot in stage.inputs.items():
        given = flags.options.get(name.replace("_", "-"))
        if isinstance(given, str):
            paths = given.split(",") if slot.many else [given]
            inputs[name] = [_named(path, workspace) for path in paths]
        elif slot.must_be_named(config):
            inputs[name] = []
        elif slot.many:
            inputs[name] = [
                artifact
                for artifact in workspace.nodes().values()
                if (not slot.kinds or artifact.kind in slot.kinds) and artifact.kind != stage.kind
            ]
        else:
            fitting = {n: a for n, a in workspace.nodes().items() if a.kind in slot.kinds}
            if stage.kind in slot.kinds and slot.kinds != ("model",):
                # Run again with other settings, a step judges what it judged before, not what it
                # left then; that is had by naming it.
                before = {n: a for n, a in fitting.items() if not _comes_of(a, stage.name)}
                fitting = before or fitting
            if len(fitting) > 1 and slot.kinds == ("model",):
                # The newest of several is rarely the one that is meant.
                raise GristmillError(
                    f"{len(fitting)} models lie in this workspace",
                    where=workspace.path,
                    mend=f"say which: --{name} {' or '.join(list(fitting)[-4:])}",
                )
            inputs[name] = list(fitting.values())[-1:]
    return inputs


def _comes_of(artifact: Artifact, stage: str) -> bool:
    """Whether the stage made it, or something that it was made from, as far as that is there."""
    if artifact.stage == stage:
        return True
    for refs in artifact.manifest.inputs.values():
        for ref in refs:
            try:
                if ref.stage == stage or _comes_of(artifact.resolve(ref), stage):
                    return True
            except GristmillError:
                continue
    return False


def _named(given: str, workspace: Workspace) -> Artifact:
    """An artifact by its folder, or by its name in the workspace; see `Workspace.named`."""
    if Path(given).exists() or "/" in given or "\\" in given:
        return Artifact.open(Path(given))
    try:
        return workspace.named(given)
    except GristmillError as error:
        near = did_you_mean(given, workspace.node_names())
        if near.startswith("did you mean"):
            raise
        raise GristmillError(
            error.what, where=error.where, mend="give its folder, or --workspace DIR, where it is"
        ) from None


def _run_study(
    stage: Stage[Any], config: StageConfig, inputs: Mapping[str, list[Artifact]], flags: Flags
) -> int:
    """A stage that asks for others is a recipe of one stage, its inputs folders."""
    from gristmill.cli.run import run_loaded
    from gristmill.stages.recipe import check_recipe

    block = config.model_dump(mode="json")
    block["inputs"] = {slot: [str(a.path) for a in found] for slot, found in inputs.items()}
    for part in reversed(stage.name.split(".")):
        block = {part: block}
    head = {
        "recipe": stage.name,
        "workspace": flags.text("workspace", DEFAULT_WORKSPACE),
        "seed": flags.number("seed", 0),
    }
    return run_loaded(check_recipe({**head, **block}, f"gristmill {stage.verb}"), flags)


def _plan(
    stage: Stage[Any],
    config: StageConfig,
    inputs: Mapping[str, list[Artifact]],
    workspace: Workspace,
    key: str,
    cached: bool,
) -> str:
    kind = stage.makes(config)
    article = "an" if kind[0] in "aeiou" else "a"
    lines = [f"{stage.verb} would {'find' if cached else 'make'} {article} {kind} artifact"]
    lines.append(f"  at {workspace.artifact_path(stage.name, key)}")
    for name, artifacts in inputs.items():
        for artifact in artifacts:
            lines.append(f"  from {name}: {artifact.path}")
    lines.append("  with " + json.dumps(config.model_dump(mode="json"), ensure_ascii=False))
    lines += [f"  {line}" for line in derived_settings(config, inputs)]
    return "\n".join(lines)
