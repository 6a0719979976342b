"""A document set as deduplication reads it: without the lines that its sites repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gristmill.core.progress import track
from gristmill.data.dedup.exact import Normalisation, text_digest
from gristmill.data.dedup.lines import Flags, RepeatedLines, SiteLines, remove_lines
from gristmill.data.documents import DocumentSet
from gristmill.data.ngrams import Offsets, Texts

_ALL = "*"
Cut = tuple[str, str | None, str, list[str]]


@dataclass
class Corpus:
    """What is held for every document while its text is not. repeated: lines of sites, and of the
    corpus as a whole (as if it were one site). lengths, digests: letters and `text_digest` of the
    texts as they are given out."""

    documents: DocumentSet
    repeated: list[tuple[RepeatedLines, bool]]
    ids: list[str]
    urls: list[str]
    hosts: list[str]
    counts: list[int]
    lengths: list[int]
    digests: list[bytes]

    def texts(self, part: str) -> list[str]:
        """The part's texts without repeated lines."""
        if not self.repeated:
            texts: list[str] = self.documents.read(part, ["text"])["text"].to_pylist()
            return texts
        return [text if new is None else new for text, new, _, _ in self.cuts(part)]

    def changed(self, part: str) -> list[str | None] | None:
        """The new texts, None where unchanged; None where no text of the part changed."""
        if not self.repeated:
            return None
        new = [text for _, text, _, _ in self.cuts(part)]
        return new if any(text is not None for text in new) else None

    def cuts(self, part: str) -> Iterator[Cut]:
        """Each text of the part, its new text or None, its site, and the lines taken out."""
        table = self.documents.read(part, ["host", "text"])
        hosts, texts = table["host"].to_pylist(), table["text"].to_pylist()
        if not self.repeated:
            yield from ((text, None, host, []) for host, text in zip(hosts, texts, strict=True))
            return
        marks, starts = _marks(self.repeated, hosts, table["text"])
        # A text has at least one line, if an empty one.
        marked = np.logical_or.reduceat(marks, starts[:-1]) if texts else marks
        for place, (host, text) in enumerate(zip(hosts, texts, strict=True)):
            gone: list[str] = []
            new = None
            if marked[place]:
                drop = marks[starts[place] : starts[place + 1]].tolist()
                new = remove_lines(text, drop, gone.append)
            yield text, new, host, gone


def _marks(
    repeated: Sequence[tuple[RepeatedLines, bool]], hosts: Sequence[str], texts: Texts
) -> tuple[Flags, Offsets]:
    found = [lines.marks([_ALL] * len(hosts) if one else hosts, texts) for lines, one in repeated]
    marks, starts = found[0]
    for more, _ in found[1:]:
        marks = marks | more
    return marks, starts


def read_corpus(
    documents: DocumentSet,
    normalisation: Normalisation,
    line_share: float | None,
    line_min_pages: int,
    line_min_letters: int,
    line_corpus_pages: int,
    scratch: Path,
) -> Corpus:
    """Reads everything once, and again what repeated lines are taken out of. line_share None: no
    line is looked at; line_corpus_pages 0: only lines of sites. scratch: a folder for the lines
    while they are counted."""
    corpus = Corpus(documents, [], [], [], [], [], [], [])
    sites = SiteLines(scratch / "lines", line_min_letters)
    whole = SiteLines(scratch / "corpus_lines", line_min_letters)
    for part in track(documents.parts, "repeated lines", unit="parts"):
        table = documents.read(part, ["id", "url", "host", "text"])
        hosts, texts = table["host"].to_pylist(), table["text"].to_pylist()
        corpus.ids += table["id"].to_pylist()
        corpus.urls += table["url"].to_pylist()
        corpus.hosts += hosts
        corpus.counts.append(table.num_rows)
        corpus.lengths += map(len, texts)
        digests = [text_digest(text, normalisation) for text in texts]
        corpus.digests += digests
        if line_share is None:
            continue
        if normalisation != "whitespace":
            # A page under two designs is one page here, whatever counts as an exact copy.
            digests = [text_digest(text) for text in texts]
        sites.add(hosts, digests, texts)
        if line_corpus_pages:
            whole.add([_ALL] * len(texts), digests, texts)
    if line_share is not None:
        of_sites = sites.repeated(share=line_share, min_pages=line_min_pages)
        of_all = whole.repeated(share=0.0, min_pages=max(1, line_corpus_pages))
        corpus.repeated = [found for found in ((of_sites, False), (of_all, True)) if found[0]]
        if not _without_lines(corpus, normalisation):
            corpus.repeated = []
    return corpus


def _without_lines(corpus: Corpus, normalisation: Normalisation) -> bool:
    """Whether any text has a repeated line; notes the new lengths and digests."""
    if not corpus.repeated:
        return False
    any_new = False
    first = 0
    for part, count in zip(corpus.documents.parts, corpus.counts, strict=True):
        for place, (_, text, _, _) in enumerate(corpus.cuts(part), first):
            if text is not None:
                corpus.lengths[place] = len(text)
                corpus.digests[place] = text_digest(text, normalisation)
                any_new = True
        first += count
    return any_new
