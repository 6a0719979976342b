"""What each choice of the trainer is worth, taken back one by one: speed, memory, loss.

    .venv/bin/python benchmarks/train_choices.py [--quick]

The shape of train_throughput.py on one thread; all choices on, then each off by itself, each in a
process of its own, in turns. Seconds are CPU seconds of a step (median), memory is the most that
the process held, the loss is that of the last step, on the same rows in the same order: a choice
that costs accuracy shows there. The last lines say where a step's time goes by torch's profiler.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from typing import Any

from beside import finish

from gristmill.train.choices import CHOICES, Measured, Name, Trial, measure


def trial(steps: int) -> Trial:
    """The shape and the choices of train_throughput.py."""
    from train_throughput_ours import CONFIG

    return Trial(CONFIG, rows=8, steps=steps, threads=1, compile=True, precision="bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn of 8 steps, not 3 of 30")
    arguments = parser.parse_args()
    steps, turns = (8, 1) if arguments.quick else (30, 3)
    found: dict[Name, list[Measured]] = defaultdict(list)
    for _ in range(turns):
        for one in measure(trial(steps)):
            found[one.off].append(one)
    table: dict[str, Any] = {}
    print(f"{'':<62} CPU s a step  MB held   loss")
    for name, rows in found.items():
        seconds = statistics.median(row.cpu for row in rows)
        memory = statistics.median(row.memory for row in rows)
        table[name] = {"seconds": seconds, "memory": memory, "loss": rows[0].loss}
        print(f"{CHOICES[name]:<62} {seconds:12.3f} {memory / 1e6:8.0f} {rows[0].loss:6.3f}")
    finish({"choices": table, "parts": found["all"][0].parts})


if __name__ == "__main__":
    main()
