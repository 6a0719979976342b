"""What the document engine costs and what it survives, on `data filter` over real text.

    python benchmarks/engine.py [--growth] [--faults] [--ray] [--quick] [--documents N]

Film reviews (../shared) are imported in parts of 500 documents and filtered, always in a process
of its own, as a user would.

    growth   CPU seconds and peak memory at 1, 2, 4 and 8 times the input; `linear` is what a
             further document costs at the end over what it costs at the beginning, `memory` the
             peak at 8 times the input over that at once
    workers  CPU seconds and the share of the parent, which is what cannot be spread, for 1, 2 and
             3 workers; the contents are the same
    faults   `kill -9` of the run at random points until there were 50, and of single workers, and
             a document that aborts its process: documents lost, doubled, and the content beside
             that of a run that nobody disturbed
    ray      two Ray nodes on this machine, and two of which one is killed when a fifth of the
             parts is done: contents beside the local one (needs gristmill[ray])

Without a flag all of them run (with --quick all but `ray`). The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from beside import finish, missing
from corpora import reviews

from gristmill.core.errors import EXIT_RETRY

PART = 500
POISON = "This page aborts whoever reads it."
POISONED = f"""
import os

def abort_on_poison(document, statistics):
    if {POISON!r} in document["text"]:
        os.abort()
"""
SECTIONS = ("growth", "workers", "faults", "ray")


# A whole run in a process of its own, which then tells its processor time and its workers'.
TIMED = """
import json, os, sys
from gristmill.cli.main import main
code = main(sys.argv[1:])
t = os.times()
print(json.dumps({"own": t.user + t.system, "children": t.children_user + t.children_system}))
sys.exit(code)
"""


@dataclass(frozen=True)
class Filtered:
    """What a run of `data filter` came to; CPU seconds of the parent and of its workers."""

    artifact: Path
    content: str
    own: float
    children: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in SECTIONS:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--documents", type=int, help="at once the input of `growth`")
    given = parser.parse_args(arguments)
    chosen = [name for name in SECTIONS if getattr(given, name)]
    chosen = chosen or list(SECTIONS[:3] if given.quick else SECTIONS)
    texts = list(islice(reviews(), 25_000))
    if not texts:
        missing("the film reviews are not here", "lay ../shared beside the checkout")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rounds = 1 if given.quick else 3
        size = given.documents or (2_400 if given.quick else 20_000)
        if "growth" in chosen:
            found["growth"] = growth(folder, texts, size, rounds)
        if "workers" in chosen:
            found["workers"] = workers(folder, texts, 22_000 if given.quick else 40_000, rounds)
        if "faults" in chosen:
            found["faults"] = faults(folder, texts, *((2_000, 3) if given.quick else (10_000, 50)))
        if "ray" in chosen:
            found["ray"] = on_ray(folder, texts, 4_000 if given.quick else 20_000)
    finish(found)


def documents(folder: Path, texts: Sequence[str], count: int, poison: int | None = None) -> Path:
    """A documents artifact of so many reviews, again from the first where they end."""
    made = folder / f"documents-{count}-{poison}"
    rows = made / "rows.jsonl"
    made.mkdir()
    with open(rows, "w", encoding="utf-8") as file:
        for number in range(count):
            text = texts[number % len(texts)]
            text = f"{text} {POISON}" if number == poison else text
            url = f"https://reviews.example/{number}"
            file.write(json.dumps({"text": text, "url": url}) + "\n")
    told, _ = gristmill(
        "data", "import", "--path", rows, "--part_documents", PART, "--workspace", made
    )
    return Path(told["path"])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", TIMED, *map(str, arguments), "--json"]


def environment() -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **one, "GRISTMILL_PROGRESS": "off", "RAY_USAGE_STATS_ENABLED": "0"}


def gristmill(*arguments: object) -> tuple[dict[str, Any], dict[str, float]]:
    """What a verb printed as JSON, and its CPU seconds."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(), check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    told, times = done.stdout.strip().splitlines()[-2:]
    return json.loads(told), json.loads(times)


