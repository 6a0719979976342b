"""Errors that a user can act on, and the exit codes of the program.

2: the user's input is wrong and the message says how to mend it. 75 (EX_TEMPFAIL of
sysexits.h): a later try goes on from where this one stopped. 1: anything else, a defect.
"""

from __future__ import annotations

import errno
from pathlib import Path

EXIT_USER = 2
EXIT_RETRY = 75


class GristmillError(Exception):
    """A mistake that the user can mend; printed in one line, without a traceback.

    what: what is wrong. where: file, key or address. mend: what to do about it.
    """

    exit_code = EXIT_USER

    def __init__(self, what: str, *, where: str | Path | None = None, mend: str | None = None):
        self.what = what
        self.where = None if where is None else str(where)
        self.mend = mend
        super().__init__(self.one_line())

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the keyword arguments must survive that.
        return (_rebuild, (type(self), self.what, self.where, self.mend))

    def one_line(self) -> str:
        """`where: what; mend`, as the command line prints it."""
        place = f"{self.where}: " if self.where else ""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{place}{self.what}{mend}".replace("\n", " ")


def _rebuild(
    kind: type[GristmillError], what: str, where: str | None, mend: str | None
) -> GristmillError:
    return kind(what, where=where, mend=mend)


class DamagedArtifact(GristmillError):
    """A file of an artifact is missing or does not have the content that its manifest records."""


class Retryable(GristmillError):
    """The work stopped and a later try goes on from what is safe on disk (exit code 75)."""

    exit_code = EXIT_RETRY


_DISK_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def disk_full(error: BaseException) -> bool:
    """Whether `error`, or one that it came from, says that the disk or the quota is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _DISK_FULL:
            return True
        # Libraries wrap the operating system's error in their own; its text is what survives.
        if "No space left on device" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
