"""What holds for every test."""

import asyncio
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import hypothesis
import pytest
from aiohttp import web

# Imported here, before any test imports torch, which reads the thread settings that it makes.
import gristmill  # noqa: F401
from gristmill.core.artifact import Artifact, Manifest, content_hash, hash_files, write_manifest
from gristmill.core.canonical import hash_json

Seal = Callable[[Path, str, str], Artifact]
CpuSeconds = Callable[[float], AbstractContextManager[None]]

# The same examples in every run, and no limit on the clock for one or for drawing it. For others:
# pytest --hypothesis-profile=search
_NO_CLOCK = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("search", **_NO_CLOCK)
hypothesis.settings.register_profile("same", derandomize=True, **_NO_CLOCK)
hypothesis.settings.load_profile("same")


# A shell that runs the tests in the background has Ctrl-C ignored, which every child would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws unseeded does not depend on which tests ran before it in its process."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


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


@pytest.fixture(scope="session")
def cpu_seconds() -> CpuSeconds:
    """with cpu_seconds(20): fails where the block takes more of the processor, however long a busy
    machine makes it wait for one."""

    @contextmanager
    def cpu_seconds(most: float) -> Iterator[None]:
        began = time.process_time()
        yield
        assert time.process_time() - began < most

    return cpu_seconds


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
        assert started.wait(120)
        return ports[0]

    yield serve
    for loop, thread in running:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(120)
