"""The peers of the extraction benchmark: trafilatura (fast mode) and resiliparse (main content).

    python extract_peer.py EXTRACTOR PAGES ROUNDS OUTPUT

PAGES is a JSON file {key: {"file": path of an .html or .html.gz}}. Every page is extracted ROUNDS
times; the texts go to OUTPUT as {key: text}. The last line:
{"seconds": [CPU seconds of each round], "warm_up": the same for a first, uncounted pass}.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def trafilatura() -> Callable[[bytes], str]:
    import trafilatura

    def extract(html: bytes) -> str:
        text = trafilatura.extract(html, fast=True, include_comments=False)
        return text or ""

    return extract


def resiliparse() -> Callable[[bytes], str]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    def extract(html: bytes) -> str:
        text = bytes_to_str(html, detect_encoding(html))
        found: str = extract_plain_text(text, main_content=True, alt_texts=False)
        return found

    return extract


def main() -> None:
    extract = {"trafilatura": trafilatura, "resiliparse": resiliparse}[sys.argv[1]]()
    files = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    pages = {key: read(Path(value["file"])) for key, value in files.items()}
    rounds = int(sys.argv[3])
    start = time.process_time()
    texts = {key: extract(html) for key, html in pages.items()}
    warm_up = time.process_time() - start
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        for html in pages.values():
            extract(html)
        seconds.append(time.process_time() - start)
    Path(sys.argv[4]).write_text(json.dumps(texts), encoding="utf-8")
    print(json.dumps({"seconds": seconds, "warm_up": warm_up}))


def read(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if file.suffix == ".gz" else data


if __name__ == "__main__":
    main()
