"""Win rates from AlpacaEval 2's public annotations, beside its leaderboard.

    python benchmarks/judge.py [--data FOLDER] [--quick]

FOLDER holds `leaderboard.csv`, `length_controlled_weights.csv` and `annotations_MODEL.json.gz`;
where it is not given, ../shared/data/judge/alpaca_eval_2 beside the repository. Every prompt's
difficulty, which the published weights go with, is in none of these files. Its distribution is: the
other models' published weights and rates determine it, and a rate at equal lengths needs no more.
The seven models that are measured take no part in that.

Exits 3 with a sentence where the data is absent. `--quick` leaves out the intervals.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.evaluate.length_controlled import (
    RawRate,
    Weights,
    difficulty_of_others,
    length_controlled,
    raw_rate,
)

Floats = NDArray[np.float64]
PREFIX, SUFFIX = "annotations_", ".json.gz"
_GRID = np.linspace(-6, 6, 121)


def main() -> int:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "judge" / "alpaca_eval_2"
    parser.add_argument("--data", type=Path, default=beside)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if not (chosen.data / "leaderboard.csv").is_file():
        print(
            f"benchmarks/judge.py: no AlpacaEval annotations in {chosen.data}; give --data FOLDER",
            file=sys.stderr,
        )
        return 3
    print(json.dumps(compare(chosen.data, quick=chosen.quick)))
    return 0


def compare(folder: Path, *, quick: bool) -> dict[str, Any]:
    """The table, and the largest differences: of raw rates and errors in percent, of
    length-controlled rates in points."""
    start = time.process_time()
    board = _rows(folder / "leaderboard.csv")
    published = _rows(folder / "length_controlled_weights.csv")
    names = sorted(
        name
        for file in folder.glob(f"{PREFIX}*{SUFFIX}")
        if (name := file.name[len(PREFIX) : -len(SUFFIX)]) in board
    )
    raw, preferences_MP, deltas_MP = _annotations(folder, names)
    controlled = {name: float(board[name]["length_controlled_winrate"]) for name in names}
    by_weights = _by_published_weights(board, published, names)
    print(f"{'':27}{'raw':>7}{'error':>7}{'board':>7} |{'LC board':>9}{'weights':>9}{'own':>7}")
    errors: dict[str, list[float]] = {"raw": [], "weights": [], "own": []}
    for place, name in enumerate(names):
        row, mine = board[name], raw[name]
        own = length_controlled(
            preferences_MP[place],
            deltas_MP[place],
            difficulty_of_others(preferences_MP, place),
            resamples=0 if quick else 400,
        )
        errors["raw"] += [
            abs(100 * mine.rate - float(row["win_rate"])),
            abs(100 * mine.standard_error - float(row["standard_error"])),
        ]
        errors["weights"].append(abs(100 * by_weights[name] - controlled[name]))
        errors["own"].append(abs(100 * own.rate.value - controlled[name]))
        interval = ""
        if own.rate.low is not None and own.rate.high is not None:
            interval = f"  [{100 * own.rate.low:.1f}, {100 * own.rate.high:.1f}]"
        print(
            f"{name:27}{100 * mine.rate:7.2f}{100 * mine.standard_error:7.3f}"
            f"{float(row['win_rate']):7.2f} |{controlled[name]:9.2f}{100 * by_weights[name]:9.2f}"
            f"{100 * own.rate.value:7.2f}{interval}"
        )
    return {
        "max_error": max(errors["raw"]),
        "models": len(names),
        "lc_max_error": max(errors["weights"]),
        "lc_own_fit_max_error": max(errors["own"]),
        "cpu_seconds": round(time.process_time() - start, 2),
    }


def _annotations(folder: Path, names: list[str]) -> tuple[dict[str, RawRate], Floats, Floats]:
    """The raw rates; and preferences and length differences with prompts in one order, (M, P).

    A file may lack prompts: nan there. Preferences lie in [1, 2], and 0 is a draw.
    """
    place: dict[str, int] = {}
    found = []
    raw = {}
    for name in names:
        with gzip.open(folder / f"{PREFIX}{name}{SUFFIX}", "rt", encoding="utf-8") as file:
            rows = json.load(file)
        values = [_preference(row["preference"]) for row in rows]
        raw[name] = raw_rate(values)
        one = {}
        for row, value in zip(rows, values, strict=True):
            asked = place.setdefault(row["instruction"], len(place))
            one[asked] = (value, len(row["output_2"]) - len(row["output_1"]))
        found.append(one)
    preferences_MP = np.full((len(names), len(place)), np.nan)
    deltas_MP = np.zeros((len(names), len(place)))
    for model, one in enumerate(found):
        for asked, (value, delta) in one.items():
            preferences_MP[model, asked], deltas_MP[model, asked] = value, delta
    return raw, preferences_MP, deltas_MP


def _preference(value: float | None) -> float:
    if value is None:
        return float("nan")
    return 0.5 if value == 0 else value - 1


def _by_published_weights(
    board: dict[str, dict[str, str]], published: dict[str, dict[str, str]], names: list[str]
) -> dict[str, float]:
    """Mean predictions at equal lengths, over the difficulties that other models' rows imply."""
    from scipy.optimize import nnls

    others = [
        name
        for name in published
        if name not in names and board.get(name, {}).get("length_controlled_winrate")
    ]
    design = np.stack([_curve(_weights(published[name])) for name in others])
    rates = np.array([float(board[name]["length_controlled_winrate"]) / 100 for name in others])
    # Shares of the prompts at each difficulty: none negative, and 1 together.
    whole = 100 * np.ones((1, len(_GRID)))
    shares, _ = nnls(np.concatenate([design, whole]), np.append(rates, 100.0))
    return {name: float(_curve(_weights(published[name])) @ shares) for name in names}


def _weights(row: dict[str, str]) -> Weights:
    # Published differences are baseline less model: the first weight has the other sign here.
    values = list(row.values())
    return Weights(-float(values[1]), float(values[2]), float(values[3]))


def _curve(weights: Weights) -> Floats:
    """P(win) at equal lengths over the grid of difficulties."""
    p: Floats = 1 / (1 + np.exp(-weights.difficulty * _GRID - weights.quality))
    return p


def _rows(file: Path) -> dict[str, dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as handle:
        return {row[""]: row for row in csv.DictReader(handle)}


if __name__ == "__main__":
    sys.exit(main())
