"""Cheap rules first, the main text only of what survives: what it saves, and what it loses.

    python benchmarks/cascade.py [--quick] [--show N]

Both ways begin with a page's bytes and end with the verdict of `data filter` (language,
boilerplate, Gopher, C4 and FineWeb with the settings of the demo): all pages extracted and
filtered, or the cascade of `data extract` before both. CPU seconds of one process, A B A B,
medians. A page is lost where the full way keeps it and the cascade drops it; the reverse cannot be,
because what the cascade lets through is extracted and filtered as ever. Wanted is English.

The pages: Debian's handbook in 26 languages (many of them half translated), documentation that is
nearly all English (Python, PostgreSQL, SQLite, git, the handbook), half of that with LibreOffice's
help in six languages, the sample web, and the articles of ../shared.

The last line is JSON: {"ratio" (of the pages in seven languages: seconds without over
seconds with), "lost_share" (of the documents that the full way keeps, all sets together), "sets":
{set: {"ratio", "pages", "kept", "dropped", "dropped_rightly", "lost"}}, "fast_text_milliseconds",
"cascade_milliseconds", "extract_milliseconds", "pays_from" (the share of pages that the cascade
must drop to pay: the last two's ratio)}.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from beside import PEER_MISSING, SHARED, finish, in_turn, missing, ratio
from corpora import DOWNLOADS, HELP_LANGUAGES, debian_package
from documentation import PACKAGES
from extract import read

from gristmill.data.extract.fast_text import visible_text
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page
from gristmill.data.filters import rules
from gristmill.data.filters.cascade import Cascade
from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.language import language_model_path
from gristmill.stages.data_sample_web import data_sample_web
from gristmill.stages.workspace import Workspace

HANDBOOK = "handbook, 26 languages"
MIXED = "seven languages"
OPTIONS = ExtractOptions(respect_noindex=False, respect_opt_out=False)
_BATCH = 500


@dataclass
class Run:
    """One way through a set of pages."""

    kept: set[str] = field(default_factory=set)
    dropped: dict[str, str] = field(default_factory=dict)
    """By the cascade: URL and reason."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pages, not a third")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N lost pages a set")
    given = parser.parse_args(arguments)
    sets = page_sets(quick=given.quick)
    model = language_model_path()
    settings = Cascade(languages=("en",), language_model=model, min_words=15, min_prose_words=12)
    chain = Chain(
        ChainRules(
            gopher_quality=rules.GopherQualityRules(min_words=15, min_stop_words=1),
            c4=rules.C4Rules(
                rewrite=False, terminal_punctuation=False, min_sentences=None, curly_brackets=False
            ),
            fineweb=rules.FineWebRules(min_ended_lines=None, max_short_lines=None),
            personal_data=rules.PersonalDataRules(enabled=False),
            language_model=model,
        )
    )
    settings.warm_up()
    first = next(iter(sets.values()))[:20]
    run(first, chain, settings)
    print(
        f"{'set':<24} {'pages':>6} {'kept':>6} {'dropped':>8} {'rightly':>8} "
        f"{'lost':>5} {'s full':>7} {'s casc.':>7} {'ratio':>6}"
    )
    told: dict[str, dict[str, Any]] = {}
    for name, pages in sets.items():
        told[name] = compare(name, pages, chain, settings, given)
    kept = sum(one["kept"] for one in told.values())
    lost = sum(one["lost"] for one in told.values())
    finish(
        {
            "ratio": told[MIXED]["ratio"],
            "lost_share": round(lost / max(1, kept), 5),
            "sets": told,
            **costs(sets, settings),
        }
    )


