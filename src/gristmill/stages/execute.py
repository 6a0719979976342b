"""Runs one stage: finds its artifact or makes it, whole or not at all."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill import __version__
from gristmill.core.artifact import (
    Artifact,
    FileRef,
    InputRef,
    Manifest,
    content_hash,
    hash_files,
    sealing,
    write_manifest,
)
from gristmill.core.canonical import hash_json
from gristmill.core.errors import Retryable, disk_full
from gristmill.core.run import Run, holding
from gristmill.core.seeds import derive_seed
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.stages.stage import C, Execution, Output, Stage


def execute(
    stage: Stage[C],
    config: C,
    inputs: Mapping[str, Sequence[Artifact]],
    workspace: Workspace,
    seed: int,
    execution: Execution,
) -> Artifact:
    """The artifact of a stage for a config and inputs.

    Raises GristmillError for unfitting inputs, DamagedArtifact where an input or the cached
    artifact is not what was sealed, Retryable where the disk is full.
    """
    stage.check_inputs(inputs)
    key, extensions = stage.key(config, inputs, seed)
    if not stage.uncached:
        found = workspace.find(stage.name, key)
        if found is not None:
            found.verify()
            return found
    for artifacts in inputs.values():
        for artifact in artifacts:
            artifact.verify()
    with holding(workspace.run_path(stage.name, key)) as run:
        found = None if stage.uncached else workspace.find(stage.name, key)
        if found is not None:  # made by the process that held the run before us
            run.discard()
            return found
        try:
            artifact = _make(
                stage, config, inputs, workspace, seed, execution, key, extensions, run
            )
        except BaseException as error:
            if disk_full(error) and not isinstance(error, Retryable):
                raise Retryable(
                    "the disk is full",
                    where=workspace.path,
                    mend="free some space and run again; it goes on from here",
                ) from error
            raise
        run.discard()
        for name in stage.publishes:
            workspace.publish(artifact.file(name))
        return artifact


def _make(
    stage: Stage[C],
    config: C,
    inputs: Mapping[str, Sequence[Artifact]],
    workspace: Workspace,
    seed: int,
    execution: Execution,
    key: str,
    extensions: dict[str, str],
    run: Run,
) -> Artifact:
    from gristmill.data.engine.memory import give_back, use_one_allocator
    from gristmill.stages.stage import PRESENTATION, Inputs, Output

    use_one_allocator()
    earlier_seconds = run.earlier_seconds()
    run.begin_attempt()
    start, cpu_start = time.monotonic(), _cpu_seconds()
    final = workspace.artifact_path(stage.name, key)
    stage_seed = derive_seed(seed, stage.name)
    with sealing(final) as folder, _peak_memory() as peak:
        output = Output(folder, run, stage_seed, execution)
        stage.body(config, Inputs(inputs), output)
        give_back()
        output.write_presentation()
        files = hash_files(folder, frozenset(output.volatile | {PRESENTATION}))
        write_manifest(
            folder,
            Manifest(
                kind=stage.makes(config),
                stage=stage.name,
                stage_version=stage.version,
                code_version=__version__,
                key=key,
                content=_content(stage, inputs, output, files),
                config=config.model_dump(mode="json"),
                extensions=extensions,
                inputs={
                    slot: [_reference(artifact, final) for artifact in artifacts]
                    for slot, artifacts in inputs.items()
                    if artifacts
                },
                seed=stage_seed if stage.seeded else None,
                counts=output.counts,
                files=files,
                created=datetime.now(UTC).isoformat(timespec="milliseconds"),
                seconds=round(earlier_seconds + time.monotonic() - start, 3),
                cpu_seconds=round(_cpu_seconds() - cpu_start, 3),
                peak_memory_bytes=peak(),
                environment=_environment(),
            ),
        )
        if stage.uncached and final.exists():
            _replace(final)
    return Artifact.open(final)


def _content(
    stage: Stage[C],
    inputs: Mapping[str, Sequence[Artifact]],
    output: Output,
    files: dict[str, FileRef],
) -> str:
    own = output.content or content_hash(files)
    if stage.kind != "layer":
        return own
    # A layer is read together with what lies below it, so that is part of its content.
    return hash_json([own, *(artifact.content for artifact in inputs["documents"])])


def _replace(final: Path) -> None:
    import shutil

    shutil.rmtree(final)


def _reference(artifact: Artifact, final: Path) -> InputRef:
    return InputRef(
        stage=artifact.stage,
        kind=artifact.kind,
        key=artifact.manifest.key,
        content=artifact.content,
        path=Path(os.path.relpath(artifact.path.resolve(), final.resolve())).as_posix(),
    )


def _cpu_seconds() -> float:
    """CPU seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _peak_memory:
    """Largest resident memory of this process and its children together, sampled twice a second.

    Inside the block, calling it gives the peak so far, in bytes.
    """

    def __enter__(self) -> Any:
        import threading

        self._stop = threading.Event()
        self._peak = 0
        self._sample()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return lambda: self._peak

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self._sample()

    def _sample(self) -> None:
        import psutil

        process = psutil.Process()
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_info().rss
            except psutil.Error:  # it ended between the listing and the look
                continue
        self._peak = max(self._peak, total)


def _environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in ("torch", "numpy", "pyarrow", "numba"):
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(getattr(module, "__version__", ""))
    return found
