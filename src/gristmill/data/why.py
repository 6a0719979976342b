"""What happened to one page: its state in the crawl, each step's verdict, where it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.data.documents import DocumentSet

_FIXED = ("id", "keep", "reason", "text")
_FRONTIER, _INDEX = "frontier.parquet", "index.parquet"


def explain_page(url: str, artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """What each artifact says of the page at `url`: `{"stage", "said", "numbers"}` in order.

    Raises GristmillError, with the nearest known URL, where none of them knows it.
    """
    told: list[dict[str, Any]] = []
    for artifact in artifacts:
        if artifact.kind == "pages":
            told += _crawl(url, artifact)
        elif artifact.kind == "documents":
            told += _extraction(url, artifact)
    told += _layers(url, artifacts)
    for artifact in artifacts:
        if artifact.kind == "mixture":
            told += _mixture(url, artifact)
    if not told:
        raise GristmillError(
            f"no step has seen the page '{url}'", mend=did_you_mean(url, _known_urls(artifacts))
        )
    return told


def _crawl(url: str, artifact: Artifact) -> list[dict[str, Any]]:
    found = []
    for name in (_FRONTIER, _INDEX):
        if name == _FRONTIER and not (artifact.path / name).exists():
            continue  # pages out of other people's WARC files
        rows = _rows_of(artifact.file(name), url)
        found += rows[:1]
    if not found:
        return []
    numbers = {key: value for row in found for key, value in row.items() if value is not None}
    numbers.pop("url", None)
    return [_said(artifact, str(numbers.pop("state", "fetched")), numbers)]


def _extraction(url: str, artifact: Artifact) -> list[dict[str, Any]]:
    for path in sorted((artifact.path / "documents").glob("part-*.parquet")):
        rows = _rows_of(path, url, ["url", "id", "title", "language_attribute", "text"])
        if rows:
            row = rows[0]
            row["words"] = len(row["text"].split())
            return [_said(artifact, "a document", {k: v for k, v in row.items() if k != "url"})]
    for path in sorted((artifact.path / "rejects").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if url in (record.get("url"), record.get("where")):
                return [_said(artifact, f"rejected: {record.get('reason', '')}", {})]
    return []


def _layers(url: str, artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    layers = [artifact for artifact in artifacts if artifact.kind == "layer"]
    if not layers:
        return []
    documents = DocumentSet.open(layers[-1])
    for part in documents.parts:
        table = documents.read_all(part, ["url"])
        row = pc.index(table["url"], url).as_py()
        if row >= 0:
            return list(_verdicts(documents, part, row))
    return []


def _verdicts(documents: DocumentSet, part: str, row: int) -> list[dict[str, Any]]:
    told = []
    for layer, (_, verdict) in zip(documents.layers, documents.history(part, row), strict=True):
        own = {k: v for k, v in verdict.items() if k not in _FIXED and v is not None}
        if verdict["keep"]:
            said = "kept" + (", its text changed" if verdict["text"] is not None else "")
            told.append(_said(layer, said, own))
        else:
            told.append(_said(layer, f"dropped: {verdict['reason']}", own))
            break
    return told


def _mixture(url: str, artifact: Artifact) -> list[dict[str, Any]]:
    for split in ("train", "heldout"):
        for path in sorted((artifact.path / split).glob("part-*.parquet")):
            rows = _rows_of(path, url)
            if rows:
                row = {k: v for k, v in rows[0].items() if v is not None}
                shown = ["domain", "quality", "repeats", "anneal"]
                kept = {key: row[key] for key in shown if key in row}
                return [_said(artifact, f"in {split}", kept)]
    return []


def _rows_of(path: Any, url: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    table = pq.read_table(path, columns=columns, filters=[("url", "=", url)])
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _known_urls(artifacts: Sequence[Artifact]) -> list[str]:
    for artifact in artifacts:
        if artifact.kind == "pages":
            name = _FRONTIER if (artifact.path / _FRONTIER).exists() else _INDEX
            return list(pq.read_table(artifact.file(name), columns=["url"])["url"].to_pylist())
        if artifact.kind == "documents":
            urls: list[str] = []
            for path in sorted((artifact.path / "documents").glob("part-*.parquet")):
                urls += pq.read_table(path, columns=["url"])["url"].to_pylist()
            return urls
    return []


def _said(artifact: Artifact, said: str, numbers: dict[str, Any]) -> dict[str, Any]:
    return {"stage": artifact.stage, "said": said, "numbers": numbers}
