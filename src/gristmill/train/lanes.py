"""A micro-batch's rows computed side by side on a CPU, each share by a thread of its own.

Threads that share each product, norm and copy meet some hundred times in a step of a small model,
and what is too small to share runs on one of them. Lanes meet once a micro-batch: each takes its
rows forward and backward through modules of its own over the same weights, and the gradients are
added in the lanes' order, so that the sum has the same bits whichever lane is done first.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gristmill.core.run import Run
from gristmill.model.attention_model import AttentionModel
from gristmill.train.allocation import keep_memory_freed_by_threads
from gristmill.train.interfaces import Loss, Models, Objective

# Python's own work in a step is shared by no lanes, and more than two were not measured.
_MOST = 4
# Below it a step is nearly all Python, for which lanes wait for each other (docs/log.md).
_WORTH_PARAMETERS = 3_000_000
# Numbers of a gradient at a time, so that what is done to them one after the other finds them in
# the cache: 1 MiB in float32.
_PIECE = 1 << 18


@dataclass(frozen=True)
class LaneChoice:
    """How many lanes, and why."""

    count: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """For the run's pinned values."""
        return asdict(self)


def choose_lanes(asked: int | Literal["auto"], models: Models, device: torch.device) -> LaneChoice:
    """`auto`: a lane for each of torch's threads, four at most, for a model with attention of three
    million parameters and more; one for all else. By what is known and not by what is measured:
    the number moves the last bits, and the same training twice must have the same. One on a GPU.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu":
        return LaneChoice(1, "not on a CPU")
    if asked != "auto":
        return LaneChoice(asked, "asked for")
    if threads == 1:
        return LaneChoice(1, "one thread")
    # Random numbers come from one generator, in the order in which lanes ask for them: no dropout.
    if not all(isinstance(model, AttentionModel) for model in models.values()):
        return LaneChoice(1, f"{threads} threads share each operation: not a model with attention")
    parameters = sum(p.numel() for model in models.values() for p in model.parameters())
    if parameters < _WORTH_PARAMETERS:
        return LaneChoice(1, f"{threads} threads share each operation: {parameters:,} parameters")
    count = min(threads, _MOST)
    return LaneChoice(
        count, f"{threads} threads; each lane takes its rows by itself and waits for none"
    )


def pinned_lanes(
    run: Run, asked: int | Literal["auto"], models: Models, device: torch.device
) -> LaneChoice:
    """The choice of the run's first attempt, which is made where this is the first."""
    pinned = run.pin("lanes", lambda: choose_lanes(asked, models, device).to_json())
    return LaneChoice(**pinned)


