"""`data quality`: likeness to the pages that a reference links to, as a calibrated column."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.canonical import write_json
from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gristmill.data.documents import DocumentSet
    from gristmill.data.quality import TrainedQuality

MODEL = "quality.safetensors"
CALIBRATION = "quality.json"
SAMPLE_LETTERS = 300


class QualityConfig(StageConfig):
    """What good means, and how much of it is kept."""

    enabled: bool = True
    """false: every document is kept and `quality` is null."""
    reference_hosts: tuple[str, ...] = ()
    """Sites whose links say what is good; pages that they link to are the positives. Empty: as
    with `enabled: false`, for a text that has no web around it."""
    keep_share: float = Field(0.9, gt=0.0, le=1.0)
    """Share of the documents that is kept, best first. Ignored where `threshold` is given."""
    threshold: float | None = Field(None, ge=0.0, le=1.0)
    """Smallest quality that is kept."""
    keep_reference: bool = True
    """The reference's own pages are kept whatever their score."""
    negatives_per_positive: float = Field(3.0, gt=0.0)
    min_positives: int = Field(30, ge=2)
    """With fewer linked pages no classifier is trained and every document is kept."""
    split_by: str = Field("group", pattern="^(group|host)$")
    """What is never on both sides of a measurement: near copies, or whole sites. By host needs
    several sites in each class."""
    folds: int = Field(5, ge=2, le=20)
    bits: int = Field(18, ge=8, le=24)
    """The classifier has 2^bits weights for hashed n-grams."""
    ngrams: int = Field(2, ge=1, le=5)
    epochs: int = Field(3, ge=1, le=100)


@stage(
    "data quality",
    version=1,
    kind="layer",
    config=QualityConfig,
    inputs={"documents": Slot("layer", "documents", help="documents, or a step after them")},
    summary="score pages by likeness to those a reference links to",
    example="gristmill data quality --documents DEDUP --reference_hosts [encyclopaedia.example]",
    seeded=True,
)
def data_quality(config: QualityConfig, inputs: Inputs, output: Output) -> None:
    """Column: quality (0..1, null where there is no classifier). Reason: low_quality."""
    import numpy as np

    from gristmill.data.classifier import Features, hashed_features
    from gristmill.data.documents import DocumentSet
    from gristmill.data.links import linked_pages
    from gristmill.data.quality import choose_labels, threshold_for_share, train_quality

    documents = DocumentSet.open(inputs["documents"])
    if not config.enabled or not config.reference_hosts:
        return _keep_all(documents, output, "Quality was not judged: no reference was given.")
    has_groups = "near_group" in documents.column_names() and config.split_by == "group"
    names = ["id", "url", "host", "links", *(["near_group"] if has_groups else [])]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    features = []
    for _, table in documents.tables([*names, "text"]):
        for name in names:
            columns[name] += table[name].to_pylist()
        features.append(hashed_features(table["text"], bits=config.bits, ngrams=config.ngrams))
    ids, urls, hosts = ([str(value) for value in columns[n]] for n in ("id", "url", "host"))
    linked = linked_pages(hosts, columns["links"], config.reference_hosts)
    labels = choose_labels(
        ids,
        urls,
        hosts,
        linked,
        config.reference_hosts,
        negatives_per_positive=config.negatives_per_positive,
        seed=output.seed,
    )
    found = min(len(labels.positives), len(labels.negatives))
    if found < config.min_positives:
        return _keep_all(
            documents,
            output,
            f"Quality was not judged: {', '.join(config.reference_hosts)} links to "
            f"{len(labels.positives)} of the kept pages and {len(labels.negatives)} others are "
            f"there to compare with; at least {config.min_positives} of each are needed.",
        )
    groups = columns["near_group"] if has_groups else hosts if config.split_by == "host" else ids
    trained = train_quality(
        Features.join(features),
        labels,
        [str(group) for group in groups],
        bits=config.bits,
        ngrams=config.ngrams,
        fold_count=config.folds,
        epochs=config.epochs,
        seed=output.seed,
    )
    quality = np.concatenate([trained.model.quality(part) for part in features])
    # A labelled page has the score of a model that was not trained on it.
    quality[trained.rows] = trained.held_out
    threshold = config.threshold
    if threshold is None:
        threshold = threshold_for_share(quality, config.keep_share)
    keep = quality >= threshold
    if config.keep_reference:
        own = set(config.reference_hosts)
        keep |= np.array([host in own for host in hosts], np.bool_)
    trained.model.classifier.save(output.path / MODEL)
    write_json(output.path / CALIBRATION, asdict(trained.model.calibration))
    _write(documents, output, quality, keep)
    _present(trained, quality, keep, threshold, output)
    _sample_deciles(documents, quality, output)


