"""How good a reward model is: accuracy, calibration, and whether it only counts tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gristmill.align.pair_rows import SIDES, Pair, share_of
from gristmill.align.reward import RewardModel, judged
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Series, Table, proportion
from gristmill.core.progress import Progress

_BINS = 10
_RESAMPLES = 1000


@dataclass(frozen=True)
class RewardEvaluation:
    """Figures by their names below `reward.`, with the table and the chart of the report."""

    figures: dict[str, Figure]
    table: Table
    reliability: Chart


def evaluate_reward(
    reward: RewardModel, pairs: Sequence[Pair], *, progress: Progress | None = None
) -> RewardEvaluation:
    """Judges held-out pairs; those without a baseline are left out with the form `direct`.

    accuracy: bootstrapped over prompts. ece: expected calibration error (Guo et al. 2017, equation
    3) of sigmoid(|margin|), the model's confidence in the answer that it prefers, bootstrapped
    over pairs. accuracy.longer, .shorter, .same: where the better answer has more, fewer or as many
    tokens; a gap between the first two is length bias. spread: deviation of the raw scores.
    Raises GristmillError where there is nothing to judge.
    """
    if reward.form == "direct":
        one = judged(pairs)
        raw_N = reward.raw([pair.conversation(side) for pair, side, _ in one], progress=progress)
        margin_N = raw_N * np.array([label for _, _, label in one])
        pairs = [pair for pair, _, _ in one]
    else:
        both = [pair.conversation(side) for pair in pairs for side in SIDES]
        raw_N = reward.raw(both, progress=progress)
        margin_N = raw_N[0::2] - raw_N[1::2]
    if not pairs:
        raise GristmillError("there is no held-out pair to judge the reward model on")
    right_N = margin_N > 0
    confidence_N = 1.0 / (1.0 + np.exp(-np.abs(margin_N)))
    figures = {
        "accuracy": share_of(right_N, pairs),
        "ece": _bootstrapped_ece(confidence_N, right_N),
        "spread": Figure(float(raw_N.std()), n=len(raw_N)),
    }
    longer_N = np.array([len(pair.chosen) - len(pair.rejected) for pair in pairs])
    rows: list[list[object]] = [["all", figures["accuracy"], len(pairs)]]
    for name, of_N in (
        ("longer", longer_N > 0),
        ("shorter", longer_N < 0),
        ("same", longer_N == 0),
    ):
        figure = share_of(right_N[of_N], [pair for pair, of in zip(pairs, of_N, strict=True) if of])
        figures[f"accuracy.{name}"] = figure
        rows.append([f"the better answer is {_SAID[name]}", figure, int(of_N.sum())])
    table = Table(
        "Reward model on held-out pairs",
        ["pairs", "accuracy", "n"],
        rows,
        "One that is right less often where the better answer is the shorter one likes length.",
    )
    return RewardEvaluation(figures, table, _reliability(confidence_N, right_N))


_SAID = {"longer": "longer", "shorter": "shorter", "same": "as long"}


def expected_calibration_error(
    confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]
) -> float:
    """Sum over bins of (share of the cases) * |accuracy - mean confidence|.

    Ten bins of equal width from 0.5, below which a confidence in the preferred one cannot be, to 1.
    """
    bin_N = _bin(confidence_N)
    size = np.bincount(bin_N, minlength=_BINS)
    gap = np.bincount(bin_N, weights=right_N - confidence_N, minlength=_BINS)
    return float(np.abs(gap).sum() / max(1, size.sum()))


def _bin(confidence_N: NDArray[np.float64]) -> NDArray[np.int64]:
    index_N = np.floor((confidence_N - 0.5) * 2 * _BINS).astype(np.int64)
    return np.clip(index_N, 0, _BINS - 1)


def _bootstrapped_ece(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> Figure:
    count = len(right_N)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_RESAMPLES):
        of = rng.integers(0, count, count)
        drawn.append(expected_calibration_error(confidence_N[of], right_N[of]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = expected_calibration_error(confidence_N, right_N)
    # Resampling adds noise to every bin, so that the bootstrap lies above the value itself.
    return Figure(value, min(value, float(low)), max(value, float(high)), count)


def _reliability(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> Chart:
    bin_N = _bin(confidence_N)
    x, measured = [], []
    for index in range(_BINS):
        of_N = bin_N == index
        if of_N.any():
            x.append(float(confidence_N[of_N].mean()))
            measured.append(proportion(int(right_N[of_N].sum()), int(of_N.sum())))
    series = [
        Series(
            "measured",
            x,
            [figure.value for figure in measured],
            [float(figure.low or 0.0) for figure in measured],
            [1.0 if figure.high is None else figure.high for figure in measured],
        ),
        Series("calibrated", [0.5, 1.0], [0.5, 1.0]),
    ]
    return Chart("Reliability of the reward model", "confidence", "share right", series)
