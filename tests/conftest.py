"""What holds for every test."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

# Imported here, before any test imports torch, which reads the thread settings that it makes.
import gristmill  # noqa: F401
from gristmill.core.artifact import Artifact, Manifest, content_hash, hash_files, write_manifest
from gristmill.core.canonical import hash_json

Seal = Callable[[Path, str, str], Artifact]


@pytest.fixture(scope="session")
def seal() -> Seal:
    """seal(folder, kind, stage) makes an artifact of a folder of files, as a stage would."""

    def seal(folder: Path, kind: str, stage: str) -> Artifact:
        files = hash_files(folder, frozenset())
        write_manifest(
            folder,
            Manifest(
                kind=kind, stage=stage, stage_version=1, code_version="0",
                key=hash_json([kind, str(folder)]), content=content_hash(files), config={},
                files=files, created="", seconds=0, cpu_seconds=0, peak_memory_bytes=0,
            ),
        )  # fmt: skip
        return Artifact.open(folder)

    return seal


@pytest.fixture
def serve_app() -> Iterator[Callable[[web.Application], int]]:
    """serve_app(app) serves it on this machine, in a thread of its own, while the test runs.

    Returns the port.
    """
    running: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []

    def serve(app: web.Application) -> int:
        loop, ports, started = asyncio.new_event_loop(), [], threading.Event()

        def work() -> None:
            asyncio.set_event_loop(loop)
            runner = web.AppRunner(app)
            loop.run_until_complete(runner.setup())
            site = web.TCPSite(runner, "127.0.0.1", 0)
            loop.run_until_complete(site.start())
            ports.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
            started.set()
            loop.run_forever()
            loop.run_until_complete(runner.cleanup())
            loop.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        running.append((loop, thread))
        assert started.wait(10)
        return ports[0]

    yield serve
    for loop, thread in running:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
