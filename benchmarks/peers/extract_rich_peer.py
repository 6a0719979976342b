"""The peers of the benchmark of formulae, code and tables: trafilatura and resiliparse.

    python extract_rich_peer.py EXTRACTOR PAGES OUTPUT

PAGES is a JSON file {key: path of an .html or .html.gz}. The texts go to OUTPUT as {key: text},
with the options that keep most of what is measured. The last line: {"seconds": CPU seconds}.
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
        return (
            trafilatura.extract(
                html, fast=True, include_comments=False, include_tables=True, favor_recall=True
            )
            or ""
        )

    return extract


def resiliparse() -> Callable[[bytes], str]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    def extract(html: bytes) -> str:
        found: str = extract_plain_text(
            bytes_to_str(html, detect_encoding(html)),
            main_content=True,
            alt_texts=True,
            preserve_formatting=True,
        )
        return found

    return extract


def main() -> None:
    extract = {"trafilatura": trafilatura, "resiliparse": resiliparse}[sys.argv[1]]()
    files = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    pages = {key: read(Path(name)) for key, name in files.items()}
    extract(next(iter(pages.values())))
    start = time.process_time()
    texts = {key: extract(html) for key, html in pages.items()}
    seconds = time.process_time() - start
    Path(sys.argv[3]).write_text(json.dumps(texts), encoding="utf-8")
    print(json.dumps({"seconds": seconds}))


def read(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if file.suffix == ".gz" else data


if __name__ == "__main__":
    main()
