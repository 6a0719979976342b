"""The one thread that decodes: it takes jobs from a bounded queue into running batches.

Between two tokens jobs join and leave. Jobs of one model share a batch; batches of several models
take turns. A job's pieces go to the event loop that asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gristmill.core.errors import GristmillError
from gristmill.infer.generator import Finish
from gristmill.serve.batching import PREFILL_TOKENS, RowSpec, RunningBatch, TokenScore
from gristmill.serve.pieces import Piece, PieceMaker

if TYPE_CHECKING:
    from gristmill.model.language_model import LanguageModel
    from gristmill.tokenizer.tokenizer import Tokenizer


class Busy(GristmillError):
    """The queue is full, or the server ends: come back later."""


class TooSlow(GristmillError):
    """The request took longer than one may."""


class Job:
    """One completion on its way. Made in the event loop that reads its pieces."""

    _keys = itertools.count()

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        row: RowSpec,
        *,
        stops: tuple[str, ...] = (),
        echo: bool = False,
        added: int = 0,
        seconds: float = float("inf"),
    ):
        self.key = next(Job._keys)
        self.model, self.tokenizer, self.row, self.echo = model, tokenizer, row, echo
        self.added = added
        self.deadline = time.monotonic() + seconds
        self.gone = False
        """No one reads it any more, or it is done."""
        self._pieces = PieceMaker(tokenizer, stops, give_end=echo)
        self._loop = asyncio.get_running_loop()
        # Holds no more than the tokens that the job may make: a slow reader delays no one.
        self._queue: asyncio.Queue[Piece | BaseException] = asyncio.Queue()

    async def next(self) -> Piece:
        """The next piece. Raises what the worker met."""
        item = await self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def read(self, scores: list[TokenScore]) -> None:
        """Its prompt has been read (worker)."""
        finish: Finish | None = "length" if self.row.room == 0 else None
        if self.echo:
            text = self.tokenizer.decode(self.row.prompt, skip_special=True)
            scores = scores or [TokenScore(token) for token in self.row.prompt]
            self._give(Piece(text, tuple(scores[self.added :]), 0, finish))
        elif finish is not None:
            self._give(Piece("", (), 0, finish))

    def made(self, score: TokenScore, finish: Finish | None) -> None:
        """It has a new token (worker)."""
        piece = self._pieces.push(score, finish)
        if piece is not None:
            self._give(piece)

    def fail(self, error: BaseException) -> None:
        """It ends with an error (worker)."""
        self.gone = True
        self._deliver(error)

    def _give(self, piece: Piece) -> None:
        self.gone = self.gone or piece.finish is not None
        self._deliver(piece)

    def _deliver(self, item: Piece | BaseException) -> None:
        # A loop that has closed has no reader left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)


class Worker:
    """A thread with running batches. queue: jobs that may wait. rows: of one batch."""

    def __init__(self, *, queue: int, rows: int):
        self.queue, self.rows = queue, rows
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._jobs: dict[int, Job] = {}
        """Those in a batch, by key."""
        self._batches: dict[int, RunningBatch] = {}
        """By the identity of the model."""
        self._closing = False
        self._thread: threading.Thread | None = None
        self.generated = 0
        """Tokens made since the start."""

    @property
    def running(self) -> int:
        """Jobs in a batch."""
        return len(self._jobs)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._waiting)

    def start(self) -> None:
        """Once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends all jobs; returns when the thread has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def submit(self, job: Job) -> None:
        """Queues a job. Raises Busy where the queue is full."""
        with self._changed:
            if self._closing:
                raise Busy("the server is ending")
            if len(self._waiting) >= self.queue:
                raise Busy(
                    f"{self.queue} completions wait already", mend="try again in a few seconds"
                )
            self._waiting.append(job)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Takes a job out, wherever it is, before the next token."""
        job.gone = True
        with self._changed:
            self._waiting = [one for one in self._waiting if one is not job]
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._jobs or self._closing):
                    self._changed.wait()
                if self._closing:
                    self._end()
                    return
                admitted = self._admit()
            for jobs in admitted:
                self._join(jobs)
            for place in list(self._batches):
                self._step(place)
            self._clear()

    def _admit(self) -> list[list[Job]]:
        """Waiting jobs for which there is room, first come first served within a model, by model.
        No more of one than are read in one pass, so that those that run go on."""
        admitted: dict[int, list[Job]] = {}
        tokens: dict[int, int] = {}
        waiting = []
        now = time.monotonic()
        for job in self._waiting:
            place = id(job.model)
            batch = self._batches.get(place)
            taken = admitted.get(place, [])
            count = len(taken) + (len(batch) if batch else 0)
            tokens[place] = tokens.get(place, 0) + len(job.row.prompt)
            if job.gone:
                continue
            if now > job.deadline:
                job.fail(_too_slow())
            elif count < self.rows and (not taken or tokens[place] <= PREFILL_TOKENS):
                admitted[place] = [*taken, job]
                self._jobs[job.key] = job
            else:
                waiting.append(job)
                # No one behind it overtakes it.
                tokens[place] = PREFILL_TOKENS + 1
        self._waiting = waiting
        return list(admitted.values())

    def _join(self, jobs: list[Job]) -> None:
        place = id(jobs[0].model)
        batch = self._batches.setdefault(place, RunningBatch(jobs[0].model))
        try:
            for key, scores in batch.join([(job.key, job.row) for job in jobs]):
                self._jobs[key].read(scores)
        except Exception as error:
            self._fail(place, error, also=jobs)

    def _step(self, place: int) -> None:
        batch = self._batches[place]
        try:
            for step in batch.step():
                self.generated += 1
                self._jobs[step.key].made(step.score, step.finish)
        except Exception as error:
            self._fail(place, error)

    def _clear(self) -> None:
        """Takes out what is done, left or late, and batches that are empty."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if not job.gone and now > job.deadline:
                job.fail(_too_slow())
        gone = {key for key, job in self._jobs.items() if job.gone}
        for place, batch in list(self._batches.items()):
            batch.leave(gone)
            if not len(batch):
                del self._batches[place]
        for key in gone:
            del self._jobs[key]

    def _fail(self, place: int, error: Exception, also: Iterable[Job] = ()) -> None:
        """A batch that met an error is given up whole: its cache may be half written."""
        self._batches.pop(place, None)
        for job in {*also, *(job for job in self._jobs.values() if id(job.model) == place)}:
            job.fail(error)

    def _end(self) -> None:
        for job in [*self._waiting, *self._jobs.values()]:
            job.fail(Busy("the server is ending"))
        self._waiting.clear()
        self._jobs.clear()
        self._batches.clear()


def _too_slow() -> TooSlow:
    return TooSlow("the request took longer than one may", mend="ask for fewer tokens")
