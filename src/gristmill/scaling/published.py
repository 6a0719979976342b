"""Trainings whose numbers are published, and what the planner's arithmetic says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gristmill.scaling.hardware import accelerator
from gristmill.scaling.planner import Assumptions, energy_for, hours_for, training_flops


@dataclass(frozen=True)
class Training:
    """A training as its paper tells it. None: the paper does not say."""

    name: str
    parameters: float
    tokens: float
    flops: float | None
    petaflop_days: float | None
    gpu: str
    rate: float | None
    """FLOP/s that each accelerator reached."""
    uptime: float
    gpus: int | None
    gpu_hours: float | None
    watts: float | None
    pue: float | None
    energy_mwh: float | None
    source: str


PUBLISHED = (
    Training(
        "GPT-3 175B",
        174.6e9,
        300e9,
        3.14e23,
        3640,
        "v100",
        24.6e12,
        1.0,
        10_000,
        14.8 * 24 * 10_000,
        330,
        1.10,
        1287,
        "Brown et al. 2020, table D.1: 174,600 M parameters, 3.14e23 FLOPs, 3,640 petaflop/s-days; "
        "Patterson et al. 2021, table 4: 10,000 V100, 24.6 TFLOP/s each, 14.8 days, 330 W, PUE "
        "1.10, 1,287 MWh",
    ),
    Training(
        "Chinchilla 70B",
        70e9,
        1.4e12,
        5.76e23,
        None,
        "tpuv4",
        None,
        1.0,
        None,
        None,
        None,
        None,
        None,
        "Hoffmann et al. 2022, section 4: Gopher's budget, 5.76e23 FLOPs; no days are given",
    ),
    Training(
        "LLaMA 65B",
        65.2e9,
        1.4e12,
        None,
        None,
        "a100",
        380 * 6 * 65.2e9,
        1.0,
        2048,
        1_022_362,
        400,
        1.10,
        449,
        "Touvron et al. 2023, section 2.4 and table 15: 380 tokens/s on each of 2,048 A100, about "
        "21 days, 1,022,362 GPU hours, 400 W, PUE 1.1, 449 MWh; no FLOPs are given",
    ),
    Training(
        "Llama 3.1 405B",
        405e9,
        15.6e12,
        3.8e25,
        None,
        "h100",
        400e12,
        0.90,
        16_384,
        30.84e6,
        None,
        None,
        None,
        "Dubey et al. 2024, section 3.2 and table 4: 3.8e25 FLOPs, 400 TFLOP/s on each of 16,384 "
        "H100 (41%), over 90% of the time training; its model card: 30.84 M GPU hours. The 54 days "
        "of its table 5 are a part of the run",
    ),
)


def compare(training: Training) -> dict[str, Any]:
    """Ours and theirs: flops, petaflop/s-days, gpu_hours, days, energy_mwh; None where not said."""
    flops = training_flops(training.parameters, training.tokens)
    machine = accelerator(training.gpu)
    ours: dict[str, float | None] = {
        "flops": flops,
        "petaflop_days": flops / 8.64e19,
        "gpu_hours": None,
        "days": None,
        "energy_mwh": None,
    }
    theirs: dict[str, float | None] = {
        "flops": training.flops,
        "petaflop_days": training.petaflop_days,
        "gpu_hours": training.gpu_hours,
        "days": None,
        "energy_mwh": training.energy_mwh,
    }
    if training.rate is not None:
        assumptions = Assumptions(mfu=training.rate / machine.peak, uptime=training.uptime)
        hours = hours_for(flops, machine, assumptions)
        ours["gpu_hours"] = hours
        if training.gpus is not None and training.gpu_hours is not None:
            ours["days"] = hours / training.gpus / 24
            theirs["days"] = training.gpu_hours / training.gpus / 24
        if training.watts is not None and training.pue is not None:
            at = accelerator(training.gpu, watts=training.watts)
            ours["energy_mwh"] = energy_for(hours, at, training.pue) / 1000
    errors = {
        name: value / other - 1
        for name, value in ours.items()
        if value is not None and (other := theirs[name]) is not None
    }
    return {
        "name": training.name,
        "ours": ours,
        "theirs": theirs,
        "errors": errors,
        "source": training.source,
    }
