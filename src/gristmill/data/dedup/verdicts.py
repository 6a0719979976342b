"""What deduplication says of each document, and the samples and counts that are shown of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.corpus_texts import Corpus
from gristmill.data.dedup.earlier import Earlier
from gristmill.data.dedup.near import SampleEstimate

EXACT = "exact_duplicate"
NEAR = "near_duplicate"
EXACT_EARLIER = "exact_duplicate_of_earlier"
NEAR_EARLIER = "near_duplicate_of_earlier"
ONLY_LINES = "only_repeated_lines"

LINE_SAMPLES = 12
NEAR_SAMPLES = 8
SAMPLE_LETTERS = 300

Pair = tuple[int, int, float]


@dataclass(frozen=True)
class DedupPart:
    """What `write_layer` wants for one part; groups are ids of the kept copy."""

    name: str
    rows: npt.NDArray[np.int64]
    keep: npt.NDArray[np.bool_]
    reason: list[str | None]
    text: list[str | None] | None
    exact_group: list[str]
    near_group: list[str]


@dataclass(frozen=True)
class DedupResult:
    """counts: documents, kept, each reason, repeated lines. lines: (host, line) samples.
    near_samples: (similarity, kept text, dropped text)."""

    parts: list[DedupPart]
    counts: dict[str, int]
    lines: list[tuple[str, str]]
    near_samples: list[tuple[float, str, str]]
    estimate: SampleEstimate | None


@dataclass(frozen=True)
class Kept:
    """empty: nothing but repeated lines. exact, near: the kept document of each one's group.
    earlier_exact, earlier_near: the earlier document that it is a copy of, or -1."""

    empty: npt.NDArray[np.bool_]
    exact: npt.NDArray[np.int64]
    near: npt.NDArray[np.int64]
    earlier_exact: npt.NDArray[np.int64]
    earlier_near: npt.NDArray[np.int64]


def verdicts(
    corpus: Corpus,
    kept: Kept,
    pairs: list[Pair],
    estimate: SampleEstimate | None,
    earlier: Earlier,
) -> DedupResult:
    """Every document's verdict, by part. pairs: near copies that were found."""
    itself = np.arange(len(corpus.ids))
    empty = kept.empty
    old_exact, old_near = kept.earlier_exact >= 0, kept.earlier_near >= 0
    is_exact = (kept.exact != itself) & ~empty & ~old_exact
    is_near = (kept.near != itself) & ~is_exact & ~empty & ~old_exact & ~old_near
    old_near &= ~is_exact
    reasons = np.full(len(itself), None, object)
    for name, which in (
        (ONLY_LINES, empty),
        (EXACT, is_exact),
        (NEAR, is_near),
        (EXACT_EARLIER, old_exact),
        (NEAR_EARLIER, old_near),
    ):
        reasons[which] = name

    def named(places: npt.NDArray[np.int64], *of_earlier: npt.NDArray[np.int64]) -> list[str]:
        """Ids of the kept copies: an earlier one where there is one."""
        ids = [corpus.ids[i] for i in places]
        for old in of_earlier:
            for i in np.flatnonzero(old >= 0):
                ids[i] = earlier.ids[old[i]]
        return ids

    wanted = _pairs_to_show(pairs, kept.near)
    shown = {row: "" for i, j, _ in wanted for row in (i, j)}
    parts: list[DedupPart] = []
    lines: Counter[tuple[str, str]] = Counter()
    cut = 0
    first = 0
    for name, count in zip(corpus.documents.parts, corpus.counts, strict=True):
        table = corpus.documents.read(name, ["host", "text"])
        text = corpus.changed(name)
        if text is not None:
            cut += sum(new is not None for new in text)
            for _, _, host, gone in corpus.cuts(name):
                lines.update((host, line) for line in gone)
        current = table["text"].to_pylist()
        here = slice(first, first + count)
        for row in sorted(r for r in shown if first <= r < first + count):
            shown[row] = ((text and text[row - first]) or current[row - first])[:SAMPLE_LETTERS]
        reason: list[str | None] = reasons[here].tolist()
        parts.append(
            DedupPart(
                name=name,
                rows=corpus.documents.kept_rows(name),
                keep=np.array([r is None for r in reason], np.bool_),
                reason=reason,
                text=text,
                exact_group=named(kept.exact[here], kept.earlier_exact[here]),
                near_group=named(
                    kept.near[here], kept.earlier_near[here], kept.earlier_exact[here]
                ),
            )
        )
        first += count
    counts = {
        "documents": len(itself),
        "kept": int(sum(part.keep.sum() for part in parts)),
        EXACT: int(is_exact.sum()),
        NEAR: int(is_near.sum()),
        ONLY_LINES: int(empty.sum()),
        "repeated_lines": sum(lines.values()),
        "documents_with_repeated_lines": cut,
    }
    if earlier.ids:
        counts[EXACT_EARLIER] = int(old_exact.sum())
        counts[NEAR_EARLIER] = int(old_near.sum())
        counts["earlier_documents"] = len(earlier.ids)
        counts["earlier_documents_by_index"] = earlier.reused
    examples = sorted(lines, key=lambda found: (-lines[found], found))[:LINE_SAMPLES]
    samples = [(similarity, shown[i], shown[j]) for i, j, similarity in wanted]
    return DedupResult(parts, counts, examples, samples, estimate)


def _pairs_to_show(pairs: list[Pair], near_kept: npt.NDArray[np.int64]) -> list[Pair]:
    """Some direct (kept, dropped) pairs, spread over the similarities: the doubtful ones too."""
    direct = []
    for i, j, similarity in pairs:
        if near_kept[j] == i:
            direct.append((i, j, similarity))
        elif near_kept[i] == j:
            direct.append((j, i, similarity))
    direct.sort(key=lambda pair: (pair[2], pair[0], pair[1]))
    if len(direct) <= NEAR_SAMPLES:
        return direct
    return [direct[k] for k in np.linspace(0, len(direct) - 1, NEAR_SAMPLES).astype(int)]
