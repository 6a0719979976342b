"""The FineWeb chain beside datatrove: documents per CPU second, and the same verdicts.

    make bench-filters            or: python benchmarks/filters.py --quick

The chain is that of datatrove's FineWeb example without languages: Gopher repetition, Gopher
quality, C4 (lines need no full stop), FineWeb. The documents are real: all text of the pages of
Debian's documentation packages, menus and all, as in WET files, English; help pages in six
languages, film reviews, Python sources, summaries in two languages. Ours is timed from an Arrow
file to verdict tables in a Parquet file, theirs from strings in memory to a list, single process.

The peer is slow: with its own word splitting (spaCy) it is timed on every n-th document (750 of
them, --quick 120), and ours on the same. With a tokenizer of our own, `str.split`, handed over as
its `language`, it judges all documents, and each verdict is compared with ours, counted in its way
(`CountingRules`): the filter that drops a document and the reason must be the same. Every
difference is printed, by kind.

Last line: `ratio` (our documents per CPU second over the peer's), `ratio_split` (over the peer's
with `str.split`), `agreement` (share of equal verdicts, the same words), `agreement_spacy` (share
of the sample on which we keep or drop as the peer does with spaCy's words), `documents`, and
`growth`: [documents, CPU seconds, peak bytes] at 1, 2, 4 and 8 times the input.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from beside import ROOT, Peer, finish, in_turn, missing, peak_memory, ratio
from corpora import debian_package, help_pages, python_sources, reviews, summaries
from selectolax.lexbor import LexborHTMLParser

from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    CountingRules,
    FineWebRules,
    GopherRepetitionRules,
    PersonalDataRules,
    SpamRules,
)

PACKAGES = ("python3.11-doc", "postgresql-doc-15", "git-doc", "sqlite3-doc", "debian-handbook")
BATCH = 1024
# Of any stretch of the documents, each kind has its share.
QUICK_DOCUMENTS = 10_000
# Documents that the peer is timed on with its own word splitting: some 30 a second.
SPACY_DOCUMENTS, QUICK_SPACY_DOCUMENTS = 750, 120
SCRIPT = ROOT / "benchmarks" / "peers" / "filters_peer.py"
FILTERS = ("gopher_repetition", "gopher_quality", "c4", "fineweb")
# The peer's names of reasons, by filter, as ours.
REASONS = {
    "dup_para_frac": "duplicate_paragraphs",
    "dup_para_char_frac": "duplicate_paragraph_characters",
    "dup_line_frac": "duplicate_lines",
    "dup_line_char_frac": "duplicate_line_characters",
    "gopher_short_doc": "words",
    "gopher_long_doc": "words",
    "gopher_below_avg_threshold": "mean_word_length",
    "gopher_above_avg_threshold": "mean_word_length",
    "gopher_too_many_hashes": "hashes",
    "gopher_too_many_ellipsis": "ellipses",
    "gopher_too_many_bullets": "bullet_lines",
    "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_below_alpha_threshold": "alpha_words",
    "gopher_enough_stop_words": "stop_words",
    "curly_bracket": "curly_brackets",
    "too_few_sentences": "sentences",
    "line_punct_ratio": "ended_lines",
    "short_line_ratio": "short_lines",
    "char_dup_ratio": "duplicate_line_characters",
    "list_ratio": "newlines_per_word",
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}_grams" for n in range(5, 11)},
}


def fineweb_chain(characters: dict[str, str]) -> Chain:
    """The example's chain, counted as datatrove counts."""
    return Chain(
        ChainRules(
            boilerplate=BoilerplateRules(enabled=False),
            spam=SpamRules(enabled=False),
            gopher_repetition=GopherRepetitionRules(count_single=True),
            # Five sentences and three words, as in the first version of the paper.
            c4=C4Rules(terminal_punctuation=False, min_sentences=5, min_words_per_line=3),
            fineweb=FineWebRules(max_duplicate_line_characters=0.01),
            counting=CountingRules(
                lines="as_written",
                stop_words="as_written",
                symbols=characters["symbols"],
                symbol_ratio="all_words",
                bullets="•-",
                line_ends=".?!\"'",
                fineweb_line_ends=characters["ends"],
                at_fineweb_limits="keep",
            ),
            personal_data=PersonalDataRules(enabled=False),
        )
    )


