"""`data extract`: the main text of crawled pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Figure, Samples, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    from pathlib import Path

    from gristmill.data.extract.stored import StoredPage

_BATCH = 100


class ExtractConfig(StageConfig):
    """What to extract, and within which limits."""

    format: Literal["text", "markdown"] = "text"
    """Plain text, or Markdown with headings, lists, tables and fenced code."""
    comments: bool = False
    """Keep what readers wrote below a page."""
    captions: bool = False
    """Keep the captions of pictures."""
    respect_noindex: bool = True
    """Leave out pages that ask search engines not to index them."""
    min_chars: int = Field(1, ge=1)
    """Pages with fewer characters of main text are rejected."""
    source: str = Field("web", min_length=1)
    """The name of the source in the documents."""
    part_pages: int = Field(1000, ge=1)
    """Pages in one Parquet part of documents."""
    max_bytes: int = Field(8 << 20, ge=1024)
    """Larger pages are rejected."""
    seconds_per_page: float = local(5.0, gt=0)
    """A page that takes longer is rejected, and its worker ended."""
    memory_mb: int = local(512, ge=64)
    """A page that makes a worker grow by more is rejected, and its worker ended."""


@stage(
    "data extract",
    version=1,
    kind="documents",
    config=ExtractConfig,
    inputs={"pages": Slot("pages", help="crawled pages: WARC files and their index")},
    summary="Takes main text, title, links and more from crawled HTML pages.",
    example="gristmill data extract --pages runs/demo/artifacts/data.crawl-... --format markdown",
)
def data_extract(config: ExtractConfig, inputs: Inputs, output: Output) -> None:
    """One document a page with status 200 and a main text, in the order of URLs."""
    from gristmill.core.progress import progress
    from gristmill.data.engine import Failure, in_batches, map_batches
    from gristmill.data.extract.guard import Limits
    from gristmill.data.extract.page import ExtractedPage, ExtractOptions
    from gristmill.data.extract.stored import PageExtractor
    from gristmill.data.sources.parts import PartWriter

    pages = inputs["pages"]
    options = ExtractOptions(
        markdown=config.format == "markdown",
        comments=config.comments,
        captions=config.captions,
        respect_noindex=config.respect_noindex,
        min_chars=config.min_chars,
        limits=Limits(bytes=config.max_bytes),
    )
    index = pages.file("index.parquet")
    stored = list(read_index(index))
    results = map_batches(
        PageExtractor(pages.path / "warc", options),
        in_batches(stored, _BATCH),
        workers=output.execution.workers,
        seconds_per_item=config.seconds_per_page,
        memory_bytes=config.memory_mb << 20,
    )
    writer = PartWriter(output.path)
    output.volatile.add("provenance/")
    reasons: Counter[str] = Counter()
    samples: list[dict[str, str]] = []
    dropped: list[dict[str, str]] = []
    shown: Counter[str] = Counter()
    bar = progress("data extract", len(stored), "pages")
    seen = 0
    for batch in results:
        rejected: list[dict[str, Any]] = []
        sample = ""
        for outcome in batch.items():
            page = stored[seen]
            seen += 1
            if isinstance(outcome, Failure):
                reason, sample = outcome.reason, ""
            elif isinstance(outcome.result, ExtractedPage):
                found = outcome.result
                writer.add(found.url, found.text, config.source, found.fields(), {
                    "fetched_at": page.fetched_at,
                    "warc": page.file,
                    "offset": page.offset,
                    "record_id": outcome.record_id,
                })  # fmt: skip
                if len(samples) < 5:
                    samples.append({"url": found.url, "text": found.text[:400]})
                reason = ""
            else:
                reason, sample = outcome.result.reason, outcome.result.sample
            if reason:
                kind = reason.split(":")[0]
                reasons[kind] += 1
                rejected.append({"url": page.url, "reason": reason, "sample": sample})
                if shown[kind] < 2:
                    shown[kind] += 1
                    dropped.append({"url": page.url, "reason": reason, "text": sample})
            if seen % config.part_pages == 0:
                writer.end_part()
        output.reject("extract", rejected)
        bar.advance(batch.size)
    bar.close()
    if seen % config.part_pages or not writer.parts:
        writer.end_part()
    total = sum(reasons.values())
    output.counts.update(
        pages=seen, documents=writer.documents, characters=writer.characters, rejected=total
    )
    output.figures["extract.documents"] = Figure(writer.documents)
    output.figures["extract.rejected"] = Figure(total)
    if total:
        rows = sorted(reasons.items())
        output.tables.append(Table("Pages without a document", ("reason", "pages"), rows))
    output.samples.append(Samples("Extracted pages", samples))
    if dropped:
        output.samples.append(Samples("Rejected pages", dropped))


def read_index(path: Path) -> Iterator[StoredPage]:
    """The rows of a crawl's index in its order, that of URLs."""
    import pyarrow.parquet as pq

    from gristmill.data.extract.stored import StoredPage

    columns = ["url", "status", "content_type", "file", "offset", "fetched_at"]
    with pq.ParquetFile(path) as index:
        for batch in index.iter_batches(columns=columns):
            for row in batch.to_pylist():
                fetched = row["fetched_at"]
                yield StoredPage(
                    row["url"],
                    row["status"],
                    row["content_type"],
                    row["file"],
                    row["offset"],
                    None if fetched is None else str(fetched),
                )
