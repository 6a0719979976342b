"""`data decontaminate`: documents that hold items of evaluation sets, dropped or marked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Samples, Table, proportion
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage

_SAMPLES = 8


class DecontaminateConfig(StageConfig):
    """The evaluation texts and the two rules (13-grams of GPT-3, 70% of 8-grams of PaLM)."""

    sets: list[Path] = content_of([])
    """JSONL files with one item a line; the file's name without its ending names the set."""
    fields: tuple[str, ...] = ("text", "question", "prompt", "goal", "sentence", "passage")
    """An item's text is the values of these fields that it has, joined."""
    action: Literal["drop", "mark"] = "drop"
    long_n: int = Field(13, ge=2)
    """A document that shares `min_long` distinct runs of so many words with one item is
    contaminated."""
    min_long: int = Field(1, ge=1)
    short_n: int = Field(8, ge=2)
    """And so is one that holds `min_share` of an item's runs of so many words."""
    min_share: float = Field(0.7, gt=0.0, le=1.0)


@stage(
    "data decontaminate",
    version=1,
    kind="layer",
    config=DecontaminateConfig,
    inputs={
        "documents": Slot("layer", "documents", help="documents, or a step after them"),
        "evaluation": Slot(
            "documents", optional=True, many=True, help="evaluation texts, by data import"
        ),
    },
    summary="drop documents that overlap evaluation texts",
    example="gristmill data decontaminate --documents DOMAINS --sets [arc.jsonl,mmlu.jsonl]",
)
def data_decontaminate(config: DecontaminateConfig, inputs: Inputs, output: Output) -> None:
    """Columns: contaminated, contamination_long (shared 13-grams), contamination_share (of the
    worst item's 8-grams), contamination_set. Reason: contaminated."""
    import numpy as np
    import pyarrow as pa

    from gristmill.data.decontaminate import EvaluationIndex, overlap, read_items
    from gristmill.data.documents import DocumentSet, write_layer
    from gristmill.data.journal import PartJournal

    documents = DocumentSet.open(inputs["documents"])
    sets: dict[str, list[str]] = {}
    for path in config.sets:
        sets.setdefault(path.name.split(".")[0], []).extend(read_items(path, config.fields))
    for artifact in inputs.many("evaluation"):
        for _, table in DocumentSet.open(artifact).tables(["source", "text"]):
            pairs = zip(table["source"].to_pylist(), table["text"].to_pylist(), strict=True)
            for source, text in pairs:
                sets.setdefault(source, []).append(text)
    if not sets:
        raise GristmillError(
            "no evaluation texts were given",
            where="data.decontaminate.sets",
            mend="name JSONL files, give --evaluation FOLDER, or leave the step out",
        )
    index = EvaluationIndex.build(sets, long_n=config.long_n, short_n=config.short_n)
    journal = PartJournal(output.run.path, "decontaminate")
    for part in documents.parts[len(journal.parts) :]:
        table = documents.read(part, ["url", "text"])
        found = overlap(table["text"], index)
        bad = found.contaminated(config.min_long, config.min_share)
        worst = index.set_of[found.worst_item] if len(index.set_of) else found.worst_item
        keep = ~bad if config.action == "drop" else np.ones(len(bad), np.bool_)
        samples = [
            {
                "set": index.names[worst[row]],
                "url": table["url"][row].as_py(),
                "shared": f"{found.long_hits[row]} runs of {config.long_n} words",
                "share": f"{found.short_share[row]:.2f}",
                "text": table["text"][row].as_py()[:300],
            }
            for row in np.flatnonzero(bad)[:_SAMPLES].tolist()
        ]
        name = [index.names[w] if b else None for w, b in zip(worst, bad, strict=True)]
        write_layer(
            journal.folder,
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
        journal.end(
            part,
            [f"layer/{part}.parquet"],
            {
                "seen": len(keep),
                "kept": int(keep.sum()),
                "hits": np.bincount(worst[bad], minlength=len(index.names)).tolist(),
                "leaked": found.leaked_items(config.min_long, config.min_share).tolist(),
                "samples": samples,
            },
        )
    journal.hand_over(output.path)
    hit_documents = np.zeros(len(index.names), np.int64)
    leaked: set[int] = set()
    kept = seen = 0
    samples = []
    for note in journal.notes():
        seen, kept = seen + note["seen"], kept + note["kept"]
        hit_documents += np.array(note["hits"], np.int64)
        leaked.update(note["leaked"])
        samples += note["samples"][: _SAMPLES - len(samples)]
    contaminated = int(hit_documents.sum())
    output.counts.update(
        documents=seen, kept=kept, contaminated=contaminated, items=len(index.words)
    )
    output.figures["decontaminate.documents"] = Figure(float(contaminated), n=seen)
    output.figures["decontaminate.items"] = proportion(len(leaked), len(index.words))
    leaked_sets = [int(index.set_of[item]) for item in sorted(leaked)]
    rows = []
    for number, name_of_set in enumerate(index.names):
        items = len(sets[name_of_set])
        rows.append(
            (
                name_of_set,
                items,
                index.too_short(number),
                int(hit_documents[number]),
                proportion(leaked_sets.count(number), items),
            )
        )
    output.tables.append(
        Table(
            "Contamination",
            ("set", "items", "too short to find", "documents", "items found in a document"),
            rows,
            f"{config.min_long} shared run(s) of {config.long_n} words, or {config.min_share:.0%} "
            f"of an item's runs of {config.short_n}; items of fewer than {config.short_n} words "
            "cannot be found. A document counts for the set of its worst item.",
        )
    )
    if samples:
        output.samples.append(Samples("Contaminated documents", samples))
