"""The settings of `train lm`, and what the size dial makes of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from gristmill.core.errors import GristmillError
from gristmill.stages.stage import StageConfig, later, local

if TYPE_CHECKING:
    from gristmill.scaling.dial import Dial

# So many passes are worth nearly as much as new text (Muennighoff et al. 2023).
_FRESH_PASSES = 4
# FLOP/s of a core in a training, within a factor of three.
_CORE_SPEED = 3e10
# Of the dial's numbers, those that not all families have.
ATTENTION = ("heads", "kv_heads", "head_dim", "mlp_width")
_SWITCHES = (
    "ngram_rows", "value_embeddings", "residual_scalars", "logit_cap", "window", "rope_theta"
)  # fmt: skip
_ONLY: dict[str, tuple[str, ...]] = {
    "transformer": ATTENTION,
    "lstm": ("hidden", "dropout"),
    "speedrun": ATTENTION + _SWITCHES,
}


class Shape(StageConfig):
    """Numbers that replace what the size dial derives; what follows from one follows it.

    `heads`, `kv_heads`, `head_dim` and `mlp_width` are a transformer's, `hidden` and `dropout` an
    LSTM's, those from `ngram_rows` to `rope_theta` a speedrun's.
    """

    layers: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=2)
    heads: int | None = Field(None, ge=1)
    kv_heads: int | None = Field(None, ge=1)
    head_dim: int | None = Field(None, ge=2)
    mlp_width: int | None = Field(None, ge=1)
    hidden: int | None = later(None, ge=1)
    """Width of an LSTM's layers."""
    dropout: float | None = later(None, ge=0, lt=1)
    """Of an LSTM: one mask for all tokens of a sequence."""
    ngram_rows: int | None = later(None, ge=0)
    """Rows of the embeddings of pairs, and of triples, of tokens; 0: none."""
    value_embeddings: int | None = later(None, ge=0)
    """How many of the last layers add an embedding of the token to attention's values."""
    residual_scalars: bool | None = later(None)
    """Whether blocks weigh the stream and bring the embedding back."""
    logit_cap: float | None = later(None, ge=0)
    """No logit is beyond it; 0: no cap."""
    window: int | None = later(None, ge=0)
    """Tokens that three of four layers see; 0: all."""
    rope_theta: float | None = later(None, gt=1)
    """Base of the rotary positions."""
    tied: bool | None = None
    """Whether embedding and head are one matrix."""
    batch_rows: int | None = Field(None, ge=1)
    warmup: int | None = Field(None, ge=0)
    """Steps in which the rates rise."""
    matrix_lr: float | None = Field(None, gt=0)
    embedding_lr: float | None = Field(None, gt=0)
    head_lr: float | None = Field(None, gt=0)
    other_lr: float | None = Field(None, gt=0)
    weight_decay: float | None = Field(None, ge=0)


