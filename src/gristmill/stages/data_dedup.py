"""`data dedup`: exact and near duplicates, and lines repeated across a site; one layer.

Order: lines that a site repeats are taken out first, so that one article under two page designs is
one text; then exact copies by hash; then near copies among what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, later, stage

if TYPE_CHECKING:
    from gristmill.data.dedup.verdicts import DedupResult


class ExactConfig(StageConfig):
    """Copies with the same text."""

    enabled: bool = True
    normalisation: Literal["whitespace", "none"] = "whitespace"
    """whitespace: layout does not count, case and punctuation do."""


class NearConfig(StageConfig):
    """MinHash over word n-grams, LSH, exact check of candidates, connected components."""

    enabled: bool = True
    words: int = Field(5, ge=1, le=50)
    """Words per shingle. On texts of 75 words one changed word leaves 0.87 Jaccard at 5."""
    threshold: float = Field(0.5, gt=0.0, le=1.0)
    """Smallest exact Jaccard similarity of a near duplicate."""
    bands: int = Field(25, ge=1, le=256)
    """A pair of similarity s is looked at with the probability 1 - (1 - s^rows)^bands."""
    rows: int = Field(4, ge=1, le=64)
    sample: int = Field(1000, ge=0)
    """Documents compared exactly with all others, to estimate precision and recall; 0: none."""
    keep_index: bool = later(False)
    """Keep the index (4 bytes a band and document), so that a later `--against` this need not read
    the texts again."""


class LinesConfig(StageConfig):
    """Lines that many pages of one site share."""

    enabled: bool = True
    share: float = Field(0.2, gt=0.0, le=1.0)
    """Share of a site's distinct pages on which a line must stand to be removed."""
    min_pages: int = Field(5, ge=2)
    """And at least so many pages."""
    min_letters: int = Field(8, ge=1)
    """Lines with fewer letters (braces, rules, `else:`) are left alone."""
    corpus_pages: int = later(0, ge=0)
    """Lines on so many distinct pages of the whole corpus are removed too; 0: none are."""


class DedupConfig(StageConfig):
    """Which copies are found, and which copy is kept."""

    exact: ExactConfig = ExactConfig()
    near: NearConfig = NearConfig()
    lines: LinesConfig = LinesConfig()
    prefer_hosts: tuple[str, ...] = ()
    """Of several copies the one on the first of these hosts is kept; then the one to which the most
    other sites link, then the longest text, then the shortest URL."""


@stage(
    "data dedup",
    version=1,
    kind="layer",
    config=DedupConfig,
    inputs={
        "documents": Slot("layer", "documents", help="documents, or a step after them"),
        "against": Slot(
            "layer",
            "documents",
            optional=True,
            many=True,
            named=True,
            help="earlier documents, or a step after them: copies of what they keep are dropped",
        ),
    },
    summary="exact and near duplicates, lines repeated on a site",
    example="gristmill data dedup --documents runs/mine/artifacts/data.filter-1a2b --near.words 5",
    seeded=True,
)
def data_dedup(config: DedupConfig, inputs: Inputs, output: Output) -> None:
    """Columns: exact_group and near_group, each the id of the copy that is kept."""
    import pyarrow as pa

    from gristmill.data.dedup.corpus import DedupSettings, deduplicate
    from gristmill.data.dedup.earlier import read_earlier
    from gristmill.data.dedup.near import NearSettings
    from gristmill.data.documents import DocumentSet, write_layer

    documents = DocumentSet.open(inputs["documents"])
    near = config.near
    settings = DedupSettings(
        normalisation=config.exact.normalisation if config.exact.enabled else None,
        near=NearSettings(near.words, near.threshold, near.bands, near.rows, output.seed)
        if near.enabled
        else None,
        near_sample=near.sample,
        line_share=config.lines.share if config.lines.enabled else None,
        line_min_pages=config.lines.min_pages,
        line_min_letters=config.lines.min_letters,
        line_corpus_pages=config.lines.corpus_pages,
        prefer_hosts=config.prefer_hosts,
    )
    result = deduplicate(
        documents,
        settings,
        workers=output.execution.workers,
        earlier=read_earlier(
            [DocumentSet.open(artifact) for artifact in inputs.many("against")],
            settings.near,
            settings.normalisation or "none",
        ),
        index_folder=output.path if near.enabled and near.keep_index else None,
        scratch=output.run.path,
    )
    for part in result.parts:
        write_layer(
            output.path,
            part.name,
            documents.read_all(part.name, ["id"])["id"],
            part.rows,
            keep=part.keep,
            reason=part.reason,
            text=part.text,
            own={
                "exact_group": pa.array(part.exact_group, pa.string()),
                "near_group": pa.array(part.near_group, pa.string()),
            },
        )
    output.counts.update(result.counts)
    _present(config, result, output)


