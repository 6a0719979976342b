"""`run` and `quickstart`: a recipe from the command line, told as it goes."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from gristmill.cli.flags import Flags, nearest_flag, parse_flags
from gristmill.cli.present import console, print_alignment, print_table
from gristmill.cli.stage import EXECUTION, derived_settings, execution_of, presentation_of
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.graph import Step, plan_recipe, run_recipe
from gristmill.stages.recipe import Node, Recipe, load_recipe, shipped_recipes
from gristmill.stages.workspace import Workspace

_HELP = """gristmill run RECIPE [flags]

Runs a recipe: a file, or a shipped one:
{names}.
What has not changed since the last run is taken from the cache; after Ctrl-C or
a crash the same command goes on from the last whole artifact.

  --a.b.c VALUE     any key of the recipe, such as --data.filter.min_words 20
  --workspace DIR   where everything is written (the recipe says: runs/NAME)
  --seed N          the seed of all that is random
  --workers N       processes for the data stages (the number of cores)
  --device NAME     auto, cpu, cuda or mps
  --engine NAME     ray: data extract to mix on a Ray cluster (local)
  --address PLACE   the Ray cluster's, such as HOST:6379 (this machine's)
  --until STAGE     stop after that stage
  --dry-run         say what would run, with sizes; run nothing
  --json            print the result as one JSON object

