"""What deduplication says of each document, part by part, and what is shown of it: samples, counts.

Held for a document are its kept copies' numbers and a few flags; names and texts are read with the
part that they are wanted for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.columns import Flags, Rows
from gristmill.data.dedup.corpus_texts import Corpus, id_names
from gristmill.data.dedup.earlier import Earlier
from gristmill.data.dedup.estimate import SampleEstimate
from gristmill.data.dedup.keep import EARLIER, Choice
from gristmill.data.dedup.substrings import SubstringCuts

ADDRESS = "same_address"
EXACT = "exact_duplicate"
NEAR = "near_duplicate"
ADDRESS_EARLIER = "same_address_of_earlier"
EXACT_EARLIER = "exact_duplicate_of_earlier"
NEAR_EARLIER = "near_duplicate_of_earlier"
ONLY_LINES = "only_repeated_lines"
ONLY_SUBSTRINGS = "only_repeated_substrings"

LINE_SAMPLES = 12
LINES_COUNTED = 50_000
NEAR_SAMPLES = 8
SUBSTRING_SAMPLES = 8
SAMPLE_LETTERS = 300


@dataclass(frozen=True)
class DedupPart:
    """What `write_layer` wants for one part; groups are ids of the kept copy. because: the
    criterion that decided for the kept one, of documents that are copies."""

    name: str
    rows: Rows
    keep: Flags
    reason: list[str | None]
    text: list[str | None] | None
    exact_group: list[str]
    near_group: list[str]
    because: list[str | None]


@dataclass(frozen=True)
class DedupResult:
    """counts: documents, kept, each reason, repeated lines. because: how many copies each criterion
    decided. lines: (host, line) samples. near_samples: (similarity, kept text, dropped text).
    substrings: (host, what was cut) samples."""

    counts: dict[str, int]
    because: dict[str, int]
    lines: list[tuple[str, str]]
    near_samples: list[tuple[float, str, str]]
    substrings: list[tuple[str, str]]
    estimate: SampleEstimate | None


@dataclass(frozen=True)
class NearPairs:
    """rows: int64[pairs, 2], similarity: of each."""

    rows: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]

    @classmethod
    def none(cls) -> NearPairs:
        """No pairs."""
        return cls(np.zeros((0, 2), np.int64), np.zeros(0))


@dataclass(frozen=True)
class Found:
    """empty: nothing but repeated lines. address, exact, near: the kept document of each one's
    group. earlier_address, earlier_exact, earlier_near: the earlier document that it is a copy of,
    or -1; None where there are no earlier ones, or addresses do not count."""

    empty: Flags
    address: Choice | None
    exact: Choice
    near: Choice
    earlier_address: Rows | None
    earlier_exact: Rows | None
    earlier_near: Rows | None

    def reasons(self) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
        """Of each document an index into `REASONS`, and one into `Choice.names` (-1: earlier)."""
        itself = np.arange(len(self.empty))
        reason = np.zeros(len(itself), np.int8)
        because = np.zeros(len(itself), np.int8)
        near = self.near.kept != itself
        reason[near], because[near] = REASONS.index(NEAR), self.near.because[near]
        if self.earlier_near is not None:
            old = self.earlier_near >= 0
            reason[old], because[old] = REASONS.index(NEAR_EARLIER), -1
        exact = self.exact.kept != itself
        reason[exact], because[exact] = REASONS.index(EXACT), self.exact.because[exact]
        if self.earlier_exact is not None:
            old = self.earlier_exact >= 0
            reason[old], because[old] = REASONS.index(EXACT_EARLIER), -1
        if self.address is not None:
            gone = self.address.kept != itself
            reason[gone], because[gone] = REASONS.index(ADDRESS), self.address.because[gone]
        if self.earlier_address is not None:
            old = self.earlier_address >= 0
            reason[old], because[old] = REASONS.index(ADDRESS_EARLIER), -1
        reason[self.empty], because[self.empty] = REASONS.index(ONLY_LINES), 0
        return reason, because

    @property
    def keep(self) -> Flags:
        """The documents that are no copies."""
        return self.reasons()[0] == 0


REASONS = (
    "", ONLY_LINES, ADDRESS, EXACT, NEAR, ADDRESS_EARLIER, EXACT_EARLIER, NEAR_EARLIER,
    ONLY_SUBSTRINGS,
)  # fmt: skip


def verdicts(
    corpus: Corpus,
    found: Found,
    pairs: NearPairs,
    estimate: SampleEstimate | None,
    earlier: Earlier,
    cuts: SubstringCuts | None,
    told: Callable[[DedupPart, int], None],
) -> DedupResult:
    """Every document's verdict; `told` each part with the number of its first document."""
    reasons, because = found.reasons()
    names = (*found.near.names, EARLIER)
    totals = np.zeros(len(REASONS), np.int64)
    decided = np.zeros(len(names), np.int64)
    wanted = _pairs_to_show(pairs, found.near.kept, corpus)
    shown = {row: "" for i, j, _ in wanted for row in (i, j)}
    lines: Counter[tuple[str, str]] = Counter()
    samples: list[tuple[str, str]] = []
    cut = cut_lines = 0
    for name, first, count in corpus.places():
        here = slice(first, first + count)
        now: list[str | None] = []
        current: list[str] = []
        reason_, because_ = reasons[here].copy(), because[here].copy()
        removed = cuts.part(first, count) if cuts is not None else {}
        for place, (old, new, host, gone) in enumerate(corpus.texts.cuts(name)):
            if gone:
                cut, cut_lines = cut + 1, cut_lines + len(gone)
                lines.update((host, line) for line in gone)
            if place in removed:
                text = old if new is None else new
                new, taken = removed[place].apply(text)
                samples = _more(samples, [(host, one) for one in taken])
                if not new.strip():
                    reason_[place] = REASONS.index(ONLY_SUBSTRINGS)
            now.append(new)
            current.append(old)
        if len(lines) > 2 * LINES_COUNTED:
            lines = Counter(dict(lines.most_common(LINES_COUNTED)))
        for row in sorted(r for r in shown if first <= r < first + count):
            new_text = now[row - first]
            shown[row] = (new_text or current[row - first])[:SAMPLE_LETTERS]
        exact, near = _groups(corpus, found, earlier, here)
        totals += np.bincount(reason_, minlength=len(REASONS))
        decided += np.bincount(because_ % len(names), minlength=len(names))
        part = DedupPart(
            name=name,
            rows=corpus.documents.kept_rows(name),
            keep=reason_ == 0,
            reason=[REASONS[code] or None for code in reason_.tolist()],
            text=now if any(one is not None for one in now) else None,
            exact_group=exact,
            near_group=near,
            because=[names[code] or None for code in because_.tolist()],
        )
        told(part, first)
    counts = {
        "documents": len(corpus),
        "kept": int(totals[0]),
        EXACT: int(totals[REASONS.index(EXACT)]),
        NEAR: int(totals[REASONS.index(NEAR)]),
        ONLY_LINES: int(totals[REASONS.index(ONLY_LINES)]),
        "repeated_lines": cut_lines,
        "documents_with_repeated_lines": cut,
    }
    if found.address is not None:
        counts[ADDRESS] = int(totals[REASONS.index(ADDRESS)])
    if cuts is not None:
        counts[ONLY_SUBSTRINGS] = int(totals[REASONS.index(ONLY_SUBSTRINGS)])
        counts["documents_with_repeated_substrings"] = cuts.documents
        counts["repeated_substring_bytes"] = cuts.bytes
        counts["bytes_searched"] = cuts.searched
    if len(earlier):
        counts[EXACT_EARLIER] = int(totals[REASONS.index(EXACT_EARLIER)])
        counts[NEAR_EARLIER] = int(totals[REASONS.index(NEAR_EARLIER)])
        if found.earlier_address is not None:
            counts[ADDRESS_EARLIER] = int(totals[REASONS.index(ADDRESS_EARLIER)])
        counts["earlier_documents"] = len(earlier)
        counts["earlier_documents_by_index"] = earlier.reused
    by = {name: int(n) for name, n in zip(names, decided, strict=True) if name and n}
    examples = sorted(lines, key=lambda one: (-lines[one], one))[:LINE_SAMPLES]
    near_samples = [(similarity, shown[i], shown[j]) for i, j, similarity in wanted]
    return DedupResult(counts, by, examples, near_samples, samples, estimate)


