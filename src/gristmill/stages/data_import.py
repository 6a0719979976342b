"""`data import`: a user's own files as documents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Samples, Table
from gristmill.stages.stage import Inputs, Output, StageConfig, content_of, stage


class ImportConfig(StageConfig):
    """What to read."""

    path: Path = content_of()
    """A file or a folder of txt, md, jsonl, jsonl.gz, jsonl.zst and parquet files."""
    text_key: str = Field("text", min_length=1)
    """The key or column that holds the text, in JSON Lines and Parquet."""
    source: str = Field("import", min_length=1)
    """The name of the source, for documents that do not name one themselves."""
    licence: str | None = None
    """The licence of documents that do not state one themselves."""
    part_documents: int = Field(2000, ge=1)
    """Documents in one Parquet part."""


@stage(
    "data import",
    version=1,
    kind="documents",
    config=ImportConfig,
    inputs={},
    summary="Reads txt, Markdown, JSON Lines (also .gz, .zst) and Parquet as documents.",
    example="gristmill data import --path texts/ --text-key content",
)
def data_import(config: ImportConfig, inputs: Inputs, output: Output) -> None:
    """One document a text or Markdown file, a JSON line or a table row, in the order of names."""
    from gristmill.core.progress import progress
    from gristmill.data.sources.folder import find_files
    from gristmill.data.sources.parts import PartWriter
    from gristmill.data.sources.readers import read_records

    found = find_files(config.path)
    writer = PartWriter(output.path)
    output.volatile.add("provenance/")
    problems: Counter[str] = Counter()
    samples: list[dict[str, str]] = []
    reject(output, [{"where": name, "reason": "unknown format"} for name in found.unknown])
    problems["unknown format"] += len(found.unknown)
    bar = progress("data import", len(found.files), "files")
    for file in found.files:
        rejected: list[dict[str, Any]] = []
        for record in read_records(file, config.text_key):
            where = f"file:{quote(file.name)}" + ("" if record.row is None else f"#{record.row}")
            if record.problem is not None:
                problems[record.problem] += 1
                rejected.append({"where": where, "reason": record.problem, "sample": record.sample})
                continue
            fields = {"licence": config.licence, **record.fields}
            url = record.url or where
            writer.add(url, record.text, record.source or config.source, fields)
            if len(samples) < 5:
                samples.append({"url": url, "text": record.text[:400]})
            if writer.pending == config.part_documents:
                writer.end_part()
        reject(output, rejected)
        bar.advance(1, f"{writer.documents:,} documents")
    bar.close()
    if not writer.documents and any(problems.values()):
        reason, count = problems.most_common(1)[0]
        raise GristmillError(
            f"no record could be imported; {count} for this reason: {reason}",
            where=config.path,
            mend="name the key or column that holds the text with text_key, or mend the files",
        )
    if writer.pending or not writer.parts:
        writer.end_part()
    output.counts.update(
        files=len(found.files),
        documents=writer.documents,
        characters=writer.characters,
        rejected=sum(problems.values()),
    )
    output.figures["import.documents"] = Figure(writer.documents)
    output.figures["import.rejected"] = Figure(sum(problems.values()))
    if any(problems.values()):
        rows = [(reason, count) for reason, count in sorted(problems.items()) if count]
        output.tables.append(Table("What was not imported", ("reason", "records"), rows))
    output.samples.append(Samples("Imported documents", samples))


def reject(output: Output, records: list[dict[str, Any]]) -> None:
    """Keeps the bad records of one file."""
    output.reject("import", records)
