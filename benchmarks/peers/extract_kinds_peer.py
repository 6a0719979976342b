"""trafilatura and resiliparse on pages that are no articles, each as its makers ship it.

    python extract_kinds_peer.py PAGES OUTPUT

PAGES is a JSON file {key: path of an .html}. The texts go to OUTPUT as {extractor: {key: text}}.
Posts and reviews are asked for ("comments"), which is the default of both; trafilatura runs in its
fast mode and in its full one. The last line: {"seconds": {extractor: CPU seconds}}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding


def fast(html: bytes) -> str:
    return trafilatura.extract(html, fast=True) or ""


def full(html: bytes) -> str:
    return trafilatura.extract(html) or ""


def resiliparse(html: bytes) -> str:
    text = bytes_to_str(html, detect_encoding(html))
    found: str = extract_plain_text(text, main_content=True, alt_texts=False)
    return found


def main() -> None:
    files = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    pages = {key: Path(file).read_bytes() for key, file in files.items()}
    extractors: dict[str, Callable[[bytes], str]] = {
        "trafilatura": fast,
        "trafilatura full": full,
        "resiliparse": resiliparse,
    }
    texts: dict[str, dict[str, str]] = {}
    seconds = {}
    for name, extract in extractors.items():
        extract(next(iter(pages.values())))
        start = time.process_time()
        texts[name] = {key: extract(html) for key, html in pages.items()}
        seconds[name] = time.process_time() - start
    Path(sys.argv[2]).write_text(json.dumps(texts), encoding="utf-8")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
