"""What a comparison of methods shows: seeds joined, a table, pictures, and plain sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from gristmill.align.comparison import DRAWN_AGAIN, Measured
from gristmill.align.intervals import direction
from gristmill.core.figure import Chart, Figure, Series, Table, t_mean

# Heading in the table by figure; those that no row has are left out.
_COLUMNS = {
    "gold": "gold reward",
    "proxy": "reward model",
    "kl": "KL",
    "win_rate": "win rate",
    "ended": "ended",
    "length": "tokens",
    "letters": "letters",
    "entropy": "nats per token",
    "distinct": "pairs that differ",
    "distinct_bigrams": "distinct 2-grams",
    "bits_per_byte": "bits per byte",
    "train_cpu_seconds": "CPU s, training",
    "answer_cpu_seconds": "CPU s per answer",
    "models_training": "models in training",
    "models_answering": "models answering",
}
_NOTE = (
    "Fresh samples on held-out questions. KL to SFT in nats per answer: measured for policies, "
    "log n - (n - 1) / n for best of n. Win rate against SFT by the gold rule in both orders, ties "
    "a half. Intervals are over seeds where there are several, else over questions."
)
_AGAIN = (
    " Gains and wins are against the answers measured as {name}, so that a gain is a difference of "
    "two figures here. Drawn again: the same model's second answers to the same questions; what "
    "these gain or lose is the chance of drawing."
)


def join_seeds(measured: Sequence[Measured]) -> list[Measured]:
    """One entry for each method and strength, in the order in which they first stand.

    With several seeds the figures are means over them with Student's t; with one they stay.
    """
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.name, one.strength), []).append(one)
    joined = []
    for (name, strength), members in groups.items():
        if len(members) == 1:
            joined.append(members[0])
            continue
        # An analytic figure is the same for every seed, and no interval belongs to it.
        figures = {
            key: member_figures[0]
            if all(figure == member_figures[0] for figure in member_figures)
            else t_mean([figure.value for figure in member_figures])
            for key in members[0].figures
            if (member_figures := [m.figures[key] for m in members if key in m.figures])
        }
        joined.append(Measured(name, strength, sum(m.seeds for m in members), figures))
    return joined


def comparison_figures(joined: Sequence[Measured]) -> dict[str, Figure]:
    """`alignment.METHOD.gold` and so on; `alignment.METHOD.STRENGTH.gold` where a method has
    several strengths, and `alignment.sft.drawn_again.gold` beside `alignment.sft.gold`."""
    strengths: dict[str, int] = {}
    for one in joined:
        strengths[one.name] = strengths.get(one.name, 0) + (one.strength != DRAWN_AGAIN)
    figures = {}
    for one in joined:
        prefix = f"alignment.{_slug(one.name)}"
        if strengths[one.name] > 1 or one.strength == DRAWN_AGAIN:
            prefix += f".{_slug(one.strength)}"
        figures.update({f"{prefix}.{key}": figure for key, figure in one.figures.items()})
    return figures


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", label.lower()).strip("_.") or "default"


def comparison_table(joined: Sequence[Measured]) -> Table:
    """One row for each method and strength."""
    columns = {k: v for k, v in _COLUMNS.items() if any(k in one.figures for one in joined)}
    rows = [
        [one.name, one.strength, one.seeds, *(_cell(one.figures.get(key)) for key in columns)]
        for one in joined
    ]
    return Table(
        "Methods of alignment side by side",
        ["method", "strength", "seeds", *columns.values()],
        rows,
        note=_NOTE
        + "".join(_AGAIN.format(name=one.name) for one in joined if one.strength == DRAWN_AGAIN),
    )


def _cell(figure: Figure | None) -> Figure | str:
    return "" if figure is None or math.isnan(figure.value) else figure


def reward_chart(joined: Sequence[Measured]) -> Chart:
    """Gold reward, and below it the reward model, over the root of KL: one x axis for both.

    Reward against the root of KL is how over-optimisation is drawn (Gao et al. 2023): the proxy
    goes on rising where the gold falls. What was drawn again is left out.
    """
    joined = [one for one in joined if one.strength != DRAWN_AGAIN]
    series = []
    for key, panel in (("gold", "gold reward"), ("proxy", "reward model")):
        for name in dict.fromkeys(one.name for one in joined):
            members = [one for one in joined if one.name == name and key in one.figures]
            members.sort(key=_root_kl)
            if not members:
                continue
            low, high = _bounds([one.figures[key] for one in members])
            series.append(
                Series(
                    name,
                    [_root_kl(one) for one in members],
                    [one.figures[key].value for one in members],
                    low,
                    high,
                    labels=[one.strength for one in members],
                    panel=panel,
                )
            )
    return Chart(
        "Gold reward and reward model against KL to SFT", "√KL to SFT (√nats per answer)", "reward",
        series, style="points",
    )  # fmt: skip


def _root_kl(one: Measured) -> float:
    # The estimate may be a little below 0 where nothing moved.
    return math.sqrt(max(0.0, one.figures["kl"].value)) if "kl" in one.figures else 0.0


def win_chart(joined: Sequence[Measured]) -> Chart:
    """Bars of the win rate against SFT."""
    members = [one for one in joined if "win_rate" in one.figures]
    figures = [one.figures["win_rate"] for one in members]
    low, high = _bounds(figures)
    series = Series(
        "win rate", list(range(len(members))), [f.value for f in figures], low, high
    )  # fmt: skip
    return Chart(
        "Win rate against SFT (0.5 is even)", "method", "share of questions won", [series],
        style="bar", categories=[one.label for one in members],
    )  # fmt: skip


def _bounds(figures: Sequence[Figure]) -> tuple[list[float], list[float]]:
    low = [f.value if f.low is None else f.low for f in figures]
    high = [f.value if f.high is None else f.high for f in figures]
    return low, high


def plain_words(joined: Sequence[Measured], baseline: str = "sft") -> list[str]:
    """For each method what rose, what fell, and what did not measurably change."""
    sentences = []
    for one in joined:
        if one.name != baseline:
            sentences.append(" ".join(_sentences(one)))
    return [sentence for sentence in sentences if sentence]


def _sentences(one: Measured) -> list[str]:
    figures, sentences = one.figures, []
    changes = (
        ("gold_gain", "the gold reward", 0.0),
        ("proxy_gain", "the reward model's score", 0.0),
        ("win_rate", "the win rate against SFT", 0.5),
    )
    rose: list[str] = []
    fell: list[str] = []
    unclear: list[str] = []
    for key, what, even in changes:
        if key not in figures or math.isnan(figures[key].value):
            continue
        figure = figures[key]
        place = {1: rose, -1: fell, 0: unclear}[direction(figure, even)]
        place.append(f"{what} ({figure})")
    parts = []
    for verb, found in (("better", rose), ("worse", fell)):
        if found:
            parts.append(f"{verb} in {' and '.join(found)}")
    if unclear:
        parts.append(f"no measurable change in {' and '.join(unclear)}: the interval includes none")
    if parts:
        sentences.append(f"{one.label} against SFT: {'; '.join(parts)}.")
    if "proxy_gain" in figures and "gold_gain" in figures:
        up = direction(figures["proxy_gain"], 0) > 0
        if up and direction(figures["gold_gain"], 0) < 0:
            sentences.append(
                "The reward model is fooled: its score rose while the gold reward fell."
            )
        elif up and direction(figures["gold_gain"], 0) == 0:
            sentences.append("What the reward model gained is not seen in the gold reward.")
    sentences += _price(figures)
    return sentences


def _price(figures: Mapping[str, Figure]) -> list[str]:
    change = figures.get("bits_per_byte_change")
    if change is None or direction(change, 0) <= 0:
        return []
    return [f"It pays in bits per byte of held-out text: {change} more than SFT."]
