"""`study ablate`: the figures of a recipe's runs at several settings, compared by seed.

The runs themselves are a graph like any recipe (`study/variants.py`); this is its last stage. It
trains nothing: it reads what the runs' stages measured, and tells what the settings did to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import write_json, write_text_atomic
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.core.nearest import did_you_mean
from gristmill.stages.recipe import Node, Recipe
from gristmill.stages.stage import PRESENTATION, Inputs, Output, Slot, StageConfig, stage

if TYPE_CHECKING:
    from gristmill.study.variants import Graph

PAGE = "ablation.html"
AGAINST = "against"
_CHARTS = 8


class RunConfig(StageConfig):
    """One run: its setting, its seed, and where its stages stand among the inputs."""

    setting: str
    seed: int
    nodes: dict[str, int]


class AblateConfig(StageConfig):
    """What was varied, and which figures are compared."""

    recipe: str
    keys: tuple[str, ...]
    runs: tuple[RunConfig, ...]
    figures: tuple[str, ...] = ()
    """Names of figures; none: all that every run's evaluations give."""
    reseed: str = "train"
    """Which stages each seed drew anew."""


@dataclass(frozen=True)
class Measured:
    """A figure in every run. values: setting -> its figure at each seed, in the seeds' order."""

    name: str
    values: Mapping[str, Sequence[Figure]]


@stage(
    "study ablate",
    version=1,
    kind="comparison",
    config=AblateConfig,
    inputs={"artifacts": Slot(many=True, help="what the runs' stages measured")},
    summary="compare the figures of a recipe's runs at several settings",
    example="gristmill study ablate demo --vary data.quality=on,off --seeds 3",
    publishes=(PAGE,),
)
def ablate(config: AblateConfig, inputs: Inputs, output: Output) -> None:
    """Figures: `ablate.FIGURE@SETTING` and `ablate.difference.FIGURE@SETTING` (to the first)."""
    from gristmill.study.paired import mean, paired_difference, verdict

    artifacts = inputs.many("artifacts")
    measured, constant = compared_figures(config, artifacts)
    settings = list(dict.fromkeys(run.setting for run in config.runs))
    seeds = len(config.runs) // len(settings)
    against: dict[str, list[list[Any]]] = {setting: [] for setting in settings[1:]}
    rows: list[list[Any]] = []
    for one in measured:
        first = [figure.value for figure in one.values[settings[0]]]
        differences: list[Figure] = []
        for setting in settings:
            values = [figure.value for figure in one.values[setting]]
            # With one seed there is no spread over seeds; the run's own interval says how sure the
            # measurement of that one model is.
            value = mean(values) if seeds > 1 else one.values[setting][0]
            output.figures[f"ablate.{one.name}@{setting}"] = value
            name = "" if rows and setting != settings[0] else one.name
            rows.append([name, setting, value, _cases(one.values[setting])])
            if setting == settings[0]:
                continue
            difference = paired_difference(values, first)
            differences.append(difference)
            output.figures[f"ablate.difference.{one.name}@{setting}"] = difference
            means = mean(first).value, mean(values).value
            against[setting].append([one.name, *means, difference, verdict(difference)])
        if len(output.charts) < _CHARTS:
            output.charts.append(_chart(one.name, settings, differences))
    for setting, cells in against.items():
        output.tables.append(
            Table(
                f"{setting} {AGAINST} {settings[0]}",
                ["figure", *_short_names(settings[0], setting), "difference", "not 0"],
                cells,
                _note(config, seeds),
            )
        )
    columns = ["figure", "setting", "mean" if seeds > 1 else "value", "cases in one run"]
    output.tables.append(Table("Every setting", columns, rows))
    output.tables.append(_by_seed(measured, config))
    output.notes += _footnotes(config, artifacts)
    if constant:
        output.notes.append(f"The same in every run: {', '.join(constant)}.")
    output.counts.update(settings=len(settings), seeds=seeds, runs=len(config.runs))
    write_json(output.path / "results.json", _results(measured, config))
    output.write_presentation()
    _write_page(config, artifacts, output)


