"""Checkpoints: folders that exist whole or not at all, with a hash of every file.

    checkpoints/step-00000120/
      models/policy.safetensors       float32 weights of each trained model, by parameter name
      optimizers/policy.safetensors   KIND/PARAMETER, such as momentum/model.layers.0...
      source.safetensors              the source's tensors, where it has any
      state.json                      step, tokens, counters, the source's state
      manifest.json                   SHA-256 and size of every other file, and its own seal

Nothing in it depends on how many processes wrote it. safetensors, torch and DCP all load a file
with a flipped bit without a word, so the hashes are checked before anything is believed; an older
checkpoint goes only after a newer one was read back and fits its manifest.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gristmill.core.canonical import hash_file, hash_json, read_json, sync_directory, write_json
from gristmill.core.errors import DamagedArtifact

MANIFEST = "manifest.json"
_STATE = "state.json"
_SOURCE = "source.safetensors"
_LAYOUT = 1
_FOLDER = re.compile(r"step-(\d{8,})")


@dataclass
class Checkpoint:
    """What a run needs to go on: everything by name, nothing by process.

    models, optimizers: role to tensors by name. state: JSON.
    """

    step: int
    models: Mapping[str, Mapping[str, Tensor]]
    optimizers: Mapping[str, Mapping[str, Tensor]]
    source: Mapping[str, Tensor] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


def folder_name(step: int) -> str:
    """`step-00000120`."""
    return f"step-{step:08d}"


def save(root: Path, checkpoint: Checkpoint, keep: int = 2, keep_every: int = 0) -> Path:
    """Writes a checkpoint beside the others, reads it back, and removes all but the last `keep`
    and those of steps that are a multiple of `keep_every` (0: none).

    Raises DamagedArtifact where what lies on the disk is not what was written; nothing is removed
    then. An unfinished folder of a killed process is removed.
    """
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(".step-*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    final = root / folder_name(checkpoint.step)
    temporary = root / f".{final.name}.tmp"
    try:
        _write(temporary, checkpoint)
        if final.exists():  # a damaged one that was passed over when the run went on
            shutil.rmtree(final)
        temporary.rename(final)
        sync_directory(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    verify(final)
    for old in folders(root)[:-keep] if keep > 0 else []:
        if not keep_every or int(old.name[5:]) % keep_every:
            shutil.rmtree(old, ignore_errors=True)
    return final


class Writer:
    """Saves a run's checkpoints, each at once or beside the training.

    background: a thread writes, hashes and reads back a copy of the tensors, which holds as much
    memory again meanwhile; the training waits for it only at the next checkpoint and at the end.
    """

    def __init__(self, root: Path, *, keep: int, keep_every: int = 0, background: bool = False):
        self._root, self._keep, self._keep_every = root, keep, keep_every
        self._background = background
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.last: str | None = None
        """The newest checkpoint that was read back and fits its manifest."""

    def write(self, checkpoint: Checkpoint) -> None:
        """Saves it, or begins to. Raises what `save` raises, of this one or of the one before."""
        self.wait()
        if not self._background:
            self._save(checkpoint)
            return
        self._thread = threading.Thread(target=self._try, args=(_copied(checkpoint),))
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written. Raises what a thread's `save` raised."""
        self.close()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Until nothing is being written, whatever became of it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _try(self, checkpoint: Checkpoint) -> None:
        try:
            self._save(checkpoint)
        except BaseException as error:  # raised again where the training waits
            self._error = error

    def _save(self, checkpoint: Checkpoint) -> None:
        self.last = save(self._root, checkpoint, self._keep, self._keep_every).name


def folders(root: Path) -> list[Path]:
    """The checkpoints in `root`, oldest first, unverified."""
    if not root.is_dir():
        return []
    found = [(int(m[1]), p) for p in root.iterdir() if (m := _FOLDER.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def verify(folder: Path) -> None:
    """Raises DamagedArtifact, naming the file, unless every file has its recorded content."""
    try:
        manifest = read_json(folder / MANIFEST)
        files = manifest["files"]
        if manifest["seal"] != hash_json(_unsealed(manifest)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{MANIFEST} is missing or has changed") from error
    for name, recorded in files.items():
        path = folder / name
        if not path.is_file():
            raise _damaged(folder, f"{name} is missing")
        if path.stat().st_size != recorded["bytes"] or hash_file(path) != recorded["sha256"]:
            raise _damaged(folder, f"{name} does not have the content that was written")


def load(folder: Path) -> Checkpoint:
    """A verified checkpoint, on the CPU. Raises DamagedArtifact."""
    verify(folder)
    state = read_json(folder / _STATE)
    source = folder / _SOURCE
    return Checkpoint(
        step=state["step"],
        models={path.stem: load_file(path) for path in sorted((folder / "models").iterdir())},
        optimizers={
            path.stem: load_file(path) for path in sorted((folder / "optimizers").iterdir())
        },
        source=load_file(source) if source.exists() else {},
        state=state["state"],
    )


def load_latest(root: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, or None; and one sentence for each that does not."""
    said: list[str] = []
    for folder in reversed(folders(root)):
        try:
            return load(folder), said
        except DamagedArtifact as error:
            said.append(f"{error.where}: {error.what}; going back to the one before")
    return None, said


def _write(temporary: Path, checkpoint: Checkpoint) -> None:
    for kind, by_role in (("models", checkpoint.models), ("optimizers", checkpoint.optimizers)):
        (temporary / kind).mkdir(parents=True)
        for role, tensors in by_role.items():
            save_file(_plain(tensors), temporary / kind / f"{role}.safetensors")
    if checkpoint.source:
        save_file(_plain(checkpoint.source), temporary / _SOURCE)
    write_json(temporary / _STATE, {"step": checkpoint.step, "state": checkpoint.state})
    files = {}
    for path in sorted(p for p in temporary.rglob("*") if p.is_file()):
        _sync_file(path)
        name = path.relative_to(temporary).as_posix()
        files[name] = {"sha256": hash_file(path), "bytes": path.stat().st_size}
    manifest: dict[str, Any] = {"layout": _LAYOUT, "step": checkpoint.step, "files": files}
    manifest["seal"] = hash_json(manifest)
    write_json(temporary / MANIFEST, manifest)
    for folder in [*(p for p in temporary.rglob("*") if p.is_dir()), temporary]:
        sync_directory(folder)


def _copied(checkpoint: Checkpoint) -> Checkpoint:
    """The same values in memory that the training does not write to."""

    def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}

    return Checkpoint(
        step=checkpoint.step,
        models={role: copies(tensors) for role, tensors in checkpoint.models.items()},
        optimizers={role: copies(tensors) for role, tensors in checkpoint.optimizers.items()},
        source=copies(checkpoint.source),
        state=copy.deepcopy(checkpoint.state),
    )


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def _unsealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key != "seal"}


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(folder: Path, what: str) -> DamagedArtifact:
    return DamagedArtifact(f"damaged checkpoint: {what}", where=folder)


def model_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """A model's trained parameters and its persistent buffers by name; a shared one once.

    Frozen parameters (the base under an adapter) are not state: they are as they were at the start.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        frozen = isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad
        if id(tensor) not in seen and not frozen:
            seen.add(id(tensor))
            found[name] = tensor
    return found
