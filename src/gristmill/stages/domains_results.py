"""What `data domains` shows: shares, what is taken for what, and the clusters with their words."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from gristmill.core.figure import Chart, Figure, Samples, Series, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.data.clusters import Found
    from gristmill.data.documents import DocumentSet
    from gristmill.data.domains import TrainedDomains
    from gristmill.stages.stage import Output

# A matrix of more domains is no longer read; its largest confusions are.
_MATRIX = 16
_CONFUSIONS = 12
_NAMED_FROM = 20_000
_CHARACTERS = 200


def tell_speed(documents: int, cpu_seconds: float) -> None:
    """One line on the terminal: it differs from run to run, so no artifact holds it."""
    print(
        f"  {documents / max(cpu_seconds, 1e-9):,.0f} documents per CPU second, "
        "features and training included",
        file=sys.stderr,
    )


def present(
    trained: TrainedDomains, domains: Sequence[str], labelled: Sequence[bool], output: Output
) -> None:
    """Shares before and after, held-out accuracy, confusion."""
    names = trained.model.classifier.labels
    before = Counter(d for d, is_known in zip(domains, labelled, strict=True) if is_known)
    after = Counter(domains)
    known = sum(before.values())
    place = {name: i for i, name in enumerate(names)}
    rows = []
    for name in sorted(set(names) | set(after)):
        precision = recall = None
        if name in place:
            i = place[name]
            true, guessed = int(trained.confusion[i].sum()), int(trained.confusion[:, i].sum())
            hits = int(trained.confusion[i, i])
            precision, recall = hits / guessed if guessed else None, hits / true if true else None
        rows.append(
            (
                name,
                before[name],
                before[name] / max(1, known),
                after[name],
                after[name] / max(1, len(domains)),
                precision,
                recall,
            )
        )
    output.tables.append(
        Table(
            "Domains",
            (
                "domain",
                "labelled",
                "share of labelled",
                "all",
                "share of all",
                "precision",
                "recall",
            ),
            rows,
            "Precision and recall on labelled documents that the classifier had not seen.",
        )
    )
    output.tables += _confusion(trained)
    output.figures["domains.held_out_accuracy"] = trained.accuracy
    output.figures["domains.confidence"] = Figure(trained.confidence, n=trained.accuracy.n)
    largest = max((int(count) for count in trained.confusion.sum(axis=1)), default=0)
    tested = int(trained.confusion.sum())
    output.figures["domains.majority"] = Figure(largest / max(1, tested), n=tested)
    output.counts.update(documents=len(domains), labelled=known, domains=len(rows))


def _confusion(trained: TrainedDomains) -> list[Table]:
    """Which domain is taken for which: the commonest mistakes, and the whole matrix of few."""
    names, counts = trained.model.classifier.labels, trained.confusion
    true = counts.sum(axis=1)
    mistakes = sorted(
        (-int(counts[i, j]), names[i], names[j], int(true[i]))
        for i in range(len(names))
        for j in range(len(names))
        if i != j and counts[i, j]
    )
    tables = []
    if mistakes:
        tables.append(
            Table(
                "Domains taken for others",
                ("domain", "taken for", "documents", "share of the domain"),
                [(a, b, -count, -count / of) for count, a, b, of in mistakes[:_CONFUSIONS]],
                "Of the held-out labelled documents, the commonest mistakes first.",
            )
        )
    if len(names) <= _MATRIX:
        tables.append(
            Table(
                "Domains: confusion",
                ("domain", *(str(i + 1) for i in range(len(names)))),
                [(f"{i + 1} {name}", *counts[i].tolist()) for i, name in enumerate(names)],
                "Held-out labelled documents: rows are what pages name, columns what was guessed.",
            )
        )
    return tables


def sample(
    documents: DocumentSet,
    domains: Sequence[str],
    probability: Sequence[float],
    labelled: Sequence[bool],
    output: Output,
) -> None:
    """Guessed documents from the least to the most certain."""
    guessed = sorted(
        (probability[row], row) for row, is_known in enumerate(labelled) if not is_known
    )
    step = max(1, len(guessed) // 10)
    wanted = {row for _, row in guessed[::step][:10]}
    rows = []
    for row, url, text in _read(documents, wanted):
        rows.append(
            {
                "probability": f"{probability[row]:.3f}",
                "domain": domains[row],
                "url": url,
                "text": text[:_CHARACTERS],
            }
        )
    if rows:
        rows.sort(key=lambda found: (found["probability"], found["url"]))
        output.samples.append(Samples("Domains guessed, least certain first", rows))


def name_clusters(documents: DocumentSet, found: Found) -> tuple[list[str], list[list[str]]]:
    """A name and telling words for each cluster, from an even sample of the documents."""
    from gristmill.data.clusters import telling_words

    count = len(found.label)
    wanted = set(range(0, count, max(1, count // _NAMED_FROM)))
    texts = ((text, int(found.label[row])) for row, _, text in _read(documents, wanted))
    return telling_words(texts, found.clusters)


def present_clusters(
    documents: DocumentSet,
    found: Found,
    names: Sequence[str],
    telling: Sequence[Sequence[str]],
    labels: Sequence[str | None],
    output: Output,
) -> None:
    """Each cluster's words, size and most typical document; how sure their number is."""
    import numpy as np

    from gristmill.data.clusters import adjusted_rand

    sizes = np.bincount(found.label, minlength=found.clusters)
    total = max(1, len(found.label))
    output.tables.append(
        Table(
            "Domains by clustering",
            ("domain", "documents", "share", "mean cosine", "telling words"),
            [
                (
                    name,
                    int(sizes[k]),
                    int(sizes[k]) / total,
                    float(found.cosine[found.label == k].mean()) if sizes[k] else None,
                    ", ".join(telling[k]),
                )
                for k, name in enumerate(names)
            ],
            "No document named these: they are clusters of like words. Mean cosine: how close "
            "the documents lie to the middle of their cluster.",
        )
    )
    output.figures["domains.clusters"] = Figure(float(found.clusters), n=len(found.label))
    if found.agreement:
        tried = list(found.agreement)
        output.figures["domains.clusters.agreement"] = Figure(found.agreement[found.clusters])
        output.charts.append(
            Chart(
                "How far two halves of the documents agree on clusters",
                "clusters",
                "adjusted Rand index (0: chance)",
                [Series("agreement", tried, [found.agreement[k] for k in tried])],
                style="points",
            )
        )
    known = sorted({label for label in labels if label is not None})
    if len(known) > 1:
        number = {name: i for i, name in enumerate(known)}
        rows = np.array([i for i, label in enumerate(labels) if label is not None])
        truth = np.array([number[label] for label in labels if label is not None])
        output.figures["domains.clusters.agreement_with_labels"] = Figure(
            adjusted_rand(found.label[rows], truth), n=len(rows)
        )
    typical: dict[int, int] = {}
    for row in np.argsort(-found.cosine, kind="stable").tolist():
        if typical.setdefault(int(found.label[row]), row) == row and len(typical) == len(names):
            break
    shown = [
        {"domain": names[int(found.label[row])], "url": url, "text": text[:_CHARACTERS]}
        for row, url, text in _read(documents, set(typical.values()))
    ]
    if shown:
        shown.sort(key=lambda one: names.index(one["domain"]))
        output.samples.append(Samples("The most typical document of each cluster", shown))
    output.counts.update(documents=len(found.label), labelled=0, domains=found.clusters)


def _read(documents: DocumentSet, wanted: set[int]) -> list[tuple[int, str, str]]:
    """(row, url, text) of kept documents by their row over all parts, ascending."""
    rows = []
    first = 0
    for _, table in documents.tables(["url", "text"]):
        for row in sorted(r for r in wanted if first <= r < first + table.num_rows):
            at = row - first
            rows.append((row, table["url"][at].as_py(), table["text"][at].as_py()))
        first += table.num_rows
    return rows