def filtering(given: Path, workspace: Path, *more: object) -> list[object]:
    # Languages need a model from a registry and say nothing of the engine.
    base = ["data", "filter", "--documents", given, "--workspace", workspace]
    return [*base, "--language.enabled", "false", *more]


def filtered(given: Path, workspace: Path, *more: object) -> Filtered:
    told, times = gristmill(*filtering(given, workspace, *more))
    artifact = Path(told["path"])
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    return Filtered(
        artifact, manifest["content"], times["own"], times["children"],
        manifest["peak_memory_bytes"],
    )  # fmt: skip


def growth(folder: Path, texts: Sequence[str], size: int, rounds: int) -> dict[str, Any]:
    """The stage at 1, 2, 4, 8 times the input; two workers where it is worth their start."""
    rows = []
    print(f"{'documents':>10} {'CPU s':>8} {'us each':>8} {'peak MB':>8}")
    for times in (1, 2, 4, 8):
        given = documents(folder, texts, times * size)
        runs = [
            filtered(given, folder / f"grown-{times}-{k}", "--workers", 2) for k in range(rounds)
        ]
        cpu = statistics.median(run.own + run.children for run in runs)
        peak = round(max(run.peak_bytes for run in runs) / 2**20)
        rows.append({"documents": times * size, "cpu_seconds": round(cpu, 2), "peak_mb": peak})
        each = 1e6 * cpu / (times * size)
        print(f"{times * size:>10,} {cpu:>8.2f} {each:>8.1f} {peak:>8}", flush=True)
        shutil.rmtree(given.parents[1])
    # What the processes cost before their first document is the same for all sizes, so growth is
    # told by what a further document costs: in the last doubling, over that before it.
    first, _, third, last = (row["cpu_seconds"] for row in rows)
    late, early = (last - third) / (4 * size), (third - first) / (3 * size)
    return {
        "rows": rows,
        "linear": round(late / early, 3),
        "memory": round(rows[-1]["peak_mb"] / rows[0]["peak_mb"], 3),
        "us_each": round(1e6 * late, 1),
    }


def workers(folder: Path, texts: Sequence[str], size: int, rounds: int) -> dict[str, Any]:
    """One, two and three workers: the same bytes, and what the parent alone has to do."""
    given = documents(folder, texts, size)
    rows, contents = [], set()
    for count in (1, 2, 3):
        runs = [
            filtered(given, folder / f"by-{count}-{k}", "--workers", count) for k in range(rounds)
        ]
        contents |= {run.content for run in runs}
        own = statistics.median(run.own for run in runs)
        children = statistics.median(run.children for run in runs)
        rows.append(
            {"workers": count, "parent_seconds": round(own, 2), "seconds": round(own + children, 2)}
        )
        print(f"{count} workers: {own:.2f} CPU s in the parent, {children:.2f} in workers")
    return {"rows": rows, "documents": size, "same_content": len(contents) == 1}


