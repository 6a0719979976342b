"""The size dial of the LSTM: the same wish, its own shape and its own rates.

Batch, steps and warm-up are derived as the transformer's are, so that a comparison at equal
parameters and tokens draws the same batches. Constants that came from tuning are anchored at one
run, SMALL, with a sixth of the demo's tokens; at larger scale they were not checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.model.flops import count_parameters
from gristmill.model.lstm import LstmConfig
from gristmill.scaling.dial import UNMOVED, Anchor, Dial, Numbers

SMALL = Anchor(
    name="the LSTM's anchor",
    scale="0.93 million parameters, 4,096 tokens of vocabulary, English encyclopaedia summaries, "
    "400 thousand tokens, November 2026",
    parameters=930_432,
    width=112,
    batch_tokens=1_024,
    tokens=400_000,
    matrix_lr=0.06,
    embedding_lr=0.032,
    tied_embedding_lr=0.032,
    head_lr=0.02,
    other_lr=0.003,
    decay_time=math.inf,
)

_LAYERS = 2
_ASPECT = 1.5


def turn_lstm(
    parameters: float,
    *,
    vocab_size: int,
    context: int,
    tokens: int | None = None,
    tied: bool | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Dial:
    """`gristmill.scaling.dial.turn` for an LSTM.

    overrides: any of width, layers, hidden, dropout, batch_rows, matrix_lr, embedding_lr, head_lr,
    other_lr, weight_decay, warmup; what follows from one follows its override. Raises
    GristmillError for another (a transformer's heads) or a wish that no shape is near.
    """
    numbers = Numbers(overrides)
    settle = numbers.settle
    why_tied = "set" if tied is not None else "the parameters go into the layers (Inan et al. 2017)"
    tied = True if tied is None else tied
    numbers.state("tied", str(tied).lower(), why_tied)
    layers = settle(
        "layers", _LAYERS, "two, as in Zaremba et al. 2014 and Jozefowicz et al. 2016: width pays"
    )
    width = settle(
        "width",
        nearest_width(parameters, vocab_size, layers, tied),
        "the embedding's, nearest to the size wished for in steps of 16",
    )
    hidden = settle(
        "hidden",
        hidden_of(width),
        f"{_ASPECT:g} of width, up to a multiple of 32: layers wider than the embedding, with a "
        "projection behind them (Jozefowicz et al. 2016)",
    )
    dropout = settle("dropout", 0.0, "few passes over the text, if more than one: nothing to drop")
    model = LstmConfig(vocab_size, width, layers, hidden, context, tied, dropout)
    batch_rows, steps, warmup = numbers.budget(model, parameters, tokens)
    shrink = math.sqrt(SMALL.width / width)
    tuned = f"tuned on {SMALL.name}"
    matrix_lr = settle(
        "matrix_lr", SMALL.matrix_lr, f"{tuned}; Muon's does not move with size, nor {UNMOVED}"
    )
    root = f"{tuned}; falls with the root of width, as the transformer's"
    embedding_lr = settle("embedding_lr", SMALL.embedding_lr * shrink, root)
    head_lr = settle("head_lr", SMALL.head_lr * shrink, "the transformer's; not tuned here")
    other_lr = settle("other_lr", SMALL.other_lr, "the transformer's; of the gates' biases")
    weight_decay = settle("weight_decay", 0.0, f"none, as in the transformer's; {tuned} without")
    if numbers.unknown:
        raise GristmillError(
            f"an LSTM has no '{numbers.unknown}'",
            where="dial",
            mend="leave it out, or take architecture: transformer",
        )
    return Dial(
        model,
        batch_rows,
        steps,
        warmup,
        matrix_lr,
        embedding_lr,
        head_lr,
        other_lr,
        weight_decay,
        tuple(numbers.reasons),
        SMALL,
    )


def hidden_of(width: int) -> int:
    """1.5 of the width, up to a multiple of 32."""
    return math.ceil(_ASPECT * width / 32) * 32


def nearest_width(parameters: float, vocab_size: int, layers: int, tied: bool) -> int:
    """The width whose count of parameters is nearest to the wish, in ratio.

    Raises GristmillError where nothing is within a factor of 2.
    """
    found = [
        (abs(math.log(total / parameters)), width)
        for width, total in _totals(vocab_size, layers, tied)
    ]
    miss, width = min(found)
    if miss > math.log(2):
        raise GristmillError(
            f"no LSTM with a vocabulary of {vocab_size:,} has about {parameters:,.0f} parameters",
            where="size",
            mend="ask for another size or use a smaller vocabulary",
        )
    return width


def _totals(vocab_size: int, layers: int, tied: bool) -> Iterator[tuple[int, int]]:
    for width in [*range(16, 512, 16), *range(512, 2048, 64), *range(2048, 16385, 256)]:
        config = LstmConfig(vocab_size, width, layers, hidden_of(width), 1, tied)
        yield width, count_parameters(config).total
