"""Politeness: which host may be asked next, and when.

A host is asked by at most so many workers at once, and by one at a time where it wants a delay. A
host that says 429 or 503 rests, and all its URLs with it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from gristmill.data.crawl.frontier import Task

_HOSTS = 2000
"""Hosts that are remembered although nothing of them is queued: a site may have endless names."""
FIRST_REST = 1.0
"""Seconds of rest after the first refusal or lost connection; doubled with each one after it."""


@dataclass
class Host:
    """What is known of a host during one attempt."""

    name: str
    queue: deque[tuple[Task, int]] = field(default_factory=deque)
    active: int = 0
    limit: int = 1
    delay: float = 0.0
    ready_at: float = 0.0
    listed: bool = False
    refusals: int = 0
    """Refusals and lost connections since the last answer."""
    lost: int = 0
    """URLs given up for lost connections since the last answer."""
    down: str | None = None
    """Why the host is not asked any more in this attempt."""
    origins: set[str] = field(default_factory=set)
    """Schemes and ports of it whose robots.txt is known."""


class Schedule:
    """Hands out (host, task, number of earlier tries); waits where nothing may be asked yet."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._down: dict[str, str] = {}
        self._ready: list[tuple[float, int, Host]] = []
        self._order = count()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open = 0

    def add(self, tasks: Iterable[Task]) -> None:
        """Adds the tasks of a batch."""
        self._forget()
        for task in tasks:
            host = self.hosts.get(task.host)
            if host is None:
                host = self.hosts[task.host] = Host(task.host, down=self._down.get(task.host))
            host.queue.append((task, 0))
            self._open += 1
            self._list(host)

    def _forget(self) -> None:
        """Drops hosts that nobody asks and that may be asked: what they want is read again."""
        if len(self.hosts) <= _HOSTS:
            return
        now = asyncio.get_running_loop().time()
        for name, host in list(self.hosts.items()):
            if host.queue or host.active or host.listed or host.ready_at > now:
                continue
            del self.hosts[name]
            if host.down is not None:
                self._down[name] = host.down

    async def take(self) -> tuple[Host, Task, int] | None:
        """The next task whose host may be asked now; None when the batch is done."""
        loop = asyncio.get_running_loop()
        while self._open:
            now = loop.time()
            while self._ready and self._ready[0][0] <= now:
                _, _, host = heapq.heappop(self._ready)
                host.listed = False
                if host.ready_at > now or not host.queue or host.active >= host.limit:
                    self._list(host)
                    continue
                task, tries = host.queue.popleft()
                host.active += 1
                host.ready_at = now + host.delay
                self._list(host)
                return host, task, tries
            await self._wait(loop)
        return None

    def done(self, host: Host) -> None:
        """A taken task is settled."""
        self._open -= 1
        self._release(host)
        if not self._open:
            while self._waiting:
                self._wake()

    def again(self, host: Host, task: Task, tries: int) -> None:
        """A taken task is to be tried again, when its host may be asked."""
        host.queue.append((task, tries))
        self._release(host)

    def rest(self, host: Host, seconds: float) -> None:
        """The host is not asked for so long."""
        host.ready_at = max(host.ready_at, asyncio.get_running_loop().time() + seconds)

    def widen(self, host: Host, limit: int, delay: float) -> None:
        """Sets how many may ask at once and the seconds between requests."""
        host.delay = delay
        host.limit = 1 if delay > 0 else limit
        if delay > 0:
            self.rest(host, delay)
        for _ in range(host.limit):
            self._list(host)

    def _release(self, host: Host) -> None:
        host.active -= 1
        self._list(host)

    def _list(self, host: Host) -> None:
        if host.listed or not host.queue or host.active >= host.limit:
            return
        host.listed = True
        heapq.heappush(self._ready, (host.ready_at, next(self._order), host))
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiting)
        alarm = None
        if self._ready:
            alarm = loop.call_at(self._ready[0][0], self._wake)
        try:
            await waiting
        finally:
            if alarm is not None:
                alarm.cancel()
