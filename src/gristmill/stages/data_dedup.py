"""`data dedup`: copies of documents, and text that documents share; one layer.

Order: lines and paragraphs that a site repeats are taken out first, so that one article under two
page designs is one text; then copies by address and exact ones; then near ones among what is left;
then, of what is kept, long passages that stand elsewhere too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, later, stage

if TYPE_CHECKING:
    from gristmill.data.dedup.corpus import DedupSettings
    from gristmill.data.dedup.verdicts import DedupResult


class ExactConfig(StageConfig):
    """Copies with the same text."""

    enabled: bool = True
    normalisation: Literal["whitespace", "none"] = "whitespace"
    """whitespace: layout does not count, case and punctuation do."""
    addresses: bool = later(False)
    """Documents of one address (scheme, www. and fragment aside) are copies too, whatever they
    say; with `--keep '[newest]'` the latest stays. An address of an earlier snapshot is one too."""


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


class ParagraphsConfig(StageConfig):
    """Paragraphs (what stands between blank lines) that many pages of one site share."""

    enabled: bool = False
    share: float = Field(0.1, gt=0.0, le=1.0)
    """Share of a site's distinct pages on which a paragraph must stand to be removed."""
    min_pages: int = Field(3, ge=2)
    """And at least so many pages."""
    min_letters: int = Field(40, ge=1)
    """Paragraphs with fewer letters are left alone."""
    corpus_pages: int = Field(0, ge=0)
    """Paragraphs on so many distinct pages of the whole corpus are removed too; 0: none are."""


class SubstringsConfig(StageConfig):
    """Long passages that stand in several of the documents that are kept, by suffix array."""

    enabled: bool = False
    min_bytes: int = Field(400, ge=20)
    """Passages of at least so many bytes of UTF-8 stay in one document and are cut out of the
    others, at the borders of words."""
    shard_bytes: int = Field(1 << 25, ge=1 << 16, le=1 << 30)
    """Text that is sorted at once, about ten bytes of memory for each."""


class DedupConfig(StageConfig):
    """Which copies are found, and which copy is kept."""

    exact: ExactConfig = ExactConfig()
    near: NearConfig = NearConfig()
    lines: LinesConfig = LinesConfig()
    paragraphs: ParagraphsConfig = later(ParagraphsConfig())
    substrings: SubstringsConfig = later(SubstringsConfig())
    keep: tuple[
        Literal["host", "source", "linked", "quality", "newest", "longest", "short_url", "first"],
        ...,
    ] = later(("host", "source", "linked", "longest", "short_url"))
    """Which copy stays: criteria in their order, the first that differs decides. On a preferred
    host or of a preferred source; to which the most other sites link; best by data quality; latest
    by its date; longest; of the shortest URL; first in the order of documents."""
    prefer_hosts: tuple[str, ...] = ()
    """Hosts whose copies stay, the first most."""
    prefer_sources: tuple[str, ...] = later(())
    """The same of the documents' `source`."""


@stage(
    "data dedup",
    version=2,
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
    summary="drop copies of documents, and lines and passages that repeat",
    example="gristmill data dedup --documents runs/mine/artifacts/data.filter-1a2b --near.words 5",
    seeded=True,
)
def data_dedup(config: DedupConfig, inputs: Inputs, output: Output) -> None:
    """Columns: exact_group and near_group, each the id of the copy that is kept, and kept_because,
    the criterion by which it won over this one."""
    import pyarrow as pa

    from gristmill.data.dedup.corpus import deduplicate
    from gristmill.data.dedup.verdicts import DedupPart
    from gristmill.data.documents import DocumentSet, write_layer
    from gristmill.data.engine.steps import engine_of

    if config.substrings.enabled and config.near.keep_index:
        raise GristmillError(
            "the index is of the texts before passages are cut out of them",
            where="near.keep_index, substrings.enabled",
            mend="leave one of the two off",
        )
    documents = DocumentSet.open(inputs["documents"])

    def write(part: DedupPart) -> None:
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
                "kept_because": pa.array(part.because, pa.string()),
            },
        )

    result = deduplicate(
        documents,
        _settings(config, output.seed),
        write,
        engine=engine_of(*output.execution.engine_settings),
        against=[DocumentSet.open(artifact) for artifact in inputs.many("against")],
        index_folder=output.path if config.near.enabled and config.near.keep_index else None,
        scratch=output.run.path.resolve(),
    )
    output.counts.update(result.counts)
    _present(config, result, output)


