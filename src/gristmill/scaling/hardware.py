"""Accelerators as the planner counts them: speed, memory, power, price.

Speeds are dense bf16 products as the vendors state them (fp16 on the V100, which has no bf16);
figures with sparsity are twice that and are not reached in training. Power is the rated power of
the accelerator alone: hosts and network come on top (a DGX H100 draws at most 10.2 kW for 8).
Prices are assumptions to be edited, by `--price`: what an hour cost on demand at specialised clouds
in the first half of 2026, in US dollars; long contracts are a third to a half below, the largest
clouds two to three times above.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean


@dataclass(frozen=True)
class Accelerator:
    """peak: bf16 operations per second. memory: bytes. watts: rated. price: dollars per hour."""

    name: str
    peak: float
    memory: float
    watts: float
    price: float


ACCELERATORS: dict[str, Accelerator] = {
    # NVIDIA H100 datasheet (SXM): 1,979 TFLOP/s with sparsity, 80 GB, 700 W.
    "h100": Accelerator("H100", 989.4e12, 80e9, 700, 2.50),
    # NVIDIA H200 datasheet (SXM): the H100's processor, 141 GB, 700 W.
    "h200": Accelerator("H200", 989.4e12, 141e9, 700, 3.50),
    # NVIDIA A100 datasheet (SXM, 80 GB): 312 TFLOP/s, 400 W.
    "a100": Accelerator("A100", 312e12, 80e9, 400, 1.50),
    # NVIDIA HGX B200: 2.25 PFLOP/s each, 180 GB, 1,000 W.
    "b200": Accelerator("B200", 2.25e15, 180e9, 1000, 5.50),
    # NVIDIA V100 datasheet (SXM2): 125 TFLOP/s in fp16, 32 GB, 300 W.
    "v100": Accelerator("V100", 125e12, 32e9, 300, 0.50),
    # Google Cloud TPU v4: 275 TFLOP/s a chip, 32 GiB, at most 192 W measured; list price in 2023.
    "tpuv4": Accelerator("TPU v4", 275e12, 34.4e9, 192, 3.22),
    # NVIDIA Ada whitepaper: 165 TFLOP/s with sums in float32, 24 GB, 450 W.
    "4090": Accelerator("RTX 4090", 165.2e12, 24e9, 450, 0.50),
    # AMD Instinct MI300X datasheet: 1,307 TFLOP/s, 192 GB, 750 W.
    "mi300x": Accelerator("MI300X", 1307.4e12, 192e9, 750, 3.00),
}
CUSTOM = "custom"


def accelerator(
    name: str,
    *,
    peak: float | None = None,
    memory: float | None = None,
    watts: float | None = None,
    price: float | None = None,
) -> Accelerator:
    """One of ACCELERATORS with some of its numbers replaced, or `custom`, which gives all.

    Raises GristmillError for an unknown name, with the nearest one, or a custom one without a peak.
    """
    given = {"peak": peak, "memory": memory, "watts": watts, "price": price}
    known: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    key = name.lower().replace(" ", "").replace("-", "").replace("_", "")
    if key == CUSTOM:
        missing = [field for field in ("peak", "memory", "watts", "price") if field not in known]
        if missing:
            raise GristmillError(
                f"a custom accelerator needs {', '.join('--' + field for field in missing)}",
                where="--gpu",
                mend="--peak in FLOP/s, --memory in bytes, --watts, --price in dollars an hour",
            )
        return Accelerator("custom", **known)
    key = key.removeprefix("rtx").removeprefix("nvidia")
    if key not in ACCELERATORS:
        raise GristmillError(
            f"no accelerator '{name}' in the table",
            where="--gpu",
            mend=did_you_mean(key, [*ACCELERATORS, CUSTOM]),
        )
    return replace(ACCELERATORS[key], **known)
