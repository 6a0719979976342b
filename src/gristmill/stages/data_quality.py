"""`data quality`: likeness to the pages that a reference links to, as a calibrated column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, later, stage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gristmill.data.documents import DocumentSet
    from gristmill.data.quality import Labels
    from gristmill.data.reference import ReferenceList

MODEL = "quality.safetensors"


class Reference(StageConfig):
    """What is good, from files, beside or in place of a reference's links."""

    pages: tuple[str, ...] = content_of(())
    """Addresses, one a line, or JSONL with `url`: these pages are good."""
    texts: tuple[str, ...] = content_of(())
    """JSONL with `text`: good documents of your own, which are learnt from and kept nowhere."""
    others: tuple[str, ...] = content_of(())
    """The same for what is not good; default: random other pages."""
    classifier: str | None = content_of(None)
    """quality.safetensors of an earlier layer, or its folder: used as it is, nothing is learnt."""


class QualityConfig(StageConfig):
    """What good means, and how much of it is kept."""

    enabled: bool = True
    """false: every document is kept and `quality` is null."""
    reference_hosts: tuple[str, ...] = ()
    """Sites whose links say what is good; pages that they link to are the positives. Without
    them and without `reference` every document is kept."""
    reference: Reference = later(Reference())
    keep_share: float = Field(0.9, gt=0.0, le=1.0)
    """Share of the documents that is kept, best first. Ignored where `threshold` is given."""
    threshold: float | None = Field(None, ge=0.0, le=1.0)
    """Smallest quality that is kept."""
    keep_reference: bool = True
    """The reference's own pages are kept whatever their score, over and above the share; false
    makes the share exact."""
    negatives_per_positive: float = Field(3.0, gt=0.0)
    min_positives: int = Field(30, ge=2)
    """With fewer linked pages no classifier is trained and every document is kept."""
    split_by: str = Field("group", pattern="^(group|host)$")
    """What is never on both sides of a measurement: near copies, or whole sites. By host needs
    several sites in each class."""
    folds: int = Field(5, ge=2, le=20)
    bits: int = Field(18, ge=8, le=24)
    """The classifier has 2^bits weights for hashed n-grams."""
    ngrams: int = Field(2, ge=1, le=5)
    epochs: int = Field(3, ge=1, le=100)


@stage(
    "data quality",
    version=2,
    kind="layer",
    config=QualityConfig,
    inputs={"documents": Slot("layer", "documents", help="documents, or a step after them")},
    summary="score pages by likeness to those a reference links to",
    example="gristmill data quality --documents DEDUP --reference_hosts [encyclopaedia.example]",
    seeded=True,
)
def data_quality(config: QualityConfig, inputs: Inputs, output: Output) -> None:
    """Column: quality (0..1, null where there is no classifier). Reason: low_quality."""
    import shutil
    import time

    import numpy as np

    from gristmill.data.documents import DocumentSet
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.features import corpus_features
    from gristmill.data.filters.trained import TextClassifier
    from gristmill.data.links import linked_pages
    from gristmill.data.quality import NAMES, Labels, train_quality
    from gristmill.data.reference import read_reference
    from gristmill.stages.domains_results import tell_speed
    from gristmill.stages.quality_results import Scored, present, present_scores, sample_tenths

    documents = DocumentSet.open(inputs["documents"])
    own = config.reference
    good = read_reference([Path(file) for file in (*own.pages, *own.texts)])
    poor = read_reference([Path(file) for file in own.others])
    asked = config.reference_hosts or own.classifier or good.pages or good.texts
    if not config.enabled or not asked:
        return _keep_all(documents, output, "Quality was not judged: no reference was given.")
    for name, found in (("reference", good), ("others", poor)):
        if found.bad:
            output.reject(name, found.shown)
            output.counts[f"{name}_bad_lines"] = found.bad
    if own.classifier is not None:
        return _with_classifier(config, documents, own.classifier, output)
    start = time.process_time()
    has_groups = "near_group" in documents.column_names() and config.split_by == "group"
    names = ["id", "url", "host", "links", *(["near_group"] if has_groups else [])]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for _, table in documents.tables(names):
        for name in names:
            columns[name] += table[name].to_pylist()
    ids, urls, hosts = ([str(value) for value in columns[n]] for n in ("id", "url", "host"))
    linked = linked_pages(hosts, columns["links"], config.reference_hosts)
    labels = _labels(config, ids, urls, hosts, linked, good, poor, output.seed)
    found_least = min(len(labels.positives), len(labels.negatives))
    if found_least < config.min_positives:
        return _keep_all(
            documents,
            output,
            f"Quality was not judged: {', '.join(config.reference_hosts) or 'the reference'} links "
            f"to {len(labels.positives)} of the kept pages, with {len(labels.negatives)} others to "
            f"compare; at least {config.min_positives} of each are needed.",
        )
    groups = columns["near_group"] if has_groups else hosts if config.split_by == "host" else ids
    extra = [*good.texts, *poor.texts]
    groups = [*(str(group) for group in groups), *(f"text {n}" for n in range(len(extra)))]
    # Only what is labelled is learnt from, and held; the files' texts follow the documents.
    learnt = np.zeros(len(ids) + len(extra), np.bool_)
    learnt[labels.positives] = learnt[labels.negatives] = learnt[len(ids) :] = True
    rows = np.flatnonzero(learnt)
    trained = train_quality(
        corpus_features(
            engine_of(*output.execution.engine_settings),
            documents,
            learnt[: len(ids)],
            bits=config.bits,
            ngrams=config.ngrams,
            folder=output.run.path / "features",
            extra=extra,
        ),
        Labels(np.searchsorted(rows, labels.positives), np.searchsorted(rows, labels.negatives)),
        [groups[row] for row in rows.tolist()],
        bits=config.bits,
        ngrams=config.ngrams,
        fold_count=config.folds,
        epochs=config.epochs,
        seed=output.seed,
    )
    model = output.run.path / MODEL
    TextClassifier(NAMES[1], trained.model).save(model)
    quality, sizes = _scores(documents, model, output)
    # A labelled page has the score of a model that was not trained on it.
    own_rows = rows[trained.rows]
    inside = own_rows < len(quality)
    quality[own_rows[inside]] = trained.held_out[inside]
    tell_speed(len(quality), time.process_time() - start)
    shutil.copyfile(model, output.path / MODEL)
    scored = Scored.choose(config, quality, sizes, hosts)
    _write(documents, output, quality, scored.keep)
    present(trained, scored, output)
    present_scores(config, scored, output)
    sample_tenths(documents, quality, output)


