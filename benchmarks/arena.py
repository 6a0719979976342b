"""Ratings of 200,000 invented battles among 40 models: seconds, and how far from the truth.

    python benchmarks/arena.py [--battles N] [--quick]

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from gristmill.evaluate.arena import Battle, online_elo
from gristmill.evaluate.ratings import ELO_SCALE, rate
from gristmill.evaluate.tally import tally

MODELS = 40


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--battles", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the battles")
    chosen = parser.parse_args()
    print(json.dumps(compare(chosen.battles // 10 if chosen.quick else chosen.battles)))
    return 0


def compare(count: int) -> dict[str, Any]:
    """Counts, fits with each kind of interval, and online Elo over 20 orders."""
    rng = np.random.default_rng(0)
    truth_M = rng.normal(0, 1, MODELS)
    truth_M -= truth_M.mean()
    first_N = rng.integers(0, MODELS, count)
    second_N = (first_N + rng.integers(1, MODELS, count)) % MODELS
    won_N = rng.random(count) < 1 / (1 + np.exp(truth_M[second_N] - truth_M[first_N]))
    battles = [
        Battle(str(number), f"m{a:02}", f"m{b:02}", "a" if won else "b")
        for number, (a, b, won) in enumerate(zip(first_N, second_N, won_N, strict=True))
    ]
    start = time.perf_counter()
    counted = tally(battles)
    seconds = {"tally": time.perf_counter() - start}
    ways: dict[str, dict[str, Any]] = {
        "sandwich": {},
        "bootstrap, 200 draws": {"intervals": "bootstrap"},
    }
    print(f"{count:,} battles, {len(counted.counts_C):,} different cells, {MODELS} models")
    print(f"{'':24}{'seconds':>9}{'error, Elo':>12}{'half width':>12}{'covered':>9}")
    print(f"{'counting':24}{seconds['tally']:9.3f}")
    error = covered = 0.0
    for name, how in ways.items():
        start = time.perf_counter()
        rated = rate(counted, **how)
        seconds[name] = time.perf_counter() - start
        gaps, halves, inside = [], [], []
        for one in rated.ratings:
            real = 1000 + ELO_SCALE * truth_M[int(one.model[1:])]
            low, high = one.rating.low, one.rating.high
            assert low is not None and high is not None
            gaps.append(abs(one.rating.value - real))
            halves.append((high - low) / 2)
            inside.append(low <= real <= high)
        error, covered = max(error, float(np.mean(gaps))), float(np.mean(inside))
        print(
            f"{name:24}{seconds[name]:9.3f}{np.mean(gaps):12.2f}{np.mean(halves):12.2f}"
            f"{covered:9.0%}"
        )
    start = time.perf_counter()
    online_elo(battles, orders=20)
    seconds["online Elo"] = time.perf_counter() - start
    print(f"{'online Elo, 20 orders':24}{seconds['online Elo']:9.3f}")
    rounded = {name: round(value, 4) for name, value in seconds.items()}
    return {"battles": count, "seconds": rounded, "mean_error_elo": round(error, 3)}


if __name__ == "__main__":
    sys.exit(main())
