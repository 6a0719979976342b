"""SIGINT and SIGTERM end the program by an exception that no library can lose."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

LOOK_AGAIN_SECONDS = 0.5


class Stopped(KeyboardInterrupt):
    """What a signal raises: a kind of its own, since CPython notes a plain KeyboardInterrupt that
    leaves an `exec` of a string (each dataclass is made in one) and kills `python -m` with SIGINT
    at its end, whatever exit code it was to have."""


class Interruption:
    """Inside the block, SIGINT and SIGTERM raise Stopped.

    Code written in C may drop an exception that a handler raised within it (`PyObject_HasAttr`, a
    lookup that compares keys), and the program would go on. So a timer looks whether the exception
    is on its way still, that is, handled by some `finally`, and raises it again where it is not.
    """

    def __init__(self) -> None:
        self._raised: Stopped | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell's `&` and `nohup` leave a signal ignored: it stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        if self._raised is not None and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._raised = Stopped()
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, LOOK_AGAIN_SECONDS, LOOK_AGAIN_SECONDS)
        raise self._raised

    def _look(self, number: int, frame: FrameType | None) -> None:
        handled = sys.exc_info()[1]
        while handled is not None and handled is not self._raised:
            handled = handled.__context__
        if handled is None:
            assert self._raised is not None
            raise self._raised