def _labels(
    config: QualityConfig,
    ids: list[str],
    urls: list[str],
    hosts: list[str],
    linked: set[str],
    good: ReferenceList,
    poor: ReferenceList,
    seed: int,
) -> Labels:
    """Rows of what is good and what is not; the files' own texts come after the documents."""
    import numpy as np

    from gristmill.data.quality import Labels, choose_labels

    texts = np.arange(len(good.texts) + len(poor.texts)) + len(ids)
    if not poor.pages and not poor.texts:
        labels = choose_labels(
            ids,
            urls,
            hosts,
            linked | good.pages,
            config.reference_hosts,
            # Texts of one's own are positives too, and want their share of random pages.
            also=len(good.texts),
            negatives_per_positive=config.negatives_per_positive,
            seed=seed,
        )
        return Labels(np.concatenate([labels.positives, texts]), labels.negatives)
    from gristmill.data.links import same_page

    keys = [same_page(url) for url in urls]
    positives = [row for row, key in enumerate(keys) if key in linked or key in good.pages]
    negatives = [row for row, key in enumerate(keys) if key in poor.pages and key not in good.pages]
    split = len(good.texts)
    return Labels(
        np.concatenate([np.array(sorted(set(positives) - set(negatives)), np.int64),
                        texts[:split]]),
        np.concatenate([np.array(negatives, np.int64), texts[split:]]),
    )  # fmt: skip


def _with_classifier(
    config: QualityConfig, documents: DocumentSet, path: str, output: Output
) -> None:
    """Scores by a classifier that was trained before; it comes with the layer."""
    import shutil
    import time

    from gristmill.data.filters.trained import TextClassifier, model_file
    from gristmill.stages.domains_results import tell_speed
    from gristmill.stages.quality_results import Scored, present_scores, sample_tenths

    classifier = TextClassifier.load(model_file(Path(path), "quality"))
    start = time.process_time()
    hosts: list[str] = []
    for _, table in documents.tables(["host"]):
        hosts += table["host"].to_pylist()
    # Where workers on other machines find it.
    model = output.run.path / MODEL
    classifier.save(model)
    quality, sizes = _scores(documents, model, output)
    tell_speed(len(quality), time.process_time() - start)
    shutil.copyfile(model, output.path / MODEL)
    scored = Scored.choose(config, quality, sizes, hosts)
    _write(documents, output, quality, scored.keep)
    present_scores(config, scored, output)
    sample_tenths(documents, quality, output)
    output.notes.append(
        "Scored by a classifier that was trained on other pages: what it reached there is in the "
        "layer that made it, and its probabilities are for pages mixed as those were."
    )


def _scores(
    documents: DocumentSet, model: Path, output: Output
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Quality and bytes of all documents, by the classifier in this file."""
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.journal import PartJournal
    from gristmill.data.scoring import QualityScorer, score_documents

    found = score_documents(
        engine_of(*output.execution.engine_settings),
        documents,
        QualityScorer(model.resolve()),
        PartJournal(output.run.path, "quality"),
        "data quality",
    )
    return found["quality"], found["bytes"]


def _keep_all(documents: DocumentSet, output: Output, statement: str) -> None:
    _write(documents, output, None, None)
    output.notes.append(statement + " Every document was kept.")
    kept = sum(len(documents.kept_rows(part)) for part in documents.parts)
    output.counts.update(documents=kept, kept=kept, low_quality=0)


def _write(
    documents: DocumentSet,
    output: Output,
    quality: npt.NDArray[np.float64] | None,
    keep: npt.NDArray[np.bool_] | None,
) -> None:
    import numpy as np
    import pyarrow as pa

    from gristmill.data.documents import write_layer

    first = 0
    for part in documents.parts:
        rows = documents.kept_rows(part)
        here = slice(first, first + len(rows))
        first += len(rows)
        kept = np.ones(len(rows), np.bool_) if keep is None else keep[here]
        column = (
            pa.nulls(len(rows), pa.float32())
            if quality is None
            else pa.array(quality[here].astype(np.float32))
        )
        write_layer(
            output.path,
            part,
            documents.read_all(part, ["id"])["id"],
            rows,
            keep=kept,
            reason=[None if k else "low_quality" for k in kept],
            own={"quality": column},
        )
