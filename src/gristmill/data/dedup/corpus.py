"""Deduplication of a document set, all steps in their order, with what each found.

1 count lines by site and take out the repeated ones, 2 exact groups of what is left, 3 near groups
of one document of each exact group, 4 rank the copies, 5 keep one of each group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.progress import track
from gristmill.data.dedup.exact import (
    Normalisation,
    first_with,
    keep_order,
    kept_of_group,
    text_digest,
)
from gristmill.data.dedup.lines import SiteLines, remove_lines
from gristmill.data.dedup.near import NearSettings, SampleEstimate, near_groups, sample_estimate
from gristmill.data.documents import DocumentSet
from gristmill.data.links import LinkingSites, same_page

EXACT = "exact_duplicate"
NEAR = "near_duplicate"
ONLY_LINES = "only_repeated_lines"

LINE_SAMPLES = 12
NEAR_SAMPLES = 8
SAMPLE_LETTERS = 300


@dataclass(frozen=True)
class DedupSettings:
    """None switches a step off: normalisation (exact), near, line_share (lines)."""

    normalisation: Normalisation | None = "whitespace"
    near: NearSettings | None = field(default_factory=NearSettings)
    near_sample: int = 1000
    line_share: float | None = 0.2
    line_min_pages: int = 5
    line_min_letters: int = 8
    prefer_hosts: tuple[str, ...] = ()


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


@dataclass
class _Corpus:
    """What is held for every document while its text is not."""

    documents: DocumentSet
    repeated: dict[str, frozenset[bytes]]
    ids: list[str]
    urls: list[str]
    hosts: list[str]
    counts: list[int]

    def texts(self, part: str) -> list[str]:
        """The part's texts without the lines that its sites repeat."""
        table = self.documents.read(part, ["host", "text"])
        return [new if new is not None else old for old, new in self._cut(table)]

    def changed(self, part: str) -> list[str | None] | None:
        """The new texts, None where unchanged; None where no text of the part changed."""
        if not self.repeated:
            return None
        new = [text for _, text in self._cut(self.documents.read(part, ["host", "text"]))]
        return new if any(text is not None for text in new) else None

    def _cut(self, table: pa.Table) -> Iterable[tuple[str, str | None]]:
        hosts, texts = table["host"].to_pylist(), table["text"].to_pylist()
        for host, text in zip(hosts, texts, strict=True):
            lines = self.repeated.get(host)
            yield text, remove_lines(text, lines) if lines else None


def deduplicate(
    documents: DocumentSet, settings: DedupSettings, *, workers: int = 1
) -> DedupResult:
    """Groups and verdicts of every document that the layers below keep.

    The result does not depend on `workers`, nor on how documents are spread over parts.
    """
    corpus = _read(documents, settings)
    total = len(corpus.ids)
    digests: list[bytes] = []
    lengths = np.zeros(total, np.int64)
    for part in track(documents.parts, "exact duplicates", unit="parts"):
        texts = corpus.texts(part)
        lengths[len(digests) : len(digests) + len(texts)] = [len(text) for text in texts]
        digests += [text_digest(text, settings.normalisation or "none") for text in texts]
    empty = (lengths == 0) if corpus.repeated else np.zeros(total, np.bool_)
    # A page of nothing but repeated lines is dropped for that, and is nobody's copy.
    keys = [(i, b"") if empty[i] else (-1, digest) for i, digest in enumerate(digests)]
    exact = first_with(keys) if settings.normalisation else np.arange(total)
    near, pairs, estimate = _near(corpus, exact, settings, workers)
    ranks = keep_order(
        corpus.hosts, _linking_sites(corpus, near), lengths, corpus.urls, settings.prefer_hosts
    )
    kept = _Kept(empty, kept_of_group(exact, ranks), kept_of_group(near, ranks))
    return _verdicts(corpus, kept, pairs, estimate)


def _read(documents: DocumentSet, settings: DedupSettings) -> _Corpus:
    corpus = _Corpus(documents, {}, [], [], [], [])
    sites = SiteLines(settings.line_min_letters)
    for part in track(documents.parts, "repeated lines", unit="parts"):
        table = documents.read(part, ["id", "url", "host", "text"])
        corpus.ids += table["id"].to_pylist()
        corpus.urls += table["url"].to_pylist()
        corpus.hosts += table["host"].to_pylist()
        corpus.counts.append(table.num_rows)
        if settings.line_share is None:
            continue
        texts = table["text"].to_pylist()
        for host, text in zip(table["host"].to_pylist(), texts, strict=True):
            sites.add(host, text_digest(text), text)
    if settings.line_share is not None:
        corpus.repeated = sites.repeated(
            share=settings.line_share, min_pages=settings.line_min_pages
        )
    return corpus


