"""Processor seconds to one loss: our two transformers beside nanoGPT's recipe.

    make bench-train_time_to_loss                            # 5 seeds of each, about 20 minutes
    python benchmarks/train_time_to_loss.py --quick          # to the peer's loss at iteration 500
    python benchmarks/train_time_to_loss.py --nanogpt FOLDER # nanoGPT's own model.py as the peer
    python benchmarks/train_time_to_loss.py --steps          # what each change bought, one by one

The task is nanoGPT's for a processor: character-level Shakespeare, contexts of 64 characters, the
last tenth of the text held out, no dropout; its recipe ends after 2,000 iterations at a loss of
about 1.90. The peer is that recipe with transformers' GPT-2 and AdamW (or nanoGPT's own model).
Ours train to the same loss over the same windows of the whole held-out split, through the Trainer
of `train lm`: a source of random windows, `NextToken`, a `Schedule`. Every training is a process
of its own with one thread (--threads), peers and ours in turn. Our recipes are tuned for this text
and this number of steps, as the peer's is for its own; of the peer's shape only the context is
kept. Needs tiny Shakespeare in ../shared/data/text, or --text FILE.

The last line is JSON: `ratio` is the peer's processor seconds of training over those of the second
architecture, `ratio_exportable` over those of the exportable one, `ratio_process` the same of whole
processes, from the start of Python to the end of the training, with the second architecture. A
ratio is only worth something where `reached` is true: the mean loss over seeds is at most the
peer's (in the full run: at most 1.90 or the peer's, whichever is lower).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from beside import ROOT, SHARED, Peer, finish, missing

CONTEXT = 64
FULL_LOSS = 1.90
PEER_QUICK = ("--stop-at", "500")


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

# Each row keeps what those before it changed. Steps are such that the loss is near 1.90, which is
# printed beside them: the first three rows' rates were tuned little.
_PEER_BETTER = (
    "--iterations", "1300", "--peak", "4e-3", "--floor", "0", "--linear", "--bf16",
    "--warmup", "40",
)  # fmt: skip
_ADAMW = Recipe("speedrun", 500, optimizer="adamw", matrix_lr=4e-3, embedding_lr=0.02, head_lr=4e-3)
_MUON = Recipe("speedrun", 160, matrix_lr=0.06, head_lr=0.012)
ONE_BY_ONE: list[tuple[str, Recipe | tuple[str, ...]]] = [
    ("the peer", ()),
    ("its model and optimizer, a higher rate that falls linearly, bf16", _PEER_BETTER),
    ("RMSNorm, RoPE, QK-norm, ReLU^2, outputs from 0, an untied head", _ADAMW),
    ("Muon", _MUON),
    ("hashed 2- and 3-grams", replace(_MUON, steps=105, ngrams=(2, 3))),
    ("hashed 4-grams", replace(_MUON, steps=80, ngrams=(2, 3, 4))),
    ("batches of 24, a higher rate", replace(_SPEEDRUN, layers=4, steps=44)),
    ("two layers in place of four", _SPEEDRUN),
]


def main() -> None:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, help="of ours; default 5")
    parser.add_argument("--peer-seeds", type=int, help="default 5; in the quick run 2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--text", type=Path, default=SHARED / "text" / "tinyshakespeare.txt")
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--recipe", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not chosen.text.is_file():
        missing(f"no {chosen.text.name} in ../shared/data/text", "give it with --text FILE")
    if chosen.recipe:
        values = json.loads(chosen.recipe)
        values["ngrams"] = tuple(values["ngrams"])
        print(json.dumps(train(Recipe(**values), chosen.text, chosen.seed, chosen.threads)))
        return
    if chosen.steps:
        one_by_one(chosen.text, chosen.seeds or 3, chosen.threads, chosen.nanogpt)
        return
    compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    """Peer and ours in turn, one seed after the other."""
    peer = Peer("train_time_to_loss")
    text, quick, threads = chosen.text, chosen.quick, chosen.threads
    seeds = chosen.seeds or 5
    peer_seeds = chosen.peer_seeds or (2 if quick else 5)
    end, how = ("-quick", PEER_QUICK) if quick else ("", ())
    found: dict[str, list[dict[str, Any]]] = {"peer": [], "speedrun": [], "exportable": []}
    for seed in range(1, max(seeds, peer_seeds) + 1):
        if seed <= peer_seeds:
            found["peer"].append(_peer(peer, text, seed, threads, how, chosen.nanogpt))
        if seed <= seeds:
            for name in ("speedrun", "exportable"):
                found[name].append(in_own_process(RECIPES[name + end], text, seed, threads))
        print(f"seed {seed}: " + ", ".join(_said(n, v[-1]) for n, v in found.items()), flush=True)
    losses = {name: statistics.mean(one["loss"] for one in each) for name, each in found.items()}
    target = losses["peer"] if quick else min(FULL_LOSS, losses["peer"])
    seconds = {
        key: {n: statistics.median(one[key] for one in each) for n, each in found.items()}
        for key in ("training", "process", "wall")
    }
    training, process, wall = seconds["training"], seconds["process"], seconds["wall"]
    print(f"\n{'':>12} {'loss':>7} {'spread':>7} {'CPU s':>7} {'process':>8} {'wall s':>7}")
    for name, each in found.items():
        spread = max(one["loss"] for one in each) - min(one["loss"] for one in each)
        print(
            f"{name:>12} {losses[name]:7.4f} {spread:7.4f} {training[name]:7.2f} "
            f"{process[name]:8.2f} {wall[name]:7.2f}"
        )
    finish(
        {
            "ratio": round(training["peer"] / training["speedrun"], 2),
            "ratio_exportable": round(training["peer"] / training["exportable"], 2),
            "ratio_process": round(process["peer"] / process["speedrun"], 2),
            "ratio_process_exportable": round(process["peer"] / process["exportable"], 2),
            "ratio_wall": round(wall["peer"] / wall["speedrun"], 2),
            "reached": losses["speedrun"] <= target and losses["exportable"] <= target,
            "target": round(target, 4),
            "loss": {name: round(value, 4) for name, value in losses.items()},
            "training_seconds": {name: round(value, 2) for name, value in training.items()},
            "process_seconds": {name: round(value, 2) for name, value in process.items()},
            "parameters": {name: each[0]["parameters"] for name, each in found.items()},
            "threads": threads,
            "seeds": seeds,
            "peer_seeds": peer_seeds,
            "peer": "nanoGPT" if chosen.nanogpt else peer.versions("torch", "transformers"),
        }
    )


def one_by_one(text: Path, seeds: int, threads: int, nanogpt: Path | None) -> None:
    """A table of what each change buys: steps and seconds to about the peer's loss."""
    peer = Peer("train_time_to_loss")
    print(f"{'':>66} {'steps':>6} {'loss':>7} {'CPU s':>7} {'wall s':>7} {'times less':>10}")
    first: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for name, how in ONE_BY_ONE:
        runs = [
            in_own_process(how, text, seed, threads)
            if isinstance(how, Recipe)
            else _peer(peer, text, seed, threads, how, nanogpt)
            for seed in range(1, seeds + 1)
        ]
        found = {k: statistics.mean(one[k] for one in runs) for k in ("loss", "training", "wall")}
        first = first or found
        count = how.steps if isinstance(how, Recipe) else runs[0]["iterations"]
        times = {k: round(first[k] / found[k], 1) for k in ("training", "wall")}
        print(
            f"{name:>66} {count:6,} {found['loss']:7.4f} {found['training']:7.2f} "
            f"{found['wall']:7.2f} {times['training']:10.1f}",
            flush=True,
        )
        rows.append({"change": name, "steps": count, **found, "times": times})
    finish({"rows": rows, "threads": threads, "seeds": seeds})


def in_own_process(recipe: Recipe, text: Path, seed: int, threads: int) -> dict[str, Any]:
    """What `train` says, from a fresh interpreter."""
    values = json.dumps(recipe.__dict__)
    arguments = ["--recipe", values, "--seed", str(seed), "--threads", str(threads)]
    done = subprocess.run(
        [sys.executable, __file__, "--text", str(text), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=_environment(threads),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


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


def _peer(
    peer: Peer,
    text: Path,
    seed: int,
    threads: int,
    how: Sequence[str],
    nanogpt: Path | None,
) -> dict[str, Any]:
    more = [*how, *(["--nanogpt", str(nanogpt.resolve())] if nanogpt else [])]
    return peer.run(
        ROOT / "benchmarks" / "peers" / "train_time_to_loss_peer.py",
        text, "--seed", str(seed), "--threads", str(threads), *more,
        timeout=3600,
        environment=_environment(threads),
    )  # fmt: skip


def _environment(threads: int) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "GRISTMILL_PROGRESS": "off",
    }


def _said(name: str, one: dict[str, Any]) -> str:
    return f"{name} {one['loss']:.3f} in {one['training']:.1f} CPU s"


if __name__ == "__main__":
    main()
