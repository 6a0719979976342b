"""What holds for every test."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
