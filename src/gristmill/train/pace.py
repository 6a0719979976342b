"""How many rows a step takes and how long they are: schedules of batch size and context.

Both are given by the share of the tokens up to which a value holds, [[0.3, 64], [1.0, 256]]. They
change how the samples are cut, not which come: a sample is a window of the full context, a step
takes as many of the next ones as the batch says, and a shorter context cuts each into pieces (the
growing lengths of Li et al. 2022, "The stability-efficiency dilemma", the growing batches of
Smith et al. 2018, "Don't decay the learning rate, increase the batch size"). So every token comes
in the order of a training without schedules, and their number is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gristmill.core.errors import GristmillError

Steps = Sequence[tuple[float, int]]
"""Share of the tokens up to which a value holds, and the value; rising, the last share 1."""


@dataclass(frozen=True)
class Stretch:
    """`samples` windows from `first` on, in `steps` steps that differ by at most one window."""

    first: int
    samples: int
    steps: int
    context: int


class Pace:
    """The steps of a training of `samples` windows of `context` tokens.

    batch: windows a step where `batches` is empty. contexts, batches: the schedules. Raises
    GristmillError, which names `where`, for shares that do not rise to 1 and for contexts that do
    not divide the full one.
    """

    def __init__(
        self,
        samples: int,
        batch: int,
        context: int,
        *,
        contexts: Steps = (),
        batches: Steps = (),
        where: str = "train.lm",
    ):
        _check(contexts, f"{where}.context_schedule")
        _check(batches, f"{where}.batch_schedule")
        for _, length in contexts:
            if context % length:
                raise GristmillError(
                    f"windows of {context} tokens cannot be cut into pieces of {length}",
                    where=f"{where}.context_schedule",
                    mend="take lengths that divide the context",
                )
        self._batch, self._context = batch, context
        borders = sorted({share for share, _ in (*contexts, *batches)} | {1.0})
        self.stretches: list[Stretch] = []
        first = 0
        for share in borders:
            # A share below half a window adds nothing.
            count = round(share * samples) - first
            if count > 0:
                rows = _value(batches, share, batch)
                steps = max(1, round(count / rows))
                length = _value(contexts, share, context)
                self.stretches.append(Stretch(first, count, steps, length))
                first += count

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return sum(stretch.steps for stretch in self.stretches)

    @property
    def most(self) -> int:
        """Windows of the largest step."""
        return max(-(-stretch.samples // stretch.steps) for stretch in self.stretches)

    def windows(self, step: int) -> int:
        """Windows of that step (0-based); beyond the last, those of a step without schedules."""
        for stretch in self.stretches:
            if step < stretch.steps:
                begin = stretch.samples * step // stretch.steps
                return stretch.samples * (step + 1) // stretch.steps - begin
            step -= stretch.steps
        return self._batch

    def rates(self, power: float) -> Callable[[int], float]:
        """What a step's learning rates are multiplied by: (its windows / `batch`) ^ power.

        `batch` is the one that the rates are meant for. power 0.5 keeps the noise of Adam's updates
        as it is (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient
        algorithms", section 4), and 1 that of SGD's (Goyal et al. 2017).
        """
        return lambda step: (self.windows(step) / self._batch) ** power

    def at(self, drawn: int) -> tuple[int, int]:
        """(windows, length of a row) of the step that comes after `drawn` windows."""
        for stretch in self.stretches:
            done = drawn - stretch.first
            if done < stretch.samples:
                # The step k that begins at samples * k // steps = done.
                k = -(-done * stretch.steps // stretch.samples)
                end = stretch.samples * (k + 1) // stretch.steps
                return end - done, stretch.context
        return self._batch, self._context


def _value(schedule: Steps, share: float, default: int) -> int:
    return next((value for until, value in schedule if share <= until), default)


def _check(schedule: Steps, where: str) -> None:
    shares = [share for share, _ in schedule]
    rising = all(a < b for a, b in zip([0.0, *shares], shares, strict=False))
    if schedule and (not rising or shares[-1] != 1.0 or min(v for _, v in schedule) < 1):
        raise GristmillError(
            f"{[list(pair) for pair in schedule]} is no schedule: shares rise to 1, and each value "
            "is at least 1",
            where=where,
            mend="for example [[0.3, 64], [1.0, 256]]",
        )
