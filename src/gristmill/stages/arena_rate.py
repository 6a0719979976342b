"""`arena rate`: ratings from battles, by Bradley-Terry and by Elo."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.evaluate.arena import Battle, OnlineElo
    from gristmill.evaluate.ratings import Rating, Ratings

RATINGS = "ratings.json"
_MATRIX = 12
_SAID = {
    "above": "unbounded: it never lost to the rated models",
    "below": "unbounded: it never won against the rated models",
    "apart": "not rated: no battles lead from it to the rated models both ways",
}


class ArenaRateConfig(StageConfig):
    """How battles become ratings."""

    ties: Literal["half", "davidson"] = "half"
    """half: half a win for each; davidson: an outcome of its own (Davidson 1970)."""
    prior: float = Field(0.0, ge=0)
    """Virtual games of each model against one of mean strength, half of them won. 0: none, and a
    model that never lost is unbounded."""
    intervals: Literal["sandwich", "bootstrap"] = "sandwich"
    resamples: int = Field(200, ge=10)
    """Draws of the bootstrap."""
    scale: Literal["elo", "natural"] = "elo"
    """elo: 400 for odds of ten to one, mean 1000; natural: logarithms of odds, mean 0."""
    k: float = Field(4.0, gt=0)
    """Step of the online Elo ratings."""
    orders: int = Field(100, ge=0)
    """Random orders of the battles for online Elo; 0 for none."""
    judges: tuple[str, ...] = ()
    """Only battles that these judged, such as person; all where empty."""


@stage(
    "arena rate",
    version=2,
    kind="ratings",
    config=ArenaRateConfig,
    inputs={"battles": Slot("battles", "judgement", help="of arena import, or evaluate judge")},
    summary="rate models from battles",
    example="gristmill arena rate --workspace runs/demo --ties davidson",
    seeded=True,
)
def arena_rate(config: ArenaRateConfig, inputs: Inputs, output: Output) -> None:
    """ratings.json. Figures `arena.rating.NAME`, `arena.battles` and `arena.first_share`
    (of people's decided votes those for the answer shown first)."""
    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.arena import first_share, online_elo, read_battles, tell_apart
    from gristmill.evaluate.ratings import rate
    from gristmill.evaluate.tally import tally

    file = inputs["battles"].file("battles.jsonl")
    battles, rejects = read_battles(file)
    output.counts["rejected"] = output.reject("battles", rejects)
    judges = sorted({battle.judge for battle in battles})
    if config.judges:
        battles = [battle for battle in battles if battle.judge in config.judges]
    if not battles:
        raise GristmillError(
            f"no battles by {', '.join(config.judges)}" if judges else "no battles to rate",
            where=file,
            mend=f"their judges are {', '.join(judges)}" if judges else "vote on some first",
        )
    battles, renamed = tell_apart(battles)
    rated = rate(
        tally(battles),
        ties=config.ties,
        prior=config.prior,
        intervals=config.intervals,
        resamples=config.resamples,
        elo=config.scale == "elo",
        seed=output.seed,
    )
    online = online_elo(battles, k=config.k, orders=config.orders, seed=output.seed)
    output.counts.update(battles=len(battles), models=len(rated.ratings))
    for one in rated.ratings:
        if one.bound == "":
            output.figures[f"arena.rating.{one.model}"] = one.rating
    output.figures["arena.battles"] = Figure(float(len(battles)))
    # People see each battle once, on sides drawn at random; other judges saw both orders.
    people = [battle for battle in battles if battle.judge == "person"]
    if people:
        output.figures["arena.first_share"] = first_share(people)
    if not math.isnan(rated.tie):
        output.figures["arena.tie"] = Figure(rated.tie)
    output.notes.append(_which(battles, inputs["battles"].stage))
    said = _caveats(rated, config, list(config.judges) or judges)
    said += [
        "No interval: too few battles to tell one."
        for one in rated.ratings[:1]
        if any(r.bound == "" and r.rating.low is None for r in rated.ratings)
    ]
    said += [
        f"{name} is the name of several trainings, which are rated apart, by the first letters of "
        f"their content: {', '.join(apart)}"
        + (" (the bare name: where it is not known)." if name in apart else ".")
        for name, apart in renamed.items()
    ]
    output.tables += [_table(rated, online, config, said), _matrix(rated)]
    output.charts.append(_chart(rated, config.scale))
    write_json(
        output.path / RATINGS,
        {
            "scale": config.scale,
            "ties": config.ties,
            "prior": config.prior,
            "groups": rated.groups,
            "models": [_entry(one, online) for one in rated.ratings],
        },
    )


def _which(battles: Sequence[Battle], stage: str) -> str:
    """Which battles are rated, in words: with no votes it may be the judge's."""
    judged = Counter(battle.judge for battle in battles)
    votes = judged.pop("person", 0)
    parts = [f"{votes:,} votes of people"] if votes else []
    parts += [f"{count:,} battles judged by {judge}" for judge, count in sorted(judged.items())]
    said = f"Rated: {' and '.join(parts)} ({stage.replace('.', ' ')})."
    if votes:
        return said
    return f"{said} No vote of a person is among them: arena import takes those of the arena page."


def _table(rated: Ratings, online: OnlineElo, config: ArenaRateConfig, caveats: list[str]) -> Table:
    rows: list[list[Any]] = []
    for place, one in enumerate(rated.ratings, start=1):
        ranks = f"{one.best_rank}-{one.worst_rank}" if one.best_rank else ""
        rating: Any = one.rating if one.bound == "" else f"{one.bound} the rest"
        if one.bound == "apart":
            rating, place = "apart", ""  # type: ignore[assignment]
        elo = online.over_orders.get(one.model, Figure(online.as_they_came[one.model]))
        share = one.wins / one.battles if one.battles else math.nan
        rows.append([place, one.model, rating, ranks, one.battles, round(share, 4), elo])
    prior = f"prior: {rated.prior:g} virtual games each" if rated.prior else "no prior"
    mean = "mean 1000, 400 is odds of ten to one" if config.scale == "elo" else "mean 0, log odds"
    ties = "half wins" if config.ties == "half" else "an outcome of their own (Davidson)"
    how = "sandwich" if config.intervals == "sandwich" else "bootstrap over battles"
    return Table(
        "Ratings",
        ["", "model", "Bradley-Terry", "ranks", "battles", "won", "online Elo"],
        rows,
        note=f"{mean}; 95% by {how}; ties are {ties}; {prior}. Ranks: those that the intervals "
        f"leave open. Online Elo: K {config.k:g}, the mean over {config.orders} orders of the "
        "battles and the middle 95% of them." + "".join(f" {one}" for one in caveats),
    )


def _matrix(rated: Ratings) -> Table:
    """P(row beats column), half of the ties in it, of the best models."""
    from gristmill.evaluate.ratings import win_probability

    names = [one.model for one in rated.ratings if one.bound == ""][:_MATRIX]
    rows = [
        [
            row,
            *("" if row == name else round(win_probability(rated, row, name), 3) for name in names),
        ]
        for row in names
    ]
    return Table(
        "Predicted win rates",
        ["", *names],
        rows,
        note="Of the row against the column, by the fitted ratings; half of the ties are in it.",
    )


def _chart(rated: Ratings, scale: str) -> Chart:
    shown: list[Rating] = [one for one in rated.ratings if one.bound == ""][::-1]
    figures = [one.rating for one in shown]
    return Chart(
        "Ratings with 95% intervals",
        "place from the last",
        "rating" if scale == "elo" else "log odds",
        [
            Series(
                "Bradley-Terry",
                [float(place) for place in range(1, len(shown) + 1)],
                [figure.value for figure in figures],
                [figure.value if figure.low is None else figure.low for figure in figures],
                [figure.value if figure.high is None else figure.high for figure in figures],
                [one.model for one in shown],
                mark="dots",
            )
        ],
        style="points",
    )


def _caveats(rated: Ratings, config: ArenaRateConfig, judges: list[str]) -> list[str]:
    notes = []
    if len(rated.groups) > 1:
        listed = "; ".join(", ".join(group) for group in rated.groups)
        notes.append(
            f"The battles fall into {len(rated.groups)} groups that never met: {listed}. "
            + (
                "Only the prior compares them."
                if config.prior
                else "Ratings of different groups cannot be compared."
            )
        )
    for one in rated.ratings:
        if one.bound:
            notes.append(f"{one.model} is {_SAID[one.bound]}.")
    if sum(one.bound == "" for one in rated.ratings) < 2:
        notes.append(
            "No two models have each won against the other, directly or over others: there is "
            "nothing to rate yet. More battles, or a prior, would give ratings."
        )
    if len(judges) > 1:
        notes.append(f"Battles of several judges are mixed: {', '.join(judges)}.")
    return notes


def _entry(one: Rating, online: OnlineElo) -> dict[str, Any]:
    over = online.over_orders.get(one.model)
    return {
        "model": one.model,
        "rating": one.rating.to_json() if one.bound == "" else None,
        "bound": one.bound,
        "ranks": [one.best_rank, one.worst_rank] if one.best_rank else None,
        "battles": one.battles,
        "wins": one.wins,
        "online_elo": over.to_json() if over is not None else online.as_they_came[one.model],
    }
