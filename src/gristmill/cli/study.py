"""`study ablate`: a recipe at several settings and seeds, told as it goes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.present import console, print_table
from gristmill.cli.run import announce, tell
from gristmill.cli.stage import EXECUTION, artifact_json, execution_of, presentation_of
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.graph import Step, plan_recipe, run_recipe
from gristmill.stages.recipe import Node, Recipe, shipped_recipes
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.study.variants import Graph
    from gristmill.study.variation import Variation

_HELP = """gristmill study ablate RECIPE --vary KEY=A,B[,...] [flags]

Runs a recipe at several settings of a key and several seeds, and tells what the
change does to each figure: paired by seed, with 95% intervals. What a setting
does not touch runs once. After Ctrl-C the same command goes on.

  --vary KEY=A,B     a key and its values, as YAML; a whole stage is on, off or
                     a mapping: data.quality=on,off. The first value is what the
                     others are compared with. Given twice: every combination
  --settings FILE    named settings of several keys at once, as YAML:
                     NAME: {data.filter.c4.enabled: false, ...}; {} is the recipe
                     as it stands. With --vary: every combination
  --hold STAGE       all settings of a seed use the first setting's, such as one
                     tokenizer for all (tokenizer.train); may be given again
  --seeds N          runs of each setting (3)
  --reseed NAME      which stages each seed draws anew: those whose name begins
                     so, or all (the training that is varied, else train)
  --figure NAME      compare this figure only, of any stage; may be given again
                     (all of the evaluations, or of what a change reaches where
                     it reaches none)
  --until STAGE      the last stage of each run
  --a.b.c VALUE      any key of the recipe, the same in every run
  --seed N           the first seed (the recipe's)
  --workspace DIR    where everything is written (the recipe's own)
  --workers N        processes for the data stages (the number of cores)
  --device NAME      auto, cpu, cuda or mps
  --engine, --address  a Ray cluster for the data steps, as in gristmill run
  --dry-run          say which stages each run would need; run nothing
  --json             print the result as one JSON object

Where the settings train on different documents, bits per byte of all are on one
text: the held-out documents of the first setting that no setting trains on.

example
  gristmill study ablate demo --vary data.quality=on,off --hold tokenizer.train"""


def _drawn_anew(keys: Sequence[str]) -> str:
    """The training that is varied, if one is: what comes before it is shared by all seeds."""
    stage = ".".join(keys[0].split(".")[:2])
    return stage if stage.startswith("train.") else "train"


def ablate(arguments: list[str]) -> int:
    """Runs a recipe at several settings and compares."""
    arguments, vary = _repeated(arguments, "vary")
    arguments, figures = _repeated(arguments, "figure")
    arguments, named = _repeated(arguments, "settings")
    arguments, hold = _repeated(arguments, "hold")
    flags = parse_flags(
        arguments,
        options=("seeds", "reseed", "until", "seed", "workspace", *EXECUTION),
        switches=("dry-run", "json", "help"),
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    if len(flags.words) != 1:
        raise GristmillError(
            "one recipe is wanted", mend=f"give a file, or one of: {', '.join(shipped_recipes())}"
        )
    graph, study = _study(flags, _variations(vary, named), figures, hold)
    workspace = Workspace.at(
        flags.text("workspace", study.workspace.as_posix()), create=not flags.on("dry-run")
    )
    if flags.on("dry-run"):
        return _dry_run(graph, study, workspace, as_json=flags.on("json"))
    return _run(graph, study, workspace, flags)


def _variations(vary: list[str], named: list[str]) -> list[Variation]:
    from gristmill.study.variation import parse_variation, read_variation

    if not vary and not named:
        raise GristmillError("nothing is varied", mend="give --vary KEY=A,B or --settings FILE")
    return [read_variation(Path(file)) for file in named] + [parse_variation(v) for v in vary]


def _study(
    flags: Flags, variations: list[Variation], figures: list[str], hold: list[str]
) -> tuple[Graph, Recipe]:
    from gristmill.study.ablate import comparison_of
    from gristmill.study.variants import build_graph

    keys = [key for variation in variations for key in variation.keys]
    seeds = flags.number("seeds", 3)
    if seeds < 1:
        raise GristmillError("must be at least 1", where="--seeds")
    settings = dict(flags.settings)
    if "seed" in flags.options:
        settings["seed"] = flags.number("seed", 0)
    reseed = flags.text("reseed", _drawn_anew(keys))
    graph, base = build_graph(
        flags.words[0],
        settings,
        variations,
        seeds=seeds,
        reseed=reseed,
        until=flags.text("until", "") or None,
        hold=hold,
        everything=bool(figures),
    )
    names = [variation.name for variation in variations]
    return graph, comparison_of(graph, base, names, figures, reseed)


def _run(graph: Graph, study: Recipe, workspace: Workspace, flags: Flags) -> int:
    from gristmill.study.ablate import AGAINST, page_path

    quiet = flags.on("json")
    said = ""
    plain = {name: own for run in graph.runs for own, name in run.nodes.items()}

    def before(node: Node, position: int, total: int) -> None:
        nonlocal said
        run = _owner(graph, node)
        if run != said:
            console().print(f"\n[bold]{escape(run)}[/bold]")
            said = run
        announce(replace(node, name=plain.get(node.name, node.name)), position, total)

    start = time.monotonic()
    steps = run_recipe(
        study,
        workspace,
        execution=execution_of(flags, study.settings),
        before=None if quiet else before,
        after=None if quiet else tell,
    )
    told = _told(graph, {step.node.name: step for step in steps})
    if quiet:
        result = {"workspace": str(workspace.path), "runs": told}
        print(json.dumps(result | artifact_json(steps[-1].artifact), ensure_ascii=False))
        return 0
    out = console()
    rows = [(run["run"], run["ran"], run["cached"], run["shared"]) for run in told]
    columns = ["run", "ran", "from the cache", "shared with a run above"]
    print_table("Stages of each run", columns, rows, out)
    shown = presentation_of(steps[-1].artifact)
    tables = [table for table in shown.get("tables", []) if f" {AGAINST} " in table["title"]]
    for table in tables:
        _print_differences(table, out)
    if tables:
        out.print(f"[dim]{escape(tables[0]['note'])}[/dim]")
    for note in shown.get("notes", []):
        out.print(note, markup=False)
    out.print(
        f"\n{len(steps)} stages, {sum(not step.cached for step in steps)} ran, "
        f"{time.monotonic() - start:.0f} s",
        markup=False,
    )
    out.print(f"The page: {page_path(workspace.path)}", markup=False)
    return 0


def _print_differences(table: dict[str, Any], out: Console) -> None:
    """What one setting does to each figure, on lines of 80 columns."""
    shown = Table(
        title=escape(table["title"]),
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for index, name in enumerate(table["columns"]):
        # A long name folds, a number never.
        shown.add_column(
            escape(name),
            no_wrap=index > 0,
            overflow="fold",
            justify="left" if index in (0, 4) else "right",
        )
    for name, first, second, difference, sure in table["rows"]:
        figure = Figure.from_json(difference["figure"])
        text = f"{figure.value:+.3g}"
        if figure.low is not None and figure.high is not None:
            text += f" [{figure.low:.3g}, {figure.high:.3g}]"
        shown.add_row(escape(name), f"{first:.4g}", f"{second:.4g}", escape(text), escape(sure))
    out.print()
    out.print(shown)


def _told(graph: Graph, steps: dict[str, Step]) -> list[dict[str, Any]]:
    """For each run: how many of its stages ran, were in the cache, or came with a run above."""
    told = []
    for run in graph.runs:
        own = [name for name in run.nodes.values() if graph.owner[name].variant == run.variant]
        ran = [name for name in own if not steps[name].cached]
        told.append(
            {
                "run": run.variant.label,
                "ran": len(ran),
                "cached": len(own) - len(ran),
                "shared": len(run.nodes) - len(own),
                "stages": {plain: name in ran for plain, name in run.nodes.items()},
            }
        )
    return told


def _dry_run(graph: Graph, study: Recipe, workspace: Workspace, *, as_json: bool) -> int:
    found = {node.name: artifact for node, artifact in plan_recipe(study, workspace)}
    rows = []
    for run in graph.runs:
        for plain, name in run.nodes.items():
            if graph.owner[name].variant == run.variant:
                state = "would run" if found[name] is None else "cached"
                rows.append((run.variant.label, plain, state))
    if as_json:
        stages = [{"run": run, "node": node, "state": state} for run, node, state in rows]
        print(json.dumps({"study": study.name, "stages": stages}, ensure_ascii=False))
        return 0
    labels = [
        run if index == 0 or rows[index - 1][0] != run else ""
        for index, (run, _, _) in enumerate(rows)
    ]
    shown = [(label, node, state) for label, (_, node, state) in zip(labels, rows, strict=True)]
    print_table(f"{study.name} in {workspace.path}", ["run", "stage", ""], shown, console())
    states = Counter(state for _, _, state in rows)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    console().print(f"{len(graph.runs)} runs; {counts}; all else they share", markup=False)
    return 0


def _owner(graph: Graph, node: Node) -> str:
    run = graph.owner.get(node.name)
    return "comparison" if run is None else run.variant.label


def _repeated(arguments: list[str], name: str) -> tuple[list[str], list[str]]:
    """The arguments without `--name VALUE`, which may stand several times, and those values."""
    rest: list[str] = []
    found: list[str] = []
    waiting = False
    for item in arguments:
        if waiting:
            found.append(item)
            waiting = False
        elif item == f"--{name}":
            waiting = True
        elif item.startswith(f"--{name}="):
            found.append(item.partition("=")[2])
        else:
            rest.append(item)
    if waiting:
        raise GristmillError("needs a value", where=f"--{name}")
    return rest, found
