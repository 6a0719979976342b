"""`data inspect`: what each step kept, dropped and got right, with samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.canonical import write_json
from gristmill.core.figure import Figure, Samples, Table, figures_to_json
from gristmill.stages.inspect_funnel import funnel_json, present_funnel
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact
    from gristmill.data.documents import DocumentSet


# The log of the sample web's server, where the crawl keeps it among its files.
REQUESTS = "requests.txt"


class InspectConfig(StageConfig):
    """How much is shown."""

    samples_per_reason: int = Field(2, ge=0)
    """Dropped documents shown for each reason of each step, drawn with the seed."""
    groups_shown: int = Field(12, ge=1)
    """Sites, sources and domains in the tables; the rest of each is one row."""
    languages: list[str] = ["en"]
    """The languages that were wanted; pages in others are what the language rule should drop."""


@stage(
    "data inspect",
    version=4,
    kind="inspection",
    config=InspectConfig,
    inputs={
        "documents": Slot("layer", "documents", help="documents, or the last step after them"),
        "pages": Slot("pages", optional=True, help="the crawl that they came from"),
        "mixture": Slot("mixture", optional=True, help="the mixture that was made of them"),
        "web": Slot("web", optional=True, help="a sample web: its truth is compared with them"),
    },
    summary="tell what each step kept, dropped and got right, with samples",
    example="gristmill data inspect --documents runs/demo/artifacts/data.domains-1a2b",
)
def data_inspect(config: InspectConfig, inputs: Inputs, output: Output) -> None:
    """Writes inspection.json: the funnel and, where truth is known, the figures."""
    from gristmill.data.documents import DocumentSet
    from gristmill.data.funnel import funnel

    documents = DocumentSet.open(inputs["documents"])
    found = funnel(
        documents,
        config.samples_per_reason,
        pages=inputs.get("pages"),
        mixture=inputs.get("mixture"),
        seed=output.seed,
    )
    present_funnel(found, config.groups_shown, output)
    web = inputs.get("web")
    if web is not None:
        _audit(config, web, inputs.get("pages"), documents, output)
    write_json(
        output.path / "inspection.json",
        {**funnel_json(found), "figures": figures_to_json(output.figures)},
    )
    first, last = found.steps[0], found.steps[-1]
    output.counts.update(documents=first.documents, kept=last.documents)


def _audit(
    config: InspectConfig,
    web: Artifact,
    pages: Artifact | None,
    documents: DocumentSet,
    output: Output,
) -> None:
    from gristmill.data import audit
    from gristmill.data.mistakes import explain, find_mistakes, lost_articles, near_recall_by_edit
    from gristmill.data.sample_web.truth import judged_documents, read_truth

    truth = read_truth(web.file("truth.parquet"))
    judged = judged_documents(documents)
    fetched = _fetched(pages) if pages is not None else [page.url for page in judged.values()]
    found: dict[str, Figure] = {}
    if pages is not None:
        found |= audit.audit_crawl(truth, _requested(pages), fetched)
    found |= audit.audit_all(truth, judged, fetched, config.languages)
    output.figures |= found
    output.tables.append(
        Table(
            "What each step got right",
            ("step", "precision", "recall"),
            [
                (name, found[f"{name}.precision"], found[f"{name}.recall"])
                for name in (key.removesuffix(".precision") for key in found)
                if f"{name}.precision" in found and f"{name}.recall" in found
            ],
            "Against what is true of the sample web's pages; a positive is what the step is there "
            "to find, such as a foreign page, a copy, or a value that is personal.",
        )
    )
    others = [
        (name, figure)
        for name, figure in found.items()
        if not name.endswith((".precision", ".recall"))
    ]
    output.tables.append(Table("Other figures of the data", ("figure", "value"), others))
    edits = near_recall_by_edit(truth, judged)
    if edits:
        output.tables.append(
            Table("Near copies found, by what was changed", ("change", "found"), edits)
        )
    lost = lost_articles(truth, judged)
    if lost:
        output.tables.append(
            Table(
                "Good articles that were dropped",
                ("step", "reason", "articles"),
                lost,
                "English articles of good quality. A false alarm is any article or notice that a "
                "rule drops, of whatever quality: a rule may have more of these.",
            )
        )
    mistakes = find_mistakes(truth, judged, config.languages)
    for mistake in mistakes:
        rows = [{"cause": why, "url": url, "text": text} for url, why, text in mistake.examples]
        output.samples.append(Samples(f"{mistake.step}: {mistake.kind}", rows))
    output.notes += explain(found, mistakes)


def _fetched(pages: Artifact) -> list[str]:
    """The URLs of the stored answers with status 200."""
    import pyarrow.parquet as pq

    table = pq.read_table(pages.file("index.parquet"), columns=["url", "status"])
    return [row["url"] for row in table.to_pylist() if row["status"] == 200]


def _requested(pages: Artifact) -> Iterable[str]:
    """Every URL that reached the sample web's server, by its own log where the crawl kept it."""
    log = pages.path / REQUESTS
    if log.exists():
        return log.read_text(encoding="utf-8").splitlines()
    import pyarrow.parquet as pq

    table = pq.read_table(pages.file("index.parquet"), columns=["url"])
    return [str(url) for url in table["url"].to_pylist()]
