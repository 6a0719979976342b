"""Where the limits of the outlier rules stand: what share of honest text each would drop, and what
noise it catches.

    python benchmarks/outliers.py [DOCUMENTS]

Honest text, each kind compared with itself: English pages of Debian's documentation packages, film
reviews, and a documents artifact, such as `data extract` makes of the sample web. Noise is made up,
and compared with each kind. The limits are those of `data filter`, and one to either side.

Last line: `drops`, the share that the default limits drop, by kind and rule, and `caught`, the
share of the kinds of noise that one of them catches.
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from beside import finish, missing
from corpora import reviews
from filters import pages

from gristmill.data.filters.checks import Check
from gristmill.data.filters.outliers import CorpusShape, outliers
from gristmill.data.filters.rules import OutlierRules

BATCH = 500
REVIEWS = 8_000
LIMITS = {
    "max_length_deviation": (3.5, 4.0, 5.0),
    "max_byte_divergence": (1.0, 1.5, 2.0),
    "max_word_bits": (15.0, 16.0, 17.0),
    "min_word_bits": (5.0, 6.5, 7.5),
}


def english(texts: Sequence[str]) -> list[str]:
    """Those with few letters beyond ASCII and many function words; no rule of ours is asked."""
    listed = {"the", "of", "and", "to"}
    found = []
    for text in texts:
        words = text.split()
        plain = len(text.encode()) - len(text) < 0.02 * len(text)
        if plain and sum(word in listed for word in words) > 0.04 * len(words):
            found.append(text)
    return found


def noise() -> dict[str, str]:
    """One text of each kind."""
    draw = random.Random(1)

    def many(times: int, one: Callable[[], str], between: str = " ") -> str:
        return between.join(one() for _ in range(times))

    return {
        "base64": many(30, lambda: base64.b64encode(draw.randbytes(57)).decode(), "\n"),
        "hexadecimal numbers": many(300, lambda: draw.randbytes(4).hex()),
        "a table of figures": many(40, lambda: many(6, lambda: f"{draw.random():.4f}"), "\n"),
        "made-up words": many(
            300, lambda: many(draw.randint(3, 9), lambda: draw.choice("abdegiklnoprstuv"), "")
        ),
        "another script": "Съешь ещё этих мягких французских булок да выпей чаю. " * 20,
        "one word": "the " * 300,
        "five words": many(300, lambda: draw.choice(("the", "of", "and", "to", "a"))),
        "a phrase": "buy cheap pills online " * 80,
    }


def judged(texts: Sequence[str], shape: CorpusShape, rules: OutlierRules) -> dict[str, list[Check]]:
    """The checks by their rule in the config, in batches."""
    found: dict[str, list[Check]] = {}
    for start in range(0, len(texts), BATCH):
        for check in outliers(texts[start : start + BATCH], shape, rules):
            end = "max" if check.sign == ">" else "min"
            found.setdefault(f"{end}_{check.reason.partition('.')[2]}", []).append(check)
    return found


def main() -> None:
    kinds = {"documentation": english(list(pages())), "reviews": list(islice(reviews(), REVIEWS))}
    for folder in sys.argv[1:]:
        kinds["sample web"] = [
            text
            for part in sorted(Path(folder).glob("documents/part-*.parquet"))
            for text in pq.read_table(part, columns=["text"])["text"].to_pylist()
            if text.strip()
        ]
    if not all(kinds.values()):
        missing("no honest text is to be had", "see what is missing above")
    rules = OutlierRules(enabled=True)
    drops: dict[str, dict[str, float]] = {}
    caught = []
    for kind, texts in kinds.items():
        shape = CorpusShape.of(texts[at : at + BATCH] for at in range(0, len(texts), BATCH))
        print(f"{kind}: {len(texts):,} texts, {np.exp(shape.length_median):,.0f} characters each")
        drops[kind] = {}
        for rule, checks in judged(texts, shape, rules).items():
            values = np.concatenate([check.value for check in checks])
            shares = [
                float((values > limit if rule.startswith("max") else values < limit).mean())
                for limit in LIMITS[rule]
            ]
            usual = np.quantile(values, (0, 0.01, 0.5, 0.99, 1))
            print(f"  {rule:<21} least, 1%, half, 99%, most: {np.round(usual, 2).tolist()}")
            told = zip(LIMITS[rule], shares, strict=True)
            print("    drops " + ", ".join(f"{share:.2%} at {limit:g}" for limit, share in told))
            drops[kind][rule] = float(np.mean([f for c in checks for f in c.failed]))
        for name, text in noise().items():
            over = [
                rule for rule, (check,) in judged([text], shape, rules).items() if check.failed[0]
            ]
            caught.append(bool(over))
            print(f"    {name}: {', '.join(over) or 'passes'}")
    finish({"drops": drops, "caught": sum(caught) / len(caught)})


if __name__ == "__main__":
    main()