def _settings(config: DedupConfig, seed: int) -> DedupSettings:
    from gristmill.data.dedup.corpus import DedupSettings
    from gristmill.data.dedup.corpus_texts import LineSettings
    from gristmill.data.dedup.keep import KeepRule
    from gristmill.data.dedup.near import NearSettings
    from gristmill.data.dedup.substrings import SubstringSettings

    near, lines, paragraphs = config.near, config.lines, config.paragraphs
    units = []
    if lines.enabled:
        units.append(
            LineSettings(
                "line", lines.share, lines.min_pages, lines.min_letters, lines.corpus_pages
            )
        )
    if paragraphs.enabled:
        units.append(
            LineSettings(
                "paragraph",
                paragraphs.share,
                paragraphs.min_pages,
                paragraphs.min_letters,
                paragraphs.corpus_pages,
            )
        )
    return DedupSettings(
        normalisation=config.exact.normalisation if config.exact.enabled else None,
        addresses=config.exact.enabled and config.exact.addresses,
        near=NearSettings(near.words, near.threshold, near.bands, near.rows, seed)
        if near.enabled
        else None,
        near_sample=near.sample,
        lines=tuple(units),
        substrings=SubstringSettings(config.substrings.min_bytes, config.substrings.shard_bytes)
        if config.substrings.enabled
        else None,
        keep=KeepRule(config.keep, config.prefer_hosts, config.prefer_sources),
    )


def _present_substrings(substrings: SubstringsConfig, result: DedupResult, output: Output) -> None:
    counts = result.counts
    gone, searched = counts["repeated_substring_bytes"], counts["bytes_searched"]
    output.figures["dedup.substring_share"] = Figure(gone / max(1, searched), n=searched)
    output.notes.append(
        f"Of {searched:,} bytes {gone:,} in {counts['documents_with_repeated_substrings']:,} "
        f"documents were passages of {substrings.min_bytes} bytes or more that stand in the text "
        "of another."
    )
    if result.substrings:
        output.samples.append(
            Samples(
                "Passages cut, because they stand elsewhere too",
                [{"host": host, "passage": text} for host, text in result.substrings],
            )
        )


def _present(config: DedupConfig, result: DedupResult, output: Output) -> None:
    from gristmill.data.dedup.keep import WON

    counts = result.counts
    total = max(1, counts["documents"])
    names = ["kept", "exact_duplicate", "near_duplicate", "only_repeated_lines"]
    names += [name for name in ("same_address", "only_repeated_substrings") if name in counts]
    if "earlier_documents" in counts:
        names += [name for name in ("same_address_of_earlier",) if name in counts]
        names += ["exact_duplicate_of_earlier", "near_duplicate_of_earlier"]
        output.notes.append(
            f"Compared with {counts['earlier_documents']} earlier documents, of which "
            f"{counts['earlier_documents_by_index']} by their kept index."
        )
    output.figures["dedup.kept"] = Figure(counts["kept"] / total, n=counts["documents"])
    corpus = config.lines.corpus_pages or config.paragraphs.enabled
    lines = "repeated lines" if corpus else "lines that sites repeat"
    output.tables.append(
        Table(
            "Deduplication",
            ("reason", "documents", "share"),
            [(name, counts[name], counts[name] / total) for name in names],
            f"{counts['repeated_lines']} {lines} were taken out of "
            f"{counts['documents_with_repeated_lines']} documents.",
        )
    )
    if result.because:
        output.tables.append(
            Table(
                "Why another copy was kept",
                ("what decided", "copies"),
                [
                    (won, result.because[name])
                    for name, won in WON.items()
                    if name in result.because
                ],
                "The first of the rule's criteria in which the two differ.",
            )
        )
    if config.substrings.enabled:
        _present_substrings(config.substrings, result, output)
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
