"""`train lm` with the architecture lstm, and what is done with what it makes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file
from gristmill.core.errors import GristmillError, Retryable
from gristmill.model.lstm import LstmConfig, LstmModel
from gristmill.model.weights import load_model
from gristmill.scaling.cost import explain
from gristmill.scaling.dial import turn
from gristmill.scaling.lstm_dial import turn_lstm
from gristmill.stages.evaluate_perplexity import PerplexityConfig, evaluate_perplexity
from gristmill.stages.export_hf import ExportHfConfig, export_hf
from gristmill.stages.generate import GenerateConfig, generate
from gristmill.stages.train_lm import Shape, TrainLmConfig, train_lm
from gristmill.stages.workspace import Workspace
from gristmill.train import text
from gristmill.train.metrics import read_metrics

CONFIG = TrainLmConfig(
    architecture="lstm",
    token_budget=8 * 32 * 20,
    context=32,
    dial=Shape(layers=2, width=24, hidden=32, batch_rows=8, dropout=0.1),
    probe_windows=4,
)


@pytest.fixture(scope="module")
def made(tokens: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    workspace = Workspace.at(tmp_path_factory.mktemp("workspace"))
    return train_lm.run(CONFIG, {"tokens": tokens}, workspace)


def test_it_learns_and_loads(made: Artifact) -> None:
    records = read_metrics(made.file("metrics.jsonl"))
    assert len(records) == 20
    assert records[-1]["heldout.bits_per_byte"] < 0.9 * records[1]["heldout.bits_per_byte"]
    model = load_model(made.path)
    assert isinstance(model, LstmModel)
    assert model.config == LstmConfig(300, 24, 2, 32, 32, tied=True, dropout=0.1)
    assert model.num_parameters() == made.manifest.counts["parameters"]
    assert made.manifest.config["architecture"] == "lstm"


def test_a_stopped_lstm_goes_on_to_the_same_weights(
    made: Artifact, tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = text.TextSource.next
    drawn = 0

    def interrupted(source: text.TextSource, moment: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == 7:
            signal.raise_signal(signal.SIGINT)
        return real(source, moment)

    monkeypatch.setattr(text.TextSource, "next", interrupted)
    workspace = Workspace.at(tmp_path)
    with pytest.raises(Retryable, match="after step 7 of 20"):
        train_lm.run(CONFIG, {"tokens": tokens}, workspace)
    resumed = train_lm.run(CONFIG, {"tokens": tokens}, workspace)
    assert drawn == 20
    name = "model.safetensors"
    assert hash_file(made.file(name)) == hash_file(resumed.file(name))


def test_it_is_evaluated_and_sampled_like_any_model(
    made: Artifact, tokens: Artifact, tmp_path: Path
) -> None:
    workspace = Workspace.at(tmp_path)
    found = evaluate_perplexity.run(
        PerplexityConfig(), {"model": made, "tokens": tokens}, workspace
    )
    assert found.manifest.counts["documents"] == 20
    written = generate.run(
        GenerateConfig(prompts=("the river", "king"), max_tokens=5), {"model": made}, workspace
    )
    lines = written.file("completions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["the river", "king"]


def test_an_export_refuses_it(made: Artifact, tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="an LSTM cannot be exported"):
        export_hf.run(ExportHfConfig(), {"model": made}, Workspace.at(tmp_path))


def test_a_number_of_the_other_family_is_refused_where_it_stands() -> None:
    with pytest.raises(GristmillError, match="'heads' is no part of the architecture lstm") as one:
        TrainLmConfig(architecture="lstm", dial=Shape(heads=2)).explain()
    assert one.value.where == "train.lm.dial.heads"
    with pytest.raises(GristmillError, match="'hidden' is no part of the architecture transformer"):
        TrainLmConfig(dial=Shape(hidden=64)).explain()


@pytest.mark.parametrize("wish", [0.6e6, 1e6, 4e6, 30e6])
def test_the_dial_meets_the_wish_and_draws_the_transformers_batches(wish: float) -> None:
    dial = turn_lstm(wish, vocab_size=4096, context=256, tokens=400_000)
    assert dial.parameters == pytest.approx(wish, rel=0.1)
    other = turn(wish, vocab_size=4096, context=256, tokens=400_000)
    assert (dial.batch_rows, dial.steps, dial.warmup) == (
        other.batch_rows, other.steps, other.warmup,
    )  # fmt: skip
    named = {reason.name for reason in dial.reasons}
    assert named >= {"layers", "width", "hidden", "parameters", "matrix_lr", "batch_rows", "tokens"}


def test_the_dial_explains_parameters_and_operations() -> None:
    lines = explain(turn_lstm(1e6, vocab_size=4096, context=256, tokens=400_000))
    model = turn_lstm(1e6, vocab_size=4096, context=256).model
    assert isinstance(model, LstmConfig)
    multiply = LstmModel(model).num_matrix_parameters()
    assert any(f"{multiply:,} multiply" in line for line in lines)
    assert any(f"{6 * multiply:.3g} for each token" in line for line in lines)
    assert any(line.startswith("hidden = ") for line in lines)


def test_a_wish_that_no_lstm_is_near_is_refused() -> None:
    with pytest.raises(GristmillError, match="no LSTM with a vocabulary of 100,000"):
        turn_lstm(1e5, vocab_size=100_000, context=256)
    with pytest.raises(GristmillError, match="an LSTM has no 'heads'"):
        turn_lstm(1e6, vocab_size=4096, context=256, overrides={"heads": 2})
