"""`data domains`: a domain for every document, learnt from labels or found by clustering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, later, stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.data.classifier import Features
    from gristmill.data.documents import DocumentSet
    from gristmill.data.domain_labels import GivenLabels, Rules

MODEL = "domains.safetensors"


class LabelRules(StageConfig):
    """Labels of your own; a file's hold over rules', rules' over topics that pages name."""

    files: tuple[str, ...] = content_of(())
    """JSONL: {"url": ..., "domain": ...} or {"text": ..., "domain": ...} a line."""
    rules: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """DOMAIN: [a.example, a.example/physics/, /physics/, 'topic: Physics']: host, beginning of
    an address, piece of a path, breadcrumb; of several that fit the longest."""
    topics: bool = True
    """Whether the topic that a page names is a label."""


class DomainsConfig(StageConfig):
    """Which topics become domains."""

    ignore: tuple[str, ...] = ("Uncategorized", "Uncategorised", "Other", "Misc")
    """Topics that say nothing; their documents are labelled by the classifier."""
    min_documents: int = Field(20, ge=1)
    """A topic of fewer documents is too rare to be a domain; labels of your own stay, but are
    not learnt."""
    labels: LabelRules = later(LabelRules())
    clusters: Literal["auto"] | int | None = later(None)
    """Domains without labels: so many clusters of like texts, or as many as two halves of the
    documents agree on (auto). Labels are then only compared with."""
    agreement: float = later(0.5, gt=0.0, le=1.0)
    """How well the halves must agree, for auto: adjusted Rand index, 0 by chance, 1 equal."""
    held_out: float = Field(0.1, gt=0.0, lt=1.0)
    """Share of the labelled documents on which accuracy is measured."""
    bits: int = Field(18, ge=8, le=24)
    """The classifier has 2^bits weights per domain for hashed n-grams."""
    ngrams: int = Field(2, ge=1, le=5)
    epochs: int = Field(5, ge=1, le=100)

    @model_validator(mode="after")
    def _at_least_two(self) -> Self:
        if isinstance(self.clusters, int) and not 2 <= self.clusters <= 1000:
            raise ValueError("'clusters' is a number from 2 to 1000, or auto")
        return self


@stage(
    "data domains",
    version=2,
    kind="layer",
    config=DomainsConfig,
    inputs={"documents": Slot("layer", "documents", help="documents, or a step after them")},
    summary="label documents with a domain",
    example="gristmill data domains --documents QUALITY --ignore Uncategorized",
    seeded=True,
)
def data_domains(config: DomainsConfig, inputs: Inputs, output: Output) -> None:
    """Columns: domain, domain_probability, domain_labelled (the page or the user named it; a
    cluster is guessed without a probability). Drops nothing."""
    import shutil
    import time

    import numpy as np

    from gristmill.data.documents import DocumentSet
    from gristmill.data.domain_labels import Rules, read_given_labels
    from gristmill.data.domains import train_domains, usable_labels
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.features import corpus_features
    from gristmill.data.journal import PartJournal
    from gristmill.data.scoring import DomainScorer, score_documents
    from gristmill.stages.domains_results import present, sample, tell_speed

    documents = DocumentSet.open(inputs["documents"])
    given = read_given_labels([Path(file) for file in config.labels.files])
    rules = Rules(config.labels.rules)
    has_groups = "near_group" in documents.column_names()
    stated: list[str | None] = []
    topics: list[str | None] = []
    groups: list[str] = []
    start = time.process_time()
    names = ["url", "topic", "near_group" if has_groups else "id"]
    matched: set[str] = set()
    for _, table in documents.tables(names):
        own = table["topic"].to_pylist()
        stated += _stated(table["url"].to_pylist(), own, given, rules, matched)
        topics += own if config.labels.topics else [None] * len(own)
        groups += table[names[2]].to_pylist()
    _tell_labels(given, matched, stated, output)
    merged = [one or topic for one, topic in zip(stated, topics, strict=True)]
    extra = [domain for _, domain in given.texts]
    labels = usable_labels(
        [*merged, *extra], ignore=config.ignore, min_documents=config.min_documents
    )
    engine = engine_of(*output.execution.engine_settings)
    # What no label names is not learnt from, so its features are not held; texts of the user's own
    # follow the documents.
    learnt = np.array([label is not None for label in labels], np.bool_)
    clustered = config.clusters is not None
    if not clustered and len({label for label in labels if label is not None}) < 2:
        return _one_domain(config, documents, stated, labels[: len(merged)], output)
    learnt[len(merged) :] = True
    features = corpus_features(
        engine,
        documents,
        np.ones(len(merged), np.bool_) if clustered else learnt[: len(merged)],
        bits=config.bits,
        ngrams=1 if clustered else config.ngrams,
        folder=output.run.path / "features",
        extra=() if clustered else [text for text, _ in given.texts],
    )
    if clustered:
        return _cluster(config, documents, features, labels[: len(merged)], output)
    groups += [f"text {number}" for number in range(len(extra))]
    rows = np.flatnonzero(learnt).tolist()
    trained = train_domains(
        features,
        [labels[row] for row in rows],
        [groups[row] for row in rows],
        bits=config.bits,
        ngrams=config.ngrams,
        held_out=config.held_out,
        epochs=config.epochs,
        seed=output.seed,
    )
    del features
    model = output.run.path / MODEL
    trained.model.classifier.save(model)
    found = score_documents(
        engine,
        documents,
        DomainScorer(model.resolve(), trained.model.temperature),
        PartJournal(output.run.path, "domains"),
        "data domains",
    )
    guessed, probability = found["label"], found["probability"]
    tell_speed(len(merged), time.process_time() - start)
    known = trained.model.classifier.labels
    # What the user names is a domain, however rare; a topic that pages name must be usable.
    named = [one or label for one, label in zip(stated, labels[: len(merged)], strict=True)]
    domains = [
        name if name is not None else known[guess]
        for name, guess in zip(named, guessed, strict=True)
    ]
    labelled = [name is not None for name in named]
    sure = [1.0 if known_ else float(p) for known_, p in zip(labelled, probability, strict=True)]
    shutil.copyfile(model, output.path / MODEL)
    _write(documents, output, domains, sure, labelled)
    present(trained, domains, labelled, output)
    sample(documents, domains, sure, labelled, output)


