"""The parametric law on the points of Chinchilla's figure 4, beside the published fits.

    python benchmarks/scaling_fit.py [chinchilla_points.csv] [--quick]

The file is the one that Besiroglu et al. (2024) read off the figure: columns Model Size, Training
FLOP, loss; 245 points, of which the 5 of highest loss are dropped. Where none is given,
../shared/data/scaling/chinchilla_points.csv beside the repository is taken. Prints a table, the
numbers that `gristmill plan` ships as its default law, and one JSON object as the last line. Exit 3
where the file is absent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from gristmill.scaling.isoflop import fit_isoflop
from gristmill.scaling.parametric import NAMES, fit_parametric
from gristmill.scaling.points import drop_highest, read_points

# The minimum of the objective as summed, to full precision; and the paper's table (2404.10102).
MINIMUM = {"E": 1.8172, "A": 477.8, "B": 2143.9, "alpha": 0.3473, "beta": 0.3672}
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
OBJECTIVE = 0.00101827


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "scaling"
    points_file = beside / "chinchilla_points.csv"
    parser.add_argument("points", nargs="?", default=points_file, type=Path)
    parser.add_argument("--quick", action="store_true", help="40 resamples in place of 1,000")
    given = parser.parse_args()
    if not given.points.is_file():
        print(f"{given.points} is not there: give the path of the points", file=sys.stderr)
        return 3
    points = drop_highest(read_points(given.points), 5)
    start = time.perf_counter()
    law = fit_parametric(points, resamples=40 if given.quick else 1000)
    seconds = time.perf_counter() - start
    figures = law.figures()
    print(f"{'':8}{'ours':>28}{'minimum':>10}{'Besiroglu':>11}{'Hoffmann':>10}")
    for name in NAMES:
        columns = [MINIMUM[name], BESIROGLU[name], HOFFMANN[name]]
        told = "".join(f"{value:>{w}}" for value, w in zip(columns, (10, 11, 10), strict=True))
        print(f"{name:8}{figures[name]!s:>28}{told}")
    print(f"objective {law.objective:.8f}, published {OBJECTIVE}")
    isoflop = fit_isoflop(points, resamples=40 if given.quick else 200)
    print(f"N ~ C^a: {figures['a']} parametric, {isoflop.a} isoFLOP; Hoffmann 0.46 and 0.49")
    print(f"{len(points)} points, {len(law.draws_S5)} resamples, {seconds:.1f} s")
    if not given.quick:
        tell_shipped(law.draws_S5, [p.parameters for p in points], [p.tokens for p in points])
    worst = max(abs(figures[name].value / MINIMUM[name] - 1) for name in NAMES)
    told_json = {
        **{name: figures[name].value for name in NAMES},
        "objective": law.objective,
        "max_relative_error": worst,
        "seconds": round(seconds, 2),
    }
    print(json.dumps(told_json))
    return 0


def tell_shipped(draws_S5: np.ndarray, parameters: list[float], tokens: list[float]) -> None:
    """Mean and covariance of log E, log A and log B at the middle of the points, alpha, beta."""
    log_N, log_D = float(np.mean(np.log(parameters))), float(np.mean(np.log(tokens)))
    E, A, B, alpha, beta = draws_S5.T
    columns = [np.log(E), np.log(A) - alpha * log_N, np.log(B) - beta * log_D, alpha, beta]
    print(f"middle {log_N!r} {log_D!r}")
    print(np.array2string(np.cov(columns), separator=", ", precision=9, floatmode="maxprec"))


if __name__ == "__main__":
    sys.exit(main())
