"""The size dial: from one number, the parameters wanted, everything else of a pre-training.

Each derived number carries its reason, so that `--dry-run` can print it. Constants that came from
tuning are anchored at one run, DEMO, named here with its scale; the exponents that carry them to
other sizes are the field's, with their source, and were not checked here at larger scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.model.flops import ModelConfig, count_parameters
from gristmill.model.transformer import TransformerConfig


@dataclass(frozen=True)
class Anchor:
    """The run that the constants were tuned on."""

    name: str
    scale: str
    parameters: int
    width: int
    batch_tokens: int
    tokens: int
    matrix_lr: float
    embedding_lr: float
    # Where the embedding is also the head.
    tied_embedding_lr: float
    head_lr: float
    other_lr: float
    # Of the whole run: 1 / (lr * decay * steps); infinite without weight decay.
    decay_time: float


DEMO = Anchor(
    name="the demo",
    scale="rates measured with 4.2 million parameters, 4,096 tokens of vocabulary, English "
    "encyclopaedia summaries, 2.4 million tokens in two passes, November 2026",
    parameters=4_230_336,
    width=192,
    batch_tokens=2_048,
    tokens=2_400_000,
    matrix_lr=0.03,
    embedding_lr=0.1,
    # 0.03 at width 96 (0.6 million parameters, 100 and 400 thousand tokens; docs/log.md).
    tied_embedding_lr=0.021,
    head_lr=0.02,
    other_lr=0.003,
    decay_time=math.inf,
)

COMPUTE_OPTIMAL = 20.0
"""Training tokens per parameter at the least compute (Hoffmann et al. 2022, table 3)."""
UNMOVED = "with the tokens while the batch grows with them"
"""Of the highest rates: between 0.1 and 1.6 million tokens the best were within a factor of 1.7 of
the same value, in either direction, for both families at 0.6 million parameters (docs/log.md)."""
_MOST_LAYERS = 160


@dataclass(frozen=True)
class Derived:
    """One number and why it is that."""

    name: str
    value: int | float | str
    why: str


@dataclass(frozen=True)
class Dial:
    """What the dial says: the shape, the budget, the rates. `reasons` has one entry for each.

    anchor: the run that the rates were tuned on.
    """

    model: ModelConfig
    batch_rows: int
    steps: int
    warmup: int
    matrix_lr: float
    embedding_lr: float
    head_lr: float
    other_lr: float
    weight_decay: float
    reasons: tuple[Derived, ...]
    anchor: Anchor = DEMO

    @property
    def tokens(self) -> int:
        """Tokens of the whole training."""
        return self.steps * self.batch_rows * self.model.context

    @property
    def parameters(self) -> int:
        """All parameters."""
        return count_parameters(self.model).total


def turn(
    parameters: float,
    *,
    vocab_size: int,
    context: int,
    tokens: int | None = None,
    tied: bool | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Dial:
    """The dial at `parameters` (a wish; the nearest shape is taken), for a vocabulary and context.

    tokens: the budget; default COMPUTE_OPTIMAL for each parameter. tied: whether embedding and
    head are one matrix; default: only where the vocabulary would be most of an untied model.
    overrides: any of width, layers, heads, kv_heads, head_dim, mlp_width, batch_rows, matrix_lr,
    embedding_lr, head_lr, other_lr, weight_decay, warmup; what follows from one follows its
    override. Raises GristmillError for an unknown override or a wish that no shape is near.
    """
    numbers = Numbers(overrides)
    settle = numbers.settle
    tied, why_tied = (tied, "set") if tied is not None else _tied(parameters, vocab_size)
    numbers.state("tied", str(tied).lower(), why_tied)
    layers, width = nearest_shape(parameters, vocab_size, tied)
    layers = settle("layers", layers, "the shape nearest to the size wished for, see width")
    width = settle(
        "width",
        width,
        f"about {ideal_aspect(layers):.0f} for each layer: narrow when shallow, 64 at 12 layers, "
        "at most 128, as in published families",
    )
    head_dim = settle(
        "head_dim",
        head_dim_of(width),
        "128 from width 2,048 on, else 64, or 32 where 64 does not divide the width",
    )
    heads = settle("heads", max(1, width // head_dim), "width / head_dim")
    kv_heads = settle(
        "kv_heads",
        kv_heads_of(heads),
        "as many as heads below 16, where the cache is small; groups of up to 4 above",
    )
    mlp_width = settle(
        "mlp_width", mlp_width_of(width), "8/3 of width, up to a multiple of 64 (Shazeer 2020)"
    )
    model = TransformerConfig(
        vocab_size, width, layers, heads, kv_heads, head_dim, mlp_width, context, tied=tied
    )
    batch_rows, steps, warmup = numbers.budget(model, parameters, tokens)
    shrink = math.sqrt(DEMO.width / width)
    tuned = f"tuned on {DEMO.name}"
    matrix_lr = settle(
        "matrix_lr", DEMO.matrix_lr, f"{tuned}; Muon's does not move with size, nor {UNMOVED}"
    )
    root = f"{tuned}; falls with the root of width (as in nanochat's dial)"
    peak, which = (DEMO.tied_embedding_lr, "head too; ") if tied else (DEMO.embedding_lr, "")
    embedding_lr = settle("embedding_lr", peak * shrink, which + root)
    head_lr = settle("head_lr", DEMO.head_lr * shrink, root)
    other_lr = settle("other_lr", DEMO.other_lr, f"{tuned}; norms have no width")
    weight_decay = settle(
        "weight_decay",
        1.0 / (matrix_lr * steps * DEMO.decay_time),
        "1 / (matrix_lr * steps * c): the average over updates spans the same share of every run "
        f"(Wang and Aitchison 2024); c = {DEMO.decay_time:g} {tuned}",
    )
    if numbers.unknown:
        raise GristmillError(f"the dial has no '{numbers.unknown}'", where="overrides")
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
    )


class Numbers:
    """The numbers of a dial as they are settled one after the other, each with its reason."""

    def __init__(self, overrides: Mapping[str, Any] | None):
        self._asked = {k: v for k, v in (overrides or {}).items() if v is not None}
        self.reasons: list[Derived] = []

    def settle(self, name: str, value: Any, why: str) -> Any:
        """The value derived, or the one asked for in its place."""
        given = self._asked.pop(name, None)
        self.state(name, *((value, why) if given is None else (given, "set")))
        return value if given is None else given

    def state(self, name: str, value: int | float | str, why: str) -> None:
        """A number that cannot be asked for."""
        self.reasons.append(Derived(name, value, why))

    @property
    def unknown(self) -> str | None:
        """What was asked for and is no number of this dial."""
        return next(iter(self._asked), None)

    def budget(self, model: ModelConfig, wished: float, tokens: int | None) -> tuple[int, int, int]:
        """(batch_rows, steps, warmup), the same for every family at equal parameters and tokens."""
        total, context = count_parameters(model).total, model.context
        self.state("parameters", total, f"of this shape; {wished:,.0f} were wished")
        budget = tokens or round(COMPUTE_OPTIMAL * total)
        why = "set" if tokens else f"{COMPUTE_OPTIMAL:.0f} for each parameter (Hoffmann 2022)"
        batch_rows = self.settle(
            "batch_rows",
            batch_rows_for(budget, context),
            f"{DEMO.batch_tokens:,} tokens at {DEMO.tokens:,} trained on, growing with their power "
            "0.4 (Bergsma et al. 2025), to a power of 2",
        )
        if batch_rows * context > 2 * budget and batch_rows > 1:
            raise GristmillError(
                f"a batch of {batch_rows:,} rows of {context:,} tokens is more than the budget of "
                f"{budget:,} tokens",
                where="dial.batch_rows",
                mend=f"at most {max(1, budget // context):,} rows fit, or train on more tokens",
            )
        steps = max(1, round(budget / (batch_rows * context)))
        self.state("tokens", steps * batch_rows * context, why)
        self.state("steps", steps, "tokens / (batch_rows * context)")
        warmup = self.settle(
            "warmup", min(max(1, steps // 100), 2000), "1% of the steps, at most 2,000"
        )
        return batch_rows, steps, warmup


def ideal_aspect(layers: int) -> float:
    """Width for each layer: 16/3 of the depth (32 at 6 layers, 64 at 12), at most 128."""
    return min(128.0, 16.0 / 3.0 * layers)


def nearest_shape(parameters: float, vocab_size: int, tied: bool) -> tuple[int, int]:
    """(layers, width) whose count of parameters is nearest to the wish, in ratio, and whose aspect
    is near the ideal; the count weighs 3 times as much.

    Raises GristmillError where nothing is within a factor of 2.
    """
    best: tuple[float, int, int] | None = None
    for layers, width, total in _shapes(vocab_size, tied):
        miss = abs(math.log(total / parameters))
        if miss > math.log(2):
            continue
        oddness = abs(math.log(width / layers / ideal_aspect(layers)))
        cost = 3.0 * miss + oddness
        if best is None or cost < best[0]:
            best = (cost, layers, width)
    if best is None:
        raise GristmillError(
            f"no shape with a vocabulary of {vocab_size:,} has about {parameters:,.0f} parameters",
            where="size",
            mend="ask for another size or use a smaller vocabulary",
        )
    return best[1], best[2]


def head_dim_of(width: int) -> int:
    """128 from a width of 2,048 on, 64 below where it divides the width, else 32."""
    if width >= 2048 and width % 128 == 0:
        return 128
    return 64 if width % 64 == 0 else 32


def kv_heads_of(heads: int) -> int:
    """As many as heads below 16 heads; above, heads over the largest group of at most 4."""
    if heads < 16:
        return heads
    return heads // max(group for group in (1, 2, 3, 4) if heads % group == 0)


def mlp_width_of(width: int) -> int:
    """8/3 of the width, rounded up to a multiple of 64."""
    return math.ceil(width * 8 / 3 / 64) * 64


def batch_rows_for(tokens: int, context: int) -> int:
    """Rows of a batch for a token budget: a power of 2."""
    batch_tokens = DEMO.batch_tokens * (tokens / DEMO.tokens) ** 0.4
    return int(2 ** max(0, round(math.log2(batch_tokens / context))))


def _tied(parameters: float, vocab_size: int) -> tuple[bool, str]:
    try:
        _, width = nearest_shape(parameters, vocab_size, tied=False)
    except GristmillError:
        return True, "untied, embedding and head would be more than the size wished for"
    if 2 * vocab_size * width > parameters / 2:
        return True, "untied, embedding and head would be more than half of the model"
    return False, (
        "an embedding of its own costs memory but no products, and learned faster at "
        f"the size of {DEMO.name} (docs/log.md)"
    )


def _shapes(vocab_size: int, tied: bool) -> Iterator[tuple[int, int, int]]:
    widths = [*range(32, 512, 32), *range(512, 2048, 128), *range(2048, 16385, 512)]
    for layers in range(1, _MOST_LAYERS + 1):
        for width in widths:
            if not 0.4 <= width / layers / ideal_aspect(layers) <= 2.5:
                continue
            head_dim = head_dim_of(width)
            heads = width // head_dim
            config = TransformerConfig(
                vocab_size, width, layers, heads, kv_heads_of(heads), head_dim,
                mlp_width_of(width), 1, tied=tied,
            )  # fmt: skip
            yield layers, width, count_parameters(config).total