def _stated(
    urls: Sequence[str],
    topics: Sequence[str | None],
    given: GivenLabels,
    rules: Rules,
    matched: set[str],
) -> list[str | None]:
    """What the user's files and rules say of each page; `matched` gains the pages of files."""
    from gristmill.data.links import same_page

    found: list[str | None] = []
    for url, topic in zip(urls, topics, strict=True):
        key = same_page(url) if given.by_page else ""
        if key in given.by_page:
            matched.add(key)
        found.append(given.by_page.get(key) or rules.domain(url, topic))
    return found


def _tell_labels(
    given: GivenLabels, matched: set[str], stated: Sequence[str | None], output: Output
) -> None:
    """What became of the user's labels: bad lines, addresses that no document has."""
    if given.bad:
        output.reject("labels", given.shown)
        output.counts["labels_bad"] = given.bad
    absent = len(given.by_page) - len(matched)
    if absent:
        output.notes.append(
            f"{absent} of {len(given.by_page)} addresses in the files of labels are no document's."
        )
    if given.texts:
        output.counts["labels_texts"] = len(given.texts)
    if any(stated):
        output.counts["stated"] = sum(one is not None for one in stated)


def _one_domain(
    config: DomainsConfig,
    documents: DocumentSet,
    stated: Sequence[str | None],
    labels: Sequence[str | None],
    output: Output,
) -> None:
    """Too few labels to learn from: what is stated stays, all else is one domain."""
    from gristmill.data.domains import ALL

    only = next((label for label in labels if label is not None), ALL)
    count = sum(label is not None for label in labels)
    output.notes.append(
        f"There is one domain, '{only}': fewer than two topics are named by at least "
        f"{config.min_documents} documents ({count} documents name a usable topic)."
    )
    named = [one or label for one, label in zip(stated, labels, strict=True)]
    domains = [name or only for name in named]
    _write(documents, output, domains, [None] * len(labels), [name is not None for name in named])
    output.counts.update(documents=len(labels), labelled=count, domains=max(1, len(set(domains))))


def _cluster(
    config: DomainsConfig,
    documents: DocumentSet,
    features: Features,
    labels: Sequence[str | None],
    output: Output,
) -> None:
    """Clusters of like texts as domains, named by their telling words."""
    import time

    from gristmill.data.clusters import cluster_texts
    from gristmill.stages.domains_results import name_clusters, present_clusters, tell_speed

    start = time.process_time()
    wanted = None if config.clusters == "auto" else config.clusters
    assert not isinstance(wanted, str)
    found = cluster_texts(
        features, config.bits, clusters=wanted, agreement=config.agreement, seed=output.seed
    )
    tell_speed(len(features), time.process_time() - start)
    names, telling = name_clusters(documents, found)
    domains = [names[label] for label in found.label.tolist()]
    _write(documents, output, domains, [None] * len(domains), [False] * len(domains))
    present_clusters(documents, found, names, telling, labels, output)


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
