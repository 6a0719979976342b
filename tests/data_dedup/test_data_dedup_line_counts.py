"""Lines counted across shards by the engine: what plain Python counts."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gristmill.data.dedup.line_counts import LinesPart, count_lines, repeated_lines
from gristmill.data.dedup.lines import Unit, line_keys
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.local import LocalEngine
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.workspace import Workspace


def documents(folder: Path) -> DocumentSet:
    """Pages of five lines, drawn so that some stand on many."""
    r = random.Random(4)
    lines = [f"A line with the number {n} and enough of letters" for n in range(30)] + ["}", ""]
    rows = ["\\n".join(r.choice(lines) for _ in range(5)) for _ in range(60)]
    folder.mkdir()
    (folder / "rows.jsonl").write_text(
        "".join(f'{{"text": "{text} {n % 7}"}}\n' for n, text in enumerate(rows)), encoding="utf-8"
    )
    config = ImportConfig(path=folder / "rows.jsonl", part_documents=11)
    return DocumentSet.open(data_import.run(config, {}, Workspace.at(folder / "made")))


def test_as_plain_python_counts_them(tmp_path: Path) -> None:
    found = documents(tmp_path / "documents")
    sites = np.array([2**63 + 1, 5, 17], np.uint64)
    parts = []
    for number, name in enumerate(found.parts):
        rows = np.arange(number % 3, len(found.kept_rows(name)))
        parts.append(LinesPart(name, rows, sites[rows % 3]))
    units: tuple[Unit, ...] = ("line", "paragraph")
    for unit in units:
        counted: Counter[int] = Counter()
        pages: Counter[int] = Counter()
        for part in parts:
            texts = found.read(part.name, ["text"])["text"].to_pylist()
            pages.update(part.sites.tolist())
            for row, site in zip(part.rows.tolist(), part.sites, strict=True):
                counted.update(set(line_keys([texts[row]], np.array([site]), 8, unit)[0].tolist()))
        wanted = sorted((key, count) for key, count in counted.items() if key and count >= 3)
        for partitions in (1, 4):
            keys, counts = count_lines(
                LocalEngine(1), found, parts, min_pages=3, min_letters=8, unit=unit,
                folder=tmp_path / f"{unit}-{partitions}", partitions=partitions, isolate=False,
            )  # fmt: skip
            assert list(zip(keys.tolist(), counts.tolist(), strict=True)) == wanted
        again = repeated_lines(
            LocalEngine(1), found, iter(parts), share=0.3, min_pages=3, min_letters=8, unit=unit,
            folder=tmp_path / f"{unit}-again", partitions=2, isolate=False,
        )  # fmt: skip
        assert (again.keys.tolist(), again.counts.tolist()) == (keys.tolist(), counts.tolist())
        sites = [(site, max(3, 0.3 * count)) for site, count in pages.items() if count >= 3]
        needed = zip(again.sites.tolist(), again.needed.tolist(), strict=True)
        assert list(needed) == sorted(sites) and again.unit == unit
    assert len(keys) == 0 < pq.read_table(tmp_path / "line-4" / "counts")["key"].length()
