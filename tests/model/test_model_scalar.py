"""A transformer with a number at each token."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.model.scalar import ScalarModel, load_scalar, save_scalar
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model

SHAPE = TransformerConfig(
    vocab_size=50, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=48, context=32
)


@pytest.fixture
def base() -> Transformer:
    model = Transformer(SHAPE)
    model.init_weights(3)
    with torch.no_grad():  # blocks that do something
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.copy_(torch.randn(parameter.shape) * 0.1)
    return model.eval()


def test_the_trunk_is_the_language_models(base: Transformer) -> None:
    model = ScalarModel.from_transformer(base, seed=1)
    tokens = torch.randint(50, (2, 9))
    expected = (base(tokens) @ model.score.weight.T)[..., 0]
    assert torch.allclose(model(tokens), expected, atol=1e-6)
    # A copy: training one does not move the other.
    model.model.norm.weight.data.zero_()
    assert base.model.norm.weight.abs().sum() > 0


def test_the_head_has_the_papers_deviation() -> None:
    wide = Transformer(TransformerConfig(50, 4000, 1, 1, 1, 2, 2, 8))
    model = ScalarModel.from_transformer(wide, seed=1)
    assert model.score.weight.std().item() == pytest.approx(4001**-0.5, rel=0.05)
    again = ScalarModel.from_transformer(wide, seed=1)
    assert torch.equal(model.score.weight, again.score.weight)
    assert not torch.equal(
        model.score.weight, ScalarModel.from_transformer(wide, seed=2).score.weight
    )


def test_the_deviation_is_one_over_the_root_of_the_width_and_one() -> None:
    narrow = Transformer(TransformerConfig(50, 4, 1, 1, 1, 4, 4, 8))
    heads = [ScalarModel.from_transformer(narrow, seed).score.weight for seed in range(600)]
    # Without the one it would be 1.25.
    assert float(5 * torch.cat(heads).square().mean()) == pytest.approx(1.0, abs=0.1)


def test_it_comes_back_as_it_was_and_transformers_loads_it(
    base: Transformer, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    model = ScalarModel.from_transformer(base, seed=1)
    save_scalar(tmp_path / "reward", model, pad_id=1)
    tokens = torch.randint(2, 50, (1, 9))
    loaded = load_scalar(tmp_path / "reward").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        ours = load_scalar(tmp_path / "reward")(tokens)
        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")(tokens)
        assert torch.allclose(ours, model(tokens), atol=1e-6)
    assert theirs.logits.shape == (1, 1)
    assert theirs.logits.item() == pytest.approx(ours[0, -1].item(), abs=1e-5)


def test_a_language_model_is_not_taken_for_one(base: Transformer, tmp_path: Path) -> None:
    save_model(tmp_path / "lm", base)
    with pytest.raises(GristmillError, match="no score head"):
        load_scalar(tmp_path / "lm")
