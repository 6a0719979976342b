"""What `data mix` shows: the mixture by domain and by site, and what is worth a warning."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gristmill.core.figure import Figure, Table, proportion
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gristmill.data.mixture import Candidates, MixturePlan
    from gristmill.stages.data_mix import MixConfig


def present(
    config: MixConfig, candidates: Candidates, plan: MixturePlan, leaked: int, output: Output
) -> None:
    """Counts, figures, the tables of domains and sites, and what a reader should be told."""
    import numpy as np

    from gristmill.data.mixture import MANY_REPEATS, effective_bytes

    train, held = len(plan.train), len(plan.heldout_order)
    sizes = candidates.sizes
    unique = int(sizes[plan.train].sum())
    seen = int((sizes * plan.repeats).sum())
    held_bytes = int(sizes[plan.heldout].sum())
    output.counts.update(
        documents=len(candidates),
        train=train,
        heldout=held,
        anneal=int(plan.anneal.sum()),
        leaking=leaked,
        bytes_train=seen,
        bytes_heldout=held_bytes,
    )
    output.figures["mix.documents"] = Figure(float(train), n=len(candidates))
    output.figures["mix.heldout"] = proportion(held, len(candidates))
    output.figures["mix.heldout_bytes"] = Figure(float(held_bytes))
    output.figures["mix.bytes"] = Figure(float(seen))
    output.figures["mix.anneal"] = proportion(int(plan.anneal.sum()), train)
    output.figures["mix.leaking"] = Figure(float(leaked), n=len(candidates))
    worth = sum(
        effective_bytes(d.available * min(1.0, d.repeats), max(1.0, d.repeats))
        for d in plan.domains
    )
    output.figures["mix.effective_bytes"] = Figure(worth)
    available = max(1, sum(domain.available for domain in plan.domains))
    planned = max(1, seen)
    held_domains = Counter(candidates.domains.counts(plan.heldout_order))
    anneal_domains = Counter(candidates.domains.counts(np.flatnonzero(plan.anneal)))
    output.tables.append(
        Table(
            "Mixture",
            (
                "domain",
                "documents",
                "bytes",
                "share before",
                "weight",
                "repeats",
                "share after",
                "held out",
                "annealing",
            ),
            [
                (
                    d.name,
                    d.documents,
                    d.available,
                    d.available / available,
                    d.weight,
                    round(d.repeats, 3),
                    d.planned / planned,
                    held_domains[d.name],
                    anneal_domains[d.name],
                )
                for d in plan.domains
            ],
            f"{unique:,} different bytes are seen as {seen:,}, worth about {worth:,.0f} fresh ones "
            "(Muennighoff et al. 2023, equation 5). No near-duplicate group and no held-out site "
            f"is on both sides; {leaked} pages that quote a held-out page are left out.",
        )
    )
    output.tables.append(_hosts_table(candidates, plan))
    if candidates.weights is not None:
        fewer = int((candidates.weights < 1).sum())
        output.notes.append(f"{fewer} documents have a lower weight and are seen less often.")
    for domain in plan.domains:
        if domain.repeats > MANY_REPEATS:
            one = effective_bytes(domain.available, domain.repeats) / domain.available
            output.notes.append(
                f"The domain '{domain.name}' is seen {domain.repeats:.1f} times, which is worth "
                f"about {one:.1f} times its text: beyond {MANY_REPEATS} repeats the same text is "
                "worth ever less, and beyond some 16 next to nothing (Muennighoff et al. 2023)."
            )
    for name in plan.capped:
        output.notes.append(
            f"The domain '{name}' has too little text for its weight: it is seen "
            f"{config.max_repeats:g} times and the other domains fill the rest."
        )
    if np.isnan(candidates.quality).all() and config.anneal_share > 0:
        output.notes.append(
            "No quality is known, so the annealing subset is a random one and shows nothing about "
            "better text at the end of training."
        )


def present_made(made: npt.NDArray[np.bool_], plan: MixturePlan, lost: int, output: Output) -> None:
    """What became of the documents that a generator wrote. made: which those are."""
    count, seen = int(made.sum()), int((plan.repeats[made] > 0).sum())
    output.counts.update(synthetic=count, synthetic_train=seen, synthetic_of_heldout=lost)
    output.notes.append(
        f"{count} documents were written by a generator; {seen} are trained on, none is held out, "
        f"and {lost} were written from documents that are held out here, so they are left out."
    )


def _hosts_table(candidates: Candidates, plan: MixturePlan) -> Table:
    train = Counter(candidates.hosts.counts(plan.train))
    held = Counter(candidates.hosts.counts(plan.heldout_order))
    hosts = sorted(set(train) | set(held), key=lambda host: (-train[host] - held[host], host))[:20]
    return Table(
        "Mixture by site",
        ("site", "training", "held out"),
        [(host, train[host], held[host]) for host in hosts],
    )