def _groups(
    corpus: Corpus, found: Found, earlier: Earlier, here: slice
) -> tuple[list[str], list[str]]:
    """Ids of the kept exact and near copies: an earlier one where there is one."""
    # A copy by address belongs where the one that is kept does.
    rows = np.arange(here.start, here.stop) if found.address is None else found.address.kept[here]
    names = []
    for choice, olds in (
        (found.exact, (found.earlier_exact, found.earlier_address)),
        (found.near, (found.earlier_near, found.earlier_exact, found.earlier_address)),
    ):
        numbers = corpus.ids.take(choice.kept[rows])
        for old in olds:
            if old is not None:
                of = old[rows]
                numbers[of >= 0] = earlier.ids.take(of[of >= 0])
        names.append(id_names(numbers))
    return names[0], names[1]


def _more(samples: list[tuple[str, str]], found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The longest ones, each once."""
    short = [(host, text[:SAMPLE_LETTERS]) for host, text in found]
    both = sorted({*samples, *short}, key=lambda one: (-len(one[1]), one))
    return both[:SUBSTRING_SAMPLES]


def _pairs_to_show(
    pairs: NearPairs, near_kept: Rows, corpus: Corpus
) -> list[tuple[int, int, float]]:
    """Some direct (kept, dropped) pairs, spread over the similarities: the doubtful ones too."""
    left, right = pairs.rows[:, 0], pairs.rows[:, 1]
    forward, backward = near_kept[right] == left, near_kept[left] == right
    direct = np.flatnonzero(forward | backward)
    kept = np.where(forward, left, right)[direct]
    gone = np.where(forward, right, left)[direct]
    similarity = pairs.similarity[direct]
    order = np.lexsort((corpus.ids.take(gone), corpus.ids.take(kept), similarity))
    if len(order) > NEAR_SAMPLES:
        order = order[np.linspace(0, len(order) - 1, NEAR_SAMPLES).astype(int)]
    return [(int(kept[k]), int(gone[k]), float(similarity[k])) for k in order]
