"""The filters over a whole document set: addresses here, texts in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.progress import progress
from gristmill.data.documents import DocumentSet
from gristmill.data.engine import BatchResult, Failure, map_batches
from gristmill.data.filters.blocklist import AddressRules
from gristmill.data.filters.chain import VERDICT_SCHEMA, Chain, quarantined
from gristmill.data.filters.terms import STATED, Terms, stated_columns

_BATCH = 256
# A worker process costs a second before its first document.
_DOCUMENTS_PER_WORKER = 10_000
# What a user's function sees of a document.
_DOCUMENT_COLUMNS = (
    "id", "url", "host", "title", "description", "topic", "language_attribute", "source", "text",
)  # fmt: skip


@dataclass(frozen=True)
class PartVerdicts:
    """The verdicts on one part: `verdicts` (VERDICT_SCHEMA) has a row for each of `rows`, the rows
    of the base part that earlier layers keep, whose `documents` (url, text) are aligned."""

    name: str
    rows: npt.NDArray[np.int64]
    documents: pa.Table
    verdicts: pa.Table
    stated: tuple[list[str | None], list[str | None], list[str | None]]
    """source, licence and opt-out of each document."""
    failures: list[Failure]
    """Quarantined documents; `position` is the row in `verdicts`."""


@dataclass
class _Part:
    name: str
    documents: pa.Table
    stated: tuple[list[str | None], list[str | None], list[str | None]]
    blocked: dict[int, tuple[str, str]]
    waiting: int
    tables: list[pa.Table]
    failures: list[Failure]


def filter_documents(
    documents: DocumentSet,
    addresses: AddressRules,
    chain: Chain,
    *,
    terms: Terms | None = None,
    workers: int,
    seconds_per_document: float = 5.0,
    memory_bytes: int = 512 << 20,
) -> Iterator[PartVerdicts]:
    """Yields each part's verdicts, in the order of the parts."""
    total = sum(documents.base_rows(part) for part in documents.parts)
    custom = bool(chain.rules.custom)
    workers = max(1, min(workers, total // _DOCUMENTS_PER_WORKER))
    isolate = custom or workers > 1
    if isolate:
        # Compiled once here, into the cache, and not in every worker at the same time.
        chain.warm_up()
    columns = list(_DOCUMENT_COLUMNS) if custom else ["url", "text"]
    open_parts: list[_Part] = []
    results = map_batches(
        chain,
        _batches(documents, addresses, terms or Terms(), columns, open_parts),
        workers=workers,
        seconds_per_item=seconds_per_document,
        memory_bytes=memory_bytes,
        isolate=isolate,
        setup=chain.warm_up if isolate else None,
    )
    bar = progress("filter", float(total), "documents")
    try:
        for result in results:
            while open_parts[0].waiting == 0:
                yield _finished(open_parts.pop(0))
            part = open_parts[0]
            _take_in(part, result)
            bar.advance(result.size)
        while open_parts:
            yield _finished(open_parts.pop(0))
    finally:
        bar.close()


def _batches(
    documents: DocumentSet,
    addresses: AddressRules,
    terms: Terms,
    columns: list[str],
    open_parts: list[_Part],
) -> Iterator[pa.Table]:
    # Documents of an earlier release say nothing of opt-outs.
    known = set(documents.column_names())
    further = [c for c in STATED if c in known and c not in columns]
    for name in documents.parts:
        table = documents.read(name, [*columns, *further])
        stated = stated_columns(table)
        blocked: dict[int, tuple[str, str]] = {}
        for row, url in enumerate(table["url"].to_pylist()):
            verdict = addresses.verdict(url)
            if verdict is None:
                verdict = terms.verdict(stated[1][row], stated[2][row])
            if verdict is not None:
                blocked[row] = verdict
        passed = np.setdiff1d(np.arange(len(table)), np.fromiter(blocked, np.int64, len(blocked)))
        starts = range(0, len(passed), _BATCH)
        kept = table.select(["url", "text", "row"])
        open_parts.append(_Part(name, kept, stated, blocked, len(starts), [], []))
        for start in starts:
            # `take` copies: a slice would send the buffers of the whole part to the worker.
            yield table.select(columns).take(pa.array(passed[start : start + _BATCH]))


def _take_in(part: _Part, result: BatchResult) -> None:
    done = sum(len(table) for table in part.tables)
    entries: list[tuple[int, pa.Table]] = list(result.pieces)
    for failure in result.failures:
        entries.append((failure.position, quarantined(1, failure.reason)))
        part.failures.append(Failure(done + failure.position, failure.reason))
    entries.sort(key=lambda entry: entry[0])
    part.tables += [table for _, table in entries]
    part.waiting -= 1


def _finished(part: _Part) -> PartVerdicts:
    count = len(part.documents)
    judged = pa.concat_tables([VERDICT_SCHEMA.empty_table(), *part.tables])
    blocked = np.array(sorted(part.blocked), dtype=np.int64)
    passed = np.setdiff1d(np.arange(count), blocked)
    verdicts = pa.concat_tables([judged, _blocked([part.blocked[row] for row in blocked.tolist()])])
    # Row i of the part is row order[i] of what was judged and then what was blocked.
    order = np.empty(count, dtype=np.int64)
    order[passed] = np.arange(len(passed))
    order[blocked] = len(passed) + np.arange(len(blocked))
    failures = [Failure(int(passed[f.position]), f.reason) for f in part.failures]
    return PartVerdicts(
        part.name,
        part.documents["row"].to_numpy(),
        part.documents.drop_columns(["row"]),
        verdicts.take(pa.array(order)),
        part.stated,
        failures,
    )


def _blocked(found: list[tuple[str, str]]) -> pa.Table:
    table = quarantined(len(found), "")
    reasons = [reason for reason, _ in found]
    values = {
        "reason": pa.array(reasons, pa.string()),
        "detail": pa.array([detail for _, detail in found], pa.string()),
        "reasons_all": pa.array([[reason] for reason in reasons], pa.list_(pa.string())),
    }
    for name, column in values.items():
        index = VERDICT_SCHEMA.get_field_index(name)
        table = table.set_column(index, VERDICT_SCHEMA.field(index), column)
    return table
