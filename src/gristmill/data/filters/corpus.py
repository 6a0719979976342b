"""The filters over a whole document set: addresses here, texts where the engine runs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.extension import absolute_name
from gristmill.core.progress import progress
from gristmill.data.documents import DocumentSet, write_layer
from gristmill.data.engine.limits import Failure, Limits
from gristmill.data.engine.steps import Engine
from gristmill.data.filters.blocklist import AddressRules
from gristmill.data.filters.chain import Chain, quarantined
from gristmill.data.filters.language import KNOWN
from gristmill.data.filters.terms import STATED, Terms, stated_columns
from gristmill.data.journal import PartJournal

_BATCH = 256
# A worker process costs a second before its first document.
_DOCUMENTS_PER_WORKER = 10_000
# What a user's function sees of a document.
_DOCUMENT_COLUMNS = (
    "id", "url", "host", "title", "description", "topic", "language_attribute", "source", "text",
)  # fmt: skip
_SAMPLE_CHARACTERS = 300

Blocked = dict[int, tuple[str, str]]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PartVerdicts:
    """The verdicts on one part: `verdicts` (the chain's `schema`) has a row for each of `rows`, the
    rows of the base part that earlier layers keep, whose `documents` (url, text, ...) are aligned.
    """

    name: str
    rows: Rows
    documents: pa.Table
    verdicts: pa.Table
    stated: tuple[list[str | None], list[str | None], list[str | None]]
    """source, licence and opt-out of each document."""
    failures: list[Failure]
    """Quarantined documents; `position` is the row in `verdicts`."""


@dataclass(frozen=True)
class FilterPart:
    """What a worker is sent: a part's name, and what its addresses and terms decided already.

    rows: the documents to be judged, as positions among those that earlier layers keep. blocked:
    (reason, detail) by position of the others.
    """

    name: str
    rows: Rows
    blocked: Blocked

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> FilterPart:
        return replace(self, rows=self.rows[rows])


@dataclass
class FilterStep:
    """The chain on the texts of a part; its layer and what it tells.

    folder: where `layer/PART.parquet` is written. tell: an importable function of the verdicts
    that returns what JSON can say; it is called where the part was judged.
    """

    documents: DocumentSet
    chain: Chain
    folder: Path
    tell: Callable[[PartVerdicts], Mapping[str, Any]]
    at_once: int = _BATCH
    earlier: Path | None = None
    """A layer of these filters over the same documents: its languages are taken over."""
    _read: tuple[str, pa.Table] | None = field(default=None, init=False, repr=False)

    def setup(self) -> None:
        self.chain.warm_up()

    def read(self, part: FilterPart) -> pa.Table:
        kept = self._kept(part.name)
        judged = kept.select([c for c in kept.column_names if c in (*self._judged(), *KNOWN)])
        # Most parts have nothing that is blocked.
        return judged if len(part) == len(judged) else judged.take(pa.array(part.rows))

    def __call__(self, documents: pa.Table) -> pa.Table:
        return self.chain(documents)

    def quarantined(self, count: int, reason: str) -> pa.Table:
        return quarantined(count, reason, self.chain.schema)

    def finish(
        self, part: FilterPart, results: pa.Table, failures: Sequence[Failure]
    ) -> Mapping[str, Any]:
        kept = self._kept(part.name)
        found = PartVerdicts(
            part.name,
            kept["row"].to_numpy(),
            kept,
            _in_place(part, results, len(kept)),
            stated_columns(kept),
            [Failure(int(part.rows[f.position]), f.reason) for f in failures],
        )
        own = found.verdicts.drop_columns(["keep", "reason", "text"])
        write_layer(
            self.folder,
            part.name,
            kept["id"]
            if len(kept) == self.documents.base_rows(part.name)
            else self.documents.ids(part.name),
            found.rows,
            keep=found.verdicts["keep"].to_numpy(),
            reason=found.verdicts["reason"],
            text=found.verdicts["text"],
            own={name: own[name] for name in own.column_names},
        )
        self._read = None
        rejects = [
            {
                "where": kept["url"][failure.position].as_py(),
                "reason": failure.reason,
                "sample": kept["text"][failure.position].as_py()[:_SAMPLE_CHARACTERS],
            }
            for failure in found.failures
        ]
        return {"note": dict(self.tell(found)), "rejects": rejects}

    def _judged(self) -> list[str]:
        return list(_DOCUMENT_COLUMNS) if self.chain.rules.custom else ["id", "url", "text"]

    def _kept(self, name: str) -> pa.Table:
        """The documents of a part that earlier layers keep; the last part is held."""
        if self._read is None or self._read[0] != name:
            self._read = None
            found = self.documents.read(name, _with_stated(self.documents, self._judged()))
            self._read = (
                name,
                found
                if self.earlier is None
                else _with_languages(found, self.earlier / "layer" / f"{name}.parquet"),
            )
        return self._read[1]


def filter_documents(
    documents: DocumentSet,
    addresses: AddressRules,
    chain: Chain,
    *,
    tell: Callable[[PartVerdicts], Mapping[str, Any]],
    engine: Engine,
    journal: PartJournal,
    earlier: Path | None = None,
    terms: Terms | None = None,
    seconds_per_document: float = 5.0,
    memory_bytes: int = 512 << 20,
) -> Iterator[Mapping[str, Any]]:
    """Writes a layer for each part and yields what `tell` says of it, in the order of the parts;
    those that an earlier attempt has finished come first and are not made again.

    earlier: a layer of these filters over the same documents, whose languages are taken over.
    """
    yield from journal.notes()
    parts = documents.parts[len(journal.parts) :]
    total = sum(documents.base_rows(part) for part in parts)
    taken_over = sum(documents.base_rows(part) for part in journal.parts)
    folder = journal.folder.resolve()
    if engine.elsewhere:
        chain = _for_elsewhere(chain, folder)
    step = FilterStep(documents, chain, folder, tell, _BATCH, earlier)
    told = engine.run(
        step,
        (_addressed(documents, name, addresses, terms or Terms()) for name in parts),
        limits=Limits(seconds_per_document, memory_bytes),
        isolate=bool(chain.rules.custom) or total + taken_over >= 2 * _DOCUMENTS_PER_WORKER,
        most_workers=max(1, total // _DOCUMENTS_PER_WORKER),
    )
    bar = progress("filter", float(total), "documents")
    note = f"{taken_over:,} taken over" if taken_over else ""
    bar.note("begins with compiled rules; on a new machine they are compiled first, once")
    try:
        for name, found in zip(parts, told, strict=True):
            rejects = journal.write_rejects(name, "quarantine", found["rejects"])
            journal.end(name, [f"layer/{name}.parquet", rejects], found["note"])
            bar.advance(documents.base_rows(name), note)
            yield found["note"]
    finally:
        bar.close()


def _for_elsewhere(chain: Chain, folder: Path) -> Chain:
    """The same for other machines, which share `folder` with this one, but neither its home, where
    the language model is kept, nor its working directory."""
    rules = chain.rules
    model = rules.language_model
    if model is not None:
        shutil.copyfile(model, folder / model.name)
        model = folder / model.name
    files = {name: Path(path).resolve() for name, path in rules.uses.models.items()}
    custom = tuple(absolute_name(name) for name in rules.custom)
    uses = replace(rules.uses, models=files)
    return Chain(replace(rules, language_model=model, custom=custom, uses=uses))


def _addressed(
    documents: DocumentSet, name: str, addresses: AddressRules, terms: Terms
) -> FilterPart:
    """A part, with the documents that are blocked by their address or by what they state."""
    table = documents.read(name, _with_stated(documents, ["url"]))
    blocked = addresses.verdicts(table["url"])
    _, *stated = stated_columns(table)
    known: dict[tuple[str | None, ...], tuple[str, str] | None] = {}
    for row, said in enumerate(zip(*stated, strict=True)):
        if said not in known:
            known[said] = terms.verdict(*said)
        verdict = known[said]
        if verdict is not None and row not in blocked:
            blocked[row] = verdict
    stopped = np.fromiter(blocked, np.int64, len(blocked))
    return FilterPart(name, np.setdiff1d(np.arange(len(table)), stopped), blocked)


def _with_stated(documents: DocumentSet, columns: Sequence[str]) -> list[str]:
    # Documents of an earlier release say nothing of opt-outs.
    known = set(documents.column_names())
    return [*columns, *(c for c in STATED if c in known and c not in columns)]


def _with_languages(kept: pa.Table, layer: Path) -> pa.Table:
    found = pq.read_table(layer, columns=["language", "language_score"]).take(kept["row"])
    for name, column in zip(KNOWN, found.columns, strict=True):
        kept = kept.append_column(name, column)
    return kept


def _in_place(part: FilterPart, results: pa.Table, count: int) -> pa.Table:
    """The verdicts of the chain and of the addresses, a row for each kept document."""
    stopped = sorted(part.blocked)
    verdicts = pa.concat_tables(
        [results, _blocked([part.blocked[row] for row in stopped], results.schema)]
    )
    # Row i of the part is row order[i] of what was judged and then what was blocked.
    order = np.empty(count, dtype=np.int64)
    order[part.rows] = np.arange(len(part.rows))
    order[np.array(stopped, np.int64)] = len(part.rows) + np.arange(len(stopped))
    # One chunk a column, however the part was cut: the file's bytes follow the chunks.
    return verdicts.combine_chunks().take(pa.array(order))


def _blocked(found: list[tuple[str, str]], schema: pa.Schema) -> pa.Table:
    table = quarantined(len(found), "", schema)
    reasons = [reason for reason, _ in found]
    values = {
        "reason": pa.array(reasons, pa.string()),
        "detail": pa.array([detail for _, detail in found], pa.string()),
        "reasons_all": pa.array([[reason] for reason in reasons], pa.list_(pa.string())),
    }
    for name, column in values.items():
        index = schema.get_field_index(name)
        table = table.set_column(index, schema.field(index), column)
    return table