def compare(
    name: str,
    pages: Sequence[tuple[str, bytes]],
    chain: Chain,
    cascade: Cascade,
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Both ways in turn; prints a line."""
    runs: dict[str, Run] = {}

    def timed(way: str, first: Cascade | None) -> float:
        start = time.process_time()
        runs[way] = run(pages, chain, first)
        return time.process_time() - start

    rounds = 2 if given.quick else 3
    full, fast = in_turn(rounds, lambda: timed("full", None), lambda: timed("fast", cascade))
    kept, dropped = runs["full"].kept, runs["fast"].dropped
    lost = sorted(kept & set(dropped))
    assert runs["fast"].kept == kept - set(lost), "what survives has the verdict that it had"
    found = {
        "ratio": round(ratio(full, fast), 3),
        "pages": len(pages),
        "kept": len(kept),
        "dropped": len(dropped),
        "dropped_rightly": len(dropped) - len(lost),
        "lost": len(lost),
        "seconds_full": round(median(full), 3),
        "seconds_cascade": round(median(fast), 3),
        "reasons": dict(Counter(dropped.values())),
    }
    print(
        f"{name:<24} {len(pages):>6} {len(kept):>6} {len(dropped):>8} "
        f"{found['dropped_rightly']:>8} {len(lost):>5} {median(full):>7.2f} {median(fast):>7.2f} "
        f"{found['ratio']:>6.2f}",
        flush=True,
    )
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(dropped.values()).items()))
    print(f"    {reasons}")
    for url in lost[: given.show]:
        print(f"    lost for {dropped[url]}: {url}")
    return found


def run(pages: Sequence[tuple[str, bytes]], chain: Chain, first: Cascade | None) -> Run:
    """Pages to verdicts."""
    found = Run()
    urls: list[str] = []
    texts: list[str] = []

    def judge() -> None:
        table = chain(pa.table({"url": urls, "text": pa.array(texts, pa.string())}))
        for url, keep in zip(urls, table["keep"].to_pylist(), strict=True):
            if keep:
                found.kept.add(url)
        urls.clear()
        texts.clear()

    for url, html in pages:
        page = extract_page(html, url, options=OPTIONS, first=first)
        if isinstance(page, ExtractedPage):
            urls.append(url)
            texts.append(page.text)
            if len(urls) == _BATCH:
                judge()
        elif page.reason.startswith("cascade."):
            found.dropped[url] = page.reason
    if urls:
        judge()
    return found


def costs(sets: dict[str, list[tuple[str, bytes]]], cascade: Cascade) -> dict[str, float]:
    """Milliseconds of CPU a page, over all sets: the scan alone, all cheap rules, the main text."""
    pages = [page for of_set in sets.values() for page in of_set[:: max(1, len(of_set) // 300)]]

    def each(work: Any) -> float:
        start = time.process_time()
        for url, html in pages:
            work(url, html)
        return round(1000 * (time.process_time() - start) / len(pages), 4)

    scan = each(lambda _, html: visible_text(html))
    cheap = each(lambda _, html: cascade.verdict(html))
    whole = each(lambda url, html: extract_page(html, url, options=OPTIONS))
    return {
        "fast_text_milliseconds": scan,
        "cascade_milliseconds": cheap,
        "extract_milliseconds": whole,
        "pays_from": round(cheap / whole, 3),
    }


def page_sets(*, quick: bool) -> dict[str, list[tuple[str, bytes]]]:
    """(address, bytes) of each set's pages; exits where one is missing."""
    handbook = debian_package("debian-handbook")
    if handbook is None:
        missing("debian's handbook is not here", "this needs apt-get and dpkg")
    articles = sorted((SHARED / "web" / "extraction_dev" / "html").glob("*.html.gz"))
    if not articles:
        missing("the articles of ../shared are not here", f"exit {PEER_MISSING}")
    every = 10 if quick else 3
    found = {HANDBOOK: _files(sorted(handbook.rglob("html/*/*.html"))[::every])}
    helps = [
        path
        for language in HELP_LANGUAGES
        for path in sorted(
            (debian_package(f"libreoffice-help-{language}") or Path("none")).rglob("*.html")
        )[:: 4 * every]
    ]
    english = [
        path
        for package in PACKAGES
        for path in sorted((debian_package(package) or Path("none")).rglob("*.html"))
    ]
    english += sorted(handbook.rglob("html/en-US/*.html"))
    found["documentation, English"] = _files(english[::every])
    found[MIXED] = _files([*english[:: 2 * every], *helps])
    found["sample web"] = _sample_web(0.05 if quick else 0.15)
    found["articles"] = [(f"http://articles.example/{p.name}", read(p)) for p in articles]
    return found


def _files(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    return [
        (f"http://debian.example/{path.relative_to(DOWNLOADS).as_posix()}", path.read_bytes())
        for path in paths
        if path.is_file() and not path.is_symlink()
    ]


def _sample_web(scale: float) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        config = data_sample_web.config(scale=scale)
        made = data_sample_web.run(config, {}, Workspace(Path(folder)))
        table = pq.read_table(made.file("pages.parquet"))
        return [
            (f"http://{row['host']}{row['path']}", row["body"])
            for row in table.to_pylist()
            if row["status"] == 200 and (row["content_type"] or "").startswith("text/html")
        ]


if __name__ == "__main__":
    main()
