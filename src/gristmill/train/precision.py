"""In which precision a run computes: chosen by measuring this machine, with its reason.

Weights, optimizer state and sums of gradients are float32 always; only the products are lower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gristmill.train.eight_bit import eight_bit_linear, require_eight_bit
from gristmill.train.interfaces import Loss, Models, Objective, T
from gristmill.train.peaks import published_peak

Precision = Literal["fp32", "bf16", "fp16", "fp8"]
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16
}  # fmt: skip
"""Of weights and activations; in fp8 single products are lower still (eight_bit.py)."""

# Below this ratio of speeds the rounding of bf16 is not worth it.
_WORTH = 1.2
# A GPU reaches its peak in large products only.
_GPU_WIDTH = 4096


@dataclass(frozen=True)
class Choice:
    """The precision, why, and the measured matmul peaks in FLOP/s (0: not measured).

    peak_published: what the device's maker says of this precision (peaks.py); 0: unknown.
    """

    precision: Precision
    reason: str
    peak_fp32: float
    peak_bf16: float
    peak_fp16: float = 0.0
    peak_fp8: float = 0.0
    peak_published: float = 0.0

    @property
    def peak(self) -> float:
        """The peak measured in the chosen precision, which MFU is measured against. In fp8 it is
        that of bf16: not all products are in 8 bits, and a share of both peaks would be of none."""
        peaks = {"fp32": self.peak_fp32, "fp16": self.peak_fp16}
        return peaks.get(self.precision, self.peak_bf16)

    def to_json(self) -> dict[str, Any]:
        """For the run's pinned values."""
        return asdict(self)


def choose_precision(
    asked: Precision | Literal["auto"], device: torch.device, width: int | None = None
) -> Choice:
    """Measures a matrix product of `width` (default: 512, on a GPU 4,096) in fp32 and bf16; `auto`
    takes the faster. fp16 and fp8 only where they are asked for: the range of the one needs a
    factor on the loss (loss_scale.py), the other rounds to two digits (eight_bit.py). Raises
    GristmillError for fp8 on a device that has no such products.

    A run pins the answer, so that a resume computes as the run began.
    """
    if asked == "fp8":
        require_eight_bit(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    width = width or (_GPU_WIDTH if device.type == "cuda" else 512)
    fp32, bf16 = (matmul_flops(device, DTYPES[name], width) for name in ("fp32", "bf16"))
    speeds = f"matmul {fp32 / 1e9:,.0f} GFLOP/s in fp32, {bf16 / 1e9:,.0f} in bf16"
    if asked == "fp16":
        # A CPU takes a hundred times longer for it: a small product says so as well.
        small = width // 4 if device.type == "cpu" else width
        fp16 = matmul_flops(device, DTYPES["fp16"], small)
        speeds += f", {fp16 / 1e9:,.0f} in fp16"
        published = published_peak(name, asked)
        return Choice(asked, f"asked for; {speeds}", fp32, bf16, fp16, peak_published=published)
    if asked == "fp8":
        fp8 = matmul_flops(device, DTYPES["fp8"], width, eight_bit_linear)
        speeds += f", {fp8 / 1e9:,.0f} in fp8 with its scales"
        # MFU in fp8 is a share of bf16's peak, see `peak`.
        return Choice(
            asked,
            f"asked for; {speeds}",
            fp32,
            bf16,
            peak_fp8=fp8,
            peak_published=published_peak(name, "bf16"),
        )
    precision: Precision = "bf16" if bf16 > _WORTH * fp32 else "fp32"
    reason = f"{speeds} on {name or device}"
    if asked != "auto":
        precision, reason = asked, f"asked for; {speeds}"
    return Choice(precision, reason, fp32, bf16, peak_published=published_peak(name, precision))


def matmul_flops(
    device: torch.device,
    dtype: torch.dtype,
    width: int,
    linear: Callable[[Tensor, Tensor], Tensor] = nn.functional.linear,
) -> float:
    """FLOP/s of one linear layer forward and backward, the best of several tries."""
    rows = max(1024, width)
    x = torch.randn(rows, width, device=device).to(dtype).requires_grad_()
    weight = torch.randn(width, width, device=device).to(dtype).requires_grad_()
    upstream = torch.ones(rows, width, device=device, dtype=dtype)

    def once() -> None:
        x.grad = weight.grad = None
        linear(x, weight).backward(upstream)  # type: ignore[no-untyped-call]

    try:
        seconds = _best_seconds(once, device)
    except RuntimeError:  # the device has no such product
        return 0.0
    return 3 * 2 * rows * width * width / seconds


def _best_seconds(once: Callable[[], None], device: torch.device, budget: float = 0.25) -> float:
    best, spent, tries = float("inf"), 0.0, 0
    once()
    while tries < 3 or spent < budget:
        _wait(device)
        start = time.perf_counter()
        once()
        _wait(device)
        seconds = time.perf_counter() - start
        best, spent, tries = min(best, seconds), spent + seconds, tries + 1
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Computing:
    """An objective over models whose weights are cast to the compute precision for each call.

    The cast is part of the graph, so gradients arrive in float32 at the float32 weights and sum
    there over micro-batches. While one is looked at or trained, a model's modules hold the cast
    weights in the place of their parameters.
    """

    def __init__(self, objective: Objective, models: Mapping[str, nn.Module], precision: Precision):
        self._models: Models = dict(models)
        self._objective = objective
        self._dtype = DTYPES[precision]
        self._modules = list(dict.fromkeys(m for one in models.values() for m in one.modules()))
        self._held: dict[int, Tensor] | None = None

    def loss(self, tensors: Mapping[str, Tensor]) -> Loss:
        """The objective's loss in the compute precision."""
        return self._run(lambda models: self._objective(tensors, models))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside the block, within which no weight may change, they are cast only once."""
        self._held = {}
        try:
            yield
        finally:
            self._held = None

    def look(self, function: Callable[[Models], T]) -> T:
        """Any function of the models in the compute precision: eval mode, no gradients."""
        training = [(module, module.training) for module in self._modules]
        for model in self._models.values():
            model.eval()
        try:
            with torch.no_grad():
                return self._run(function)
        finally:
            for module, was in training:
                module.training = was

    def _run(self, function: Callable[[Models], T]) -> T:
        if self._dtype == torch.float32:
            return function(self._models)
        # The same as torch.func.functional_call, at a tenth of its cost for a small model.
        cast: dict[int, Tensor] = {}
        if self._held is not None and torch.is_grad_enabled():
            cast = self._held
        before: list[tuple[dict[str, nn.Parameter | None], str, nn.Parameter]] = []
        try:
            for module in self._modules:
                for name, parameter in module._parameters.items():
                    if parameter is None or not parameter.is_floating_point():
                        continue
                    low = cast.get(id(parameter))
                    if low is None:
                        low = cast[id(parameter)] = parameter.to(self._dtype)
                    before.append((module._parameters, name, parameter))
                    module._parameters[name] = low  # type: ignore[assignment]
            return function(self._models)
        finally:
            for parameters, name, parameter in before:
                parameters[name] = parameter
