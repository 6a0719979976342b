"""Artifacts: folders with a manifest, that exist whole or not at all.

The key says what an artifact is made from (config values, input contents, stage version); the
content hash says what is in it. They are apart: two keys may give one content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gristmill.core.canonical import hash_file, hash_json, read_json, sync_directory, write_json
from gristmill.core.errors import DamagedArtifact, GristmillError

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
KEY_LETTERS = 12


class InputRef(BaseModel):
    """An input of an artifact: what it was (identity) and where it lay (a hint)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: str
    kind: str
    key: str
    content: str
    # Relative to the artifact's folder, with forward slashes.
    path: str


class FileRef(BaseModel):
    """A file of an artifact; a volatile one (times, speeds) is checked but is not content."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sha256: str
    bytes: int
    volatile: bool = False


class Manifest(BaseModel):
    """What an artifact is, what it came from, and the hash of every file in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = SCHEMA_VERSION
    kind: str
    stage: str
    stage_version: int
    code_version: str
    key: str
    content: str
    config: dict[str, Any]
    extensions: dict[str, str] = {}
    inputs: dict[str, list[InputRef]] = {}
    seed: int | None = None
    counts: dict[str, int] = {}
    files: dict[str, FileRef]
    # What follows varies between runs that make the same content.
    created: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    environment: dict[str, str] = {}
    seal: str = ""

    def sealed(self) -> Manifest:
        """The same with `seal`, the hash of all the rest, so that damage here is found too."""
        return self.model_copy(update={"seal": self._hash()})

    def intact(self) -> bool:
        """Whether the seal fits."""
        return self.seal == self._hash()

    def _hash(self) -> str:
        return hash_json(self.model_dump(mode="json", exclude={"seal"}))


@dataclass(frozen=True)
class Artifact:
    """A sealed folder and its manifest."""

    path: Path
    manifest: Manifest
    node: str = field(default="", compare=False)
    """The node by which it was found in a workspace, `train.ppo@mine`; the artifact itself does not
    know it."""

    @classmethod
    def open(cls, path: Path | str) -> Artifact:
        """Reads the manifest; `verify` checks the files.

        Raises GristmillError where there is no artifact, DamagedArtifact where its manifest is
        not what was sealed.
        """
        path = Path(path)
        if not (path / MANIFEST).is_file():
            raise GristmillError(
                "no artifact here",
                where=path,
                mend="give the folder of one; files become one by import, data import, "
                "align synthesize --files or align rank --files",
            )
        try:
            manifest = Manifest.model_validate(read_json(path / MANIFEST))
        except (ValueError, ValidationError) as error:
            raise _damaged(path, f"{MANIFEST} cannot be read") from error
        if not manifest.intact():
            raise _damaged(path, f"{MANIFEST} has changed since it was sealed")
        return cls(path, manifest)

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def stage(self) -> str:
        return self.manifest.stage

    @property
    def content(self) -> str:
        return self.manifest.content

    @property
    def name(self) -> str:
        """The folder's name: stage and the key's first letters."""
        return artifact_name(self.manifest.stage, self.manifest.key)

    def file(self, name: str) -> Path:
        """The path of a file of the artifact; GristmillError where it has none of that name."""
        path = self.path / name
        if not path.exists():
            raise GristmillError(f"the artifact holds no '{name}'", where=self.path)
        return path

    def read_json(self, name: str) -> Any:
        """The value of a JSON file of the artifact."""
        return read_json(self.file(name))

    def verify(self) -> None:
        """Hashes every file. Raises DamagedArtifact that names the first which differs."""
        for name, recorded in sorted(self.manifest.files.items()):
            path = self.path / name
            if not path.is_file():
                raise _damaged(self.path, f"{name} is missing")
            if path.stat().st_size != recorded.bytes or hash_file(path) != recorded.sha256:
                raise _damaged(self.path, f"{name} does not have the content that was sealed")

    def input(self, name: str) -> Artifact:
        """The artifact that was the (first) input `name`, found where it lay."""
        refs = self.manifest.inputs.get(name)
        if not refs:
            raise GristmillError(f"the artifact has no input '{name}'", where=self.path)
        return self.resolve(refs[0])

    def inputs(self) -> Iterator[tuple[str, Artifact]]:
        """Every input with its name."""
        for name, refs in self.manifest.inputs.items():
            for ref in refs:
                yield name, self.resolve(ref)

    def resolve(self, ref: InputRef) -> Artifact:
        """The artifact behind a reference. Raises GristmillError where it is gone or another."""
        path = Path(os.path.normpath(self.path / ref.path))
        if not (path / MANIFEST).is_file():
            path = self.path.parent / artifact_name(ref.stage, ref.key)
        found = Artifact.open(path)
        if found.content != ref.content:
            raise GristmillError(
                f"the input {ref.stage} of {self.name} is not the one that it was made from",
                where=path,
                mend="run the recipe again",
            )
        return found


def artifact_name(stage: str, key: str) -> str:
    """`data.filter-3fa9c1d2e4b5`."""
    return f"{stage.replace(' ', '.')}-{key[:KEY_LETTERS]}"


def content_hash(files: Mapping[str, FileRef]) -> str:
    """The hash over the names and hashes of all files that are not volatile."""
    return hash_json({name: ref.sha256 for name, ref in files.items() if not ref.volatile})


def hash_files(folder: Path, volatile: frozenset[str]) -> dict[str, FileRef]:
    """Every file below `folder`; `volatile` holds names of files, or of folders with a final /."""
    files: dict[str, FileRef] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == MANIFEST:
            continue
        moving = any(name == v or (v.endswith("/") and name.startswith(v)) for v in volatile)
        files[name] = FileRef(sha256=hash_file(path), bytes=path.stat().st_size, volatile=moving)
    return files


@contextmanager
def sealing(final: Path) -> Iterator[Path]:
    """A temporary sibling of `final` to write into; synced and renamed at the end of the block.

    On any error the temporary folder is removed and `final` does not exist.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.parent / f".{final.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                _sync_file(path)
        for path in [*temporary.rglob("*"), temporary]:
            if path.is_dir():
                sync_directory(path)
        temporary.rename(final)
        sync_directory(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Seals the manifest and writes it into `folder`."""
    sealed = manifest.sealed()
    write_json(folder / MANIFEST, sealed.model_dump(mode="json"))
    return sealed


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path, what: str) -> DamagedArtifact:
    return DamagedArtifact(
        f"damaged artifact: {what}",
        where=path,
        mend="delete that folder and run again; only it is made anew",
    )