def documents() -> tuple[list[str], dict[str, int]]:
    """At least 10,000 where all sources are to be had, of all kinds in turn; how many of each."""
    kinds = {
        "pages": list(pages()),
        "help": list(help_pages(every=12)),
        "reviews": list(islice(reviews(), 5_000)),
        "code": [t for t in python_sources(every=25) if len(t) < 60_000],
        "summaries": list(islice(summaries(), 0, None, 40)),
    }
    kinds = {kind: [text for text in found if text.strip()] for kind, found in kinds.items()}
    # From each kind at even distances, so that any stretch is a sample of all.
    placed = [
        ((place + 0.5) / len(found), text)
        for found in kinds.values()
        for place, text in enumerate(found)
    ]
    placed.sort(key=lambda entry: entry[0])
    return [text for _, text in placed], {kind: len(found) for kind, found in kinds.items()}


def pages() -> Iterator[str]:
    """All text of a page, a line for each of its own."""
    for package in PACKAGES:
        folder = debian_package(package)
        for file in sorted(folder.rglob("*.html")) if folder else ():
            if file.is_symlink() or not file.is_file() or file.stat().st_size > 60_000:
                continue
            body = LexborHTMLParser(file.read_bytes()).body
            if body is not None:
                yield re.sub(r"[^\S\n]*\n\s*", "\n", body.text())


def write_arrow(path: Path, texts: Sequence[str]) -> Path:
    schema = pa.schema([("text", pa.string())])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, len(texts), BATCH):
            writer.write_batch(pa.record_batch([texts[start : start + BATCH]], schema=schema))
    return path


def judge(chain: Chain, path: Path, output: Path, times: int = 1) -> float:
    """CPU seconds to judge the texts of an Arrow file `times` over, verdicts written to Parquet."""
    start = time.process_time()
    with pq.ParquetWriter(
        output, chain.schema, compression="zstd", compression_level=3, use_dictionary=["reason"]
    ) as out:
        for _ in range(times):
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            for number in range(reader.num_record_batches):
                out.write_table(chain(pa.table(reader.get_batch(number))))
    return time.process_time() - start


def compare(
    ours: Sequence[dict[str, Any]], theirs: Sequence[list[Any] | None]
) -> tuple[float, dict[str, list[str]]]:
    """The share of equal verdicts, and the differences: what they are, with our numbers."""
    equal = 0
    different: dict[str, list[str]] = defaultdict(list)
    for row, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        reasons = own["reasons_all"] or []
        first = next((f for f in FILTERS if any(r.startswith(f + ".") for r in reasons)), None)
        if other is None:
            expected, name = None, "kept"
        else:
            expected = FILTERS[other[0]]
            name = f"{expected}.{REASONS.get(other[1], other[1])}"
        if first == expected and (expected is None or name in reasons):
            equal += 1
        else:
            seen = f"{own['reason']} ({own['detail']})" if first else "kept"
            different[f"{name} there, {own['reason'] or 'kept'} here"].append(f"{row}: {seen}")
    return equal / max(1, len(ours)), different


