"""`study families`: lines through runs of known laws, the largest of them never looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gristmill.cli.main import main
from gristmill.core.artifact import (
    Artifact,
    InputRef,
    Manifest,
    content_hash,
    hash_files,
    write_manifest,
)
from gristmill.core.canonical import hash_json
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.report.charts import chart_svg
from gristmill.report.page import StageRecord, render_report
from gristmill.scaling.points import Point, read_points, write_points
from gristmill.stages.recipe import check_recipe
from gristmill.stages.workspace import Workspace
from gristmill.study.families import FamiliesConfig, families
from gristmill.study.families_results import lines_chart, pairs_table, plain_words
from gristmill.study.family_lines import (
    difference,
    fit_family,
    reference_of,
    runs_on_the_line,
)

SIZES = (5e4, 1.6e5, 4.4e5, 8.5e5, 1.3e6, 2.6e6)
BUDGETS = (1e5, 2e5, 4e5)
EMBEDDING = 1.3e5


def runs(
    slope: float,
    level: float,
    family: str = "transformer",
    *,
    noise: float = 0.0,
    seeds: int = 1,
    draw: int = 0,
    sizes: Sequence[float] = SIZES,
    budgets: Sequence[float] = BUDGETS,
) -> list[Point]:
    """loss = level * (N / 1e6)^slope * (D / 1e5)^-0.1, N without embedding."""
    rng = np.random.default_rng([draw, len(family)])
    return [
        Point(
            n + EMBEDDING,
            d,
            level * (n / 1e6) ** slope * (d / 1e5) ** -0.1 * math.exp(rng.normal(0, noise)),
            6 * n * d,
            family,
            seed,
            f"{family} {n:g} {d:g}",
            n,
        )
        for n in sizes
        for d in budgets
        for seed in range(seeds)
    ]


def test_slope_and_intercept_of_a_known_law() -> None:
    line = fit_family("transformer", runs(-0.05, 4.0), "non_embedding", 1e6)
    at_last_budget = 4.0 * 4**-0.1
    assert line.slope.value == pytest.approx(-0.05, abs=1e-9)
    assert line.level.value == pytest.approx(at_last_budget)
    assert line.intercept.value == pytest.approx(math.log10(at_last_budget) + 0.05 * 6)
    assert line.predicted.value == pytest.approx(at_last_budget * 2.6**-0.05)
    assert line.error.value == pytest.approx(0, abs=1e-9)
    # The same law over another axis: C = 6 N D, and along it the frontier.
    fixed = runs(-0.05, 4.0, budgets=[1e5])
    over_compute = fit_family("transformer", fixed, "flops", 1e12)
    assert over_compute.slope.value == pytest.approx(-0.05, abs=1e-9)


def test_the_largest_run_has_no_part_in_the_fit() -> None:
    for axis in ("non_embedding", "parameters", "flops"):
        points = runs(-0.05, 4.0, noise=0.002, seeds=2)
        largest = max(point.compute for point in points)
        spoilt = [replace(p, loss=3 * p.loss) if p.compute == largest else p for p in points]
        fair, foul = (fit_family("transformer", one, axis, 1e6) for one in (points, spoilt))
        assert fair.slope == foul.slope and fair.level == foul.level
        assert fair.predicted == foul.predicted
        assert len(foul.held_out) == 2  # both seeds
        assert foul.measured == pytest.approx(3 * fair.measured)
        assert foul.error.value == pytest.approx((1 + fair.error.value) / 3 - 1)
        assert fair.inside and foul.inside is False


def test_which_runs_lie_on_the_line() -> None:
    points = runs(-0.05, 4.0)
    fitted, held_out = runs_on_the_line(points, "non_embedding")
    assert [(p.non_embedding, p.tokens) for p in fitted] == [(n, 4e5) for n in SIZES[:-1]]
    assert [(p.non_embedding, p.tokens) for p in held_out] == [(2.6e6, 4e5)]
    # Over compute only what no other beats with as little: a large model on little text is beaten.
    fitted, held_out = runs_on_the_line(points, "flops")
    losses = [p.loss for p in fitted]
    assert losses == sorted(losses, reverse=True) and len(fitted) < len(points) - 1
    assert (2.6e6, 1e5) not in [(p.non_embedding, p.tokens) for p in fitted]
    assert held_out[0].compute == max(p.compute for p in points)
    with pytest.raises(GristmillError, match="three sizes at least"):
        runs_on_the_line(runs(-0.05, 4.0, sizes=SIZES[:2]), "non_embedding")
    with pytest.raises(GristmillError, match="give against: parameters"):
        fit_family("x", [replace(p, non_embedding=None) for p in points], "non_embedding", 1e6)


def test_intervals_hold_what_they_promise() -> None:
    slope = new_run = 0
    for draw in range(300):
        points = runs(-0.05, 4.0, noise=0.01, draw=draw, sizes=SIZES[:5])
        line = fit_family("f", points, "non_embedding", 1e6)
        assert line.slope.low is not None and line.slope.high is not None
        slope += line.slope.low <= -0.05 <= line.slope.high
        new_run += bool(line.inside)
    # 95% of 300 with a standard deviation of 3.8.
    assert 270 <= slope <= 296 and 270 <= new_run <= 296


def test_words_say_no_more_than_the_intervals() -> None:
    def words(first: list[Point], second: list[Point]) -> str:
        both = [first, second]
        reference = reference_of(both, "non_embedding")
        lines = [fit_family(p[0].family, p, "non_embedding", reference) for p in both]
        return " ".join(plain_words(lines, "non_embedding", reference))

    apart = words(runs(-0.06, 4.0, noise=0.002), runs(-0.03, 4.4, "lstm", noise=0.002))
    assert "transformer gains more from more non-embedding parameters than lstm" in apart
    assert "the loss of transformer is lower than that of lstm" in apart
    alike = words(runs(-0.05, 4.0, noise=0.01), runs(-0.05, 4.0, "lstm", noise=0.01))
    assert "do not tell which family gains more" in alike
    assert "do not tell which is better there" in alike
    turned = words(runs(-0.03, 4.4, noise=0.002), runs(-0.06, 4.0, "lstm", noise=0.002))
    assert "lstm gains more from more non-embedding parameters than transformer" in turned
    assert "the loss of transformer is higher" in turned
    few = words(runs(-0.05, 4.0, sizes=SIZES[:3]), runs(-0.05, 4.0, "lstm", sizes=SIZES[:3]))
    assert "have no intervals" in few and "two settings give no interval" in few


def test_an_offset_is_told_only_where_the_runs_bend() -> None:
    sizes = np.geomspace(1e5, 1e9, 12)
    bent = [replace(p, loss=2.0 + p.loss) for p in runs(-0.3, 2.0, sizes=sizes, noise=0.002)]
    line = fit_family("transformer", bent, "non_embedding", 1e7)
    assert line.offset_is_identified and line.offset is not None
    assert abs(line.offset.E - 2.0) < 0.1
    told = 0
    for draw in range(8):
        points = runs(-0.05, 4.0, noise=0.01, draw=draw)
        told += fit_family("f", points, "non_embedding", 1e6).offset_is_identified
    assert told <= 2


def test_the_difference_of_two_slopes_by_hand() -> None:
    # Four points each: 2 degrees of freedom, t 4.3027. Equal errors of 0.01: the difference's error
    # is 0.01414 with 4 degrees, t 2.7764.
    t2, t4 = 4.302653, 2.776445
    first = Figure(-0.06, -0.06 - t2 * 0.01, -0.06 + t2 * 0.01, 4)
    second = Figure(-0.03, -0.03 - t2 * 0.01, -0.03 + t2 * 0.01, 4)
    found = difference(first, second)
    assert found.value == pytest.approx(-0.03)
    assert found.high is not None
    assert found.high == pytest.approx(-0.03 + t4 * 0.01 * math.sqrt(2), rel=1e-5)
    assert difference(first, Figure(-0.03, n=2)).low is None


def test_pairs_are_alike_in_parameters_and_tokens() -> None:
    first = runs(-0.05, 4.0)
    second = [replace(p, parameters=1.1 * p.parameters) for p in runs(-0.03, 4.4, "lstm")]
    rows = pairs_table({"transformer": first, "lstm": second}).rows
    assert len(rows) == len(first)
    assert rows[0][1] == 100_000 and rows[0][4] == pytest.approx(rows[0][3] - rows[0][2], abs=2e-4)
    far = [replace(p, parameters=50 * p.parameters) for p in second]
    assert not pairs_table({"transformer": first, "lstm": far}).rows


def test_the_picture_has_a_ring_for_what_was_held_out() -> None:
    points = runs(-0.05, 4.0, noise=0.003)
    line = fit_family("transformer", points, "non_embedding", 1e6)
    chart = lines_chart([line], "non_embedding")
    [ring] = [one for one in chart.series if one.mark == "hollow"]
    assert (list(ring.x), list(ring.y)) == ([2.6e6], [line.measured])
    [dots] = [one for one in chart.series if one.mark == "dots"]
    assert 2.6e6 not in dots.x and len(dots.x) == 5
    # Within a decade the ticks are plain numbers.
    assert ">3.4<" in chart_svg({**vars(chart), "series": [vars(one) for one in chart.series]})
    marks = {"line": "line", "dots": "dots", "hollow": "dots"}
    drawn = chart_svg({**vars(chart), "series": [vars(one) for one in chart.series]})
    solid = chart_svg(
        {
            **vars(chart),
            "series": [vars(replace(one, mark=marks[one.mark])) for one in chart.series],
        }
    )
    assert drawn.count("fill-opacity: 0") > solid.count("fill-opacity: 0")


def sweep(folder: Path, points: list[Point], tokens: str = "t") -> Path:
    folder.mkdir(parents=True)
    write_points(folder / "runs.csv", points)
    files = hash_files(folder, frozenset())
    reference = InputRef(stage="tokenizer.encode", kind="tokens", key=hash_json(tokens),
                         content=hash_json(tokens), path="../tokens")  # fmt: skip
    manifest: dict[str, Any] = {
        "kind": "sweep", "stage": "study.sweep", "stage_version": 1, "code_version": "0",
        "key": hash_json(str(folder)), "content": content_hash(files), "config": {},
        "files": files, "inputs": {"tokens": [reference]}, "created": "", "seconds": 0,
        "cpu_seconds": 0, "peak_memory_bytes": 0,
    }  # fmt: skip
    write_manifest(folder, Manifest(**manifest))
    return folder


def test_the_study_on_two_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = sweep(tmp_path / "a", runs(-0.06, 4.0, noise=0.002))
    two = sweep(tmp_path / "b", runs(-0.03, 4.4, "lstm", noise=0.002))
    flags = ["--sweeps", f"{one},{two}", "--workspace", str(tmp_path / "w")]
    assert main(["study", "families", *flags]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80
    made = Workspace.at(tmp_path / "w").nodes()["study.families"]
    figures = made.read_json("presentation.json")["figures"]
    assert figures["scaling.transformer.slope"]["value"] == pytest.approx(-0.06, abs=0.005)
    assert figures["scaling.lstm.slope"]["value"] == pytest.approx(-0.03, abs=0.005)
    for name in ("intercept", "line.predicted", "line.error", "flops.slope"):
        assert "low" in figures[f"scaling.lstm.{name}"], name
    # Both families' runs in one table; not a sweep, so that nothing counts a run twice.
    assert made.kind == "comparison" and len(read_points(made.path / "runs.csv")) == 36
    assert main(["show", "study.families", "--workspace", str(tmp_path / "w")]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    for column in ("slope", "intercept", "predicted", "measured", "error"):
        assert column in shown, column
    record = StageRecord(
        "study.families", "comparison", "", "", "", 1.0, 1.0, 0, 0, {}, {}, made.name,
        made.read_json("presentation.json"),
    )  # fmt: skip
    page = render_report("t", "a", [record], [])
    assert "<h2>Scaling</h2>" in page and "Comparisons" not in page
    assert "gains more from more FLOPs" in page


def test_sweeps_of_different_text_or_family_are_refused(tmp_path: Path) -> None:
    one = Artifact.open(sweep(tmp_path / "a", runs(-0.06, 4.0)))
    other = Artifact.open(sweep(tmp_path / "b", runs(-0.03, 4.4, "lstm"), tokens="other"))
    workspace = Workspace.at(tmp_path / "w")
    with pytest.raises(GristmillError, match="made on different tokens"):
        families.run(FamiliesConfig(), {"sweeps": [one, other]}, workspace)
    with pytest.raises(GristmillError, match="no runs of lstm"):
        families.run(FamiliesConfig(), {"sweeps": [one]}, workspace)
    alone = families.run(FamiliesConfig(families=("transformer",)), {"sweeps": [one]}, workspace)
    assert "scaling.transformer.slope" in alone.read_json("presentation.json")["figures"]


def test_it_asks_for_a_sweep_of_each_family_unless_they_are_given(tmp_path: Path) -> None:
    data = {"import": {"path": str(tmp_path)}, "mix": {}}
    base = {"data": data, "tokenizer": {"train": {}, "encode": {}}}
    asked = {"sizes": [0.5, 1.1], "token_budgets": [1000]}
    made = check_recipe({**base, "study": {"families": {"sweep": asked}}}, "test")
    sweeps = ("study.sweep@transformer", "study.sweep@lstm")
    assert made.node("study.families").wires["sweeps"] == sweeps
    assert [made.node(name).config.family for name in sweeps] == ["transformer", "lstm"]  # type: ignore[attr-defined]
    assert len(made.node("study.sweep@lstm").wires["models"]) == 2
    trained = [n.config.architecture for n in made.nodes if n.stage.name == "train.lm"]  # type: ignore[attr-defined]
    assert trained == ["transformer"] * 2 + ["lstm"] * 2
    # A sweep that the recipe holds is that sweep.
    held = {"study": {"sweep": asked, "families": {"sweep": asked}}}
    made = check_recipe({**base, **held}, "test")
    assert made.node("study.families").wires["sweeps"] == ("study.sweep", "study.sweep@lstm")
    given = {"study": {"sweep": asked, "families": {"inputs": {"sweeps": ["study.sweep"]}}}}
    made = check_recipe({**base, **given}, "test")
    assert made.nodes[-1].wires["sweeps"] == ("study.sweep",)
    assert made.nodes[-1].wires["tokens"] == ()
    with pytest.raises(GristmillError, match="neither sweeps nor tokens"):
        check_recipe({"study": {"families": {}}}, "test")


@pytest.mark.parametrize(("n", "m", "ratio"), [(4, 30, 3.0), (30, 4, 3.0), (6, 6, 1.0)])
def test_the_degrees_of_freedom_are_welchs(n: int, m: int, ratio: float) -> None:
    """Held against scipy's own test: at the end of the interval its p is one in twenty."""
    from scipy.stats import t, ttest_ind_from_stats

    def fit(value: float, error: float, runs: int) -> Figure:
        # A line takes two degrees of freedom.
        half = float(t.ppf(0.975, runs - 2)) * error
        return Figure(value, value - half, value + half, runs)

    found = difference(fit(0.5, ratio, n), fit(0.2, 1.0, m))
    assert found.high is not None and found.value == pytest.approx(0.3)
    # A mean of k values has k - 1 of them, so that k is one less than the runs of the line.
    deviation = (ratio * math.sqrt(n - 1), math.sqrt(m - 1))
    at_the_end = ttest_ind_from_stats(
        found.high - found.value, deviation[0], n - 1, 0.0, deviation[1], m - 1, equal_var=False
    )
    assert at_the_end.pvalue == pytest.approx(0.05, abs=1e-6)
