"""The weights that a training from nothing starts with."""

from __future__ import annotations

import torch

from gristmill.model.language_model import LanguageModel

# With an embedding of its own the head starts at 0, so that the first loss is exactly log V, and
# the embedding at the size that the norms give activations. Tuned with the dial's DEMO anchor.
_EMBEDDING_STD = 1.0


@torch.no_grad()
def start_weights(model: LanguageModel, seed: int) -> None:
    """Fills every parameter from `seed`: the model's own initialisation; where the head is not
    the embedding, an embedding of N(0, 1) and a head of zeros."""
    model.init_weights(seed)
    if model.lm_head is not None:
        model.lm_head.weight.zero_()
        embedding = model.embedding_weight
        embedding.mul_(_EMBEDDING_STD / embedding.std())
