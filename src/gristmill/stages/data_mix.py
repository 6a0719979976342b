"""`data mix`: what is trained on, how often and in which order, and what is held out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ConfigDict, Field

from gristmill.core.errors import GristmillError
from gristmill.stages.mix_results import present, present_made
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, later, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from gristmill.core.progress import Progress
    from gristmill.data.documents import DocumentSet
    from gristmill.data.mixture import Candidates, MixturePlan

    _Tables: TypeAlias = Callable[[Sequence[str]], Iterator[pa.Table]]


class WeightsFrom(StageConfig):
    """Weights that stand in a file."""

    file: str | None = content_of(None)
    """JSON, {"weights": {"DOMAIN": NUMBER}}, as `study domain-weights` writes it, or the folder
    with its weights.json; taken in place of `weights`."""


class MixConfig(StageConfig):
    """Weights of domains, the held-out split, the annealing subset."""

    model_config = ConfigDict(allow_inf_nan=False)

    weighting: Literal["natural", "temperature", "manual"] = "natural"
    """natural: domains as they come; temperature: size^(1/T); manual: `weights`."""
    temperature: float = Field(1.0, gt=0.0)
    """Above 1 small domains gain."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Relative weight by domain for `manual`; '*' stands for the domains that are not named."""
    weights_from: WeightsFrom = later(WeightsFrom())
    budget_bytes: int | None = Field(None, ge=1)
    """Size of the training text with repeats; none: the size of what is there."""
    max_repeats: float = Field(4.0, gt=0.0)
    """No document is seen more often; beyond 4 repeated data is worth ever less (Muennighoff
    2023)."""
    heldout_share: float = Field(0.045, ge=0.0, lt=1.0)
    """Share of near-duplicate groups that is held out."""
    heldout_hosts: tuple[str, ...] = ()
    """Sites that are held out whole."""
    heldout_host_share: float = later(0.0, ge=0.0, lt=1.0)
    """Share of all sites that is held out whole, drawn by their names."""
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
    version=2,
    kind="mixture",
    config=MixConfig,
    inputs={
        "documents": Slot("layer", "documents", help="documents, or a step after them"),
        "also": Slot(
            "layer",
            "documents",
            optional=True,
            many=True,
            named=True,
            help="further documents, such as synthetic ones",
        ),
        "learned": Slot(
            "weights", optional=True, named=True, help="domain weights that a study has learned"
        ),
    },
    summary="choose and weigh documents, hold some out, shuffle",
    example="gristmill data mix --documents DOMAINS --weighting temperature --temperature 2",
    seeded=True,
)
def data_mix(config: MixConfig, inputs: Inputs, output: Output) -> None:
    """Writes train/ and heldout/; raises SplitLeak where a group would cross."""
    import numpy as np

    from gristmill.core.progress import progress
    from gristmill.data.documents import DocumentSet
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.journal import PartJournal
    from gristmill.data.mixture import check_split, held_out_sites, plan_mixture, split_heldout
    from gristmill.data.mixture_files import MixtureInputs, write_splits
    from gristmill.data.mixture_leaks import found_once, leaking

    documents = [DocumentSet.open(one) for one in (inputs["documents"], *inputs.many("also"))]
    read = sum(len(one.parts) for one in documents)
    bar = progress("data mix", 4 * read, "parts read")
    try:
        candidates = _candidates(_told(documents, bar), config.document_weights)
        if candidates.made is not None and candidates.made.all() and config.heldout_share > 0:
            raise GristmillError(
                "a generator wrote all of these documents, so none can be held out",
                where=inputs["documents"].path,
                mend="give people's documents with --documents and these with --also, or set "
                "--heldout_share 0",
            )
        sites = held_out_sites(
            candidates,
            hosts=config.heldout_hosts,
            share=config.heldout_host_share,
            seed=output.seed,
        )
        heldout = split_heldout(
            candidates, share=config.heldout_share, hosts=sites, seed=output.seed
        )
        written = np.zeros(len(candidates), np.bool_)
        if candidates.made is not None:
            # What was written from a held-out document is neither trained on nor held out.
            written = heldout & candidates.made
            heldout &= ~candidates.made
        leak = found_once(
            output.run.path / "leak.npz",
            lambda: leaking(
                lambda: (table["text"] for table in _told(documents, bar)(["text"])),
                heldout,
                share=config.leak_share,
            ),
        )
        # The copies of a page that quotes a held-out one quote it too.
        groups = candidates.group_codes()
        leaked_groups = np.zeros(len(candidates.groups.names), np.bool_)
        leaked_groups[groups[leak]] = True
        leak |= leaked_groups[groups] & ~heldout
        weights = _weights(config, inputs, candidates)
        plan = plan_mixture(
            candidates,
            heldout,
            excluded=leak | written,
            weighting=config.weighting if weights is None else "manual",
            temperature=config.temperature,
            weights=config.weights if weights is None else weights,
            budget_bytes=config.budget_bytes,
            max_repeats=config.max_repeats,
            anneal_share=config.anneal_share,
            anneal_by_domain=config.anneal_by_domain,
            seed=output.seed,
        )
        check_split(candidates, plan, sites)
        journal, taken = PartJournal(output.run.path, "mix"), MixtureInputs(documents)
        for parts in write_splits(
            engine_of(*output.execution.engine_settings),
            journal,
            taken,
            taken.counts(),
            {"train": plan.train, "heldout": plan.heldout_order},
            partial(_decided, candidates, plan),
            documents_per_part=config.documents_per_part,
            text_bytes=sum(one.text_bytes() for one in documents),
        ):
            bar.advance(read / parts)
        journal.hand_over(output.path)
    finally:
        bar.close()
    present(config, candidates, plan, int((leak & ~written).sum()), output)
    if candidates.made is not None:
        present_made(candidates.made, plan, int(written.sum()), output)


