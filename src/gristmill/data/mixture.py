"""The training mixture: what is held out, how often each document is seen, and in which order.

Everything is decided by hashes of ids and groups under the seed, so that a document's fate does not
depend on how documents are spread over files, and changes little when others come or go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed

Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

Weighting = Literal["natural", "temperature", "manual"]

# Names the domains that `weights` leaves unnamed; they share its weight by their size.
REST = "*"

# R*_D of Muennighoff et al. 2023, "Scaling data-constrained language models", table 1: how many
# repetitions it takes for repeated data to lose most of its worth. A rough value.
REPETITION_HALF_LIFE = 15.4


class SplitLeak(RuntimeError):
    """A group or a held-out site is on both sides of the split: a defect, not a user's mistake."""


@dataclass(frozen=True)
class Candidates:
    """One entry per document. groups: near-duplicate group. quality: NaN where unknown. sizes:
    bytes of the UTF-8 text. weights: how often a document is seen beside others of its domain;
    None where all count alike."""

    ids: Sequence[str]
    hosts: Sequence[str]
    domains: Sequence[str]
    groups: Sequence[str]
    quality: Floats
    sizes: Indices
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)


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


def unit_hash(seed: int, *names: str) -> float:
    """A uniform number in [0, 1) from names."""
    return derive_seed(seed, *names) / float(1 << 63)


def split_heldout(
    candidates: Candidates, *, share: float, hosts: Collection[str] = (), seed: int = 0
) -> Bools:
    """The documents to hold out: whole groups by hash, about `share` of them, and whole sites.

    A group that touches a held-out site is held out with it. A small corpus, in which the hash may
    choose too little, gets the groups of the smallest hashes until `share` of its bytes is reached.
    Raises GristmillError where there are no documents, where a share is asked for and there is only
    one group, and where nothing would be left to train on.
    """
    sites = set(hosts)
    by_site = {g for g, h in zip(candidates.groups, candidates.hosts, strict=True) if h in sites}
    size: dict[str, int] = {}
    for group, bytes_ in zip(candidates.groups, candidates.sizes.tolist(), strict=True):
        size[group] = size.get(group, 0) + bytes_
    free = [group for group in size if group not in by_site]
    ordered = sorted((unit_hash(seed, "heldout", group), group) for group in free)
    chosen = {group for value, group in ordered if value < share}
    if share > 0.0 and free:
        if len(free) < 2 and not by_site:
            raise GristmillError(
                "there is only one document (or group of copies), so nothing can be held out",
                mend="split the text into several documents, or set the held-out share to 0",
            )
        wanted = share * sum(size[group] for group in free)
        held = sum(size[group] for group in chosen)
        if held < wanted / 2:
            for _, group in ordered[: len(free) - 1]:
                if held >= wanted and chosen:
                    break
                if group not in chosen:
                    chosen.add(group)
                    held += size[group]
        if len(chosen) == len(free):
            # Only where the share is near 1: something must be left to train on.
            chosen.discard(ordered[-1][1])
    out = chosen | by_site
    if not set(size) - out:
        raise GristmillError(
            "nothing is left to train on" if size else "there are no documents to mix",
            mend="see what the steps before dropped: gristmill show data.filter --workspace DIR",
        )
    return np.array([group in out for group in candidates.groups], np.bool_)


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


def whole_repeats(repeats: float, draw: float) -> int:
    """`repeats` rounded up or down by a uniform draw, so that the mean over documents is right."""
    floor = int(np.floor(repeats + 1e-9))
    return floor + int(draw < repeats - floor)


def choose_anneal(
    candidates: Candidates, eligible: Bools, *, share: float, by_domain: bool, seed: int
) -> Bools:
    """The best documents by quality, up to `share` of the eligible bytes (of each domain, where
    `by_domain`). Unknown quality comes last; ties, and a corpus without quality, go by hash."""
    quality = np.where(np.isnan(candidates.quality), -np.inf, candidates.quality)
    strata: dict[str, list[int]] = {}
    for row in np.flatnonzero(eligible).tolist():
        strata.setdefault(candidates.domains[row] if by_domain else "", []).append(row)
    anneal = np.zeros(len(candidates), np.bool_)
    for rows in strata.values():
        wanted = share * sum(int(candidates.sizes[row]) for row in rows)
        rows.sort(key=lambda row: (-quality[row], unit_hash(seed, "anneal", candidates.ids[row])))
        filled = 0
        for row in rows:
            if filled >= wanted:
                break
            anneal[row] = True
            filled += int(candidates.sizes[row])
    return anneal


