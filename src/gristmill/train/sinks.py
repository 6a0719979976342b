"""Where metrics go beside `metrics.jsonl`, where one asks for it: TensorBoard, wandb, trackio.

A sink is fed the records of metrics.jsonl, whole and in order. None is on by default, each needs
its own package, and none leaves this machine by itself: wandb writes its offline folder unless
WANDB_MODE says otherwise, trackio its local database.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from gristmill.core.errors import GristmillError

SinkName = Literal["tensorboard", "wandb", "trackio"]
_PROJECT = "gristmill"


class MetricsSink(Protocol):
    """Reads what a training measures. A run that goes on may repeat steps that it had read."""

    def write(self, record: Mapping[str, Any]) -> None:
        """One record of metrics.jsonl, with its `step`; JSON values, null for not a number."""

    def close(self) -> None:
        """After the last record, however the training ended."""


def open_sinks(names: Sequence[SinkName], folder: Path, run: str) -> list[MetricsSink]:
    """The sinks of those names. folder: where files go; run: what the training is called.

    Raises GristmillError that names the extra where a package is missing, before any is opened.
    """
    modules = {name: _package(name) for name in names}
    made: list[MetricsSink] = []
    for name, module in modules.items():
        if name == "tensorboard":
            made.append(TensorBoardSink(folder / name))
        else:
            made.append(TrackerSink(name, module, folder, run))
    return made


def _package(name: SinkName) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise GristmillError(
            f"metrics for {name}, and its package is not installed ({error})",
            where="sinks",
            mend=f"install gristmill[{name}], or leave it out: metrics.jsonl has the same numbers",
        ) from error


class TensorBoardSink:
    """Event files: every number under its name, texts as texts. Show them with
    `tensorboard --logdir FOLDER`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: Any = None

    def write(self, record: Mapping[str, Any]) -> None:
        """Its numbers and texts at its step."""
        step = int(record["step"])
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # What an earlier attempt wrote of this step and after it is hidden.
            self._writer = SummaryWriter(  # type: ignore[no-untyped-call]
                str(self._folder), purge_step=step
            )
        for name, value in flat(record):
            if isinstance(value, str):
                self._writer.add_text(name, value, step)
            else:
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()


class TrackerSink:
    """wandb and trackio, which has wandb's functions; numbers only."""

    def __init__(self, name: SinkName, module: ModuleType, folder: Path, run: str):
        self._module = module
        if name == "wandb":
            folder.mkdir(parents=True, exist_ok=True)
            mode = os.environ.get("WANDB_MODE", "offline")
            self._run = module.init(
                project=_PROJECT, name=run, id=run, resume="allow", dir=str(folder), mode=mode
            )
        else:
            self._run = module.init(project=_PROJECT, name=run, resume="allow")

    def write(self, record: Mapping[str, Any]) -> None:
        """Its numbers at its step."""
        numbers = {name: value for name, value in flat(record) if not isinstance(value, str)}
        self._module.log(numbers, step=int(record["step"]))

    def close(self) -> None:
        """Ends the run."""
        self._module.finish()


def flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | str]]:
    """A record's numbers and texts by name, `position/samples` for what lies within; without its
    step, and without what is null or a list."""
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            yield name, float(value)
        elif isinstance(value, str):
            yield name, value
