"""`study tokenizers`: equal models on several tokenizers, by bits per byte and by addition.

Bytes per token say how long sequences get, not what a model makes of them; loss per token cannot be
compared between tokenizers at all. Bits per byte of the same held-out text can. So for each
tokenizer a vocabulary is learnt from the same text, the text encoded, and models of the same blocks
are trained on it over equal bytes (or equal FLOPs), with several seeds. Addition is a text of its
own, with digits one by one, in threes, or free, and smaller models learn it: of 3 MB of sums of up
to three digits, 124,000 parameters learn to add three digits right in 3 cases of 4 where each digit
is a token, in 1 of 2 by threes from the right, and in 1 of 3 otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gristmill.stages.expansion import Expansion, Place
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.tokenizer_train import TokenizerTrainConfig
from gristmill.stages.train_lm import Shape, TrainLmConfig
from gristmill.study.sums import SumsConfig

_TRAIN_SETS = ("token_budget", "byte_budget", "flop_budget", "context", "context_bytes")
_TOKENIZERS = {
    "bytes": TokenizerTrainConfig(kind="bytes"),
    "characters": TokenizerTrainConfig(kind="characters", vocab_size=1024),
    "words": TokenizerTrainConfig(kind="words", unknown="token", vocab_size=4096),
    "bpe-1k": TokenizerTrainConfig(vocab_size=1024),
    "bpe-4k": TokenizerTrainConfig(vocab_size=4096),
}
_DIGITS = {
    "single": TokenizerTrainConfig(pattern="qwen", vocab_size=1536),
    "threes": TokenizerTrainConfig(pattern="gpt4", vocab_size=1536),
    "threes-right": TokenizerTrainConfig(pattern="digits-right", vocab_size=1536),
    "free": TokenizerTrainConfig(pattern="digits-free", vocab_size=1536),
}


class TokenizersConfig(StageConfig):
    """Which tokenizers, which models, how much text."""

    tokenizers: dict[str, TokenizerTrainConfig] = _TOKENIZERS
    """By name; the others are compared with the first. {}: no text."""
    digits: dict[str, TokenizerTrainConfig] = _DIGITS
    """For addition, by name. {}: none."""
    budget: Literal["bytes", "flops"] = "bytes"
    """What is equal for all models of text: bytes read, or FLOPs spent."""
    text_bytes: int = Field(3_000_000, ge=1)
    """Of text to train on, repeats included; budget bytes."""
    sum_bytes: int = Field(3_000_000, ge=1)
    """The same of additions."""
    sums: SumsConfig = SumsConfig(train=400_000, digits=3)
    seeds: int = Field(2, ge=1)
    """Trainings on each tokenizer."""
    layers: int = Field(3, ge=1)
    width: int = Field(128, ge=16)
    """Layers and width of the models of text: the blocks are equal, the embedding is as the
    vocabulary."""
    context_bytes: int = Field(384, ge=16)
    """Of text that a context holds, for every tokenizer."""
    sum_layers: int = Field(2, ge=1)
    """Layers of the models of additions."""
    sum_width: int = Field(64, ge=16)
    """Their width."""
    sum_context_bytes: int = Field(96, ge=16)
    """Bytes of additions that a context of theirs holds."""
    flops: float | None = Field(None, gt=0)
    """FLOPs of each training with budget flops."""
    max_documents: int = Field(60, ge=1)
    """Held-out documents that are scored, clean and misspelled."""
    misspelled: float = Field(0.2, gt=0, le=1)
    """Share of the longer words that get a slip."""
    train: TrainLmConfig = TrainLmConfig(anneal=0.0)
    """What all trainings share otherwise."""

    @model_validator(mode="after")
    def _own_settings(self) -> Self:
        default = TrainLmConfig()
        for name in _TRAIN_SETS:
            if getattr(self.train, name) != getattr(default, name):
                raise ValueError(f"'train.{name}' is what the study sets itself")
        if (self.budget == "flops") != (self.flops is not None):
            raise ValueError("'flops' goes with budget flops, and is needed there")
        if not self.tokenizers and not self.digits:
            raise ValueError("neither tokenizers nor digits: nothing to compare")
        return self

    def training(self, of_sums: bool) -> dict[str, Any]:
        """The block of a `train lm`; additions are always read over equal bytes."""
        layers, width, context, size = (
            (self.sum_layers, self.sum_width, self.sum_context_bytes, self.sum_bytes)
            if of_sums
            else (self.layers, self.width, self.context_bytes, self.text_bytes)
        )
        shape = {**self.train.dial.model_dump(), "layers": layers, "width": width}
        if shape["tied"] is None:
            shape["tied"] = True
        changes: dict[str, Any] = {"dial": Shape(**shape), "context_bytes": context}
        if self.flops is not None and not of_sums:
            changes["flop_budget"] = self.flops
        else:
            changes["byte_budget"] = size
        return self.train.model_copy(update=changes).model_dump(mode="json")

    def explain(self) -> list[str]:
        """How many trainings, and of what."""
        how = f"{self.text_bytes:,} bytes" if self.flops is None else f"{self.flops:.3g} FLOPs"
        said = []
        for kinds, what, layers, width, each in (
            (len(self.tokenizers), "text", self.layers, self.width, how),
            (len(self.digits), "additions", self.sum_layers, self.sum_width,
             f"{self.sum_bytes:,} bytes"),
        ):  # fmt: skip
            if kinds:
                said.append(
                    f"{kinds} tokenizers of {what}: {kinds * self.seeds} trainings of {layers} "
                    f"layers of width {width}, {each} each"
                )
        return said


def expand(config: TokenizersConfig, place: Place) -> Expansion:
    """Vocabulary, shards and trainings for each tokenizer."""
    label = place.name.partition("@")[2]
    before = f"{label}-" if label else ""
    wanted: list[tuple[str, Mapping[str, Any]]] = []
    models: dict[str, list[str]] = {"models": [], "sum_models": []}
    sums: list[str] = []
    if config.digits:
        sums = [f"study.sums@{before}digits"]
        wanted.append((sums[0], {**config.sums.model_dump(mode="json"), "seed": place.seed}))
    for slot, mixture, kinds in (
        ("models", list(place.inputs["mixture"]), config.tokenizers),
        ("sum_models", sums, config.digits),
    ):
        training = config.training(slot == "sum_models")
        for name, settings in kinds.items():
            called = f"{before}{'digits-' if slot == 'sum_models' else ''}{name}"
            tokenizer, tokens = f"tokenizer.train@{called}", f"tokenizer.encode@{called}"
            block = settings.model_dump(mode="json")
            wanted.append((tokenizer, {**block, "inputs": {"mixture": mixture}}))
            wanted.append((tokens, {"inputs": {"mixture": mixture, "tokenizer": tokenizer}}))
            for seed in range(config.seeds):
                model = f"train.lm@{called}-seed{seed}"
                inputs = {"tokens": tokens}
                wanted.append((model, {**training, "seed": place.seed + seed, "inputs": inputs}))
                models[slot].append(model)
    return Expansion(wanted, {**models, "sums": sums})


@stage(
    "study tokenizers",
    version=2,
    kind="comparison",
    config=TokenizersConfig,
    inputs={
        "mixture": Slot("mixture", help="what vocabularies and models learn from"),
        "models": Slot("model", many=True, optional=True, named=True, help="filled by the study"),
        "sum_models": Slot(
            "model", many=True, optional=True, named=True, help="filled by the study"
        ),
        "sums": Slot("mixture", optional=True, named=True, help="filled by the study"),
    },
    summary="compare equal models on several tokenizers: bits per byte, and addition",
    example="gristmill study tokenizers --mixture DIR --seeds 2 --text_bytes 3000000",
    expand=expand,
    seeded=True,
)
def tokenizers(config: TokenizersConfig, inputs: Inputs, output: Output) -> None:
    """Figures `tokenizers.NAME.bits_per_byte`, `.misspelled`, `tokenizers.addition.NAME.exact`."""
    from functools import partial

    from gristmill.core.canonical import write_json
    from gristmill.core.progress import progress
    from gristmill.study.tokenizers_results import (
        present_addition,
        present_text,
    )
    from gristmill.study.tokenizers_scores import read_texts, score_sums, score_text

    text_scores: dict[str, list[dict[str, Any]]] = {name: [] for name in config.tokenizers}
    sum_scores: dict[str, list[dict[str, Any]]] = {name: [] for name in config.digits}
    bar = progress("study tokenizers", len(inputs.many("models") + inputs.many("sum_models")),
                   "models")  # fmt: skip
    device = output.execution.device
    try:
        if config.tokenizers:
            texts = read_texts(
                inputs["mixture"].path, config.max_documents, config.misspelled, output.seed
            )
            for place, model in enumerate(inputs.many("models")):
                name = list(config.tokenizers)[place // config.seeds]
                bar.note(name)
                # Pinned, so that a study that was stopped goes on behind the models it has scored.
                text_scores[name].append(
                    output.run.pin(
                        f"text-{model.content[:16]}",
                        partial(score_text, model.path, texts, device),
                    )
                )
                bar.advance()
        if config.digits:
            asked = inputs["sums"].read_json("asked.json")
            for place, model in enumerate(inputs.many("sum_models")):
                name = list(config.digits)[place // config.seeds]
                bar.note(name)
                sum_scores[name].append(
                    output.run.pin(
                        f"sums-{model.content[:16]}",
                        partial(score_sums, model.path, asked, device),
                    )
                )
                bar.advance()
    finally:
        bar.close()
    if config.tokenizers:
        present_text(text_scores, config.misspelled, config.budget, output)
    if config.digits:
        present_addition(sum_scores, output)
    write_json(output.path / "tokenizers.json", {"text": text_scores, "addition": sum_scores})
    output.counts.update(
        tokenizers=len(config.tokenizers) + len(config.digits),
        models=len(inputs.many("models")) + len(inputs.many("sum_models")),
    )
