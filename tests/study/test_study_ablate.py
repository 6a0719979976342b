"""Ablations: one graph for all runs, seeds, one held-out text, kills, and the comparison."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from gristmill.cli.main import main
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.recipe import load_recipe
from gristmill.study.paired import mean, paired_difference, verdict
from gristmill.study.variants import Graph, build_graph
from gristmill.study.variation import parse_variation, read_variation, variants

WORDS = ["mouse", "cheese", "river", "city", "king", "book", "water", "plant", "war", "song"]
EVALUATED = ["train.lm", "evaluate.perplexity"]
AFTER_MIX = ["data.mix", "tokenizer.train", "tokenizer.encode", *EVALUATED]


def text(number: int) -> str:
    rng = np.random.default_rng(number)
    return " ".join(rng.choice(WORDS, 40)) + f" {number}."


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Texts to a model of about a thousand parameters, in seconds."""
    # The last ten say again what ten others say.
    rows = [{"url": f"http://a.example/{n}", "text": text(n % 60)} for n in range(70)]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    rules = ("language", "boilerplate", "gopher_quality", "gopher_repetition", "c4", "fineweb")
    settings = {
        "workspace": str(tmp_path / "w"),
        "seed": 4,
        "data": {
            "import": {"path": str(texts)},
            "filter": {rule: {"enabled": False} for rule in rules},
            "dedup": {},
            "mix": {"heldout_share": 0.2},
        },
        "tokenizer": {"train": {"vocab_size": 300}, "encode": {}},
        "train": {"lm": {"size": 0.05, "context": 32, "token_budget": 4000, "precision": "fp32"}},
        "evaluate": {"perplexity": {"resamples": 100}},
        "report": {},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


CHILD = """
import sys
from pathlib import Path
from gristmill.cli.main import main
from gristmill.stages.stage import Stage
artifacts, leave, run = Path(sys.argv.pop(1)), int(sys.argv.pop(1)), Stage.run
def run_if_there_is_leave(stage, *given, **options):
    if len(list(artifacts.glob("train.lm-*/manifest.json"))) >= leave:
        sys.stdin.read()  # nothing comes: here it waits for its signal
    return run(stage, *given, **options)
Stage.run = run_if_there_is_leave
sys.exit(main(sys.argv[1:]))
"""


def start(artifacts: Path, leave: int, *arguments: str) -> "subprocess.Popen[str]":
    """leave: with so many trained models it begins no stage, so that it cannot end before."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(artifacts), str(leave), "study", "ablate", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ) | {"GRISTMILL_PROGRESS": "off", "OMP_NUM_THREADS": "1"},
    )


Ablate = Callable[..., dict[str, Any]]


@pytest.fixture
def ablate(capsys: pytest.CaptureFixture[str]) -> Ablate:
    """The result of `study ablate` as a program reads it."""

    def call(*arguments: str, expect: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        code = main(["study", "ablate", *arguments, "--workers", "1", "--json"])
        said = capsys.readouterr()
        assert code == expect, said.err[-3000:]
        result = {"error": said.err} if expect else json.loads(said.out)
        assert isinstance(result, dict)
        return result

    return call


def ran(result: dict[str, Any]) -> list[list[str]]:
    """For each run, the stages that ran in it and in none before."""
    return [[name for name, here in run["stages"].items() if here] for run in result["runs"]]


def graph_of(recipe: Path, *vary: str, **options: Any) -> Graph:
    given = {"seeds": 2, "reseed": "train", "until": None} | options
    return build_graph(str(recipe), {}, [parse_variation(v) for v in vary], **given)[0]


def own(graph: Graph) -> list[list[str]]:
    """For each run, the stages of the graph that no run above has."""
    return [
        [name for name, place in run.nodes.items() if graph.owner[place].variant == run.variant]
        for run in graph.runs
    ]


def test_what_a_setting_does_not_touch_stands_once(recipe: Path) -> None:
    first = ["data.import", "data.filter", "data.dedup", *AFTER_MIX]
    assert own(graph_of(recipe, "data.mix.heldout_share=0.2,0.3")) == [
        first, AFTER_MIX, EVALUATED, EVALUATED,
    ]  # fmt: skip
    assert own(graph_of(recipe, "data.dedup=on,off", seeds=1)) == [first, AFTER_MIX]
    assert own(graph_of(recipe, "train.lm.context=32,16", seeds=1)) == [first, EVALUATED]
    assert own(graph_of(recipe, "evaluate.perplexity.stride=8,4", seeds=1)) == [
        first, ["evaluate.perplexity"],
    ]  # fmt: skip
    everything = own(graph_of(recipe, "train.lm.context=32,16", reseed="all"))
    # Data stages that hold no randomness are the same at every seed.
    assert everything[2] == ["data.dedup", *AFTER_MIX] and everything[3] == EVALUATED


def test_two_keys_are_every_combination() -> None:
    found = variants([parse_variation("a.b=1,2"), parse_variation("c.d=x,[y, z]")], 2, 7)
    assert [(v.setting, v.seed) for v in found[:5]] == [
        ("a.b=1 c.d=x", 7),
        ('a.b=1 c.d=["y", "z"]', 7),
        ("a.b=2 c.d=x", 7),
        ('a.b=2 c.d=["y", "z"]', 7),
        ("a.b=1 c.d=x", 8),
    ]
    assert found[3].changes == (("a.b", 2), ("c.d", ["y", "z"]))


def test_the_first_seed_is_the_recipes_own_run(recipe: Path) -> None:
    graph = graph_of(recipe, "train.lm.context=16,32")
    trained = {node.name: node for node in graph.nodes if node.stage.name == "train.lm"}
    assert [node.seed for node in trained.values()] == [None, None, 5, 5]
    plain = load_recipe(str(recipe)).node("train.lm")
    place = graph.runs[1].nodes["train.lm"]
    assert trained[place].does_what(
        plain.__class__(plain.name, plain.stage, plain.config, trained[place].wires), 4
    )


def test_settings_of_different_data_share_one_text(recipe: Path) -> None:
    graph = graph_of(recipe, "data.dedup=on,off")
    evaluations = [n for n in graph.nodes if n.stage.name == "evaluate.perplexity"]
    mixtures = tuple(n.name for n in graph.nodes if n.stage.name == "data.mix")
    assert len(evaluations) == 4 and len(mixtures) == 2
    for node in evaluations:
        assert node.wires["text"] == mixtures[:1]
        assert node.wires["trained"] == mixtures
    # Where the data are the same, the evaluation is the recipe's own.
    graph = graph_of(recipe, "train.lm.context=32,16")
    assert not any(node.wires.get("text") for node in graph.nodes)


def test_a_held_stage_is_the_first_settings(recipe: Path) -> None:
    free = graph_of(recipe, "data.dedup=on,off", seeds=1)
    held = graph_of(recipe, "data.dedup=on,off", seeds=1, hold=["tokenizer.train"])
    for graph, count in ((free, 2), (held, 1)):
        trained = [n.name for n in graph.nodes if n.stage.name == "tokenizer.train"]
        encoded = [n for n in graph.nodes if n.stage.name == "tokenizer.encode"]
        assert len(trained) == count and len(encoded) == 2
        assert [n.wires["tokenizer"] for n in encoded] == [(trained[0],), (trained[-1],)]
    with pytest.raises(GristmillError, match=r"has no 'tokenizer\.tran'"):
        graph_of(recipe, "data.dedup=on,off", hold=["tokenizer.tran"])


def test_named_settings_change_several_keys_at_once(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "steps.yaml"
    file.write_text(
        "all: {}\nnone: {data.dedup: off, data.mix.heldout_share: 0.3}\ntwice: {data.dedup: off}\n",
        encoding="utf-8",
    )
    steps = read_variation(file)
    assert steps.name == "steps" and steps.keys == ["data.dedup", "data.mix.heldout_share"]
    assert [v.setting for v in variants([steps], 1, 0)] == ["all", "none", "twice"]
    graph, _ = build_graph(str(recipe), {}, [steps], seeds=1, reseed="train", until=None)
    mixtures = [run.recipe.node("data.mix") for run in graph.runs]
    assert [node.config.model_dump()["heldout_share"] for node in mixtures][1] == 0.3
    assert ["data.dedup" in run.nodes for run in graph.runs] == [True, False, False]
    for text, message in [
        ("all: {}\nnone: [data.dedup]\n", "a setting is a mapping of keys"),
        ("all: {}\nnone: {}\n", "no setting changes a key"),
        ("", "no setting changes a key"),
    ]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(GristmillError, match=message):
            read_variation(file)
    # Told also where the first setting changes nothing.
    file.write_text("all: {}\nnone: {data.dedupp.threshold: 1}\n", encoding="utf-8")
    with pytest.raises(GristmillError, match=r"did you mean 'data\.dedup'"):
        build_graph(str(recipe), {}, [read_variation(file)], seeds=1, reseed="train", until=None)


@pytest.mark.parametrize(
    ("vary", "options", "message"),
    [
        ("data.dedup", {}, "does not say what to vary"),
        ("data.dedup=on,true", {}, "two different settings"),
        ("data.dedupp=on,off", {}, "no key of a stage.*did you mean|no key of a stage"),
        ("data.dedup=on,3", {}, "a whole stage is on, off or a mapping"),
        ("data.mix.heldout_share=0.1,2", {}, "less than 1"),
        ("data.import=on,off", {}, "nothing before it makes"),
        ("train.lm.context=32,16", {"reseed": "tarin"}, "no stage with a seed"),
        ("train.lm.context=32,16", {"until": "train.lm"}, "has figures to compare"),
    ],
)
def test_mistakes(recipe: Path, vary: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        graph_of(recipe, vary, **options)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.02)


def test_it_goes_on_after_kills_and_runs_only_what_differs(
    recipe: Path, tmp_path: Path, ablate: Ablate
) -> None:
    call = [str(recipe), "--vary", "data.dedup=on,off", "--seeds", "2"]
    artifacts = tmp_path / "w" / "artifacts"

    def sealed(stage: str) -> list[str]:
        found = [p.parent.name for p in artifacts.glob(f"{stage}-*/manifest.json")]
        return sorted(name for name in found if not name.startswith("."))

    made: list[str] = []
    for enough in (1, 3):
        process = start(artifacts, enough + 1, *call)
        wait_for(lambda enough=enough: len(sealed("train.lm")) >= enough, process)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL if enough == 1 else signal.SIGTERM)
        process.communicate()
        assert process.returncode == (-signal.SIGKILL if enough == 1 else 75)
        assert set(made) <= set(sealed("*"))
        made = sealed("*")
    times = {name: (artifacts / name / "manifest.json").stat().st_mtime_ns for name in made}
    result = ablate(*call)
    again = sum(len(stages) for stages in ran(result))
    # Nothing that was whole was made a second time.
    assert times == {n: (artifacts / n / "manifest.json").stat().st_mtime_ns for n in made}
    assert again <= 18 - len(made)
    assert [run["ran"] + run["cached"] for run in result["runs"]] == [8, 5, 2, 2]
    assert [run["shared"] for run in result["runs"]] == [0, 2, 6, 5]

    undisturbed = ablate(*call, "--workspace", str(tmp_path / "other"))
    assert [len(stages) for stages in ran(undisturbed)] == [8, 5, 2, 2]
    assert undisturbed["content"] == result["content"]
    assert ran(ablate(*call)) == [[], [], [], []]


def test_the_comparison_is_paired_by_seed(recipe: Path, tmp_path: Path, ablate: Ablate) -> None:
    call = [str(recipe), "--vary", "train.lm.token_budget=1000,4000", "--seeds", "3"]
    result = ablate(*call)
    found = json.loads((Path(result["path"]) / "results.json").read_text(encoding="utf-8"))
    assert found["seeds"] == [4, 5, 6]
    values = {
        setting: np.array([figure["value"] for figure in figures])
        for setting, figures in found["figures"]["base.bits_per_byte"].items()
    }
    (first, second) = values
    assert (first, second) == ("train.lm.token_budget=1000", "train.lm.token_budget=4000")
    assert len(set(values[first])) == 3
    difference = result["figures"][f"ablate.difference.base.bits_per_byte@{second}"]
    paired = values[second] - values[first]
    low, high = stats.t.interval(0.95, 2, np.mean(paired), stats.sem(paired))
    assert difference["value"] == pytest.approx(np.mean(paired))
    assert (difference["low"], difference["high"]) == pytest.approx((low, high))
    # Four times the tokens are seen by any measurement.
    assert high < 0 and difference["n"] == 3
    shown = json.loads((Path(result["path"]) / "presentation.json").read_text(encoding="utf-8"))
    (row,) = [row for row in shown["tables"][0]["rows"] if row[0] == "base.bits_per_byte"]
    assert row[-1] == "yes"
    # Counting does not depend on how long a model was trained.
    assert any("The same in every run" in n and "unigram.bits" in n for n in shown["notes"])
    page = (tmp_path / "w" / "ablation.html").read_text(encoding="utf-8")
    assert "train.lm.token_budget=4000" in page and "<svg" in page and "<script" not in page

    asked = ablate(*call, "--figure", "mix.documents", "--figure=base.bits_per_byte")
    assert {name.rpartition("@")[0] for name in asked["figures"]} == {
        "ablate.mix.documents", "ablate.base.bits_per_byte", "ablate.difference.mix.documents",
        "ablate.difference.base.bits_per_byte",
    }  # fmt: skip
    wrong = ablate(*call, "--figure", "base.bits_per_bite", expect=2)
    assert "did you mean 'base.bits_per_byte'" in wrong["error"]


def test_a_dry_run_says_what_each_run_needs(recipe: Path, tmp_path: Path, ablate: Ablate) -> None:
    stages = ablate(str(recipe), "--vary", "data.dedup=on,off", "--seeds", "2", "--dry-run")[
        "stages"
    ]
    assert len(stages) == 17 and {s["state"] for s in stages} == {"would run"}
    assert [s["node"] for s in stages if s["run"] == "data.dedup=off, seed 5"] == EVALUATED
    assert not (tmp_path / "w").exists()


def test_intervals_by_hand() -> None:
    # t(0.975, 2) = 4.3027; the deviation of 1, 2, 3 is 1.
    figure = mean([1.0, 2.0, 3.0])
    assert (figure.value, figure.n) == (2.0, 3)
    assert figure.high == pytest.approx(2 + 4.30265 / 3**0.5, abs=1e-4)
    # Seeds that change nothing do not make a difference sure.
    assert paired_difference([2.0, 3.0], [1.0, 2.0]) == Figure(1.0, n=2)
    assert verdict(paired_difference([2.0, 3.0], [1.0, 2.0])) == "no spread"
    assert verdict(paired_difference([2.0, 3.0], [1.0, 2.1])) == "yes"
    assert verdict(mean([-1.0, 1.0])) == "no"
    assert verdict(mean([1.0])) == "one seed"
    with pytest.raises(ValueError, match="longer"):
        paired_difference([1.0], [1.0, 2.0])
