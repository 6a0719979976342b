"""Whether the order test finds a test set that was planted, and accuses no clean model.

    python benchmarks/contamination.py [--seeds N] [--quick]

For each seed: questions about invented places, a test set of them in a random order that counts as
published, and three transformers of 0.15 million parameters trained from nothing on the same amount
of text: one reads the test set in its published order several times, one reads the same questions
as often but each time in another order, one never reads it. The first is to be found (p < 0.05),
the others are not: they know the questions, or their kind, but no order. Everything is generated.

`--quick` takes two seeds and leaves out the reshuffled set. The last line is JSON:
{"found": 5, "seeds": 5, "accused": 0, ...}, where accused counts the clean models with p < 0.05 /
their number (Bonferroni): of ten clean models one falls below 0.05 by chance every other time.
`below_0.05` counts those too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from small_model import train_small, write_tokens

from gristmill.evaluate.contamination import SEPARATOR, OrderTest, order_test
from gristmill.infer.engine import Engine
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.train.optimizers import OptimizerSettings
from gristmill.train.schedules import Schedule

CONTEXT, VOCABULARY = 128, 512
KINDS = ("published", "shuffled", "unseen")
ALPHA = 0.05


@dataclass(frozen=True)
class Planting:
    """How much is planted, and how long is trained. A document of other questions is as long as
    the test set; `copies` of `documents` documents are the test set."""

    examples: int = 100
    documents: int = 100
    copies: int = 10
    steps: int = 120
    batch: int = 16
    shard: int | None = None


def main() -> int:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    os.environ.setdefault("GRISTMILL_PROGRESS", "off")
    kinds = ("published", "unseen") if chosen.quick else KINDS
    seeds = range(2 if chosen.quick else chosen.seeds)
    print(json.dumps(verify(seeds, Planting(), kinds)))
    return 0


def verify(
    seeds: Sequence[int], planting: Planting, kinds: Sequence[str] = KINDS
) -> dict[str, object]:
    """p of every model, and how many of the planted were found and of the clean accused."""
    start = time.monotonic()
    print(f"{'seed':>4}  {'trained on the test set':<24}{'t':>8}{'p':>12}{'p by rank':>11}")
    p: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in seeds:
        for kind in kinds:
            found = test_of(kind, seed, planting)
            p[kind].append(found.p)
            print(f"{seed:>4}  {kind:<24}{found.t:>8.2f}{found.p:>12.2g}{found.p_by_rank:>11.3g}")
            sys.stdout.flush()
    clean = [value for kind in kinds if kind != "published" for value in p[kind]]
    return {
        "found": sum(value < ALPHA for value in p["published"]),
        "seeds": len(seeds),
        "accused": sum(value < ALPHA / len(clean) for value in clean),
        "below_0.05": sum(value < ALPHA for value in clean),
        "clean_models": len(clean),
        "largest_p_planted": max(p["published"]),
        "smallest_p_clean": min(clean),
        "seconds": round(time.monotonic() - start, 1),
    }


def test_of(kind: str, seed: int, planting: Planting) -> OrderTest:
    """The order test of a model that is trained here."""
    rng = random.Random(seed)
    examples = [question(rng) for _ in range(planting.examples)]
    others = [
        SEPARATOR.join(question(rng) for _ in range(planting.examples))
        for _ in range(planting.documents)
    ]
    texts = list(others)
    if kind != "unseen":
        for place in range(planting.copies):
            copy = list(examples)
            if kind == "shuffled":
                rng.shuffle(copy)
            texts[place] = SEPARATOR.join(copy)
    rng.shuffle(texts)
    # The tokenizer is the same for every kind, so that the models differ in what they read alone.
    tokenizer = train_tokenizer(others, VOCABULARY)
    with tempfile.TemporaryDirectory() as folder:
        model = train(Path(folder), texts, tokenizer, seed, planting)
    return order_test(
        Engine(model), tokenizer, examples, context=CONTEXT, most=planting.shard, seed=seed
    )


def question(rng: random.Random) -> str:
    """A question about an invented place, with its answer."""

    def name() -> str:
        return "".join(rng.choice("bdgklmnprst") + rng.choice("aeiou") for _ in range(3)).title()

    kind, answer = rng.choice(
        [
            ("Which river flows through {}?", name()),
            ("Who founded the town of {}?", f"{name()} {name()}"),
            ("In which year was {} built?", str(rng.randint(1100, 1999))),
            ("What is mined near {}?", rng.choice(["tin", "salt", "coal", "iron", "marble"])),
        ]
    )
    return f"{kind.format(name())} {answer}."


def train(
    folder: Path, texts: Sequence[str], tokenizer: Tokenizer, seed: int, planting: Planting
) -> Transformer:
    """A small transformer, trained on the texts by the one trainer."""
    write_tokens(folder, texts, tokenizer)
    shape = TransformerConfig(tokenizer.vocab_size, 64, 2, 2, 1, 32, 192, CONTEXT, tied=False)
    rates = OptimizerSettings(matrix_lr=0.02, embedding_lr=0.01, head_lr=0.01, other_lr=0.01)
    schedule = Schedule("wsd", planting.steps, warmup=5, decay=planting.steps // 3)
    return train_small(
        folder / "run", folder, shape, rates, schedule,
        steps=planting.steps, batch=planting.batch, seed=seed,
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    sys.exit(main())
