"""How well and how fast main texts are found, beside trafilatura (fast mode) and resiliparse.

    python benchmarks/extract.py [--pages FOLDER] [--rounds N] [--quick] [--worst N]

FOLDER holds `ground-truth.json` (key -> {"articleBody": text, "url": address}) and `html/KEY.html`
or `html/KEY.html.gz`; without it, the pages of the article-extraction benchmark's development half.
The metric is that benchmark's, shingles of four words (`gristmill.data.extract.metric`). Pages per
CPU second are of extraction alone, from bytes to text with the pages in memory, in processes of
one thread: ours with title, date, links and the rest; A B A B in turn, medians of the rounds after
a first one that is not counted. Ours may keep nothing that it learned from the pages: its caches
are emptied before every round. Pages that ask to be left out are read too.

--worst N prints the pages that ours does worst on. The last line is JSON: {"f1", "precision",
"recall", "peer_f1", "ratio" (our pages per CPU second over trafilatura's), ...}.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beside import ROOT, SHARED, Peer, finish, in_turn, missing, ratio

from gristmill.data.extract import cues
from gristmill.data.extract.metric import Overlap, Score, overlap, score
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page

DEVELOPMENT = SHARED / "web" / "extraction_dev"
PEERS = ("trafilatura", "resiliparse")
OPTIONS = ExtractOptions(respect_noindex=False, respect_opt_out=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=Path, default=DEVELOPMENT, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2 rounds")
    parser.add_argument("--worst", type=int, default=0, metavar="N")
    given = parser.parse_args(arguments)
    truth, files = read_set(given.pages)
    peer = Peer("extract")
    pages = {key: read(file) for key, file in files.items()}
    rounds = 2 if given.quick else given.rounds
    texts: dict[str, dict[str, str]] = {"gristmill": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = folder / "pages.json"
        listing.write_text(json.dumps({k: {"file": str(f.resolve())} for k, f in files.items()}))

        def ours() -> float:
            cues.forget()
            start = time.process_time()
            found = {key: extract(html, truth[key]["url"]) for key, html in pages.items()}
            seconds = time.process_time() - start
            texts["gristmill"] = found
            return seconds

        def theirs(which: str) -> float:
            script = ROOT / "benchmarks" / "peers" / "extract_peer.py"
            output = folder / f"{which}.json"
            told = peer.run(script, which, listing, "1", output)
            texts[which] = json.loads(output.read_text(encoding="utf-8"))
            return float(told["seconds"][0])

        ours()
        measured = in_turn(rounds, ours, *[lambda which=which: theirs(which) for which in PEERS])
    report(given.pages, truth, texts, measured, peer.versions(*PEERS), given.worst)


def read_set(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, Path]]:
    """Truths and page files by key, in the order of keys."""
    stated = folder / "ground-truth.json"
    if not stated.is_file():
        missing(f"no pages at {folder}", "give a folder with --pages")
    truth = dict(sorted(json.loads(stated.read_text(encoding="utf-8")).items()))
    files = {}
    for key in truth:
        found = [folder / "html" / f"{key}{end}" for end in (".html.gz", ".html")]
        files[key] = next((file for file in found if file.is_file()), found[0])
        if not files[key].is_file():
            missing(f"{folder} has no page {key}", f"add {files[key]}")
    return truth, files


def read(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if file.suffix == ".gz" else data


def extract(html: bytes, url: str) -> str:
    found = extract_page(html, url, None, OPTIONS)
    return found.text if isinstance(found, ExtractedPage) else ""


def report(
    folder: Path,
    truth: Mapping[str, Mapping[str, str]],
    texts: Mapping[str, Mapping[str, str]],
    measured: Sequence[Sequence[float]],
    versions: Mapping[str, str],
    worst: int,
) -> None:
    """The table, the worst pages, and the last line."""
    count = len(truth)
    scores: dict[str, Score] = {}
    overlaps: dict[str, Overlap] = {}
    print(f"{count} pages of {folder.name}")
    print(f"{'':24}{'F1':>8}{'precision':>11}{'recall':>8}{'pages per CPU second':>22}")
    speeds = [count / statistics.median(seconds) for seconds in measured]
    for name, speed in zip(("gristmill", *PEERS), speeds, strict=True):
        found = {key: overlap(texts[name][key], one["articleBody"]) for key, one in truth.items()}
        scores[name] = mean = score(found.values())
        overlaps = overlaps or found
        label = f"{name} {versions.get(name, '')}"
        print(f"{label:24}{mean.f1:8.4f}{mean.precision:11.4f}{mean.recall:8.4f}{speed:22.0f}")
    for key in sorted(overlaps, key=lambda key: overlaps[key].f1)[:worst]:
        one = overlaps[key]
        print(f"  {one.f1:.3f} P {one.precision:.3f} R {one.recall:.3f} {key} {truth[key]['url']}")
    ours, theirs = scores["gristmill"], scores["trafilatura"]
    result: dict[str, Any] = {
        "f1": round(ours.f1, 4),
        "precision": round(ours.precision, 4),
        "recall": round(ours.recall, 4),
        "peer_f1": round(theirs.f1, 4),
        "ratio": round(ratio(measured[1], measured[0]), 2),
        "pages_per_cpu_second": round(speeds[0], 1),
        "peer_pages_per_cpu_second": round(speeds[1], 1),
        "resiliparse_f1": round(scores["resiliparse"].f1, 4),
        "resiliparse_ratio": round(ratio(measured[2], measured[0]), 2),
        "pages": count,
    }
    finish(result)


if __name__ == "__main__":
    main()
