"""Time and memory of `data import` at 1, 2, 4 and 8 times the input: linear and flat, or not.

    python benchmarks/import_growth.py [--megabytes N] [--rounds N] [--quick]

JSON Lines (Zstandard), Parquet and a MediaWiki dump (bzip2) with invented texts, each imported by a
process of its own with one worker. The last line is JSON: for each format CPU seconds and peak
memory (of all its processes) at each size, `exponent` (the slope of log CPU seconds, less those of
the smallest import there is, over log size; 1 is linear) and `memory_ratio` (the largest input's
peak over the smallest's).
"""

from __future__ import annotations

import argparse
import bz2
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from beside import finish

SIZES = (1, 2, 4, 8)
ROW = 2500
CHILD = """
import json, os, resource, sys
from pathlib import Path
os.environ["GRISTMILL_PROGRESS"] = "off"
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.stage import Execution
from gristmill.stages.workspace import Workspace
if __name__ == "__main__":
    made = data_import.run(
        ImportConfig(path=Path(sys.argv[1])), {}, Workspace.at(Path(sys.argv[2])),
        execution=Execution(1),
    )
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({
        "cpu": sum(one.ru_utime + one.ru_stime for one in used),
        "mb": made.manifest.peak_memory_bytes / (1 << 20),
        "documents": made.manifest.counts["documents"],
    }))
"""


def main() -> int:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=16, help="of JSON Lines, at size 1")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="3 MB, one round")
    chosen = parser.parse_args()
    megabytes, rounds = (3.0, 1) if chosen.quick else (chosen.megabytes, chosen.rounds)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "one.py"
        program.write_text(CHILD, encoding="utf-8")
        for name, (ending, write, share) in FORMATS.items():
            print(f"{name:10}{'MB of text':>12}{'documents':>11}{'CPU s':>8}{'peak MB':>9}")
            least = _measured(program, Path(folder), ending, write, 10, 1)["cpu"]
            points = []
            for size in SIZES:
                rows = max(1, round(size * share * megabytes * 1e6 / ROW))
                point = _measured(program, Path(folder), ending, write, rows, rounds)
                points.append({"size": size, **point})
                print(f"{size:9}x{rows * ROW / 1e6:12.1f}{point['documents']:11,}"
                      f"{point['cpu']:8.2f}{point['mb']:9.0f}")  # fmt: skip
            found[name] = {
                "points": points,
                "exponent": round(_slope([(p["size"], p["cpu"] - least) for p in points]), 3),
                "memory_ratio": round(points[-1]["mb"] / points[0]["mb"], 3),
            }
    finish(found)
    return 0


def _measured(
    program: Path, folder: Path, ending: str, write: Callable[[Path, int], None], rows: int,
    rounds: int,
) -> dict[str, float]:  # fmt: skip
    path = folder / f"input{ending}"
    write(path, rows)
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as workspace:
            command = [sys.executable, str(program), str(path), workspace]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    assert all(run["documents"] == rows for run in runs)
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}


def _slope(points: list[tuple[float, float]]) -> float:
    logs = [(math.log(x), math.log(max(y, 1e-3))) for x, y in points]
    mean_x = statistics.mean(x for x, _ in logs)
    mean_y = statistics.mean(y for _, y in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum(
        (x - mean_x) ** 2 for x, _ in logs
    )


def _texts(rows: int) -> Iterator[str]:
    draw = random.Random(5)
    letters = "aeioulnrst"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(3000)]
    for number in range(rows):
        text = f"{number} " + " ".join(draw.choices(words, k=ROW // 5))
        yield text[:ROW]


def _jsonl(path: Path, rows: int) -> None:
    import zstandard

    with open(path, "wb") as file, zstandard.ZstdCompressor().stream_writer(file) as packed:
        for number, text in enumerate(_texts(rows)):
            row = {"url": f"http://a.example/{number}", "text": text}
            packed.write(json.dumps(row).encode() + b"\n")


def _parquet(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pa.schema([("text", pa.string())]), compression="zstd") as file:
        texts = _texts(rows)
        while batch := [text for _, text in zip(range(5000), texts, strict=False)]:
            file.write_table(pa.table({"text": batch}))


def _dump(path: Path, rows: int) -> None:
    with bz2.open(path, "wb", compresslevel=1) as file:
        file.write(b"<mediawiki>\n")
        for number, text in enumerate(_texts(rows)):
            lines = [text[i : i + 400] for i in range(0, len(text), 400)]
            body = "\n\n".join(_section(i, line) for i, line in enumerate(lines))
            file.write(
                f"<page><title>Page {number}</title><ns>0</ns><revision><text>{body}</text>"
                "</revision></page>\n".encode()
            )
        file.write(b"</mediawiki>\n")


def _section(number: int, line: str) -> str:
    links = f"[[Other {number}|another]] {{{{cite|a={number}}}}}"
    return f"== Part {number} ==\n'''{line[:20]}''' {line[20:200]} {links} {line[200:]}"


FORMATS: dict[str, tuple[str, Callable[[Path, int], None], float]] = {
    "jsonl": (".jsonl.zst", _jsonl, 1.0),
    "parquet": (".parquet", _parquet, 1.0),
    # A tenth: wikitext is parsed.
    "wikipedia": (".xml.bz2", _dump, 0.1),
}
"""Ending, writer of so many documents, share of the size."""


if __name__ == "__main__":
    raise SystemExit(main())
