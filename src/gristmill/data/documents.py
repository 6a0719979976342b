"""Documents and the layers over them.

The documents of an extraction or import never change. Each later step writes a layer: one row per
document of the base with a verdict (`keep`, `reason`), a new text where it changed it, and the
step's own columns. A document set is the base seen through its layers, so that a threshold
changes without a copy and `data why` can name every step's verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import layer_schema

_FIXED = ("id", "keep", "reason", "text")


@dataclass(frozen=True)
class DocumentSet:
    """A documents artifact and the layers over it, lowest first."""

    base: Artifact
    layers: tuple[Artifact, ...]

    @classmethod
    def open(cls, artifact: Artifact) -> DocumentSet:
        """From a documents artifact or the topmost layer.

        Raises GristmillError for an artifact of another kind.
        """
        layers: list[Artifact] = []
        while artifact.kind == "layer":
            layers.append(artifact)
            artifact = artifact.input("documents")
        if artifact.kind != "documents":
            raise GristmillError(
                f"this holds {artifact.kind}, not documents",
                where=artifact.path,
                mend="give the output of data extract, data import or a step after them",
            )
        return cls(artifact, tuple(reversed(layers)))

    @property
    def parts(self) -> list[str]:
        """The part names, `part-00000`, in order; the same in the base and in every layer."""
        return sorted(path.stem for path in (self.base.path / "documents").glob("part-*.parquet"))

    def base_rows(self, part: str) -> int:
        """Documents in a part of the base, kept or not."""
        return int(pq.read_metadata(self._base_file(part)).num_rows)

    def read(self, part: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The documents of a part that all layers keep, with their current text.

        columns: names of base columns and of layers' own columns (a later layer's wins); None
        gives all. The column `row` (int64) is added: the row in the base part, ascending.
        """
        kept = self.kept_rows(part)
        table = self.read_all(part, columns)
        return table.take(pa.array(kept)).append_column("row", pa.array(kept, pa.int64()))

    def read_all(self, part: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Every document of a part, dropped ones too, aligned with the base; current text."""
        where = self._places(part)
        names = list(where) if columns is None else list(columns)
        unknown = [name for name in names if name not in where]
        if unknown:
            raise GristmillError(
                f"the documents have no column '{unknown[0]}'",
                where=self.base.path,
                mend=f"they have {', '.join(sorted(where))}",
            )
        by_file: dict[Path, list[str]] = {}
        for name in names:
            by_file.setdefault(where[name], []).append(name)
        found: dict[str, pa.ChunkedArray] = {}
        for path, wanted in by_file.items():
            table = pq.read_table(path, columns=wanted)
            found.update((name, table[name]) for name in wanted)
        if "text" in found:
            found["text"] = self._current_text(part, found["text"])
        return pa.table({name: found[name] for name in names})

    def kept_rows(self, part: str) -> npt.NDArray[np.int64]:
        """The base rows that every layer keeps, ascending."""
        keep = np.ones(self.base_rows(part), dtype=np.bool_)
        for layer in self.layers:
            column = pq.read_table(_layer_file(layer, part), columns=["keep"])["keep"]
            keep &= column.to_numpy()
        return np.flatnonzero(keep)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Each part's name with `read`'s table."""
        for part in self.parts:
            yield part, self.read(part, columns)

    def column_names(self) -> list[str]:
        """Every column that can be read."""
        return list(self._places(self.parts[0])) if self.parts else []

    def history(self, part: str, row: int) -> list[tuple[str, dict[str, Any]]]:
        """What each layer says of one document: (stage, the layer's row), lowest first."""
        told = []
        for layer in self.layers:
            table = pq.read_table(_layer_file(layer, part))
            told.append((layer.stage, table.slice(row, 1).to_pylist()[0]))
        return told

    def _base_file(self, part: str) -> Path:
        return self.base.path / "documents" / f"{part}.parquet"

    def _places(self, part: str) -> dict[str, Path]:
        where = {
            name: self._base_file(part) for name in pq.read_schema(self._base_file(part)).names
        }
        for layer in self.layers:
            path = _layer_file(layer, part)
            where.update((n, path) for n in pq.read_schema(path).names if n not in _FIXED)
        return where

    def _current_text(self, part: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow.compute as pc

        for layer in self.layers:
            path = _layer_file(layer, part)
            changed = pq.read_table(path, columns=["text"])["text"]
            if changed.null_count < len(changed):
                text = pc.coalesce(changed, text)
        return text


def write_layer(
    folder: Path,
    part: str,
    ids: pa.Array | pa.ChunkedArray,
    rows: npt.NDArray[np.int64],
    *,
    keep: npt.NDArray[np.bool_],
    reason: Sequence[str | None],
    text: Sequence[str | None] | None = None,
    own: Mapping[str, pa.Array] | None = None,
) -> None:
    """Writes `layer/PART.parquet` below `folder`, one row for each document of the base part.

    ids: the ids of the whole base part, length n. rows: the base rows that this step looked at,
    ascending, length m. keep, reason, text, own: length m; `text` is None where it is unchanged,
    `own` holds the step's own columns. Rows that an earlier layer dropped get keep = False and
    null elsewhere. Raises AssertionError where lengths differ (a defect of the caller).
    """
    n, m = len(ids), len(rows)
    own = dict(own or {})
    assert len(keep) == m and len(reason) == m and all(len(c) == m for c in own.values())
    assert text is None or len(text) == m
    position = np.full(n, -1, dtype=np.int64)
    position[rows] = np.arange(m)
    take = pa.array(position, mask=position < 0)
    whole_keep = np.zeros(n, dtype=np.bool_)
    whole_keep[rows] = keep
    fixed = layer_schema()
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "id": ids,
        "keep": pa.array(whole_keep),
        "reason": pa.array(reason, pa.string()).take(take),
        "text": pa.nulls(n, pa.string())
        if text is None
        else pa.array(text, pa.string()).take(take),
    }
    schema = fixed
    for name, column in own.items():
        assert name not in _FIXED, name
        columns[name] = column.take(take)
        schema = schema.append(pa.field(name, column.type))
    path = folder / "layer" / f"{part}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd", compression_level=3)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a table as every Parquet file of the project is written (zstd, level 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=3)


def _layer_file(layer: Artifact, part: str) -> Path:
    return layer.path / "layer" / f"{part}.parquet"
