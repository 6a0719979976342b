"""`data import`: texts of many sources as documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Samples, Table
from gristmill.stages.stage import Inputs, Output, StageConfig, content_of, later, local, stage

if TYPE_CHECKING:
    from gristmill.data.sources.intake import Intake
    from gristmill.data.sources.record import Record, SourceFile


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class WikipediaRules(_Group):
    """MediaWiki dumps."""

    namespaces: list[int] = [0]
    """Numbers of the namespaces whose pages are read; 0 is that of articles."""
    keep_sections: bool = False
    """Keep sections of references, links and the like."""


class GitRules(_Group):
    """Repositories."""

    revision: str = Field("HEAD", min_length=1)
    """The commit, branch or tag that is read."""
    languages: list[str] = []
    """Read only files of these (Python, Markdown, ...); all where empty."""
    max_file_bytes: int = Field(1 << 20, ge=1)
    """Larger files are skipped."""


class MailRules(_Group):
    """mbox files, maildirs and single messages."""

    quotes: bool = False
    """Keep quoted text."""
    signatures: bool = False
    """Keep signatures and the footers of mailing lists."""
    addresses: bool = False
    """Keep the addresses of From, To and Cc in the attributes."""


class ImportConfig(StageConfig):
    """What to read, and how."""

    path: Path = content_of(hashed_by="gristmill.data.sources.identity:source_identity")
    """A file or a folder; what is in it is told by content and name. Of WET and WAT files also a
    pattern, an address (https://, s3://) or a list of paths (wet.paths.gz)."""
    base: str | None = later(None)
    """What the lines of a list of paths are put behind: https://data.commoncrawl.org/"""
    limit_files: int | None = later(None, ge=1)
    """Of a list or a pattern, read the first so many files only."""
    allow: dict[str, str] = local({})
    """Hosts that may be at a private address: `{"archive.lan": "192.168.1.5:80"}`."""
    format: Literal[
        "auto", "text", "markdown", "html", "jsonl", "parquet", "wikipedia", "git", "latex",
        "mail", "pdf",
    ] = "auto"  # fmt: skip
    """What all files are, where their content and names do not tell."""
    text_key: str = Field("text", min_length=1)
    """The key or column that holds the text, in JSON Lines, Parquet and Arrow."""
    source: str = Field("import", min_length=1)
    """The name of the source, for documents that do not name one themselves."""
    licence: str | None = None
    """The licence of documents that do not state one themselves (an SPDX id)."""
    licences: list[str] = []
    """Keep only documents under these (MIT, CC-BY-*; none: no licence stated); all where empty."""
    opt_outs: Literal["keep", "drop"] = "keep"
    """What becomes of documents that opt out; kept ones are marked, and data filter drops them."""
    markup: Literal["text", "markdown"] = "text"
    """Plain text, or Markdown with headings, lists and fenced code, where a source has them."""
    wikipedia: WikipediaRules = WikipediaRules()
    git: GitRules = GitRules()
    mail: MailRules = MailRules()
    follow_links: bool = False
    """Read files outside of the folder that links in it lead to."""
    part_documents: int = Field(2000, ge=1)
    """Documents in one Parquet part."""
    seconds_per_document: float = local(60.0, gt=0)
    """A document that takes longer is rejected, and its worker ended."""
    memory_mb: int = local(768, ge=64)
    """A document that makes a worker grow by more is rejected, and its worker ended."""


_EXAMPLE = """\
gristmill data import --path rows.jsonl.zst --text_key content
gristmill data import --path table.parquet --licences MIT,CC-BY-*
gristmill data import --path notes/  # txt, md, html, tex, eml, zip, tar
gristmill data import --path saved-html/ --format html --markup markdown
gristmill data import --path imdb/  # as Hugging Face's datasets save it
gristmill data import --path enwiki-pages-articles.xml.bz2 --licence CC-BY-SA-4.0
gristmill data import --path linux.git --git.revision v6.1 --git.languages C
gristmill data import --path 2301.00001.tar.gz  # a preprint's LaTeX
gristmill data import --path python-list.mbox --mail.quotes true
gristmill data import --path 'archive/*.warc.wet.gz'  # texts of web archives
gristmill data import --path wet.paths.gz --base https://data.commoncrawl.org/
gristmill data import --path papers/ --format pdf  # pip install 'gristmill[pdf]'
WAT files give titles, descriptions and links; the pages of WARC files are for
gristmill data warc."""


@stage(
    "data import",
    version=2,
    kind="documents",
    config=ImportConfig,
    inputs={},
    summary="read text, Markdown, HTML, JSON Lines (.gz, .zst), Parquet, saved data sets, "
    "Wikipedia dumps, Git repositories, LaTeX, mail, PDF, WET and WAT as documents",
    example=_EXAMPLE,
)
def data_import(config: ImportConfig, inputs: Inputs, output: Output) -> None:
    """One document a file, row, page, message or LaTeX project, in the order of names; sources
    that need work in worker processes stand after those that are text already."""
    from gristmill.core.progress import progress, say
    from gristmill.data.licence_rules import check_patterns
    from gristmill.data.sources.folder import find_files, sort_found
    from gristmill.data.sources.intake import Intake, Policy
    from gristmill.data.sources.web_archive import archive_files

    check_patterns(config.licences, "data.import.licences")
    named = archive_files(config.path, config.base, config.limit_files, config.allow)
    if named is None:
        found = find_files(config.path, config.format, config.follow_links)
    else:
        found = sort_found(named, config.path, config.format)
    if any(file.format == "pdf" for file in found.files):
        from gristmill.data.sources.pdf import require_pdf_reader

        require_pdf_reader(config.path)
    policy = Policy(
        config.source,
        config.licence,
        tuple(config.licences),
        config.opt_outs == "drop",
        config.part_documents,
    )
    intake = Intake(output.run.path, policy)
    if intake.fresh:
        for name, reason in found.unknown:
            intake.refuse(f"file:{name}", reason)
        if found.parts:
            intake.skipped["part of a LaTeX source"] += found.parts
    if intake.taken_over:
        say(f"data import goes on after {intake.taken_over:,} documents")
    bar = progress("data import", None, "records")
    try:
        for where, record in _records(config, output, intake, found.files):
            intake.take(where, record)
            bar.advance(1, f"{intake.documents:,} documents")
    finally:
        bar.close()
    if not intake.documents:
        raise _nothing(config, intake)
    output.volatile.add("provenance/")
    intake.finish(output.path)
    _present(intake, output, len(found.files))


def _records(
    config: ImportConfig, output: Output, intake: Intake, files: list[SourceFile]
) -> Iterator[tuple[str, Record]]:
    """Each record that an earlier attempt has not taken, with where it lies."""
    from gristmill.data.engine import Failure, Limits
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.sources.convert import Converter, ConvertOptions
    from gristmill.data.sources.formats import CONVERTED
    from gristmill.data.sources.git import GitOptions
    from gristmill.data.sources.intake import batches_of, place, placed_records
    from gristmill.data.sources.mail import MailOptions
    from gristmill.data.sources.readers import ReadOptions
    from gristmill.data.sources.record import Record as Result

    options = ReadOptions(
        config.text_key,
        tuple(str(number) for number in config.wikipedia.namespaces),
        GitOptions(config.git.revision, tuple(config.git.languages), config.git.max_file_bytes),
    )
    plain = [file for file in files if file.format not in CONVERTED]
    heavy = [file for file in files if file.format in CONVERTED]
    left = intake.taken - intake.before
    # Files that an earlier attempt took in whole are not read again.
    for number, file in enumerate(plain[intake.file :], intake.file):
        intake.begin(number)
        for _, one in placed_records([file], options):
            if left:
                left -= 1
                continue
            assert isinstance(one, Result)
            yield place(file, one.row), one
    intake.begin(len(plain))
    if not heavy:
        return
    converter = Converter(
        ConvertOptions(
            config.markup == "markdown",
            MailOptions(config.mail.quotes, config.mail.signatures, config.mail.addresses),
            config.wikipedia.keep_sections,
        )
    )
    names: list[list[str]] = []
    results = engine_of(*output.execution.engine_settings).map_batches(
        converter,
        batches_of(placed_records(heavy, options), left, names),
        limits=Limits(config.seconds_per_document, config.memory_mb << 20),
    )
    for batch in results:
        for where, result in zip(names.pop(0), batch.items(), strict=True):
            if isinstance(result, Failure):
                yield where, Result(None, problem=result.reason)
            else:
                yield where, result


def _nothing(config: ImportConfig, intake: Intake) -> GristmillError:
    """Why there is not one document."""
    from gristmill.data.sources.web_archive import A_PAGE

    reasons = intake.problems + intake.skipped
    if not reasons:
        return GristmillError(
            "there is no record in this", where=config.path, mend="is it empty, or the wrong file?"
        )
    if set(reasons) == {A_PAGE}:
        return GristmillError(
            "this holds pages as they were fetched, and no texts",
            where=config.path,
            mend=f"gristmill data warc --paths {config.path}, then data extract",
        )
    reason, count = reasons.most_common(1)[0]
    return GristmillError(
        f"no record could be imported; {count} for this reason: {reason}",
        where=config.path,
        mend=_mend_of(reason),
    )


def _mend_of(reason: str) -> str:
    if reason == "no such file":
        return "check the names in the list, and what they are put behind (base)"
    if reason in ("licence not allowed", "no licence stated"):
        return "see --licences, and --licence for those that state none"
    if reason == "opt_out":
        return "--opt_outs keep takes them, marked"
    if "'" in reason:
        return "name the key or column that holds the text with text_key"
    return "mend the files, or say with --format what they are"


def _present(intake: Intake, output: Output, files: int) -> None:
    from gristmill.core.figure import Figure

    rejected, skipped = sum(intake.problems.values()), sum(intake.skipped.values())
    output.counts.update(
        files=files,
        documents=intake.documents,
        characters=intake.characters,
        rejected=rejected,
        skipped=skipped,
        opted_out=intake.skipped["opt_out"],
    )
    if intake.pages_without_text:
        output.counts["pages_without_text"] = intake.pages_without_text
        output.notes.append(
            f"{intake.pages_without_text:,} pages of PDF have no text layer: they are pictures."
        )
    output.figures["import.documents"] = Figure(intake.documents)
    output.figures["import.rejected"] = Figure(rejected)
    output.figures["import.skipped"] = Figure(skipped)
    for title, counts in (
        ("What was not imported", intake.problems),
        ("What was skipped, by its nature or by your choice", intake.skipped),
    ):
        if counts:
            output.tables.append(Table(title, ("reason", "records"), sorted(counts.items())))
    intake.shares.present(output, "import")
    output.samples.append(Samples("Imported documents", intake.samples))
