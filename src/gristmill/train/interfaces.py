"""What plugs into the trainer: a source, an objective, named models and probes.

The loop, the checkpoint, the precision, the schedule and the logging exist once (trainer.py).
Pre-training, SFT, the reward model, DPO and PPO differ only in these four parts:

    source      what a step learns from, and its own state (data position; later prompts, roll-out
                buffer, beta)
    objective   batch and models in, a loss sum over loss units and their number out
    models      by role: policy, reference, reward, value; some are trained, some are frozen
    probes      look at the models at intervals: evaluation, samples
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

Models = Mapping[str, nn.Module]
"""Modules by role. In an objective, a module's weights are in the run's compute precision."""

Json = dict[str, Any]

T = TypeVar("T")


class Compute(Protocol):
    """Runs a function of the models as an objective sees them: in the run's compute precision,
    but in eval mode and without gradients. What a source recomputes with it equals, bit for bit
    where rows are batched alike, what the objective computes before the next update."""

    def __call__(self, function: Callable[[Models], T]) -> T:
        """The function's value."""


@dataclass(frozen=True)
class Share:
    """Which part of each global batch this process works on."""

    rank: int = 0
    processes: int = 1

    def rows(self, batch: int) -> range:
        """The rows of a global batch of `batch` rows that are this process's, contiguous."""
        return range(batch * self.rank // self.processes, batch * (self.rank + 1) // self.processes)


@dataclass(frozen=True)
class Batch:
    """This process's rows of one step's batch.

    tensors: each with the rows as its first axis, so that a slice of all of them is a micro-batch.
    A row is what an objective cannot split: a packed window, a prompt with its answers, a pair.
    tokens: tokens that the models read, for the speed. bytes: UTF-8 bytes of the text under the
    loss, where known; it gives bits per byte. info: anything for the log, JSON. metrics: numbers
    that the source knows of this step (roll-out scores, KL), logged beside the objective's.
    pieces: rows that one of full length was cut into here; as many more make a micro-batch.
    length: tokens of each row, where all have the same; for MFU.
    """

    tensors: Mapping[str, Tensor]
    tokens: int
    bytes: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    pieces: int = 1
    length: int | None = None

    @property
    def rows(self) -> int:
        """Rows in this batch; all tensors agree on it."""
        return next(iter(self.tensors.values())).shape[0] if self.tensors else 0

    def slice(self, start: int, stop: int) -> Mapping[str, Tensor]:
        """The tensors of rows start to stop."""
        return {name: tensor[start:stop] for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class State:
    """What a part must remember to go on exactly: small things as JSON, arrays as tensors."""

    json: Json = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """Where the training is when it asks its source for a batch.

    models: as they are before this step, for sources that sample from them (PPO); to be read only.
    seed: of this step, the same for every attempt and every number of processes. compute: for
    sources that score what they drew, see Compute.
    """

    step: int
    seed: int
    share: Share
    models: Models
    compute: Compute


class Source(Protocol):
    """Yields the batches, in an order that depends on its state alone.

    The global sequence of rows is the same for every number of processes: all processes hold the
    same state, and `Share` says which rows of the global batch each returns.
    """

    def next(self, moment: Moment) -> Batch:
        """The batch of this step (0-based); advances the state."""

    def state(self) -> State:
        """Enough to go on from here, the same on every process."""

    def restore(self, state: State) -> None:
        """Goes on from `state`, as if the batches before it had been drawn."""


@dataclass(frozen=True)
class Loss:
    """What an objective says of a micro-batch.

    total: sum of the loss over its units (tokens, pairs), with a graph. count: how many units.
    The step's loss is the sum of totals over the sum of counts, over all micro-batches and
    processes, so that how a batch is cut does not change it.
    metrics: name to (sum, count); reported as the sums' quotient over the whole batch.
    """

    total: Tensor
    count: Tensor | float
    metrics: Mapping[str, tuple[Tensor | float, Tensor | float]] = field(default_factory=dict)


class Objective(Protocol):
    """A pure function of a micro-batch and the models."""

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        """The loss of these rows."""


@dataclass(frozen=True)
class View:
    """What a probe sees, to read only: gradients are off and modules are in eval mode.

    step: steps done. tokens: tokens read so far over all processes.
    """

    step: int
    tokens: int
    models: Models


class Probe(Protocol):
    """Looks at the models every `every` steps, and after the last; 0 means only after the last.

    Its random numbers are its own: what it draws does not move the training.
    """

    name: str
    every: int

    def __call__(self, view: View) -> Mapping[str, Any]:
        """JSON values, written into the metrics as `NAME.key`."""


class Check(Protocol):
    """What must be true at the first step of a real training, tested there each time.

    Called once for each micro-batch of the first step, before the weights move. What it returns
    is what is wrong; the run then stops with the check's name.
    """

    @property
    def name(self) -> str:
        """What must be true, in a few words."""

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """None where all is well."""
