"""A function of whole parts on any engine: what a stage does shard by shard where it is no step of
rows, such as writing scores, signatures or token shards.

    for told in map_parts(engine, function, parts):
        ...

`function` is importable by name and picklable (a module's function, a functools.partial of one, an
instance of a module's class). It is given one part, writes what it makes to storage that all
workers share, the same bytes each time it is called (a part whose worker was lost is run again),
and returns what JSON can say.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from gristmill.core.errors import GristmillError
from gristmill.data.engine.limits import Failure, Limits
from gristmill.data.engine.steps import Engine

T = TypeVar("T")

UNLIMITED = Limits(math.inf, None)
# A worker process costs a second before its first part, in which hashing or judging n-grams, the
# least of what is done by part, goes through 50 MB of text.
_TEXT_PER_WORKER = 64 << 20


def map_parts(
    engine: Engine,
    function: Callable[[T], Any],
    parts: Iterable[T],
    *,
    setup: Callable[[], None] | None = None,
    limits: Limits = UNLIMITED,
    isolate: bool = True,
    most_workers: int | None = None,
) -> Iterator[Any]:
    """What `function` returned for each part, in the order of the parts.

    parts: picklable and small: names, not data. setup: run once in each process before the first
    part and before memory is measured. limits: a part as a whole may cost so much. isolate,
    most_workers: as for `Engine.run`.

    Raises GristmillError where a part fails: its own, or one that tells the reason.
    """
    step = _WholePart(function, setup)
    named = (_Whole(number, (part,)) for number, part in enumerate(parts))
    for found in engine.run(step, named, limits=limits, isolate=isolate, most_workers=most_workers):
        yield found["told"]


def workers_worth(text_bytes: int) -> int:
    """How many workers are worth their start for so much text: `most_workers`."""
    return max(1, text_bytes // _TEXT_PER_WORKER)


@dataclass(frozen=True)
class _Whole:
    """A part as a single row."""

    number: int
    content: tuple[Any, ...]

    @property
    def name(self) -> str:
        return f"part {self.number}"

    def __len__(self) -> int:
        return len(self.content)

    def __getitem__(self, rows: slice) -> _Whole:
        return _Whole(self.number, self.content[rows])


@dataclass(frozen=True)
class _WholePart:
    """The work is in `__call__`, not in `finish`: that may be this process, after a kill."""

    function: Callable[[Any], Any]
    prepare: Callable[[], None] | None

    @property
    def at_once(self) -> int:
        return 1

    def setup(self) -> None:
        if self.prepare is not None:
            self.prepare()

    def read(self, part: _Whole) -> pa.Table:
        return pa.table({"part": pa.array([pickle.dumps(one) for one in part.content])})

    def __call__(self, documents: pa.Table) -> pa.Table:
        # Bytes of our own, a moment ago.
        parts = [pickle.loads(one) for one in documents["part"].to_pylist()]  # noqa: S301
        return _told([json.dumps(self.function(part), ensure_ascii=False) for part in parts])

    def quarantined(self, count: int, reason: str) -> pa.Table:
        return _told([None] * count)

    def finish(
        self, part: _Whole, results: pa.Table, failures: Sequence[Failure]
    ) -> Mapping[str, Any]:
        for failure in failures:
            raise GristmillError(
                f"a part cannot be worked on: {failure.reason}",
                where=str(part.content[failure.position])[:200],
            )
        (told,) = results["told"].to_pylist()
        return {"told": json.loads(told)}


def _told(rows: list[str | None]) -> pa.Table:
    return pa.table({"told": pa.array(rows, pa.large_string())})
