"""Linear layers whose products run in 8-bit floating point, where the device has such products.

Micikevicius et al. 2022, "FP8 formats for deep learning": values and weights in E4M3, gradients in
E5M2, each tensor scaled so that its largest magnitude is the format's largest number; sums in
float32. The scale is measured on the tensor itself at each use, so that there is no state and
a resume is exact. Weights stay float32, what leaves a layer is bf16, and embedding, head, norms
and attention are as in bf16.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.train.compiling import regions

VALUES, GRADIENTS = torch.float8_e4m3fn, torch.float8_e5m2
# The kernels take rows and columns in multiples of it.
_MULTIPLE = 16
# Ada and Hopper are the first with such products.
_CAPABILITY = (8, 9)


def require_eight_bit(device: torch.device) -> None:
    """Raises GristmillError where `device` has no 8-bit products that are faster than 16-bit."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if torch.version.hip is None and capability >= _CAPABILITY:
            return
        which = f"{torch.cuda.get_device_name(device)} (compute capability {capability[0]}"
        which += f".{capability[1]})"
    else:
        which = {"cpu": "this processor", "mps": "an Apple GPU"}.get(device.type, device.type)
    raise GristmillError(
        f"fp8 products need an NVIDIA GPU of compute capability 8.9 or later (L4, L40S, RTX 4090, "
        f"H100, H200, B200), and this run is on {which}",
        where="train.lm.precision",
        mend="leave precision at auto, which takes what is fastest here",
    )


def eight_bit_regions(models: Iterable[nn.Module]) -> str:
    """The linear layers of the models' blocks compute in 8 bits while gradients are wanted; says
    how many. A copy does so too, a file knows nothing of it; undone by `full_width_regions`."""
    count, left = 0, 0
    for layer in _layers(models):
        if layer.bias is None and not any(size % _MULTIPLE for size in layer.weight.shape):
            layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
            count += 1
        else:
            left += 1
    said = f"{count} linear layers of the blocks compute in 8 bits (E4M3, gradients E5M2)"
    return f"{said}; {left} of other sizes in bf16" if left else said


def full_width_regions(models: Iterable[nn.Module]) -> None:
    """Undoes `eight_bit_regions`."""
    for layer in _layers(models):
        layer.__dict__.pop("forward", None)


def _layers(models: Iterable[nn.Module]) -> list[nn.Linear]:
    return [m for region in regions(models) for m in region.modules() if type(m) is nn.Linear]


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    rows = x.numel() // x.shape[-1]
    if not torch.is_grad_enabled() or rows % _MULTIPLE:
        return nn.functional.linear(x, layer.weight)
    return eight_bit_linear(x, layer.weight)


def eight_bit_linear(x: Tensor, weight_OI: Tensor) -> Tensor:
    """x weight^T with all three products of forward and backward in 8 bits; dtype of `x`, which
    is bf16. The leading axes of x, and both of the weight, are multiples of 16."""
    out: Tensor = _EightBitLinear.apply(x.flatten(0, -2), weight_OI)  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], -1)


class _EightBitLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor) -> Tensor:
        x8_NI, x_scale = scaled(x_NI, VALUES)
        w8_OI, w_scale = scaled(weight_OI, VALUES)
        ctx.save_for_backward(x8_NI, w8_OI, x_scale, w_scale)
        return _product(x8_NI, w8_OI.t(), x_scale, w_scale, x_NI.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x8_NI, w8_OI, x_scale, w_scale = ctx.saved_tensors
        (grad_NO,) = grads
        g8_NO, g_scale = scaled(grad_NO, GRADIENTS)
        grad_x_NI = _product(g8_NO, _columns(w8_OI), g_scale, w_scale, grad_NO.dtype)
        grad_w_OI = _product(
            g8_NO.t().contiguous(), _columns(x8_NI), g_scale, x_scale, grad_NO.dtype
        )
        return grad_x_NI, grad_w_OI


def scaled(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x / scale in `dtype`, and the scale, float32, that brings its largest magnitude to the
    format's largest number. A tensor that is not finite stays so: its scale is."""
    largest = torch.finfo(dtype).max
    scale = (x.abs().amax().float() / largest).clamp(min=torch.finfo(torch.float32).tiny)
    # E4M3 has no infinity, and a rounded quotient may lie a little beyond its largest number.
    low = (x.float() / scale).clamp(-largest, largest).to(dtype)
    return low, scale


def _product(
    a_NK: Tensor, b_KM: Tensor, a_scale: Tensor, b_scale: Tensor, dtype: torch.dtype
) -> Tensor:
    """a b; a lies in rows and b in columns, as the kernels want it."""
    product: Tensor = torch._scaled_mm(
        a_NK, b_KM, scale_a=a_scale, scale_b=b_scale, out_dtype=dtype
    )
    return product


def _columns(x_KM: Tensor) -> Tensor:
    """The same matrix, laid out column by column."""
    return x_KM.t().contiguous().t()