def faults(folder: Path, texts: Sequence[str], size: int, kills: int) -> dict[str, Any]:
    """Kills of the run, then of single workers, with a document that aborts whoever reads it."""
    own = folder / "poison.py"
    own.write_text(POISONED, encoding="utf-8")
    custom = ("--workers", 2, "--custom", f"{own}:abort_on_poison", "--memory_mb", 1024)
    given = documents(folder, texts, size, poison=size // 3)
    start = time.monotonic()
    calm = filtered(given, folder / "calm", *custom)
    seconds = time.monotonic() - start
    r = random.Random(1)
    found = {"kills": 0, "worker_kills": 0, "lost": 0, "doubled": 0, "runs": 0}
    same = True
    for what in ("kills", "worker_kills"):
        while found[what] < kills:
            workspace = folder / f"{what}-{found['runs']}"
            done = False
            while not done:
                room = kills - found[what]
                killed, done = _disturbed(
                    filtering(given, workspace, *custom), r, seconds, what == "kills", room
                )
                found[what] += killed
            found["runs"] += 1
            (artifact,) = (workspace / "artifacts").glob("data.filter-*")
            lost, doubled = compared(given, artifact)
            found["lost"] += lost
            found["doubled"] += doubled
            content = json.loads((artifact / "manifest.json").read_text("utf-8"))["content"]
            same = same and content == calm.content
            print(f"{found['runs']} runs, {found[what]} {what}, same content: {same}", flush=True)
            shutil.rmtree(workspace)
    rejects = (calm.artifact / "rejects" / "quarantine.jsonl").read_text("utf-8").splitlines()
    reasons = [json.loads(line)["reason"] for line in rejects]
    return {**found, "documents": size, "same_content": same, "quarantined": reasons}


def _disturbed(
    verb: list[object], r: random.Random, seconds: float, whole: bool, room: int
) -> tuple[int, bool]:
    """Starts the run and kills it, or one worker after the other; how many, and if it ended."""
    process = subprocess.Popen(
        command(*verb), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment(),
    )  # fmt: skip
    kills = 0
    if whole and room:
        try:
            process.wait(r.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            kills = 1
    while not whole and kills < min(room, 5):
        try:
            process.wait(r.uniform(0, seconds / 4))
            break
        except subprocess.TimeoutExpired:
            kills += _kill_a_worker(process.pid, r)
    _, errors = process.communicate()
    # 75: workers were killed at their start again and again; the same command goes on.
    if process.returncode not in (0, EXIT_RETRY, -signal.SIGKILL):
        raise SystemExit(errors[-3000:])
    return kills, process.returncode == 0


def _kill_a_worker(parent: int, r: random.Random) -> int:
    found = []
    for child in psutil.Process(parent).children():
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    if not found:
        return 0
    r.choice(found).kill()
    return 1


def compared(given: Path, artifact: Path) -> tuple[int, int]:
    """Documents of the base that the layer lacks, and rows that it has too many."""
    lost = doubled = 0
    for path in sorted((given / "documents").glob("*.parquet")):
        ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
        found = pq.read_table(artifact / "layer" / path.name, columns=["id"])["id"].to_pylist()
        lost += len(set(ids) - set(found))
        doubled += len(found) - len(set(found)) + len(set(found) - set(ids))
    return lost, doubled


def on_ray(folder: Path, texts: Sequence[str], size: int) -> dict[str, Any]:
    """Two nodes of one processor each; then the same with one of them killed."""
    if importlib.util.find_spec("ray") is None:
        print("without Ray: pip install 'gristmill[ray]'", file=sys.stderr)
        return {"installed": False}
    os.environ.update(environment())
    from ray.cluster_utils import Cluster

    given = documents(folder, texts, size)
    parts = len(list((given / "documents").glob("*.parquet")))
    local = filtered(given, folder / "local", "--workers", 1)
    small = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        where = ("--engine", "ray", "--address", cluster.address)
        calm = filtered(given, folder / "two-nodes", *where)
        workspace = folder / "node-killed"
        process = subprocess.Popen(
            command(*filtering(given, workspace, *where)), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        done = 0
        while process.poll() is None and done < parts / 5:
            time.sleep(0.05)
            done = sum(
                len(path.read_bytes().splitlines())
                for path in workspace.glob("unfinished/*/filter/parts.jsonl")
            )
        cluster.remove_node(node, allow_graceful=False)
        out, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors[-3000:])
        survived = json.loads(out.strip().splitlines()[-2])["content"]
    finally:
        cluster.shutdown()
    print(f"killed a node after {done} of {parts} parts", flush=True)
    return {
        "installed": True,
        "documents": size,
        "parts": parts,
        "killed_after_parts": done,
        "same_content": calm.content == local.content,
        "same_content_after_kill": survived == local.content,
    }


if __name__ == "__main__":
    main()
