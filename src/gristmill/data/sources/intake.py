"""Records into documents, with counts and rejects, so that a killed import goes on.

What is written lies in the run's folder until the end. Each part that is whole is noted in a
journal with the number of records behind it and all counts; a later attempt reads the sources
again from the beginning, but converts and writes only what comes after the last part.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gristmill.core.run import Run
from gristmill.data.licence_rules import licence_fits
from gristmill.data.licences import licence_name
from gristmill.data.sources.parts import PartWriter
from gristmill.data.sources.readers import ReadOptions, read_records
from gristmill.data.sources.record import Raw, Record, SourceFile
from gristmill.data.sources.shares import Shares

_JOURNAL = "import.jsonl"
_REJECTS = "rejects/import.jsonl"
_BATCH_ITEMS = 64
_BATCH_BYTES = 2 << 20
_SAMPLES = 5
# A part is held in memory until it is written.
_PART_CHARACTERS = 16 << 20


@dataclass(frozen=True)
class Policy:
    """source, licence: of documents that state none. licences: those allowed; empty allows all."""

    source: str
    licence: str | None = None
    licences: tuple[str, ...] = ()
    drop_opt_outs: bool = False
    part_documents: int = 2000


class Intake:
    """Takes records in order. `taken` is how many an earlier attempt took already."""

    def __init__(self, run: Run, policy: Policy):
        self._run, self._policy = run, policy
        self._folder = run.path / "import"
        self.problems: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.shares = Shares()
        self.samples: list[dict[str, str]] = []
        self.pages_without_text = 0
        self.taken = self.file = self.before = 0
        """Records taken; the file that is read now, and the records of all before it."""
        journal = run.read(_JOURNAL)
        last = journal[-1] if journal else {}
        self.fresh = not last
        self._writer = PartWriter(self._folder, **last.get("written", {}))
        if last:
            self._restore(last)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open_rejects(last.get("rejects_bytes", 0))

    @property
    def documents(self) -> int:
        return self._writer.documents

    @property
    def characters(self) -> int:
        return self._writer.characters

    def begin(self, number: int) -> None:
        """Reads on with file `number`: a later attempt need not read those before it."""
        if number > self.file or not self.taken:
            self.file, self.before = number, self.taken

    def take(self, where: str, record: Record) -> None:
        """Writes a document, or counts why there is none."""
        self.taken += 1
        if record.skipped is not None:
            self.skipped[record.skipped] += 1
        elif record.problem is not None:
            self.refuse(where, record.problem, record.sample)
        else:
            self._document(where, record)

    def refuse(self, where: str, reason: str, sample: str = "") -> None:
        """Counts and keeps a bad record."""
        self.problems[reason.partition(":")[0]] += 1
        line = {"where": where, "reason": reason, **({"sample": sample} if sample else {})}
        text = json.dumps(line, ensure_ascii=False, sort_keys=True)
        self._rejects.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def finish(self, folder: Path) -> None:
        """Writes the last part and moves everything to `folder`."""
        if self._writer.pending or not self._writer.parts:
            self._writer.end_part()
        self._rejects.close()
        for inner in ("documents", "provenance"):
            shutil.move(self._folder / inner, folder / inner)
        if self.problems:
            (folder / "rejects").mkdir(exist_ok=True)
            shutil.move(self._folder / "rejects.jsonl", folder / _REJECTS)

    def _document(self, where: str, record: Record) -> None:
        policy = self._policy
        fields: dict[str, Any] = dict(record.fields)
        stated = fields.get("licence") or policy.licence
        fields["licence"] = licence_name(stated) if stated else None
        if policy.licences and not licence_fits(fields["licence"], policy.licences):
            self.skipped["licence not allowed" if stated else "no licence stated"] += 1
            return
        if policy.drop_opt_outs and fields.get("opt_out"):
            self.skipped["opt_out"] += 1
            return
        fields.update(links=list(record.links), attributes=record.attributes)
        url, source = record.url or where, record.source or policy.source
        self._writer.add(url, record.text, source, fields, {"fetched_at": record.fetched_at})
        self.shares.add(source, fields["licence"], fields.get("opt_out"), len(record.text))
        self.pages_without_text += int(record.attributes.get("pages_without_text", 0))
        if len(self.samples) < _SAMPLES:
            self.samples.append({"url": url, "text": record.text[:400]})
        full = self._writer.pending_characters >= _PART_CHARACTERS
        if full or self._writer.pending == policy.part_documents:
            self._end_part()

    def _end_part(self) -> None:
        self._writer.end_part()
        self._rejects.flush()
        writer = self._writer
        self._run.append(
            _JOURNAL,
            {
                "taken": self.taken,
                "file": self.file,
                "before": self.before,
                "written": {
                    "parts": writer.parts,
                    "documents": writer.documents,
                    "characters": writer.characters,
                },
                "rejects_bytes": self._rejects.tell(),
                "problems": self.problems,
                "skipped": self.skipped,
                "shares": self.shares.to_json(),
                "samples": self.samples,
                "pages_without_text": self.pages_without_text,
            },
        )

    def _restore(self, last: dict[str, Any]) -> None:
        self.taken = last["taken"]
        self.file, self.before = last.get("file", 0), last.get("before", 0)
        self.problems = Counter(last["problems"])
        self.skipped = Counter(last["skipped"])
        self.shares.restore(last["shares"])
        self.samples = last["samples"]
        self.pages_without_text = last["pages_without_text"]

    def _open_rejects(self, size: int) -> None:
        path = self._folder / "rejects.jsonl"
        path.touch()
        self._rejects = open(path, "r+b")  # noqa: SIM115  (closed in finish)
        self._rejects.truncate(size)
        self._rejects.seek(size)


def placed_records(
    files: Sequence[SourceFile], options: ReadOptions
) -> Iterator[tuple[SourceFile, Record | Raw]]:
    """Every record of the files, each with its file."""
    for file in files:
        for one in read_records(file, options):
            yield file, one


def place(file: SourceFile, row: int | str | None) -> str:
    """`file:NAME`, or `file:NAME#ROW` within it."""
    name = quote(file.name or "repository")
    return f"file:{name}" + ("" if row is None else f"#{quote(str(row))}")


def batches_of(
    records: Iterable[tuple[SourceFile, Record | Raw]], skip: int, names: list[list[str]]
) -> Iterator[list[Record | Raw]]:
    """Batches for worker processes, limited in number and size; `names` gets each one's places.

    skip: so many records are passed over.
    """
    batch: list[Record | Raw] = []
    places: list[str] = []
    size = 0
    for file, one in records:
        if skip:
            skip -= 1
            continue
        row = one.frame.row if isinstance(one, Raw) else one.row
        places.append(place(file, row))
        batch.append(_addressed(one, places[-1]))
        size += one.size if isinstance(one, Raw) else len(one.text)
        if len(batch) == _BATCH_ITEMS or size >= _BATCH_BYTES:
            names.append(places)
            yield batch
            batch, places, size = [], [], 0
    if batch:
        names.append(places)
        yield batch


def _addressed(one: Record | Raw, where: str) -> Record | Raw:
    """A page that has no address gets that of its file, so that its host is known to be none."""
    from dataclasses import replace

    if isinstance(one, Raw) and one.kind == "html" and one.frame.url is None:
        return replace(one, frame=replace(one.frame, url=where))
    return one
