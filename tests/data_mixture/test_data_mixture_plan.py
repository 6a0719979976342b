"""Split, weights, repeats, annealing and order, by hand or by their defining property."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.coded import Coded
from gristmill.data.mixture import (
    Candidates,
    SplitLeak,
    check_split,
    domain_repeats,
    domain_shares,
    effective_bytes,
    plan_mixture,
    split_heldout,
    whole_repeats,
)


def candidates(count: int, seed: int = 0, group_size: int = 3) -> Candidates:
    r = random.Random(seed)
    return Candidates(
        ids=Coded.distinct([f"id{i:05d}" for i in range(count)]),
        hosts=Coded.of(
            [r.choice(("a.example", "b.example", "c.example", "d.example")) for _ in range(count)]
        ),
        domains=Coded.of([r.choice(("Arts", "Arts", "Arts", "Maths")) for _ in range(count)]),
        groups=Coded.of([f"g{r.randrange(max(1, count // group_size))}" for _ in range(count)]),
        quality=np.array([r.random() for _ in range(count)]),
        sizes=np.array([r.randrange(200, 800) for _ in range(count)], np.int64),
    )


def turned(c: Candidates, order: list[int]) -> Candidates:
    return Candidates(
        Coded.distinct([c.ids[i] for i in order]),
        Coded.of([c.hosts[i] for i in order]),
        Coded.of([c.domains[i] for i in order]),
        Coded.of([c.groups[i] for i in order]),
        c.quality[order],
        c.sizes[order],
    )


def test_groups_are_never_split_and_the_share_is_met() -> None:
    c = candidates(6000)
    held = split_heldout(c, share=0.05, seed=1)
    inside = {c.groups[i] for i in np.flatnonzero(held)}
    outside = {c.groups[i] for i in np.flatnonzero(~held)}
    assert not inside & outside
    assert 0.03 < held.mean() < 0.07
    assert held.tolist() != split_heldout(c, share=0.05, seed=2).tolist()


def test_a_documents_side_does_not_depend_on_the_others() -> None:
    c = candidates(6000)
    held = split_heldout(c, share=0.05, seed=1)
    some = list(range(0, 6000, 2))
    assert split_heldout(turned(c, some), share=0.05, seed=1).tolist() == held[some].tolist()


def test_held_out_sites_take_their_groups_along() -> None:
    c = candidates(600)
    held = split_heldout(c, share=0.02, hosts=["b.example"], seed=1)
    assert all(held[i] for i in range(600) if c.hosts[i] == "b.example")
    groups = {c.groups[i] for i in range(600) if c.hosts[i] == "b.example"}
    assert all(held[i] for i in range(600) if c.groups[i] in groups)
    only_sites = split_heldout(c, share=0.0, hosts=["b.example"], seed=1)
    assert only_sites.tolist() == [g in groups for g in c.groups]


def test_a_small_corpus_still_holds_something_out() -> None:
    for count in (2, 3, 7, 20):
        for seed in range(20):
            alone = replace(candidates(count), groups=Coded.of([f"g{i}" for i in range(count)]))
            assert 0 < split_heldout(alone, share=0.045, seed=seed).sum() < count
    with pytest.raises(GristmillError, match="only one document"):
        split_heldout(candidates(1), share=0.045)
    assert split_heldout(candidates(1), share=0.0).tolist() == [False]
    assert 0 < split_heldout(candidates(9), share=0.999).sum() < 9
    with pytest.raises(GristmillError, match="no documents"):
        split_heldout(candidates(0), share=0.045)
    with pytest.raises(GristmillError, match="nothing is left"):
        split_heldout(replace(candidates(9), hosts=Coded.of(["x"] * 9)), share=0.045, hosts=["x"])


def test_shares_by_hand() -> None:
    sizes = {"a": 900, "b": 100}
    assert domain_shares(sizes, "natural") == {"a": 0.9, "b": 0.1}
    tempered = domain_shares(sizes, "temperature", temperature=2.0)
    assert tempered["a"] / tempered["b"] == pytest.approx(3.0)
    assert domain_shares(sizes, "manual", weights={"a": 1, "b": 3}) == {"a": 0.25, "b": 0.75}
    rest = domain_shares({"a": 300, "b": 100, "c": 7}, "manual", weights={"c": 1, "*": 1})
    assert rest == pytest.approx({"a": 0.375, "b": 0.125, "c": 0.5})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"Art": 1, "*": 1}, "did you mean 'Arts'"),
        ({"Arts": 1}, "Maths have no weight"),
        ({"Arts": -1, "*": 1}, "negative"),
        ({"*": 0}, "every domain has the weight 0"),
    ],
)
def test_weights_that_cannot_be_meant(weights: dict[str, float], message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        domain_shares({"Arts": 10, "Maths": 5}, "manual", weights=weights)


def test_repeats_fill_the_budget_and_respect_the_cap() -> None:
    sizes = {"a": 800, "b": 100, "c": 100}
    repeats, capped = domain_repeats(sizes, {"a": 0.8, "b": 0.1, "c": 0.1}, 1000, 4.0)
    assert repeats == pytest.approx({"a": 1, "b": 1, "c": 1}) and capped == ()
    # b wants 900 of its 100 bytes; at 4 it has 400, and a and c share 600 as 1 to 1.
    repeats, capped = domain_repeats(sizes, {"a": 0.05, "b": 0.9, "c": 0.05}, 1000, 4.0)
    assert repeats == pytest.approx({"a": 300 / 800, "b": 4, "c": 3}) and capped == ("b",)
    repeats, capped = domain_repeats(sizes, {"a": 0.5, "b": 0.5, "c": 0.0}, 100_000, 2.0)
    assert repeats == {"a": 2, "b": 2, "c": 0} and capped == ("a", "b")


def test_fractions_are_right_on_average() -> None:
    draws = [(i + 0.5) / 1000 for i in range(1000)]
    assert whole_repeats([2.3] * 1000, draws).mean() == pytest.approx(2.3, abs=0.002)
    assert set(whole_repeats([1.0 - 1e-12] * 1000, draws).tolist()) == {1}
    assert set(whole_repeats([0.0] * 1000, draws).tolist()) == {0}


def test_the_plan_does_what_the_weights_say() -> None:
    c = candidates(4000)
    held = split_heldout(c, share=0.05, seed=3)
    natural = plan_mixture(c, held, seed=3)
    assert sorted(natural.train.tolist()) == np.flatnonzero(~held).tolist()
    assert set(natural.repeats[~held].tolist()) == {1}
    manual = plan_mixture(
        c, held, weighting="manual", weights={"Arts": 1, "Maths": 1}, seed=3, max_repeats=4.0
    )
    seen = {
        name: sum(int(manual.repeats[i] * c.sizes[i]) for i in range(4000) if c.domains[i] == name)
        for name in ("Arts", "Maths")
    }
    assert seen["Arts"] / seen["Maths"] == pytest.approx(1.0, abs=0.06)
    assert {d.name: d.planned for d in manual.domains} == seen
    assert manual.repeats[held].sum() == 0 and not (manual.anneal & held).any()
    excluded = np.zeros(4000, np.bool_)
    excluded[:50] = True
    without = plan_mixture(c, held, excluded=excluded, seed=3)
    assert without.repeats[:50].sum() == 0 and without.heldout[:50].tolist() == held[:50].tolist()


def test_annealing_takes_the_best_of_each_domain() -> None:
    c = candidates(3000)
    held = split_heldout(c, share=0.05, seed=4)
    plan = plan_mixture(c, held, anneal_share=0.2, seed=4)
    for name in ("Arts", "Maths"):
        rows = [i for i in range(3000) if c.domains[i] == name and not held[i]]
        best = min(c.quality[i] for i in rows if plan.anneal[i])
        assert best >= max(c.quality[i] for i in rows if not plan.anneal[i])
        share = sum(c.sizes[i] for i in rows if plan.anneal[i]) / sum(c.sizes[i] for i in rows)
        assert share == pytest.approx(0.2, abs=0.01)
    unknown = replace(c, quality=np.full(3000, np.nan))
    blind = plan_mixture(unknown, held, anneal_share=0.2, seed=4)
    assert blind.anneal.sum() == pytest.approx(0.2 * (~held).sum(), rel=0.1)
    assert plan_mixture(c, held, anneal_share=0.0, seed=4).anneal.sum() == 0


def test_the_order_is_a_shuffle_that_files_cannot_change() -> None:
    c = candidates(500)
    order = random.Random(1).sample(range(500), 500)
    other = turned(c, order)
    settings = {"weighting": "temperature", "temperature": 3.0, "seed": 5}
    one = plan_mixture(c, split_heldout(c, share=0.1, seed=5), **settings)  # type: ignore[arg-type]
    two = plan_mixture(other, split_heldout(other, share=0.1, seed=5), **settings)  # type: ignore[arg-type]
    assert [c.ids[i] for i in one.train] == [other.ids[i] for i in two.train]
    assert [c.ids[i] for i in one.heldout_order] == [other.ids[i] for i in two.heldout_order]
    assert one.repeats[order].tolist() == two.repeats.tolist()
    assert one.anneal[order].tolist() == two.anneal.tolist()
    assert one.train.tolist() != sorted(one.train.tolist())
    assert one.train.tolist() != plan_mixture(c, one.heldout, seed=6).train.tolist()


def test_a_crossing_group_or_site_is_refused() -> None:
    c = candidates(300)
    held = split_heldout(c, share=0.2, hosts=["b.example"], seed=6)
    plan = plan_mixture(c, held, seed=6)
    check_split(c, plan, ["b.example"])
    moved = int(plan.heldout_order[0])
    with pytest.raises(SplitLeak, match="groups"):
        check_split(c, replace(plan, train=np.append(plan.train, moved)), [])
    # A document on one side only, whose group has others on the other side.
    moved = next(int(r) for r in plan.heldout_order if c.groups.count(c.groups[r]) > 1)
    rest = plan.heldout_order[plan.heldout_order != moved]
    with pytest.raises(SplitLeak, match="groups"):
        check_split(c, replace(plan, train=np.append(plan.train, moved), heldout_order=rest), [])
    with pytest.raises(SplitLeak, match="held-out site"):
        check_split(c, plan, [c.hosts[int(plan.train[0])]])


def test_repetition_is_worth_what_the_paper_says() -> None:
    assert effective_bytes(100, 0.5) == 50
    assert effective_bytes(100, 1) == 100
    assert effective_bytes(100, 4) == pytest.approx(100 * (1 + 15.4 * (1 - np.exp(-3 / 15.4))))
    assert effective_bytes(100, 1e9) == pytest.approx(1640)
