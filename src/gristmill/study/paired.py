"""Means over seeds and differences paired by seed, with Student's t intervals.

The same seed gives two settings the same initial weights and order of documents as far as they
share them, so the difference seed by seed is steadier than the difference of two means.
"""

from __future__ import annotations

from collections.abc import Sequence

from gristmill.core.figure import Figure, t_mean


def mean(values: Sequence[float]) -> Figure:
    """The mean with its 95% interval (Student 1908).

    No interval for fewer than two values, and none where all are equal: then the seeds did not
    touch what was measured, or its steps are too coarse, and no spread is not no doubt.
    """
    found = t_mean(values)
    return Figure(found.value, n=found.n) if len(set(values)) == 1 else found


def paired_difference(values: Sequence[float], first: Sequence[float]) -> Figure:
    """Mean of `values` minus `first`, seed by seed; ValueError where they are not as many."""
    return mean([a - b for a, b in zip(values, first, strict=True)])


def verdict(difference: Figure) -> str:
    """Whether the interval of a difference excludes 0, or why there is none."""
    if difference.low is None or difference.high is None:
        return "one seed" if difference.n == 1 else "no spread"
    if difference.low > 0 or difference.high < 0:
        return "yes"
    return "no"