def _told(documents: Sequence[DocumentSet], bar: Progress) -> _Tables:
    """All documents' tables by columns; each that is read advances the bar.

    Synthetic ones have the group of their seed for `near_group`, and the seed's id as `seed`.
    """
    from gristmill.data.documents import seeds_of

    def tables(columns: Sequence[str]) -> Iterator[pa.Table]:
        for one in documents:
            have = one.column_names()
            for part, table in one.tables([name for name in columns if name in have]):
                seeds = seeds_of(one, part) if "near_group" in columns else None
                if seeds is not None:
                    seeds = seeds.take(table["row"])
                    if "near_group" in table.column_names:
                        table = table.drop_columns("near_group")
                    table = table.append_column("near_group", seeds["seed_group"])
                    table = table.append_column("seed", seeds["seed"])
                yield table
                bar.advance(1)

    return tables


def _weights(config: MixConfig, inputs: Inputs, candidates: Candidates) -> dict[str, float] | None:
    """What a file or the slot `learned` says of the domains that are there; None without both."""
    from gristmill.data.domain_weights import WEIGHTS, read_weights

    artifact, file = inputs.get("learned"), config.weights_from.file
    if artifact is not None and file is not None:
        raise GristmillError(
            "weights are given twice, by a file and by a study",
            where="data.mix.weights_from.file",
            mend="leave one of the two out",
        )
    if artifact is None and file is None:
        return None
    weights = read_weights(Path(str(file)) if artifact is None else artifact.file(WEIGHTS))
    there = set(candidates.domains.names.to_pylist())
    found = {name: weight for name, weight in weights.items() if name in there or name == "*"}
    if not found:
        raise GristmillError(
            f"the weights name {', '.join(sorted(weights))}, and no document is of these domains",
            where=file or "learned",
            mend=f"there are {', '.join(sorted(there))}",
        )
    return found


def _candidates(tables: _Tables, weigh: bool) -> Candidates:
    """One entry per document; what no layer says has a plain value: domain 'all', own group."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from gristmill.data.coded import Coded
    from gristmill.data.domains import ALL
    from gristmill.data.mixture import Candidates

    names = ("id", "host", "domain", "near_group", "seed")
    strings: dict[str, list[pa.Array]] = {name: [] for name in names}
    quality, sizes, weights = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0)]
    written = [np.zeros(0, np.bool_)]
    weighed = False
    for table in tables(["id", "host", "text", "domain", "near_group", "quality", "weight"]):
        have = table.column_names
        strings["id"].append(_whole(table["id"]))
        strings["host"].append(_whole(table["host"]))
        domain = table["domain"] if "domain" in have else pa.array([ALL] * len(table))
        strings["domain"].append(_whole(domain))
        # An empty group is none.
        group = table["near_group"] if "near_group" in have else table["id"]
        own = pc.or_kleene(pc.is_null(group), pc.equal(group, ""))
        strings["near_group"].append(_whole(pc.if_else(own, table["id"], group)))
        sizes.append(pc.binary_length(table["text"]).to_numpy().astype(np.int64))
        quality.append(_numbers(table, "quality", np.nan))
        weighed |= weigh and "weight" in have
        written.append(np.full(len(table), "seed" in have))
        seed = table["seed"] if "seed" in have else pa.nulls(len(table), pa.string())
        strings["seed"].append(_whole(seed))
        weights.append(_numbers(table, "weight", 1.0))
    ids, hosts, domains, groups, seeds = (
        pa.chunked_array(strings[name], pa.large_string()) for name in names
    )
    strings.clear()
    any_written = any(one.any() for one in written)
    if any_written:
        # The seed's group as it is called here: these documents may have been grouped anew.
        groups = pc.coalesce(groups.take(pc.index_in(seeds, value_set=ids)), groups)
    made = Candidates(
        Coded.distinct(ids),
        Coded.of(hosts),
        Coded.of(domains),
        Coded.of(groups),
        np.concatenate(quality),
        np.concatenate(sizes),
        np.concatenate(weights) if weighed else None,
        np.concatenate(written) if any_written else None,
    )
    del ids, hosts, domains, groups, seeds
    # Coding takes four times what it leaves, and the pool would keep it.
    pa.default_memory_pool().release_unused()
    return made


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of large strings: many parts of ordinary ones may be more than 2 GB together."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.cast(pa.large_string())


def _numbers(table: pa.Table, name: str, missing: float) -> npt.NDArray[np.float64]:
    """A column as float64; `missing` where it says nothing or is not there."""
    import numpy as np
    import pyarrow as pa

    if name not in table.column_names:
        return np.full(len(table), missing)
    filled = table[name].cast(pa.float64()).fill_null(missing)
    numbers: npt.NDArray[np.float64] = filled.to_numpy()
    return numbers


def _decided(candidates: Candidates, plan: MixturePlan, rows: npt.NDArray[np.int64]) -> pa.Table:
    """The columns of the mixture that these documents have not of their own."""
    import numpy as np
    import pyarrow as pa

    quality = candidates.quality[rows]
    return pa.table(
        {
            "domain": candidates.domains.take(rows),
            "group": candidates.groups.take(rows),
            "quality": pa.array(quality.astype(np.float32), mask=np.isnan(quality)),
            "repeats": pa.array(plan.repeats[rows], pa.int32()),
            "anneal": pa.array(plan.anneal[rows]),
        }
    )
