"""Where the steps were wrong: which rules raised false alarms, what got past them; examples."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from gristmill.core.figure import Figure, proportion
from gristmill.data.audit import (
    CLASSES,
    DEDUP,
    FAMILIES,
    FILTER,
    Documents,
    Truth,
    group_of,
    missed_values,
    reached,
    wrong_values,
)
from gristmill.data.sample_web.truth import HONEST, dropped_by

SAMPLES = 4
SAMPLE_LETTERS = 240
# Causes that a sentence names.
_NAMED = 3
# Figures from here on need no words.
_GOOD_ENOUGH = 0.95


@dataclass
class Mistakes:
    """One kind of mistake of one step: how often for which cause, and examples."""

    step: str
    kind: str
    """'false alarms' or 'missed'."""
    causes: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str, str]] = field(default_factory=list)
    """(url, cause, beginning of the text)."""

    def in_words(self) -> str:
        """`105 false alarms, 41 of them by RULE, 20 by RULE and 12 by RULE`: the main causes."""
        total, main = self.causes.total(), self.causes.most_common(_NAMED)
        if self.kind == "missed":
            named = [f"{cause} ({count})" for cause, count in main]
            all_of_them = len(main) == len(self.causes)
            return f"{total} missed{':' if all_of_them else ', among them'} {_listed(named)}"
        alarms = f"{total} false alarm{'s' if total != 1 else ''}"
        if len(main) == 1:
            return f"{alarms}, {'all ' if total > 1 else ''}by {main[0][0]}"
        (cause, count), *others = main
        named = [f"{count} of them by {cause}", *(f"{n} by {other}" for other, n in others)]
        return f"{alarms}, {_listed(named)}"

    def add(self, cause: str, url: str, text: str) -> None:
        """Counts a mistake, and keeps it as an example while there are few with this cause."""
        self.causes[cause] += 1
        if self.causes[cause] <= 2 and len(self.examples) < SAMPLES:
            self.examples.append((url, cause, text[:SAMPLE_LETTERS]))


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def find_mistakes(truth: Truth, documents: Documents, wanted: Collection[str]) -> list[Mistakes]:
    """The mistakes of the filter's rules by their causes; steps without mistakes are left out.

    wanted: the languages to keep.
    """
    found: dict[tuple[str, str], Mistakes] = {}

    def note(step: str, kind: str, cause: str, url: str, text: str) -> None:
        found.setdefault((step, kind), Mistakes(step, kind)).add(cause, url, text)

    for page, document, verdict in reached(truth, documents, FILTER):
        place = (page.url, document.text)
        if page.language is not None and not page.blocklisted:
            flagged = [reason for reason in verdict.reasons if group_of(reason) == "language"]
            if flagged and page.language in wanted:
                label = verdict.own.get("language")
                note("language", "false alarms", f"{flagged[0]} ({label})", *place)
            elif not flagged and page.language not in wanted:
                note("language", "missed", f"taken for {verdict.own.get('language')}", *place)
        for name, family in FAMILIES.items():
            blamed = not verdict.keep and group_of(verdict.reason or "") in family
            if blamed and page.kind in HONEST:
                note(name, "false alarms", verdict.reason or "", *place)
            elif verdict.keep and page.kind in CLASSES[name] and name != "heuristics":
                note(name, "missed", page.kind, *place)
        for value in wrong_values(page, verdict):
            note("personal_data", "false alarms", value, *place)
        for kind, value in missed_values(page, document, verdict):
            note("personal_data", "missed", f"{kind} {value}", *place)
    return list(found.values())


def near_recall_by_edit(truth: Truth, documents: Documents) -> list[tuple[str, Figure]]:
    """For each kind of change, the share of near copies that share a group with another copy of
    their article, among those for which another copy reached the step."""
    members: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for page, _, verdict in reached(truth, documents, DEDUP):
        if page.near_group and page.article and verdict.reason != "exact_duplicate":
            members[page.near_group].append((page.edit or "", verdict.own.get("near_group")))
    hits: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for group in members.values():
        sizes = Counter(found for _, found in group)
        for edit, found in group if len(group) > 1 else ():
            if edit and edit != "exact":
                total[edit] += 1
                hits[edit] += found is not None and sizes[found] > 1
    return [(edit, proportion(hits[edit], total[edit])) for edit in sorted(total)]


def lost_articles(truth: Truth, documents: Documents) -> list[tuple[str, str, int]]:
    """(stage, reason, articles): English articles of good quality that were dropped, by what."""
    lost: Counter[tuple[str, str]] = Counter()
    for address, document in documents.items():
        page = truth.get(address)
        if page and page.kind == "article" and page.quality == "good" and page.language == "en":
            verdict = dropped_by(document)
            if verdict is not None:
                lost[verdict] += 1
    ordered = sorted(lost.items(), key=lambda item: (-item[1], item[0]))
    return [(stage, reason, count) for (stage, reason), count in ordered]


def explain(figures: Mapping[str, Figure], mistakes: list[Mistakes]) -> list[str]:
    """A sentence for each figure below 0.95 whose mistakes are known: the main causes."""
    return list(_sentences(figures, {(m.step, m.kind): m for m in mistakes}))


def _sentences(
    figures: Mapping[str, Figure], mistakes: Mapping[tuple[str, str], Mistakes]
) -> Iterator[str]:
    for name, figure in figures.items():
        step, _, measure = name.rpartition(".")
        if math.isnan(figure.value) or figure.value >= _GOOD_ENOUGH:
            continue
        kind = {"precision": "false alarms", "recall": "missed"}.get(measure, "")
        known = mistakes.get((step, kind))
        if known is None:
            continue
        yield f"{name} is {figure.value:.3f}: {known.in_words()}."
