"""Steps over the parts of a document set, and the engines that run them.

A step is a function from an Arrow table of documents to an Arrow table of as many rows, with a way
to read a part and to write what became of it. Parts lie on storage that every worker sees, so
what is sent to a worker is the name of a part, and what comes back is what the part adds to the
counts of the stage: no step moves documents between machines. Where rows of several parts must
meet, they do in an exchange (`engine.exchange`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from gristmill.core.errors import GristmillError
from gristmill.data.engine.limits import BatchResult, Failure, Limits
from gristmill.data.engine.worker import LOADING, Finished, job_of

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.data.engine.exchange import Exchange

_TOGETHER = 128
"""Documents that a step takes one by one and whose results become one table."""


class Part(Protocol):
    """Documents by name: a part, or by a slice some of its documents. Small and picklable."""

    @property
    def name(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice) -> Part: ...


P = TypeVar("P", bound=Part)
Q = TypeVar("Q")
P_contra = TypeVar("P_contra", bound=Part, contravariant=True)


class Step(Protocol[P_contra]):
    """What is done to each part. Picklable; every document is judged by itself alone."""

    @property
    def at_once(self) -> int:
        """How many documents `__call__` is given at a time."""

    def setup(self) -> None:
        """Once in each process, before its memory is measured: compiles and loads."""

    def read(self, part: P_contra, /) -> pa.Table:
        """The documents of the part, a row each."""

    def __call__(self, documents: pa.Table, /) -> pa.Table:
        """A row for each of the documents."""

    def quarantined(self, count: int, reason: str) -> pa.Table:
        """The rows of documents that could not be processed."""

    def finish(
        self, part: P_contra, results: pa.Table, failures: Sequence[Failure], /
    ) -> Mapping[str, Any]:
        """Writes the whole part and returns what it tells, which JSON can say."""


@runtime_checkable
class OneByOneStep(Protocol):
    """What a step with `at_once` 1 may offer besides: each document has a clock of its own, and yet
    no table is made for each, which costs a fifth of what extraction does."""

    def one(self, document: Mapping[str, Any], /) -> Any:
        """What becomes of a document; as `__call__`, before it is a row."""

    def together(self, results: Sequence[Any], /) -> pa.Table:
        """A row for each of the results of `one`."""


class Engine(Protocol):
    """Runs a step over parts."""

    @property
    def elsewhere(self) -> bool:
        """Whether steps run on other machines, which share folders with this one but neither its
        working directory nor its home."""

    def run(
        self,
        step: Step[P],
        parts: Iterable[P],
        *,
        limits: Limits,
        isolate: bool = True,
        most_workers: int | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """What `finish` told of each part, in the order of the parts.

        isolate: False where the step is cheap and trusted: one worker may be this process, and
        nothing is limited then. most_workers: more are not worth their start.

        Raises GristmillError that the step raises, Retryable where workers die at their start.
        """

    def map_batches(
        self,
        function: Callable[[Any], Any],
        batches: Iterable[Any],
        *,
        limits: Limits,
        setup: Callable[[], None] | None = None,
    ) -> Iterator[BatchResult]:
        """A function over batches that this process reads, where there are no parts to name:
        `engine.map_batches` of worker processes here, or of tasks to which Ray brings them."""

    def exchange(
        self,
        exchange: Exchange[Q],
        parts: Iterable[Q],
        scratch: Path,
        *,
        isolate: bool = True,
        most_workers: int | None = None,
    ) -> Iterator[Any]:
        """What `exchange.gather` told of each partition, in order; see `engine.exchange`.

        scratch: a folder for what is spilled here. isolate, most_workers: as for `run`.
        """


@dataclass
class PartRunner(Generic[P]):
    """What a worker process does with a part: reads it, judges it in batches, finishes it."""

    step: Step[P]

    def __call__(self, part: P, at: Any, whole: bool) -> Any:
        import pyarrow as pa

        at.value = LOADING
        documents = read_part(self.step, part)
        by_one = isinstance(self.step, OneByOneStep)
        size = _TOGETHER if by_one else self.step.at_once
        pieces = []
        for start in range(0, len(part), size):
            at.value = start
            batch = documents.slice(start, size)
            result = self._one_by_one(batch, start, at) if by_one else self.step(batch)
            if len(result) != len(batch):
                return result  # The parent tells what is wrong.
            pieces.append(result)
        results = pa.concat_tables(pieces) if pieces else self.step.quarantined(0, "")
        if not whole:
            return results
        at.value = len(part)
        try:
            return Finished(self.step.finish(part, results, []))
        except Exception:
            # The disk is full, say: the parent tries itself, and tells.
            return results

    def _one_by_one(self, documents: pa.Table, start: int, at: Any) -> pa.Table:
        step = cast(OneByOneStep, self.step)
        found = []
        for position, document in enumerate(documents.to_pylist(), start):
            at.value = position
            found.append(step.one(document))
        return step.together(found)


def job_for(step: Step[Any]) -> bytes:
    """What worker processes of a step are told when they start."""
    return job_of(PartRunner(step), step.setup)


def read_part(step: Step[P], part: P) -> pa.Table:
    """The part's documents. What fails here is no document's fault. Raises GristmillError."""
    try:
        documents = step.read(part)
    except GristmillError:
        raise
    except MemoryError:
        raise GristmillError(
            "a part needs more memory than a worker may use",
            where=part.name,
            mend="give workers more (memory_mb), or make the parts smaller",
        ) from None
    except Exception as error:
        raise GristmillError(
            f"a part cannot be read here: {error}",
            where=part.name,
            mend="parts lie on storage that every worker sees under the same path",
        ) from error
    assert len(documents) == len(part)
    return documents


def assembled(
    step: Step[Any], size: int, pieces: Iterable[tuple[int, pa.Table]], failures: Sequence[Failure]
) -> pa.Table:
    """One table of all results of a part, with rows for what failed."""
    import pyarrow as pa

    found = list(pieces) + [(f.position, step.quarantined(1, f.reason)) for f in failures]
    found.sort(key=lambda piece: piece[0])
    table = pa.concat_tables([step.quarantined(0, ""), *(piece for _, piece in found)])
    assert len(table) == size
    return table


def engine_of(workers: int, engine: str = "local", address: str | None = None) -> Engine:
    """The engine that runs on this machine, or on a Ray cluster.

    Raises GristmillError for an unknown one.
    """
    if engine == "ray":
        from gristmill.data.engine.on_ray import RayEngine

        return RayEngine(address)
    if engine != "local":
        raise GristmillError(f"unknown engine '{engine}'", mend="give local or ray")
    from gristmill.data.engine.local import LocalEngine

    return LocalEngine(workers)
