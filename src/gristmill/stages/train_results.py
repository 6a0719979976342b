"""What the report shows of a pre-training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Figure, Samples, Series, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.stages.stage import Output
    from gristmill.train.choices import Measured

_CURVE_POINTS = 200


def present_training(records: list[dict[str, Any]], output: Output) -> None:
    """The loss curve in bits per byte over tokens, and what the model wrote along the way."""
    steps = [r for r in records if r.get("bits_per_byte") is not None]
    size = max(1, -(-len(steps) // _CURVE_POINTS))
    groups = [steps[i : i + size] for i in range(0, len(steps), size)]
    series = [
        Series(
            "training",
            [group[-1]["tokens"] for group in groups],
            [sum(r["bits_per_byte"] for r in group) / len(group) for group in groups],
        )
    ]
    watched = [r for r in records if r.get("heldout.bits_per_byte") is not None]
    if watched:
        x = [r["tokens"] for r in watched]
        series.append(Series("held out", x, [r["heldout.bits_per_byte"] for r in watched]))
        output.figures["train.bits_per_byte.heldout"] = Figure(watched[-1]["heldout.bits_per_byte"])
    output.charts.append(Chart("Loss while training", "tokens", "bits per byte", series))
    rows = [
        {"step": str(r["step"]), "prompt": key.removeprefix("samples."), "text": value}
        for r in records
        for key, value in r.items()
        if key.startswith("samples.")
    ]
    output.samples.append(Samples("What it wrote while it trained", rows))


def present_choices(found: Sequence[Measured], output: Output) -> None:
    """What each choice is worth, and where a step's time goes."""
    from gristmill.train.choices import CHOICES

    rows = [
        [
            "nothing" if one.off == "all" else CHOICES[one.off],
            f"{one.seconds:.3f}",
            f"{one.memory / 2**20:,.0f}",
            f"{one.loss:.3f}",
        ]
        for one in found
    ]
    parts = found[0].parts
    shares = ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in parts.items())
    output.tables.append(
        Table(
            "What each choice is worth",
            ["without", "CPU s a step", "MiB held", "loss"],
            rows,
            note=f"Few steps on the same rows, each choice off by itself. A step's time: {shares}.",
        )
    )