Pair = tuple[int, int, float]


@dataclass(frozen=True)
class _Kept:
    """empty: nothing but repeated lines. exact, near: the kept document of each one's group."""

    empty: npt.NDArray[np.bool_]
    exact: npt.NDArray[np.int64]
    near: npt.NDArray[np.int64]


def _near(
    corpus: _Corpus, exact: npt.NDArray[np.int64], settings: DedupSettings, workers: int
) -> tuple[npt.NDArray[np.int64], list[Pair], SampleEstimate | None]:
    """The near group of each document (its smallest row), pairs that were found, the estimate."""
    if settings.near is None or not corpus.ids:
        return exact, [], None
    distinct = np.flatnonzero(exact == np.arange(len(exact)))
    parts = _distinct_texts(corpus, distinct)
    found = near_groups(parts, settings.near, workers=workers)
    group = np.empty(len(exact), np.int64)
    group[distinct] = distinct[found.groups]
    pairs = [
        (int(distinct[i]), int(distinct[j]), float(similarity))
        for (i, j), similarity in zip(found.pairs.tolist(), found.similarity, strict=True)
    ]
    estimate = None
    if settings.near_sample:
        estimate = sample_estimate(parts, found.groups, settings.near, sample=settings.near_sample)
    # An exact copy belongs to the near group of its twin.
    return group[exact], pairs, estimate


def _linking_sites(corpus: _Corpus, groups: npt.NDArray[np.int64]) -> list[int]:
    """For each document that has copies, how many other sites link to it; 0 for the others."""
    copied = np.bincount(groups, minlength=len(groups))[groups] > 1
    pages = [
        same_page(url) if has_copies else ""
        for url, has_copies in zip(corpus.urls, copied, strict=True)
    ]
    sites = LinkingSites({page for page in pages if page})
    if copied.any():
        for _, table in corpus.documents.tables(["host", "links"]):
            pairs = zip(table["host"].to_pylist(), table["links"].to_pylist(), strict=True)
            for host, targets in pairs:
                sites.add(host, targets)
    return [sites.count(page) if page else 0 for page in pages]


def _distinct_texts(
    corpus: _Corpus, distinct: npt.NDArray[np.int64]
) -> Callable[[], Iterable[Sequence[str]]]:
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(corpus.counts)])

    def parts() -> Iterable[Sequence[str]]:
        for number, part in enumerate(corpus.documents.parts):
            low, high = np.searchsorted(distinct, bounds[number : number + 2])
            texts = corpus.texts(part)
            yield [texts[row] for row in distinct[low:high] - bounds[number]]

    return parts


def _verdicts(
    corpus: _Corpus,
    kept: _Kept,
    pairs: list[Pair],
    estimate: SampleEstimate | None,
) -> DedupResult:
    itself = np.arange(len(corpus.ids))
    empty = kept.empty
    is_exact = (kept.exact != itself) & ~empty
    is_near = (kept.near != itself) & ~is_exact & ~empty
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
            _tell_lines(corpus, table, lines)
        current = table["text"].to_pylist()
        here = slice(first, first + count)
        for row in sorted(r for r in shown if first <= r < first + count):
            shown[row] = ((text and text[row - first]) or current[row - first])[:SAMPLE_LETTERS]
        reason: list[str | None] = [
            ONLY_LINES if e else EXACT if x else NEAR if n else None
            for e, x, n in zip(empty[here], is_exact[here], is_near[here], strict=True)
        ]
        parts.append(
            DedupPart(
                name=name,
                rows=corpus.documents.kept_rows(name),
                keep=np.array([r is None for r in reason], np.bool_),
                reason=reason,
                text=text,
                exact_group=[corpus.ids[i] for i in kept.exact[here]],
                near_group=[corpus.ids[i] for i in kept.near[here]],
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
    examples = sorted(lines, key=lambda found: (-lines[found], found))[:LINE_SAMPLES]
    samples = [(similarity, shown[i], shown[j]) for i, j, similarity in wanted]
    return DedupResult(parts, counts, examples, samples, estimate)


def _tell_lines(corpus: _Corpus, table: pa.Table, lines: Counter[tuple[str, str]]) -> None:
    for host, text in zip(table["host"].to_pylist(), table["text"].to_pylist(), strict=True):
        repeated = corpus.repeated.get(host)
        if repeated:
            gone: list[str] = []
            remove_lines(text, repeated, gone.append)
            lines.update((host, line) for line in gone)


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
