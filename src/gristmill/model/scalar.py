"""A transformer with one number at each token instead of logits: reward and value models.

The trunk is the language model's; parameter names are those of Qwen3ForSequenceClassification with
one label, so that transformers loads what is saved here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.model.language_model import LanguageModel
from gristmill.model.transformer import (
    Transformer,
    TransformerConfig,
    Trunk,
    require_transformer,
)
from gristmill.model.weights import (
    CONFIG,
    check_tensors,
    load_config,
    read_tensors,
    save_folder,
)

_CAUSAL, _CLASSIFIER = "ForCausalLM", "ForSequenceClassification"


class ScalarModel(nn.Module):
    """Token ids in, one number at each token out."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.score = nn.Linear(config.width, 1, bias=False)

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
    ) -> Tensor:
        """values_BT, float32; each depends on its token and those before it."""
        hidden_BTD = self.model(tokens_BT, segments_BT=segments_BT, positions_BT=positions_BT)
        values_BT: Tensor = self.score(hidden_BTD)[..., 0].float()
        return values_BT

    @classmethod
    @torch.no_grad()
    def from_transformer(cls, model: LanguageModel, seed: int) -> ScalarModel:
        """A copy of the trunk under a new head, N(0, 1 / (width + 1)) in variance (Stiennon et al.
        2020, appendix B.1). Raises GristmillError for another family."""
        require_transformer(model.config, "a reward or value model")
        assert isinstance(model, Transformer)
        found = cls(model.config)
        found.model.load_state_dict(model.model.state_dict())
        found.to(model.head_weight.device)
        generator = torch.Generator().manual_seed(derive_seed(seed, "score"))
        values = torch.randn(found.score.weight.shape, generator=generator)
        found.score.weight.copy_(values / math.sqrt(model.config.width + 1))
        return found


def save_scalar(
    folder: Path | str,
    model: ScalarModel,
    tokenizer_folder: Path | str | None = None,
    *,
    pad_id: int | None = None,
) -> None:
    """Writes a folder that `AutoModelForSequenceClassification` loads."""
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    save_folder(folder, model.config, tensors, tokenizer_folder, pad_id=pad_id)
    path = Path(folder) / CONFIG
    config = read_json(path)
    config["architectures"] = [_classifier(name) for name in config["architectures"]]
    config["id2label"], config["label2id"] = {"0": "SCORE"}, {"SCORE": 0}
    config["tie_word_embeddings"] = False
    write_json(path, config)


def load_scalar(folder: Path | str, device: torch.device | str = "cpu") -> ScalarModel:
    """What `save_scalar` wrote, in evaluation mode. Raises GristmillError as `load_model` does."""
    folder = Path(folder)
    config = require_transformer(load_config(folder), "a reward or value model", folder)
    tensors = read_tensors(folder, device)
    if "score.weight" not in tensors:
        raise GristmillError(
            "this model has no score head", where=folder, mend="give one of train reward"
        )
    with torch.device("meta"):
        model = ScalarModel(config)
    check_tensors(tensors, _shapes(model.state_dict()), folder)
    model.load_state_dict(tensors, assign=True)
    model.requires_grad_(True)
    return model.eval()


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _classifier(architecture: str) -> str:
    return architecture.removesuffix(_CAUSAL) + _CLASSIFIER
