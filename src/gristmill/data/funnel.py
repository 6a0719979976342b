"""What each step left and what it took: by reason, by site, by source and by domain, with samples.

One pass over the parts. What is held are counts and a few samples: memory does not grow with the
documents, but for eight bytes each where a mixture is looked at as well.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.core.records import host_of
from gristmill.core.seeds import derive_seed
from gristmill.data.documents import DocumentSet
from gristmill.data.funnel_groups import Groups

SAMPLE_LETTERS: Final = 300
NOT_TOLD: Final = "(not told)"
LEFT_OUT: Final = "left out of the mixture"

Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]
Sample = tuple[str, str, str]
"""(reason, url, beginning of the text)."""


@dataclass
class Step:
    """One step's outcome. bytes are those of the texts in UTF-8; before there are texts, words and
    bytes are 0."""

    name: str
    documents: int = 0
    words: int = 0
    bytes: int = 0
    changed: int = 0
    """Documents whose text the step changed and that it keeps."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Documents by reason."""
    dropped_words: Counter[str] = field(default_factory=Counter)
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    """Of dropped documents, drawn for each reason; in the order of reasons."""

    def to_json(self) -> dict[str, Any]:
        """For `inspection.json`."""
        return {
            "step": self.name,
            "documents": self.documents,
            "words": self.words,
            "bytes": self.bytes,
            "changed": self.changed,
            "dropped": _ranked(self.dropped),
            "dropped_words": _ranked(self.dropped_words),
            "dropped_bytes": _ranked(self.dropped_bytes),
        }


@dataclass
class Funnel:
    """The steps in order, the first of them the one that makes documents: a page that never became
    one has its reason among that step's `dropped`."""

    steps: list[Step]
    groups: dict[str, Groups]
    """`site`, `source` and `domain`, the last where a step tells domains: what each step left."""
    crawl: Step | None = None
    """The addresses that a crawl knew: those it fetched, and why not the others."""


def funnel(
    documents: DocumentSet,
    samples_per_reason: int = 2,
    *,
    pages: Artifact | None = None,
    mixture: Artifact | None = None,
    seed: int = 0,
) -> Funnel:
    """Documents as extracted or imported, what each layer left of them, what a mixture took.

    pages: the crawl before them. Samples are drawn by a hash of document and seed: the same for
    any order of the parts.
    """
    names = [documents.base.stage, *(layer.stage for layer in documents.layers)]
    if mixture is not None:
        names.append(mixture.stage)
    told = "domain" in documents.column_names()
    kinds = ["site", "source", *(["domain"] if told else [])]
    groups = {kind: Groups(len(names)) for kind in kinds}
    counting = _Counting([Step(name) for name in names], groups, samples_per_reason, seed)
    counting.rejects(_rejects(documents.base))
    mixed = None if mixture is None else _mixed_ids(mixture)
    for part in documents.parts:
        counting.part(documents, part, mixed)
    crawled = pages is not None and (pages.path / "frontier.parquet").is_file()
    return Funnel(counting.finished(), groups, _crawled(pages) if pages and crawled else None)