class TrainLmConfig(StageConfig):
    """The size dial, the data's order and the optimizer."""

    architecture: Literal["transformer", "lstm", "speedrun"] = later("transformer")
    """The family. An LSTM and a speedrun (a transformer with every trick that lowers the loss for
    its compute) are trained, evaluated and sampled alike, but not exportable."""
    size: float = Field(4.0, gt=0)
    """Millions of parameters wished for: everything else follows from it (see --dry-run)."""
    token_budget: int | None = Field(None, ge=1)
    """Tokens to train on, repeats included; default: 20 for each parameter."""
    byte_budget: int | None = later(None, ge=1)
    """Instead: bytes of text to train on, so that several tokenizers read the same."""
    flop_budget: float | None = later(None, gt=0)
    """Instead: FLOPs to spend."""
    context: int = Field(256, ge=2)
    context_bytes: int | None = later(None, ge=16)
    """Instead: bytes of text that a context holds on average."""
    dial: Shape = Shape()
    """Replaces single numbers that the size dial derives."""
    document_mask: bool = True
    """Whether a token sees only its own document, positions restarting in each."""
    schedule: Literal["linear", "cosine", "wsd", "constant"] = "wsd"
    """How the rates fall after the warm-up: `wsd` holds them, then falls to `floor`."""
    decay: float = Field(0.6, ge=0, le=1)
    """Share of the steps in which `wsd` falls."""
    floor: float = Field(0.0, ge=0, le=1)
    """Where the rates end, as a share of their peak."""
    anneal: float = Field(0.15, ge=0, lt=1)
    """Share of the steps, at the end, that draw from the annealing split too."""
    anneal_weight: float = Field(0.5, ge=0, le=1)
    """Share of the samples in those steps that come from the annealing split."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """What moves the matrices of the blocks; all else is moved by AdamW."""
    momentum: float = Field(0.85, ge=0, lt=1)
    """Muon's. Low suits small batches."""
    cautious: bool = later(False)
    """Weights decay only where their update moves them towards 0."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 turns clipping off."""
    z_loss: float = Field(0.0, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "auto"
    """Of the products; `auto` measures this machine. Weights and sums are float32 always. Never
    chosen by itself: fp16, with a factor on the loss, which finds its size, and fp8, the blocks'
    linear layers on an NVIDIA GPU since Ada and Hopper."""
    compile: bool | None = local(None)
    """Compiles a transformer's blocks; default: on a GPU. On a processor it pays only in long
    trainings and needs a C++ compiler."""
    context_schedule: tuple[tuple[float, int], ...] = later(())
    """Lengths to cut windows into, by share of the tokens: [[0.3, 64], [1.0, 256]]."""
    batch_schedule: tuple[tuple[float, int], ...] = later(())
    """Windows a step, by share of the tokens, in place of the dial's: [[0.5, 4], [1.0, 8]]."""
    batch_rates: Literal["root", "linear", "constant"] = later("root")
    """How the rates follow a batch schedule: with the root of a step's windows over the dial's
    (Malladi et al. 2022), with their share, or not."""
    micro_batch: int | None = local(None, ge=1)
    """Rows held at once; default: what fits into half of the free memory."""
    checkpoint_activations: Literal["none", "blocks", "auto"] = local("none")
    """`blocks` computes each block again in the backward pass: less memory, a third more time.
    `auto`: where not even one row fits otherwise."""
    threads: int | None = local(None, ge=1)
    """Of the processor, for one operation; default: all, for a narrow LSTM one."""
    start_rope_theta: float | None = later(None, gt=1)
    """Of a start: a larger base of its rotary positions, so that it reads further than before."""
    start_yarn_factor: float | None = later(None, gt=1)
    """Of a start: stretches its rotary positions by YaRN, so many times its own context."""
    checkpoint_seconds: float = local(60.0, gt=0)
    checkpoint_background: bool = local(False)
    """Writes checkpoints beside the training; a copy of the weights and the state is held."""
    keep_every: int = local(0, ge=0)
    """Keeps the checkpoints of steps that it divides, besides the last two; 0: none."""
    sinks: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = local(())
    """Where the metrics go besides metrics.jsonl; each needs its extra. None sends anything by
    itself: wandb writes its offline folder unless WANDB_MODE says otherwise."""
    update_norms: int = local(50, ge=0)
    """Steps between measurements of how far an update moves the weights; 0: none."""
    measure_choices: bool = local(False)
    """Trains a few steps more without each choice (precision, compilation, tiling, chunks) and
    shows in the report what it is worth; half a minute to some minutes."""
    probe_windows: int = local(32, ge=1)
    """Held-out windows that the loss is watched on, eight times in a training."""
    assumed_vocabulary: int = local(4096, ge=2)
    """What --dry-run takes for the vocabulary before there are tokens."""

    def explain(self, tokens: Mapping[str, Any] | None = None) -> list[str]:
        """Every number that the dial derives, with its reason. tokens: the `tokens.json` that is
        trained on; without it the vocabulary is assumed."""
        from gristmill.scaling.cost import cost, explain

        text = (tokens or {}).get("splits", {}).get("train", {})
        vocabulary = int(tokens["vocab_size"]) if tokens else self.assumed_vocabulary
        each = text["bytes"] / text["tokens"] if text.get("tokens") else 4.0
        head = f"for {'the' if tokens else 'a'} vocabulary of {vocabulary:,}"
        config = self
        if self.byte_budget or self.flop_budget or self.context_bytes:
            head += f" and {each:.3g} bytes a token"
            config = in_tokens(self, vocabulary, each)
        dial = dial_of(config, vocabulary)
        lines = [f"{head}:", *explain(dial)]
        cores = os.cpu_count() or 1
        hours = cost(dial).flops / (cores * _CORE_SPEED) / 3600
        lines.append(
            f"on the {cores} cores here {_about(hours)}, within a factor of three; on an "
            "accelerator far less"
        )
        if text.get("tokens"):
            lines.append(_passes(dial.tokens, text["tokens"]))
        return lines

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [
            name
            for name in ("token_budget", "byte_budget", "flop_budget")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are two budgets; give one of them")
        return self


def _about(hours: float) -> str:
    for size, unit in ((1 / 24, "days"), (1, "hours"), (60, "minutes")):
        if hours * size >= 2:
            return f"about {hours * size:,.0f} {unit}"
    return f"about {max(1.0, hours * 3600):,.0f} seconds"


def _passes(budget: int, there: int) -> str:
    passes = budget / there
    count = f"{passes:,.1f}" if passes < 10 else f"{passes:,.0f}"
    said = f"{budget:,} tokens are {count} passes over the {there:,} tokens of text"
    if passes <= _FRESH_PASSES:
        return said
    return (
        f"{said}: beyond {_FRESH_PASSES} repeated text teaches less and less (Muennighoff et al. "
        "2023); take more text, or a smaller model or token_budget"
    )


def in_tokens(config: TrainLmConfig, vocab_size: int, bytes_per_token: float) -> TrainLmConfig:
    """The same settings with context and budget in tokens, where bytes or FLOPs are asked for."""
    update: dict[str, Any] = {}
    if config.context_bytes is not None:
        # In steps of 8 tokens, which suit the products of attention.
        update["context"] = max(8, 8 * round(config.context_bytes / bytes_per_token / 8))
        update["context_bytes"] = None
    if config.byte_budget is not None:
        update["token_budget"] = max(1, round(config.byte_budget / bytes_per_token))
        update["byte_budget"] = None
    config = config.model_copy(update=update)
    if config.flop_budget is not None:
        from gristmill.model.flops import flops_per_token

        one = config.model_copy(update={"flop_budget": None, "token_budget": 1})
        each = flops_per_token(dial_of(one, vocab_size).model)
        tokens = max(1, round(config.flop_budget / each))
        config = config.model_copy(update={"flop_budget": None, "token_budget": tokens})
    return config


def dial_of(config: TrainLmConfig, vocab_size: int) -> Dial:
    """What the size dial of the architecture derives, single numbers replaced."""
    from gristmill.scaling.dial import turn
    from gristmill.scaling.lstm_dial import turn_lstm
    from gristmill.scaling.speedrun_dial import turn_speedrun

    overrides = config.dial.model_dump()
    tied = overrides.pop("tied")
    own = _ONLY[config.architecture]
    for name in sorted({name for names in _ONLY.values() for name in names} - set(own)):
        if overrides.pop(name) is not None:
            raise GristmillError(
                f"'{name}' is no part of the architecture {config.architecture}",
                where=f"train.lm.dial.{name}",
                mend="leave it out, or choose another architecture",
            )
    derive = {"transformer": turn, "lstm": turn_lstm, "speedrun": turn_speedrun}
    return derive[config.architecture](
        config.size * 1e6,
        vocab_size=vocab_size,
        context=config.context,
        tokens=config.token_budget,
        tied=tied,
        overrides=overrides,
    )
