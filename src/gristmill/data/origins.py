"""From a training document back to its page: title, address, and the WARC record it came from.

The way goes through the lineage: tokens, the mixture that they encode, the layers below it, and
the documents with their provenance, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.data.documents import DocumentSet


@dataclass(frozen=True)
class Origin:
    """Where a document came from; None where the lineage does not tell."""

    title: str | None = None
    warc: Path | None = None
    """The WARC file; only its name where the crawl that held it is gone."""
    offset: int | None = None
    record_id: str | None = None


@dataclass(frozen=True)
class Origins:
    """What the lineage of token shards knows of their documents."""

    mixture: Artifact | None
    documents: Artifact | None
    warc_folder: Path | None

    @classmethod
    def open(cls, tokens: Artifact) -> Origins:
        """Goes down the lineage as far as it is there: a missing artifact is no error."""
        mixture = _input(tokens, "mixture")
        below = None if mixture is None else _input(mixture, "documents")
        documents = None
        if below is not None:
            try:
                documents = DocumentSet.open(below).base
            except GristmillError:
                documents = None
        pages = None if documents is None else _input(documents, "pages")
        return cls(mixture, documents, None if pages is None else pages.path / "warc")

    def of(self, ids: Sequence[str]) -> dict[str, Origin]:
        """The origin of each document id; an empty one where nothing is known."""
        wanted = sorted(set(ids))
        titles = _rows(self.mixture, "train", ["id", "title"], wanted)
        origins = {}
        places = _rows(self.documents, "provenance", ["id", "warc", "offset", "record_id"], wanted)
        for one in wanted:
            place = places.get(one, {})
            origins[one] = Origin(
                titles.get(one, {}).get("title"),
                self._warc(place.get("warc")),
                place.get("offset"),
                place.get("record_id"),
            )
        return origins

    def _warc(self, name: str | None) -> Path | None:
        if not name:
            return None
        if self.warc_folder is not None and (self.warc_folder / name).is_file():
            return self.warc_folder / name
        return Path(name)


def _input(artifact: Artifact, slot: str) -> Artifact | None:
    try:
        return artifact.input(slot)
    except GristmillError:
        return None


def _rows(
    artifact: Artifact | None, folder: str, columns: list[str], ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The first row of each id in the Parquet files of a folder of the artifact."""
    if artifact is None or not ids or not any((artifact.path / folder).glob("*.parquet")):
        return {}
    table = pq.read_table(artifact.path / folder, columns=columns, filters=[("id", "in", ids)])
    found: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        found.setdefault(row["id"], row)
    return found
