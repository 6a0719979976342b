"""What the stages that tune a finished model share: settings, adapters, and how it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Chart, Series
from gristmill.stages.stage import Output, StageConfig, local

if TYPE_CHECKING:
    from torch import nn

    from gristmill.model.language_model import LanguageModel
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.train.optimizers import OptimizerSettings
    from gristmill.train.schedules import Schedule
    from gristmill.train.trainer import Result, Settings

METRICS = "metrics.jsonl"
TRAINING = "training.json"
ADAPTER = "adapter"
_CURVE_POINTS = 200


class LoraConfig(StageConfig):
    """Low-rank adapters in place of the weights themselves."""

    rank: int = Field(0, ge=0)
    """Of each adapter; 0 trains all weights."""
    alpha: float = Field(16.0, gt=0)
    """An adapter's product is scaled by alpha / rank."""
    targets: tuple[
        Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], ...
    ] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """The layers that get one."""


class TuningConfig(StageConfig):
    """What every tuning has."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """What moves the matrices of the blocks; all else, and adapters, are moved by AdamW."""
    lr: float = Field(3e-4, gt=0)
    """Of AdamW, for all weights (or for the adapters)."""
    matrix_lr: float = Field(0.01, gt=0)
    """Of Muon."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps in which the rate rises; it falls linearly to 0 afterwards."""
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 turns clipping off."""
    lora: LoraConfig = LoraConfig()
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Of the products; `auto` measures this machine. Weights and sums are float32 always."""
    micro_batch: int | None = local(None, ge=1)
    """Rows held at once; default: the whole batch."""
    checkpoint_seconds: float = local(60.0, gt=0)


def optimizer_of(
    config: TuningConfig, *, lr: float | None = None, epsilon: float = 1e-8
) -> OptimizerSettings:
    """One rate of AdamW for everything (`lr`: another than the config's), or Muon for matrices."""
    from gristmill.train.optimizers import OptimizerSettings

    rate = config.lr if lr is None else lr
    muon = config.optimizer == "muon" and not config.lora.rank
    return OptimizerSettings(
        matrix_optimizer="muon" if muon else "adamw",
        matrix_lr=config.matrix_lr if muon else rate,
        embedding_lr=rate,
        head_lr=rate,
        other_lr=rate,
        adapter_lr=rate,
        weight_decay=config.weight_decay,
        beta2=0.99,
        epsilon=epsilon,
    )


def schedule_of(config: TuningConfig, steps: int) -> Schedule:
    """A rise over the warm-up's share of the steps, then a straight fall to 0."""
    from gristmill.train.schedules import Schedule

    return Schedule("linear", steps, min(steps - 1, round(config.warmup * steps)))


def settings_of(config: TuningConfig, seed: int) -> Settings:
    """How the trainer is to work."""
    from gristmill.train.trainer import Settings

    return Settings(
        seed=seed,
        micro_batch=config.micro_batch,
        clip=config.clip,
        precision=config.precision,
        checkpoint_seconds=config.checkpoint_seconds,
    )


def training_of(result: Result, method: str, strength: Mapping[str, Any], models: int) -> Any:
    """The content of `training.json`; `models`: held in memory at once while it was trained."""
    return {
        "method": method,
        "strength": dict(strength),
        "models_held": models,
        "steps": result.steps,
        "tokens": result.tokens,
        "skipped": result.skipped,
        "precision": result.precision.precision,
    }


def prepare(model: nn.Module, lora: LoraConfig, seed: int) -> None:
    """Adds the adapters, where there are to be any."""
    from gristmill.core.seeds import derive_seed
    from gristmill.model.lora import add_adapters

    if lora.rank:
        add_adapters(
            model,
            rank=lora.rank,
            alpha=lora.alpha,
            targets=lora.targets,
            seed=derive_seed(seed, "adapters"),
        )


def save_tuned(
    output: Output,
    model: LanguageModel,
    base: Path,
    chat_format: ChatFormat,
    lora: LoraConfig,
    training: Mapping[str, Any],
) -> None:
    """The model as a folder that transformers loads and that chats; adapters merged and beside it.

    base: the folder that it was tuned from, for the tokenizer's files.
    """
    from gristmill.model.lora import merge, save_adapter
    from gristmill.model.weights import save_model

    if lora.rank:
        save_adapter(output.path / ADAPTER, model)
        model = merge(model)
    save_model(
        output.path,
        model,
        base,
        eos_id=list(chat_format.stop_ids),
        pad_id=chat_format.pad_id,
    )
    chat_format.save(output.path)
    save_training(output, training)


def save_training(output: Output, training: Mapping[str, Any]) -> None:
    """`training.json`, and the run's metrics, which hold times and so are volatile."""
    import shutil

    from gristmill.core.canonical import write_json

    shutil.copyfile(output.run.path / METRICS, output.path / METRICS)
    output.volatile.add(METRICS)
    write_json(output.path / TRAINING, training)


def curve(
    title: str,
    records: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    *,
    y_label: str,
    x: str = "step",
) -> Chart:
    """Metrics over steps, each point a mean over as many as make two hundred points in all.

    names: metric to the name of its curve; records without the metric are left out.
    """
    series = []
    for metric, name in names.items():
        having = [r for r in records if r.get(metric) is not None and r.get(x) is not None]
        size = max(1, -(-len(having) // _CURVE_POINTS))
        groups = [having[i : i + size] for i in range(0, len(having), size)]
        if groups:
            xs = [float(group[-1][x]) for group in groups]
            ys = [sum(float(r[metric]) for r in group) / len(group) for group in groups]
            series.append(Series(name, xs, ys))
    return Chart(title, f"{x}s" if x == "step" else x, y_label, series)
