"""Processor seconds to one loss: our two transformers beside nanoGPT's recipe.

    make bench-train_time_to_loss                            # 5 seeds of each, about 20 minutes
    python benchmarks/train_time_to_loss.py --quick          # to the peer's loss at iteration 500
    python benchmarks/train_time_to_loss.py --nanogpt FOLDER # nanoGPT's own model.py as the peer
    python benchmarks/train_time_to_loss.py --steps          # what each change bought, one by one,
                                                             # on one thread and on two

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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from beside import ROOT, SHARED, Peer, finish, missing
from train_time_to_loss_ours import RECIPES, Recipe

FULL_LOSS = 1.90
PEER_QUICK = ("--stop-at", "500")


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
    ("batches of 24, a higher rate", replace(RECIPES["speedrun"], layers=4, steps=44)),
    ("two layers in place of four", RECIPES["speedrun"]),
]


def main() -> None:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, help="of ours; default 5, with --steps 3")
    parser.add_argument("--peer-seeds", type=int, help="default 5; quick 2, with --steps 1")
    parser.add_argument("--threads", type=int, help="default 1; with --steps 1, then 2")
    parser.add_argument("--text", type=Path, default=SHARED / "text" / "tinyshakespeare.txt")
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--work", type=Path, help="of --steps: keep finished trainings here")
    chosen = parser.parse_args()
    if not chosen.text.is_file():
        missing(f"no {chosen.text.name} in ../shared/data/text", "give it with --text FILE")
    if chosen.steps:
        one_by_one(chosen)
        return
    compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    """Peer and ours in turn, one seed after the other."""
    peer = Peer("train_time_to_loss")
    text, quick, threads = chosen.text, chosen.quick, chosen.threads or 1
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


def one_by_one(chosen: argparse.Namespace) -> None:
    """A table of what each change buys: steps and seconds to about the peer's loss, on each number
    of threads, in turn."""
    peer = Peer("train_time_to_loss")
    text, seeds, peer_seeds = chosen.text, chosen.seeds or 3, chosen.peer_seeds or 1
    counts = [chosen.threads] if chosen.threads else [1, 2]

    def one(name: str, how: Recipe | tuple[str, ...], seed: int, threads: int) -> dict[str, Any]:
        kept = chosen.work and chosen.work / f"{_file_name(name)}-{seed}-{threads}.json"
        if kept and kept.is_file():
            done: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            return done
        if isinstance(how, Recipe):
            done = in_own_process(how, text, seed, threads)
        else:
            done = _peer(peer, text, seed, threads, how, chosen.nanogpt)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.with_suffix(".partial").write_text(json.dumps(done), encoding="utf-8")
            kept.with_suffix(".partial").rename(kept)
        return done

    head = "".join(f" | CPU s wall s  less  less ({n} thr.)" for n in counts)
    print(f"{'less: times less, by CPU, by wall':>66}  steps    loss{head}")
    first: dict[int, dict[str, float]] = {}
    rows: list[dict[str, Any]] = []
    for name, how in ONE_BY_ONE:
        runs: dict[int, list[dict[str, Any]]] = {threads: [] for threads in counts}
        for seed in range(1, (seeds if isinstance(how, Recipe) else peer_seeds) + 1):
            for threads in counts:
                runs[threads].append(one(name, how, seed, threads))
        steps = how.steps if isinstance(how, Recipe) else runs[counts[0]][0]["iterations"]
        row: dict[str, Any] = {"change": name, "steps": steps, "seeds": len(runs[counts[0]])}
        row["loss"] = statistics.mean(run["loss"] for run in runs[counts[0]])
        cells = f"{name:>66} {steps:6,} {row['loss']:7.4f}"
        for threads, each in runs.items():
            found = {k: statistics.median(run[k] for run in each) for k in ("training", "wall")}
            before = first.setdefault(threads, found)
            times = {key: round(before[key] / found[key], 1) for key in found}
            row[f"{threads} threads"] = {**found, "times": times}
            cells += f" | {found['training']:5.1f} {found['wall']:6.1f} {times['training']:5.1f}"
            cells += f" {times['wall']:5.1f}{'':9}"
        print(cells, flush=True)
        rows.append(row)
    finish({"rows": rows, "threads": counts, "seeds": seeds, "peer_seeds": peer_seeds})


def _file_name(words: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in words)


def in_own_process(recipe: Recipe, text: Path, seed: int, threads: int) -> dict[str, Any]:
    """What our side says, from a fresh interpreter."""
    script = ROOT / "benchmarks" / "train_time_to_loss_ours.py"
    arguments = [str(text), json.dumps(recipe.__dict__), "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, script, *arguments, "--threads", str(threads)],
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
