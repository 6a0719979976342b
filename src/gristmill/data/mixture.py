"""The training mixture: what is held out, how often each document is seen, and in which order.

Everything is decided by hashes of ids and groups under the seed, so that a document's fate does not
depend on how documents are spread over files, and changes little when others come or go. A document
is a row of arrays, about 100 bytes held and 300 at the most (measured on two million); no text is
held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.errors import GristmillError
from gristmill.data.coded import Coded, unit

Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

Weighting = Literal["natural", "temperature", "manual"]

# Names the domains that `weights` leaves unnamed; they share its weight by their size.
REST = "*"

# R*_D of Muennighoff et al. 2023, "Scaling data-constrained language models", table 1: how many
# repetitions it takes for repeated data to lose most of its worth. A rough value.
REPETITION_HALF_LIFE = 15.4

# Up to here repeated text is worth nearly as much as fresh text (the same paper, section 5).
MANY_REPEATS = 4


class SplitLeak(RuntimeError):
    """A group or a held-out site is on both sides of the split: a defect, not a user's mistake."""


@dataclass(frozen=True)
class Candidates:
    """One entry per document. groups: near-duplicate group. quality: NaN where unknown. sizes:
    bytes of the UTF-8 text. weights: how often a document is seen beside others of its domain;
    None where all count alike. made: those that were written from others, whose group is that of
    what they were written from; they are never held out."""

    ids: Coded
    hosts: Coded
    domains: Coded
    groups: Coded
    quality: Floats
    sizes: Indices
    weights: Floats | None = None
    made: Bools | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def group_codes(self) -> npt.NDArray[np.int32]:
        """The group of each document as a number below `len(groups.names)`."""
        return _codes(self.groups)


@dataclass(frozen=True)
class DomainPlan:
    """Bytes of a domain that may be trained on, and what the mixture makes of them."""

    name: str
    documents: int
    available: int
    weight: float
    repeats: float
    planned: int


@dataclass(frozen=True)
class MixturePlan:
    """heldout, anneal: masks. repeats: how often training sees a document (0: never, also for all
    that is held out). train, heldout_order: rows in final order. capped: domains that got less than
    their weight because no text may repeat more often."""

    heldout: Bools
    repeats: npt.NDArray[np.int32]
    anneal: Bools
    train: Indices
    heldout_order: Indices
    domains: tuple[DomainPlan, ...]
    capped: tuple[str, ...] = field(default=())


def held_out_sites(
    candidates: Candidates, *, hosts: Collection[str] = (), share: float = 0.0, seed: int = 0
) -> frozenset[str]:
    """The sites to hold out whole: those that are named, and about `share` of all by hash."""
    chosen = unit(candidates.hosts.keys(seed, "heldout-site")) < share
    names = frozenset(candidates.hosts.names.filter(pa.array(chosen)).to_pylist())
    if candidates.made is not None:
        # What was written by a model is of no site.
        names &= frozenset(candidates.hosts.counts(np.flatnonzero(~candidates.made)))
    return frozenset(hosts) | names


def split_heldout(
    candidates: Candidates, *, share: float, hosts: Collection[str] = (), seed: int = 0
) -> Bools:
    """The documents to hold out: whole groups by hash, about `share` of them, and whole sites.

    A group that touches a held-out site is held out with it; documents that were written from a
    held-out one are in its group, but count for nothing here. A small corpus, in which the hash may
    choose too little, gets the groups of the smallest hashes until `share` of its bytes is reached.
    Raises GristmillError where there are no documents, where a share is asked for and there is only
    one group, and where nothing would be left to train on.
    """
    codes = candidates.group_codes()
    by_site = np.zeros(len(candidates.groups.names), np.bool_)
    by_site[codes[candidates.hosts.among(hosts)]] = True
    size = np.zeros(len(by_site), np.int64)
    np.add.at(size, codes, _sizes_of_pages(candidates))
    keys = candidates.groups.keys(seed, "heldout")
    free = np.flatnonzero(~by_site)
    chosen = ~by_site & (unit(keys) < share)
    if share > 0.0 and len(free):
        if len(free) < 2 and not by_site.any():
            raise GristmillError(
                "there is only one document (or group of copies), so nothing can be held out",
                mend="split the text into several documents, or set the held-out share to 0",
            )
        wanted, held = share * int(size[free].sum()), int(size[chosen].sum())
        ordered = free[np.argsort(keys[free], kind="stable")].tolist()
        if held < wanted / 2:
            some = bool(chosen.any())
            for group in ordered[:-1]:
                if held >= wanted and some:
                    break
                if not chosen[group]:
                    chosen[group] = some = True
                    held += int(size[group])
        if int(chosen.sum()) == len(free):
            # Only where the share is near 1: something must be left to train on.
            chosen[ordered[-1]] = False
    out = chosen | by_site
    if out.all():
        raise GristmillError(
            "nothing is left to train on" if len(size) else "there are no documents to mix",
            mend="see what the steps before dropped: gristmill show data.filter --workspace DIR",
        )
    held_out: Bools = out[codes]
    return held_out


