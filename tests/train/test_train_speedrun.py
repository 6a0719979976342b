"""`train lm` with the architecture speedrun, and what is done with what it makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request
from gristmill.infer.sampling import greedy
from gristmill.infer.scoring import token_log_probabilities
from gristmill.model.speedrun import Speedrun
from gristmill.model.speedrun_config import SpeedrunConfig
from gristmill.model.weights import load_model
from gristmill.scaling.cost import explain
from gristmill.scaling.speedrun_dial import turn_speedrun
from gristmill.stages.export_hf import ExportHfConfig, export_hf
from gristmill.stages.train_lm import Shape, TrainLmConfig, train_lm
from gristmill.stages.workspace import Workspace
from gristmill.train.metrics import read_metrics

CONFIG = TrainLmConfig(
    architecture="speedrun",
    token_budget=8 * 32 * 20,
    context=32,
    dial=Shape(
        layers=2, width=32, heads=2, kv_heads=1, head_dim=16, mlp_width=64, batch_rows=8,
        ngram_rows=200, window=8, value_embeddings=1,
    ),
    probe_windows=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tokens: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    workspace = Workspace.at(tmp_path_factory.mktemp("workspace"))
    return train_lm.run(CONFIG, {"tokens": tokens}, workspace)


def test_it_learns_and_loads(made: Artifact) -> None:
    records = read_metrics(made.file("metrics.jsonl"))
    assert len(records) == 20
    assert records[-1]["heldout.bits_per_byte"] < 0.9 * records[1]["heldout.bits_per_byte"]
    model = load_model(made.path)
    assert isinstance(model, Speedrun)
    assert model.config == SpeedrunConfig(
        300, 32, 2, 2, 1, 16, 64, 32, value_embeddings=1, logit_cap=15.0, window=8, ngram_rows=200
    )
    assert model.num_parameters() == made.manifest.counts["parameters"]
    # The n-grams were learned, from zeros.
    assert model.model.embed_ngrams is not None and model.model.embed_ngrams.weight.any()


def test_it_is_not_exported(made: Artifact, tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="not exportable"):
        export_hf.run(ExportHfConfig(), {"model": made}, Workspace.at(tmp_path))


def test_generation_in_a_batch_equals_the_model_without_a_cache(made: Artifact) -> None:
    model = load_model(made.path)
    generator = torch.Generator().manual_seed(5)
    prompts = [
        torch.randint(0, 300, (n,), generator=generator).tolist() for n in (1, 7, 3, 20, 12, 2)
    ]
    answers = Engine(model).generate([Request(prompt, greedy(10)) for prompt in prompts])
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(prompt)
        for token in answer.tokens:
            with torch.no_grad():
                found = model.head(model(torch.tensor([ids])))[0, -1]
            assert float(found.max() - found[token]) < 1e-4
            ids.append(token)
    rows = torch.randint(0, 300, (3, 21), generator=generator)
    with torch.no_grad():
        expected = model.head(model(rows[:, :-1])).log_softmax(dim=-1)
        scored = token_log_probabilities(model, rows)
    assert torch.allclose(scored, expected.gather(2, rows[:, 1:, None])[..., 0], atol=1e-4)


@pytest.mark.parametrize("size", [2e6, 4e6, 30e6])
def test_the_dial_comes_near_the_size_and_says_that_it_is_not_exportable(size: float) -> None:
    dial = turn_speedrun(size, vocab_size=4096, context=256)
    assert 0.8 < dial.parameters / size < 1.25
    assert any("not exportable" in line for line in explain(dial))
    assert dial.parameters == Speedrun(dial.model).num_parameters()
    assert dataclasses.replace(dial.model, tied=True) == turn_speedrun(
        size, vocab_size=4096, context=256, tied=True,
        overrides={"layers": dial.model.layers, "width": dial.model.width},
    ).model  # fmt: skip


def test_switches_of_another_family_are_refused(tokens: Artifact, tmp_path: Path) -> None:
    for architecture, shape in (
        ("speedrun", Shape(hidden=32)),
        ("transformer", Shape(ngram_rows=8)),
        ("lstm", Shape(heads=2)),
    ):
        config = CONFIG.model_copy(update={"architecture": architecture, "dial": shape})
        with pytest.raises(GristmillError, match="is no part of the architecture"):
            train_lm.run(config, {"tokens": tokens}, Workspace.at(tmp_path))
