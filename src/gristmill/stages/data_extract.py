"""`data extract`: the main text of crawled pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.stages.cascade import CascadeSettings, look_of, refused_addresses
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, later, local, stage

if TYPE_CHECKING:
    from pathlib import Path

    from gristmill.core.artifact import Artifact
    from gristmill.data.extract.opt_out import TdmRules
    from gristmill.data.extract.page import ExtractOptions
    from gristmill.data.extract.stored import StoredPage


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
    respect_opt_out: bool = True
    """Leave out pages that opt out: robots `noai` or `noimageai`, or a TDM reservation."""
    min_chars: int = Field(1, ge=1)
    """Pages with fewer characters of main text are rejected."""
    source: str = Field("web", min_length=1)
    """The name of the source in the documents."""
    part_pages: int = Field(1000, ge=1)
    """Pages in one Parquet part of documents."""
    part_mb: int = Field(64, ge=1)
    """Megabytes of stored pages in one part: it ends earlier where they are long."""
    max_bytes: int = Field(8 << 20, ge=1024)
    """Larger pages are rejected."""
    seconds_per_page: float = local(5.0, gt=0)
    """A page that takes longer is rejected, and its worker ended."""
    memory_mb: int = local(512, ge=64)
    """A page that makes a worker grow by more is rejected, and its worker ended."""
    cascade: CascadeSettings = later(CascadeSettings())


@stage(
    "data extract",
    version=4,
    kind="documents",
    config=ExtractConfig,
    inputs={"pages": Slot("pages", help="crawled pages: WARC files and their index")},
    summary="take the main text, title, date, licence and links from crawled HTML pages",
    example="gristmill data extract --pages runs/demo/artifacts/data.crawl-... --format markdown",
)
def data_extract(config: ExtractConfig, inputs: Inputs, output: Output) -> None:
    """One document a page with status 200 and a main text, in the order of URLs."""
    from gristmill.core.progress import progress, say
    from gristmill.data.engine.limits import Limits
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.extract.intake import Intake
    from gristmill.data.extract.step import ExtractStep
    from gristmill.data.extract.stored import PageExtractor
    from gristmill.data.journal import PartJournal

    pages = inputs["pages"]
    index = pages.file("index.parquet")
    journal = PartJournal(output.run.path, "extract")
    intake = Intake(journal)
    extractor = PageExtractor(
        (pages.path / "warc").resolve(),
        options_of(config),
        tdm_rules(pages),
        look_of(config.cascade),
    )
    done = intake.extract(
        refused_addresses(read_index(index, intake.taken_over), config.cascade),
        ExtractStep(extractor, journal.folder.resolve(), config.source),
        part_pages=config.part_pages,
        part_bytes=config.part_mb << 20,
        engine=engine_of(*output.execution.engine_settings),
        limits=Limits(config.seconds_per_page, config.memory_mb << 20),
    )
    total = rows_of(index)
    if intake.taken_over:
        say(f"data extract goes on after {intake.taken_over:,} of {total:,} pages")
    bar = progress("data extract", total - intake.taken_over, "pages")
    try:
        for count in done:
            bar.advance(count, intake.note())
    finally:
        bar.close()
    journal.hand_over(output.path)
    output.volatile.add("provenance/")
    tally = intake.tally
    output.counts.update(
        pages=intake.pages,
        documents=intake.documents,
        characters=intake.characters,
        rejected=tally.rejected,
        opted_out=tally.reasons["opt_out"],
    )
    output.figures |= tally.figures()
    output.tables += tally.tables()
    intake.shares.present(output, "extract")
    output.samples += tally.samples()


def options_of(config: ExtractConfig) -> ExtractOptions:
    """The extractor's options as a config says."""
    from gristmill.data.extract.guard import Limits
    from gristmill.data.extract.page import ExtractOptions

    return ExtractOptions(
        markdown=config.format == "markdown",
        comments=config.comments,
        captions=config.captions,
        respect_noindex=config.respect_noindex,
        respect_opt_out=config.respect_opt_out,
        min_chars=config.min_chars,
        limits=Limits(bytes=config.max_bytes),
    )


def rows_of(index: Path) -> int:
    """Pages that a crawl's index names."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(index) as table:
        return int(table.metadata.num_rows)


def tdm_rules(pages: Artifact) -> TdmRules:
    """The rules of the tdmrep.json files that a crawl read, or that are among its pages."""
    from gristmill.core.errors import GristmillError
    from gristmill.data.crawl.reservations import read_reservations
    from gristmill.data.extract.opt_out import TDMREP_PATH, TdmRules
    from gristmill.data.extract.page import ExtractOptions
    from gristmill.data.extract.stored import body_of
    from gristmill.data.warc.reader import read_record

    files = list(read_reservations(pages.path))
    for page in read_index(pages.file("index.parquet")):
        if page.status == 200 and page.url.endswith(TDMREP_PATH):
            try:
                record = read_record(pages.path / "warc" / page.file, page.offset)
            except GristmillError:
                continue
            found = body_of(record, None, ExtractOptions(respect_noindex=False))
            if isinstance(found, tuple):
                files.append((page.url, found[0]))
    return TdmRules.from_files(files)


def read_index(path: Path, skip: int = 0) -> Iterator[StoredPage]:
    """The rows of a crawl's index in its order, that of URLs, after the first `skip`."""
    from gristmill.data.extract.stored import StoredPage
    from gristmill.data.row_groups import batches, open_parquet

    columns = ["url", "status", "content_type", "file", "offset", "length", "fetched_at"]
    with open_parquet(path) as index:
        for batch in batches(index, columns):
            passed = min(skip, len(batch))
            skip -= passed
            for row in batch.slice(passed).to_pylist():
                fetched = row["fetched_at"]
                yield StoredPage(
                    row["url"],
                    row["status"],
                    row["content_type"],
                    row["file"],
                    row["offset"],
                    None if fetched is None else str(fetched),
                    length=row.get("length"),
                )
