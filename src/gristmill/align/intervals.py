"""Bootstrap intervals of means, where the cases that are drawn again are prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gristmill.core.figure import Figure
from gristmill.core.seeds import derive_seed

Floats = NDArray[np.float64]
RESAMPLES = 2000
# Weights of resampled prompts held at once: 32 MB.
_CELLS = 1 << 22


def resampled_means(values_PK: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of K columns over P rows drawn with replacement, (resamples, K) (Efron 1979).

    All columns share a draw, so differences between columns are paired by row.
    """
    count = len(values_PK)
    rng = np.random.default_rng(derive_seed(seed, "prompts"))
    parts = []
    portion = max(1, _CELLS // max(1, count))
    for start in range(0, resamples, portion):
        size = min(portion, resamples - start)
        weights_RP = rng.multinomial(count, np.full(count, 1 / count), size=size)
        parts.append(weights_RP @ values_PK / count)
    return np.concatenate(parts)


def mean_figure(values_P: Sequence[float] | Floats, seed: int = 0) -> Figure:
    """The mean over prompts with a bootstrap interval. What is nan does not count."""
    known = np.asarray(values_P, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return Figure(math.nan, n=0)
    value = float(known.mean())
    if len(known) < 2:
        return Figure(value, n=len(known))
    low, high = np.percentile(resampled_means(known[:, None], seed)[:, 0], [2.5, 97.5])
    return Figure(value, float(low), float(high), len(known))


def ratio_figure(above_P: Floats, below_P: Floats, seed: int = 0) -> Figure:
    """sum(above) / sum(below), both of the same prompts; nan where nothing is below."""
    if len(below_P) == 0 or below_P.sum() == 0:
        return Figure(math.nan, n=len(below_P))
    value = float(above_P.sum() / below_P.sum())
    if len(below_P) < 2:
        return Figure(value, n=len(below_P))
    means_R2 = resampled_means(np.stack([above_P, below_P], axis=1), seed)
    means_R2 = means_R2[means_R2[:, 1] > 0]
    low, high = np.percentile(means_R2[:, 0] / means_R2[:, 1], [2.5, 97.5])
    return Figure(value, float(low), float(high), len(below_P))


def direction(figure: Figure, even: float) -> int:
    """1 or -1 where the interval lies wholly above or below `even`; 0 where it includes it."""
    if figure.low is None or figure.high is None or math.isnan(figure.value):
        return 0
    return int(figure.low > even) - int(figure.high < even)
