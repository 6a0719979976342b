"""`data warc`: pages out of WARC files of others, such as Common Crawl's."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gristmill.core.figure import Figure, Table
from gristmill.stages.stage import Inputs, Output, StageConfig, content_of, local, stage

_EXAMPLE = """gristmill data warc --paths 'archive/*.warc.gz'
gristmill data warc --paths s3://commoncrawl/.../warc.paths.gz --limit-files 2
gristmill data warc --paths warc.paths --base https://data.commoncrawl.org/
then: gristmill data extract --pages runs/.../data.warc-..."""


class WarcConfig(StageConfig):
    """Which files, and which of their pages."""

    paths: list[str] = content_of(hashed_by="gristmill.data.warc.listing:identity", min_length=1)
    """WARC files (plain, .gz, .zst), folders, globs, addresses (https://, s3://), or lists of paths
    as Common Crawl publishes them (warc.paths.gz)."""
    base: str | None = None
    """What the lines of path lists are put behind: https://data.commoncrawl.org/ or
    s3://commoncrawl/; the list's own server or folder if not given."""
    limit_files: int | None = Field(None, ge=1)
    """Read the first so many files only."""
    content_types: list[str] = ["text/html", "application/xhtml+xml"]
    """Media types that are kept."""
    max_page_bytes: int = Field(8 << 20, ge=1024)
    """Larger pages are left out."""
    allow: dict[str, str] = local({})
    """Hosts that may be at a private address: `{"archive.lan": "192.168.1.5:80"}`."""


@stage(
    "data warc",
    version=1,
    kind="pages",
    config=WarcConfig,
    inputs={},
    summary="take pages out of WARC files: Common Crawl's, or other archives'",
    example=_EXAMPLE,
)
def data_warc(config: WarcConfig, inputs: Inputs, output: Output) -> None:
    """Writes warc/ and index.parquet (pages, sorted by URL), as a crawl does."""
    from gristmill.core.progress import progress
    from gristmill.data.warc.collect import collect
    from gristmill.data.warc.listing import expand

    files = output.run.pin("files", lambda: expand(
        config.paths, base=config.base, limit=config.limit_files, allow=config.allow
    ))  # fmt: skip
    bar = progress("data warc", len(files), "files")
    try:
        output.content, found = collect(
            output.run,
            files,
            Path(output.path),
            content_types=config.content_types,
            max_page_bytes=config.max_page_bytes,
            allow=config.allow,
            advance=lambda files, note: bar.advance(files, note),
        )
    finally:
        bar.close()
    output.volatile.update(("warc/", "index.parquet"))
    output.reject("warc", found.damage)
    output.counts.update(
        files=found.files,
        pages=found.pages,
        bytes=found.bytes,
        skipped=sum(found.skipped.values()),
        duplicates=found.twice,
        lost_records=found.lost_records,
        lost_bytes=found.lost_bytes,
        missing_files=found.missing,
    )
    if found.missing:
        output.notes.append(
            f"{found.missing:,} of the files are not there; which is in rejects/warc.jsonl."
        )
    output.figures["warc.pages"] = Figure(found.pages)
    output.figures["warc.lost_records"] = Figure(found.lost_records)
    if found.skipped:
        rows = sorted(found.skipped.items())
        output.tables.append(Table("Responses that are no pages", ("reason", "responses"), rows))
    if found.lost_records:
        output.notes.append(
            f"Damage cost at least {found.lost_records:,} records and {found.lost_bytes:,} bytes "
            "of the files; where is in rejects/warc.jsonl."
        )