def growth(arrow: Path, folder: Path, base: int) -> list[list[float]]:
    """[documents, CPU seconds, peak bytes so far] at 1, 2, 4 and 8 times the file, in turn, in a
    process of its own."""
    command = [sys.executable, __file__, "--grow", str(arrow), str(folder / "grow")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return [[base * times, round(seconds, 3), peak] for times, seconds, peak in told]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer documents for the slow peer")
    parser.add_argument("--grow", nargs=2, metavar=("ARROW", "OUTPUT"))
    given = parser.parse_args()
    if given.grow:
        chain = fineweb_chain({"symbols": "", "ends": ""})
        arrow, output = map(Path, given.grow)
        judge(chain, arrow, output)
        told = [
            (times, judge(chain, arrow, output, times), peak_memory()) for times in (1, 2, 4, 8)
        ]
        print(json.dumps(told))
        return
    peer = Peer("filters")
    texts, kinds = documents()
    if given.quick:
        texts = texts[:QUICK_DOCUMENTS]
    if len(texts) < 10_000:
        missing(f"only {len(texts)} documents are to be had", "see what is missing above")
    with tempfile.TemporaryDirectory() as name:
        finish(measure(peer, texts, kinds, Path(name), quick=given.quick))


def measure(
    peer: Peer, texts: list[str], kinds: dict[str, int], folder: Path, *, quick: bool
) -> dict[str, Any]:
    size = sum(map(len, texts))
    print(f"{len(texts):,} documents, {size / len(texts):,.0f} characters each: {kinds}")
    chain = fineweb_chain(peer.run(SCRIPT, "characters"))
    sample = texts[:: len(texts) // (QUICK_SPACY_DOCUMENTS if quick else SPACY_DOCUMENTS)]
    # Ours is over in no time: it judges a sample several times in one turn, in whole batches.
    again = len(texts) // len(sample)
    every, some = write_arrow(folder / "all", texts), write_arrow(folder / "some", sample * again)
    for file, held in (("all.jsonl", texts), ("some.jsonl", sample)):
        lines = "".join(json.dumps(text) + "\n" for text in held)
        (folder / file).write_text(lines, encoding="utf-8")
    judged = folder / "verdicts.parquet"
    judge(chain, some, judged)

    def theirs(how: str, file: str, count: int) -> float:
        answer = folder / f"{how}-{file}"
        told = peer.run(SCRIPT, how, folder / file, str(count), answer, timeout=3600)
        return float(told["seconds"])

    rounds = 2 if quick else 3
    seconds = in_turn(
        rounds,
        lambda: judge(chain, some, judged) / again,
        lambda: theirs("spacy", "some.jsonl", len(sample)),
    )
    # More than a minute of the peer is one turn, between two of ours.
    before, split, after = in_turn(
        1,
        lambda: judge(chain, every, judged),
        lambda: theirs("split", "all.jsonl", len(texts)),
        lambda: judge(chain, every, judged),
    )
    ours = before + after
    agreement, different = compare(
        pq.read_table(judged).to_pylist(), json.loads((folder / "split-all.jsonl").read_text())
    )
    for kind, rows in sorted(different.items(), key=lambda entry: -len(entry[1])):
        print(f"  {len(rows):4} {kind}: " + "; ".join(rows[:3]))
    spacy = json.loads((folder / "spacy-some.jsonl").read_text())
    judge(chain, some, judged)
    keeps = pq.read_table(judged, columns=["keep"])["keep"].to_pylist()[: len(sample)]
    same = sum(keep == (other is None) for keep, other in zip(keeps, spacy, strict=True))
    print(
        f"ours {len(texts) / min(ours):,.0f} documents per CPU second; datatrove "
        f"{len(sample) / min(seconds[1]):,.1f}, with str.split {len(texts) / min(split):,.0f}"
    )
    grown_from = texts[:BATCH] if quick else texts
    grown = growth(write_arrow(folder / "from", grown_from), folder, len(grown_from))
    for count, used, peak in grown:
        print(f"{count:>10,.0f} documents {used:8.2f} CPU s {peak / 1e6:8,.0f} MB at most")
    kept = Counter(
        name or "kept" for name in ("kept" if x is None else FILTERS[x[0]] for x in spacy)
    )
    print(f"the peer's verdicts on the sample: {dict(kept)}")
    return {
        "ratio": round(ratio(seconds[1], seconds[0]), 1),
        "ratio_split": round(ratio(split, ours), 1),
        "agreement": round(agreement, 5),
        "agreement_spacy": round(same / len(sample), 4),
        "documents": len(texts),
        "documents_for_spacy": len(sample),
        "growth": grown,
        "peer": peer.versions("datatrove", "spacy"),
        "quick": quick,
    }


if __name__ == "__main__":
    main()
