"""Going on from a finished model: its weights, its tokenizer, a longer context."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.model.rotary import Yarn
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model
from gristmill.stages.train_lm import Shape, TrainLmConfig, train_lm
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.shards import TokenShards
from gristmill.tokenizer.training import train_tokenizer
from gristmill.train.interfaces import View
from gristmill.train.metrics import read_metrics
from gristmill.train.probes import HeldoutLoss, PositionLoss

CONFIG = TrainLmConfig(
    token_budget=8 * 32 * 24,
    context=32,
    dial=Shape(layers=2, width=32, heads=2, kv_heads=1, head_dim=16, mlp_width=64, batch_rows=8),
    probe_windows=4,
)


@pytest.fixture(scope="module")
def first(tokens: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train_lm.run(CONFIG, {"tokens": tokens}, Workspace.at(tmp_path_factory.mktemp("first")))


def test_it_goes_on_and_reads_further(tokens: Artifact, first: Artifact, tmp_path: Path) -> None:
    config = TrainLmConfig(
        token_budget=4 * 64 * 10,
        context=64,
        dial=Shape(batch_rows=4, matrix_lr=0.003),
        start_rope_theta=40_000.0,
        probe_windows=4,
    )
    made = train_lm.run(config, {"tokens": tokens, "start": first}, Workspace.at(tmp_path))
    model, old = load_model(made.path), load_model(first.path)
    assert (model.config.context, model.config.rope_theta) == (64, 40_000.0)
    assert model.num_parameters() == old.num_parameters()
    records = read_metrics(made.file("metrics.jsonl"))
    fresh = read_metrics(first.file("metrics.jsonl"))
    assert records[0]["loss"] < fresh[0]["loss"] - 0.5
    chart = made.read_json("presentation.json")["charts"][-1]
    assert [series["name"] for series in chart["series"]] == ["as it was", "before", "after"]
    assert chart["series"][0]["x"] == [16, 32, 64]


def test_another_tokenizer_and_another_shape_are_refused(
    tokens: Artifact, first: Artifact, seal: Callable[[Path, str, str], Artifact], tmp_path: Path
) -> None:
    wide = CONFIG.model_copy(update={"dial": Shape(width=64)})
    with pytest.raises(GristmillError, match="has width 32, not 64"):
        train_lm.run(wide, {"tokens": tokens, "start": first}, Workspace.at(tmp_path / "a"))
    folder = tmp_path / "other"
    shutil.copytree(first.path, folder)
    (folder / "manifest.json").unlink(missing_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    train_tokenizer(["a book of other words, and no more"] * 9, 280).save(folder)
    other = seal(folder, "model", "train.lm")
    with pytest.raises(GristmillError, match="another tokenizer"):
        train_lm.run(CONFIG, {"tokens": tokens, "start": other}, Workspace.at(tmp_path / "b"))


def test_a_base_without_a_start_is_refused(tokens: Artifact, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"start_rope_theta": 50_000.0})
    with pytest.raises(GristmillError, match="no start"):
        train_lm.run(config, {"tokens": tokens}, Workspace.at(tmp_path))


@pytest.mark.parametrize("mask", [False, True])
def test_places_together_are_the_whole_loss(tokens: Artifact, mask: bool) -> None:
    split = TokenShards.open(tokens.path, "heldout")
    config = TransformerConfig(
        split.vocab_size, width=16, layers=1, heads=1, kv_heads=1, head_dim=16, mlp_width=32,
        context=40,
    )  # fmt: skip
    model = Transformer(config)
    model.init_weights(0)
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=drawn))
        view = View(0, 0, {"policy": model})
        found = PositionLoss(split, 40, windows=5, document_mask=mask, batch=2)(view)
        whole = HeldoutLoss(split, 40, windows=5, document_mask=mask)(view)["loss"]
    assert list(found) == ["16", "32", "40"]
    mean = (16 * found["16"] + 16 * found["32"] + 8 * found["40"]) / 40
    assert mean == pytest.approx(whole, rel=1e-5)
    # Places differ by more than rounding, so that the mean above says something.
    assert found["16"] != pytest.approx(found["32"], rel=1e-5)


def test_a_start_is_stretched_by_yarn(tokens: Artifact, first: Artifact, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = TrainLmConfig(
        token_budget=4 * 128 * 3,
        context=128,
        dial=Shape(batch_rows=4, matrix_lr=0.003),
        start_yarn_factor=4,
        probe_windows=2,
    )
    made = train_lm.run(config, {"tokens": tokens, "start": first}, Workspace.at(tmp_path / "a"))
    model = load_model(made.path)
    assert isinstance(model, Transformer)
    assert model.config.rope_scaling == Yarn(4.0, 32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(made.path)
    assert theirs.config.rope_parameters["rope_type"] == "yarn"
    ids = torch.randint(0, model.config.vocab_size, (2, 128))
    with torch.no_grad():
        assert (model.head(model(ids)) - theirs(ids).logits).abs().max() < 1e-4
    again = train_lm.run(
        config.model_copy(update={"start_yarn_factor": 8, "context": 256}),
        {"tokens": tokens, "start": made},
        Workspace.at(tmp_path / "b"),
    )
    # Stretched anew from where it was pre-trained, not from where the first stretching led.
    assert load_model(again.path).config.rope_scaling == Yarn(8.0, 32)  # type: ignore[union-attr]
    with pytest.raises(GristmillError, match="no start"):
        train_lm.run(config, {"tokens": tokens}, Workspace.at(tmp_path / "c"))
