"""The shape of the second transformer and its switches, and how `config.json` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from gristmill.core.errors import GristmillError
from gristmill.model.attention_model import check_attention_shape

SPEEDRUN_TYPE = "gristmill_speedrun"
NOT_EXPORTABLE = "not exportable: no program but gristmill loads the architecture 'speedrun'"


@dataclass(frozen=True)
class SpeedrunConfig:
    """The shape, and each trick by its name. `context` is the length that it is trained for.

    mlp: `relu2` is two matrices, `swiglu` three. norm_weights: a gain for each channel of a norm.
    value_embeddings: how many of the last layers add an embedding of the token to their values.
    residual_scalars: each block reads a x + b x0, x0 the embedding, a and b learned.
    logit_cap: logits are cap * tanh(logits / cap); 0: as they are. window: how many tokens a layer
    sees, itself included; every `full_every`-th and the last see all; 0: all do. ngrams: the
    lengths of the runs of last tokens that have embeddings, hashed into `ngram_rows` rows each.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    context: int
    rope_theta: float = 1024.0
    tied: bool = False
    norm_eps: float = 1e-6
    mlp: Literal["relu2", "swiglu"] = "relu2"
    norm_weights: bool = False
    qk_norm: bool = True
    zero_outputs: bool = True
    residual_scalars: bool = True
    value_embeddings: int = 1
    logit_cap: float = 0.0
    window: int = 0
    full_every: int = 4
    ngrams: tuple[int, ...] = (2, 3)
    ngram_rows: int = 0

    def __post_init__(self) -> None:
        check_attention_shape(self, further_sizes=("full_every",))
        for name in ("logit_cap", "window", "ngram_rows", "value_embeddings"):
            if getattr(self, name) < 0:
                raise GristmillError(f"{name} cannot be below 0", where=f"model.{name}")
        if self.value_embeddings > self.layers:
            raise GristmillError(
                f"{self.value_embeddings} layers cannot have value embeddings: there are "
                f"{self.layers}",
                where="model.value_embeddings",
            )
        if any(length < 2 for length in self.ngrams):
            raise GristmillError(
                f"{self.ngrams} are no lengths of runs of tokens",
                where="model.ngrams",
                mend="give lengths of 2 and more, such as 2 and 3",
            )

    @property
    def rope_scaling(self) -> None:
        """Rotary positions are never stretched."""
        return None

    @property
    def kv_width(self) -> int:
        """Of all value heads of a layer together."""
        return self.kv_heads * self.head_dim

    def windowed(self, layer: int) -> bool:
        """Whether that layer sees only its window."""
        full = (layer + 1) % self.full_every == 0 or layer + 1 == self.layers
        return self.window > 0 and not full


def speedrun_to_json(config: SpeedrunConfig) -> dict[str, Any]:
    """For `config.json`: the fields by their names here, since no other program reads them."""
    return {
        "architectures": ["GristmillSpeedrun"],
        "model_type": SPEEDRUN_TYPE,
        **asdict(config),
        "ngrams": list(config.ngrams),
    }


def speedrun_from_json(found: Mapping[str, Any], where: Path) -> SpeedrunConfig:
    """The inverse. Raises GristmillError for a missing field and for a value of another type."""
    values: dict[str, Any] = {}
    for field in fields(SpeedrunConfig):
        if field.name not in found:
            raise GristmillError(f"{field.name} is missing", where=where)
        value, kind = found[field.name], str(field.type)
        if not _fits(value, kind):
            raise GristmillError(f"{field.name} cannot be {value!r}", where=where)
        values[field.name] = tuple(value) if field.name == "ngrams" else value
    return SpeedrunConfig(**values)


def _fits(value: object, kind: str) -> bool:
    if kind.startswith("tuple"):
        return isinstance(value, list) and all(_fits(one, "int") for one in value)
    if kind == "bool":
        return isinstance(value, bool)
    if kind.startswith("Literal"):
        return value in ("relu2", "swiglu")
    numbers = (int,) if kind == "int" else (int, float)
    return isinstance(value, numbers) and not isinstance(value, bool)
