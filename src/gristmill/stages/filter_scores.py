"""What the report shows of classifiers of adult and toxic text: what they reached on texts that
they had not seen, and documents of every height of score, so that a person can set a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Figure, Samples, Series, Table, proportion

if TYPE_CHECKING:
    from gristmill.data.filters.corpus import PartVerdicts
    from gristmill.data.filters.own_language import TrainedLanguages
    from gristmill.data.filters.rules import TextUse
    from gristmill.data.filters.trained import Trained
    from gristmill.stages.stage import Output

_TENTHS = 10
_SHOWN = 2
_CHARACTERS = 300


class Scores:
    """Counts and samples by tenth of the score, over all parts; JSON between processes."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.samples: dict[str, list[list[dict[str, str]]]] = {}

    def add(self, part: PartVerdicts) -> None:
        """Takes in the documents of a part that rules on the text have judged."""
        import numpy as np

        for column in part.verdicts.column_names:
            name = column.removesuffix("_score")
            if name == column or name == "language":
                continue
            scores = part.verdicts[column].to_numpy(zero_copy_only=False)
            judged = np.flatnonzero(~np.isnan(scores))
            tenths = np.minimum((scores[judged] * _TENTHS).astype(np.int64), _TENTHS - 1)
            counts = np.bincount(tenths, minlength=_TENTHS).tolist()
            self.counts[name] = [a + b for a, b in zip(self._counts(name), counts, strict=True)]
            for tenth in range(_TENTHS):
                for row in judged[tenths == tenth][:_SHOWN].tolist():
                    self._show(name, tenth, _sample(part, row, float(scores[row])))

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "samples": self.samples}

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Adds what another counted, of the parts that come next."""
        for name, counts in told["counts"].items():
            self.counts[name] = [a + b for a, b in zip(self._counts(name), counts, strict=True)]
        for name, tenths in told["samples"].items():
            for tenth, samples in enumerate(tenths):
                for sample in samples:
                    self._show(name, tenth, sample)

    def present(self, uses: Mapping[str, TextUse], output: Output) -> None:
        """A table of how many documents stand where, and samples, highest first."""
        for name, counts in sorted(self.counts.items()):
            use = uses[name]
            said = [f"{deed} from {at:g} on" for deed, at in _deeds(use) if at is not None]
            output.tables.append(
                Table(
                    f"{name.capitalize()} text: documents by score",
                    ("score", "documents"),
                    [
                        (f"{tenth / _TENTHS:.1f} to {(tenth + 1) / _TENTHS:.1f}", counts[tenth])
                        for tenth in reversed(range(_TENTHS))
                    ],
                    f"{', '.join(said) or 'Nothing follows from the score'}.".capitalize(),
                )
            )
            rows = [s for tenth in reversed(self.samples[name]) for s in tenth]
            output.samples.append(
                Samples(f"{name.capitalize()} text: documents of each tenth of the score", rows)
            )

    def _counts(self, name: str) -> list[int]:
        return self.counts.setdefault(name, [0] * _TENTHS)

    def _show(self, name: str, tenth: int, sample: dict[str, str]) -> None:
        shown = self.samples.setdefault(name, [[] for _ in range(_TENTHS)])[tenth]
        if len(shown) < _SHOWN:
            shown.append(sample)


def present_training(name: str, trained: Trained, output: Output) -> None:
    """Figures, the table of thresholds, and the curves, all on texts not trained on."""
    from gristmill.data.calibration import calibration_bins, roc_curve
    from gristmill.data.filters.trained import operating_points

    yes = int(trained.labels.sum())
    count = len(trained.labels)
    output.figures[f"{name}.held_out_area"] = trained.area
    output.figures[f"{name}.average_precision"] = Figure(trained.average_precision, n=count)
    output.figures[f"{name}.calibration_error"] = Figure(trained.calibration_error, n=count)
    points = operating_points(trained.held_out, trained.labels)
    title = f"{name.capitalize()} classifier"
    output.tables.append(
        Table(
            f"{title}: what a threshold does",
            ("threshold", "precision", "recall", "false alarms"),
            [(p.threshold, p.precision, p.recall, p.false_alarms) for p in points],
            f"{yes} labelled {name}, {count - yes} not, each judged by a classifier that had not "
            "seen it. Precision holds for a corpus that is mixed as the file is; false alarms are "
            "the share of honest texts.",
        )
    )
    false, true = roc_curve(trained.held_out, trained.labels)
    output.charts.append(
        Chart(
            f"{title}: ROC on texts that it had not seen",
            "share of other texts above the threshold",
            f"share of {name} texts above it",
            [Series(f"area {trained.area}", false.tolist(), true.tolist())],
        )
    )
    fine = operating_points(trained.held_out, trained.labels, tuple(k / 100 for k in range(1, 100)))
    drawn = [(p.recall, p.precision) for p in fine if p.precision is not None]
    output.charts.append(
        Chart(
            f"{title}: precision and recall",
            "recall",
            "precision",
            [
                Series(
                    f"average precision {trained.average_precision:.3f}",
                    [recall for recall, _ in drawn],
                    [precision for _, precision in drawn],
                )
            ],
        )
    )
    bins = calibration_bins(trained.held_out, trained.labels)
    output.charts.append(
        Chart(
            f"{title}: calibration",
            "score",
            f"share of {name} texts",
            [
                Series("observed", [p for p, _, _ in bins], [share for _, share, _ in bins]),
                Series("perfect", [0.0, 1.0], [0.0, 1.0]),
            ],
        )
    )


def present_languages(trained: TrainedLanguages, output: Output) -> None:
    """How right a language model was of texts that it had not seen, by language."""
    right = trained.said == trained.true
    output.figures["language.accuracy"] = proportion(int(right.sum()), len(right))
    output.figures["language.confidence"] = Figure(float(trained.score.mean()), n=len(right))
    confused: dict[str, list[str]] = {}
    for language, other, count in trained.mistakes():
        confused.setdefault(language, []).append(f"{other} {count}")
    rows = []
    for place, language in enumerate(trained.model.labels):
        of_it, called = trained.true == place, trained.said == place
        hits = int((of_it & called).sum())
        texts = int(of_it.sum())
        precision = proportion(hits, int(called.sum())) if called.any() else None
        taken = ", ".join(confused.get(language, [])[:_SHOWN])
        rows.append((language, texts, precision, proportion(hits, texts), taken))
    output.tables.append(
        Table(
            "Language model: texts that it had not seen",
            ("language", "texts", "precision", "recall", "taken for"),
            rows,
            "Each text was judged by a model that was trained on the others. Compare the "
            "confidence, the mean of what it says, with the accuracy.",
        )
    )


def _deeds(use: TextUse) -> list[tuple[str, float | None]]:
    return [("dropped", use.drop), ("marked", use.mark), ("of lower weight", use.lower)]


def _sample(part: PartVerdicts, row: int, score: float) -> dict[str, str]:
    return {
        "score": f"{score:.3f}",
        "reason": part.verdicts["reason"][row].as_py() or "",
        "url": part.documents["url"][row].as_py(),
        "text": part.documents["text"][row].as_py()[:_CHARACTERS],
    }
