"""The pictures of `train_loss_per_token.py`: loss over rate, and loss over tokens."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from loss_per_token_runs import Trained
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Arm -> what it is called, its colour.
ARMS = {
    "ours": ("the recipe (Muon)", "#1b7837"),
    "adamw_cosine": ("AdamW, cosine, rates by role", "#e08214"),
    "adamw_one_rate": ("AdamW, cosine, one rate", "#b2182b"),
    "lstm": ("LSTM (Muon)", "#2166ac"),
}


def draw(
    rates: Mapping[str, Mapping[float, float]],
    runs: Mapping[str, Sequence[Trained]],
    folder: Path,
) -> None:
    """`loss-per-token-sweep.svg` and `loss-per-token.svg`. rates: arm -> factor -> loss."""
    figure, axes = _empty("learning rate over the arm's default", "nats a token, one seed")
    for name, found in rates.items():
        label, colour = ARMS[name]
        factors = sorted(found)
        axes.plot(factors, [found[f] for f in factors], "o-", color=colour, label=label, ms=4)
    axes.set_xscale("log")
    ticks = sorted({round(f, 2) for found in rates.values() for f in found})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    _save(figure, axes, folder / "loss-per-token-sweep.svg")

    figure, axes = _empty("tokens trained on, thousands", "held-out windows, nats a token")
    for name in rates:
        label, colour = ARMS[name]
        points = list(zip(*(run.curve for run in runs[name]), strict=True))
        x = [place[0][0] / 1000 for place in points]
        losses = [[loss for _, loss in place] for place in points]
        axes.plot(x, [statistics.mean(p) for p in losses], "o-", color=colour, label=label, ms=3)
        low, high = [min(p) for p in losses], [max(p) for p in losses]
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    _save(figure, axes, folder / "loss-per-token.svg")


def _empty(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, axes: Axes, file: Path) -> None:
    axes.legend(fontsize=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="svg", metadata={"Date": None})
