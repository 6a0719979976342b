"""Writes documents as numbered Parquet parts, each with its provenance beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.records import document_id, document_schema, host_of, provenance_schema


class PartWriter:
    """Collects documents and writes `documents/part-NNNNN.parquet` and `provenance/...`.

    A part ends where the caller says so, so that parts do not depend on what was rejected.
    """

    def __init__(
        self,
        folder: Path,
        *,
        parts: int = 0,
        documents: int = 0,
        characters: int = 0,
        columns: Sequence[str] = (),
    ):
        """parts, documents, characters: what an earlier attempt wrote into `folder` already.
        columns: of text, behind those of the schema, such as a domain that is known already."""
        self._folder = folder
        self._schema = document_schema()
        for name in columns:
            self._schema = self._schema.append(pa.field(name, pa.string()))
        self._documents: list[dict[str, Any]] = []
        self._provenance: list[dict[str, Any]] = []
        self.parts = parts
        self.documents = documents
        self.characters = characters
        self.pending_characters = 0

    def add(
        self,
        url: str,
        text: str,
        source: str,
        fields: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
    ) -> str:
        """Adds a document to the current part; returns its id. fields: by names of the schema
        and of the own columns."""
        identity = document_id(url, text)
        row = {"id": identity, "url": url, "host": host_of(url), "source": source, "text": text}
        attributes = sorted((fields.get("attributes") or {}).items()) or None
        self._documents.append({"links": [], **fields, **row, "attributes": attributes})
        self._provenance.append({**(provenance or {}), "id": identity})
        self.documents += 1
        self.characters += len(text)
        self.pending_characters += len(text)
        return identity

    @property
    def part(self) -> str:
        """The name of the current part."""
        return f"part-{self.parts:05d}"

    @property
    def pending(self) -> int:
        """Documents in the current part."""
        return len(self._documents)

    def end_part(self) -> list[str]:
        """Writes the current part; an empty one is written too, so that numbers stay aligned.
        Returns the paths of its files below the folder."""
        files = []
        for folder, rows, schema in (
            ("documents", self._documents, self._schema),
            ("provenance", self._provenance, provenance_schema()),
        ):
            files.append(f"{folder}/{self.part}.parquet")
            path = self._folder / files[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(table, path, compression="zstd", compression_level=3)
            rows.clear()
        self.parts += 1
        self.pending_characters = 0
        return files
