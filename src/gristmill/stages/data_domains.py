"""`data domains`: a domain for every document, learnt from those that name their topic."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.figure import Figure, Samples, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.data.documents import DocumentSet
    from gristmill.data.domains import TrainedDomains

MODEL = "domains.safetensors"


class DomainsConfig(StageConfig):
    """Which topics become domains."""

    ignore: tuple[str, ...] = ("Uncategorized", "Uncategorised", "Other", "Misc")
    """Topics that say nothing; their documents are labelled by the classifier."""
    min_documents: int = Field(20, ge=1)
    """A topic of fewer documents is too rare to be a domain."""
    held_out: float = Field(0.1, gt=0.0, lt=1.0)
    """Share of the labelled documents on which accuracy is measured."""
    bits: int = Field(18, ge=8, le=24)
    """The classifier has 2^bits weights per domain for hashed n-grams."""
    ngrams: int = Field(2, ge=1, le=5)
    epochs: int = Field(5, ge=1, le=100)


@stage(
    "data domains",
    version=1,
    kind="layer",
    config=DomainsConfig,
    inputs={"documents": Slot("layer", "documents", help="documents, or a step after them")},
    summary="label documents with a domain",
    example="gristmill data domains --documents QUALITY --ignore Uncategorized",
    seeded=True,
)
def data_domains(config: DomainsConfig, inputs: Inputs, output: Output) -> None:
    """Columns: domain, domain_probability, domain_labelled (the page named it). Drops nothing."""
    import numpy as np

    from gristmill.data.classifier import Features, hashed_features
    from gristmill.data.documents import DocumentSet
    from gristmill.data.domains import ALL, train_domains, usable_labels

    documents = DocumentSet.open(inputs["documents"])
    has_groups = "near_group" in documents.column_names()
    topics: list[str | None] = []
    groups: list[str] = []
    features = []
    names = ["topic", "near_group" if has_groups else "id", "text"]
    for _, table in documents.tables(names):
        topics += table["topic"].to_pylist()
        groups += table[names[1]].to_pylist()
        features.append(hashed_features(table["text"], bits=config.bits, ngrams=config.ngrams))
    labels = usable_labels(topics, ignore=config.ignore, min_documents=config.min_documents)
    if len({label for label in labels if label is not None}) < 2:
        only = next((label for label in labels if label is not None), ALL)
        count = sum(label is not None for label in labels)
        output.notes.append(
            f"There is one domain, '{only}': fewer than two topics are named by at least "
            f"{config.min_documents} documents ({count} documents name a usable topic)."
        )
        labelled = [label is not None for label in labels]
        _write(documents, output, [only] * len(labels), [None] * len(labels), labelled)
        output.counts.update(documents=len(labels), labelled=count, domains=1)
        return
    trained = train_domains(
        Features.join(features),
        labels,
        groups,
        bits=config.bits,
        ngrams=config.ngrams,
        held_out=config.held_out,
        epochs=config.epochs,
        seed=output.seed,
    )
    guessed, probability = (
        np.concatenate(found)
        for found in zip(*(trained.model.predict(part) for part in features), strict=True)
    )
    known = trained.model.classifier.labels
    domains = [
        label if label is not None else known[guess]
        for label, guess in zip(labels, guessed, strict=True)
    ]
    labelled = [label is not None for label in labels]
    sure = [1.0 if known_ else float(p) for known_, p in zip(labelled, probability, strict=True)]
    trained.model.classifier.save(output.path / MODEL)
    _write(documents, output, domains, sure, labelled)
    _present(trained, domains, labelled, output)
    _sample(documents, domains, sure, labelled, output)


def _write(
    documents: DocumentSet,
    output: Output,
    domains: Sequence[str],
    probability: Sequence[float | None],
    labelled: Sequence[bool],
) -> None:
    import numpy as np
    import pyarrow as pa

    from gristmill.data.documents import write_layer

    first = 0
    for part in documents.parts:
        rows = documents.kept_rows(part)
        here = slice(first, first + len(rows))
        first += len(rows)
        write_layer(
            output.path,
            part,
            documents.read_all(part, ["id"])["id"],
            rows,
            keep=np.ones(len(rows), np.bool_),
            reason=[None] * len(rows),
            own={
                "domain": pa.array(domains[here], pa.string()),
                "domain_probability": pa.array(probability[here], pa.float32()),
                "domain_labelled": pa.array(labelled[here], pa.bool_()),
            },
        )


def _present(
    trained: TrainedDomains, domains: Sequence[str], labelled: Sequence[bool], output: Output
) -> None:
    names = trained.model.classifier.labels
    before = Counter(d for d, is_known in zip(domains, labelled, strict=True) if is_known)
    after = Counter(domains)
    known = sum(before.values())
    rows = []
    for i, name in enumerate(names):
        true, guessed = int(trained.confusion[i].sum()), int(trained.confusion[:, i].sum())
        hits = int(trained.confusion[i, i])
        rows.append(
            (
                name,
                before[name],
                before[name] / max(1, known),
                after[name],
                after[name] / max(1, len(domains)),
                hits / guessed if guessed else None,
                hits / true if true else None,
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
    output.figures["domains.held_out_accuracy"] = trained.accuracy
    output.figures["domains.confidence"] = Figure(trained.confidence, n=trained.accuracy.n)
    largest = max((int(count) for count in trained.confusion.sum(axis=1)), default=0)
    tested = int(trained.confusion.sum())
    output.figures["domains.majority"] = Figure(largest / max(1, tested), n=tested)
    output.counts.update(documents=len(domains), labelled=known, domains=len(names))


def _sample(
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
    first = 0
    for _, table in documents.tables(["url", "text"]):
        for row in sorted(r for r in wanted if first <= r < first + table.num_rows):
            rows.append(
                {
                    "probability": f"{probability[row]:.3f}",
                    "domain": domains[row],
                    "url": table["url"][row - first].as_py(),
                    "text": table["text"][row - first].as_py()[:200],
                }
            )
        first += table.num_rows
    if rows:
        rows.sort(key=lambda found: (found["probability"], found["url"]))
        output.samples.append(Samples("Domains guessed, least certain first", rows))
