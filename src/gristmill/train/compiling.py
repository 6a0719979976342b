"""Regional compilation: each repeated block on its own, so that one compilation serves all.

Off by default: a cold compilation costs 12 to 30 s a graph and needs a C++ compiler on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


def compile_regions(models: Iterable[nn.Module]) -> str:
    """Marks the blocks of the models for compilation at their first call; says what it did."""
    count = 0
    for region in regions(models):
        region.compile()
        count += 1
    return f"compiles {count} blocks at their first call"


def uncompile_regions(models: Iterable[nn.Module]) -> bool:
    """Back to eager; False where nothing was compiled."""
    compiled = [region for region in regions(models) if region._compiled_call_impl is not None]
    for region in compiled:
        region._compiled_call_impl = None
    return bool(compiled)


@contextmanager
def eagerly(models: Iterable[nn.Module]) -> Iterator[None]:
    """Compiled blocks run eagerly meanwhile: other shapes would be compiled anew, each for long."""
    before = [(region, region._compiled_call_impl) for region in regions(models)]
    for region, _ in before:
        region._compiled_call_impl = None
    try:
        yield
    finally:
        for region, compiled in before:
            region._compiled_call_impl = compiled


def failure(error: Exception) -> str:
    """What to say of a compilation that failed."""
    first = str(error).strip().splitlines()
    reason = first[0] if first else type(error).__name__
    return f"compilation failed ({reason}); goes on eagerly"


def regions(models: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """The repeated blocks of the models."""
    for model in models:
        for module in model.modules():
            if isinstance(module, nn.ModuleList):
                yield from module
