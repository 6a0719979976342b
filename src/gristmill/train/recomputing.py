"""Activation checkpointing: blocks keep their input and compute the rest again when it is needed.

Chen et al. 2016, "Training deep nets with sublinear memory cost". The backward pass runs each block
forward once more, with the same weights, the same random numbers and the same kernels, so that
its gradients have the same bits; a step costs about a third more time and holds one block's
activations at a time in place of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gristmill.train.compiling import regions

_Held = list[tuple[dict[str, nn.Parameter | None], dict[str, nn.Parameter | None]]]


def recompute_regions(models: Iterable[nn.Module]) -> str:
    """Makes the blocks of the models recompute, compiled ones too; says what it did.

    Undone, as compilation is, by `uncompile_regions`; a copy or a file of the model knows
    nothing of it.
    """
    count = 0
    for region in regions(models):
        inner = region._compiled_call_impl or region._call_impl
        region._compiled_call_impl = _Recomputed(region, inner)
        count += 1
    return f"{count} blocks compute their activations again in the backward pass"


class _Recomputed:
    """The call of one block."""

    def __init__(self, region: nn.Module, inner: Any):
        self._modules, self._inner = list(region.modules()), inner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._inner(*args, **kwargs)
        # The casts of the weights stand in the place of the parameters only while the loss is
        # computed (precision.py): the backward pass must find those and not the float32 ones.
        held: _Held = [(module._parameters, dict(module._parameters)) for module in self._modules]

        def again(*args: Any, **kwargs: Any) -> Any:
            with _in_place(held):
                return self._inner(*args, **kwargs)

        return checkpoint(again, *args, use_reentrant=False, **kwargs)


@contextmanager
def _in_place(held: _Held) -> Iterator[None]:
    now = [dict(parameters) for parameters, _ in held]
    for parameters, then in held:
        parameters.update(then)
    try:
        yield
    finally:
        for (parameters, _), values in zip(held, now, strict=True):
            parameters.update(values)
