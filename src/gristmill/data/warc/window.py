"""A stretch of a file in memory that moves forward: what the reader of records looks at."""

from __future__ import annotations

from typing import Any, Protocol

# Fits the cache of a core: what was read is looked at while it is still there.
CHUNK = 1 << 18


class Source(Protocol):
    """Bytes by position: a file opened without a buffer, a remote file, an inflated member."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none only at the end."""
        ...

    def seek(self, offset: int, /) -> Any:
        """Goes to `offset`; what cannot go back raises OSError where it would have to."""
        ...


class Window:
    """`data` are the bytes of a source from `base` on; `ended` says that nothing follows them.

    rereads: bytes are read twice rather than moved in memory, which is cheaper where they come
    from the system's cache of a local file.
    """

    __slots__ = ("base", "chunk", "data", "ended", "failure", "rereads", "source")

    def __init__(self, source: Source, *, chunk: int = CHUNK, rereads: bool = False):
        self.source = source
        self.base = 0
        self.rereads = rereads
        self.chunk = chunk
        self.data = b""
        self.ended = False
        self.failure: Exception | None = None

    def more(self, at: int, need: int = 0) -> bool:
        """Drops what lies before `at` (which is 0 from then on) and reads on.

        Reads until `need` bytes are there, at least once. False where nothing was left to read.
        A window that has grown reads more at a time, so that a record that needs a long one costs
        its length and not its square.
        """
        have = len(self.data) - at
        self.base += at
        wanted = max(self.chunk, have // 2, need - have)
        parts = [self.data[at:]]
        if self.rereads and have < self.chunk:
            self.source.seek(self.base)
            piece = self.source.read(have + wanted)
            if len(piece) > have:
                self.data = piece
                return True
            self.source.seek(self.base + have)
        got = 0
        while not self.ended and got < wanted:
            try:
                if self.failure is not None:
                    raise self.failure
                piece = self.source.read(wanted - got)
            except Exception as error:
                # What was read before it is looked at first.
                if not got:
                    raise
                self.failure = error
                break
            if not piece:
                self.ended = True
                break
            parts.append(piece)
            got += len(piece)
        self.data = b"".join(parts)
        return got > 0

    def jump(self, offset: int) -> None:
        """Goes to `offset` of the source; what is still in the window is not read again."""
        at = offset - self.base
        if 0 <= at <= len(self.data):
            self.data = self.data[at:]
            self.base = offset
            return
        self.source.seek(offset)
        self.data, self.base, self.ended, self.failure = b"", offset, False, None
