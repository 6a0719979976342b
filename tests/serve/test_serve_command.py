"""`gristmill serve` as a program."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world

from gristmill.cli.main import main
from gristmill.cli.serve import _Found
from gristmill.core.artifact import Artifact
from gristmill.core.errors import DamagedArtifact
from gristmill.stages.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return world.write_model(tmp_path / "helper", assistant=True)


def test_help_fits_the_terminal_and_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    told = capsys.readouterr().out
    assert "example" in told and max(map(len, told.splitlines())) <= 80


def test_it_serves_until_it_is_interrupted(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gristmill", "serve", "--model", str(folder), "--json"]
    command += ["--port", "0", "--store", str(tmp_path / "votes" / "store.sqlite")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            ready = json.loads(process.stdout.readline())
            assert ready["models"] == ["helper"]
            with urllib.request.urlopen(
                f"{ready['url']}/v1/models", timeout=world.PATIENCE
            ) as found:
                assert json.load(found)["data"][0]["id"] == "helper"
            process.send_signal(signal.SIGINT)
            assert process.wait(world.PATIENCE) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--host", "0.0.0.0", "--token", "short"], "16 letters"),
        (["--port", "many"], "whole number"),
        (["--port", "99999"], "65535"),
        (["--workspace", "nowhere"], "no such workspace"),
        (["--wrokspace", "x"], "--workspace"),
        (["--model", "nowhere"], "nowhere"),
        (["--model"], "needs a value"),
        (["something"], "something"),
        (["--port", "0", "--store", "helper/config.json/votes.sqlite"], "--store FILE"),
    ],
)
def test_a_mistake_is_told_with_its_mend(
    folder: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--model", str(folder), *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        store = str(folder.parent / "store.sqlite")
        asked = ["serve", "--model", str(folder), "--port", str(port), "--store", store]
        assert main(asked) == 2
    told = capsys.readouterr().err
    assert str(port) in told and "--port 0" in told


def test_models_of_a_workspace_newest_first_and_without_reward_models(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    workspace = Workspace.at(tmp_path / "run")
    for node, kind in (("train.lm", "model"), ("train.reward", "model"), ("score", "evaluation")):
        path = world.write_model(workspace.artifacts_folder / f"{node}-{node}", seed=len(node))
        if node == "train.reward":
            (path / "reward.json").write_text("{}", encoding="utf-8")
        name_node(workspace, node, seal(path, kind, node))
    found = _Found(workspace, [])
    assert [one.name for one in found.models()] == ["base"]
    path = world.write_model(workspace.artifacts_folder / "train.sft-new", assistant=True)
    name_node(workspace, "train.sft", seal(path, "model", "train.sft"))
    served = found.models()
    assert [(one.name, one.is_assistant) for one in served] == [
        ("sft", True), ("base", False),
    ]  # fmt: skip
    found.check(served[0])
    with (served[0].folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        (last,) = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(DamagedArtifact):
        found.check(served[0])


def name_node(workspace: Workspace, node: str, artifact: Artifact) -> None:
    """As the runner does, for a folder whose name is not its key's."""
    file = workspace.path / "nodes.json"
    names = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**names, node: artifact.path.name}), encoding="utf-8")
