"""Intervals of shares and means, against values worked out by hand."""

import math

import pytest

from gristmill.core.figure import Figure, all_equal, proportion, t_mean


def test_wilson_intervals() -> None:
    # 8 of 10 (Wilson 1927, z = 1.96): 0.490 to 0.943.
    figure = proportion(8, 10)
    assert (figure.low, figure.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert proportion(0, 100).low == 0.0 and proportion(100, 100).high == 1.0
    assert proportion(0, 100).high == pytest.approx(0.0370, abs=1e-4)
    assert math.isnan(proportion(0, 0).value)


def test_equal_cases_leave_doubt_to_shares_alone() -> None:
    told = all_equal(1.0, 60, 540, share=True)
    assert (told.value, told.low, told.n) == (1.0, proportion(60, 60).low, 540)
    assert all_equal(0.0, 60, 60, share=False) == Figure(0.0, n=60)
    assert all_equal(0.5, 60, 60, share=True) == Figure(0.5, n=60)


def test_the_mean_without_what_is_not_known() -> None:
    assert t_mean([1.0, math.nan, 3.0]).n == 2
    assert t_mean([2.0]) == Figure(2.0, n=1)
    assert math.isnan(t_mean([]).value)
