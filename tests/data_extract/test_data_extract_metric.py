"""The shingle metric, by numbers worked out by hand."""

from __future__ import annotations

import pytest

from gristmill.data.extract.metric import Overlap, overlap, score, shingles


def test_shingles_are_a_multiset_of_four_words() -> None:
    assert shingles("a b, c d e") == {("a", "b", "c", "d"): 1, ("b", "c", "d", "e"): 1}
    assert shingles("x x x x x") == {("x",) * 4: 2}
    assert shingles("one two") == {("one", "two"): 1}
    assert not shingles(" ... ")


def test_overlap_counts_surplus_and_missing() -> None:
    assert overlap("a b c d e", "b c d e f") == Overlap(1, 1, 1)
    assert overlap("x x x x x x", "x x x x") == Overlap(1, 2, 0)


def test_score_is_f1_of_the_means() -> None:
    found = score([Overlap(1, 0, 3), Overlap(2, 2, 0)])
    assert (found.precision, found.recall) == (0.75, 0.625)
    assert found.f1 == pytest.approx(2 * 0.75 * 0.625 / 1.375)


def test_nothing_extracted_counts_zero() -> None:
    assert score([overlap("", "a b c d"), overlap("a b c d", "a b c d")]).f1 == 0.5
    assert overlap("", "").f1 == 1.0
