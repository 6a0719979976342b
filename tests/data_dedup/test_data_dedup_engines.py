"""Deduplication in this process and in worker processes: the same bytes; and only where it pays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gristmill.data.dedup import corpus_texts
from gristmill.data.dedup.corpus import DedupSettings, deduplicate
from gristmill.data.dedup.verdicts import DedupPart
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.local import LocalEngine
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.workspace import Workspace


@dataclass(frozen=True)
class Watched(LocalEngine):
    """Notes how many parts each step has; runs them in one worker process."""

    parts: list[int] = field(default_factory=list)

    def run(self, step: Any, parts: Iterable[Any], **how: Any) -> Iterator[Mapping[str, Any]]:
        given = list(parts)
        self.parts.append(len(given))
        yield from super().run(step, given, **{**how, "isolate": True, "most_workers": 1})


def documents(folder: Path) -> DocumentSet:
    """60 pages of a site in 6 parts, every fourth a copy with a word more, all with one line."""
    r = np.random.default_rng(2)
    rows: list[str] = []
    for number in range(60):
        words = [f"word{n}" for n in r.integers(0, 500, 40)]
        rows.append(f"{rows[-3]} more" if number % 4 == 3 else " ".join(words))
    folder.mkdir()
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as out:
        for number, row in enumerate(rows):
            text = f"{row}\nTold by the guild of millers"
            out.write(json.dumps({"url": f"http://mill.example/{number}", "text": text}) + "\n")
    config = ImportConfig(path=folder / "rows.jsonl", part_documents=10)
    return DocumentSet.open(data_import.run(config, {}, Workspace.at(folder / "made")))


def verdicts(
    found: DocumentSet, engine: LocalEngine, folder: Path
) -> tuple[list[Any], dict[str, int], list[bytes]]:
    told: list[Any] = []

    def write(part: DedupPart) -> None:
        told.append((part.name, part.reason, part.near_group, part.because, part.text))

    result = deduplicate(
        found, DedupSettings(), write, engine=engine, index_folder=folder, scratch=folder
    )
    index = sorted((folder / "index").iterdir())
    return told, result.counts, [file.read_bytes() for file in index]


def test_worker_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = documents(tmp_path / "documents")
    several, few = Watched(2), Watched(2)
    for name in ("alone", "several", "few"):
        (tmp_path / name).mkdir()
    alone = verdicts(found, LocalEngine(1), tmp_path / "alone")
    assert alone[1]["near_duplicate"] == 15 and alone[1]["repeated_lines"] == 60
    # So few letters are worked off here, whatever the number of workers.
    assert verdicts(found, few, tmp_path / "few") == alone and not few.parts
    monkeypatch.setattr(corpus_texts, "WORKERS_FROM", 1)
    assert verdicts(found, several, tmp_path / "several") == alone
    # Lines, spread and gathered; signatures.
    assert several.parts == [6, 1, 6]
