"""What hosts reserve for all their pages: the tdmrep.json files that a crawl read.

They stand in `tdmrep.jsonl` of a crawl, an object with `url` and `body` a line, by address; a crawl
that found none has no such file. TDM Reservation Protocol, W3C community group report, 2024.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE = "tdmrep.jsonl"


def write_reservations(folder: Path, found: Iterable[tuple[str, str]]) -> list[str]:
    """Writes (address, text) of each file, sorted; the lines that were written."""
    lines = [
        json.dumps({"url": url, "body": body}, ensure_ascii=True, sort_keys=True)
        for url, body in sorted(found)
    ]
    if lines:
        (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return lines


def read_reservations(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(address, body) of each file that the crawl in `folder` read."""
    path = folder / FILE
    if not path.is_file():
        return
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["url"], row["body"].encode()
