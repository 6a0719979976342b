"""The chain from WARC files to token shards beside datatrove's: speed, growth and faults.

    make bench-pipeline        or: python benchmarks/pipeline.py [--faults] [--quick]

Real pages: English documentation out of Debian's HTML packages, each once, in WARC files as Common
Crawl writes them, 1,100 pages (27 MB) a file. Ours: `data warc`, `extract`, `filter`, `dedup`,
`mix` and `tokenizer encode` with their own settings, one after the other in one process with one
worker (pipeline_ours.py); beside what the peer does that is also boilerplate, spam, exact copies,
repeated lines of a site, a held-out split without quotations, checksums and a restart after a kill.
The peer: datatrove's WarcReader, Trafilatura, LanguageFilter, Gopher, C4 and FineWeb filters,
MinHash in four stages with the same bands and rows, PIIFormatter, DocumentTokenizer with the same
tokenizer and a shuffle (peers/pipeline_peer.py). Both mask e-mail and IP addresses and nothing
else, read the same kind of WARC file in one process with one worker for the extraction, use the
same language model, and train no tokenizer in the time that counts.

    ratio    pages per CPU second, workers and extractors included, in turn, medians: ours over all
             eight files, the peer's over the first (a part of it with --quick), each warmed up on
             other pages first
    growth   1, 2, 4 and 8 files (1, 4 and 8 with --quick), a process each: CPU seconds and peak
             memory. `scaling` is the time of 8 over 8 times that of 1; `bytes_per_document` what
             memory grows by per page read, by least squares over the sizes, and
             `bytes_per_document_later` over those after the first; shards hold at most 500
             documents and 2 MB of stored pages, and the text of the largest stands beside
    faults   `kill -9` of the run at random points after its start until there were 50, in parts of
             an eighth of the file: pages of the WARC file that are lost or doubled (documents and
             rejects, then mixture and shards), and the content beside that of a run that nobody
             disturbed
    ray      two Ray nodes on this machine, and two of which one is killed in the middle: contents
             beside the local one (pipeline_ray.py; needs gristmill[ray])

Without a flag ratio and growth run. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from beside import ROOT, Peer, finish, in_turn, missing, ratio
from pipeline_ours import BANDS, ROWS, WORDS
from pipeline_pages import Archive, archives, pages, write_archive
from pipeline_ray import on_two_nodes

from gristmill.data.wheel import LANGUAGE_MODEL, LANGUAGE_MODEL_MEMBER, fetch, open_wheel_file

OURS = ROOT / "benchmarks" / "pipeline_ours.py"
PEER = ROOT / "benchmarks" / "peers" / "pipeline_peer.py"
SIZES, QUICK_SIZES = (1, 2, 4, 8), (1, 4, 8)
WARM = 40
# Parts of the file that runs are killed over.
KILLED_PARTS = 8


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratio", action="store_true", help="beside datatrove")
    parser.add_argument("--growth", action="store_true", help="time and memory at 1, 2, 4, 8 files")
    parser.add_argument("--faults", action="store_true", help="kill -9 at random points")
    parser.add_argument("--ray", action="store_true", help="on two Ray nodes, one of them killed")
    parser.add_argument("--quick", action="store_true", help="small files, one round, 3 kills")
    parser.add_argument("--kills", type=int, help="how many, instead of 50")
    given = parser.parse_args(arguments)
    every = not (given.ratio or given.growth or given.faults or given.ray)
    each, sample = (160, 110) if given.quick else (1_100, 1_100)
    peer = Peer("pipeline") if every or given.ratio else None
    real = pages()
    if len(real) < each * SIZES[-1] + WARM:
        missing(f"only {len(real)} pages are to be had", "they come from Debian's registry by apt")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = archives(folder / "warcs", real, SIZES[-1], each)
        warm = write_archive(folder / "warm" / "warm.warc.gz", real[-WARM:])
        tokenizer = Path(ours(folder / "tokenizer", "-", [made[0]])["paths"]["tokenizer.train"])
        size = made[0].html_bytes / made[0].pages
        print(f"{each:,} pages a file, {size:,.0f} bytes of HTML each")
        largest: dict[str, Any] | None = None
        if peer is not None:
            some = write_archive(folder / "some" / "some.warc.gz", real[:sample])
            rounds = 1 if given.quick else 3
            compared_, largest = compare(folder, peer, tokenizer, warm, made, some, rounds)
            found |= compared_
        if every or given.growth:
            sizes = QUICK_SIZES if given.quick else SIZES
            found |= growth(folder, tokenizer, warm, made, sizes, largest)
        if given.faults:
            kills = given.kills or (3 if given.quick else 50)
            found["faults"] = faults(folder, tokenizer, made[0], kills)
        if given.ray:
            some = made[: 2 if given.quick else SIZES[-1]]
            words = command(Path("WORKSPACE"), tokenizer, some)
            local = ours(folder / "local", tokenizer, some)
            found["ray"] = on_two_nodes(words, folder, local, environment())
    finish({**found, "pages": each, "html_bytes": round(size), "quick": given.quick})


def environment() -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **one, "GRISTMILL_PROGRESS": "off"}


def command(
    workspace: Path, tokenizer: Path | str, warcs: Sequence[Archive], *more: str
) -> list[str]:
    names = [str(archive.path) for archive in warcs]
    return [sys.executable, str(OURS), str(workspace), str(tokenizer), *names, *more]


def ours(
    workspace: Path,
    tokenizer: Path | str,
    warcs: Sequence[Archive],
    warm: Archive | None = None,
    part: int | None = None,
) -> dict[str, Any]:
    """What a run of ours in a process of its own told."""
    more = [] if warm is None else ["--warm", str(warm.path)]
    more += [] if part is None else ["--part", str(part)]
    done = subprocess.run(
        command(workspace, tokenizer, warcs, *more),
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def compare(
    folder: Path,
    peer: Peer,
    tokenizer: Path,
    warm: Archive,
    made: Sequence[Archive],
    some: Archive,
    rounds: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both in turn, ours over all files and the peer over `some`; second: our last run."""
    model = folder / "language.ftz"
    with open_wheel_file(fetch(LANGUAGE_MODEL), LANGUAGE_MODEL_MEMBER) as source:
        model.write_bytes(source.read())
    told: dict[str, dict[str, Any]] = {}
    pages_read = sum(archive.pages for archive in made)

    def our_turn() -> float:
        told["ours"] = ours(folder / "ours", tokenizer, made, warm)
        shutil.rmtree(folder / "ours")
        return float(told["ours"]["seconds"]) / pages_read

    def their_turn() -> float:
        told["theirs"] = peer.run(
            PEER, warm.path.parent, some.path.parent, folder / "theirs",
            tokenizer / "tokenizer.json", model, str(BANDS), str(ROWS), str(WORDS),
            environment=environment(), timeout=3600.0,
        )  # fmt: skip
        shutil.rmtree(folder / "theirs")
        return float(told["theirs"]["seconds"]) / some.pages

    our_seconds, their_seconds = in_turn(rounds, our_turn, their_turn)
    ours_kept = told["ours"]["counts"]["data.dedup"]["kept"] / pages_read
    theirs_kept = told["theirs"]["kept"] / some.pages
    for name, each, count, kept, of in (
        ("ours", our_seconds, pages_read, ours_kept, told["ours"]),
        ("datatrove", their_seconds, some.pages, theirs_kept, told["theirs"]),
    ):
        middle = statistics.median(each)
        print(f"{name:9} {1 / middle:6.1f} pages/s over {count:,} pages, {kept:.0%} kept; ms each:")
        shown = (f"{stage} {1000 * value / count:.2f}" for stage, value in of["stages"].items())
        print("          " + ", ".join(shown), flush=True)
    found = {
        "ratio": round(ratio(their_seconds, our_seconds), 2),
        "pages_per_second": round(1 / statistics.median(our_seconds)),
        "peer_pages_per_second": round(1 / statistics.median(their_seconds), 1),
        "kept": round(ours_kept, 3),
        "peer_kept": round(theirs_kept, 3),
        "peer": peer.versions("datatrove", "trafilatura", "spacy"),
    }
    return found, told["ours"]