def _present(config: DedupConfig, result: DedupResult, output: Output) -> None:
    counts = result.counts
    total = max(1, counts["documents"])
    names = ["kept", "exact_duplicate", "near_duplicate", "only_repeated_lines"]
    if "earlier_documents" in counts:
        names += ["exact_duplicate_of_earlier", "near_duplicate_of_earlier"]
        output.notes.append(
            f"Compared with {counts['earlier_documents']} earlier documents, of which "
            f"{counts['earlier_documents_by_index']} by their kept index."
        )
    output.figures["dedup.kept"] = Figure(counts["kept"] / total, n=counts["documents"])
    lines = "repeated lines" if config.lines.corpus_pages else "lines that sites repeat"
    output.tables.append(
        Table(
            "Deduplication",
            ("reason", "documents", "share"),
            [(name, counts[name], counts[name] / total) for name in names],
            f"{counts['repeated_lines']} {lines} were taken out of "
            f"{counts['documents_with_repeated_lines']} documents.",
        )
    )
    if result.lines:
        output.samples.append(
            Samples(
                "Lines repeated across a site",
                [{"host": host, "line": line} for host, line in result.lines],
            )
        )
    if result.near_samples:
        output.samples.append(
            Samples(
                "Near duplicates",
                [
                    {"similarity": f"{s:.3f}", "kept": kept, "dropped": dropped}
                    for s, kept, dropped in result.near_samples
                ],
                "Exact Jaccard similarity of the closest pair of each group that is shown.",
            )
        )
    if config.near.enabled:
        _present_near(config.near, result, output)


def _present_near(near: NearConfig, result: DedupResult, output: Output) -> None:
    from gristmill.data.dedup.lsh import candidate_probability

    grid = [i / 50 for i in range(51)]
    curve = [candidate_probability(s, near.bands, near.rows) for s in grid]
    output.charts.append(
        Chart(
            f"Chance that a pair is looked at ({near.bands} bands of {near.rows} rows)",
            "Jaccard similarity",
            "probability",
            [Series("1 - (1 - s^r)^b", grid, curve)],
        )
    )
    estimate = result.estimate
    if estimate is None:
        return
    output.figures["dedup.sample_precision"] = estimate.precision
    output.figures["dedup.sample_recall"] = estimate.recall
    where = ", among the new documents" if "earlier_documents" in result.counts else ""
    bins = [i / 20 for i in range(6, 20)]
    rows = []
    for low in bins:
        inside = (estimate.similarities >= low) & (estimate.similarities < low + 0.05)
        if low == bins[-1]:
            inside |= estimate.similarities >= 1.0
        pairs = int(inside.sum())
        rows.append((f"{low:.2f} to {low + 0.05:.2f}", pairs, int(estimate.found[inside].sum())))
    output.tables.append(
        Table(
            f"Exact similarity of {estimate.sampled} sampled documents with all others",
            ("Jaccard", "pairs", "of these in one group"),
            rows,
            f"A near duplicate is a pair of at least {near.threshold}. Estimated precision "
            f"{estimate.precision}, recall {estimate.recall}, after exact copies are gone{where}.",
        )
    )
