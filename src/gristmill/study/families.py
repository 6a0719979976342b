"""`study families`: transformer against LSTM at equal parameters and tokens, at several sizes.

For each family the line of log loss over log size (and over log compute), its largest run held out
and predicted. The sweeps are asked for, or given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from gristmill.core.figure import Figure
from gristmill.stages.expansion import Expansion, Place
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.study.grid import COUNTED, Axis, Family
from gristmill.study.sweep import RUNS, SweepConfig

if TYPE_CHECKING:
    from gristmill.scaling.points import Point


class FamiliesConfig(StageConfig):
    """Which families, along which axes, and the runs that are asked for."""

    families: tuple[Family, ...] = Field(("transformer", "lstm"), min_length=1)
    """In the order in which they are told; the first two are compared."""
    against: tuple[Axis, ...] = Field(("non_embedding", "flops"), min_length=1)
    """What the loss is drawn over: parameters, non_embedding (of them), flops. The figures
    `scaling.FAMILY.slope` are of the first."""
    sweep: SweepConfig = SweepConfig()
    """The runs of each family, where no sweeps are given. `family` is set by the study."""

    @model_validator(mode="after")
    def _family_is_ours(self) -> Self:
        if self.sweep.family != SweepConfig().family:
            raise ValueError("'sweep.family' is what the study sets itself; see 'families'")
        return self


def expand(config: FamiliesConfig, place: Place) -> Expansion:
    """A sweep for each family, unless sweeps are given."""
    from gristmill.core.errors import GristmillError

    if place.inputs["sweeps"]:
        return Expansion([], {"tokens": []})
    tokens = list(place.inputs["tokens"])
    if not tokens:
        raise GristmillError(
            "neither sweeps nor tokens to train on", where=place.name, mend="give --tokens FOLDER"
        )
    label = place.name.partition("@")[2]
    block = config.sweep.model_dump(mode="json")
    wanted: list[tuple[str, Mapping[str, Any]]] = [
        (
            f"study.sweep@{label and label + '-'}{family}",
            {**block, "family": family, "seed": place.seed, "inputs": {"tokens": tokens}},
        )
        for family in dict.fromkeys(config.families)
    ]
    return Expansion(wanted, {"sweeps": [name for name, _ in wanted], "tokens": []})


@stage(
    "study families",
    version=1,
    # Not a sweep: what takes all sweeps of a recipe must not count their runs twice.
    kind="comparison",
    config=FamiliesConfig,
    inputs={
        "tokens": Slot("tokens", optional=True, help="what all train on, where no sweep is given"),
        "sweeps": Slot(
            "sweep", many=True, optional=True, named=True, help="runs that are there already"
        ),
    },
    summary="compare transformer and LSTM: slope and intercept of loss over size",
    example="gristmill study families --sweeps DIR,DIR",
    expand=expand,
)
def families(config: FamiliesConfig, inputs: Inputs, output: Output) -> None:
    """Figures `scaling.FAMILY.slope`, `.intercept`, `.line.error`; the joint `runs.csv`."""
    from gristmill.scaling.points import write_points
    from gristmill.study.families_results import (
        lines_chart,
        lines_table,
        pairs_table,
        plain_words,
        predictions_table,
    )
    from gristmill.study.family_lines import fit_family, reference_of

    runs = _runs(config, inputs)
    write_points(output.path / RUNS, [point for points in runs.values() for point in points])
    for rank, axis in enumerate(dict.fromkeys(config.against)):
        reference = reference_of(list(runs.values()), axis)
        lines = [fit_family(name, points, axis, reference) for name, points in runs.items()]
        output.notes += plain_words(lines, axis, reference)
        output.charts.append(lines_chart(lines, axis))
        output.tables += [lines_table(lines, axis, reference), predictions_table(lines, axis)]
        for line in lines:
            below = f"scaling.{line.family}." + ("" if rank == 0 else f"{axis}.")
            output.figures |= {
                f"{below}slope": line.slope,
                f"{below}intercept": line.intercept,
                f"{below}level": line.level,
                f"{below}line.predicted": line.predicted,
                f"{below}line.measured": Figure(line.measured, n=len(line.held_out)),
                f"{below}line.error": line.error,
            }
    if len(runs) > 1:
        output.tables.append(pairs_table(runs))
    output.notes.append(COUNTED)
    output.counts.update(families=len(runs), runs=sum(len(points) for points in runs.values()))


def _runs(config: FamiliesConfig, inputs: Inputs) -> dict[str, list[Point]]:
    """The runs of each family. Raises GristmillError for sweeps of different text, or where a
    family that is wanted has none."""
    from gristmill.core.errors import GristmillError
    from gristmill.scaling.points import by_family, read_points

    sweeps = inputs.many("sweeps")
    texts = {ref.content for sweep in sweeps for ref in sweep.manifest.inputs.get("tokens", ())}
    if len(texts) > 1:
        raise GristmillError(
            "these sweeps were made on different tokens: their losses cannot be compared",
            where=sweeps[-1].path,
            mend="make them on one tokens artifact",
        )
    found = by_family([point for sweep in sweeps for point in read_points(sweep.file(RUNS))])
    missing = [name for name in dict.fromkeys(config.families) if name not in found]
    if missing:
        raise GristmillError(
            f"no runs of {' and '.join(missing)} in these sweeps",
            where=sweeps[0].path,
            mend=f"give a sweep of each, or --families {','.join(found)}",
        )
    return {name: found[name] for name in dict.fromkeys(config.families)}
