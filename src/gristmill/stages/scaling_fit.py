"""`scaling fit`: three fits of loss against size, tokens and compute, and their test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage

if TYPE_CHECKING:
    from gristmill.scaling.points import Point

POINTS = "points.csv"


class FitConfig(StageConfig):
    """Which runs, and how they are grouped and resampled."""

    points: str | None = content_of(None)
    """A CSV of runs with columns parameters, tokens and loss (flops, family, non_embedding,
    unique_tokens too, where known), in place of a sweep."""
    family: str | None = None
    """Fit only the runs of this family; default: each on its own."""
    drop_highest: int = Field(0, ge=0)
    """Leave out so many runs of highest loss, of each family."""
    tolerance: float = Field(0.1, gt=0, lt=0.5)
    """Runs belong to one budget where their FLOPs lie within this share of one run's."""
    resamples: int = Field(200, ge=20)
    """Of the runs, for the intervals."""
    held_out: bool = True
    """Also predict the largest run from the others."""


@stage(
    "scaling fit",
    version=1,
    kind="scaling",
    config=FitConfig,
    inputs={"sweep": Slot("sweep", optional=True, many=True, help="runs of study sweep")},
    summary="fit power law, isoFLOP parabolas and parametric law to runs; predict the largest",
    example="gristmill scaling fit --points runs.csv",
    seeded=True,
)
def scaling_fit(config: FitConfig, inputs: Inputs, output: Output) -> None:
    """law.json: the laws, for `plan --law`. Figures: `scaling.alpha`, `.beta`, `.E`, `.A`, `.B`,
    `.a`, `.isoflop.a`, `.frontier.slope`, `.held_out.error`; with several families
    `scaling.FAMILY.alpha` and so on."""
    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.core.nearest import did_you_mean
    from gristmill.scaling.law_file import LAW
    from gristmill.scaling.points import (
        by_family,
        drop_highest,
        read_points_and_rejects,
        write_points,
    )
    from gristmill.stages.family_fits import FamilyFits

    # A file that is named stands above the sweeps that a workspace happens to hold.
    sweeps = inputs.many("sweep") if config.points is None else []
    paths = [str(sweep.file("runs.csv")) for sweep in sweeps]
    paths += [] if config.points is None else [config.points]
    if not paths:
        raise GristmillError("no runs to fit", mend="give --points FILE or --sweep FOLDER")
    points: list[Point] = []
    rejects: list[dict[str, str]] = []
    for path in paths:
        found, refused = read_points_and_rejects(path)
        points += found
        rejects += refused
    output.counts["runs"] = len(points)
    output.counts["rejected"] = output.reject("points", rejects)
    families = by_family(points)
    if config.family is not None:
        if config.family not in families:
            raise GristmillError(
                f"no run of a family '{config.family}'",
                where=", ".join(paths),
                mend=did_you_mean(config.family, families),
            )
        families = {config.family: families[config.family]}
    laws: dict[str, Any] = {}
    kept: list[Point] = []
    for family, runs in families.items():
        runs = drop_highest(runs, config.drop_highest)
        if not runs:
            raise GristmillError(
                "leaves no run", where="drop_highest", mend=f"it is {config.drop_highest}"
            )
        kept += runs
        prefix = "scaling" if len(families) == 1 else f"scaling.{_key(family)}"
        laws[family] = FamilyFits(family, prefix, runs, config, output).fit()
    if not any(laws.values()):
        raise GristmillError(
            f"{len(kept)} runs hold no law",
            where=", ".join(paths),
            mend="three sizes at three token counts are the least",
        )
    output.counts["fitted"] = len(kept)
    write_points(output.path / POINTS, kept)
    write_json(output.path / LAW, {"families": laws})


def _key(family: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", family) or "unnamed"
