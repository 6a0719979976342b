"""The gradient of a whole batch's mean loss, micro-batch by micro-batch, over all processes.

The loss is the sum over loss units divided by their number in the whole batch. Micro-batches sum
gradients of sums; the division comes last, when the number is known, so that how a batch is cut
changes nothing but rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from gristmill.core.errors import GristmillError
from gristmill.train.interfaces import Batch, Loss, Share, T
from gristmill.train.lanes import Lanes
from gristmill.train.loss_scale import LossScale
from gristmill.train.precision import Computing


class Processes:
    """The processes that train together; this one is alone. Parallel ones override both."""

    share = Share()

    def sum(self, values: Tensor) -> Tensor:
        """The elementwise sum over all processes."""
        return values


class Gradients:
    """Fills `grad` of the trained parameters; `scale` is what it is to be multiplied by.

    micro_batch: rows at a time; None: the whole batch. clip: largest norm over all parameters
    together; 0: no limit. loss_scale: of fp16, see loss_scale.py. fall_back: what to do about an
    error in the loss; True asks for another try (compilation failed and is off now). check: sees
    each micro-batch with its loss first. lanes: where there are some, they share its rows.
    """

    def __init__(
        self,
        computing: Computing,
        trained: Sequence[Tensor],
        processes: Processes,
        *,
        micro_batch: int | None,
        clip: float,
        loss_scale: LossScale | None = None,
    ):
        self._computing, self._trained, self._processes = computing, trained, processes
        self._micro_batch, self._clip, self._loss_scale = micro_batch, clip, loss_scale
        self._device = trained[0].device
        self.fall_back: Callable[[Exception], bool] = lambda error: False
        self.check: Callable[[Mapping[str, Tensor], Loss], None] = lambda tensors, loss: None
        self.lanes: Lanes | None = None
        self.scale = 1.0
        self._squares: float | None = None

    def __call__(self, batch: Batch) -> tuple[float, float, dict[str, float]]:
        """Leaves a multiple of the clipped gradient of the mean loss in `grad`: `scale` times that
        is the gradient (the update multiplies where it reads it anyway).

        Returns the mean loss, the norm before clipping (nan where nothing carried loss) and the
        objective's metrics; with the batch's bytes, `bits_per_byte` from its `cross_entropy`.
        """
        for parameter in self._trained:
            parameter.grad = None
        rows = self._micro_batch * batch.pieces if self._micro_batch else max(1, batch.rows)
        scale = 1.0 if self._loss_scale is None else self._loss_scale.scale
        # The loss itself goes under the empty name, which no metric has.
        sums: dict[str, list[float]] = {"": [0.0, 0.0]}
        parts: list[tuple[str, Tensor | float, Tensor | float]] = []
        if self.lanes is not None:
            self.lanes.take_weights()
        with self._computing.held():
            for start in range(0, batch.rows, rows):
                tensors = {
                    name: tensor.to(self._device, non_blocking=True)
                    for name, tensor in batch.slice(start, start + rows).items()
                }
                for found in self._backward(tensors, scale):
                    parts.append(("", _plain(found.total), _plain(found.count)))
                    parts += [(n, _plain(v), _plain(c)) for n, (v, c) in found.metrics.items()]
        # Only now: on a GPU each of these numbers waits for all that was begun before.
        for name, value, number in parts:
            pair = sums.setdefault(name, [0.0, 0.0])
            pair[0] += float(value)
            pair[1] += float(number)
        names = sorted(sums)
        flat = [value for name in names for value in sums[name]]
        everywhere = self._processes.sum(
            torch.tensor([*flat, batch.bytes or 0.0], dtype=torch.float64)
        ).tolist()
        totals = {n: (everywhere[2 * i], everywhere[2 * i + 1]) for i, n in enumerate(names)}
        total, count = totals.pop("")
        metrics = {name: _quotient(*pair) for name, pair in totals.items()}
        if batch.bytes is not None and "cross_entropy" in totals:
            bits = totals["cross_entropy"][0] / math.log(2)
            metrics["bits_per_byte"] = _quotient(bits, everywhere[-1])
        norm = self._norm(count, scale)
        self.scale = 1.0 / count / scale if count else 1.0
        if self._clip and math.isfinite(norm) and norm > self._clip:
            self.scale *= self._clip / norm
        return _quotient(total, count), norm, metrics

    def _backward(self, tensors: Mapping[str, Tensor], scale: float) -> list[Loss]:
        """Adds the gradients of these rows' loss, times `scale`; the loss, or that of each lane."""
        parts = None if self.lanes is None else self.lanes.cut(tensors)
        if parts is not None and self.lanes is not None:
            add = partial(self.lanes.add_gradients, parts, scale, self.check)
            losses, self._squares = self._or_again(add)
            return losses
        self._squares = None
        found = self._or_again(partial(self._computing.loss, tensors))
        self.check(tensors, found)
        scaled = found.total if scale == 1.0 else found.total * scale
        scaled.backward()  # type: ignore[no-untyped-call]
        return [found]

    def _or_again(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except Exception as error:
            if isinstance(error, GristmillError) or not self.fall_back(error):
                raise
            return function()

    @torch.no_grad()
    def _norm(self, count: float, loss_scale: float) -> float:
        """Of the gradient of the mean loss, before clipping."""
        grads = [p.grad for p in self._trained if p.grad is not None]
        if not grads or not count:
            return math.nan
        if self._squares is not None:
            norm = self._squares**0.5
        else:
            norm = float(torch.nn.utils.get_total_norm(grads, foreach=True))
        return norm / count / loss_scale


def _plain(value: Tensor | float) -> Tensor | float:
    return value.detach() if isinstance(value, Tensor) else value


def _quotient(total: float, count: float) -> float:
    return total / count if count else math.nan
