"""What is left after each step, and what was dropped and why, with samples to read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from gristmill.data.documents import DocumentSet

SAMPLE_LETTERS = 300


@dataclass
class Step:
    """One step's outcome. bytes are those of the texts in UTF-8."""

    name: str
    documents: int = 0
    words: int = 0
    bytes: int = 0
    changed: int = 0
    """Documents whose text the step changed and that it keeps."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Documents by reason."""
    samples: list[tuple[str, str, str]] = field(default_factory=list)
    """(reason, url, beginning of the text) of dropped documents."""


def funnel(documents: DocumentSet, samples_per_reason: int = 2) -> list[Step]:
    """The documents as extracted or imported, then what each layer left of them."""
    steps = [Step(documents.base.stage), *(Step(layer.stage) for layer in documents.layers)]
    for part in documents.parts:
        base = pq.read_table(
            documents.base.path / "documents" / f"{part}.parquet", columns=["url", "text"]
        )
        urls, texts = base["url"].to_pylist(), base["text"].to_pylist()
        sizes = [_size(text) for text in texts]
        alive = [True] * len(texts)
        _count(steps[0], sizes, alive)
        for layer, step in zip(documents.layers, steps[1:], strict=True):
            verdicts = pq.read_table(
                layer.path / "layer" / f"{part}.parquet", columns=["keep", "reason", "text"]
            )
            keep, reason, new = (verdicts[name].to_pylist() for name in verdicts.column_names)
            for row, kept in enumerate(keep):
                if not alive[row]:
                    continue
                if kept and new[row] is not None and new[row] != texts[row]:
                    texts[row] = new[row]
                    sizes[row] = _size(texts[row])
                    step.changed += 1
                if not kept:
                    alive[row] = False
                    why = reason[row] or "no reason"
                    if step.dropped[why] < samples_per_reason:
                        step.samples.append((why, urls[row], texts[row][:SAMPLE_LETTERS]))
                    step.dropped[why] += 1
            _count(step, sizes, alive)
    return steps


def _size(text: str) -> tuple[int, int]:
    return len(text.split()), len(text.encode("utf-8", "surrogatepass"))


def _count(step: Step, sizes: list[tuple[int, int]], alive: list[bool]) -> None:
    for (words, size), here in zip(sizes, alive, strict=True):
        if here:
            step.documents += 1
            step.words += words
            step.bytes += size
