"""The size dial of the second transformer: the first one's shape and rates, its own extras.

Layers, width, heads and batch follow the same rules (dial.py). The MLP has two matrices of 4 times
the width. The rates are anchored at one small run, CHARACTERS; at larger scale they were not
checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.model.flops import count_parameters
from gristmill.model.speedrun_config import NOT_EXPORTABLE, SpeedrunConfig
from gristmill.scaling.dial import (
    UNMOVED,
    Anchor,
    Dial,
    Numbers,
    head_dim_of,
    ideal_aspect,
    kv_heads_of,
)

CHARACTERS = Anchor(
    name="the speedrun's anchor",
    scale="2 layers of width 128, 65 characters, 12,288 rows of n-grams, Shakespeare, 61 thousand "
    "tokens in batches of 768, November 2026",
    parameters=1_982_720,
    width=128,
    batch_tokens=768,
    tokens=61_440,
    matrix_lr=0.04,
    embedding_lr=0.1,
    tied_embedding_lr=0.026,
    head_lr=0.012,
    other_lr=0.003,
    decay_time=math.inf,
)

_NGRAMS = (2, 3)
_MLP = 4
_WIDTHS = (*range(32, 512, 32), *range(512, 2048, 128), *range(2048, 16385, 512))


def turn_speedrun(
    parameters: float,
    *,
    vocab_size: int,
    context: int,
    tokens: int | None = None,
    tied: bool | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Dial:
    """`gristmill.scaling.dial.turn` for the second transformer; not exportable.

    overrides: those of the transformer, and any switch of SpeedrunConfig. Raises GristmillError for
    another or a wish that no shape is near.
    """
    numbers = Numbers(overrides)
    settle = numbers.settle
    numbers.state("architecture", "speedrun", NOT_EXPORTABLE)
    why_tied = "set" if tied is not None else "a head of its own starts at 0 and learns faster"
    tied = False if tied is None else tied
    numbers.state("tied", str(tied).lower(), why_tied)
    rows = settle(
        "ngram_rows", vocab_size, "as many as there are tokens, for pairs and for triples each"
    )
    layers, width = _nearest(parameters, vocab_size, tied, rows)
    layers = settle("layers", layers, "the shape nearest to the size wished for, see width")
    width = settle("width", width, f"about {ideal_aspect(layers):.0f} for each layer")
    head_dim = settle("head_dim", head_dim_of(width), "as the transformer's")
    heads = settle("heads", max(1, width // head_dim), "width / head_dim")
    kv_heads = settle("kv_heads", kv_heads_of(heads), "as the transformer's")
    mlp_width = settle("mlp_width", _MLP * width, f"{_MLP} of width: two matrices, not three")
    switches = {
        "residual_scalars": settle("residual_scalars", True, "two numbers a layer"),
        "value_embeddings": settle("value_embeddings", 1, "of the last layer"),
        "logit_cap": settle("logit_cap", 15.0, "as in nanochat; no logit runs away"),
        "window": settle("window", 0, "none: contexts are short"),
        "rope_theta": settle("rope_theta", 1024.0, "the base for short contexts"),
    }
    model = SpeedrunConfig(
        vocab_size, width, layers, heads, kv_heads, head_dim, mlp_width, context,
        tied=tied, ngrams=_NGRAMS, ngram_rows=rows, **switches,
    )  # fmt: skip
    batch_rows, steps, warmup = numbers.budget(model, parameters, tokens)
    shrink = math.sqrt(CHARACTERS.width / width)
    tuned = f"tuned on {CHARACTERS.name}"
    matrix_lr = settle(
        "matrix_lr", CHARACTERS.matrix_lr, f"{tuned}; Muon's does not move with size, nor {UNMOVED}"
    )
    root = f"{tuned}; falls with the root of width, as the transformer's"
    peak = CHARACTERS.tied_embedding_lr if tied else CHARACTERS.embedding_lr
    embedding_lr = settle("embedding_lr", peak * shrink, root)
    head_lr = settle("head_lr", CHARACTERS.head_lr * shrink, root)
    other_lr = settle("other_lr", CHARACTERS.other_lr, "the transformer's; of the scalars")
    weight_decay = settle("weight_decay", 0.0, "none, as in the transformer's")
    if numbers.unknown:
        raise GristmillError(
            f"a speedrun has no '{numbers.unknown}'",
            where="dial",
            mend="leave it out, or take another architecture",
        )
    return Dial(
        model, batch_rows, steps, warmup, matrix_lr, embedding_lr, head_lr, other_lr, weight_decay,
        tuple(numbers.reasons), CHARACTERS,
    )  # fmt: skip


def _nearest(parameters: float, vocab_size: int, tied: bool, rows: int) -> tuple[int, int]:
    """(layers, width) as `dial.nearest_shape` chooses them, of all parameters together."""
    best: tuple[float, int, int] | None = None
    for layers in range(1, 161):
        for width in _WIDTHS:
            oddness = abs(math.log(width / layers / ideal_aspect(layers)))
            if oddness > math.log(2.5):
                continue
            head_dim = head_dim_of(width)
            heads = width // head_dim
            shape = SpeedrunConfig(
                vocab_size, width, layers, heads, kv_heads_of(heads), head_dim, _MLP * width, 1,
                tied=tied, ngrams=_NGRAMS, ngram_rows=rows,
            )  # fmt: skip
            miss = abs(math.log(count_parameters(shape).total / parameters))
            cost = 3.0 * miss + oddness
            if miss <= math.log(2) and (best is None or cost < best[0]):
                best = (cost, layers, width)
    if best is None:
        raise GristmillError(
            f"no speedrun with a vocabulary of {vocab_size:,} has about {parameters:,.0f} "
            "parameters",
            where="size",
            mend="ask for another size, fewer ngram_rows, or use a smaller vocabulary",
        )
    return best[1], best[2]