def domain_shares(
    sizes: Mapping[str, int],
    weighting: Weighting,
    *,
    temperature: float = 1.0,
    weights: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The share of the training bytes that each domain is to have; they add up to 1.

    natural: as they come. temperature: proportional to size^(1/T), T > 1 lifts small domains
    (Devlin 2018; Conneau et al. 2020, section 3.1). manual: `weights`, where `*` names the rest.
    Raises GristmillError for an unknown domain or a missing one.
    """
    total = sum(sizes.values())
    if total == 0:
        return dict.fromkeys(sizes, 0.0)
    if weighting == "natural":
        return {name: size / total for name, size in sizes.items()}
    if weighting == "temperature":
        raised = {name: (size / total) ** (1.0 / temperature) for name, size in sizes.items()}
        whole = sum(raised.values())
        return {name: value / whole for name, value in raised.items()}
    weights = dict(weights or {})
    for name, weight in weights.items():
        if name != REST and name not in sizes:
            near = get_close_matches(name, sizes, 1)
            raise GristmillError(
                f"no document is of the domain '{name}'",
                where="weights",
                mend=f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sizes)}",
            )
        if weight < 0:
            raise GristmillError(f"the weight of '{name}' is negative", where="weights")
    rest = [name for name in sizes if name not in weights]
    if rest and REST not in weights:
        raise GristmillError(
            f"the domains {', '.join(rest)} have no weight",
            where="weights",
            mend=f"name them, or give '{REST}' for all that are not named (0 leaves them out)",
        )
    rest_total = sum(sizes[name] for name in rest)
    out = {
        name: weights[name] if name in weights else weights[REST] * size / max(1, rest_total)
        for name, size in sizes.items()
    }
    whole = sum(out.values())
    if whole <= 0:
        raise GristmillError("every domain has the weight 0", where="weights")
    return {name: value / whole for name, value in out.items()}


def domain_repeats(
    sizes: Mapping[str, int], shares: Mapping[str, float], budget: int, max_repeats: float
) -> tuple[dict[str, float], tuple[str, ...]]:
    """How often each domain is seen so that it fills its share of `budget` bytes.

    No text is seen more than `max_repeats` times; what a capped domain cannot fill goes to the
    others by their shares. Returns the repeats and the names of the capped domains.
    """
    capped: set[str] = set()
    repeats = dict.fromkeys(sizes, 0.0)
    left = float(budget)
    while True:
        open_ = [name for name in sizes if name not in capped and shares[name] > 0 and sizes[name]]
        whole = sum(shares[name] for name in open_)
        for name in open_:
            repeats[name] = left * shares[name] / whole / sizes[name]
        # The tolerance keeps a natural mixture, whose repeats are 1 but for rounding, uncapped.
        over = [name for name in open_ if repeats[name] > max_repeats * (1 + 1e-9)]
        if not over:
            return repeats, tuple(sorted(capped))
        for name in over:
            repeats[name] = max_repeats
            left -= max_repeats * sizes[name]
            capped.add(name)


def whole_repeats(repeats: npt.ArrayLike, draws: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """`repeats` rounded up or down by uniform draws, so that the mean over documents is right."""
    wanted = np.asarray(repeats, np.float64)
    floor = np.floor(wanted + 1e-9)
    whole: npt.NDArray[np.int32] = (floor + (np.asarray(draws) < wanted - floor)).astype(np.int32)
    return whole


def choose_anneal(
    candidates: Candidates, eligible: Bools, *, share: float, by_domain: bool, seed: int
) -> Bools:
    """The best documents by quality, up to `share` of the eligible bytes (of each domain, where
    `by_domain`). Unknown quality comes last; ties, and a corpus without quality, go by hash."""
    rows = np.flatnonzero(eligible)
    anneal = np.zeros(len(candidates), np.bool_)
    worst_first = np.where(np.isnan(candidates.quality[rows]), -np.inf, candidates.quality[rows])
    ties = unit(candidates.ids.keys(seed, "anneal", rows))
    strata = _codes(candidates.domains)[rows] if by_domain else np.zeros(len(rows), np.int32)
    order = np.lexsort((ties, -worst_first, strata))
    rows, strata = rows[order], strata[order]
    edges = np.flatnonzero(np.diff(strata)) + 1
    for stratum in np.split(rows, edges):
        sizes = candidates.sizes[stratum]
        before = np.cumsum(sizes) - sizes
        anneal[stratum[before < share * int(sizes.sum())]] = True
    return anneal


def shuffled(rows: Indices, ids: Coded, seed: int) -> Indices:
    """`rows` in the order of their ids' hashes: a permutation that no file layout can change."""
    keys = ids.keys(seed, "shuffle", rows)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():  # one in 10^5 at ten million documents
        order = np.lexsort((ids.take(rows).to_numpy(zero_copy_only=False), keys))
    return rows[order]


def plan_mixture(
    candidates: Candidates,
    heldout: Bools,
    *,
    excluded: Bools | None = None,
    weighting: Weighting = "natural",
    temperature: float = 1.0,
    weights: Mapping[str, float] | None = None,
    budget_bytes: int | None = None,
    max_repeats: float = 4.0,
    anneal_share: float = 0.1,
    anneal_by_domain: bool = True,
    seed: int = 0,
) -> MixturePlan:
    """Weights, repeats, annealing subset and order of what is not held out.

    excluded: documents that may not be trained on although they are not held out. budget_bytes:
    size of the mixture with repeats; None is the size of what is there.
    """
    usable = ~heldout
    if excluded is not None:
        usable &= ~excluded
    rows = np.flatnonzero(usable)
    codes = _codes(candidates.domains)
    weight = np.ones(1) if candidates.weights is None else candidates.weights[rows]
    # A document that counts half fills half of its bytes.
    counted = np.rint(weight * candidates.sizes[rows]).astype(np.int64)
    documents = candidates.domains.counts(rows)
    sizes = _by_domain(candidates.domains, rows, counted)
    available = _by_domain(candidates.domains, rows, candidates.sizes[rows])
    shares = domain_shares(sizes, weighting, temperature=temperature, weights=weights)
    budget = sum(sizes.values()) if budget_bytes is None else budget_bytes
    wanted, capped = domain_repeats(sizes, shares, budget, max_repeats)
    by_code = np.array([wanted.get(name, 0.0) for name in candidates.domains.names.to_pylist()])
    often = by_code[codes[rows]] * weight if len(rows) else np.zeros(0)
    repeats = np.zeros(len(candidates), np.int32)
    repeats[rows] = whole_repeats(often, unit(candidates.ids.keys(seed, "repeat", rows)))
    trained = repeats > 0
    train = np.flatnonzero(trained)
    planned = _by_domain(candidates.domains, train, repeats[train] * candidates.sizes[train])
    return MixturePlan(
        heldout=heldout,
        repeats=repeats,
        anneal=choose_anneal(
            candidates, trained, share=anneal_share, by_domain=anneal_by_domain, seed=seed
        ),
        train=shuffled(train, candidates.ids, seed),
        heldout_order=shuffled(np.flatnonzero(heldout), candidates.ids, seed),
        domains=tuple(
            DomainPlan(
                name, documents[name], size, shares[name], wanted[name], planned.get(name, 0)
            )
            for name, size in available.items()
        ),
        capped=capped,
    )


def _sizes_of_pages(candidates: Candidates) -> Indices:
    """Bytes, 0 for what was written from other documents."""
    if candidates.made is None:
        return candidates.sizes
    sizes: Indices = np.where(candidates.made, 0, candidates.sizes)
    return sizes


def _codes(column: Coded) -> npt.NDArray[np.int32]:
    return np.arange(len(column), dtype=np.int32) if column.codes is None else column.codes


def _by_domain(domains: Coded, rows: Indices, values: Indices) -> dict[str, int]:
    """The sum of the rows' values for each domain that has a row, by name."""
    codes = _codes(domains)[rows]
    sums = np.zeros(len(domains.names), np.int64)
    np.add.at(sums, codes, values)
    there = np.flatnonzero(np.bincount(codes, minlength=len(sums)))
    names = domains.names.take(pa.array(there)).to_pylist()
    return dict(sorted(zip(names, sums[there].tolist(), strict=True)))


def check_split(candidates: Candidates, plan: MixturePlan, heldout_hosts: Collection[str]) -> None:
    """Raises SplitLeak where a group or a held-out site stands on both sides of the split."""
    codes = candidates.group_codes()
    in_train, in_held = (np.zeros(len(candidates.groups.names), np.bool_) for _ in range(2))
    in_train[codes[plan.train]] = True
    in_held[codes[plan.heldout_order]] = True
    crossing = np.flatnonzero(in_train & in_held)
    if len(crossing):
        name = min(candidates.groups.names.take(pa.array(crossing)).to_pylist())
        raise SplitLeak(f"{len(crossing)} groups are in training and held out: {name}")
    of_site = plan.train[candidates.hosts.among(heldout_hosts)[plan.train]]
    if len(of_site):
        row = int(of_site.min())
        raise SplitLeak(f"{candidates.ids[row]} of the held-out site {candidates.hosts[row]}")


def effective_bytes(unique: float, repeats: float) -> float:
    """What `unique` bytes seen `repeats` times are worth in fresh bytes.

    Muennighoff et al. 2023, equation 5: D' = U + U R* (1 - exp(-R / R*)), R = repeats - 1.
    """
    if repeats <= 1:
        return unique * repeats
    gain = REPETITION_HALF_LIFE * (1 - float(np.exp(-(repeats - 1) / REPETITION_HALF_LIFE)))
    return unique * (1 + gain)