class Lanes:
    """`count` threads, each with modules of its own over the same weights.

    models, trained: of the trainer. dtype: of the products. Threads of torch beyond one for each
    lane are shared out among them. Weights are cast once a step, by `take_weights`; nothing may
    change them until the gradients are there.
    """

    def __init__(
        self,
        objective: Objective,
        models: Models,
        trained: Sequence[Tensor],
        dtype: torch.dtype,
        count: int,
    ):
        self._models, self._trained = dict(models), list(trained)
        weights = list(dict.fromkeys(p for one in models.values() for p in one.parameters()))
        low = [_low(weight, dtype) for weight in weights]
        # Weights that are not cast share their memory.
        self._cast = [(w, c) for w, c in zip(weights, low, strict=True) if c.dtype != w.dtype]
        self._lanes = [_Lane(objective, models, trained, weights, low) for _ in range(count)]
        keep_memory_freed_by_threads()
        threads = torch.get_num_threads()
        each = max(1, threads // count)
        self._workers = [ThreadPoolExecutor(1, f"lane-{n}") for n in range(count)]
        self._everywhere(lambda n: _use_threads(each))
        # The call holds for its own thread, and as the default of threads that come later.
        torch.set_num_threads(threads)
        self._shares = _even_shares([p.numel() for p in self._trained], count)
        self._seen: set[Any] = set()
        self._looking = threading.Lock()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._lanes)

    @property
    def models(self) -> list[nn.Module]:
        """The lanes' own modules, for what is done to blocks (compilation, recomputing)."""
        return [model for lane in self._lanes for model in lane.models.values()]

    def take_weights(self) -> None:
        """Casts the weights as they are now; the lanes' modules train where the models do."""
        shares = _even_shares([weight.numel() for weight, _ in self._cast], self.count)
        self._everywhere(lambda n: _copy([self._cast[i] for i in shares[n]]))
        for lane in self._lanes:
            for role, model in lane.models.items():
                model.train(self._models[role].training)

    def add_gradients(
        self, parts: Sequence[Mapping[str, Tensor]], scale: float, look: Callable[..., None]
    ) -> tuple[list[Loss], float]:
        """Adds the gradients of `scale` times the parts' losses to `grad` of the trained weights.

        parts: one for each lane. look: sees each part and its loss before its backward pass, one
        lane's at a time. Returns the losses without their graphs, and the sum of squares of all
        numbers in `grad`.
        """

        def look_alone(*seen: Any) -> None:
            # A check puts cast weights into the models themselves, which all lanes share.
            with self._looking:
                look(*seen)

        shapes = [tuple((name, t.shape) for name, t in part.items()) for part in parts]
        # New shapes may be compiled, which is for one thread at a time.
        alone = not self._seen.issuperset(shapes)
        found = self._everywhere(lambda n: self._lanes[n].run(parts[n], scale, look_alone), alone)
        self._seen.update(shapes)
        squares = self._everywhere(lambda n: self._add(self._shares[n]))
        return found, math.fsum(squares)

    def close(self) -> None:
        """Ends the threads."""
        for worker in self._workers:
            worker.shutdown()

    def cut(self, tensors: Mapping[str, Tensor]) -> list[Mapping[str, Tensor]] | None:
        """The rows in as many parts of nearly one size; None where there are too few rows."""
        rows = next(iter(tensors.values())).shape[0]
        if rows < self.count:
            return None
        parts = {name: tensor.tensor_split(self.count) for name, tensor in tensors.items()}
        return [{name: parts[name][n] for name in tensors} for n in range(self.count)]

    @torch.no_grad()
    def _add(self, share: Sequence[int]) -> float:
        """Takes the lanes' gradients of these weights over; the sum of squares of the whole."""
        squares = []
        for index in share:
            weight = self._trained[index]
            new = weight.grad is None
            grads = []
            for leaf in (lane.leaves[index] for lane in self._lanes):
                if leaf is not None and leaf.grad is not None:
                    grads.append(leaf.grad.reshape(-1))
                    leaf.grad = None
            if weight.grad is None:
                if not grads:
                    continue
                weight.grad = torch.empty_like(weight, memory_format=torch.contiguous_format)
            whole = weight.grad.view(-1)
            for start in range(0, whole.numel(), _PIECE):
                part = slice(start, start + _PIECE)
                piece = whole[part]
                for n, grad in enumerate(grads):
                    if n == 0 and new:
                        piece.copy_(grad[part])
                    else:
                        piece.add_(grad[part])
                squares.append(torch.dot(piece, piece))
        return math.fsum(torch.stack(squares).tolist()) if squares else 0.0

    def _everywhere(self, work: Callable[[int], Any], alone: bool = False) -> list[Any]:
        """work(n) by each lane's thread, at the same time or one after the other; all have ended
        when it returns, or raises what the first that failed raised."""
        futures: list[Future[Any]] = []
        for n, worker in enumerate(self._workers):
            futures.append(worker.submit(work, n))
            if alone:
                futures[-1].result()
        wait(futures)
        return [future.result() for future in futures]


class _Lane:
    """Modules like the models', over leaves that hold the low weights."""

    def __init__(
        self,
        objective: Objective,
        models: Models,
        trained: Sequence[Tensor],
        weights: Sequence[nn.Parameter],
        low: Sequence[Tensor],
    ):
        self._objective = objective
        memo: dict[int, Any] = {}
        leaves: dict[int, Tensor] = {}
        for weight, cast in zip(weights, low, strict=True):
            leaf = nn.Parameter(cast.detach(), requires_grad=weight.requires_grad)
            memo[id(weight)] = leaves[id(weight)] = leaf
        for model in models.values():
            memo.update((id(buffer), buffer) for buffer in model.buffers())
        self.models = {role: copy.deepcopy(model, memo) for role, model in models.items()}
        self.leaves = [leaves.get(id(weight)) for weight in trained]

    def run(self, tensors: Mapping[str, Tensor], scale: float, look: Callable[..., None]) -> Loss:
        for leaf in self.leaves:
            if leaf is not None:
                leaf.grad = None
        found = self._objective(tensors, self.models)
        look(tensors, found)
        total = found.total if scale == 1.0 else found.total * scale
        total.backward()  # type: ignore[no-untyped-call]
        return Loss(found.total.detach(), found.count, found.metrics)


def _use_threads(count: int) -> None:
    # A thread takes the default at its first question, which would undo what was set before it.
    torch.get_num_threads()
    torch.set_num_threads(count)


def _low(weight: nn.Parameter, dtype: torch.dtype) -> Tensor:
    low = weight.detach()
    return low.to(dtype) if low.is_floating_point() else low


@torch.no_grad()
def _copy(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    for weight, low in pairs:
        low.copy_(weight)


def _even_shares(sizes: Sequence[int], count: int) -> list[list[int]]:
    """Indices of `sizes` in `count` shares of about the same sum."""
    shares: list[list[int]] = [[] for _ in range(count)]
    sums = [0] * count
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = sums.index(min(sums))
        shares[least].append(index)
        sums[least] += sizes[index]
    return shares
