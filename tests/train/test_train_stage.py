"""`train lm` from a tokens artifact to a model folder, twice, and stopped in between."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file
from gristmill.core.errors import Retryable
from gristmill.model.weights import load_model
from gristmill.stages.train_lm import Shape, TrainLmConfig, train_lm
from gristmill.stages.workspace import Workspace
from gristmill.train import text
from gristmill.train.metrics import read_metrics

CONFIG = TrainLmConfig(
    token_budget=8 * 32 * 24,
    context=32,
    dial=Shape(layers=2, width=32, heads=2, kv_heads=1, head_dim=16, mlp_width=64, batch_rows=8),
    probe_windows=4,
)


def test_it_trains_a_model_that_loads(tokens: Artifact, tmp_path: Path) -> None:
    made = train_lm.run(CONFIG, {"tokens": tokens}, Workspace.at(tmp_path))
    records = read_metrics(made.file("metrics.jsonl"))
    assert len(records) == 24
    assert records[-1]["heldout.bits_per_byte"] < records[2]["heldout.bits_per_byte"]
    assert made.read_json("training.json")["samples"]["anneal"] == round(0.15 * 24) * 8 // 2
    assert made.manifest.files["metrics.jsonl"].volatile
    model = load_model(made.path)
    assert model.num_parameters() == made.manifest.counts["parameters"]
    assert not model.config.tied and model.config.context == 32
    assert all(torch.isfinite(p).all() for p in model.parameters())
    shown = made.read_json("presentation.json")
    assert shown["figures"]["train.tokens"]["value"] == CONFIG.token_budget
    assert [s["name"] for s in shown["charts"][0]["series"]] == ["training", "held out"]


def test_a_stopped_stage_goes_on_to_the_same_weights(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train_lm.run(CONFIG, {"tokens": tokens}, Workspace.at(tmp_path / "straight"))
    real = text.TextSource.next
    drawn = 0

    def interrupted(source: text.TextSource, moment: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == 9:
            signal.raise_signal(signal.SIGINT)
        return real(source, moment)

    monkeypatch.setattr(text.TextSource, "next", interrupted)
    workspace = Workspace.at(tmp_path / "cut")
    with pytest.raises(Retryable, match="SIGINT stopped the training after step 9 of 24"):
        train_lm.run(CONFIG, {"tokens": tokens}, workspace)
    assert workspace.artifacts() == []
    resumed = train_lm.run(CONFIG, {"tokens": tokens}, workspace)
    assert drawn == 24
    name = "model.safetensors"
    assert hash_file(straight.file(name)) == hash_file(resumed.file(name))
    assert straight.content == resumed.content


def test_what_it_would_train_is_told_of_the_tokens_that_are_there() -> None:
    tokens = {"vocab_size": 2048, "splits": {"train": {"tokens": 10_000, "bytes": 30_000}}}
    lines = TrainLmConfig(token_budget=2_400_000).explain(tokens)
    assert lines[0] == "for the vocabulary of 2,048:"
    assert "are 240 passes over the 10,000 tokens of text: beyond 4" in lines[-1]
    few = TrainLmConfig(token_budget=20_480).explain(tokens)
    assert few[-1].endswith("are 2.0 passes over the 10,000 tokens of text")
    assert not any("passes over" in line for line in TrainLmConfig().explain())


def test_the_config_explains_itself() -> None:
    lines = TrainLmConfig(token_budget=2_400_000).explain()
    assert any(line.startswith("width = 192: ") for line in lines)
