"""Deduplication of a document set, all steps in their order, with what each found.

1 count repeated lines and paragraphs and take them out, 2 copies by address (where asked for),
3 exact groups of what is left, 4 near groups of one document of each exact group, 5 keep one of
each group, 6 cut repeated substrings out of what is kept (where asked for). Copies of what an
earlier snapshot has are dropped, whatever their rank.

Groups, and which copy stays, do not depend on the order of documents, on how they are cut into
parts, or on the number of workers (unless the keep rule asks for the `first`). In memory are a
part, one band of the index, the pairs that may be copies, and up to eight numbers a document.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.columns import Flags, Rows, groups_of
from gristmill.data.dedup.corpus_texts import Corpus, LineSettings, read_corpus
from gristmill.data.dedup.earlier import (
    Earlier,
    keep_index,
    keep_index_settings,
    nothing_earlier,
    read_earlier,
)
from gristmill.data.dedup.exact import Normalisation
from gristmill.data.dedup.keep import Copies, KeepRule
from gristmill.data.dedup.lsh import Keys
from gristmill.data.dedup.near import (
    NearGroups,
    NearSettings,
    SampleEstimate,
    near_groups,
    sample_estimate,
)
from gristmill.data.dedup.substrings import SubstringSettings, find_substrings
from gristmill.data.dedup.verdicts import DedupPart, DedupResult, Found, NearPairs, verdicts
from gristmill.data.documents import DocumentSet
from gristmill.data.ngrams import Hashes, mix_array

PAIRS_HELD = 1 << 16


@dataclass(frozen=True)
class DedupSettings:
    """None switches a step off: normalisation (exact), near, substrings; so does no unit in lines.
    addresses: documents of one address are copies, whatever their texts."""

    normalisation: Normalisation | None = "whitespace"
    addresses: bool = False
    near: NearSettings | None = field(default_factory=NearSettings)
    near_sample: int = 1000
    lines: tuple[LineSettings, ...] = (LineSettings(),)
    substrings: SubstringSettings | None = None
    keep: KeepRule = field(default_factory=KeepRule)


def deduplicate(
    documents: DocumentSet,
    settings: DedupSettings,
    write: Callable[[DedupPart], None],
    *,
    workers: int = 1,
    against: Sequence[DocumentSet] = (),
    index_folder: Path | None = None,
    scratch: Path | None = None,
) -> DedupResult:
    """Groups and verdicts of every document that the layers below keep; `write` is told each part.

    against: what these documents are not to repeat. index_folder: an artifact's folder in which the
    index of what is kept stays for later snapshots (`earlier`). scratch: a folder for temporary
    files: 36 to 44 bytes a document, the index (4 bytes a band), 8 bytes a line, 8 bytes for each
    word of texts that may be copies, and 5 bytes for each of a text in which passages are sought.
    """
    normalisation = settings.normalisation or "none"
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        if against:
            earlier = read_earlier(against, settings.near, normalisation, folder)
        else:
            earlier = nothing_earlier(folder)
        corpus = read_corpus(
            documents, normalisation, list(settings.lines), folder, settings.addresses
        )
        found, near = _copies(corpus, settings, workers, earlier, folder)
        cuts = None
        if settings.substrings is not None:
            cuts = find_substrings(corpus, found.keep, settings.substrings, against, folder)

        def told(part: DedupPart, first: int) -> None:
            write(part)
            if index_folder is not None and near.keys is not None:
                here = first + np.flatnonzero(part.keep)
                halves = [column.read(first, len(part.rows)) for column in corpus.digests]
                keep_index(
                    index_folder,
                    part.name,
                    part.rows[part.keep],
                    (halves[0][part.keep], halves[1][part.keep]),
                    near.keys(here),
                )

        result = verdicts(corpus, found, near.pairs, near.estimate, earlier, cuts, told)
        if index_folder is not None and settings.near is not None:
            keep_index_settings(index_folder, settings.near, normalisation)
        return result


def _copies(
    corpus: Corpus, settings: DedupSettings, workers: int, earlier: Earlier, scratch: Path
) -> tuple[Found, _Near]:
    total = len(corpus)
    itself = np.arange(total, dtype=np.int64)
    address = None
    gone = np.zeros(total, np.bool_)
    if corpus.addresses is not None:
        groups = groups_of([corpus.addresses], corpus.ids, corpus.addresses.read() == 0)
        address = _chooser(corpus, groups, settings.keep).choose(groups)
        gone = address.kept != itself
    # A page of nothing but repeated lines is dropped for that, and is nobody's copy.
    empty = corpus.lengths.read() == 0 if corpus.repeated else np.zeros(total, np.bool_)
    empty &= ~gone
    exact = itself
    if settings.normalisation:
        exact = groups_of(corpus.digests, corpus.ids, empty | gone)
    old_exact = None
    if len(earlier):
        old_exact = np.full(total, -1, np.int64)
        if settings.normalisation:
            old_exact = earlier.find((corpus.digests[0].read(), corpus.digests[1].read()))
            old_exact[empty | gone] = -1
    near = _near(corpus, exact, gone, settings, workers, earlier, scratch)
    old_near = near.earlier
    if old_near is not None and old_exact is not None:
        # A copy in every word is that, and not near.
        old_near[empty | (old_exact >= 0)] = -1
    chooser = _chooser(corpus, near.group, settings.keep)
    found = Found(
        empty=empty,
        address=address,
        exact=chooser.choose(exact),
        near=chooser.choose(near.group),
        earlier_exact=old_exact,
        earlier_near=old_near,
    )
    return found, near


def _chooser(corpus: Corpus, groups: Rows, rule: KeepRule) -> Copies:
    members = np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1)
    return Copies(corpus.documents, corpus.counts, members, rule, corpus.lengths)


@dataclass(frozen=True)
class _Near:
    """group: of each document a row that is the same within its group. earlier: the earlier
    document of the smallest id in that group, or -1; None where there is none at all. pairs: found
    within the new documents. keys: of rows, from the index."""

    group: Rows
    earlier: Rows | None
    pairs: NearPairs
    estimate: SampleEstimate | None
    keys: Callable[[Rows], Keys] | None


def _near(
    corpus: Corpus,
    exact: Rows,
    gone: Flags,
    settings: DedupSettings,
    workers: int,
    earlier: Earlier,
    scratch: Path,
) -> _Near:
    total, old = len(exact), len(earlier)
    copied = np.full(total, -1, np.int64) if old else None
    if settings.near is None or not total:
        return _Near(exact, copied, NearPairs.none(), None, None)
    distinct = np.flatnonzero((exact == np.arange(total)) & ~gone)
    parts = _distinct_texts(corpus, distinct)

    def content() -> Hashes:
        # Equal texts have equal digests: here there is one of each, but for what a layout changes.
        new: Hashes = corpus.digests[0].take(distinct)
        return np.concatenate([earlier.digests[0].read(), new]) if old else new

    found = near_groups(
        parts,
        settings.near,
        workers=workers,
        earlier=earlier.parts,
        content=content,
        folder=scratch,
    )
    # In the numbering of `distinct`. A group that holds an earlier document is named by it.
    local = found.groups[old:] - old
    if copied is not None:
        tied = np.flatnonzero(local < 0)
        roots, leader, which = np.unique(local[tied], return_index=True, return_inverse=True)
        copied[distinct[tied]] = _smallest_ids(found.groups[:old], roots + old, earlier)[which]
        local[tied] = tied[leader[which]]
        copied = copied[exact]
    group = np.arange(total, dtype=np.int64)
    group[distinct] = distinct[local]
    estimate = None
    if settings.near_sample and len(distinct):
        estimate = sample_estimate(
            parts,
            local,
            settings.near,
            content=corpus.digests[0].take(distinct),
            sample=settings.near_sample,
        )
    pairs = _some_pairs(found, old, distinct, corpus)
    index = found.index
    del found

    def keys(rows: Rows) -> Keys:
        if not len(rows):
            return np.zeros((index.bands, 0), np.uint32)
        wanted = np.searchsorted(distinct, exact[rows])
        first, last = int(wanted.min()), int(wanted.max())
        return index.part(old + first, last - first + 1)[:, wanted - first]

    # An exact copy belongs to the near group of its twin.
    return _Near(group[exact], copied, pairs, estimate, keys)


def _some_pairs(found: NearGroups, old: int, distinct: Rows, corpus: Corpus) -> NearPairs:
    """Up to `PAIRS_HELD` pairs of new documents, drawn by the ids: all would be many in a corpus of
    large groups, and they are looked at for samples only."""
    chosen = np.flatnonzero(found.pairs[:, 0] >= old)
    if len(chosen) > PAIRS_HELD:
        drawn = np.zeros(len(chosen), np.uint64)
        for side in range(2):
            # Both ways round the same.
            drawn += mix_array(corpus.ids.take(distinct[found.pairs[chosen, side] - old]))
        chosen = np.sort(chosen[np.argpartition(drawn, PAIRS_HELD)[:PAIRS_HELD]])
    return NearPairs(distinct[found.pairs[chosen] - old], found.similarity[chosen])


def _smallest_ids(groups: Rows, roots: Rows, earlier: Earlier) -> Rows:
    """Of each root's group the earlier document of the smallest id. roots: sorted."""
    members = np.flatnonzero(np.isin(groups, roots))
    order = members[np.lexsort((earlier.ids.take(members), groups[members]))]
    found: npt.NDArray[np.int64] = order[np.searchsorted(groups[order], roots)]
    return found


def _distinct_texts(corpus: Corpus, distinct: Rows) -> Callable[[], Iterable[Sequence[str]]]:
    def parts() -> Iterable[Sequence[str]]:
        for part, first, count in corpus.places():
            low, high = np.searchsorted(distinct, (first, first + count))
            texts = corpus.texts(part)
            yield [texts[row] for row in distinct[low:high] - first]

    return parts
