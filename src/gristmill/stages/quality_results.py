"""What `data quality` shows: ROC, calibration, what each share would keep, documents to read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gristmill.core.figure import Chart, Figure, Samples, Series, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from gristmill.data.documents import DocumentSet
    from gristmill.data.quality import TrainedQuality
    from gristmill.stages.data_quality import QualityConfig
    from gristmill.stages.stage import Output

SHARES = (1.0, 0.9, 0.6, 0.3, 0.1)
_SHOWN = 2
_CHARACTERS = 300


@dataclass(frozen=True)
class Scored:
    """Every document's quality and bytes, and which are kept. own: pages of the reference."""

    quality: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.int64]
    own: npt.NDArray[np.bool_]
    threshold: float
    keep: npt.NDArray[np.bool_]

    @classmethod
    def choose(
        cls,
        config: QualityConfig,
        quality: npt.NDArray[np.float64],
        sizes: npt.NDArray[np.int64],
        hosts: Sequence[str],
    ) -> Scored:
        """Keeps what reaches the threshold, or the asked share, and the reference's own pages."""
        import numpy as np

        from gristmill.data.quality import threshold_for_share

        threshold = config.threshold
        if threshold is None:
            threshold = threshold_for_share(quality, config.keep_share)
        sites = set(config.reference_hosts)
        own = np.array([host in sites for host in hosts], np.bool_)
        keep = quality >= threshold
        if config.keep_reference:
            keep = keep | own
        return cls(quality, sizes, own, threshold, keep)


def present(trained: TrainedQuality, scored: Scored, output: Output) -> None:
    """How good the classifier is on pages that it had not seen, and what shares would keep."""
    from gristmill.data.calibration import calibration_bins, roc_curve
    from gristmill.data.quality import kept_shares

    positives = int(trained.labels.sum())
    negatives = len(trained.labels) - positives
    output.counts.update(positives=positives, negatives=negatives)
    output.figures["quality.linked_auc"] = trained.auc
    output.figures["quality.calibration_error"] = Figure(trained.error, n=len(trained.labels))
    false, true = roc_curve(trained.held_out, trained.labels)
    output.charts.append(
        Chart(
            "Quality: ROC on pages that the model had not seen",
            "share of other pages above the threshold",
            "share of linked pages above it",
            [
                Series(f"area {trained.auc}", false.tolist(), true.tolist()),
                Series("chance", [0.0, 1.0], [0.0, 1.0]),
            ],
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
                ("good: linked, or named", positives, _mean(trained.held_out[trained.labels])),
                ("others, at random or named", negatives, _mean(trained.held_out[~trained.labels])),
                ("all", len(scored.keep), _mean(scored.quality)),
                ("kept", int(scored.keep.sum()), _mean(scored.quality[scored.keep])),
                ("dropped", int((~scored.keep).sum()), _mean(scored.quality[~scored.keep])),
            ],
            f"Kept from quality {scored.threshold:.3f} on. Quality is the chance of being a linked "
            "page among the labelled ones, so it depends on their proportion. Good pages that the "
            "reference happens not to link to stand among the others: they bound the area.",
        )
    )
    total = max(1, int(scored.sizes.sum()))
    found = kept_shares(scored.quality, scored.sizes, trained.held_out, trained.labels, SHARES)
    output.tables.append(
        Table(
            "Quality: what each share would keep",
            ("share", "from quality", "documents", "bytes", "of the linked", "of the others"),
            [
                (
                    one.share,
                    one.threshold if math.isfinite(one.threshold) else None,
                    one.documents,
                    one.bytes / total,
                    one.linked,
                    one.others,
                )
                for one in found
            ],
            "By score alone, the reference's own pages among the rest; shares of the labelled "
            "pages by models that had not seen them. Set --keep_share.",
        )
    )


def present_scores(config: QualityConfig, scored: Scored, output: Output) -> None:
    """What was kept; a note where that is not the share that was asked for."""
    kept, count = int(scored.keep.sum()), len(scored.keep)
    output.counts.update(documents=count, kept=kept, low_quality=count - kept)
    share = kept / max(1, count)
    output.figures["quality.kept"] = Figure(share, n=count)
    output.figures["quality.threshold"] = Figure(scored.threshold)
    below = int((scored.keep & (scored.quality < scored.threshold)).sum())
    if below:
        output.notes.append(
            f"{below} pages of the reference itself are below the threshold and kept all the same, "
            f"so {share:.1%} of the documents are kept"
            + (f", not {config.keep_share:.0%}" if config.threshold is None else "")
            + "; --keep_reference false holds them to it too."
        )


def sample_tenths(documents: DocumentSet, quality: npt.NDArray[np.float64], output: Output) -> None:
    """Documents spread over each tenth by quality, worst first."""
    import numpy as np

    if not len(quality):
        return
    order = np.argsort(quality, kind="stable")
    wanted: dict[int, int] = {}
    for tenth in range(10):
        for place in range(_SHOWN):
            at = (tenth + (place + 0.5) / _SHOWN) / 10
            wanted.setdefault(int(order[int(at * len(order))]), tenth)
    rows: dict[int, dict[str, str]] = {}
    first = 0
    for _, table in documents.tables(["url", "text"]):
        for row, tenth in wanted.items():
            if first <= row < first + table.num_rows:
                rows[row] = {
                    "tenth": str(tenth + 1),
                    "quality": f"{quality[row]:.3f}",
                    "url": table["url"][row - first].as_py(),
                    "text": table["text"][row - first].as_py()[:_CHARACTERS],
                }
        first += table.num_rows
    output.samples.append(
        Samples(
            "Quality: documents of each tenth, worst first",
            [rows[row] for row in sorted(wanted, key=lambda row: (quality[row], row))],
        )
    )


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
