"""What the document engine costs and what it survives, over real text.

    python benchmarks/engine.py [--growth] [--faults] [--ray] [--quick] [--documents N]
                                [--picture FILE] [--verb filter|extract]

Film reviews (../shared) in parts of 500: `data filter` over them as documents, `data extract` of
pages that hold them, and a global step (the lines of all shards, counted), always in processes of
their own.

    growth   CPU seconds and peak memory at 1, 2, 4 and 8 times the input; `linear` is what a
             further document costs at the end over what it costs at the beginning, `memory` the
             peak at 8 times the input over that at once; a picture of both with --picture
    workers  CPU seconds and the share of the parent, which is what cannot be spread, for 1, 2 and
             3 workers of `data filter`; the contents are the same
    faults   `kill -9` of the run at random points until there were 50, and of single workers, for
             both verbs, and for the filter a document that aborts its process: documents lost,
             doubled, and the content beside that of a run that nobody disturbed
    ray      two Ray nodes on this machine, and two of which one is killed when a fifth of the
             parts is done, for both verbs and the global step: contents beside the local ones
             (needs gristmill[ray])

Without a flag all of them run (with --quick all but `ray`). The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
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
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from beside import finish, missing
from corpora import reviews
from engine_work import (
    POISONED,
    Extracting,
    Filtering,
    command,
    counted,
    environment,
    lines_command,
    made,
)

from gristmill.core.errors import EXIT_RETRY

SECTIONS = ("growth", "workers", "faults", "ray")
TIMES = (1, 2, 4, 8)
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
Verb = Filtering | Extracting


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in SECTIONS:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--verb", choices=("filter", "extract"), help="`faults` of this one alone")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--documents", type=int, help="at once the input of `growth`")
    parser.add_argument("--picture", type=Path, help="an SVG file for what `growth` found")
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
            if given.picture:
                given.picture.write_text(picture(found["growth"]), encoding="utf-8")
        if "workers" in chosen:
            found["workers"] = workers(folder, texts, 22_000 if given.quick else 40_000, rounds)
        if "faults" in chosen:
            size, kills = (2_000, 3) if given.quick else (10_000, 50)
            if given.verb != "extract":
                found["faults"] = faults(Filtering(), folder, texts, size, kills)
            if given.verb != "filter":
                found["faults_extract"] = faults(Extracting(), folder, texts, size, kills)
        if "ray" in chosen:
            found["ray"] = on_ray(folder, texts, 4_000 if given.quick else 20_000)
    finish(found)


def growth(folder: Path, texts: Sequence[str], size: int, rounds: int) -> dict[str, Any]:
    """Two workers where they are worth their start. An eighth as many pages as documents: one
    costs twenty times as much."""
    documents = [Filtering().given(folder, texts, times * size) for times in TIMES]
    pages = [Extracting().given(folder, texts, times * size // 8) for times in TIMES]

    def verb(work: Verb, given: Path, to: Path) -> tuple[float, int]:
        one = made(work, given, to, "--workers", 2)
        shutil.rmtree(to)
        return one.own + one.children, one.peak_bytes

    def lines(given: Path, to: Path) -> tuple[float, int]:
        told = counted(given, to, "--workers", 2)
        shutil.rmtree(to)
        return told["own"] + told["children"], told["peak_memory_bytes"]

    return {
        "filter": _grown(
            "filter", documents, size, rounds, lambda given, to: verb(Filtering(), given, to)
        ),
        "extract": _grown(
            "extract", pages, size // 8, rounds, lambda given, to: verb(Extracting(), given, to)
        ),
        "lines": _grown("lines of all shards", documents, size, rounds, lines),
    }


def _grown(
    title: str,
    inputs: Sequence[Path],
    size: int,
    rounds: int,
    measure: Callable[[Path, Path], tuple[float, int]],
) -> dict[str, Any]:
    rows = []
    print(f"{title:>20} {'CPU s':>8} {'us each':>8} {'peak MB':>8}")
    for times, given in zip(TIMES, inputs, strict=True):
        found = [measure(given, given.parents[1] / "grown") for _ in range(rounds)]
        cpu = statistics.median(seconds for seconds, _ in found)
        peak = round(max(peak for _, peak in found) / 2**20)
        rows.append({"documents": times * size, "cpu_seconds": round(cpu, 2), "peak_mb": peak})
        each = 1e6 * cpu / (times * size)
        print(f"{times * size:>20,} {cpu:>8.2f} {each:>8.1f} {peak:>8}", flush=True)
    # What the processes cost before their first document is the same for all sizes, so growth is
    # told by what a further document costs: in the last doubling, over that before it.
    first, _, third, last = (row["cpu_seconds"] for row in rows)
    late, early = (last - third) / (4 * size), (third - first) / (3 * size)
    return {
        "rows": rows,
        # With small inputs the noise of the start hides what a document costs.
        "linear": round(late / early, 3) if early > 0 else None,
        "memory": round(rows[-1]["peak_mb"] / rows[0]["peak_mb"], 3),
        "us_each": round(1e6 * late, 1),
    }


def picture(grown: dict[str, Any]) -> str:
    """Time and memory by the size of the input, as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = (
        ("CPU seconds over those at once the input", "cpu_seconds", True),
        ("peak memory, MB", "peak_mb", False),
    )
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "engine"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        for place, (label, key, relative) in enumerate(panels, 1):
            axes = figure.add_subplot(1, 2, place)
            for name, told in grown.items():
                values = [row[key] for row in told["rows"]]
                first = values[0] if relative else 1
                axes.plot(TIMES, [value / first for value in values], "o-", label=name)
            if relative:
                axes.plot(TIMES, TIMES, ":", color="#888888", label="linear")
            axes.set(xlabel="times the input", ylabel=label, xticks=TIMES, ylim=(0, None))
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def workers(folder: Path, texts: Sequence[str], size: int, rounds: int) -> dict[str, Any]:
    """One, two and three workers: the same bytes, and what the parent alone has to do."""
    work = Filtering()
    given = work.given(folder, texts, size)
    rows, contents = [], set()
    for count in (1, 2, 3):
        runs = [
            made(work, given, folder / f"by-{count}-{k}", "--workers", count) for k in range(rounds)
        ]
        contents |= {run.content for run in runs}
        own = statistics.median(run.own for run in runs)
        children = statistics.median(run.children for run in runs)
        rows.append(
            {"workers": count, "parent_seconds": round(own, 2), "seconds": round(own + children, 2)}
        )
        print(f"{count} workers: {own:.2f} CPU s in the parent, {children:.2f} in workers")
    return {"rows": rows, "documents": size, "same_content": len(contents) == 1}


