"""Loss against size or compute as one straight line of logarithms for each family of models.

Which runs lie on the line, the largest run predicted from the others, and what the intervals of
two lines allow to say (Kaplan et al. 2020, figure 7, is the drawing that this makes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.scaling.points import Point
from gristmill.scaling.power_law import PowerLaw, fit_line, fit_power_law
from gristmill.study.grid import Axis
from gristmill.study.sweep_results import by_setting, mean_loss

_FEWEST_FOR_OFFSET = 5
# An offset below this share of the lowest loss bends nothing that the runs show.
_OFFSET_SHARE = 0.05


@dataclass(frozen=True)
class FamilyLine:
    """log loss = intercept + slope * log x, without the largest run, which it predicts."""

    family: str
    fitted: tuple[Point, ...]
    held_out: tuple[Point, ...]
    """Every seed of the largest run."""
    slope: Figure
    intercept: Figure
    """log10 of the loss at x = 1."""
    level: Figure
    """The loss at the reference, in nats."""
    log_level: Figure
    """Its natural logarithm, which the interval is symmetric in."""
    residual: float
    predicted: Figure
    """The largest run; 95% for one new run: the line's own doubt and the runs' scatter."""
    offset: PowerLaw | None
    """E + A / x^alpha through the same runs; None where there are too few sizes."""
    axis: Axis

    def place(self, point: Point) -> float:
        """Where a run stands along the axis."""
        return place_of(self.axis)(point)

    @property
    def measured(self) -> float:
        """The held-out run's loss, the mean of its seeds."""
        return mean_loss(self.held_out)

    @property
    def error(self) -> Figure:
        """Predicted over measured, less 1."""
        measured, found = self.measured, self.predicted
        low, high = (None if b is None else b / measured - 1 for b in (found.low, found.high))
        return Figure(found.value / measured - 1, low, high, found.n)

    @property
    def inside(self) -> bool | None:
        """Whether the measured loss lies in the interval; None without one."""
        if self.predicted.low is None or self.predicted.high is None:
            return None
        return self.predicted.low <= self.measured <= self.predicted.high

    @property
    def offset_is_identified(self) -> bool:
        """Whether the runs bend: the offset leaves less scatter than the line by an F test at 5%,
        and is no small part of the loss. Resampling few runs would be too sure of it."""
        n = len(self.fitted)
        lowest = min(point.loss for point in self.fitted)
        if self.offset is None or n < 4 or _OFFSET_SHARE * lowest > self.offset.E:
            return False
        from scipy.special import fdtrc

        x = [self.place(point) for point in self.fitted]
        left = math.fsum(
            math.log(point.loss / float(law)) ** 2
            for point, law in zip(self.fitted, self.offset.loss(np.asarray(x)), strict=True)
        )
        gained = self.residual**2 * (n - 2) - left
        return left == 0 or float(fdtrc(1, n - 3, max(0.0, gained) * (n - 3) / left)) < 0.05

    def at(self, x: float) -> Figure:
        """The line at x with its 95% interval for one new run."""
        return _prediction(self.fitted, self.place, x)


def place_of(axis: Axis) -> Callable[[Point], float]:
    """Where a run stands along an axis. Raises GristmillError where a run does not say."""

    def place(point: Point) -> float:
        if axis == "flops":
            return point.compute
        if axis == "parameters":
            return point.parameters
        if point.non_embedding is None:
            raise GristmillError(
                f"no non-embedding parameters are known of {point.name or 'a run'}",
                where="against",
                mend="give against: parameters",
            )
        return point.non_embedding

    return place


