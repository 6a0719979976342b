"""Two artifacts and two workspaces beside each other, made by small stages of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gristmill.cli.diff import sparkline
from gristmill.cli.main import main
from gristmill.core.artifact import Artifact, write_manifest
from gristmill.core.figure import Chart, Figure, Samples, Series
from gristmill.stages.difference import (
    Curve,
    at_common_places,
    changed_settings,
    compare,
    compare_nodes,
)
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.workspace import Workspace

HOSTILE = "<script>alert(1)</script> [bold]x[/bold] \x1b[31m"


class SourceConfig(StageConfig):
    words: int = 10


class Inner(StageConfig):
    rate: float = 0.1
    decay: float = 0.0


class TrainConfig(StageConfig):
    steps: int = 4
    optimizer: Inner = Inner()
    name: str = "muon"


@stage("test source", version=1, kind="documents", config=SourceConfig, inputs={}, summary="",
       example="")  # fmt: skip
def source(config: SourceConfig, inputs: Inputs, output: Output) -> None:
    (output.path / "x.txt").write_text("word " * config.words)
    output.counts["words"] = config.words


@stage("test tokens", version=1, kind="tokens", config=StageConfig, summary="", example="",
       inputs={"documents": Slot("documents")})  # fmt: skip
def tokens(config: StageConfig, inputs: Inputs, output: Output) -> None:
    (output.path / "x.txt").write_text(inputs["documents"].file("x.txt").read_text())


@stage("test train", version=1, kind="model", config=TrainConfig, summary="", example="",
       inputs={"tokens": Slot("tokens")}, seeded=True)  # fmt: skip
def train(config: TrainConfig, inputs: Inputs, output: Output) -> None:
    words = len(inputs["tokens"].file("x.txt").read_text())
    (output.path / "weights").write_text(f"{words} {config} {output.seed}")
    loss = 4.0 - config.optimizer.rate * 10
    output.counts.update(steps=config.steps, tokens=words)
    output.figures["train.loss"] = Figure(loss, loss - 0.2, loss + 0.2, 10)
    output.figures["train.same"] = Figure(1.0)
    steps = list(range(1, config.steps + 1))
    output.charts.append(
        Chart("Loss", "tokens", "nats", [Series("training", steps, [loss / s for s in steps])])
    )
    rows = [{"step": str(s), "prompt": HOSTILE, "text": f"said {loss:.1f} at {s}"} for s in steps]
    output.samples.append(Samples("What it wrote", rows))


def make(folder: Path, words: int = 10, seed: int = 0, **settings: object) -> Workspace:
    workspace = Workspace.at(folder)
    documents = source.run(SourceConfig(words=words), {}, workspace)
    encoded = tokens.run(StageConfig(), {"documents": documents}, workspace)
    config = TrainConfig.model_validate(settings)
    trained = train.run(config, {"tokens": encoded}, workspace, seed=seed)
    for node, artifact in (("source", documents), ("tokens", encoded), ("train", trained)):
        workspace.name_node(node, artifact)
    return workspace


def trained(workspace: Workspace) -> Artifact:
    return workspace.nodes()["train"]


def test_only_what_differs_is_told_with_the_figures_and_their_intervals(tmp_path: Path) -> None:
    a = make(tmp_path / "a")
    b = make(tmp_path / "b", optimizer={"rate": 0.2}, steps=8)
    found = compare(trained(a), trained(b))
    assert found.settings == [("steps", 4, 8), ("optimizer.rate", 0.1, 0.2)]
    assert {n: (x, y) for n, x, y in found.counts}["steps"] == (4, 8)
    figures = {one.name: one for one in found.figures}
    assert figures["train.loss"].difference == pytest.approx(-1.0)
    assert figures["train.loss"].apart is True
    assert figures["train.same"].difference == 0 and figures["train.same"].apart is None
    (parting,) = found.partings
    assert parting.path == "" and parting.why == ("steps: 4 and 8", "optimizer.rate: 0.1 and 0.2")
    (curve,) = found.curves
    assert (curve.title, curve.name, len(curve.a), len(curve.b)) == ("Loss", "training", 4, 8)
    (group,) = found.samples
    assert group.rows == ((HOSTILE, "said 3.0 at 4", "said 2.0 at 8"),)
    close = compare(trained(a), trained(make(tmp_path / "c", optimizer={"rate": 0.11})))
    assert {one.name: one.apart for one in close.figures}["train.loss"] is False


def test_lineages_part_where_the_first_difference_is(tmp_path: Path) -> None:
    a, b = trained(make(tmp_path / "a")), trained(make(tmp_path / "b", words=20))
    (parting,) = compare(a, b).partings
    assert parting.path == "tokens.documents" and parting.why == ("words: 10 and 20",)
    # Another setting above it is a second place.
    both = trained(make(tmp_path / "c", words=20, name="adam"))
    assert [one.path for one in compare(a, both).partings] == ["tokens.documents", ""]
    other_seed = trained(make(tmp_path / "d", seed=7))
    assert [one.why for one in compare(a, other_seed).partings] == [("another seed",)]
    same = compare(a, trained(make(tmp_path / "e")))
    assert same.same and same.partings == [] and same.settings == []


def test_another_version_or_source_is_a_reason(tmp_path: Path) -> None:
    def variant(name: str, **change: object) -> Artifact:
        folder = tmp_path / name
        shutil.copytree(first.path, folder)
        manifest = first.manifest.model_copy(update={"content": name, **change})
        write_manifest(folder, manifest)
        return Artifact.open(folder)

    first = trained(make(tmp_path / "a"))
    version = variant("version", stage_version=first.manifest.stage_version + 1)
    source = variant("source", extensions={"mine.py:rule": "f" * 64})
    number = first.manifest.stage_version
    for other, why in (
        (version, f"version {number} and {number + 1} of the stage"),
        (source, "another source of the user's functions"),
        (variant("nothing"), "the same settings and inputs, yet another content"),
    ):
        assert [one.why for one in compare(first, other).partings] == [(why,)]


def test_what_both_wrote_stands_side_by_side_for_every_prompt(tmp_path: Path) -> None:
    a, b = (trained(make(tmp_path / name)) for name in "ab")
    for side, prompts in ((a, ("one", "two", "three")), (b, ("three", "four", "one"))):
        rows = [{"prompt": prompt, "text": f"{side.path} {prompt}"} for prompt in prompts]
        shown = {"samples": [{"title": "t", "rows": rows}]}
        (side.path / "presentation.json").write_text(json.dumps(shown), encoding="utf-8")
    (group,) = compare(a, b).samples
    assert group.rows == tuple(
        (prompt, f"{a.path} {prompt}", f"{b.path} {prompt}") for prompt in ("one", "three")
    )


def test_a_lineage_that_is_gone_says_so(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b", words=20)
    shutil.rmtree(b.nodes()["tokens"].path)
    (parting,) = compare(trained(a), trained(b)).partings
    assert "no longer there" in parting.why[0]


def test_workspaces_are_compared_by_node(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b", optimizer={"rate": 0.3})
    b.name_node("extra", trained(b))
    rows, only_a, only_b = compare_nodes(a.nodes(), b.nodes())
    assert [(name, found is None) for name, found in rows] == [
        ("source", True), ("tokens", True), ("train", False)
    ]  # fmt: skip
    assert (only_a, only_b) == ([], ["extra"])


def test_settings_are_flat_and_an_absent_one_is_named() -> None:
    a = {"x": {"y": 1, "z": [1, 2]}, "same": None, "t": True}
    b = {"x": {"y": 1, "z": [2, 1]}, "same": None, "t": 1, "new": {}}
    assert changed_settings(a, b) == [
        ("x.z", [1, 2], [2, 1]), ("t", True, 1), ("new", "(absent)", {})
    ]  # fmt: skip


def test_curves_are_read_at_places_that_both_reach() -> None:
    a = tuple((float(x), 10.0 - x) for x in range(11))
    b = ((5.0, 1.0), (20.0, 4.0))
    told = at_common_places(Curve("", "", "", "", a, b), 6)
    assert [x for x, _, _ in told] == [5, 6, 7, 8, 9, 10]
    assert [y for _, y, _ in told] == [5, 4, 3, 2, 1, 0]
    assert told[5][2] == pytest.approx(2.0)
    assert at_common_places(Curve("", "", "", "", ((0, 1),), ((5, 1),)), 6) == []
    noisy = tuple((float(x), float(x % 2)) for x in range(101))
    middle = at_common_places(Curve("", "", "", "", noisy, noisy), 3)[1]
    assert middle[1] == pytest.approx(0.5, abs=0.02)


def test_a_sparkline_falls_as_the_curve_does() -> None:
    drawn = sparkline(((0.0, 8.0), (5.0, 4.0), (10.0, 0.0)), (0.0, 10.0), (0.0, 8.0))
    assert drawn[0] == "█" and drawn[-1] == "▁" and len(drawn) == 40
    assert list(drawn) == sorted(drawn, reverse=True)
    flat = sparkline(((0.0, 1.0),), (0.0, 1.0), (1.0, 1.0))
    assert flat.strip() == "▁"


def test_the_command_in_80_columns_as_json_and_as_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    make(Path("a"))
    make(Path("b"), words=20, optimizer={"rate": 0.2}, steps=8)
    for words in (["a", "b", "--node", "train"], ["a", "b"]):
        assert main(["diff", *words, "--html", "page.html"]) == 0
        said = capsys.readouterr().out
        for part in ("optimizer.rate: 0.1 and 0.2", "apart", "Loss: training", "said 2.0 at 8"):
            assert part in said, part
        assert "\x1b[31m" not in said and "[bold]x[/bold]" in said
        assert max(map(len, said.splitlines())) <= 80
        page = Path("page.html").read_text(encoding="utf-8")
        assert "<script" not in page and "&lt;script&gt;" in page and page.count("<svg") >= 1
    assert main(["diff", "a", "b", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["different"]["train"]["settings"][0] == {"key": "steps", "a": 4, "b": 8}
    assert main(["diff", "train", "tokens", "--workspace", "a"]) == 0
    assert "made by test.train and by test.tokens" in capsys.readouterr().out


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = make(tmp_path / "a")
    place = ["--workspace", str(a.path)]
    assert main(["diff", "train", *place]) == 2
    assert main(["diff", "train", "trian", *place]) == 2
    assert "train" in capsys.readouterr().err.splitlines()[-1]
    assert main(["diff", "train", str(a.path), *place]) == 2
    assert main(["diff", "train", "source", "--html", str(tmp_path / "no" / "x.html"), *place]) == 2
