"""What a training does to its models' repeated blocks, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from gristmill.train.compiling import compile_regions, eagerly, failure, uncompile_regions
from gristmill.train.eight_bit import eight_bit_regions, full_width_regions
from gristmill.train.precision import Precision
from gristmill.train.recomputing import recompute_regions
from gristmill.train.settings import Settings


class Blocks:
    """The blocks of `models`, and of those that compute gradients in their place (lanes.py).

    say: where a sentence to the user goes.
    """

    def __init__(
        self,
        models: Iterable[nn.Module],
        settings: Settings,
        precision: Precision,
        say: Callable[[str], None],
    ):
        self._models, self._others = list(models), list[nn.Module]()
        self._settings, self._precision, self._say = settings, precision, say
        self._given_up = False

    def prepare(self, others: Iterable[nn.Module] = ()) -> None:
        """8-bit products, compilation and recomputing, where the settings ask for them."""
        self._others = list(others)
        if self._precision == "fp8":
            self._say(eight_bit_regions(self._models))
        if self._settings.compile:
            self._say(compile_regions(self._models))
            compile_regions(self._others)
        if self._settings.recompute:
            self._say(recompute_regions(self._models))
            recompute_regions(self._others)

    def to_eager(self, error: Exception) -> bool:
        """Gives compilation up, with a sentence; False where it is not compilation that failed."""
        everything = [*self._models, *self._others]
        if self._given_up or not self._settings.compile or not uncompile_regions(everything):
            return False
        self._given_up = True
        self._say(failure(error))
        if self._settings.recompute:
            recompute_regions(everything)
        return True

    def eagerly(self) -> AbstractContextManager[None]:
        """Inside the block the models run as they are, for inputs of other shapes."""
        return eagerly(self._models) if self._settings.compile else nullcontext()

    def undo(self) -> None:
        """The models as they were."""
        uncompile_regions(self._models)
        full_width_regions(self._models)
