"""One name a model, wherever it is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.evaluate_tasks import TasksConfig, evaluate_tasks
from gristmill.stages.model_names import names_of
from gristmill.stages.workspace import Workspace, model_nodes, short_name

Seal = Callable[[Path, str, str], Artifact]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("train.lm", "base"), ("train.lm@small", "base@small"), ("train.sft", "sft"),
        ("train.ppo@mine", "ppo@mine"), ("import", "import"), ("import@smol", "import@smol"),
    ],
)  # fmt: skip
def test_the_short_name_of_a_node(node: str, name: str) -> None:
    assert short_name(node) == name


def made(folder: Path, seal: Seal, stage: str, text: str = "", kind: str = "model") -> Artifact:
    folder.mkdir(parents=True)
    (folder / "file").write_text(text or folder.name, encoding="utf-8")
    return seal(folder, kind, stage)


def test_a_workspace_finds_models_by_either_name(tmp_path: Path, seal: Seal) -> None:
    workspace = Workspace.at(tmp_path / "w")
    nodes = {"train.lm": "a", "train.dpo": "b", "train.dpo@mine": "c", "train.reward": "d"}
    for node, name in nodes.items():
        kind = "reward" if node == "train.reward" else "model"
        made(workspace.artifacts_folder / name, seal, node.partition("@")[0], kind=kind)
    (workspace.path / "nodes.json").write_text(json.dumps(nodes), encoding="utf-8")
    assert list(model_nodes(workspace.nodes())) == ["base", "dpo", "dpo@mine"]
    for short, node in (("base", "train.lm"), ("dpo@mine", "train.dpo@mine")):
        assert workspace.named(short).path == workspace.named(node).path
        assert workspace.named(short).node == node
    with pytest.raises(GristmillError, match="no artifact 'reward'"):
        workspace.named("reward")


def test_results_name_a_model_by_its_label_and_number_what_has_none(
    tmp_path: Path, seal: Seal
) -> None:
    dpo = made(tmp_path / "dpo", seal, "train.dpo")
    mine = replace(made(tmp_path / "mine", seal, "train.dpo"), node="train.dpo@mine")
    assert names_of([dpo, mine]) == ["dpo", "dpo@mine"]
    assert names_of([dpo, replace(mine, node="")]) == ["dpo", "dpo_2"]


def test_a_label_that_results_show_is_part_of_their_identity(tmp_path: Path, seal: Seal) -> None:
    plain = made(tmp_path / "dpo", seal, "train.dpo")
    keys = {
        node: evaluate_tasks.key(TasksConfig(), {"model": [replace(plain, node=node)]}, 0)[0]
        for node in ("", "train.dpo", "train.dpo@mine", "train.dpo@yours")
    }
    assert keys[""] == keys["train.dpo"] and len(set(keys.values())) == 3
    named = TasksConfig(names=("me",))
    labelled = {"model": [replace(plain, node="train.dpo@mine")]}
    assert evaluate_tasks.key(named, labelled, 0) == evaluate_tasks.key(
        named, {"model": [plain]}, 0
    )
