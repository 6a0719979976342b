"""One damaged model takes no other away, and is named."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world

from gristmill.cli.serve import _Found
from gristmill.cli.serve_view import open_view
from gristmill.core.artifact import Artifact
from gristmill.core.errors import DamagedArtifact
from gristmill.serve.app import Settings, create_app
from gristmill.serve.service import Models, UnknownModel
from gristmill.serve.store import Store
from gristmill.stages.workspace import Workspace

Seal = Callable[[Path, str, str], Artifact]
NODES = ("train.lm", "train.sft", "train.dpo@mine")


@pytest.fixture
def workspace(tmp_path: Path, seal: Seal) -> Workspace:
    made = Workspace.at(tmp_path / "run")
    names = {}
    for seed, node in enumerate(NODES):
        stage = node.partition("@")[0]
        folder = made.artifacts_folder / f"{stage}-{seed}"
        path = world.write_model(folder, assistant=seed > 0, seed=seed)
        names[node] = seal(path, "model", stage).path.name
    (made.path / "nodes.json").write_text(json.dumps(names), encoding="utf-8")
    return made


def folder_of(workspace: Workspace, node: str) -> Path:
    return workspace.artifacts_folder / workspace.node_names()[node]


def served(found: _Found) -> list[str]:
    return [one.name for one in found.models()]


def test_models_have_short_names_and_answer_to_their_nodes_too(workspace: Workspace) -> None:
    models = Models(_Found(workspace, []).models)
    assert models.names() == ["dpo@mine", "sft", "base"]
    assert models.get("train.dpo@mine").name == "dpo@mine"
    with pytest.raises(UnknownModel):
        models.get("train.dpo")


@pytest.mark.parametrize("harm", ["manifest", "config", "chat"])
def test_a_damaged_model_is_named_and_the_others_are_served(
    workspace: Workspace, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(workspace, "train.sft")
    if harm == "manifest":
        (folder / "manifest.json").write_text("{", encoding="utf-8")
    elif harm == "config":
        (folder / "config.json").unlink()
    else:
        (folder / "tokenizer_config.json").write_bytes(b"\xff\xfe{")
    found = _Found(workspace, [])
    models = Models(found.models, damaged=found.damaged)
    if harm == "chat":
        # It can still be told to be no assistant, or is damaged: never the end of all others.
        assert {"dpo@mine", "base"} <= set(models.names())
        return
    assert models.names() == ["dpo@mine", "base"]
    (why,) = models.damaged().values()
    assert list(models.damaged()) == ["sft"] and str(folder) in why
    with pytest.raises(UnknownModel, match="damaged"):
        models.get("sft")
    models.names()
    assert capsys.readouterr().err.count("sft is damaged") == 1


def test_a_damaged_list_of_nodes_leaves_the_models_by_their_stages(workspace: Workspace) -> None:
    (workspace.path / "nodes.json").write_text('{"train.lm": 3', encoding="utf-8")
    found = _Found(workspace, [])
    assert set(served(found)) == {"base", "sft", "dpo"}
    assert "damaged list of nodes" in found.damaged()["nodes.json"]


def test_what_is_found_damaged_when_it_is_loaded_is_listed_no_more(workspace: Workspace) -> None:
    found = _Found(workspace, [])
    (sft,) = [one for one in found.models() if one.name == "sft"]
    with (sft.folder / "model.safetensors").open("r+b") as file:
        file.write(b"\0")
    with pytest.raises(DamagedArtifact):
        found.check(sft)
    assert served(found) == ["dpo@mine", "base"] and list(found.damaged()) == ["sft"]


def test_the_pages_of_a_workspace_with_a_damaged_artifact_stay(workspace: Workspace) -> None:
    (folder_of(workspace, "train.sft") / "manifest.json").write_text("{", encoding="utf-8")
    view = open_view(workspace.path)
    assert view.start == "train.dpo@mine" and view.runs() == []


def test_the_page_names_what_is_damaged_and_the_api_does_not_list_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    from starlette.testclient import TestClient

    (folder_of(workspace, "train.sft") / "manifest.json").write_text("{", encoding="utf-8")
    found = _Found(workspace, [])
    models = Models(found.models, damaged=found.damaged, device="cpu")
    with contextlib.closing(Store.open(tmp_path / "store.sqlite")) as store:
        app = create_app(models, open_view(workspace.path), store, Settings())
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            listed = client.get("/v1/models").json()["data"]
            assert [one["id"] for one in listed] == ["dpo@mine", "base"]
            told = client.get("/api/models").json()
            assert [one["name"] for one in told["models"]] == ["dpo@mine", "base"]
            assert list(told["damaged"]) == ["sft"]
            asked = client.post("/v1/completions", json={"model": "sft", "prompt": "x"})
            assert asked.status_code == 404 and "damaged" in asked.json()["error"]["message"]
            whole = client.post("/v1/completions", json={"model": "train.lm", "prompt": "x"})
            assert whole.status_code == 200 and whole.json()["model"] == "base"
