"""The frame with small stages of its own: caching, identity, damage, resume, publishing."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import DamagedArtifact, GristmillError, Retryable
from gristmill.core.figure import Figure
from gristmill.stages.graph import run_recipe
from gristmill.stages.recipe import Node, Recipe
from gristmill.stages.stage import (
    Inputs,
    Output,
    Slot,
    Stage,
    StageConfig,
    config_identity,
    content_of,
    function_name,
    later,
    local,
    stage,
)
from gristmill.stages.workspace import Workspace

RAN: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    RAN.clear()
    yield


class SourceConfig(StageConfig):
    path: Path = content_of(...)
    speed: int = local(1)


class AddConfig(StageConfig):
    text: str = "!"
    function: str | None = function_name(None)


@stage(
    "test source",
    version=1,
    kind="documents",
    config=SourceConfig,
    inputs={},
    summary="",
    example="",
)
def source(config: SourceConfig, inputs: Inputs, output: Output) -> None:
    RAN.append("source")
    (output.path / "x.txt").write_text(config.path.read_text())


@stage(
    "test add", version=1, kind="documents", config=AddConfig, summary="", example="",
    inputs={"documents": Slot("documents")}, seeded=True,
)  # fmt: skip
def add(config: AddConfig, inputs: Inputs, output: Output) -> None:
    RAN.append("add")
    text = inputs["documents"].file("x.txt").read_text() + config.text
    (output.path / "x.txt").write_text(text)
    (output.path / "speed.txt").write_text(str(len(RAN)))
    output.volatile.add("speed.txt")
    output.counts["letters"] = len(text)
    output.figures["add.letters"] = Figure(float(len(text)))
    output.reject("bad", [{"url": "a", "reason": "\udc80"}])


@stage(
    "test tell", version=1, kind="report", config=StageConfig, summary="", example="",
    inputs={"artifacts": Slot(many=True)}, uncached=True, publishes=("told.txt",),
)  # fmt: skip
def tell(config: StageConfig, inputs: Inputs, output: Output) -> None:
    RAN.append("tell")
    (output.path / "told.txt").write_text(",".join(a.stage for a in inputs.many("artifacts")))


def chain(folder: Path, texts: tuple[str, ...] = ("a", "b", "c"), seed: int = 0) -> Recipe:
    nodes = [Node("test.source", source, SourceConfig(path=folder / "in.txt"), {})]
    for index, text in enumerate(texts):
        wires = {"documents": (nodes[-1].name,)}
        nodes.append(Node(f"test.add@{index}", add, AddConfig(text=text), wires))
    names = tuple(node.name for node in nodes)
    nodes.append(Node("test.tell", tell, StageConfig(), {"artifacts": names}))
    return Recipe("t", folder, seed, "", tuple(nodes), {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.txt").write_text("0")
    return tmp_path


def ran(recipe: Recipe, workspace: Workspace) -> list[str]:
    return [step.node.name for step in run_recipe(recipe, workspace) if not step.cached]


def test_a_second_run_runs_only_what_is_never_cached(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    steps = run_recipe(chain(folder), workspace)
    assert steps[-2].artifact.file("x.txt").read_text() == "0abc"
    assert RAN == ["source", "add", "add", "add", "tell"]
    told = "test.source,test.add,test.add,test.add"
    assert (folder / "w" / "told.txt").read_text() == told
    RAN.clear()
    assert ran(chain(folder), workspace) == ["test.tell"] and RAN == ["tell"]


def test_a_changed_value_runs_exactly_what_depends_on_it(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    run_recipe(chain(folder), workspace)
    changed = chain(folder, ("a", "B", "c"))
    assert ran(changed, workspace) == ["test.add@1", "test.add@2", "test.tell"]
    # The old setting's artifacts are still there.
    assert ran(chain(folder), workspace) == ["test.tell"]


def test_an_equal_content_stops_the_reruns(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    run_recipe(chain(folder, ("ab", "", "z")), workspace)
    # Another way to the same letters: only the two that differ run, what follows is cached.
    assert ran(chain(folder, ("a", "b", "z")), workspace)[:2] == ["test.add@0", "test.add@1"]
    assert RAN.count("add") == 5


def test_the_files_behind_a_path_are_identity_and_the_path_is_not(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    first = source.run(SourceConfig(path=folder / "in.txt"), {}, workspace)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "in.txt").write_text("0")
    copied = source.run(SourceConfig(path=folder / "elsewhere/in.txt", speed=9), {}, workspace)
    assert copied.path == first.path and RAN == ["source"]
    (folder / "in.txt").write_text("1")
    assert source.run(SourceConfig(path=folder / "in.txt"), {}, workspace).path != first.path
    with pytest.raises(GristmillError, match="no such file"):
        source.run(SourceConfig(path=folder / "none"), {}, workspace)


def test_a_field_that_came_later_leaves_what_was_made_before_as_it_is() -> None:
    class Inner(StageConfig):
        width: int = 3
        hidden: int | None = later(None)

    class Outer(StageConfig):
        size: int = 1
        family: str = later("old")
        inner: Inner = Inner()

    def identity(config: Outer) -> object:
        return config_identity(config)[0]

    assert identity(Outer()) == identity(Outer(family="old")) == {"size": 1, "inner": {"width": 3}}
    assert identity(Outer(family="new")) == {"size": 1, "family": "new", "inner": {"width": 3}}
    assert identity(Outer(inner=Inner(hidden=2))) == {
        "size": 1, "inner": {"width": 3, "hidden": 2},
    }  # fmt: skip


def test_the_source_of_a_users_function_is_identity(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    base = source.run(SourceConfig(path=folder / "in.txt"), {}, workspace)
    mine = folder / "mine.py"
    mine.write_text("def f(d): return 1\n")
    config = AddConfig(function=f"{mine}:f")
    first = add.run(config, {"documents": base}, workspace)
    assert add.run(config, {"documents": base}, workspace).path == first.path
    elsewhere = folder / "elsewhere" / "mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(mine.read_text())
    moved = AddConfig(function=f"{elsewhere}:f")
    assert add.run(moved, {"documents": base}, workspace).path == first.path
    mine.write_text("def f(d): return 2\n")
    assert add.run(config, {"documents": base}, workspace).path != first.path


def test_only_seeded_stages_depend_on_the_seed(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    run_recipe(chain(folder), workspace)
    assert "test.source" not in ran(chain(folder, seed=1), workspace)


def test_volatile_files_do_not_change_the_content(folder: Path) -> None:
    one = run_recipe(chain(folder), Workspace.at(folder / "w1"))
    RAN.extend(["x"] * 5)
    two = run_recipe(chain(folder), Workspace.at(folder / "w2"))
    for a, b in zip(one[:-1], two[:-1], strict=True):
        assert a.artifact.content == b.artifact.content
    speeds = [steps[1].artifact.file("speed.txt").read_text() for steps in (one, two)]
    assert speeds[0] != speeds[1]


def test_a_damaged_artifact_is_named_and_only_it_is_made_anew(folder: Path) -> None:
    import shutil

    workspace = Workspace.at(folder / "w")
    steps = run_recipe(chain(folder), workspace)
    victim = steps[2].artifact
    data = bytearray(victim.file("x.txt").read_bytes())
    data[0] ^= 1
    victim.file("x.txt").write_bytes(data)
    with pytest.raises(DamagedArtifact, match=r"x\.txt") as caught:
        run_recipe(chain(folder), workspace)
    assert str(victim.path) in caught.value.one_line()
    shutil.rmtree(victim.path)
    assert ran(chain(folder), workspace) == ["test.add@1", "test.tell"]


def test_a_failing_body_leaves_nothing_sealed_and_the_next_run_goes_on(folder: Path) -> None:
    attempts: list[int] = []

    def fails_once(config: StageConfig, inputs: Inputs, output: Output) -> None:
        attempts.append(1)
        (output.path / "half.txt").write_text("half")
        output.run.append("journal.jsonl", {"attempt": len(attempts)})
        if len(attempts) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        records = output.run.read("journal.jsonl")
        (output.path / "x.txt").write_text(str([r["attempt"] for r in records]))

    flaky = Stage("test flaky", 1, "documents", StageConfig, {}, fails_once, "", "")
    workspace = Workspace.at(folder / "w")
    with pytest.raises(Retryable, match="disk is full"):
        flaky.run(StageConfig(), {}, workspace)
    assert workspace.artifacts() == [] and list((folder / "w" / "artifacts").iterdir()) == []
    artifact = flaky.run(StageConfig(), {}, workspace)
    assert artifact.file("x.txt").read_text() == "[1, 2]"
    assert not workspace.run_path(flaky.name, artifact.manifest.key).exists()


def test_the_newest_node_is_the_one_that_ran_last_in_the_recipe(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    run_recipe(chain(folder), workspace)
    first = workspace.latest("documents")
    # The first node changes and so do those after it; back again, all come from the cache.
    run_recipe(chain(folder, ("x", "b", "c")), workspace)
    run_recipe(chain(folder), workspace)
    assert workspace.latest("documents") == first
    assert list(workspace.nodes()) == [node.name for node in chain(folder).nodes]


def test_a_damaged_list_of_nodes_is_named(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    (folder / "w" / "nodes.json").write_text("garbage")
    with pytest.raises(DamagedArtifact, match=r"nodes\.json"):
        workspace.nodes()


def test_unfitting_inputs_are_refused(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    base = source.run(SourceConfig(path=folder / "in.txt"), {}, workspace)
    report = tell.run(StageConfig(), {"artifacts": [base]}, workspace)
    with pytest.raises(GristmillError, match="needs its input 'documents'"):
        add.run(AddConfig(), {}, workspace)
    with pytest.raises(GristmillError, match="cannot take report"):
        add.run(AddConfig(), {"documents": report}, workspace)
    with pytest.raises(GristmillError, match="no input 'docs'"):
        add.run(AddConfig(), {"docs": base, "documents": base}, workspace)


def test_what_a_stage_shows_and_rejects_is_in_its_artifact(folder: Path) -> None:
    workspace = Workspace.at(folder / "w")
    step = run_recipe(chain(folder), workspace, until="test.add@0")[-1]
    shown = step.artifact.read_json("presentation.json")
    assert shown["figures"] == {"add.letters": {"value": 2.0}}
    assert step.artifact.manifest.counts == {"letters": 2}
    assert "\\udc80" in step.artifact.file("rejects/bad.jsonl").read_text()
    assert workspace.nodes()["test.add@0"].path == step.artifact.path
    assert workspace.latest("documents") == Artifact.open(step.artifact.path)
