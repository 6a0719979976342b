"""`study sums`: additions as a mixture, one a document: `123+45=168`.

A tenth of all pairs of operands is held out: the model is asked what it has never read.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from gristmill.stages.stage import Inputs, Output, StageConfig, stage

_PART_ROWS = 50_000
_HELD_OUT = 10


class SumsConfig(StageConfig):
    """How many additions, and of what."""

    train: int = Field(100_000, ge=1)
    """Additions to train on; those of short operands come again and again."""
    heldout: int = Field(100, ge=1)
    """Held-out additions for each number of digits of the longer operand; fewer where there are
    fewer."""
    digits: int = Field(5, ge=1, le=9)
    """Of an operand at most; each number of digits is equally likely."""


def is_held_out(a: int, b: int) -> bool:
    """Whether a pair of operands is kept for asking; a fixed tenth of all."""
    mixed = (a * 1_000_003 + b) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return (mixed >> 32) % _HELD_OUT == 0


def training_sums(count: int, digits: int, seed: int) -> Iterator[tuple[int, int]]:
    """Pairs of operands, none of them held out."""
    rng = random.Random(seed)
    while count:
        a, b = (_operand(rng, rng.randint(1, digits)) for _ in range(2))
        if not is_held_out(a, b):
            yield a, b
            count -= 1


def heldout_sums(each: int, digits: int, seed: int) -> dict[int, list[tuple[int, int]]]:
    """Distinct held-out pairs by the number of digits of the longer operand, at most `each`."""
    rng = random.Random(seed)
    found: dict[int, list[tuple[int, int]]] = {}
    for longer in range(1, digits + 1):
        if longer == 1:
            # All of them: there are about ten.
            pairs = [(a, b) for a in range(10) for b in range(10) if is_held_out(a, b)]
            found[longer] = rng.sample(pairs, min(each, len(pairs)))
            continue
        drawn: dict[tuple[int, int], None] = {}
        for _ in range(100 * each):
            a, b = _operand(rng, longer), _operand(rng, rng.randint(1, longer))
            pair = (a, b) if rng.random() < 0.5 else (b, a)
            if is_held_out(*pair):
                drawn[pair] = None
            if len(drawn) == each:
                break
        found[longer] = list(drawn)
    return found


def _operand(rng: random.Random, digits: int) -> int:
    return rng.randrange(0 if digits == 1 else 10 ** (digits - 1), 10**digits)


@stage(
    "study sums",
    version=1,
    kind="mixture",
    config=SumsConfig,
    inputs={},
    summary="make a mixture of additions, to train on and to be asked",
    example="gristmill study sums --train 100000 --digits 5",
    seeded=True,
)
def sums(config: SumsConfig, inputs: Inputs, output: Output) -> None:
    """`train/` and `heldout/` as every mixture has them, and `asked.json`."""
    from gristmill.core.canonical import write_json
    from gristmill.core.seeds import derive_seed

    train = list(training_sums(config.train, config.digits, derive_seed(output.seed, "train")))
    asked = heldout_sums(config.heldout, config.digits, derive_seed(output.seed, "heldout"))
    held = [pair for pairs in asked.values() for pair in pairs]
    for split, pairs in (("train", train), ("heldout", held)):
        _write_split(output, split, pairs)
    write_json(output.path / "asked.json", {str(longer): pairs for longer, pairs in asked.items()})
    output.counts.update(train=len(train), heldout=len(held))


def _write_split(output: Output, split: str, pairs: list[tuple[int, int]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gristmill.core.records import document_id, mixture_schema

    (output.path / split).mkdir()
    for start in range(0, len(pairs), _PART_ROWS):
        rows: list[dict[str, Any]] = []
        for number, (a, b) in enumerate(pairs[start : start + _PART_ROWS], start):
            text, url = f"{a}+{b}={a + b}", f"sum:{split}/{number}"
            rows.append(
                {"id": document_id(url, text), "url": url, "host": "sum", "domain": "sums",
                 "quality": 1.0, "group": url, "repeats": 1, "anneal": False, "text": text}
            )  # fmt: skip
        pq.write_table(
            pa.Table.from_pylist(rows, schema=mixture_schema()),
            output.path / split / f"part-{start // _PART_ROWS:05d}.parquet",
            compression="zstd",
            compression_level=3,
        )
