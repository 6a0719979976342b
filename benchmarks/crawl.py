"""The crawler beside scrapy, on one site served from memory on loopback by a process of its own.

    make bench-crawl [BENCH_ARGS=--quick]
    python benchmarks/crawl.py [--pages N] [--rounds N] [--concurrency N] [--quick]

Both begin at the first page, obey robots.txt, follow every link, ask without delay and with as many
requests at once, and keep every body on disk: ours as WARC records (request, response, metadata,
gzip) with a journal that survives a kill, scrapy as plain bytes without one. In turn, medians, each
run in a new process. Seconds do not count imports, nor what scrapy does before its first request.

The last line is JSON: `ratio` is our pages per second over scrapy's, `cpu_ratio` the same of CPU
seconds of the crawling process. `complete` says that each run fetched and stored every page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beside import Peer, finish, in_turn, ratio

HERE = Path(__file__).resolve().parent
PAGES, QUICK_PAGES = 20_000, 3_000


def main() -> int:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAGES} pages, two rounds")
    parser.add_argument("--ours", nargs=2, metavar=("SEED", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ours:
        print(json.dumps(crawl_once(chosen.ours[0], Path(chosen.ours[1]), chosen.concurrency)))
        return 0
    pages = QUICK_PAGES if chosen.quick else chosen.pages
    peer = Peer("crawl")
    runs: dict[str, list[dict[str, Any]]] = {"gristmill": [], "scrapy": []}
    with serving(pages) as seed:

        def ours() -> float:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "--ours", seed, folder]
                command += ["--concurrency", str(chosen.concurrency)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs["gristmill"].append(json.loads(done.stdout.splitlines()[-1]))
            return float(runs["gristmill"][-1]["seconds"])

        def theirs() -> float:
            script = HERE / "peers" / "crawl_peer.py"
            with tempfile.TemporaryDirectory() as folder:
                runs["scrapy"].append(peer.run(script, seed, folder, str(chosen.concurrency)))
            return float(runs["scrapy"][-1]["seconds"])

        ours_seconds, theirs_seconds = in_turn(2 if chosen.quick else chosen.rounds, ours, theirs)
    print(f"{pages:,} pages of one site, {chosen.concurrency} requests at a time")
    print(f"{'':12}{'pages/s':>10}{'CPU ms/page':>14}{'stored':>10}{'peak MB':>10}")
    for name, found in runs.items():
        rate = pages / statistics.median(run["seconds"] for run in found)
        cost = statistics.median(1000 * run["cpu_seconds"] / run["pages"] for run in found)
        peak = max(run["peak_mb"] for run in found)
        print(f"{name:12}{rate:10,.0f}{cost:14.3f}{found[-1]['pages']:10,}{peak:10.0f}")
    everything = [run for found in runs.values() for run in found]
    cpu = {name: [run["cpu_seconds"] for run in found] for name, found in runs.items()}
    finish(
        {
            "ratio": round(ratio(theirs_seconds, ours_seconds), 2),
            "cpu_ratio": round(ratio(cpu["scrapy"], cpu["gristmill"]), 2),
            "pages": pages,
            "complete": all(run["pages"] == pages for run in everything)
            and len({run["bytes"] for run in everything}) == 1,
            "cpu_ms_per_page": round(1000 * statistics.median(cpu["gristmill"]) / pages, 3),
            "peer_cpu_ms_per_page": round(1000 * statistics.median(cpu["scrapy"]) / pages, 3),
            **{f"peer_{name}": v for name, v in peer.versions("scrapy").items()},
        }
    )
    return 0


@contextmanager
def serving(pages: int) -> Iterator[str]:
    """The address of the site's first page; its server lives as long as the block."""
    command = [sys.executable, str(HERE / "crawl_site.py"), str(pages)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def crawl_once(seed: str, folder: Path, concurrency: int) -> dict[str, Any]:
    """Our crawl of the site, in this process; what is stored is counted in the sealed index."""
    import psutil

    from gristmill.data.crawl.attempt import crawl
    from gristmill.data.crawl.plan import Plan
    from gristmill.data.crawl.seal import seal

    os.environ["GRISTMILL_PROGRESS"] = "off"
    host = "site.example"
    address = seed.removeprefix("http://").rstrip("/")
    plan = Plan(
        seeds=[f"http://{host}/"],
        hosts=[host],
        resolve={host: address},
        resolved_delay=0.0,
        per_host=concurrency,
        concurrency=concurrency,
    )
    began, cpu = time.perf_counter(), time.process_time()
    counts = crawl(folder / "run", plan)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    (folder / "sealed").mkdir()
    seal(folder / "run", plan, folder / "sealed")
    import pyarrow.parquet as pq

    stored = pq.read_metadata(folder / "sealed" / "index.parquet").num_rows
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", None) or _peak_bytes()
    return {
        "pages": stored,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "bytes": counts.stored_bytes,
        "peak_mb": peak / (1 << 20),
    }


def _peak_bytes() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    raise SystemExit(main())
