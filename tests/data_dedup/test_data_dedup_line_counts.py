"""Lines counted across shards by the engine: what one process counts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gristmill.data.dedup.line_counts import LinesPart, count_lines, repeated_lines
from gristmill.data.dedup.lines import SiteLines, Unit
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


def test_as_one_process_counts_them(tmp_path: Path) -> None:
    found = documents(tmp_path / "documents")
    sites = np.array([2**63 + 1, 5, 17], np.uint64)
    parts = []
    for number, name in enumerate(found.parts):
        rows = np.arange(number % 3, len(found.kept_rows(name)))
        parts.append(LinesPart(name, rows, sites[rows % 3]))
    units: tuple[Unit, ...] = ("line", "paragraph")
    for unit in units:
        alone = SiteLines(tmp_path / f"spilled-{unit}", 8, unit)
        for part in parts:
            texts = found.read(part.name, ["text"])["text"].to_pylist()
            alone.add(part.sites, [texts[row] for row in part.rows.tolist()])
        expected = alone.repeated(share=0.0, min_pages=3)
        keys, pages = count_lines(
            LocalEngine(1), found, parts, min_pages=3, min_letters=8, unit=unit,
            folder=tmp_path / unit, partitions=4, isolate=False,
        )  # fmt: skip
        assert keys.tolist() == expected.keys.tolist()
        assert pages.tolist() == expected.counts.tolist()
        again = repeated_lines(
            LocalEngine(1), found, iter(parts), share=0.3, min_pages=3, min_letters=8, unit=unit,
            folder=tmp_path / f"{unit}-again", isolate=False,
        )  # fmt: skip
        expected = alone.repeated(share=0.3, min_pages=3)
        for name in ("keys", "counts", "sites", "needed"):
            assert getattr(again, name).tolist() == getattr(expected, name).tolist(), name
        assert again.needed.dtype == expected.needed.dtype and again.unit == unit
    assert len(keys) == 0 < pq.read_table(tmp_path / "line" / "counts")["key"].length()