def comparison_of(
    graph: Graph, base: Recipe, keys: Sequence[str], figures: Sequence[str], reseed: str
) -> Recipe:
    """The whole study as a recipe: every run's stages, then the comparison of what they measured.

    Compared is what each run says: evaluations, or what a change reaches where it reaches none;
    where figures are asked for by name, all stages.
    """
    wired: list[str] = []
    runs = []
    for run in graph.runs:
        own: dict[str, int] = {}
        for name, place in run.nodes.items():
            if name not in run.compared:
                continue
            if place not in wired:
                wired.append(place)
            own[name] = wired.index(place)
        runs.append(RunConfig(setting=run.variant.setting, seed=run.variant.seed, nodes=own))
    config = AblateConfig(
        recipe=base.name,
        keys=tuple(keys),
        runs=tuple(runs),
        figures=tuple(figures),
        reseed=reseed,
    )
    node = Node(f"study.ablate@{'+'.join(keys)}", ablate, config, {"artifacts": tuple(wired)})
    return Recipe(
        name=f"{base.name}, {' and '.join(keys)}",
        workspace=base.workspace,
        seed=base.seed,
        about=f"{base.name} at several settings of {' and '.join(keys)}.",
        nodes=(*graph.nodes, node),
        settings={},
    )


def compared_figures(
    config: AblateConfig, artifacts: Sequence[Artifact]
) -> tuple[list[Measured], list[str]]:
    """The figures that every run has, in the order of the first run's stages, and the names of
    those that are the same number in all (unless they were asked for).

    Raises GristmillError where a figure that was asked for is in no run, or not in all.
    """
    each = [_figures_of(run, artifacts) for run in config.runs]
    shared = [name for name in each[0] if all(name in figures for figures in each)]
    for name in config.figures:
        if name not in shared:
            somewhere = any(name in figures for figures in each)
            raise GristmillError(
                f"not every run has the figure '{name}'" if somewhere else f"no figure '{name}'",
                where="--figure",
                mend=did_you_mean(name, shared),
            )
    found, constant = [], []
    for name in config.figures or shared:
        values: dict[str, list[Figure]] = {}
        for run, figures in zip(config.runs, each, strict=True):
            values.setdefault(run.setting, []).append(figures[name])
        if not config.figures and len({figures[name].value for figures in each}) == 1:
            constant.append(name)
        else:
            found.append(Measured(name, values))
    return found, constant


def _short_names(first: str, second: str) -> list[str]:
    """What tells two settings apart: their values, where they are of one key."""
    if " " in first + second:
        return ["first", "then"]
    return [setting.partition("=")[2] or setting for setting in (first, second)]


def _figures_of(run: RunConfig, artifacts: Sequence[Artifact]) -> dict[str, Figure]:
    """A run's figures by name; where two of its stages use one name, the later adds its own."""
    found: dict[str, Figure] = {}
    for node, place in run.nodes.items():
        path = artifacts[place].path / PRESENTATION
        shown = artifacts[place].read_json(PRESENTATION) if path.is_file() else {}
        for name, entry in shown.get("figures", {}).items():
            found[name if name not in found else f"{name} of {node}"] = Figure.from_json(entry)
    return found


def _cases(figures: Sequence[Figure]) -> str:
    """How many cases stand behind one run's figure."""
    counts = sorted({figure.n for figure in figures if figure.n is not None})
    return " to ".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]])) if counts else ""


def _chart(name: str, settings: Sequence[str], differences: Sequence[Figure]) -> Chart:
    sure = [d.low is not None and d.high is not None for d in differences]
    return Chart(
        f"{name}: difference to {settings[0]}",
        "",
        f"{name}, difference" + (" (95% over seeds)" if any(sure) else " (no interval)"),
        [
            Series(
                "difference",
                list(range(len(differences))),
                [d.value for d in differences],
                # Without an interval the bar ends where it ends.
                [d.value if d.low is None else d.low for d in differences] if any(sure) else None,
                [d.value if d.high is None else d.high for d in differences] if any(sure) else None,
            )
        ],
        style="bar",
        categories=list(settings[1:]),
    )


