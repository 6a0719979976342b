"""A source whose next batch is drawn while the step before it is computed.

For sources that look neither at the models nor at the step's seed, since those given are of the
step before (`TextSource`). The batches, their order and the state are those of the source itself:
the state is that after the last batch that was handed out, never that of the one drawn ahead.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from gristmill.train.interfaces import Batch, Moment, Source, State


class Prefetched:
    """Draws one batch ahead in a thread. pinned: in memory that a GPU reads by itself, so that
    the copy runs beside the computing.

    An error in drawing is raised where its batch is asked for.
    """

    def __init__(self, source: Source, *, pinned: bool = False):
        self._source, self._pinned = source, pinned
        self._thread = ThreadPoolExecutor(1, "prefetch")
        self._ahead: Future[tuple[Batch, State]] | None = None
        self._state = source.state()

    def next(self, moment: Moment) -> Batch:
        """The batch of this step; the one after it is begun."""
        if self._ahead is None:
            self._ahead = self._thread.submit(self._draw, moment)
        batch, self._state = self._ahead.result()
        self._ahead = self._thread.submit(self._draw, replace(moment, step=moment.step + 1))
        return batch

    def state(self) -> State:
        """After the last batch that was handed out."""
        return self._state

    def restore(self, state: State) -> None:
        """Goes on from `state`; what was drawn ahead is dropped."""
        if self._ahead is not None:
            self._ahead.exception()
            self._ahead = None
        self._source.restore(state)
        self._state = state

    def _draw(self, moment: Moment) -> tuple[Batch, State]:
        batch = self._source.next(moment)
        if self._pinned:
            tensors = {name: tensor.pin_memory() for name, tensor in batch.tensors.items()}
            batch = replace(batch, tensors=tensors)
        return batch, self._source.state()
