"""What the report shows of a pre-training."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Figure, Samples, Series, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.stages.stage import Output
    from gristmill.train.choices import Measured

_CURVE_POINTS = 200
_SAMPLES = "samples."


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
    watched_too = (("lr", "rate over its peak"), ("grad_norm", "norm of the gradient"))
    more = [
        Series(
            label,
            [group[-1]["tokens"] for group in groups],
            [statistics.fmean(r[key] for r in group if r[key] is not None) for group in groups],
            panel=label,
        )
        for key, label in (*watched_too, ("tokens_per_second", "tokens a second"))
        if groups and all(any(r.get(key) is not None for r in group) for group in groups)
    ]
    if more:
        output.charts.append(Chart("What else was watched", "tokens", "", more))
    rows = [
        {"step": str(r["step"]), "prompt": key.removeprefix(_SAMPLES), "text": value}
        for r in _apart([r for r in records if any(key.startswith(_SAMPLES) for key in r)])
        for key, value in r.items()
        if key.startswith(_SAMPLES)
    ]
    output.samples.append(Samples("What it wrote while it trained", rows))


def _apart(written: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was written, in the order of steps, without the last but one where training ended just
    after it: less than a tenth of the interval later the model writes nearly the same."""
    if len(written) < 2:
        return list(written)
    earlier, late, last = [0, *(r["step"] for r in written)][-3:]
    close = 10 * (last - late) < late - earlier
    return [*written[:-2], written[-1]] if close else list(written)


def present_choices(found: Sequence[Measured], tokens: int, gpu: bool, output: Output) -> None:
    """What each choice is worth, and where a step's time goes. tokens: in a step."""
    from gristmill.train.choices import CHOICES

    first = found[0]
    rows = [
        [
            CHOICES[one.off],
            f"{one.seconds:.4f}",
            *([] if gpu else [f"{one.cpu:.4f}"]),
            "" if one is first else f"{one.seconds / first.seconds:.2f}",
            f"{tokens / one.seconds:,.0f}",
            f"{one.memory / 2**20:,.0f}",
            f"{one.loss:.4f}",
            "" if one is first else f"{one.loss - first.loss:+.4f}",
        ]
        for one in found
    ]
    seconds = ["s a step"] if gpu else ["s a step", "CPU s"]
    parts = first.parts
    shares = ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in parts.items())
    output.tables.append(
        Table(
            "What each choice is worth",
            ["", *seconds, "times", "tokens/s", "MiB held", "loss", "more"],
            rows,
            note="A few steps on the training's first rows, each choice taken back by itself; "
            f"loss: of the last of them. A step's time: {shares}.",
        )
    )
