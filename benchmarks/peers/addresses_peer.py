"""datatrove's URLFilter on a list of URLs, with the lists that are given.

    python addresses_peer.py LISTS URLS OUTPUT

LISTS holds adult/domains, adult/urls, banned_words.txt and soft_banned_words.txt; URLS is a JSON
list. The verdicts (null or the reason) go to OUTPUT. The last line: {"seconds", "load_seconds" (CPU
seconds), "bytes" (what the process grew by while it read the lists)}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import URLFilter


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def memory() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("VmRSS")).split()[1]) * 1024


def main() -> None:
    lists = Path(sys.argv[1])
    urls = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    before, start = memory(), time.process_time()
    rules = URLFilter(
        extra_domains=(line for line in lines(lists / "adult" / "domains") if line),
        extra_urls=(line for line in lines(lists / "adult" / "urls") if line),
        banned_words=lines(lists / "banned_words.txt"),
        soft_banned_words=lines(lists / "soft_banned_words.txt"),
        use_integrated_lists=False,
    )
    documents = [Document(text="", id=str(i), metadata={"url": u}) for i, u in enumerate(urls)]
    rules.filter(documents[0])
    loading, grown = time.process_time() - start, memory() - before
    start = time.process_time()
    found = [rules.filter(document) for document in documents]
    seconds = time.process_time() - start
    said = [None if one is True else one[1] for one in found]
    Path(sys.argv[3]).write_text(json.dumps(said), encoding="utf-8")
    print(json.dumps({"seconds": seconds, "load_seconds": loading, "bytes": grown}))


if __name__ == "__main__":
    main()