examples
  gristmill run demo
  gristmill run own-text --data.import.path my-texts
  gristmill run demo --train.lm.token_budget 1000000 --dry-run"""


_OPTIONS = ("workspace", "seed", "until", *EXECUTION)
_SWITCHES = ("dry-run", "json", "help")
# Of a recipe's own keys, those without a dot.
_WORDS = ("recipe", "about", "extends", "report", "score", "generate", "import")


def run(arguments: list[str]) -> int:
    """Runs a recipe."""
    flags = parse_flags(arguments, options=_OPTIONS, switches=_SWITCHES)
    if flags.on("help") or "-h" in flags.words:
        print(_HELP.format(names=", ".join(shipped_recipes())))
        return 0
    if len(flags.words) != 1:
        raise GristmillError(
            "one recipe is wanted", mend=f"give a file, or one of: {', '.join(shipped_recipes())}"
        )
    settings = dict(flags.settings)
    for name in settings:
        near = nearest_flag(name, [*_OPTIONS, *_SWITCHES])
        if name.replace("_", "-") not in _WORDS and "." not in name and near.startswith("did"):
            raise GristmillError(f"unknown flag '--{name}'", mend=near)
    if "seed" in flags.options:
        settings["seed"] = flags.number("seed", 0)
    return run_loaded(load_recipe(flags.words[0], settings), flags)


def quickstart(arguments: list[str]) -> int:
    """The demo recipe, from wherever one stands."""
    return run(["demo", *arguments])


def run_loaded(recipe: Recipe, flags: Flags) -> int:
    """Runs a recipe that was read and checked, as the flags say."""
    workspace = Workspace.at(
        flags.text("workspace", recipe.workspace.as_posix()), create=not flags.on("dry-run")
    )
    until = flags.text("until", "") or None
    if flags.on("dry-run"):
        return _dry_run(recipe, workspace, until, as_json=flags.on("json"))
    execution = execution_of(flags, recipe.settings)
    quiet = flags.on("json")
    start = time.monotonic()
    steps = run_recipe(
        recipe,
        workspace,
        execution=execution,
        until=until,
        before=None if quiet else announce,
        after=None if quiet else tell,
    )
    if quiet:
        print(json.dumps(_result_json(recipe, workspace, steps), ensure_ascii=False))
        return 0
    ran = sum(not step.cached for step in steps)
    console().print(
        f"\n{recipe.name}: {len(steps)} stages, {ran} ran, "
        f"{time.monotonic() - start:.0f} s, in {workspace.path}",
        markup=False,
    )
    _closing(workspace, steps)
    return 0


def announce(node: Node, position: int, total: int) -> None:
    """Tells which stage begins."""
    console().print(
        f"[dim]{position:>2}/{total}[/dim] [bold]{escape(node.name)}[/bold]"
        f"  [dim]{escape(textwrap.shorten(node.stage.summary, 50, placeholder=' ...'))}[/dim]"
    )


def tell(step: Step) -> None:
    """Tells what a stage made, and whether it was there."""
    first = list(step.artifact.manifest.counts.items())[:4]
    counts = ", ".join(f"{n:,} {name}" for name, n in first)
    how = "from the cache" if step.cached else f"{step.seconds:.1f} s"
    console().print(f"      {escape(counts)}{'  ' if counts else ''}[dim]{how}[/dim]")


def _closing(workspace: Workspace, steps: list[Step]) -> None:
    """What a user looks for at the end: what was kept, what was right, samples, where next."""
    out = console()
    for step in steps:
        if step.artifact.kind == "inspection":
            for table in presentation_of(step.artifact).get("tables", []):
                if table["title"] in _CLOSING_TABLES:
                    print_table(table["title"], table["columns"], table["rows"], out)
    figures = _figures(steps)
    rows = [
        (label, str(Figure.from_json(figures[name])))
        for name, label in _HEADLINES.items()
        if name in figures and not _tells_nothing(name, figures)
    ]
    if rows:
        print_table("Other figures", ["", ""], rows, out)
    for step in steps:
        if step.artifact.stage == "generate":
            for samples in presentation_of(step.artifact).get("samples", []):
                out.print(f"\n[bold]{escape(samples['title'])}[/bold]")
                for row in samples["rows"][:4]:
                    out.print("  " + escape("".join(str(v) for v in row.values())[:300]))
    for step in steps:
        if step.artifact.stage == "study.alignment":
            print_alignment(step.artifact, presentation_of(step.artifact), out)
    scaled = [
        step.artifact
        for step in steps
        if step.artifact.stage in ("study.sweep", "study.families") and step.node.asked_by is None
    ]
    for artifact in scaled[-1:]:  # the last compares those before it
        shown = presentation_of(artifact)
        for note in shown.get("notes", []):
            out.print(f"\n{note}", markup=False)
        for table in shown.get("tables", []):
            print_table(table["title"], table["columns"], table["rows"], out)
    report = workspace.path / "report.html"
    if any(step.artifact.kind == "report" for step in steps):
        out.print(f"\nThe report: {report}", markup=False)
    if any(step.artifact.kind == "model" and step.node.asked_by is None for step in steps):
        talk = f"{program()} chat {_assistant(workspace, steps)}"
        out.print(f"Talk to it: {talk}", markup=False, soft_wrap=True)
        serve = f"{program()} serve --workspace {workspace.path}"
        out.print(f"In the browser: {serve}", markup=False, soft_wrap=True)


def _assistant(workspace: Workspace, steps: list[Step]) -> str:
    """The flags of `chat` for the model that a comparison found best, else for the newest one."""
    place = f"--workspace {workspace.path}"
    own = {step.artifact.name: step.node.name for step in steps if step.node.asked_by is None}
    for step in steps:
        if step.artifact.stage == "study.alignment":
            best = step.artifact.read_json("alignment.json")["best"].get("artifact")
            if best in own:
                return f"{place} --node {own[best]}"
            if best is not None:
                return f"--model {workspace.artifacts_folder / best}"
    return place


def program(*, whole: bool = False) -> str:
    """How this program is called from where the user stands, or from anywhere."""
    if shutil.which("gristmill"):
        return "gristmill"
    beside = Path(sys.executable).with_name("gristmill")
    if not beside.exists():
        return f"{shlex.quote(sys.executable)} -m gristmill"
    here = Path.cwd()
    near = not whole and beside.is_relative_to(here)
    return shlex.quote(str(beside.relative_to(here) if near else beside))


# The rest of what an inspection found stands in the report.
_CLOSING_TABLES = ("Left after each step", "What each step got right")
# Of the answers by generation, from which share on unreadable ones make their accuracy noise.
_MOST_LOST = 0.9
_HEADLINES = {
    "crawl.forbidden_fetched": "pages fetched that robots.txt forbids",
    "quality.auc": "quality, AUC of good pages against poor ones",
    "domains.accuracy": "domains, share of pages labelled right",
    "base.bits_per_byte": "held-out bits per byte",
    "ngram5.bits_per_byte": "  of a Kneser-Ney 5-gram",
    "unigram.bits_per_byte": "  of a unigram",
    "choices.accuracy": "'X is ...', right of four",
    "choices.chance": "  by chance",
    "letter.accuracy.base": "  asked by letter",
    "generation.accuracy.sft": "  as the assistant writes it",
    "contamination.base.p": "the questions' order known, p",
    "sft.stops": "SFT, answers that end by themselves",
    "sft.answers.seen": "SFT, answers right about what was read",
    "sft.answers.unseen": "  and about what was not",
    "sft.invented.unseen": "  of these invented",
    "reward.accuracy": "reward model, held-out preferences right",
    "dpo.margin.after": "DPO, margin on held-out preferences",
    "ppo.reward.gain": "PPO, gain of the reward model's score",
    "ppo.kl": "  at a KL of, in nats per answer",
    "best_of_n.reward.1": "reward of one answer",
    "best_of_n.reward.16": "  of the best of 16",
    "judge.win_rate.dpo": "judged by the reward model: DPO over SFT",
    "judge.win_rate_lc.dpo": "  at equal length",
    "judge.agreement": "  verdicts that the rule shares",
}


def _tells_nothing(name: str, figures: Mapping[str, Any]) -> bool:
    """Whether a figure is noise: letters no better than chance, or answers that none could read."""
    way, _, model = name.partition(".accuracy.")
    if way == "letter" and "choices.chance" in figures:
        figure = Figure.from_json(figures[name])
        low = figure.value if figure.low is None else figure.low
        return low <= float(figures["choices.chance"]["value"])
    lost = figures.get(f"generation.unreadable.{model}", {"value": 0.0})
    return way == "generation" and float(lost["value"]) >= _MOST_LOST


def _figures(steps: list[Step]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for step in steps:
        # What a study asked for is told by the study.
        if step.node.asked_by is None:
            figures.update(presentation_of(step.artifact).get("figures", {}))
    return figures


def _result_json(recipe: Recipe, workspace: Workspace, steps: list[Step]) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "workspace": str(workspace.path),
        "stages": [
            {
                "node": step.node.name,
                "artifact": str(step.artifact.path),
                "content": step.artifact.content,
                "cached": step.cached,
                "seconds": round(step.seconds, 3),
            }
            for step in steps
        ],
        "figures": _figures(steps),
    }


_MOST_OF_A_STUDY = 6


def _dry_run(recipe: Recipe, workspace: Workspace, until: str | None, *, as_json: bool) -> int:
    """What would run: a node is known to be cached only while all before it are."""
    rows = []
    planned = plan_recipe(recipe, workspace, until)
    for node, found in planned:
        wired = [name for names in node.wires.values() for name in names]
        state = "would run" if found is None else "cached"
        rows.append((node.name, list(dict.fromkeys(wired)), state))
    # A study tells of the trainings that it asks for, all together.
    told = [n for n in recipe.nodes if n.asked_by is None or n.stage.expand is not None]
    sizes = [f"{node.name}: {line}" for node in told for line in derived_settings(node.config)]
    if as_json:
        stages = [{"node": n, "from": ", ".join(w), "state": s} for n, w, s in rows]
        print(json.dumps({"recipe": recipe.name, "stages": stages, "sizes": sizes}))
        return 0
    shown = _rows_to_show([(n.name, n.asked_by) for n, _ in planned], rows)
    title = f"{recipe.name} in {workspace.path}"
    print_table(title, ["stage", "from", ""], shown, console(), names=True)
    for line in sizes:
        console().print(f"  {line}", markup=False)
    return 0


def _rows_to_show(
    asked: Sequence[tuple[str, str | None]], rows: Sequence[tuple[str, list[str], str]]
) -> list[tuple[str, str, str]]:
    """A line a node; of a study that asks for many, such as a sweep, one line for all of them."""
    counts = Counter(study for _, study in asked)
    shown: list[tuple[str, str, str]] = []
    told: set[str] = set()
    for (_, study), (name, wired, state) in zip(asked, rows, strict=True):
        if study is None or counts[study] <= _MOST_OF_A_STUDY:
            shown.append((name, _few(wired), state))
        elif study not in told:
            told.add(study)
            states = Counter(
                s for (_, by), (_, _, s) in zip(asked, rows, strict=True) if by == study
            )
            state = ", ".join(f"{count} {state}" for state, count in states.items())
            shown.append((f"for {study}", f"{counts[study]} nodes, see --json", state))
    return shown


def _few(names: Sequence[str]) -> str:
    """The first inputs of a node; a report of a sweep has a hundred."""
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
