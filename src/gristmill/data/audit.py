"""How right each step was, on pages whose truth is known: precision and recall with intervals.

A positive is always what the step is there to find: a foreign page, a copy, a boilerplate page, a
value that is personal. What each figure counts is said at its function.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from gristmill.core.figure import Figure, precision_recall, proportion
from gristmill.data.calibration import roc_auc
from gristmill.data.extract.metric import Overlap, overlap, score
from gristmill.data.sample_web.texts import UNCATEGORIZED
from gristmill.data.sample_web.truth import HONEST, JUNK, Judged, TruePage, Verdict, known_addresses

Truth = Mapping[str, TruePage]
Documents = Mapping[str, Judged]
Figures = dict[str, Figure]

FILTER, DEDUP, QUALITY, DOMAINS = "data.filter", "data.dedup", "data.quality", "data.domains"

# The groups of rules of `data filter` that look for each kind of page.
FAMILIES: dict[str, tuple[str, ...]] = {
    "boilerplate": ("boilerplate",),
    "spam": ("spam",),
    "adult": ("adult", "toxic"),
    "heuristics": ("gopher_quality", "gopher_repetition", "c4", "fineweb"),
}
CLASSES: dict[str, tuple[str, ...]] = {
    "boilerplate": ("boilerplate", "listing"),
    "spam": ("spam",),
    "adult": ("adult",),
    "heuristics": JUNK,
}
# Two texts are near copies as well where so many of their 5-word shingles are shared.
NEAR_JACCARD = 0.6


def audit_crawl(truth: Truth, requested: Iterable[str], fetched: Iterable[str]) -> Figures:
    """Pages that robots.txt forbids and that were asked for, and the share of the others fetched.

    requested: every URL that reached the server. fetched: the URLs of the stored answers.
    """
    asked = known_addresses(requested, truth) | known_addresses(fetched, truth)
    stored = known_addresses(fetched, truth)
    forbidden = {address for address, page in truth.items() if page.forbidden}
    allowed = len(truth) - len(forbidden)
    return {
        "crawl.forbidden_fetched": Figure(len(asked & forbidden), n=len(forbidden)),
        "crawl.coverage": proportion(len(stored - forbidden), allowed),
    }


def audit_extraction(truth: Truth, documents: Documents, fetched: Iterable[str]) -> Figures:
    """Main text by shingles of four words, on article pages that were fetched.

    A page without a document counts 0. Precision and recall are means over pages, F1 is of these
    means; intervals from 200 bootstrap samples of pages. Title, topic and description count as
    right where they equal what the page shows, or are absent where it shows none.
    """
    pages = [
        (truth[address], documents.get(address))
        for address in sorted(known_addresses(fetched, truth))
        if truth[address].kind == "article"
        and not truth[address].forbidden
        and not truth[address].opt_out
    ]
    overlaps = [overlap(found.text if found else "", page.main_text) for page, found in pages]
    both = [(page, found) for page, found in pages if found is not None]
    figures = {
        f"extract.{name}": _bootstrapped(overlaps, name) for name in ("f1", "precision", "recall")
    }
    titles = sum(found.title == page.title for page, found in both)
    topics = sum(found.topic == (page.topic if page.shows_topic else None) for page, found in both)
    descriptions = sum(
        found.description == (page.description if page.shows_description else None)
        for page, found in both
    )
    figures["extract.title"] = proportion(titles, len(both))
    figures["extract.topic"] = proportion(topics, len(both))
    figures["extract.description"] = proportion(descriptions, len(both))
    return figures


def audit_opt_outs(truth: Truth, documents: Documents, fetched: Iterable[str]) -> Figures:
    """The share of fetched pages that opt out of training that are no documents; without a figure
    where no page does."""
    stated = [a for a in known_addresses(fetched, truth) if truth[a].opt_out]
    left_out = sum(address not in documents for address in stated)
    return {"extract.opt_outs_left_out": proportion(left_out, len(stated))} if stated else {}


def _bootstrapped(overlaps: Sequence[Overlap], name: str, samples: int = 200) -> Figure:
    if not overlaps:
        return Figure(math.nan, n=0)
    pages = np.array([(page.precision, page.recall) for page in overlaps])
    rng = np.random.default_rng(0)
    means = np.array(
        [pages[rng.integers(0, len(pages), len(pages))].mean(axis=0) for _ in range(samples)]
    )
    precision, recall = means[:, 0], means[:, 1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    drawn = {"precision": precision, "recall": recall, "f1": f1}[name]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(float(getattr(score(overlaps), name)), float(low), float(high), len(overlaps))


def audit_language(
    truth: Truth, documents: Documents, wanted: Collection[str] = ("en",)
) -> Figures:
    """Foreign pages dropped for their language: of those dropped how many are foreign (precision),
    of the foreign ones how many were dropped for it (recall).

    Pages without prose (spam, word stuffing, boilerplate) have no true language and do not count.
    """
    hit = false = missed = right = total = 0
    for page, _, verdict in reached(truth, documents, FILTER):
        if page.language is None or page.blocklisted:
            continue
        foreign = page.language not in wanted
        flagged = any(group_of(reason) == "language" for reason in verdict.reasons)
        hit += foreign and flagged
        false += flagged and not foreign
        missed += foreign and not flagged
        if (label := verdict.own.get("language")) is not None:
            total += 1
            right += label == page.language
    precision, recall = precision_recall(hit, false, missed)
    return {
        "language.precision": precision,
        "language.recall": recall,
        "language.accuracy": proportion(right, total),
    }


def audit_class(truth: Truth, documents: Documents, name: str, fetched: Iterable[str]) -> Figures:
    """Boilerplate, spam or adult pages; `heuristics` are the published rules on any of them.

    Recall: of the fetched pages of the class, those that do not get past the filter, for whatever
    reason. Precision: of the documents that the rules for this class drop, those that are junk of
    any of these classes; articles and notices are the false alarms. Threads, goods and lists count
    as neither: poor pages, but no harm where they go.
    """
    wanted = CLASSES[name]
    caught = total = hit = false = 0
    for address in known_addresses(fetched, truth):
        page = truth[address]
        if page.kind not in wanted or page.forbidden or page.opt_out:
            continue
        found = documents.get(address)
        total += 1
        caught += found is None or not found.verdicts[FILTER].keep
    for page, _, verdict in reached(truth, documents, FILTER):
        if verdict.keep or group_of(verdict.reason or "") not in FAMILIES[name]:
            continue
        hit += page.kind in JUNK
        false += page.kind in HONEST
    return {
        f"{name}.precision": proportion(hit, hit + false),
        f"{name}.recall": proportion(caught, total),
    }


def audit_lookalikes(truth: Truth, documents: Documents) -> Figures:
    """Honest medical and sexual-health pages that the filter keeps from the adult rules."""
    kept = total = 0
    for page, _, verdict in reached(truth, documents, FILTER):
        if page.lookalike:
            total += 1
            kept += not any(group_of(reason) in FAMILIES["adult"] for reason in verdict.reasons)
    return {"adult.lookalikes_kept": proportion(kept, total)}


def audit_blocklist(truth: Truth, documents: Documents) -> Figures:
    """Pages of listed hosts dropped for their address."""
    hit = false = missed = 0
    for page, _, verdict in reached(truth, documents, FILTER):
        flagged = any(group_of(reason) in ("blocklist", "url") for reason in verdict.reasons)
        hit += page.blocklisted and flagged
        false += flagged and not page.blocklisted
        missed += page.blocklisted and not flagged
    precision, recall = precision_recall(hit, false, missed)
    return {"blocklist.precision": precision, "blocklist.recall": recall}


def audit_personal_data(truth: Truth, documents: Documents) -> Figures:
    """Values found against values that are there, on documents that the filter keeps.

    A value is right where its letters and digits equal those of a true one; its kind does not
    count. It is missed where it was not found and stands in the text that goes on; what other
    steps cut out is no miss of this one.
    """
    hit = false = missed = 0
    for page, document, verdict in reached(truth, documents, FILTER):
        if verdict.keep:
            wrong = len(wrong_values(page, verdict))
            hit += len({_bare(value) for value in _found_values(verdict)}) - wrong
            false += wrong
            missed += len(missed_values(page, document, verdict))
    precision, recall = precision_recall(hit, false, missed)
    return {"personal_data.precision": precision, "personal_data.recall": recall}


def wrong_values(page: TruePage, verdict: Verdict) -> list[str]:
    """Values that the filter took for personal and that are not."""
    true = {_bare(value) for _, value in page.personal_data}
    found = {_bare(value): value for value in _found_values(verdict)}
    return [value for bare, value in found.items() if bare not in true]


def missed_values(page: TruePage, document: Judged, verdict: Verdict) -> list[tuple[str, str]]:
    """(kind, value) of personal data that was not found and stands in the text that goes on."""
    if not verdict.keep or not page.personal_data:
        return []
    left = _bare(document.text if verdict.text is None else verdict.text)
    found = {_bare(value) for value in _found_values(verdict)}
    return [
        (kind, value)
        for kind, value in page.personal_data
        if _bare(value) not in found and _bare(value) in left
    ]


def _found_values(verdict: Verdict) -> list[str]:
    recorded = verdict.own.get("personal_data")
    return [str(span["value"]) for span in json.loads(recorded)] if recorded else []


def _bare(value: str) -> str:
    return re.sub(r"[^a-z0-9@]", "", value.lower())


def audit_dedup(truth: Truth, documents: Documents) -> Figures:
    """Pairs of documents in one group, counted over all pairs that reached the step.

    Exact: pairs whose true main texts are the same words. Near, on documents that are no exact
    copies of a kept one: pairs that were copied from one article, or whose true texts share at
    least `NEAR_JACCARD` of their 5-word shingles (which adds to precision only: pairs that nobody
    planted cannot be missed). Pages without a main text do not count.
    """
    rows = [
        (page, verdict)
        for page, _, verdict in reached(truth, documents, DEDUP)
        if page.main_text and page.exact_group
    ]
    exact = [(page.exact_group or "", verdict.own["exact_group"], page) for page, verdict in rows]
    near = [
        (page.near_group or "", verdict.own["near_group"], page)
        for page, verdict in rows
        if verdict.reason != "exact_duplicate"
    ]
    figures = {}
    for name, triples, similar in (("exact", exact, None), ("near", near, _similar)):
        precision, recall = _pairs(triples, similar)
        figures[f"dedup.{name}.precision"] = precision
        figures[f"dedup.{name}.recall"] = recall
    return figures


def _pairs(
    rows: Sequence[tuple[str, str | None, TruePage]],
    similar: Callable[[TruePage, TruePage], bool] | None,
) -> tuple[Figure, Figure]:
    """rows: (true group, found group, page)."""
    together = Counter((true, found) for true, found, _ in rows if found is not None)
    hit = sum(math.comb(n, 2) for n in together.values())
    actual = sum(math.comb(n, 2) for n in Counter(true for true, _, _ in rows).values())
    found_groups: dict[str, list[tuple[str, TruePage]]] = defaultdict(list)
    for true, found, page in rows:
        if found is not None:
            found_groups[found].append((true, page))
    lucky = false = 0
    for members in found_groups.values():
        for (a, first), (b, second) in combinations(members, 2):
            if a != b:
                fine = similar is not None and similar(first, second)
                lucky += fine
                false += not fine
    return proportion(hit + lucky, hit + lucky + false), proportion(hit, actual)


def _similar(first: TruePage, second: TruePage) -> bool:
    a, b = _shingles(first.main_text), _shingles(second.main_text)
    return len(a & b) >= NEAR_JACCARD * len(a | b)


def _shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def audit_quality(truth: Truth, documents: Documents) -> Figures:
    """The chance that an article on its own site is scored above a poor page; copies and notices
    count as neither."""
    scores, labels = [], []
    for page, _, verdict in reached(truth, documents, QUALITY):
        quality = verdict.own.get("quality")
        if quality is not None and page.quality in ("good", "poor"):
            scores.append(float(quality))
            labels.append(page.quality == "good")
    return {"quality.auc": roc_auc(np.array(scores), np.array(labels, dtype=np.bool_))}


def audit_domains(truth: Truth, documents: Documents) -> Figures:
    """English articles whose page shows no topic: the share that was given the true one."""
    right = total = 0
    for page, _, verdict in reached(truth, documents, DOMAINS):
        known = page.topic is not None and page.topic != UNCATEGORIZED and page.language == "en"
        if known and not verdict.own.get("domain_labelled"):
            total += 1
            right += verdict.own.get("domain") == page.topic
    return {"domains.accuracy": proportion(right, total)}


def reached(
    truth: Truth, documents: Documents, stage: str
) -> Iterable[tuple[TruePage, Judged, Verdict]]:
    """The documents that a step judged, with their truth."""
    for address in sorted(documents):
        page, document = truth.get(address), documents[address]
        if page is not None and stage in document.verdicts:
            yield page, document, document.verdicts[stage]


def group_of(reason: str) -> str:
    """`gopher_quality` of `gopher_quality.words`."""
    return re.split(r"[.:]", reason, maxsplit=1)[0]


def audit_all(
    truth: Truth, documents: Documents, fetched: Sequence[str], languages: Collection[str]
) -> Figures:
    """Every figure of the steps that took place."""
    figures = audit_extraction(truth, documents, fetched)
    figures |= audit_opt_outs(truth, documents, fetched)
    stages = {stage for document in documents.values() for stage in document.verdicts}
    if FILTER in stages:
        figures |= audit_language(truth, documents, languages)
        figures |= audit_blocklist(truth, documents)
        for name in FAMILIES:
            figures |= audit_class(truth, documents, name, fetched)
        figures |= audit_lookalikes(truth, documents)
        figures |= audit_personal_data(truth, documents)
    if DEDUP in stages:
        figures |= audit_dedup(truth, documents)
    if QUALITY in stages:
        figures |= audit_quality(truth, documents)
    if DOMAINS in stages:
        figures |= audit_domains(truth, documents)
    return figures
