"""Deduplication of a document set, all steps in their order, with what each found.

1 count lines by site and take out the repeated ones, 2 exact groups of what is left, 3 near groups
of one document of each exact group, 4 rank the copies, 5 keep one of each group. Copies of what an
earlier snapshot has are dropped, whatever their rank.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.corpus_texts import Corpus, read_corpus
from gristmill.data.dedup.earlier import Earlier, keep_index, keep_index_settings
from gristmill.data.dedup.exact import (
    Normalisation,
    first_with,
    keep_order,
    kept_of_group,
)
from gristmill.data.dedup.lsh import Keys
from gristmill.data.dedup.near import NearSettings, SampleEstimate, near_groups, sample_estimate
from gristmill.data.dedup.verdicts import DedupResult, Kept, Pair, verdicts
from gristmill.data.documents import DocumentSet
from gristmill.data.links import LinkingSites, same_page


@dataclass(frozen=True)
class DedupSettings:
    """None switches a step off: normalisation (exact), near, line_share (lines).
    line_corpus_pages: on so many pages of the corpus a line is repeated too; 0: it never is."""

    normalisation: Normalisation | None = "whitespace"
    near: NearSettings | None = field(default_factory=NearSettings)
    near_sample: int = 1000
    line_share: float | None = 0.2
    line_min_pages: int = 5
    line_min_letters: int = 8
    line_corpus_pages: int = 0
    prefer_hosts: tuple[str, ...] = ()


def deduplicate(
    documents: DocumentSet,
    settings: DedupSettings,
    *,
    workers: int = 1,
    earlier: Earlier | None = None,
    index_folder: Path | None = None,
    scratch: Path | None = None,
) -> DedupResult:
    """Groups and verdicts of every document that the layers below keep.

    earlier: what these documents are not to repeat. index_folder: an artifact's folder in which the
    index of what is kept stays for later snapshots (`earlier`). scratch: a folder for temporary
    files, as large as the index and the copies' shingles. The result does not depend on `workers`,
    nor on how documents are spread over parts.
    """
    earlier = earlier or Earlier([], [], [], 0)
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as temporary:
        return _deduplicate(documents, settings, workers, earlier, Path(temporary), index_folder)


def _deduplicate(
    documents: DocumentSet,
    settings: DedupSettings,
    workers: int,
    earlier: Earlier,
    scratch: Path,
    index_folder: Path | None,
) -> DedupResult:
    normalisation = settings.normalisation or "none"
    corpus = read_corpus(
        documents,
        normalisation,
        settings.line_share,
        settings.line_min_pages,
        settings.line_min_letters,
        settings.line_corpus_pages,
        scratch,
    )
    total = len(corpus.ids)
    digests, lengths = corpus.digests, np.array(corpus.lengths, np.int64)
    empty = (lengths == 0) if corpus.repeated else np.zeros(total, np.bool_)
    # A page of nothing but repeated lines is dropped for that, and is nobody's copy.
    keys = [(i, b"") if empty[i] else (-1, digest) for i, digest in enumerate(digests)]
    exact = first_with(keys) if settings.normalisation else np.arange(total)
    old_exact = np.full(total, -1, np.int64)
    if settings.normalisation and earlier.ids:
        place = {digest: i for i, digest in reversed(list(enumerate(earlier.digests)))}
        old_exact[:] = [place.get(d, -1) for d in digests]
        old_exact[empty] = -1
    near = _near(corpus, exact, settings, workers, earlier, scratch)
    ranks = keep_order(
        corpus.hosts,
        _linking_sites(corpus, near.group),
        lengths,
        corpus.urls,
        settings.prefer_hosts,
    )
    # A copy in every word is that, and not near.
    old_near = np.where(empty | (old_exact >= 0), -1, near.earlier)
    kept = Kept(
        empty, kept_of_group(exact, ranks), kept_of_group(near.group, ranks), old_exact, old_near
    )
    result = verdicts(corpus, kept, near.pairs, near.estimate, earlier)
    if index_folder is not None and settings.near is not None and near.keys is not None:
        first = 0
        for verdict in result.parts:
            here = np.flatnonzero(verdict.keep)
            keep_index(
                index_folder,
                verdict.name,
                verdict.rows[here],
                [digests[first + i] for i in here],
                near.keys(exact[first + here]),
            )
            first += len(verdict.rows)
        keep_index_settings(index_folder, settings.near, normalisation)
    return result


@dataclass(frozen=True)
class _Near:
    """group: of each document the smallest row of its group. earlier: the first earlier document in
    that group, or -1. pairs: found within the new documents. keys: of rows, from the index."""

    group: npt.NDArray[np.int64]
    earlier: npt.NDArray[np.int64]
    pairs: list[Pair]
    estimate: SampleEstimate | None
    keys: Callable[[npt.NDArray[np.int64]], Keys] | None


def _near(
    corpus: Corpus,
    exact: npt.NDArray[np.int64],
    settings: DedupSettings,
    workers: int,
    earlier: Earlier,
    scratch: Path,
) -> _Near:
    total = len(exact)
    if settings.near is None or not total:
        return _Near(exact, np.full(total, -1, np.int64), [], None, None)
    distinct = np.flatnonzero(exact == np.arange(total))
    parts = _distinct_texts(corpus, distinct)
    found = near_groups(
        parts, settings.near, workers=workers, earlier=earlier.parts, folder=scratch
    )
    old = len(earlier.ids)
    roots = found.groups[old:]
    group = np.empty(total, np.int64)
    # A group that holds an earlier document is named by it; here by its first new one.
    _, leader, which = np.unique(roots, return_index=True, return_inverse=True)
    group[distinct] = distinct[leader[which]]
    copied = np.full(total, -1, np.int64)
    copied[distinct] = np.where(roots < old, roots, -1)
    new = found.pairs[:, 0] >= old
    pairs = [
        (int(distinct[i]), int(distinct[j]), float(similarity))
        for (i, j), similarity in zip(
            (found.pairs[new] - old).tolist(), found.similarity[new], strict=True
        )
    ]
    estimate = None
    if settings.near_sample:
        estimate = sample_estimate(parts, leader[which], settings.near, sample=settings.near_sample)
    place = np.cumsum(exact == np.arange(total)) - 1

    def keys(rows: npt.NDArray[np.int64]) -> Keys:
        if not len(rows):
            return np.zeros((found.index.bands, 0), np.uint32)
        wanted = place[rows]
        first, last = int(wanted.min()), int(wanted.max())
        return found.index.part(old + first, last - first + 1)[:, wanted - first]

    # An exact copy belongs to the near group of its twin.
    return _Near(group[exact], copied[exact], pairs, estimate, keys)


def _linking_sites(corpus: Corpus, groups: npt.NDArray[np.int64]) -> list[int]:
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
    corpus: Corpus, distinct: npt.NDArray[np.int64]
) -> Callable[[], Iterable[Sequence[str]]]:
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(corpus.counts)])

    def parts() -> Iterable[Sequence[str]]:
        for number, part in enumerate(corpus.documents.parts):
            low, high = np.searchsorted(distinct, bounds[number : number + 2])
            texts = corpus.texts(part)
            yield [texts[row] for row in distinct[low:high] - bounds[number]]

    return parts
