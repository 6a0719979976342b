"""Main texts of pages that are no articles, by kind, beside trafilatura and resiliparse.

    python benchmarks/extract_kinds.py [--half "looked at"|"held out"] [--worst N] [--show KEY]

The pages are those of `benchmarks/pages/kinds` (its README says what their labels hold): forums,
shops, documentation, listings, front pages, landing pages, practical pages and media. The metric is
that of `benchmarks/extract.py`: shingles of four words, F1 of the mean precision and recall, here
over the pages of a kind; `all` is over all pages. All extractors see the same bytes in one run; a
page that asks search engines to leave it out is read too. Rules were written looking at one half.

--worst N prints the N pages that ours does worst on, --show KEY what is missing and surplus there.
The last line is JSON: {"f1", "peer_f1" (trafilatura's, the better of its two modes), ...,
"kinds": {kind: {"f1", "trafilatura", "trafilatura full", "resiliparse", "pages"}}}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beside import ROOT, Peer, finish
from extract import read, read_set

from gristmill.data.extract.metric import Score, overlap, score, shingles
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page

PAGES = ROOT / "benchmarks" / "pages" / "kinds"
OPTIONS = ExtractOptions(respect_noindex=False)
OURS = "gristmill"
PEERS = ("trafilatura", "trafilatura full", "resiliparse")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=("looked at", "held out"))
    parser.add_argument("--worst", type=int, default=0, metavar="N")
    parser.add_argument("--show", metavar="KEY")
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    given = parser.parse_args(arguments)
    truth, files = read_set(PAGES)
    truth = {key: one for key, one in truth.items() if given.half in (None, one["half"])}
    pages = {key: read(files[key]) for key in truth}
    if given.show:
        show(truth[given.show], extract(pages[given.show], truth[given.show]["url"]))
        return
    start = time.process_time()
    texts = {OURS: {key: extract(html, truth[key]["url"]) for key, html in pages.items()}}
    seconds = {OURS: time.process_time() - start}
    if not given.ours:
        theirs, told = ask_peers({key: files[key] for key in truth})
        texts.update(theirs)
        seconds.update(told)
    report(truth, texts, seconds, given.worst)


def extract(html: bytes, url: str) -> str:
    found = extract_page(html, url, None, OPTIONS)
    return found.text if isinstance(found, ExtractedPage) else ""


def ask_peers(files: Mapping[str, Path]) -> tuple[dict[str, dict[str, str]], dict[str, float]]:
    """Their texts and CPU seconds, by extractor."""
    peer = Peer("extract_kinds")
    with tempfile.TemporaryDirectory() as name:
        listing, output = Path(name) / "pages.json", Path(name) / "texts.json"
        listing.write_text(json.dumps({key: str(file.resolve()) for key, file in files.items()}))
        told = peer.run(ROOT / "benchmarks" / "peers" / "extract_kinds_peer.py", listing, output)
        texts: dict[str, dict[str, str]] = json.loads(output.read_text(encoding="utf-8"))
    return texts, told["seconds"]


def report(
    truth: Mapping[str, Mapping[str, str]],
    texts: Mapping[str, Mapping[str, str]],
    seconds: Mapping[str, float],
    worst: int,
) -> None:
    """The table, the worst pages, and the last line."""
    kinds = sorted({one["kind"] for one in truth.values()})
    scores = {
        kind: {name: score_of(truth, found, kind) for name, found in texts.items()}
        for kind in (*kinds, "all")
    }
    print(f"{'F1 (precision, recall)':22}" + "".join(f"{name:>22}" for name in texts))
    for kind, by_name in scores.items():
        cells = "".join(f"{s.f1:8.3f} ({s.precision:.3f} {s.recall:.3f})" for s in by_name.values())
        print(f"{kind:14}{by_name[OURS].pages:4} {cells}")
    f1s = {key: overlap(texts[OURS][key], one["articleBody"]) for key, one in truth.items()}
    for key in sorted(f1s, key=lambda key: f1s[key].f1)[:worst]:
        o = f1s[key]
        print(f"  {o.f1:.3f} P {o.precision:.3f} R {o.recall:.3f} {truth[key]['kind']} {key}")
    every = scores["all"]
    result: dict[str, Any] = {"f1": round(every[OURS].f1, 4)}
    if len(every) > 1:
        modes = ("trafilatura", "trafilatura full")
        result["peer_f1"] = round(max(every[mode].f1 for mode in modes), 4)
        result["resiliparse_f1"] = round(every["resiliparse"].f1, 4)
        result["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    result["kinds"] = {
        kind: {
            **{"f1" if name == OURS else name: round(s.f1, 4) for name, s in by_name.items()},
            "pages": by_name[OURS].pages,
        }
        for kind, by_name in scores.items()
        if kind != "all"
    }
    result["pages"] = len(truth)
    finish(result)


def score_of(truth: Mapping[str, Mapping[str, str]], found: Mapping[str, str], kind: str) -> Score:
    return score(
        overlap(found[key], one["articleBody"])
        for key, one in truth.items()
        if kind in ("all", one["kind"])
    )


def show(one: Mapping[str, str], text: str) -> None:
    """The extracted text, then the runs of words that only one of both texts has."""
    print(text, "\n")
    ours, theirs = shingles(text), shingles(one["articleBody"])
    for sign, some in (("surplus", ours - theirs), ("missing", theirs - ours)):
        for words in some:
            print(f"{sign}: {' '.join(words)}")


if __name__ == "__main__":
    main()
