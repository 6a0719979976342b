"""Our side of `train_time_to_loss.py`: one training through the Trainer of `train lm`.

    train_time_to_loss_ours.py TEXT RECIPE --seed S --threads N

RECIPE: the fields of a `Recipe` as JSON. The last line is JSON: seconds, and the loss over the
held-out tenth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CONTEXT = 64


@dataclass(frozen=True)
class Recipe:
    """One way to train: a shape, optimizers, a schedule. kind: which of our families."""

    kind: str
    steps: int
    batch: int = 12
    layers: int = 4
    width: int = 128
    heads: int = 2
    mlp_width: int = 512
    ngrams: tuple[int, ...] = ()
    ngram_rows: int = 4096
    optimizer: str = "muon"
    matrix_lr: float = 0.04
    embedding_lr: float = 0.1
    head_lr: float = 0.02
    other_lr: float = 0.003
    momentum: float = 0.85
    beta2: float = 0.95
    weight_decay: float = 0.0
    schedule: str = "linear"
    warmup: int = 0
    floor: float = 0.0
    precision: str = "bf16"
    compile: bool = False
    # Switches of the second architecture.
    shape: dict[str, Any] = field(default_factory=dict)


_SPEEDRUN = Recipe(
    "speedrun", 46, batch=24, layers=2, ngrams=(2, 3, 4), matrix_lr=0.09, head_lr=0.012
)
_EXPORTABLE = Recipe(
    "transformer", 98, batch=24, layers=3, mlp_width=320, matrix_lr=0.1, embedding_lr=0.2,
    head_lr=0.012,
)  # fmt: skip
RECIPES = {
    "speedrun": _SPEEDRUN,
    "exportable": _EXPORTABLE,
    # To what the peer has at iteration 500.
    "speedrun-quick": replace(_SPEEDRUN, steps=12),
    "exportable-quick": replace(_EXPORTABLE, steps=30),
}


def main() -> None:
    """One training; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("recipe", type=json.loads)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    recipe = Recipe(**{**given.recipe, "ngrams": tuple(given.recipe["ngrams"])})
    print(json.dumps(train(recipe, given.text, given.seed, given.threads)))


def train(recipe: Recipe, file: Path, seed: int, threads: int) -> dict[str, Any]:
    """One training through the Trainer; seconds, and the loss over the held-out split."""
    import torch

    from gristmill.core.run import Run
    from gristmill.train.objectives import NextToken
    from gristmill.train.optimizers import Optimizer, OptimizerSettings
    from gristmill.train.schedules import Schedule
    from gristmill.train.starting import start_weights
    from gristmill.train.threads import cpu_threads
    from gristmill.train.trainer import Settings, Trainer

    text = file.read_text(encoding="utf-8")
    index = {character: number for number, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([index[character] for character in text])
    border = int(0.9 * len(ids))
    model = build(recipe, len(index))
    start_weights(model, seed)
    optimizer = Optimizer(
        model,
        OptimizerSettings(
            matrix_optimizer=recipe.optimizer,  # type: ignore[arg-type]
            matrix_lr=recipe.matrix_lr,
            embedding_lr=recipe.embedding_lr,
            head_lr=recipe.head_lr,
            other_lr=recipe.other_lr,
            momentum=recipe.momentum,
            momentum_start=recipe.momentum,
            beta2=recipe.beta2,
            weight_decay=recipe.weight_decay,
        ),
    )
    schedule = Schedule(
        recipe.schedule,  # type: ignore[arg-type]
        recipe.steps,
        recipe.warmup,
        floor=recipe.floor,
    )
    with tempfile.TemporaryDirectory() as folder, cpu_threads(threads):
        trainer = Trainer(
            Run(Path(folder)),
            models={"policy": model},
            optimizers={"policy": optimizer},
            source=Windows(ids[:border], recipe.batch, seed),
            objective=NextToken(),
            schedule=schedule,
            settings=Settings(
                seed=seed,
                precision=recipe.precision,  # type: ignore[arg-type]
                compile=recipe.compile,
                checkpoint_seconds=1e9,
            ),
            say=lambda sentence: None,
        )
        began, wall = time.process_time(), time.perf_counter()
        trainer.fit()
        training, wall = time.process_time() - began, time.perf_counter() - wall
        process = time.process_time()
        loss = validation_loss(model, ids[border:])
    return {
        "training": training,
        "process": process,
        "wall": wall,
        "loss": loss,
        "steps": recipe.steps,
        "parameters": model.num_parameters(),
    }


def build(recipe: Recipe, vocab_size: int) -> Any:
    """The recipe's model, not initialised."""
    from gristmill.model.speedrun_config import SpeedrunConfig
    from gristmill.model.transformer import TransformerConfig
    from gristmill.model.weights import new_model

    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "width": recipe.width,
        "layers": recipe.layers,
        "heads": recipe.heads,
        "kv_heads": recipe.heads,
        "head_dim": recipe.width // recipe.heads,
        "mlp_width": recipe.mlp_width,
        "context": CONTEXT,
        "rope_theta": 1024.0,
        "tied": False,
    }
    if recipe.kind == "transformer":
        return new_model(TransformerConfig(**sizes))
    switches: dict[str, Any] = {
        "residual_scalars": False,
        "value_embeddings": 0,
        "ngrams": recipe.ngrams,
        "ngram_rows": recipe.ngram_rows if recipe.ngrams else 0,
    }
    return new_model(SpeedrunConfig(**{**sizes, **switches, **recipe.shape}))


class Windows:
    """A `Source` of random windows of one text."""

    def __init__(self, ids_N: Any, batch: int, seed: int):
        import torch

        self._ids_N, self._batch = ids_N, batch
        self._random = torch.Generator().manual_seed(seed)
        self._span = torch.arange(CONTEXT + 1)

    def next(self, moment: Any) -> Any:
        """`batch` windows and what follows each token."""
        import torch

        from gristmill.train.interfaces import Batch

        # One window from each of `batch` equal stretches: batches differ less than by chance.
        share = torch.rand(self._batch, 1, generator=self._random)
        place = (torch.arange(self._batch)[:, None] + share) / self._batch
        starts = (place * (len(self._ids_N) - CONTEXT)).long()
        both_BT = self._ids_N[starts + self._span]
        tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
        return Batch(tensors, tokens=self._batch * CONTEXT)

    def state(self) -> Any:
        """Where the random numbers are."""
        from gristmill.train.interfaces import State

        return State({}, {"random": self._random.get_state()})

    def restore(self, state: Any) -> None:
        """Goes on from there."""
        self._random.set_state(state.tensors["random"])


def validation_loss(model: Any, ids_N: Any) -> float:
    """Mean over all whole windows of the split, each with nothing before it: as the peer's."""
    import torch

    from gristmill.train.objectives import NextToken

    windows = (len(ids_N) - 1) // CONTEXT
    x = ids_N[: windows * CONTEXT].view(windows, CONTEXT)
    y = ids_N[1 : windows * CONTEXT + 1].view(windows, CONTEXT)
    objective, total = NextToken(), 0.0
    model.eval()
    with torch.no_grad():
        for start in range(0, windows, 128):
            part = slice(start, start + 128)
            tensors = {"tokens_BT": x[part], "targets_BT": y[part]}
            total += float(objective(tensors, {"policy": model}).total)
    return total / (windows * CONTEXT)


if __name__ == "__main__":
    main()
