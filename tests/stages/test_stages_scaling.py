"""`scaling fit`, `scaling recipe` and `plan`, from a table of runs to a recipe that validates."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from gristmill.cli.main import main
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.scaling.points import Point, write_points
from gristmill.stages.recipe import load_recipe
from gristmill.stages.scaling_fit import FitConfig, scaling_fit
from gristmill.stages.scaling_recipe import RecipeConfig, scaling_recipe
from gristmill.stages.workspace import Workspace

LAWS = {"transformer": (1.5, 60, 0.35, 300, 0.35), "lstm": (1.8, 40, 0.30, 300, 0.35)}


def runs(families: tuple[str, ...] = ("",)) -> list[Point]:
    rng = np.random.default_rng(0)
    made = []
    for family in families:
        E, A, alpha, B, beta = LAWS[family or "transformer"]
        for C in (1e13, 4e13, 1.6e14):
            best = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * math.sqrt(C / 6)
            for N in best * np.geomspace(0.3, 3, 6):
                D = C / (6 * N)
                loss = (E + A / N**alpha + B / D**beta) * math.exp(0.002 * rng.standard_normal())
                made.append(Point(float(N), float(D), loss, C, family, non_embedding=0.7 * N))
    return made


def table(path: Path, points: list[Point], extra: str = "") -> str:
    write_points(path / "runs.csv", points)
    with open(path / "runs.csv", "a", encoding="utf-8") as file:
        file.write(extra)
    return str(path / "runs.csv")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("fit")
    points = table(path, runs(), "bad,row,x\n")
    config = FitConfig(points=points, resamples=60)
    return scaling_fit.run(config, {}, Workspace.at(path / "ws"), seed=1)


def test_how_parameters_are_counted_changes_the_exponent(tmp_path: Path) -> None:
    # The embedding is most of the small models and little of the large ones.
    points = [replace(point, non_embedding=point.parameters**1.5 / 3e2) for point in runs()]
    config = FitConfig(points=table(tmp_path, points), resamples=20, held_out=False)
    made = scaling_fit.run(config, {}, Workspace.at(tmp_path / "ws"))
    shown = made.read_json("presentation.json")
    figures = {name: entry["value"] for name, entry in shown["figures"].items()}
    # N' ~ N^1.5: the exponent of its law is alpha / 1.5.
    assert figures["scaling.a"] == pytest.approx(0.5, abs=0.05)
    assert figures["scaling.non_embedding.a"] == pytest.approx(0.6, abs=0.05)
    (told,) = [one for one in shown["tables"] if one["title"].startswith("Best size")]
    all_of_them, without = told["rows"]
    assert without[1]["figure"]["value"] == pytest.approx(0.6, abs=0.05)
    assert without[2]["figure"]["value"] == pytest.approx(
        1.5 * all_of_them[2]["figure"]["value"], rel=0.1
    )


def test_the_fit_finds_the_law_that_made_the_table(fitted) -> None:  # type: ignore[no-untyped-def]
    shown = fitted.read_json("presentation.json")
    figures = {name: entry["value"] for name, entry in shown["figures"].items()}
    assert figures["scaling.alpha"] == pytest.approx(0.35, abs=0.05)
    assert figures["scaling.a"] == pytest.approx(0.5, abs=0.05)
    assert figures["scaling.isoflop.a"] == pytest.approx(0.5, abs=0.05)
    assert abs(figures["scaling.held_out.error"]) < 0.02
    assert figures["scaling.non_embedding.a"] == pytest.approx(figures["scaling.a"], abs=1e-3)
    assert figures["scaling.frontier.slope"] < 0
    assert fitted.manifest.counts == {"runs": 18, "rejected": 1, "fitted": 18}
    assert fitted.file("rejects/points.jsonl").read_text(encoding="utf-8").count("\n") == 1
    conventions = next(t for t in shown["tables"] if t["title"].startswith("Best size"))
    assert [row[0] for row in conventions["rows"]] == [
        "all parameters",
        "without embedding and head",
    ]
    assert any("unique_tokens" in note for note in shown["notes"])
    assert len(shown["charts"]) == 3


def test_its_charts_are_drawn(fitted) -> None:  # type: ignore[no-untyped-def]
    from gristmill.report.charts import chart_svg

    for chart in fitted.read_json("presentation.json")["charts"]:
        assert "<svg" in chart_svg(chart)


def test_families_are_fitted_apart(tmp_path: Path) -> None:
    points = table(tmp_path, runs(("transformer", "lstm")))
    config = FitConfig(points=points, resamples=20)
    artifact = scaling_fit.run(config, {}, Workspace.at(tmp_path / "ws"))
    figures = artifact.read_json("presentation.json")["figures"]
    assert {"scaling.transformer.alpha", "scaling.lstm.alpha"} <= set(figures)
    assert "scaling.alpha" not in figures
    one = FitConfig(points=points, resamples=20, family="lstm")
    figures = scaling_fit.run(one, {}, Workspace.at(tmp_path / "ws")).read_json(
        "presentation.json"
    )["figures"]
    assert figures["scaling.alpha"]["value"] == pytest.approx(0.3, abs=0.05)
    with pytest.raises(GristmillError, match="lstm"):
        scaling_fit.run(FitConfig(points=points, family="lsmt"), {}, Workspace.at(tmp_path / "ws"))


def test_sweeps_are_fitted_and_a_named_file_stands_above_them(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    sweeps = []
    for family in ("transformer", "lstm"):
        folder = tmp_path / family
        folder.mkdir()
        table(folder, runs((family,)))
        sweeps.append(seal(folder, "sweep", "study.sweep"))
    place = Workspace.at(tmp_path / "ws")
    config = FitConfig(resamples=20)
    figures = scaling_fit.run(config, {"sweep": sweeps}, place).read_json("presentation.json")
    assert {"scaling.transformer.a", "scaling.lstm.a"} <= set(figures["figures"])
    own = FitConfig(resamples=20, points=str(tmp_path / "lstm" / "runs.csv"))
    artifact = scaling_fit.run(own, {"sweep": sweeps}, place)
    assert artifact.manifest.counts["runs"] == 18


def test_too_few_runs_say_so(tmp_path: Path) -> None:
    points = table(tmp_path, runs()[:2])
    with pytest.raises(GristmillError, match="no law"):
        scaling_fit.run(FitConfig(points=points), {}, Workspace.at(tmp_path / "ws"))
    with pytest.raises(GristmillError, match="leaves no run"):
        none = FitConfig(points=points, drop_highest=2)
        scaling_fit.run(none, {}, Workspace.at(tmp_path / "ws"))
    with pytest.raises(GristmillError, match="no runs"):
        scaling_fit.run(FitConfig(), {}, Workspace.at(tmp_path / "ws"))


def test_a_plan_by_ones_own_law(  # type: ignore[no-untyped-def]
    fitted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "plan.yaml"
    budget = ["plan", "--flops", "1.6e14", "--gpu", "4090", "--gpus", "1", "--json"]
    assert main([*budget, "--law", str(fitted.path), "--out", str(recipe)]) == 0
    told = json.loads(capsys.readouterr().out)
    law = told["choices"][1]
    assert law["flops"] == pytest.approx(1.6e14)
    assert law["loss"]["low"] < law["loss"]["value"] < law["loss"]["high"]
    assert told["recipe"] == str(recipe)
    loaded = load_recipe(str(recipe))
    lm = loaded.node("train.lm").config
    assert lm.size == pytest.approx(law["parameters"] / 1e6, rel=1e-4)  # type: ignore[attr-defined]
    assert lm.token_budget == round(law["tokens"])  # type: ignore[attr-defined]


def test_a_large_plan_fits_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    recipe = tmp_path / "plan.yaml"
    given = ["plan", "--gpus", "10000", "--gpu", "h100", "--days", "30", "--out", str(recipe)]
    assert main(given) == 0
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if str(recipe) not in line]
    assert max(map(len, lines)) <= 80
    for word in ("10,000 H100", "FLOPs in 30 days", "$18M", "GWh", "150", "old", "new", "too much"):
        assert word in shown
    assert "NOT RUNNABLE" in recipe.read_text(encoding="utf-8")
    assert load_recipe(str(recipe)).name == "planned"
    assert main(["plan", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_check_prints_published_trainings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["max_error"] < 0.1 and len(told["trainings"]) >= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no budget"),
        (["--gpus", "2.5", "--days", "1"], "whole number"),
        (["--flops", "many"], "number above 0"),
        (["--flops", "1e20", "--mfu", "40"], "share"),
        (["--flops", "1e20", "--gpu", "h1000"], "h100"),
        (["--flops", "1e20", "--law", "nowhere"], "cannot be read"),
        (["--flops", "1e20", "--choice", "best"], "unknown choice"),
        (["--flop", "1e20"], "--flops"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_recipe_of_a_size_validates(tmp_path: Path) -> None:
    config = RecipeConfig(size=124, token_budget=2_500_000_000, text="mine: 'all'")
    artifact = scaling_recipe.run(config, {}, Workspace.at(tmp_path))
    path = artifact.file("recipe.yaml")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert settings["train"]["lm"]["token_budget"] == 2_500_000_000
    assert settings["data"]["import"]["path"] == "mine: 'all'"
    assert load_recipe(str(path)).node("train.lm")
    (told,) = artifact.read_json("presentation.json")["tables"]
    names = {row[0] for row in told["rows"]}
    assert {"layers", "batch_rows", "matrix_lr", "weight_decay", "decay", "vocab_size"} <= names
