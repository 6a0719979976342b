"""One global step of `benchmarks/engine.py` in a process of its own: on how many pages each line
stands, over all shards. The last line is JSON.

    python benchmarks/engine_lines.py DOCUMENTS FOLDER [--workers N] [--address HOST:PORT]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from beside import peak_memory

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file, hash_json
from gristmill.data.dedup.line_counts import LinesPart, count_lines
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.steps import engine_of

PARTITIONS = 16


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("documents", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--address")
    given = parser.parse_args(arguments)
    documents = DocumentSet.open(Artifact.open(given.documents))
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    engine = engine_of(given.workers, "ray" if given.address else "local", given.address)
    keys, pages = count_lines(
        engine,
        documents,
        (_part(documents, name) for name in documents.parts),
        min_pages=1,
        min_letters=8,
        unit="line",
        folder=given.folder,
        partitions=PARTITIONS,
    )
    files = sorted((given.folder / "counts").glob("*.parquet"))
    t = os.times()
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "content": hash_json([hash_file(file) for file in files]),
                "partitions": len(files),
                "lines": len(keys),
                "stands": int(pages.sum()),
                "own": t.user + t.system,
                "children": t.children_user + t.children_system,
                "peak_memory_bytes": max(peak_memory(), largest),
            }
        )
    )


def _part(documents: DocumentSet, name: str) -> LinesPart:
    count = len(documents.kept_rows(name))
    # One site: the lines of the whole corpus.
    return LinesPart(name, np.arange(count), np.ones(count, np.uint64))


if __name__ == "__main__":
    main()