def _keep_all(documents: DocumentSet, output: Output, statement: str) -> None:
    _write(documents, output, None, None)
    output.notes.append(statement + " Every document was kept.")
    kept = sum(len(documents.kept_rows(part)) for part in documents.parts)
    output.counts.update(documents=kept, kept=kept, low_quality=0)


def _write(
    documents: DocumentSet,
    output: Output,
    quality: npt.NDArray[np.float64] | None,
    keep: npt.NDArray[np.bool_] | None,
) -> None:
    import numpy as np
    import pyarrow as pa

    from gristmill.data.documents import write_layer

    first = 0
    for part in documents.parts:
        rows = documents.kept_rows(part)
        here = slice(first, first + len(rows))
        first += len(rows)
        kept = np.ones(len(rows), np.bool_) if keep is None else keep[here]
        column = (
            pa.nulls(len(rows), pa.float32())
            if quality is None
            else pa.array(quality[here].astype(np.float32))
        )
        write_layer(
            output.path,
            part,
            documents.read_all(part, ["id"])["id"],
            rows,
            keep=kept,
            reason=[None if k else "low_quality" for k in kept],
            own={"quality": column},
        )


def _present(
    trained: TrainedQuality,
    quality: npt.NDArray[np.float64],
    keep: npt.NDArray[np.bool_],
    threshold: float,
    output: Output,
) -> None:
    from gristmill.data.calibration import calibration_bins, roc_curve

    positives = int(trained.labels.sum())
    negatives = len(trained.labels) - positives
    kept = int(keep.sum())
    output.counts.update(
        documents=len(keep),
        kept=kept,
        low_quality=len(keep) - kept,
        positives=positives,
        negatives=negatives,
    )
    output.figures["quality.linked_auc"] = trained.auc
    output.figures["quality.calibration_error"] = Figure(trained.error, n=len(trained.labels))
    output.figures["quality.kept"] = Figure(kept / max(1, len(keep)), n=len(keep))
    output.figures["quality.threshold"] = Figure(threshold)
    false, true = roc_curve(trained.held_out, trained.labels)
    output.charts.append(
        Chart(
            "Quality: ROC on pages that the model had not seen",
            "share of other pages above the threshold",
            "share of linked pages above it",
            [Series(f"area {trained.auc}", false.tolist(), true.tolist())],
        )
    )
    bins = calibration_bins(trained.held_out, trained.labels)
    output.charts.append(
        Chart(
            "Quality: calibration",
            "quality",
            "share of linked pages",
            [
                Series("observed", [p for p, _, _ in bins], [share for _, share, _ in bins]),
                Series("perfect", [0.0, 1.0], [0.0, 1.0]),
            ],
        )
    )
    output.tables.append(
        Table(
            "Quality",
            ("documents", "count", "mean quality"),
            [
                ("linked by the reference", positives, _mean(trained.held_out[trained.labels])),
                ("others, drawn at random", negatives, _mean(trained.held_out[~trained.labels])),
                ("all", len(keep), _mean(quality)),
                ("kept", kept, _mean(quality[keep])),
                ("dropped", len(keep) - kept, _mean(quality[~keep])),
            ],
            f"Kept from quality {threshold:.3f} on. Quality is the chance of being a linked page "
            "among the labelled ones, so it depends on their proportion. Good pages that the "
            "reference happens not to link to stand among the others: they bound the area.",
        )
    )


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _sample_deciles(
    documents: DocumentSet, quality: npt.NDArray[np.float64], output: Output
) -> None:
    """One document from the middle of each tenth, worst first."""
    import numpy as np

    order = np.argsort(quality, kind="stable")
    middles = ((k + 0.5) / 10 for k in range(10))
    wanted = {int(order[int(share * len(order))]): k for k, share in enumerate(middles)}
    rows: dict[int, dict[str, str]] = {}
    first = 0
    for _, table in documents.tables(["url", "text"]):
        for row, tenth in wanted.items():
            if first <= row < first + table.num_rows:
                rows[tenth] = {
                    "tenth": str(tenth + 1),
                    "quality": f"{quality[row]:.3f}",
                    "url": table["url"][row - first].as_py(),
                    "text": table["text"][row - first].as_py()[:SAMPLE_LETTERS],
                }
        first += table.num_rows
    output.samples.append(
        Samples("Quality: one document of each tenth", [rows[k] for k in sorted(rows)])
    )
