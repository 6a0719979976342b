"""Which documents of a part hold items of evaluation sets: its layer, and a line for each finding.

A part is judged where the engine runs it, and tells what it adds to the counts of the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.progress import progress
from gristmill.data.decontaminate import EvaluationIndex, Overlap, overlap, shared_lines
from gristmill.data.documents import DocumentSet, write_layer
from gristmill.data.engine.map_parts import map_parts, workers_worth
from gristmill.data.engine.steps import Engine
from gristmill.data.journal import PartJournal

SAMPLES = 8
_LINES = 20
_CHARACTERS = 300


@dataclass(frozen=True)
class ContaminationRules:
    """What an item's text in a document is, and whether such a document is dropped or marked."""

    drop: bool = True
    min_long: int = 1
    min_share: float = 0.7


def judge_documents(
    engine: Engine,
    documents: DocumentSet,
    index: EvaluationIndex,
    rules: ContaminationRules,
    journal: PartJournal,
) -> Iterator[Mapping[str, Any]]:
    """Writes a layer for each part into the journal, and yields what each adds to the counts."""
    yield from journal.notes()
    todo = documents.parts[len(journal.parts) :]
    bar = progress("data decontaminate", len(documents.parts), "parts")
    bar.advance(len(journal.parts))
    notes = map_parts(
        engine,
        partial(judge_part, documents, index, rules, journal.folder.resolve()),
        todo,
        isolate=False,
        most_workers=workers_worth(documents.text_bytes()),
    )
    try:
        for part, note in zip(todo, notes, strict=True):
            journal.end(part, [f"layer/{part}.parquet", _findings_file(part)], note)
            bar.advance(1)
            yield note
    finally:
        bar.close()


def judge_part(
    documents: DocumentSet,
    index: EvaluationIndex,
    rules: ContaminationRules,
    folder: Path,
    part: str,
) -> dict[str, Any]:
    """Writes `layer/PART.parquet` and `contamination/PART.jsonl`; returns counts and samples."""
    table = documents.read(part, ["id", "url", "text"])
    found = overlap(table["text"], index)
    bad = found.contaminated(rules.min_long, rules.min_share)
    worst = index.set_of[found.worst_item] if len(index.set_of) else found.worst_item
    keep = ~bad if rules.drop else np.ones(len(bad), np.bool_)
    findings = found.findings(rules.min_long, rules.min_share)
    _write_findings(folder / _findings_file(part), table, findings, index)
    name = [index.names[w] if b else None for w, b in zip(worst, bad, strict=True)]
    write_layer(
        folder,
        part,
        documents.ids(part),
        table["row"].to_numpy(),
        keep=keep,
        reason=[None if k else "contaminated" for k in keep],
        own={
            "contaminated": pa.array(bad),
            "contamination_long": pa.array(found.long_hits, pa.int32()),
            "contamination_share": pa.array(found.short_share, pa.float32()),
            "contamination_set": pa.array(name, pa.string()),
        },
    )
    # A document counts for every set of which it holds an item.
    sets_hit = {(row, int(index.set_of[item])) for row, item, _, _ in findings}
    return {
        "seen": len(keep),
        "kept": int(keep.sum()),
        "contaminated": int(bad.sum()),
        "hits": [sum(number == one for _, one in sets_hit) for number in range(len(index.names))],
        "leaked": found.leaked_items(rules.min_long, rules.min_share).tolist(),
        "samples": list(_samples(table, found, bad, worst, index)),
    }


def _samples(
    table: pa.Table,
    found: Overlap,
    bad: npt.NDArray[np.bool_],
    worst: npt.NDArray[np.int64],
    index: EvaluationIndex,
) -> Iterator[dict[str, str]]:
    for row in np.flatnonzero(bad)[:SAMPLES].tolist():
        yield {
            "set": index.names[worst[row]],
            "url": table["url"][row].as_py(),
            "shared": f"{found.long_hits[row]} runs of {index.long_n} words",
            "share": f"{found.short_share[row]:.2f}",
            "text": table["text"][row].as_py()[:_CHARACTERS],
        }


def _write_findings(
    path: Path,
    table: pa.Table,
    findings: Sequence[tuple[int, int, int, float]],
    index: EvaluationIndex,
) -> None:
    """A line for each document and item; the parts' files end in `contamination.jsonl`."""
    first_items = np.searchsorted(index.set_of, np.arange(len(index.names)))
    told = []
    for row, item, hits, share in findings:
        number = int(index.set_of[item])
        lines = shared_lines(table["text"][row].as_py(), item, index)
        record = {
            "set": index.names[number],
            "item": item - int(first_items[number]) + 1,
            "id": table["id"][row].as_py(),
            "url": table["url"][row].as_py(),
            f"shared_{index.long_n}": hits,
            f"share_of_{index.short_n}": round(share, 4),
            "lines": lines.lines[:_LINES],
            "text": lines.first[:_CHARACTERS],
        }
        told.append(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(told).encode("utf-8", "backslashreplace"))


def _findings_file(part: str) -> str:
    return f"contamination/{part}.jsonl"