def faults(work: Verb, folder: Path, texts: Sequence[str], size: int, kills: int) -> dict[str, Any]:
    """Kills of the run, then of single workers; the filter with a document that aborts whoever
    reads it."""
    more: tuple[object, ...] = ("--workers", 2)
    if isinstance(work, Filtering):
        own = folder / "poison.py"
        own.write_text(POISONED, encoding="utf-8")
        more += ("--custom", f"{own}:abort_on_poison", "--memory_mb", 1024)
    given = work.given(folder, texts, size, poison=size // 3)
    start = time.monotonic()
    calm = made(work, given, folder / f"calm-{work.name}", *more)
    seconds = time.monotonic() - start
    r = random.Random(1)
    found = {"kills": 0, "worker_kills": 0, "lost": 0, "doubled": 0, "runs": 0}
    same = True
    for what in ("kills", "worker_kills"):
        while found[what] < kills:
            workspace = folder / f"{work.name}-{what}-{found['runs']}"
            done = False
            while not done:
                room = kills - found[what]
                killed, done = _disturbed(
                    work.verb(given, workspace, *more), r, seconds, what == "kills", room
                )
                found[what] += killed
            found["runs"] += 1
            (artifact,) = (workspace / "artifacts").glob(work.glob)
            lost, doubled = work.compared(given, artifact)
            found["lost"] += lost
            found["doubled"] += doubled
            content = json.loads((artifact / "manifest.json").read_text("utf-8"))["content"]
            same = same and content == calm.content
            print(
                f"{work.name}: {found['runs']} runs, {found[what]} {what}, same content: {same}",
                flush=True,
            )
            shutil.rmtree(workspace)
    rejects = calm.artifact / "rejects" / "quarantine.jsonl"
    lines = rejects.read_text("utf-8").splitlines() if rejects.exists() else []
    reasons = [json.loads(line)["reason"] for line in lines]
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


def on_ray(folder: Path, texts: Sequence[str], size: int) -> dict[str, Any]:
    """Two nodes of one processor each; then the same with one of them killed."""
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pandas")):
        print("without Ray: pip install 'gristmill[ray]'", file=sys.stderr)
        return {"installed": False}
    os.environ.update(environment())
    documents = Filtering().given(folder, texts, size)
    pages = Extracting().given(folder, texts, size // 4)
    found: dict[str, Any] = {"installed": True, "documents": size, "pages": size // 4}
    for work, given in ((Filtering(), documents), (Extracting(), pages)):
        local = made(work, given, folder / f"local-{work.name}", "--workers", 1).content

        def verb(to: Path, address: str, work: Verb = work, given: Path = given) -> list[str]:
            return command(*work.verb(given, to, "--engine", "ray", "--address", address))

        def done(to: Path, work: Verb = work) -> int:
            return sum(len(path.read_bytes().splitlines()) for path in to.glob(work.journal))

        parts = len(list((given / "documents").glob("*.parquet"))) or size // 4 // 500
        found[work.name] = {"parts": parts, **_two_nodes(folder, work.name, verb, done, parts)}
        _compare(found[work.name], local, -2)
    local = counted(documents, folder / "local-lines", "--workers", 1)["content"]

    def count(to: Path, address: str) -> list[str]:
        return lines_command(documents, to, "--address", address)

    def gathered(to: Path) -> int:
        return len(list((to / "counts").glob("*.parquet")))

    found["lines"] = {"partitions": 16, **_two_nodes(folder, "lines", count, gathered, 16)}
    _compare(found["lines"], local, -1)
    found["same_content"] = all(found[name]["same_content"] for name in WORKS)
    found["same_content_after_kill"] = all(found[name]["same_content_after_kill"] for name in WORKS)
    return found


WORKS = ("filter", "extract", "lines")


def _two_nodes(
    folder: Path,
    name: str,
    words: Callable[[Path, str], list[str]],
    done: Callable[[Path], int],
    parts: int,
) -> dict[str, Any]:
    """What the command prints on two nodes, and on two of which one is killed in the middle."""
    from ray.cluster_utils import Cluster

    found: dict[str, Any] = {}
    cluster = Cluster(initialize_head=True, head_node_args=dict(NODE))
    try:
        node = cluster.add_node(**{k: v for k, v in NODE.items() if k != "include_dashboard"})
        for what in ("calm", "killed"):
            to = folder / f"{name}-{what}"
            start = time.monotonic()
            process = subprocess.Popen(
                words(to, cluster.address), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env=environment(),
            )  # fmt: skip
            if what == "killed":
                while process.poll() is None and done(to) < max(1, parts / 5):
                    time.sleep(0.05)
                found["killed_after"] = done(to)
                cluster.remove_node(node, allow_graceful=False)
            out, errors = process.communicate()
            if process.returncode:
                raise SystemExit(errors[-3000:])
            found[what] = out
            found[f"{what}_seconds"] = round(time.monotonic() - start, 1)
    finally:
        cluster.shutdown()
    print(f"{name}: killed a node after {found['killed_after']} of {parts}", flush=True)
    return found


def _compare(found: dict[str, Any], local: str, line: int) -> None:
    """Puts whether the contents are the local one in the place of what the runs printed."""
    for what, name in (("calm", "same_content"), ("killed", "same_content_after_kill")):
        told = json.loads(found.pop(what).strip().splitlines()[line])
        found[name] = told["content"] == local


if __name__ == "__main__":
    main()