def runs_on_the_line(points: Sequence[Point], axis: Axis) -> tuple[list[Point], list[Point]]:
    """(to be fitted, held out) of one family's runs.

    Against parameters: each size at its largest token budget; the largest size is held out.
    Against compute: the run of most compute is held out; of the others those settings stay that no
    other beats with at most their compute. What is held out has no part in that choice.
    Raises GristmillError where fewer than two sizes or settings are left.
    """
    if axis == "flops":
        *rest, largest = by_setting(points)
        kept: list[list[Point]] = []
        for group in rest:
            if not kept or mean_loss(group) < mean_loss(kept[-1]):
                kept.append(group)
    else:
        longest: dict[float, list[Point]] = {}
        for group in sorted(by_setting(points), key=lambda g: g[0].tokens):
            longest[group[0].parameters] = group
        place = place_of(axis)
        *kept, largest = sorted(longest.values(), key=lambda group: place(group[0]))
    if len(kept) < 2:
        raise GristmillError(
            f"{len(kept) + 1} runs of {points[0].family or 'a family'} hold no line that predicts "
            "the largest",
            mend="give three sizes at least",
        )
    return [point for group in kept for point in group], list(largest)


def fit_family(
    family: str, points: Sequence[Point], axis: Axis, reference: float, *, seed: int = 0
) -> FamilyLine:
    """The line of one family's runs. reference: where along the axis its level is told."""
    fitted, held_out = runs_on_the_line(points, axis)
    place = place_of(axis)
    log_L = [math.log(point.loss) for point in fitted]
    ten = math.log(10)
    line = fit_line([math.log10(place(p)) for p in fitted], [value / ten for value in log_L])
    centred = fit_line([math.log(place(p) / reference) for p in fitted], log_L)
    places = sorted({place(point) for point in fitted})
    offset = None
    if len(places) >= _FEWEST_FOR_OFFSET:
        offset = fit_power_law([place(p) for p in fitted], [p.loss for p in fitted], seed=seed)
    return FamilyLine(
        family,
        tuple(fitted),
        tuple(held_out),
        line.slope,
        line.intercept,
        _exp(centred.intercept),
        centred.intercept,
        centred.residual,
        _prediction(fitted, place, place(held_out[0])),
        offset,
        axis,
    )


def reference_of(families: Sequence[Sequence[Point]], axis: Axis) -> float:
    """The middle, in logarithms, of where all families have fitted runs; to two digits."""
    place = place_of(axis)
    fitted = [[place(p) for p in runs_on_the_line(points, axis)[0]] for points in families]
    low, high = max(min(each) for each in fitted), min(max(each) for each in fitted)
    return float(f"{math.sqrt(low * high):.1e}")


def difference(first: Figure, second: Figure) -> Figure:
    """first - second of two separate fits of a line, 95% by Welch's t (1947); no interval where
    one of them has none."""
    value = first.value - second.value
    known: list[tuple[float, int]] = []
    from scipy.special import stdtrit

    for one in (first, second):
        if one.high is None or one.n is None:
            return Figure(value)
        known.append(((one.high - one.value) / float(stdtrit(one.n - 2, 0.975)), one.n - 2))
    variance = sum(error**2 for error, _ in known)
    if variance == 0:
        return Figure(value, value, value)
    degrees = variance**2 / sum(error**4 / free for error, free in known)
    half = float(stdtrit(degrees, 0.975)) * math.sqrt(variance)
    return Figure(value, value - half, value + half)


def _prediction(fitted: Sequence[Point], place: Callable[[Point], float], x: float) -> Figure:
    """The line at x, and 95% bounds of one new run there, in nats."""
    at_x = fit_line(
        [math.log(place(point) / x) for point in fitted], [math.log(p.loss) for p in fitted]
    )
    middle, n = at_x.intercept, len(fitted)
    if middle.high is None:
        return Figure(math.exp(middle.value), n=n)
    from scipy.special import stdtrit

    scatter = float(stdtrit(n - 2, 0.975)) * at_x.residual
    half = math.hypot(middle.high - middle.value, scatter)
    return Figure(
        math.exp(middle.value), math.exp(middle.value - half), math.exp(middle.value + half), n
    )


def _exp(figure: Figure) -> Figure:
    low, high = (None if b is None else math.exp(b) for b in (figure.low, figure.high))
    return Figure(math.exp(figure.value), low, high, figure.n)
