"""What `data filter` tells of its run: documents and words left after each group of rules, reasons,
languages, personal data, samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    from gristmill.data.filters.corpus import PartVerdicts

_SAMPLES_PER_REASON: Final = 2
_SAMPLE_CHARACTERS: Final = 300
_REASONS_SHOWN: Final = 2
# As the chain has them.
_ORDER: Final = (
    "quarantine", "boilerplate", "spam", "adult", "toxic", "language", "gopher_repetition",
    "gopher_quality", "c4", "fineweb", "outliers", "custom", "personal_data",
)  # fmt: skip
_COUNTED: Final = (
    "documents", "kept", "words", "words_kept", "failed",
    # Of kept documents: those that lost lines and those that were masked, and characters before.
    "shortened", "masked", "words_cut", "characters", "characters_kept",
)  # fmt: skip


class FilterSummary:
    """Counts and samples of all parts, for the manifest and the report."""

    def __init__(self) -> None:
        from gristmill.data.sources.shares import Shares

        self.documents = self.kept = self.words = self.words_kept = self.failed = 0
        self.shortened = self.masked = self.words_cut = self.characters = self.characters_kept = 0
        self.reasons: Counter[str] = Counter()
        self.reason_words: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.personal: Counter[str] = Counter()
        self.samples: dict[str, list[dict[str, str]]] = {}
        self.first_failure = ""
        self.shares = Shares()

    def add(self, part: PartVerdicts) -> None:
        """Counts a part."""
        import json

        import pyarrow.compute as pc

        keep = part.verdicts["keep"].to_numpy()
        words = pc.fill_null(part.verdicts["words"], 0).to_numpy()
        self.failed += len(part.failures)
        if part.failures and not self.first_failure:
            self.first_failure = part.failures[0].reason
        self.documents += len(keep)
        self.kept += int(keep.sum())
        self.words += int(words.sum())
        cut = self._changed(part, keep, words)
        self.words_cut += cut
        self.words_kept += int(words[keep].sum()) - cut
        told = pc.fill_null(part.verdicts["language"], "not told")
        for entry in pc.value_counts(told).to_pylist():
            self.languages[entry["values"]] += entry["counts"]
        for found in part.verdicts["personal_data"].drop_null().to_pylist():
            self.personal.update(span["kind"] for span in json.loads(found))
        for row in (~keep).nonzero()[0].tolist():
            self._dropped(part, row, int(words[row]))
        self._share(part, keep)

    def to_json(self) -> dict[str, Any]:
        """For a journal and between processes; `take_up` adds it."""
        return {**vars(self), "shares": self.shares.to_json()}

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Adds what another summary counted, of the parts that come next."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + told[name])
        for name in ("reasons", "reason_words", "languages", "personal"):
            getattr(self, name).update(told[name])
        for reason, samples in told["samples"].items():
            shown = self.samples.setdefault(reason, [])
            shown += samples[: _SAMPLES_PER_REASON - len(shown)]
        self.first_failure = self.first_failure or told["first_failure"]
        self.shares.take_up(told["shares"])

    def _changed(self, part: PartVerdicts, keep: Any, words: Any) -> int:
        """Counts the kept texts that are new; returns how many words fewer they have."""
        import pyarrow.compute as pc

        texts = part.verdicts["text"]
        cut = 0
        for row in (keep & texts.is_valid().to_numpy()).nonzero()[0].tolist():
            old, new = part.documents["text"][row].as_py(), texts[row].as_py()
            cut += int(words[row]) - len(new.split())
            masked = part.verdicts["personal_data"][row].is_valid
            self.masked += masked
            self.shortened += not masked or new.count("\n") < old.count("\n")
        before, after = (
            pc.sum(pc.utf8_length(of).filter(pc.equal(part.verdicts["keep"], True))).as_py() or 0
            for of in (part.documents["text"], _texts_left(part))
        )
        self.characters += before
        self.characters_kept += after
        return cut

    def _share(self, part: PartVerdicts, keep: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        names = ("source", "licence", "opt-out")
        stated = {
            name: pa.array(column, pa.string())
            for name, column in zip(names, part.stated, strict=True)
        }
        lengths = pc.utf8_length(_texts_left(part))
        kept = pa.table({**stated, "characters": lengths}).filter(pa.array(keep))
        groups = kept.group_by(list(names), use_threads=False)
        for group in groups.aggregate([("characters", "count"), ("characters", "sum")]).to_pylist():
            counts = [group["characters_count"], group["characters_sum"]]
            self.shares.take_up({name: {group[name] or "": counts} for name in names})

    def _dropped(self, part: PartVerdicts, row: int, words: int) -> None:
        reason = part.verdicts["reason"][row].as_py()
        self.reasons[reason] += 1
        self.reason_words[reason] += words
        shown = self.samples.setdefault(reason, [])
        if len(shown) < _SAMPLES_PER_REASON:
            shown.append(
                {
                    "reason": reason,
                    "detail": part.verdicts["detail"][row].as_py() or "",
                    "url": part.documents["url"][row].as_py(),
                    "text": part.documents["text"][row].as_py()[:_SAMPLE_CHARACTERS],
                }
            )

    def present(self, output: Output) -> None:
        """Into the manifest and the report. Raises GristmillError where more documents failed than
        were kept."""
        if self.failed > self.kept:
            raise GristmillError(
                f"{self.failed} of {self.documents} documents could not be processed, "
                f"the first with: {self.first_failure}",
                where="data.filter.custom",
                mend="most likely your own filter raises it",
            )
        total = max(1, self.documents)
        by_size = sorted(self.reasons, key=lambda name: (-self.reasons[name], name))
        groups: Counter[str] = Counter()
        for reason in by_size:
            groups[reason.partition(".")[0]] += self.reasons[reason]
        output.counts.update(
            documents=self.documents,
            kept=self.kept,
            dropped=self.documents - self.kept,
            words=self.words,
            words_kept=self.words_kept,
            quarantined=self.failed,
            **{f"dropped_{group}": count for group, count in sorted(groups.items())},
            **{f"personal_data_{kind}": count for kind, count in sorted(self.personal.items())},
        )
        if self.shortened:
            output.notes.append(
                f"Lines removed from {self.shortened:,} of {self.kept:,} kept documents: "
                f"{self.characters - self.characters_kept:,} of {self.characters:,} characters"
                + (f" (personal data masked in {self.masked:,})." if self.masked else ".")
            )
        output.figures["filter.kept"] = Figure(self.kept / total, n=self.documents)
        output.tables.append(self._steps(by_size))
        output.tables.append(
            Table(
                "Reasons",
                ("reason", "documents", "share", "words"),
                [
                    (name, self.reasons[name], self.reasons[name] / total, self.reason_words[name])
                    for name in by_size
                ],
                "A document counts under its first reason; the layer's column reasons_all has all.",
            )
        )
        output.tables.append(
            Table("Languages", ("language", "documents"), self.languages.most_common(20))
        )
        if self.personal:
            output.tables.append(
                Table(
                    "Personal data in kept documents",
                    ("kind", "found"),
                    sorted(self.personal.items()),
                )
            )
        output.charts.append(_bars(groups))
        self.shares.present(output, "filter")
        rows = [sample for name in by_size for sample in self.samples[name]]
        output.samples.append(Samples("Dropped by the filters", rows))

    def _steps(self, by_size: Sequence[str]) -> Table:
        """What is left after each group of rules, in their order."""
        dropped: dict[str, list[str]] = {}
        for reason in by_size:
            dropped.setdefault(reason.partition(".")[0], []).append(reason)
        # What drops by address or terms, and a user's own, are in no list.
        place = {group: number for number, group in enumerate(_ORDER)}
        documents, words = self.documents, self.words
        rows: list[tuple[str, int, int, int, str]] = [("all", 0, documents, words, "")]
        for group in sorted(dropped, key=lambda group: (place.get(group, -1), group)):
            reasons = dropped[group]
            count = sum(self.reasons[reason] for reason in reasons)
            documents -= count
            words -= sum(self.reason_words[reason] for reason in reasons)
            told = [
                f"{reason.partition('.')[2] or reason} {self.reasons[reason]:,}"
                for reason in reasons[:_REASONS_SHOWN]
            ]
            rows.append((group, count, documents, words, ", ".join(told)))
        if self.words_cut:
            what = f"from {self.shortened:,} documents" if self.shortened else "personal data"
            rows.append(("lines removed" if self.shortened else "masked", 0, documents,
                         words - self.words_cut, what))  # fmt: skip
        return Table(
            "Filters",
            ("rules", "dropped", "documents left", "words left", "for the most part"),
            rows,
            "A document counts under its first reason. What its address or licence drops is not "
            "read, and its words are not counted.",
        )


def _texts_left(part: PartVerdicts) -> Any:
    import pyarrow.compute as pc

    return pc.coalesce(part.verdicts["text"], part.documents["text"])


def _bars(groups: Counter[str]) -> Chart:
    named = groups.most_common()
    return Chart(
        "Documents dropped, by group of rules",
        "rules",
        "documents",
        [Series("dropped", list(range(len(named))), [float(count) for _, count in named])],
        style="bar",
        categories=tuple(name for name, _ in named),
    )
