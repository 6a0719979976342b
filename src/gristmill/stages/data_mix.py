"""`data mix`: what is trained on, how often and in which order, and what is held out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.figure import Figure, Table, proportion
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, later, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from gristmill.data.documents import DocumentSet
    from gristmill.data.mixture import Candidates, MixturePlan


class MixConfig(StageConfig):
    """Weights of domains, the held-out split, the annealing subset."""

    weighting: Literal["natural", "temperature", "manual"] = "natural"
    """natural: domains as they come; temperature: size^(1/T); manual: `weights`."""
    temperature: float = Field(1.0, gt=0.0)
    """Above 1 small domains gain."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Relative weight by domain for `manual`; '*' stands for the domains that are not named."""
    budget_bytes: int | None = Field(None, ge=1)
    """Size of the training text with repeats; none: the size of what is there."""
    max_repeats: float = Field(4.0, gt=0.0)
    """No document is seen more often; beyond 4 repeated data is worth ever less (Muennighoff
    2023)."""
    heldout_share: float = Field(0.045, ge=0.0, lt=1.0)
    """Share of near-duplicate groups that is held out."""
    heldout_hosts: tuple[str, ...] = ()
    """Sites that are held out whole."""
    leak_share: float = Field(0.5, gt=0.0, le=1.0)
    """A page that holds this share of a held-out page's word 8-grams is not trained on."""
    anneal_share: float = Field(0.1, ge=0.0, le=1.0)
    """Share of the training bytes, best quality first, for the last phase of training."""
    anneal_by_domain: bool = True
    """The same share of each domain, so that annealing does not change the mixture."""
    document_weights: bool = later(True)
    """A document is seen as often as its `weight` says, where an earlier step gave it one."""
    documents_per_part: int = Field(50_000, ge=1)


@stage(
    "data mix",
    version=1,
    kind="mixture",
    config=MixConfig,
    inputs={"documents": Slot("layer", "documents", help="documents, or a step after them")},
    summary="choose and weigh documents, hold some out, shuffle",
    example="gristmill data mix --documents DOMAINS --weighting temperature --temperature 2",
    seeded=True,
)
def data_mix(config: MixConfig, inputs: Inputs, output: Output) -> None:
    """Writes train/ and heldout/; raises SplitLeak where a group would cross."""
    import numpy as np

    from gristmill.data.documents import DocumentSet
    from gristmill.data.mixture import check_split, plan_mixture, split_heldout
    from gristmill.data.mixture_files import leaking, write_split

    documents = DocumentSet.open(inputs["documents"])
    candidates = _candidates(documents, config.document_weights)
    heldout = split_heldout(
        candidates, share=config.heldout_share, hosts=config.heldout_hosts, seed=output.seed
    )
    leak = leaking(
        lambda: (table["text"] for _, table in documents.tables(["text"])),
        heldout,
        share=config.leak_share,
    )
    # The copies of a page that quotes a held-out one quote it too.
    leaked_groups = {candidates.groups[row] for row in np.flatnonzero(leak).tolist()}
    leak |= np.array([g in leaked_groups for g in candidates.groups], np.bool_) & ~heldout
    plan = plan_mixture(
        candidates,
        heldout,
        excluded=leak,
        weighting=config.weighting,
        temperature=config.temperature,
        weights=config.weights,
        budget_bytes=config.budget_bytes,
        max_repeats=config.max_repeats,
        anneal_share=config.anneal_share,
        anneal_by_domain=config.anneal_by_domain,
        seed=output.seed,
    )
    check_split(candidates, plan, config.heldout_hosts)
    for split, order in (("train", plan.train), ("heldout", plan.heldout_order)):
        write_split(
            output.path / split,
            _rows(documents, candidates, plan),
            order,
            documents_per_part=config.documents_per_part,
        )
    _present(config, candidates, plan, int(leak.sum()), output)


def _candidates(documents: DocumentSet, weigh: bool) -> Candidates:
    """One entry per document; what no layer says has a plain value: domain 'all', own group."""
    import numpy as np
    import pyarrow.compute as pc

    from gristmill.data.domains import ALL
    from gristmill.data.mixture import Candidates

    have = documents.column_names()
    ids: list[str] = []
    hosts: list[str] = []
    domains: list[str] = []
    groups: list[str] = []
    quality, sizes = [np.zeros(0)], [np.zeros(0, np.int64)]
    weights: list[float | None] = []
    weighed = weigh and "weight" in have
    wanted = ("domain", "near_group", "quality", *(("weight",) if weighed else ()))
    extra = [name for name in wanted if name in have]
    for _, table in documents.tables(["id", "host", "text", *extra]):
        part_ids = table["id"].to_pylist()
        ids += part_ids
        hosts += table["host"].to_pylist()
        domains += table["domain"].to_pylist() if "domain" in have else [ALL] * len(part_ids)
        found = table["near_group"].to_pylist() if "near_group" in have else part_ids
        groups += [group or own for group, own in zip(found, part_ids, strict=True)]
        weights += table["weight"].to_pylist() if weighed else []
        sizes.append(pc.binary_length(table["text"]).to_numpy().astype(np.int64))
        quality.append(
            np.array([np.nan if q is None else q for q in table["quality"].to_pylist()])
            if "quality" in have
            else np.full(len(part_ids), np.nan)
        )
    return Candidates(
        ids,
        hosts,
        domains,
        groups,
        np.concatenate(quality),
        np.concatenate(sizes),
        np.array([1.0 if w is None else w for w in weights]) if weighed else None,
    )


def _rows(documents: DocumentSet, candidates: Candidates, plan: MixturePlan) -> Iterator[pa.Table]:
    """Each part's documents with the columns of the mixture."""
    import numpy as np
    import pyarrow as pa

    names = ["id", "url", "host", "title", "description", "topic", "text"]
    first = 0
    for _, table in documents.tables(names):
        here = slice(first, first + table.num_rows)
        first += table.num_rows
        quality = candidates.quality[here]
        table = table.append_column("domain", pa.array(candidates.domains[here], pa.string()))
        table = table.append_column("group", pa.array(candidates.groups[here], pa.string()))
        table = table.append_column(
            "quality", pa.array(quality.astype(np.float32), mask=np.isnan(quality))
        )
        table = table.append_column("repeats", pa.array(plan.repeats[here], pa.int32()))
        yield table.append_column("anneal", pa.array(plan.anneal[here]))


def _present(
    config: MixConfig, candidates: Candidates, plan: MixturePlan, leaked: int, output: Output
) -> None:
    import numpy as np

    from gristmill.data.mixture import effective_bytes

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
    held_domains = Counter(candidates.domains[row] for row in plan.heldout_order)
    anneal_domains = Counter(
        candidates.domains[row] for row in np.flatnonzero(plan.anneal).tolist()
    )
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


def _hosts_table(candidates: Candidates, plan: MixturePlan) -> Table:
    train = Counter(candidates.hosts[row] for row in plan.train)
    held = Counter(candidates.hosts[row] for row in plan.heldout_order)
    hosts = sorted(set(train) | set(held), key=lambda host: (-train[host] - held[host], host))[:20]
    return Table(
        "Mixture by site",
        ("site", "training", "held out"),
        [(host, train[host], held[host]) for host in hosts],
    )
