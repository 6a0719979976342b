"""`data decontaminate`: documents that hold items of evaluation sets, dropped or marked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Samples, Table, proportion
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage


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
    version=2,
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
    worst item's 8-grams), contamination_set. Reason: contaminated. contamination.jsonl names every
    pair of a document and an item, with the lines that they share."""
    import numpy as np

    from gristmill.data.contamination import SAMPLES, ContaminationRules, judge_documents
    from gristmill.data.decontaminate import EvaluationIndex, read_items
    from gristmill.data.documents import DocumentSet
    from gristmill.data.engine.steps import engine_of
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
    silent = sorted(name for name, items in sets.items() if not items)
    if silent:
        raise GristmillError(
            f"no evaluation text was found in {', '.join(silent)}",
            where="data.decontaminate.sets",
            mend="a set without items clears nothing: give its texts, or leave it out",
        )
    index = EvaluationIndex.build(sets, long_n=config.long_n, short_n=config.short_n)
    rules = ContaminationRules(config.action == "drop", config.min_long, config.min_share)
    journal = PartJournal(output.run.path, "decontaminate")
    engine = engine_of(*output.execution.engine_settings)
    hit_documents = np.zeros(len(index.names), np.int64)
    leaked: set[int] = set()
    kept = seen = contaminated = 0
    samples: list[dict[str, str]] = []
    for note in judge_documents(engine, documents, index, rules, journal):
        seen, kept = seen + note["seen"], kept + note["kept"]
        contaminated += note["contaminated"]
        hit_documents += np.array(note["hits"], np.int64)
        leaked.update(note["leaked"])
        samples += note["samples"][: SAMPLES - len(samples)]
    journal.hand_over(output.path)
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
            "cannot be found. A document counts for each set of which it holds an item; which "
            "items and lines these are is in contamination.jsonl.",
        )
    )
    if samples:
        output.samples.append(Samples("Contaminated documents", samples))
