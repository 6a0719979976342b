"""What gc takes and what it never takes, on artifacts sealed by hand and random lineages."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.cli.main import main
from gristmill.core.artifact import (
    MANIFEST,
    Artifact,
    InputRef,
    Manifest,
    artifact_name,
    content_hash,
    hash_files,
    write_manifest,
)
from gristmill.core.canonical import hash_json
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.core.run import holding
from gristmill.stages.garbage import collect, find_garbage
from gristmill.stages.workspace import Workspace


def seal(
    workspace: Workspace, label: str, inputs: Iterable[Artifact] = (), kind: str = "documents"
) -> Artifact:
    """An artifact of 100 bytes beside its manifest, made from `inputs`."""
    key = hash_json(label)
    folder = workspace.artifacts_folder / artifact_name("test.made", key)
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text(f"{label:>100}")
    files = hash_files(folder, frozenset())
    refs = [
        InputRef(
            stage=one.stage, kind=one.kind, key=one.manifest.key, content=one.content,
            path=Path(os.path.relpath(one.path.resolve(), folder.resolve())).as_posix(),
        )
        for one in inputs
    ]  # fmt: skip
    write_manifest(
        folder,
        Manifest(
            kind=kind, stage="test.made", stage_version=1, code_version="0", key=key,
            content=content_hash(files), config={}, inputs={"given": refs} if refs else {},
            files=files, created="2026-01-01", seconds=0, cpu_seconds=0, peak_memory_bytes=0,
        ),
    )  # fmt: skip
    return Artifact.open(folder)


def name(workspace: Workspace, **nodes: Artifact) -> None:
    (workspace.path / "nodes.json").write_text(json.dumps({n: a.name for n, a in nodes.items()}))


def names(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.artifacts_folder.iterdir()}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "runs" / "w")


@st.composite
def lineages(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[int]]:
    """For each artifact those before it that it was made from; those that are named; kept."""
    count = draw(st.integers(1, 9))
    below = [
        draw(st.lists(st.integers(0, i - 1), unique=True, max_size=3)) if i else []
        for i in range(count)
    ]
    some = st.lists(st.integers(0, count - 1), unique=True, max_size=3)
    return below, draw(some), draw(some)


def needed(below: list[list[int]], roots: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for root in roots:
        found |= {root} | needed(below, below[root])
    return found


@given(lineages(), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_nothing_that_a_kept_artifact_was_made_from_goes_even_when_interrupted(
    tmp_path_factory: pytest.TempPathFactory,
    lineage: tuple[list[list[int]], list[int], list[int]],
    stop_after: int,
) -> None:
    below, named, kept = lineage
    workspace = Workspace.at(tmp_path_factory.mktemp("runs") / "w")
    made: list[Artifact] = []
    for number, inputs in enumerate(below):
        made.append(seal(workspace, f"a{number}", [made[i] for i in inputs]))
    name(workspace, **{f"n{i}": made[i] for i in named})
    keep = [made[i].name for i in kept]
    expected = {made[i].name for i in needed(below, {*named, *kept})}
    everything = names(workspace)
    garbage = find_garbage(workspace, keep)
    assert names(workspace) == everything
    assert {item.path.name for item in garbage.items} == everything - expected
    assert set(garbage.kept) == expected

    class Stop(Exception):
        pass

    done: list[str] = []

    def told(item: object) -> None:
        done.append(str(item))
        if len(done) == stop_after:
            raise Stop

    try:
        collect(workspace, garbage, told)
    except Stop:
        # What is left is whole, down to the first input.
        for artifact in workspace.artifacts():
            artifact.verify()
            assert all(found.path.is_dir() for _, found in artifact.inputs())
        collect(workspace, find_garbage(workspace, keep))
    assert names(workspace) == expected
    assert find_garbage(workspace, keep).items == []


def test_what_was_made_from_a_thing_goes_before_it(workspace: Workspace) -> None:
    first = seal(workspace, "z")
    second = seal(workspace, "m", [first])
    third = seal(workspace, "a", [second, first])
    order = [item.path.name for item in find_garbage(workspace).items]
    assert order == [third.name, second.name, first.name]


def test_what_it_frees_is_counted_and_nothing_goes_without_delete(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = seal(workspace, "a")
    old = seal(workspace, "old", [first])
    name(workspace, a=first)
    size = sum(path.stat().st_size for path in old.path.iterdir())
    place = ["--workspace", str(workspace.path)]
    assert main(["gc", *place, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == size and not told["deleted"] and old.path.is_dir()
    assert main(["gc", *place]) == 0 and old.path.is_dir()
    assert "can go with --delete; 1 artifacts stay" in capsys.readouterr().out
    assert main(["gc", *place, "--keep", "test.made", "--delete"]) == 0 and old.path.is_dir()
    assert main(["gc", *place, "--delete"]) == 0
    assert not old.path.exists() and first.path.is_dir()
    assert main(["gc", *place, "--keep", "nothing"]) == 2


def test_what_a_study_asked_for_stays_with_the_study(workspace: Workspace) -> None:
    trained = seal(workspace, "trained", kind="model")
    study = seal(workspace, "study", [trained], kind="comparison")
    name(workspace, study=study)
    assert find_garbage(workspace).items == []


def test_runs_and_leftovers_go_but_work_that_would_go_on_stays(workspace: Workspace) -> None:
    made = seal(workspace, "a")
    name(workspace, a=made)
    waiting = artifact_name("test.made", hash_json("never sealed"))
    for run in (made.name, waiting):
        with holding(workspace.path / "unfinished" / run) as held:
            (held.path / "checkpoint").write_text("x" * 50)
    leftover = workspace.artifacts_folder / f".{made.name}.4711.tmp"
    leftover.mkdir()
    garbage = find_garbage(workspace)
    assert [(item.what, item.path.name) for item in garbage.items] == [
        ("run", made.name), ("leftover", leftover.name)
    ]  # fmt: skip
    assert [item.path.name for item in garbage.waiting] == [waiting]
    assert collect(workspace, garbage) == 50
    assert not leftover.exists() and (workspace.path / "unfinished" / waiting).is_dir()
    assert names(workspace) == {made.name}


def test_what_an_interrupted_collection_leaves_is_no_half_artifact(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, kept = seal(workspace, "old"), seal(workspace, "kept")
    name(workspace, kept=kept)

    def killed(folder: Path) -> None:
        # One of its files is gone when the process ends.
        (folder / "x.txt").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gristmill.stages.garbage.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(workspace, find_garbage(workspace))
    assert not old.path.exists() and workspace.find("test.made", old.manifest.key) is None
    for artifact in workspace.artifacts():
        artifact.verify()
    again = find_garbage(workspace)
    assert not again.problems
    (item,) = again.items
    assert item.what == "leftover" and item.path.name.startswith(f".{old.name}.")
    collect(workspace, again)
    assert names(workspace) == {kept.name}


def test_nothing_goes_while_a_process_works(workspace: Workspace) -> None:
    old = seal(workspace, "old")
    working = artifact_name("test.made", hash_json("working"))
    temporary = workspace.artifacts_folder / f".{working}.4711.tmp"
    temporary.mkdir()
    with holding(workspace.path / "unfinished" / working):
        garbage = find_garbage(workspace)
        assert garbage.held == [working]
        assert [item.path for item in garbage.items] == [old.path]
        with pytest.raises(GristmillError, match="working on"):
            collect(workspace, garbage)
    assert old.path.is_dir() and temporary.is_dir()
    collect(workspace, find_garbage(workspace))
    assert names(workspace) == set()


def test_a_workspace_beside_this_one_keeps_what_it_was_made_from(workspace: Workspace) -> None:
    taken, loose = seal(workspace, "taken"), seal(workspace, "loose")
    other = Workspace.at(workspace.path.parent / "other")
    seal(other, "user", [taken])
    garbage = find_garbage(workspace)
    assert [item.path for item in garbage.items] == [loose.path]
    assert garbage.kept[taken.name].startswith("needed by other/")
    collect(workspace, garbage)
    assert len(other.artifacts()) == 1 and taken.path.is_dir()


def test_an_input_is_known_by_its_place_and_by_its_name(workspace: Workspace) -> None:
    placed, named, loose = (seal(workspace, label) for label in ("placed", "named", "loose"))
    top = seal(workspace, "top", [placed, named])
    name(workspace, top=top)
    # One was renamed by hand before it was used, the other lay elsewhere when it was.
    manifest = json.loads((top.path / MANIFEST).read_text())
    by_name, by_place = manifest["inputs"]["given"][1], manifest["inputs"]["given"][0]
    by_place["key"] = hash_json("of another name")
    by_name["path"] = "../../../elsewhere/artifacts/x"
    write_manifest(top.path, Manifest.model_validate(manifest))
    assert {placed.name, named.name} <= set(find_garbage(workspace).kept)
    collect(workspace, find_garbage(workspace))
    assert names(workspace) == {placed.name, named.name, top.name} and not loose.path.exists()


def test_what_a_process_makes_anew_and_the_run_of_a_damaged_artifact_stay(
    workspace: Workspace,
) -> None:
    anew, damaged = seal(workspace, "anew"), seal(workspace, "damaged")
    with holding(workspace.path / "unfinished" / damaged.name) as held:
        (held.path / "checkpoint").write_text("x")
    (damaged.path / MANIFEST).write_text("{")
    with holding(workspace.path / "unfinished" / anew.name):
        garbage = find_garbage(workspace)
        assert garbage.kept == {anew.name: "a process works on it"}
    garbage = find_garbage(workspace)
    assert [item.path for item in garbage.items if item.what == "artifact"] == [anew.path]
    assert damaged.name in {item.path.name for item in garbage.waiting}


def test_inputs_of_another_workspace_are_never_touched(workspace: Workspace) -> None:
    other = Workspace.at(workspace.path.parent.parent / "elsewhere" / "other")
    source = seal(other, "source")
    seal(workspace, "made", [source])
    collect(workspace, find_garbage(workspace))
    assert names(workspace) == set() and source.path.is_dir()


def test_damage_is_reported_and_stays(workspace: Workspace) -> None:
    below, old = seal(workspace, "below"), seal(workspace, "old")
    top = seal(workspace, "top", [below])
    name(workspace, top=top)
    (old.path / MANIFEST).write_text("{")
    (workspace.artifacts_folder / "notes.txt").write_text("mine")
    (workspace.artifacts_folder / "mine").mkdir()
    garbage = find_garbage(workspace)
    assert garbage.items == [] and len(garbage.problems) == 3
    # Where a kept one is damaged nobody knows what it needs: no artifact goes.
    loose = seal(workspace, "loose")
    manifest = top.path / MANIFEST
    manifest.write_text(manifest.read_text().replace("2026-01-01", "2026-01-02"))
    garbage = find_garbage(workspace)
    assert garbage.items == [] and any("no artifact can go" in one for one in garbage.problems)
    assert loose.path.is_dir()


def test_damaged_nodes_and_folders_that_are_no_workspace_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = seal(workspace, "a")
    (workspace.path / "nodes.json").write_text("[")
    with pytest.raises(DamagedArtifact):
        find_garbage(workspace)
    with pytest.raises(GristmillError, match="no artifacts here"):
        find_garbage(Workspace.at(tmp_path / "empty"))
    linked = Workspace.at(tmp_path / "linked")
    linked.artifacts_folder.symlink_to(workspace.artifacts_folder)
    with pytest.raises(GristmillError, match="no artifacts here"):
        find_garbage(linked)
    assert made.path.is_dir()


def test_links_are_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    outside = Workspace.at(tmp_path / "outside" / "w")
    target = seal(outside, "target")
    workspace.artifacts_folder.mkdir()
    link = workspace.artifacts_folder / target.name
    link.symlink_to(target.path)
    garbage = find_garbage(workspace)
    assert garbage.items == [] and len(garbage.problems) == 1
    collect(workspace, garbage)
    assert link.is_symlink() and target.path.is_dir()
