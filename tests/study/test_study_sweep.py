"""`study sweep`: which trainings it asks for, and a whole sweep of tiny models."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.cli.main import main
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.model.flops import flops_per_token
from gristmill.model.weights import load_config
from gristmill.scaling.points import Point, read_points
from gristmill.stages.graph import run_recipe
from gristmill.stages.recipe import Recipe, check_recipe, load_recipe
from gristmill.stages.settings import check_config
from gristmill.stages.stage import config_identity
from gristmill.stages.train_lm import Shape, TrainLmConfig, dial_of
from gristmill.stages.workspace import Workspace, asked_for
from gristmill.study.grid import Budget, flops_of, planned_runs
from gristmill.study.sweep import SweepConfig
from gristmill.study.sweep_results import loss_chart, seed_deviation, sweep_notes

VOCABULARY = 2048


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def config(**settings: Any) -> SweepConfig:
    return check_config(SweepConfig, settings, "test")


def test_batch_steps_and_warmup_follow_each_runs_own_tokens() -> None:
    for family in ("transformer", "lstm"):
        short, long = (
            dial_of(run.config, VOCABULARY)
            for run in config(family=family, sizes=[0.6], token_budgets=[3_200_000, 100_000]).runs(
                VOCABULARY
            )
        )
        assert (short.tokens, long.tokens) == (99_840, 3_198_976)
        assert short.batch_rows < long.batch_rows
        assert short.steps < long.steps
        assert short.warmup < long.warmup
        assert short.parameters == long.parameters


def test_a_sweep_settles_nothing_that_a_run_would_derive() -> None:
    for family in ("transformer", "lstm"):
        runs = config(family=family, sizes=[0.3, 0.6], token_budgets=[100_000, 400_000]).runs(
            VOCABULARY
        )
        assert {run.config.dial for run in runs} == {Shape(tied=True)}
        for run in runs:
            alone = TrainLmConfig(
                architecture=run.config.architecture, size=run.size,
                token_budget=run.config.token_budget, dial=Shape(tied=True),
            )  # fmt: skip
            assert dial_of(run.config, VOCABULARY) == dial_of(alone, VOCABULARY)
    own = config(sizes=[0.3], train={"dial": {"matrix_lr": 0.5}}).runs(VOCABULARY)
    assert dial_of(own[0].config, VOCABULARY).matrix_lr == 0.5


def test_one_head_for_all_sizes_however_large() -> None:
    # Left to itself the dial gives the smaller of these an embedding that is its head, the larger
    # one of its own: a kink in every curve.
    alone = [dial_of(TrainLmConfig(size=s), VOCABULARY).model.tied for s in (0.3, 1.6)]
    assert alone == [True, False]
    runs = config(sizes=[0.3, 1.6]).runs(VOCABULARY)
    assert [dial_of(run.config, VOCABULARY).model.tied for run in runs] == [True, True]
    untied = config(sizes=[0.6, 1.6], train={"dial": {"tied": False}}).runs(VOCABULARY)
    assert [dial_of(run.config, VOCABULARY).model.tied for run in untied] == [False, False]


def test_budgets_in_tokens_in_tokens_per_parameter_and_in_flops() -> None:
    runs = config(sizes=[1.1, 0.3], tokens_per_parameter=[2]).runs(VOCABULARY)
    assert [(run.size, run.config.token_budget) for run in runs] == [
        (0.3, 600_000),
        (1.1, 2_200_000),
    ]
    assert config(sizes=[0.3]).runs(VOCABULARY)[0].config.token_budget == 6_000_000
    equal = config(sizes=[0.3, 1.1], flop_budgets=[3e12]).runs(VOCABULARY)
    spent = [flops_of(dial_of(run.config, VOCABULARY)) for run in equal]
    assert spent == pytest.approx([3e12, 3e12], rel=0.01)
    # Two families of one size read the same.
    other = config(sizes=[1.1, 0.3], tokens_per_parameter=[2], family="lstm").runs(VOCABULARY)
    assert [r.config.token_budget for r in other] == [r.config.token_budget for r in runs]


def test_seeds_for_the_smallest_sizes_only() -> None:
    runs = config(sizes=[0.3, 0.6, 1.1], token_budgets=[1000], seeds=3, reseeded=1)
    labels = [run.label for run in runs.runs(VOCABULARY)]
    assert labels == [
        "0.3M-1k-seed0", "0.3M-1k-seed1", "0.3M-1k-seed2", "0.6M-1k-seed0", "1.1M-1k-seed0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"token_budgets": [1], "flop_budgets": [1e9]}, "two kinds of budget"),
        ({"sizes": [0.0]}, "above 0"),
        ({"train": {"size": 3}}, "'train.size' is what the sweep sets"),
        ({"train": {"architecture": "lstm"}}, "'train.architecture' is what the sweep sets"),
        ({"sizes": []}, "at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(GristmillError, match=said):
        config(**settings)


def test_what_a_dry_run_assumes_is_no_part_of_a_sweep() -> None:
    assert config_identity(config(vocabulary=300)) == config_identity(config())
    assert config_identity(config(seeds=2)) != config_identity(config())


def test_two_sizes_of_one_shape_are_refused() -> None:
    with pytest.raises(GristmillError, match=r"0\.25 and 0\.3 come out as one shape"):
        planned_runs(
            "transformer", [0.3, 0.25], [Budget("tokens", 1000)], 1, None, TrainLmConfig(), 2048
        )


def recipe(texts: Path, *, head: dict[str, Any] | None = None, **study: Any) -> Recipe:
    settings = {
        "seed": 3,
        "data": {"import": {"path": str(texts)}, "mix": {"heldout_share": 0.1}},
        "tokenizer": {"train": {"vocab_size": 300}, "encode": {}},
        **(head or {}),
        "study.sweep": study,
    }
    return check_recipe(settings, "test")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = random.Random(1)
    words = ["".join(chosen.choices("abcdefghij", k=chosen.randint(2, 6))) + " " for _ in range(60)]
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [{"text": "".join(chosen.choices(words, k=80)).strip() + "."} for _ in range(120)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_recipe_gets_a_training_and_a_score_for_each_run(texts: Path) -> None:
    made = recipe(texts, sizes=[0.1, 0.3], token_budgets=[4096, 8192], train={"context": 32})
    names = [node.name for node in made.nodes][4:]
    assert names == [
        name
        for size in ("0.1M", "0.3M")
        for budget in ("4.096k", "8.192k")
        for name in (
            f"train.lm@transformer-{size}-{budget}-seed0",
            f"evaluate.perplexity@transformer-{size}-{budget}-seed0",
        )
    ] + ["study.sweep"]
    assert {node.asked_by for node in made.nodes[4:-1]} == {"study.sweep"}
    study = made.node("study.sweep")
    assert list(study.wires["models"]) == names[0:-1:2]
    assert list(study.wires["scores"]) == names[1:-1:2]
    scored = made.node(names[1])
    # Nothing of the recipe's own may slip in: each model is scored alone.
    assert scored.wires["model"] == (names[0],)
    assert {made.node(name).wires["others"] for name in names[1:-1:2]} == {()}
    assert scored.wires["tokens"] == made.node(names[0]).wires["tokens"] == ("tokenizer.encode",)
    assert made.node(names[0]).seed == 3


def test_a_training_that_the_recipe_holds_is_not_made_again(texts: Path) -> None:
    own = {"size": 0.3, "token_budget": 8192, "context": 32, "dial": {"tied": True}}
    study = {"sizes": [0.1, 0.3], "token_budgets": [8192], "train": {"context": 32}}
    made = recipe(texts, head={"train": {"lm": own}}, **study)
    wired = made.node("study.sweep").wires["models"]
    assert wired == ("train.lm@transformer-0.1M-8.192k-seed0", "train.lm")
    other = recipe(texts, head={"train": {"lm": {**own, "decay": 0.5}}}, **study)
    assert "train.lm" not in other.node("study.sweep").wires["models"]


def test_budgets_are_reckoned_with_the_tokenizer_of_the_recipe(texts: Path) -> None:
    study: dict[str, Any] = {"sizes": [0.3], "flop_budgets": [1e10]}
    small = recipe(texts, **study).nodes[4].config
    assert isinstance(small, TrainLmConfig)
    assert flops_of(dial_of(small, 300)) == pytest.approx(1e10, rel=0.3)
    assert small.token_budget != config(**study).runs(4096)[0].config.token_budget
    with pytest.raises(GristmillError, match=r"the vocabulary is 300, not 2,048"):
        recipe(texts, vocabulary=2048, **study)


def test_a_whole_sweep(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = {"sizes": [0.05, 0.2], "token_budgets": [4_000, 24_000], "seeds": 2, "reseeded": 1,
             "train": {"context": 32, "anneal": 0, "precision": "fp32"}}  # fmt: skip
    steps = run_recipe(recipe(texts, **study), Workspace.at(tmp_path / "w"))
    made = steps[-1].artifact
    points = read_points(made.path / "runs.csv")
    assert [(p.seed, p.family) for p in points] == [
        (seed, "transformer") for seed in (0, 1, 0, 1, 0, 0)
    ]
    assert [round(p.tokens / 1000) for p in points] == [4, 4, 24, 24, 4, 24]
    for point in points:
        assert point.non_embedding is not None and point.flops is not None
        multiplying = point.parameters  # tied: what is looked up is the head
        assert point.flops > 6 * multiplying * point.tokens * 0.98
        assert point.loss < math.log(300) and point.bits_per_byte is not None
    assert points[0].loss != points[1].loss
    # More text is better, and the loss is the one that evaluate perplexity tells.
    assert points[2].loss < points[0].loss and points[5].loss < points[4].loss
    scores = [s.artifact for s in steps if s.artifact.stage == "evaluate.perplexity"]
    figures = scores[0].read_json("presentation.json")["figures"]
    assert math.exp(points[0].loss) == pytest.approx(
        figures["base.token_perplexity"]["value"], rel=1e-5
    )
    assert points[0].bits_per_byte == pytest.approx(figures["base.bits_per_byte"]["value"])
    # FLOPs are those of the shape: with attention, which 6 N D leaves out.
    shape = load_config(next(s.artifact.path for s in steps if s.artifact.kind == "model"))
    assert points[0].flops == pytest.approx(flops_per_token(shape) * points[0].tokens)
    trained = [s.artifact.read_json("training.json") for s in steps if s.artifact.kind == "model"]
    assert trained[0]["dial"]["batch_rows"] != trained[2]["dial"]["batch_rows"]
    assert trained[0]["steps"] != trained[2]["steps"]
    shown = made.read_json("presentation.json")
    assert any("Kaplan et al. 2020" in note for note in shown["notes"])
    assert shown["figures"]["scaling.transformer.seed_deviation"]["n"] == 2
    # The report counts what the sweep asked for.
    assert len(asked_for([made])) >= 12
    # The same from the command line, on the tokens alone: all of it is there already.
    tokens = next(s.artifact for s in steps if s.artifact.kind == "tokens")
    flags = ["--tokens", str(tokens.path), "--workspace", str(tmp_path / "w"), "--seed", "3",
             "--sizes", "[0.05,0.2]", "--token_budgets", "[4000,24000]", "--seeds", "2",
             "--reseeded", "1", "--train.context", "32", "--train.anneal", "0",
             "--train.precision", "fp32"]  # fmt: skip
    assert main(["study", "sweep", *flags]) == 0
    said = capsys.readouterr().out
    assert "13 stages, 0 ran" in said and "Every run (transformer)" in said
    assert main(["show", made.name, "--workspace", str(tmp_path / "w")]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80
    assert Artifact.open(made.path).kind == "sweep"


def test_a_dry_run_says_how_many_flops_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--sweep.sizes", "[0.3,0.6]"]
    assert main(["study", "families", *flags, "--dry-run"]) == 2  # no tokens
    capsys.readouterr()
    small = [f"--study.sweep@{name}.sizes=[0.15,0.3]" for name in ("transformer", "lstm")]
    assert main(["run", "scaling", *small, "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "12 trainings of 2 sizes (transformer) for a vocabulary of 2,048" in said
    assert "12 trainings of 2 sizes (lstm)" in said
    assert said.count("FLOPs, about") == 2 and "minutes at the speed" in said
    # The trainings themselves do not say it all again.
    assert "train.lm@transformer-0.3M-100k-seed0: " not in said


def test_the_shipped_recipe_has_sizes_enough_for_a_line_and_repeats() -> None:
    made = load_recipe("scaling")
    for family in ("transformer", "lstm"):
        study = made.node(f"study.sweep@{family}")
        settings = study.config
        assert isinstance(settings, SweepConfig) and settings.family == family
        assert len(settings.sizes) >= 4 and settings.seeds >= 2
        assert len(study.wires["models"]) == len(set(study.wires["models"]))
    assert made.node("study.families").wires["sweeps"] == (
        "study.sweep@transformer",
        "study.sweep@lstm",
    )
    assert made.node("scaling.fit").wires["sweep"] == made.node("study.families").wires["sweeps"]
    assert not any(node.name.split(".")[0] in ("align", "generate") for node in made.nodes)


def point(parameters: float, tokens: float, loss: float, seed: int = 0) -> Point:
    return Point(parameters, tokens, loss, 6 * parameters * tokens, "transformer", seed)


def test_the_largest_run_is_hollow_and_alone() -> None:
    points = [point(1e5, 1e5, 5), point(1e5, 2e5, 4.8), point(2e5, 1e5, 4.9),
              point(2e5, 2e5, 4.5), point(2e5, 2e5, 4.6, 1)]  # fmt: skip
    series = loss_chart("transformer", points).series
    hollow = [one for one in series if one.mark == "hollow"]
    assert [list(one.x) for one in hollow] == [[6 * 2e5 * 2e5]]
    assert hollow[0].y[0] == pytest.approx(4.55)
    assert (list(hollow[0].low or ()), list(hollow[0].high or ())) == ([4.5], [4.6])
    solid = [one for one in series if not one.mark]
    assert sorted(value for one in solid for value in one.y) == [4.8, 4.9, 5]


def test_how_far_seeds_are_apart() -> None:
    # Two settings with two seeds each: variances 0.005 and 0.02, pooled 0.0125.
    points = [point(1, 1, 4.0), point(1, 1, 4.1, 1), point(2, 1, 3.0), point(2, 1, 3.2, 1),
              point(3, 1, 9.0)]  # fmt: skip
    found = seed_deviation(points)
    assert found is not None and found.n == 2
    assert found.value == pytest.approx(math.sqrt(0.0125))
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    # Chi-square with 2 degrees of freedom: quantiles 0.0506 and 7.378.
    assert found.high == pytest.approx(math.sqrt(0.025 / 0.050636), rel=1e-4)
    assert seed_deviation([point(1, 1, 4.0), point(2, 1, 3.0)]) is None


def test_a_reader_is_told_of_repeated_text() -> None:
    once, often = ([point(1e5, tokens, 4)] for tokens in (1e6, 9e6))
    assert not any("reads it" in note for note in sweep_notes(once, 1_000_000))
    [note] = [note for note in sweep_notes(often, 1_000_000) if "reads it" in note]
    assert "9.0 times" in note and "repeats are worth less" in note