def growth(
    folder: Path,
    tokenizer: Path,
    warm: Archive,
    made: Sequence[Archive],
    sizes: Sequence[int],
    largest: dict[str, Any] | None,
) -> dict[str, Any]:
    """So many files each; largest: what a run over all of them told, where there was one."""
    rows = []
    print(" pages   kept   CPU s ms each  peak shard  MB; peak by stage")
    for files in sizes:
        told = largest if files == len(made) else None
        if told is None:
            told = ours(folder / "grown", tokenizer, made[:files], warm)
            shutil.rmtree(folder / "grown")
        count = sum(archive.pages for archive in made[:files])
        seconds, peak = told["seconds"], told["peak_bytes"]
        stages = {name.split(".")[1]: round(p / 2**20) for name, p in told["peaks"].items()}
        shard = told["largest_part_bytes"] / 2**20
        rows.append({
            "pages": count,
            "seconds": round(seconds, 2),
            "peak_mb": round(peak / 2**20),
            "largest_shard_mb": round(shard, 1),
            "stages_mb": stages,
        })  # fmt: skip
        shown = ", ".join(f"{name} {p}" for name, p in stages.items())
        kept = told["counts"]["data.dedup"]["kept"]
        print(
            f"{count:>6,} {kept:>6,} {seconds:>7.2f} {1000 * seconds / count:>7.2f} "
            f"{peak / 2**20:>5.0f} {shard:>5.1f}  {shown}",
            flush=True,
        )
    return {
        "bytes_per_document": slope(rows),
        "bytes_per_document_later": slope(rows[1:]),
        "scaling": round(rows[-1]["seconds"] / (sizes[-1] * rows[0]["seconds"]), 3),
        "growth": rows,
    }


