"""What `train lm` does with a model to start from: its shape, its weights, its loss by place.

A model that is finished goes on with other text (continual pre-training), or with a longer context
and a larger base of the rotary positions (Xiong et al. 2023, "Effective long-context scaling of
foundation models", section 2.1) or YaRN (model/rotary.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Series

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from gristmill.model.language_model import LanguageModel
    from gristmill.model.rotary import Yarn
    from gristmill.model.transformer import TransformerConfig
    from gristmill.scaling.dial import Dial
    from gristmill.stages.stage import Output
    from gristmill.stages.train_lm_config import TrainLmConfig
    from gristmill.tokenizer.tokenizer import Tokenizer

YARN = "train.lm.start_yarn_factor"
_SHAPE = ("layers", "width", "heads", "kv_heads", "head_dim", "mlp_width", "tied")


def like_start(config: TrainLmConfig, start: Path, tokenizer: Tokenizer) -> TrainLmConfig:
    """The settings with the shape of the model that the training starts from. Raises
    GristmillError where it is no transformer, reads other tokens, or another shape is asked for."""
    from gristmill.model.flops import count_parameters
    from gristmill.model.transformer import require_transformer
    from gristmill.model.weights import load_config
    from gristmill.tokenizer.tokenizer import Tokenizer

    shape = require_transformer(load_config(start), "going on with a training", start)
    own = Tokenizer.load(start)
    same = own.vocab_size == tokenizer.vocab_size and own.special_tokens == tokenizer.special_tokens
    if not same or any(
        own.token_bytes(i) != tokenizer.token_bytes(i) for i in range(own.vocab_size)
    ):
        raise GristmillError(
            "the model to start from has another tokenizer than the tokens",
            where=start,
            mend="encode the text with the model's own tokenizer",
        )
    for name in _SHAPE:
        asked = getattr(config.dial, name)
        if asked is not None and asked != getattr(shape, name):
            raise GristmillError(
                f"the model to start from has {name} {getattr(shape, name)}, not {asked}",
                where=f"train.lm.dial.{name}",
                mend="leave it out",
            )
    dial = config.dial.model_copy(update={name: getattr(shape, name) for name in _SHAPE})
    size = count_parameters(shape).total / 1e6
    return config.model_copy(update={"dial": dial, "size": size, "architecture": "transformer"})


def first_weights(
    config: TrainLmConfig, dial: Dial, start: Path | None, seed: int
) -> LanguageModel:
    """New weights, or those of the model to start from, in float32."""
    import dataclasses

    import torch

    from gristmill.core.seeds import derive_seed
    from gristmill.model.transformer import require_transformer
    from gristmill.model.weights import load_model, new_model
    from gristmill.train.starting import start_weights

    if start is None:
        if stretches(config):
            raise GristmillError(
                "rotary positions for a start, and no start",
                where="train.lm.start_rope_theta" if config.start_rope_theta else YARN,
                mend="give the model to start from with --start",
            )
        model = new_model(dial.model)
        start_weights(model, derive_seed(seed, "weights"))
        return model
    old = load_model(start, dtype=torch.float32)
    shape = require_transformer(old.config, "going on with a training", start)
    theta = config.start_rope_theta or shape.rope_theta
    scaling = shape.rope_scaling
    if config.start_yarn_factor is not None:
        scaling = _yarn(config.start_yarn_factor, shape, start)
    changed = dataclasses.replace(
        shape, context=config.context, rope_theta=theta, rope_scaling=scaling
    )
    model = new_model(changed)
    model.load_state_dict(old.state_dict())
    return model.train()


def stretches(config: TrainLmConfig) -> bool:
    """Whether the start is to read its positions otherwise than it learnt to."""
    return config.start_rope_theta is not None or config.start_yarn_factor is not None


def old_weights(start: Path, device: torch.device) -> LanguageModel:
    """The model to start from as it was, its positions too."""
    import torch

    from gristmill.model.weights import load_model

    return load_model(start, device, torch.float32)


def _yarn(factor: float, shape: TransformerConfig, start: Path) -> Yarn:
    from gristmill.model.rotary import Yarn

    before = shape.rope_scaling
    if before is None:
        return Yarn(factor, shape.context)
    if isinstance(before, Yarn):
        # Of what it was pre-trained at, not of what it was stretched to.
        return Yarn(factor, before.original_context, before.fast, before.slow)
    raise GristmillError(
        "the model to start from is stretched in Llama 3's way, and YaRN would be a second one",
        where=start,
        mend="give train.lm.start_rope_theta instead",
    )


def present_positions(by_position: dict[str, Any], output: Output) -> None:
    """The loss by place in the context, of the start and of what became of it."""
    series = [
        Series(name, [float(place) for place in found], list(found.values()))
        for name, found in by_position.items()
    ]
    output.charts.append(
        Chart("Loss by place in the context", "tokens before, at most", "nats per token", series)
    )
    for name, found in by_position.items():
        output.figures[f"train.loss.last_places.{name.replace(' ', '_')}"] = Figure(
            list(found.values())[-1]
        )
