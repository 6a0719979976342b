"""What of a training survives a kill: its checkpoints, written and found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.core.run import Run
from gristmill.train import checkpoints
from gristmill.train.interfaces import Source, State
from gristmill.train.optimizers import Optimizer
from gristmill.train.settings import Settings

CHECKPOINTS = "checkpoints"


@dataclass
class Progress:
    """What a checkpoint's state.json holds of the loop itself."""

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    bad_in_a_row: int = 0
    recent: list[float] = field(default_factory=list)


class Keeper:
    """The checkpoints of one run: models, optimizers, source and progress, all or nothing."""

    def __init__(
        self,
        run: Run,
        models: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        settings: Settings,
    ):
        self._run, self._models, self._optimizers = run, models, optimizers
        self._seed = settings.seed
        self._writer = checkpoints.Writer(
            run.path / CHECKPOINTS,
            keep=settings.keep,
            keep_every=settings.keep_every,
            background=settings.background,
        )

    def save(self, at: Progress, source: State, more: Mapping[str, Any]) -> None:
        """Writes a checkpoint, or begins to. more: of the state, JSON."""
        state = asdict(at)
        del state["step"]
        self._writer.write(
            checkpoints.Checkpoint(
                step=at.step,
                models={r: checkpoints.model_tensors(self._models[r]) for r in self._optimizers},
                optimizers={r: o.tensors() for r, o in self._optimizers.items()},
                source=source.tensors,
                state={**state, "seed": self._seed, "source": source.json, **more},
            )
        )

    def resume(self, source: Source, say: Callable[[str], None]) -> tuple[Progress, dict[str, Any]]:
        """Puts the newest whole checkpoint into models, optimizers and source; the progress that
        it was at and all of its state. Without one: the beginning, and no state."""
        found, said = checkpoints.load_latest(self._run.path / CHECKPOINTS)
        for sentence in said:
            say(sentence)
        if found is None:
            if said:
                say("no checkpoint is whole: training starts from the beginning")
            return Progress(), {}
        if set(found.models) != set(self._optimizers):
            raise GristmillError(
                f"the checkpoint trains {sorted(found.models)}, not {sorted(self._optimizers)}",
                where=self._run.path,
                mend="start a new run",
            )
        for role, optimizer in self._optimizers.items():
            _load_model(self._models[role], found.models[role], role)
            optimizer.load(found.optimizers[role])
        state = found.state
        source.restore(State(state["source"], found.source))
        self._writer.last = checkpoints.folder_name(found.step)
        at = Progress(
            step=found.step,
            tokens=state["tokens"],
            skipped=state["skipped"],
            bad_in_a_row=state["bad_in_a_row"],
            recent=state["recent"],
        )
        return at, state

    def wait(self) -> None:
        """Until nothing is being written; raises what went wrong."""
        self._writer.wait()

    def close(self) -> None:
        """Until nothing is being written, whatever became of it."""
        self._writer.close()

    def not_finite(self, at: Progress, loss: float) -> GristmillError:
        """The error of a loss that stays not finite; it names the last good checkpoint."""
        self.wait()
        good = self._writer.last
        where = self._run.path / CHECKPOINTS / good if good else self._run.path
        kept = f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"
        return GristmillError(
            f"loss or gradient was not finite {at.bad_in_a_row} steps in a row, up to step "
            f"{at.step} (loss {loss}); {kept}",
            where=where,
            mend="lower the learning rates or look at the data of these steps, and start a new run",
        )


@torch.no_grad()
def _load_model(model: nn.Module, tensors: Mapping[str, Tensor], role: str) -> None:
    own = checkpoints.model_tensors(model)
    if set(own) != set(tensors) or any(own[n].shape != tensors[n].shape for n in own):
        raise GristmillError(
            f"the checkpoint's {role} has other tensors than this model",
            mend="resume with the model that the run began with",
        )
    for name, tensor in own.items():
        tensor.copy_(tensors[name])