def slope(rows: Sequence[dict[str, Any]]) -> int:
    """Bytes of peak memory for a page more, by least squares."""
    pages_, peaks = [row["pages"] for row in rows], [row["peak_mb"] * 2**20 for row in rows]
    return round(float(np.polyfit(pages_, peaks, 1)[0]))


def faults(folder: Path, tokenizer: Path, one: Archive, kills: int) -> dict[str, Any]:
    """Kills of the whole run at random points, until there were so many."""
    part = -(-one.pages // KILLED_PARTS)
    calm = ours(folder / "calm", tokenizer, [one], part=part)
    r = random.Random(1)
    found = {"kills": 0, "runs": 0, "lost": 0, "doubled": 0}
    accounted(calm)
    same = True
    while found["kills"] < kills:
        workspace = folder / f"killed-{found['runs']}"
        told = None
        while told is None:
            wait = r.uniform(0, calm["wall"]) if found["kills"] < kills else None
            told = run_or_kill(command(workspace, tokenizer, [one], "--part", str(part)), wait)
            found["kills"] += told is None
        found["runs"] += 1
        lost, doubled = compared(calm["paths"], told["paths"])
        found["lost"] += lost
        found["doubled"] += doubled
        same = same and told["content"] == calm["content"]
        print(f"{found['runs']} runs, {found['kills']} kills, same content: {same}", flush=True)
        shutil.rmtree(workspace)
    return {**found, "same_content": same, "pages": one.pages}


def run_or_kill(words: Sequence[str], wait: float | None) -> dict[str, Any] | None:
    """What a run of ours told, or None where it was killed `wait` seconds after it began."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        out, errors = process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    if process.returncode:
        raise SystemExit(errors[-3000:])
    told: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return told


def accounted(calm: dict[str, Any]) -> None:
    """Every page of the WARC file is a document or a reject, every document that deduplication
    kept is in the mixture or was left out as a quotation, and every one of the mixture in shards.
    """
    counts = calm["counts"]
    extract, mix, tokens = (
        counts[name] for name in ("data.extract", "data.mix", "tokenizer.encode")
    )
    assert extract["documents"] + extract["rejected"] == extract["pages"]
    assert mix["train"] + mix["heldout"] + mix["leaking"] == counts["data.dedup"]["kept"]
    assert tokens["train.documents"] == mix["train"], "every weight is natural: none repeats"
    assert tokens["heldout.documents"] == mix["heldout"]


IDS = {
    "data.extract": "documents/*.parquet",
    "data.filter": "layer/*.parquet",
    "data.dedup": "layer/*.parquet",
    "data.mix": "*/part-*.parquet",
    "tokenizer.encode": "*/documents.parquet",
}


def compared(calm: dict[str, str], other: dict[str, str]) -> tuple[int, int]:
    """Documents that the other run lacks and those that it has too often, over all steps."""
    lost = doubled = 0
    for stage, pattern in IDS.items():
        wanted, found = (
            Counter(
                name
                for path in sorted(Path(paths[stage]).glob(pattern))
                for name in pq.read_table(path, columns=["id"])["id"].to_pylist()
            )
            for paths in (calm, other)
        )
        lost += (wanted - found).total()
        doubled += (found - wanted).total()
    return lost, doubled


if __name__ == "__main__":
    main()
