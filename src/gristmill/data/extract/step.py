"""Extraction as a step of the engine: a worker reads the pages of a part from their WARC files and
writes the part's documents."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.core.records import document_id, document_schema, host_of, provenance_schema
from gristmill.data.documents import write_parquet
from gristmill.data.engine import Failure
from gristmill.data.extract.page import ExtractedPage
from gristmill.data.extract.stored import Outcome, PageExtractor, StoredPage
from gristmill.data.extract.tally import CUT, Tally
from gristmill.data.sources.shares import Shares

if TYPE_CHECKING:
    from gristmill.data.filters.cascade import Cascade

_COUNTED = ("encoding", "licence", "opt_out")


@dataclass(frozen=True)
class ExtractPart:
    """Pages by where their records lie; they make one part of documents."""

    name: str
    pages: tuple[StoredPage, ...]

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, rows: slice) -> ExtractPart:
        return replace(self, pages=self.pages[rows])


@dataclass(frozen=True)
class ExtractStep:
    """From rows of a crawl's index to documents, or to why there is none.

    folder: where `documents/PART.parquet` and `provenance/PART.parquet` are written. source: the
    documents' source.
    """

    extractor: PageExtractor
    folder: Path
    source: str

    @property
    def at_once(self) -> int:
        """Each page has a clock of its own: one costs more than a call."""
        return 1

    def setup(self) -> None:
        cascade = _cascade(self.extractor)
        if cascade is not None:
            cascade.warm_up()

    def read(self, part: ExtractPart) -> pa.Table:
        return pa.Table.from_pylist([_stored(page) for page in part.pages], schema=_index_schema())

    def __call__(self, documents: pa.Table) -> pa.Table:
        return self.together([self.one(row) for row in documents.to_pylist()])

    def one(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return self._row(_page(document))

    def together(self, results: Sequence[Mapping[str, Any]]) -> pa.Table:
        schema = _results_schema()
        # All columns at once, which costs half of one after the other.
        rows = pa.array(results, pa.struct(list(schema)))
        return pa.Table.from_batches([pa.RecordBatch.from_struct_array(rows)], schema)

    def quarantined(self, count: int, reason: str) -> pa.Table:
        return self.together([{"reason": _bytes(reason), "sample": b""}] * count)

    def finish(
        self, part: ExtractPart, results: pa.Table, failures: Sequence[Failure]
    ) -> Mapping[str, Any]:
        """`note` is what the part adds to the counts of the stage, `rejects` its bad pages."""
        # One chunk a column, however the part was cut: the file's bytes follow the chunks.
        results = results.combine_chunks()
        found = results.filter(results["id"].is_valid())
        for folder, schema in (
            ("documents", document_schema()),
            ("provenance", provenance_schema()),
        ):
            columns = [found[name].combine_chunks() for name in schema.names]
            path = self.folder / folder / f"{part.name}.parquet"
            write_parquet(path, pa.Table.from_arrays(columns, schema=schema))
        tally, shares, rejects = Tally(), Shares(), []
        for row in found.select(["url", "begins", "characters", *_COUNTED]).to_pylist():
            tally.document(row["url"], row["begins"], row["characters"], row["encoding"])
            shares.add(self.source, row["licence"], row["opt_out"], row["characters"])
        refused = results.select(["reason", "sample"]).to_pylist()
        for page, row in zip(part.pages, refused, strict=True):
            if row["reason"] is None:
                continue
            reason, sample = _text(row["reason"]), _text(row["sample"])
            rejects.append({"url": page.url, "reason": reason, "sample": sample})
            tally.reject(page.url, reason, sample)
            if reason == "opt_out":
                shares.leave_out(sample)
        note = {
            "pages": len(part),
            "documents": len(found),
            "characters": pc.sum(found["characters"]).as_py() or 0,
            "tally": tally.to_json(),
            "shares": shares.to_json(),
        }
        return {"note": note, "rejects": rejects}

    def _row(self, page: StoredPage) -> dict[str, Any]:
        outcome: Outcome = self.extractor.extract(page)
        found = outcome.result
        if not isinstance(found, ExtractedPage):
            return {"reason": _bytes(found.reason), "sample": _bytes(found.sample)}
        return {
            **found.fields(),
            "id": document_id(found.url, found.text),
            "url": found.url,
            "host": host_of(found.url),
            "source": self.source,
            "text": found.text,
            "begins": found.text[:CUT],
            "characters": len(found.text),
            "encoding": found.encoding,
            "fetched_at": page.fetched_at,
            "warc": page.file,
            "offset": page.offset,
            "record_id": outcome.record_id,
        }


def for_elsewhere(step: ExtractStep) -> ExtractStep:
    """The same for other machines, which share `step.folder` with this one, but not its home, where
    the language model is kept."""
    first = _cascade(step.extractor)
    if first is None or first.language_model is None:
        return step
    model = step.folder / first.language_model.name
    shutil.copyfile(first.language_model, model)
    first = replace(first, language_model=model)
    return replace(step, extractor=replace(step.extractor, first=first))


def _cascade(extractor: PageExtractor) -> Cascade | None:
    if extractor.first is None:
        return None
    # It brings kernels and their compiler, half of a worker's start, and most crawls have none.
    from gristmill.data.filters.cascade import Cascade

    return extractor.first if isinstance(extractor.first, Cascade) else None


def _stored(page: StoredPage) -> dict[str, Any]:
    row = {name: getattr(page, name) for name in _index_schema().names}
    row["refused"] = None if page.refused is None else [_bytes(text) for text in page.refused]
    return row


def _page(row: Mapping[str, Any]) -> StoredPage:
    why = row["refused"]
    refused = None if why is None else (_text(why[0]), _text(why[1]))
    return StoredPage(**{**row, "refused": refused})


@cache
def _index_schema() -> pa.Schema:
    kinds = {
        "url": pa.string(),
        "status": pa.int64(),
        "content_type": pa.string(),
        "file": pa.string(),
        "offset": pa.int64(),
        "fetched_at": pa.string(),
        "refused": pa.list_(pa.binary()),
        "length": pa.int64(),
    }
    assert list(kinds) == [field.name for field in fields(StoredPage)]
    return pa.schema(list(kinds.items()))


@cache
def _results_schema() -> pa.Schema:
    """Documents with their provenance, or a reason; all may be null."""
    document, provenance = document_schema(), provenance_schema()
    named = [*document, *(field for field in provenance if field.name not in document.names)]
    return pa.schema(
        [
            *(pa.field(field.name, field.type) for field in named),
            pa.field("begins", pa.string()),
            pa.field("characters", pa.int64()),
            pa.field("encoding", pa.string()),
            pa.field("reason", pa.binary()),
            pa.field("sample", pa.binary()),
        ]
    )


def _bytes(text: str) -> bytes:
    """What pages and errors say may hold halves of characters, which Arrow's strings refuse."""
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
