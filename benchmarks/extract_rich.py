"""How many formulae, code blocks and table rows survive extraction, beside two peers.

    python benchmarks/extract_rich.py [--pages FOLDER] [--quick] [--missing]

FOLDER holds `ground-truth.json` (key -> {"articleBody", "url", "formulae": LaTeX sources, "code":
blocks, "tables": lists of rows of cells}) and `html/KEY.html[.gz]`; without it, the hand-made set
`benchmarks/pages/rich`. What is exact, `gristmill.data.extract.exact` says: a formula stands
between delimiters, equal after removing the white space that TeX ignores; the lines of a block of
code follow one another unchanged; a line cut at its bars has a row's cells. The peers mark neither
formulae nor cells: theirs may stand anywhere in the text, and bars and white space in rows do not
count. Shares are of all formulae (blocks, rows) of all pages. F1 is that of running text.

--missing prints what ours lacks. --quick measures time once. The last line is JSON: {"formulae",
"code", "tables", "f1", the same for each peer as "trafilatura_formulae" and so on, "ratio" (our
pages per CPU second over trafilatura's), ...}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beside import ROOT, Peer, finish, in_turn, ratio
from extract import extract, read, read_set

from gristmill.data.extract.exact import exact_code, exact_formulae, exact_rows
from gristmill.data.extract.metric import overlap, score

PAGES = ROOT / "benchmarks" / "pages" / "rich"
PEERS = ("trafilatura", "resiliparse")
PARTS = ("formulae", "code", "tables")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=Path, default=PAGES, metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="times are measured once")
    parser.add_argument("--missing", action="store_true", help="print what ours lacks")
    given = parser.parse_args(arguments)
    truth: dict[str, dict[str, Any]]
    truth, files = read_set(given.pages)
    peer = Peer("extract_rich")
    pages = {key: read(file) for key, file in files.items()}
    texts: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = folder / "pages.json"
        listing.write_text(json.dumps({key: str(file.resolve()) for key, file in files.items()}))

        def ours() -> float:
            start = time.process_time()
            found = {key: extract(html, truth[key]["url"]) for key, html in pages.items()}
            seconds = time.process_time() - start
            texts["gristmill"] = found
            return seconds

        def theirs(which: str) -> float:
            script = ROOT / "benchmarks" / "peers" / "extract_rich_peer.py"
            output = folder / f"{which}.json"
            told = peer.run(script, which, listing, output)
            texts[which] = json.loads(output.read_text(encoding="utf-8"))
            return float(told["seconds"])

        ours()
        runs = [lambda which=which: theirs(which) for which in PEERS]
        seconds = in_turn(1 if given.quick else 3, ours, *runs)
    result = report(truth, texts, peer.versions(*PEERS))
    if given.missing:
        print_missing(truth, texts["gristmill"])
    result["ratio"] = round(ratio(seconds[1], seconds[0]), 2)
    finish(result)


def shares(
    truth: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str], loose: bool
) -> dict[str, float]:
    """Exact formulae, blocks of code and rows over all there are."""
    exact, all_of = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    for key, page in truth.items():
        text = texts[key]
        exact["formulae"] += exact_formulae(text, page["formulae"], loose=loose)
        exact["code"] += exact_code(text, page["code"])
        exact["tables"] += exact_rows(text, page["tables"], loose=loose)
        all_of["formulae"] += len(page["formulae"])
        all_of["code"] += len(page["code"])
        all_of["tables"] += sum(map(len, page["tables"]))
    return {part: exact[part] / all_of[part] if all_of[part] else 1.0 for part in PARTS}


def report(
    truth: Mapping[str, Mapping[str, Any]],
    texts: Mapping[str, Mapping[str, str]],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """The table; returns what the last line says."""
    counts = {part: sum(len(page[part]) for page in truth.values()) for part in PARTS}
    rows = sum(len(table) for page in truth.values() for table in page["tables"])
    print(
        f"{len(truth)} pages: {counts['formulae']} formulae, {counts['code']} blocks of code, "
        f"{counts['tables']} tables with {rows} rows"
    )
    print(f"{'exact':26}{'formulae':>10}{'code':>8}{'rows':>8}{'F1':>8}")
    result: dict[str, Any] = {}
    for name in ("gristmill", *PEERS):
        ours = name == "gristmill"
        found = texts[name]
        f1 = score(overlap(found[key], page["articleBody"]) for key, page in truth.items()).f1
        measured = {**shares(truth, found, loose=not ours), "f1": f1}
        for part, value in measured.items():
            result[part if ours else f"{name}_{part}"] = round(value, 4)
        figures = "".join(
            f"{value:{width}.3f}"
            for value, width in zip(measured.values(), (10, 8, 8, 8), strict=True)
        )
        print(f"{name + ' ' + versions.get(name, ''):26}{figures}")
    return {**result, "pages": len(truth)}


def print_missing(truth: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str]) -> None:
    """What each page lacks, one thing a line."""
    for key, page in truth.items():
        lacking = [f for f in page["formulae"] if not exact_formulae(texts[key], [f])]
        lacking += [block for block in page["code"] if not exact_code(texts[key], [block])]
        rows = [row for table in page["tables"] for row in table]
        lacking += [" | ".join(row) for row in rows if not exact_rows(texts[key], [[row]])]
        for one in lacking:
            print(f"  {key}: {one!r}")


if __name__ == "__main__":
    main()
