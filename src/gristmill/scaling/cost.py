"""What the dial's training costs, and the dial in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.model.flops import ModelConfig, count_parameters, flops_per_token
from gristmill.model.lstm import LstmConfig
from gristmill.scaling.dial import Dial


@dataclass(frozen=True)
class Cost:
    """What a training needs. Bytes and seconds are estimates; `seconds` is None without a speed."""

    flops: float
    memory_bytes: int
    checkpoint_bytes: int
    disk_bytes: int
    seconds: float | None


def cost(
    dial: Dial,
    *,
    micro_rows: int | None = None,
    flops_per_second: float | None = None,
    keep: int = 2,
) -> Cost:
    """FLOPs, memory, disk and time of the dial's training.

    flops_per_second: what the machine reaches in this work, about a third of its matmul peak for
    small models. keep: checkpoints held; one more lies on the disk while it is written.
    """
    count = count_parameters(dial.model)
    flops = flops_per_token(dial.model) * dial.tokens
    adamw = count.total - count.blocks
    # float32: weights and gradients; Muon one more for the blocks, AdamW two more for the rest.
    optimizer = 4 * (count.blocks + 2 * adamw)
    rows = min(micro_rows or dial.batch_rows, dial.batch_rows)
    memory = 8 * count.total + optimizer + activation_bytes(dial.model, rows)
    checkpoint = 4 * count.total + optimizer
    disk = checkpoint * (keep + 1) + 4 * count.total
    seconds = flops / flops_per_second if flops_per_second else None
    return Cost(flops, memory, checkpoint, disk, seconds)


def activation_bytes(model: ModelConfig, rows: int, bytes_each: int = 2) -> int:
    """What one micro-batch keeps for its backward pass, without recomputation.

    For each token and layer about 12 vectors of width, 4 of mlp_width and, where attention is not
    fused (up to 512 keys on a CPU), three values for each head and key. Of an LSTM about 10 of
    hidden (gates, states, what the kernels set aside), half as many again for padding.
    """
    if isinstance(model, LstmConfig):
        return rows * model.context * model.layers * 15 * model.hidden * bytes_each
    keys = model.context if model.context <= 512 else 0
    per_token = 12 * model.width + 4 * model.mlp_width + 3 * model.heads * keys
    return rows * model.context * model.layers * per_token * bytes_each


def recomputed_bytes(model: ModelConfig, rows: int, bytes_each: int = 2) -> int:
    """`activation_bytes` where blocks compute theirs again: the input of each, and one block's."""
    layers = model.layers
    inputs = rows * model.context * layers * model.width * bytes_each
    return inputs + activation_bytes(model, rows, bytes_each) // layers


def explain(dial: Dial, *, flops_per_second: float | None = None) -> list[str]:
    """The dial in sentences: every derived number with its reason, then what it costs."""
    lines = [f"{reason.name} = {_spell(reason.value)}: {reason.why}" for reason in dial.reasons]
    lines.append(f"{dial.anchor.name}: {dial.anchor.scale}")
    count, each = count_parameters(dial.model), flops_per_token(dial.model)
    lines.append(
        f"parameters {count.total:,}, {count.without_embedding:,} without embedding and head; "
        f"{count.matrix:,} multiply"
    )
    needs = cost(dial, flops_per_second=flops_per_second)
    attention = "" if isinstance(dial.model, LstmConfig) else ", and attention"
    lines.append(
        f"compute {needs.flops:.2e} FLOPs, {each:.3g} for each token: 6 for each parameter that "
        f"multiplies, 2 of them forward{attention}"
    )
    lines.append(
        f"memory about {needs.memory_bytes / 2**30:.2f} GiB, checkpoints "
        f"{needs.checkpoint_bytes / 2**20:,.0f} MiB each, disk {needs.disk_bytes / 2**20:,.0f} MiB"
    )
    if needs.seconds is not None:
        lines.append(f"time about {needs.seconds:,.0f} s")
    return lines


def _spell(value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
