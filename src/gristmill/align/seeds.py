"""Seed documents: what a generator is given to write from, and never a held-out one.

They are those of a mixture's training split that training sees, in the mixture's order. A document
that was synthesized itself is no seed: text made from made text drifts away from what people write
(Shumailov et al. 2024, "AI models collapse when trained on recursively generated data").
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from gristmill.align.novelty import has_words
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed

SCHEME = "synthetic"
"""Of the address of a document that was synthesized."""
_BATCH_ROWS = 256
_ENDS = (". ", "! ", "? ", "。", "！", "？", "; ", " ")
"""Where a text is best cut, the best first."""


@dataclass(frozen=True)
class Seed:
    """A document to write from; `group`: its near-duplicates, which the split keeps together."""

    id: str
    url: str
    domain: str
    group: str
    text: str


@dataclass
class Seeds:
    """The chosen rows of each part of a mixture's training split; iterating reads their texts."""

    rows: list[tuple[Path, list[int]]]
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.rows)

    def __iter__(self) -> Iterator[Seed]:
        columns = ["id", "url", "domain", "group", "text"]
        for path, rows in self.rows:
            wanted, first = set(rows), 0
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    places = [n for n in range(len(batch)) if first + n in wanted]
                    first += len(batch)
                    for row in batch.take(places).to_pylist() if places else ():
                        yield Seed(**row)


def choose_seeds(mixture: Path, *, most: int | None, min_words: int, seed: int) -> Seeds:
    """The seeds of a mixture: all, or the `most` of the smallest hashes under the seed.

    min_words: shorter documents say too little to write from. Raises GristmillError where a
    document of the training split, or one of its near-duplicate group, is held out too, and where
    there is no seed.
    """
    check_nothing_held_out(mixture)
    left_out: Counter[str] = Counter()
    found: list[tuple[int, int, int]] = []
    parts = sorted((mixture / "train").glob("part-*.parquet"))
    for number, path in enumerate(parts):
        first = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["id", "url", "repeats", "text"]):
                for row, one in enumerate(batch.to_pylist(), first):
                    reason = _unfit(one["url"], one["repeats"], one["text"], min_words)
                    if reason is None:
                        found.append((derive_seed(seed, "seed", one["id"]), number, row))
                    else:
                        left_out[reason] += 1
                first += len(batch)
    if most is not None and most < len(found):
        left_out["not among the seeds that were asked for"] = len(found) - most
        found = heapq.nsmallest(most, found)
    if not found:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise GristmillError(
            f"no document can be a seed{': ' + reasons if reasons else ''}",
            where=mixture,
            mend="lower --documents.seed_words, or give a mixture of longer documents",
        )
    rows: list[list[int]] = [[] for _ in parts]
    for _, number, row in sorted(found, key=lambda one: one[1:]):
        rows[number].append(row)
    chosen = [(path, one) for path, one in zip(parts, rows, strict=True) if one]
    return Seeds(chosen, left_out)


def check_nothing_held_out(mixture: Path) -> None:
    """Raises GristmillError where the training split holds a held-out document or a copy of one."""
    ids: set[str] = set()
    groups: set[str] = set()
    for path in sorted((mixture / "heldout").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["id", "group"])
        ids.update(table["id"].to_pylist())
        groups.update(table["group"].to_pylist())
    for path in sorted((mixture / "train").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["id", "group"])
        crossing = ids.intersection(table["id"].to_pylist())
        crossing |= groups.intersection(table["group"].to_pylist())
        if crossing:
            raise GristmillError(
                f"the held-out document or group {min(crossing)} is in the training split, so what "
                "is written from it would be read in training",
                where=path,
                mend="make the mixture again with data mix",
            )


def passages(text: str, *, characters: int, most: int) -> list[str]:
    """The first `most` passages: whole paragraphs together, up to so many characters.

    A longer paragraph is cut after a sentence, or between words where it has no sentence's end.
    """
    found: list[str] = []
    held = ""
    for paragraph in text.split("\n"):
        rest = paragraph.strip()
        while rest and len(found) < most:
            if held and len(held) + 1 + len(rest) > characters:
                found.append(held)
                held = ""
            elif len(rest) <= characters:
                held = f"{held}\n{rest}" if held else rest
                rest = ""
            else:
                border = _border(rest, characters)
                found.append(rest[:border].rstrip())
                rest = rest[border:].lstrip()
    if held:
        found.append(held)
    return found[:most]


def opening(passage: str) -> str:
    """The first part of a passage, up to the last sentence that ends in its first half."""
    half = len(passage) // 2
    return passage[: _border(passage, max(1, half))].rstrip()


def _border(text: str, most: int) -> int:
    """A place at or before `most` to cut: behind a sentence, else a word."""
    for end in _ENDS:
        place = text.rfind(end, most // 3, most)
        if place > 0:
            return place + len(end)
    return most


def _unfit(url: str, repeats: int, text: str, min_words: int) -> str | None:
    if url.startswith(f"{SCHEME}:"):
        return "synthetic themselves"
    if repeats == 0:
        return "that training does not see"
    if not has_words(text, min_words):
        return f"of fewer than {min_words} words"
    return None
