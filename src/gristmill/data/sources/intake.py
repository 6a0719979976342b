"""Records into documents, with counts and rejects, so that a killed import goes on.

Each part that is whole is noted in the journal of parts with the number of records behind it and
all counts; a later attempt reads the source that it was in again from the beginning, but converts
and writes only what comes after the last part.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from gristmill.data.journal import PartJournal, rejects_file
from gristmill.data.licence_rules import licence_fits
from gristmill.data.licences import licence_name
from gristmill.data.sources.parts import PartWriter
from gristmill.data.sources.readers import ReadOptions, read_records
from gristmill.data.sources.record import Raw, Record, SourceFile
from gristmill.data.sources.shares import Shares

_REJECTS = "import"
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
    """Takes records in order. `taken` is how many an earlier attempt took already.

    run: the folder that outlives a kill.
    """

    def __init__(self, run: Path, policy: Policy):
        self._policy = policy
        self._rejects: IO[bytes] | None = None
        self._journal = PartJournal(run, "import")
        self.problems: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.shares = Shares()
        self.samples: list[dict[str, str]] = []
        self.pages_without_text = 0
        self.taken = self.file = self.before = 0
        """Records taken; the file that is read now, and the records of all before it."""
        # A note holds the counts of all before it too.
        last = next(iter(deque(self._journal.notes(), maxlen=1)), {})
        self.fresh = not last
        self._writer = PartWriter(self._journal.folder, **last.get("written", {}))
        if last:
            self._restore(last)
        self.taken_over = self.documents
        """Documents of earlier attempts."""
        self._begin_part()

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
        if self._rejects is None:
            # Written as they come: a source may be bad from end to end.
            path = self._journal.folder / self._rejects_file
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rejects = open(path, "wb")  # noqa: SIM115  (closed with the part)
        self._rejects.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def finish(self, folder: Path) -> None:
        """Writes the last part, and all of them below `folder`."""
        if self._writer.pending or not self._writer.parts or self._rejects is not None:
            self._end_part()
        self._journal.hand_over(folder)

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
            self.shares.leave_out(fields["opt_out"])
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

    def _begin_part(self) -> None:
        self._name = f"part-{len(self._journal.parts):05d}"
        self._rejects_file = rejects_file(self._name, _REJECTS)
        self._rejects = None
        # What a killed attempt left.
        (self._journal.folder / self._rejects_file).unlink(missing_ok=True)

    def _end_part(self) -> None:
        writer = self._writer
        # After the last document there may be bad records still: they are a part without a table.
        files = writer.end_part() if writer.pending or not writer.parts else []
        if self._rejects is not None:
            self._rejects.close()
        self._journal.end(
            self._name,
            [*files, self._rejects_file],
            {
                "taken": self.taken,
                "file": self.file,
                "before": self.before,
                "written": {
                    "parts": writer.parts,
                    "documents": writer.documents,
                    "characters": writer.characters,
                },
                "problems": self.problems,
                "skipped": self.skipped,
                "shares": self.shares.to_json(),
                "samples": self.samples,
                "pages_without_text": self.pages_without_text,
            },
        )
        self._begin_part()

    def _restore(self, last: dict[str, Any]) -> None:
        self.taken = last["taken"]
        self.file, self.before = last.get("file", 0), last.get("before", 0)
        self.problems = Counter(last["problems"])
        self.skipped = Counter(last["skipped"])
        self.shares.take_up(last["shares"])
        self.samples = last["samples"]
        self.pages_without_text = last["pages_without_text"]


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