def _by_seed(measured: Sequence[Measured], config: AblateConfig) -> Table:
    settings = list(dict.fromkeys(run.setting for run in config.runs))
    seeds = list(dict.fromkeys(run.seed for run in config.runs))
    rows = [
        [one.name if index == 0 else "", seed, *(one.values[s][index].value for s in settings)]
        for one in measured
        for index, seed in enumerate(seeds)
    ]
    return Table("Every run", ["figure", "seed", *settings], rows)


def _note(config: AblateConfig, seeds: int) -> str:
    if config.reseed == "all":
        drawn = "Every seeded stage is drawn anew with each seed."
    else:
        drawn = (
            f"Only stages called {config.reseed}... are drawn anew with each seed; all else is the "
            "same at every seed."
        )
    if seeds < 2:
        return f"One seed: how much of a difference is chance is not known. {drawn}"
    return (
        f"Means of {seeds} seeds; differences are paired by seed, with a 95% t interval. 'not 0': "
        f"whether that excludes 0; of many figures some do so by chance. {drawn} 'no spread': the "
        "difference is one number at every seed, which does not say how sure it is."
    )


def _footnotes(config: AblateConfig, artifacts: Sequence[Artifact]) -> list[str]:
    """What a reader must know of the text that was scored."""
    notes = []
    left_out = {
        artifact.manifest.counts["left_out"]
        for artifact in artifacts
        if "left_out" in artifact.manifest.counts
    }
    if left_out:
        notes.append(
            "The settings differ in what they train on. Bits per byte are on one text for all: the "
            f"held-out documents of the first setting ({config.runs[0].setting}), without the "
            f"{' or '.join(str(n) for n in sorted(left_out))} that any setting trains on. A "
            "setting does best on text like its own: give the settings in the other order to see "
            "it on the other text. Other evaluations take their cases from each setting's own data."
        )
    return notes


def _results(measured: Sequence[Measured], config: AblateConfig) -> dict[str, Any]:
    return {
        "recipe": config.recipe,
        "keys": list(config.keys),
        "seeds": list(dict.fromkeys(run.seed for run in config.runs)),
        "figures": {
            one.name: {s: [f.to_json() for f in figures] for s, figures in one.values.items()}
            for one in measured
        },
    }


def _write_page(config: AblateConfig, artifacts: Sequence[Artifact], output: Output) -> None:
    from gristmill.core.canonical import read_json
    from gristmill.report.page import StageRecord, render_report

    names = {
        place: f"{node} ({run.setting}, seed {run.seed})"
        for run in reversed(config.runs)
        for node, place in run.nodes.items()
    }
    records = [
        StageRecord(
            name="study.ablate",
            kind="comparison",
            summary="compare what the settings did to each figure",
            key="",
            content="",
            seconds=0.0,
            cpu_seconds=0.0,
            peak_memory_bytes=0,
            bytes=0,
            counts=output.counts,
            inputs={"artifacts": [artifact.name for artifact in artifacts]},
            artifact="study.ablate",
            shown=read_json(output.path / PRESENTATION),
        ),
        *(_record(names[place], artifact) for place, artifact in enumerate(artifacts)),
    ]
    title = f"{config.recipe}: {', '.join(config.keys)}"
    page = render_report(title, "What changes when one thing is changed.", records, [])
    write_text_atomic(output.path / PAGE, page)
    output.volatile.add(PAGE)  # it tells how long each run took


def _record(name: str, artifact: Artifact) -> Any:
    from gristmill.report.page import StageRecord

    manifest = artifact.manifest
    return StageRecord(
        name=name,
        kind="report",  # only in the lineage and the costs: its own story is in the run's report
        summary="",
        key=manifest.key,
        content=manifest.content,
        seconds=manifest.seconds,
        cpu_seconds=manifest.cpu_seconds,
        peak_memory_bytes=manifest.peak_memory_bytes,
        bytes=sum(ref.bytes for ref in manifest.files.values()),
        counts=manifest.counts,
        inputs={},
        artifact=artifact.name,
    )


def page_path(workspace: Path) -> Path:
    """Where the page of the last comparison lies."""
    return workspace / PAGE
