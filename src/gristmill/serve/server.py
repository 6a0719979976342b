"""Uvicorn around the application: where it listens, what it refuses, how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gristmill.core.errors import GristmillError
from gristmill.serve.limits import Limits
from gristmill.serve.service import Models

# What still runs at the end is cut off after this long.
_LAST_SECONDS = 3


class Server(uvicorn.Server):
    """Serves until it is told to end. ready: called once, when the first request may come."""

    def __init__(
        self,
        app: ASGIApp,
        models: Models,
        *,
        ready: Callable[[], None] = lambda: None,
        verbose: bool = False,
    ):
        self._models, self._ready = models, ready
        limits: Limits = models.limits
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(limits.header_seconds, limits.write_seconds),
                ws="none",
                log_level="info" if verbose else "warning",
                access_log=verbose,
                server_header=False,
                h11_max_incomplete_event_size=limits.header_bytes,
                limit_concurrency=limits.connections,
                timeout_graceful_shutdown=_LAST_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Of uvicorn's server."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Of uvicorn's server. Completions end first: what streams them has no more to wait for."""
        self._models.close()
        await super().shutdown(sockets)


def _protocol(seconds: float, write_seconds: float) -> type[asyncio.Protocol]:
    """Uvicorn's, which would wait for ever for the first request, for the rest of one's head and
    for a client that does not read: such connections would fill the places of all others.

    seconds: for a request. write_seconds: from a full buffer (64 KiB) to a nearly empty one, and
    from the end of a connection to the last byte taken.
    """

    class Impatient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._full: asyncio.TimerHandle | None = None
            self._ending: float | None = None
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()
            self.resume_writing()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._full = self.loop.call_later(write_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            if self._full is not None:
                self._full.cancel()
            super().resume_writing()

        def _watch(self) -> None:
            waits = self.cycle is None or self.cycle.response_complete
            self._timer = self.loop.call_later(seconds, self._look, self.cycle, waits)

        def _look(self, before: object, waited: bool) -> None:
            if self.transport.is_closing():
                # It ends when its last bytes are taken.
                self._ending = self._ending or self.loop.time()
                if self.loop.time() - self._ending >= write_seconds:
                    self.transport.abort()
                    return
            elif waited and self.cycle is before:
                self.transport.close()
            self._watch()

    return Impatient


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises GristmillError where it cannot."""
    if not 0 <= port < 65_536:
        raise GristmillError("must be from 0 to 65535", where="--port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise GristmillError(f"no such address: {error}", where="--host") from None
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":
            # On Windows it would let two programs have one port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise GristmillError(
            f"cannot listen at {host}:{port}: {error.strerror or error}",
            where="--port",
            mend="another program may have it; --port 0 takes a free one",
        ) from None
    return listening


def address_of(listening: socket.socket, host: str) -> str:
    """The URL of a listening socket."""
    name = host.strip("[]")
    port = listening.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