def shuffled(rows: Indices, ids: Sequence[str], seed: int) -> Indices:
    """`rows` in the order of their ids' hashes: a permutation that no file layout can change."""
    keys = [(derive_seed(seed, "shuffle", ids[row]), ids[row], row) for row in rows.tolist()]
    return np.array([row for _, _, row in sorted(keys)], np.int64)


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
    sizes: dict[str, int] = {}
    documents: dict[str, int] = {}
    available: dict[str, int] = {}
    for row in np.flatnonzero(usable).tolist():
        name, weight = candidates.domains[row], _weight(candidates, row)
        # A document that counts half fills half of its bytes.
        sizes[name] = sizes.get(name, 0) + round(weight * int(candidates.sizes[row]))
        available[name] = available.get(name, 0) + int(candidates.sizes[row])
        documents[name] = documents.get(name, 0) + 1
    sizes = dict(sorted(sizes.items()))
    shares = domain_shares(sizes, weighting, temperature=temperature, weights=weights)
    budget = sum(sizes.values()) if budget_bytes is None else budget_bytes
    wanted, capped = domain_repeats(sizes, shares, budget, max_repeats)
    repeats = np.zeros(len(candidates), np.int32)
    for row in np.flatnonzero(usable).tolist():
        draw = unit_hash(seed, "repeat", candidates.ids[row])
        often = wanted[candidates.domains[row]] * _weight(candidates, row)
        repeats[row] = whole_repeats(often, draw)
    planned: dict[str, int] = {}
    for row in np.flatnonzero(repeats).tolist():
        name = candidates.domains[row]
        planned[name] = planned.get(name, 0) + int(repeats[row]) * int(candidates.sizes[row])
    trained = repeats > 0
    return MixturePlan(
        heldout=heldout,
        repeats=repeats,
        anneal=choose_anneal(
            candidates, trained, share=anneal_share, by_domain=anneal_by_domain, seed=seed
        ),
        train=shuffled(np.flatnonzero(trained), candidates.ids, seed),
        heldout_order=shuffled(np.flatnonzero(heldout), candidates.ids, seed),
        domains=tuple(
            DomainPlan(
                name, documents[name], size, shares[name], wanted[name], planned.get(name, 0)
            )
            for name, size in sorted(available.items())
        ),
        capped=capped,
    )


def _weight(candidates: Candidates, row: int) -> float:
    return 1.0 if candidates.weights is None else float(candidates.weights[row])


def check_split(candidates: Candidates, plan: MixturePlan, heldout_hosts: Collection[str]) -> None:
    """Raises SplitLeak where a group or a held-out site stands on both sides of the split."""
    train = set(plan.train.tolist())
    held = set(plan.heldout_order.tolist())
    crossing = {candidates.groups[row] for row in train} & {candidates.groups[r] for r in held}
    if train & held or crossing:
        raise SplitLeak(f"{len(crossing)} groups are in training and held out: {min(crossing)}")
    sites = set(heldout_hosts)
    for row in sorted(train):
        if candidates.hosts[row] in sites:
            raise SplitLeak(f"{candidates.ids[row]} of the held-out site {candidates.hosts[row]}")


def effective_bytes(unique: float, repeats: float) -> float:
    """What `unique` bytes seen `repeats` times are worth in fresh bytes.

    Muennighoff et al. 2023, equation 5: D' = U + U R* (1 - exp(-R / R*)), R = repeats - 1.
    """
    if repeats <= 1:
        return unique * repeats
    gain = REPETITION_HALF_LIFE * (1 - float(np.exp(-(repeats - 1) / REPETITION_HALF_LIFE)))
    return unique * (1 + gain)
