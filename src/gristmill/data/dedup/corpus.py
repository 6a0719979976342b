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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gristmill.data.dedup.columns import Rows, groups_of
from gristmill.data.dedup.corpus_texts import ALONE, Corpus, LineSettings, read_corpus
from gristmill.data.dedup.earlier import (
    Earlier,
    keep_index,
    keep_index_settings,
    nothing_earlier,
    read_earlier,
)
from gristmill.data.dedup.estimate import SampleEstimate
from gristmill.data.dedup.exact import Normalisation
from gristmill.data.dedup.keep import Copies, KeepRule
from gristmill.data.dedup.lsh import Keys
from gristmill.data.dedup.near import NearSettings
from gristmill.data.dedup.near_copies import distinct_rows, index_keys, near_copies
from gristmill.data.dedup.substrings import SubstringSettings, find_substrings
from gristmill.data.dedup.verdicts import DedupPart, DedupResult, Found, NearPairs, verdicts
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.steps import Engine


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
    engine: Engine = ALONE,
    against: Sequence[DocumentSet] = (),
    index_folder: Path | None = None,
    scratch: Path | None = None,
) -> DedupResult:
    """Groups and verdicts of every document that the layers below keep; `write` is told each part.

    engine: counts lines and signs texts, where they are many or it runs elsewhere (then `scratch`
    lies on storage that all share). against: what these documents are not to repeat. index_folder:
    an artifact's folder in which the index of what is kept stays for later snapshots (`earlier`).
    scratch: a folder for temporary files: 36 to 44 bytes a document, the index (4 bytes a band),
    16 bytes a line, 8 bytes for each word of texts that may be copies and for each candidate pair
    and band, and 5 bytes for each of a text in which passages are sought.
    """
    normalisation = settings.normalisation or "none"
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        if against:
            earlier = read_earlier(
                against, settings.near, normalisation, folder, settings.addresses
            )
        else:
            earlier = nothing_earlier(folder)
        corpus = read_corpus(
            documents, normalisation, list(settings.lines), folder, settings.addresses, engine
        )
        found, near, keys = _copies(
            corpus, settings, engine, earlier, folder, index_folder is not None
        )
        cuts = None
        if settings.substrings is not None:
            cuts = find_substrings(corpus, found.keep, settings.substrings, against, folder)

        def told(part: DedupPart, first: int) -> None:
            write(part)
            if index_folder is not None and keys is not None:
                here = first + np.flatnonzero(part.keep)
                halves = [column.read(first, len(part.rows)) for column in corpus.digests]
                keep_index(
                    index_folder,
                    part.name,
                    part.rows[part.keep],
                    (halves[0][part.keep], halves[1][part.keep]),
                    keys(here),
                )

        result = verdicts(corpus, found, near.pairs, near.estimate, earlier, cuts, told)
        if index_folder is not None and settings.near is not None:
            keep_index_settings(index_folder, settings.near, normalisation)
        return result


def _copies(
    corpus: Corpus,
    settings: DedupSettings,
    engine: Engine,
    earlier: Earlier,
    scratch: Path,
    with_keys: bool,
) -> tuple[Found, _Shown, Callable[[Rows], Keys] | None]:
    total = len(corpus)
    address = old_address = None
    gone = np.zeros(total, np.bool_)
    if corpus.addresses is not None:
        pages = corpus.addresses.read()
        groups = groups_of([corpus.addresses], corpus.ids, pages == 0)
        address = _chooser(corpus, groups, settings.keep).choose(groups)
        gone = address.kept != np.arange(total)
        if len(earlier):
            old_address = earlier.find_pages(pages)
            gone |= old_address >= 0
        del pages, groups
    # A page of nothing but repeated lines is dropped for that, and is nobody's copy.
    empty = corpus.lengths.read() == 0 if corpus.repeated else np.zeros(total, np.bool_)
    empty &= ~gone
    if settings.normalisation:
        exact = groups_of(corpus.digests, corpus.ids, empty | gone)
    else:
        exact = np.arange(total, dtype=np.int64)
    old_exact = None
    if len(earlier):
        old_exact = np.full(total, -1, np.int64)
        if settings.normalisation:
            old_exact = earlier.find((corpus.digests[0].read(), corpus.digests[1].read()))
            old_exact[empty | gone] = -1
    near = near_copies(
        corpus, exact, gone, settings.near, settings.near_sample, engine, earlier, scratch
    )
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
        earlier_address=old_address,
        earlier_exact=old_exact,
        earlier_near=old_near,
    )
    keys = None
    if with_keys and near.index is not None:
        index, distinct = near.index, distinct_rows(exact, gone)

        def keys(rows: Rows) -> Keys:
            return index_keys(index, len(earlier), distinct, exact[rows])

    # What is not returned here, the groups before one was chosen of each, need not be held.
    return found, _Shown(near.pairs, near.estimate), keys


@dataclass(frozen=True)
class _Shown:
    pairs: NearPairs
    estimate: SampleEstimate | None


def _chooser(corpus: Corpus, groups: Rows, rule: KeepRule) -> Copies:
    members = np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1)
    return Copies(corpus.documents, corpus.counts, members, rule, corpus.lengths)