class _Counting:
    def __init__(
        self, steps: list[Step], groups: dict[str, Groups], per_reason: int, seed: int
    ) -> None:
        self._steps, self._groups = steps, groups
        self._drawn = [_Drawn(per_reason, derive_seed(seed, "funnel", s.name)) for s in steps]

    def rejects(self, rejects: Iterable[dict[str, str]]) -> None:
        """Pages that never became documents."""
        first, drawn = self._steps[0], self._drawn[0]
        for record in rejects:
            url = record.get("url") or record.get("where") or ""
            reason = (record.get("reason") or "no reason").split(":")[0]
            first.dropped[reason] += 1
            self._groups["site"].took(_host(url), 0, reason, 1)
            if drawn.wants(reason, key := _key_of(url)):
                drawn.take(reason, key, url, record.get("sample") or "")

    def part(self, documents: DocumentSet, part: str, mixed: Keys | None) -> None:
        """One part through every step."""
        table = pq.read_table(
            documents.base.path / "documents" / f"{part}.parquet",
            columns=["id", "url", "host", "source", "text"],
        )
        texts = table["text"].to_pylist()
        keys = _keys(table["id"])
        sizes = np.empty((len(texts), 3), np.int64)
        sizes[:, 0] = 1
        sizes[:, 1] = [len(text.split()) for text in texts]
        sizes[:, 2] = pc.binary_length(table["text"]).to_numpy()
        codes = self._codes(documents, part, table)
        alive = np.ones(len(texts), np.bool_)
        self._left(0, sizes, alive, codes)
        for number, layer in enumerate(documents.layers, 1):
            verdicts = pq.read_table(
                layer.path / "layer" / f"{part}.parquet", columns=["keep", "reason", "text"]
            )
            keep = verdicts["keep"].to_numpy()
            dropped = alive & ~keep
            alive &= keep
            self._changed(number, verdicts["text"], texts, sizes, alive)
            reasons = pc.fill_null(verdicts["reason"], "no reason")
            self._took(number, dropped, reasons, sizes, codes, keys, table["url"], texts)
            self._left(number, sizes, alive, codes)
        if mixed is not None:
            inside = np.isin(keys, mixed)
            reasons = pa.chunked_array([pa.repeat(LEFT_OUT, len(texts))])
            last = len(self._steps) - 1
            self._took(last, alive & ~inside, reasons, sizes, codes, keys, table["url"], texts)
            self._left(last, sizes, alive & inside, codes)

    def finished(self) -> list[Step]:
        """The steps, with their samples."""
        for step, drawn in zip(self._steps, self._drawn, strict=True):
            step.samples = drawn.samples()
        return self._steps

    def _codes(
        self, documents: DocumentSet, part: str, table: pa.Table
    ) -> dict[str, tuple[list[str], Counts]]:
        columns = {"site": table["host"], "source": table["source"]}
        if "domain" in self._groups:
            columns["domain"] = documents.read_all(part, ["domain"])["domain"]
        found = {}
        for kind, column in columns.items():
            # An id is no host: what has no site of its own stands under one name.
            filled = pc.fill_null(column, NOT_TOLD).combine_chunks()
            encoded = pc.dictionary_encode(
                pa.concat_arrays(filled.chunks) if isinstance(filled, pa.ChunkedArray) else filled
            )
            names = [name or NOT_TOLD for name in encoded.dictionary.to_pylist()]
            found[kind] = (names, encoded.indices.to_numpy().astype(np.int64))
        return found

    def _changed(
        self, number: int, new: pa.ChunkedArray, texts: list[str], sizes: Counts, alive: Flags
    ) -> None:
        for row in np.flatnonzero(alive & new.is_valid().to_numpy()).tolist():
            text = new[row].as_py()
            if text != texts[row]:
                texts[row] = text
                sizes[row, 1:] = len(text.split()), len(text.encode("utf-8", "surrogatepass"))
                self._steps[number].changed += 1

    def _left(
        self, number: int, sizes: Counts, alive: Flags, codes: dict[str, tuple[list[str], Counts]]
    ) -> None:
        step = self._steps[number]
        left = sizes[alive].sum(axis=0)
        step.documents += int(left[0])
        step.words += int(left[1])
        step.bytes += int(left[2])
        for kind, (names, code) in codes.items():
            by_name = np.zeros((len(names), 3), np.int64)
            np.add.at(by_name, code[alive], sizes[alive])
            self._groups[kind].left(names, number, by_name)

    def _took(
        self,
        number: int,
        dropped: Flags,
        reasons: pa.ChunkedArray,
        sizes: Counts,
        codes: dict[str, tuple[list[str], Counts]],
        keys: Keys,
        urls: pa.ChunkedArray,
        texts: list[str],
    ) -> None:
        step, drawn = self._steps[number], self._drawn[number]
        rows = np.flatnonzero(dropped)
        why = reasons.take(pa.array(rows)).to_pylist()
        for row, reason in zip(rows.tolist(), why, strict=True):
            step.dropped[reason] += 1
            step.dropped_words[reason] += int(sizes[row, 1])
            step.dropped_bytes[reason] += int(sizes[row, 2])
            for kind, (names, code) in codes.items():
                self._groups[kind].took(names[code[row]], number, reason, 1)
            if drawn.wants(reason, key := int(keys[row])):
                drawn.take(reason, key, urls[row].as_py(), texts[row])


class _Drawn:
    """For each reason the few documents whose mixed key is smallest."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
        self._held: dict[str, list[tuple[int, str, str]]] = {}

    def wants(self, reason: str, key: int) -> bool:
        if not self._count:
            return False
        held = self._held.get(reason, [])
        return len(held) < self._count or -_mixed(key, self._seed) > held[0][0]

    def take(self, reason: str, key: int, url: str, text: str) -> None:
        held = self._held.setdefault(reason, [])
        entry = (-_mixed(key, self._seed), url, text[:SAMPLE_LETTERS])
        if len(held) < self._count:
            heapq.heappush(held, entry)
        else:
            heapq.heapreplace(held, entry)

    def samples(self) -> list[Sample]:
        return [
            (reason, url, text)
            for reason in sorted(self._held)
            for _, url, text in sorted(self._held[reason], reverse=True)
        ]


def _mixed(key: int, seed: np.uint64) -> int:
    """splitmix64 of a key under a seed."""
    z = (key ^ int(seed)) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    z = (z ^ z >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return z ^ z >> 31


def _keys(ids: pa.ChunkedArray) -> Keys:
    """Ids of 16 hexadecimal letters as numbers; others are hashed."""
    return np.fromiter((_key_of_id(one) for one in ids.to_pylist()), np.uint64, len(ids))


def _key_of_id(text: str) -> int:
    try:
        return int(text, 16) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        return _key_of(text)


def _key_of(text: str) -> int:
    import hashlib

    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _host(url: str) -> str:
    try:
        return host_of(url) or NOT_TOLD
    except ValueError:
        return NOT_TOLD


def _rejects(base: Artifact) -> Iterator[dict[str, str]]:
    """What never became a document, as the step wrote it, line by line."""
    for path in sorted((base.path / "rejects").glob("*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)


def _mixed_ids(mixture: Artifact) -> Keys:
    found = [np.zeros(0, np.uint64)]
    for split in ("train", "heldout"):
        for path in sorted((mixture.path / split).glob("part-*.parquet")):
            found.append(_keys(pq.read_table(path, columns=["id"])["id"]))
    return np.unique(np.concatenate(found))


def _crawled(pages: Artifact) -> Step:
    step = Step(pages.stage)
    with pq.ParquetFile(pages.path / "frontier.parquet") as frontier:
        for batch in frontier.iter_batches(columns=["state", "reason"]):
            table = pa.table({"state": batch["state"], "reason": batch["reason"]})
            counted = table.group_by(["state", "reason"]).aggregate([([], "count_all")])
            for row in counted.to_pylist():
                if row["state"] == "fetched":
                    step.documents += row["count_all"]
                else:
                    # Where a redirect leads is no reason.
                    state, reason = row["state"], row["reason"] or ""
                    reason = "" if "://" in reason else reason.split(":")[0]
                    said = f"{state}: {reason}" if reason else state
                    step.dropped[said] += row["count_all"]
    return step


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
