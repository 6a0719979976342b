"""Documents and the layers over them.

The documents of an extraction or import never change. Each later step writes a layer: one row per
document of the base with a verdict (`keep`, `reason`), a new text where it changed it, and the
step's own columns. A document set is the base seen through its layers, so that a threshold
changes without a copy and `data why` can name every step's verdict.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.errors import GristmillError
from gristmill.core.records import layer_schema

if TYPE_CHECKING:
    # What reads its manifest takes a worker that only writes parts a tenth of a second to import.
    from gristmill.core.artifact import Artifact

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
        # Whoever is told of these documents may work in another folder.
        artifact = replace(artifact, path=artifact.path.resolve())
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

    @cached_property
    def parts(self) -> list[str]:
        """The part names, `part-00000`, in order; the same in the base and in every layer."""
        return sorted(path.stem for path in (self.base.path / "documents").glob("part-*.parquet"))

    def base_rows(self, part: str) -> int:
        """Documents in a part of the base, kept or not."""
        return int(pq.read_metadata(self._base_file(part)).num_rows)

    def text_bytes(self) -> int:
        """About how many bytes of text the base holds, as its files' footers tell."""
        found = 0
        for part in self.parts:
            metadata = pq.read_metadata(self._base_file(part))
            at = metadata.schema.names.index("text")
            groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
            found += sum(group.column(at).total_uncompressed_size for group in groups)
        return found

    def read(self, part: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The documents of a part that all layers keep, with their current text.

        columns: names of base columns and of layers' own columns (a later layer's wins); None
        gives all. The column `row` (int64) is added: the row in the base part, ascending.
        """
        table = self.read_all(part, columns)
        kept = self._kept_of(part, len(table))
        if len(kept) < len(table):
            table = table.take(pa.array(kept))
        return table.append_column("row", pa.array(kept, pa.int64()))

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
            table = _read(path, wanted)
            found.update((name, table[name]) for name in wanted)
        if "text" in found:
            found["text"] = self._current_text(part, found["text"])
        return pa.table({name: found[name] for name in names})

    def ids(self, part: str) -> pa.ChunkedArray:
        """The ids of a whole part of the base."""
        return _read(self._base_file(part), ["id"])["id"]

    def kept_rows(self, part: str) -> npt.NDArray[np.int64]:
        """The base rows that every layer keeps, ascending."""
        return self._kept_of(part, self.base_rows(part))

    def _kept_of(self, part: str, count: int) -> npt.NDArray[np.int64]:
        keep = np.ones(count, dtype=np.bool_)
        for layer in self.layers:
            column = _read(_layer_file(layer, part), ["keep"])["keep"]
            keep &= column.to_numpy()
        return np.flatnonzero(keep)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Each part's name with `read`'s table."""
        for part in self.parts:
            yield part, self.read(part, columns)

    def column_names(self) -> list[str]:
        """Every column that can be read."""
        return list(self._owners)

    def history(self, part: str, row: int) -> list[tuple[str, dict[str, Any]]]:
        """What each layer says of one document: (stage, the layer's row), lowest first."""
        told = []
        for layer in self.layers:
            table = _read(_layer_file(layer, part))
            told.append((layer.stage, table.slice(row, 1).to_pylist()[0]))
        return told

    def _base_file(self, part: str) -> Path:
        return self.base.path / "documents" / f"{part}.parquet"

    @cached_property
    def _owners(self) -> dict[str, Artifact]:
        """The artifact that holds each column, as its first part tells: all parts are alike."""
        if not self.parts:
            return {}
        base = pq.read_schema(self._base_file(self.parts[0])).names
        owners = dict.fromkeys(base, self.base)
        for layer in self.layers:
            names = pq.read_schema(_layer_file(layer, self.parts[0])).names
            owners.update((name, layer) for name in names if name not in _FIXED)
        return owners

    def _places(self, part: str) -> dict[str, Path]:
        return {
            name: self._base_file(part) if owner is self.base else _layer_file(owner, part)
            for name, owner in self._owners.items()
        }

    def _current_text(self, part: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow.compute as pc

        for layer in self.layers:
            path = _layer_file(layer, part)
            changed = _read(path, ["text"])["text"]
            if changed.null_count < len(changed):
                text = pc.coalesce(changed, text)
        return text


def seeds_of(documents: DocumentSet, part: str) -> pa.Table | None:
    """What each document of a whole part was written from: `seed` (its id) and `seed_group` (of
    near-duplicates); None where the documents are no synthetic ones (`align synthesize`)."""
    path = documents.base.path / "synthetic" / f"{part}.parquet"
    return _read(path, ["seed", "seed_group"]) if path.is_file() else None


def write_layer(
    folder: Path,
    part: str,
    ids: pa.Array | pa.ChunkedArray,
    rows: npt.NDArray[np.int64],
    *,
    keep: npt.NDArray[np.bool_],
    reason: Sequence[str | None] | pa.ChunkedArray,
    text: Sequence[str | None] | pa.ChunkedArray | None = None,
    own: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
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
        "reason": _strings(reason).take(take),
        "text": pa.nulls(n, pa.string()) if text is None else _strings(text).take(take),
    }
    schema = fixed
    for name, column in own.items():
        assert name not in _FIXED, name
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        columns[name] = column.take(take)
        schema = schema.append(pa.field(name, column.type))
    write_parquet(folder / "layer" / f"{part}.parquet", pa.table(columns, schema=schema))


def write_parquet(
    path: Path, table: pa.Table, *, compression: Literal["zstd", "lz4"] = "zstd"
) -> None:
    """Writes a table as every Parquet file of the project is written (zstd, level 3, unless it is
    to be read as fast as can be), whole or not at all: a worker that was given up may write the
    same file at the same time."""
    level = 3 if compression == "zstd" else None
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression=compression, compression_level=level)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(columns=None if columns is None else list(columns))


def _strings(values: Sequence[str | None] | pa.ChunkedArray) -> pa.Array:
    # One chunk, however many the values came in: the file's bytes follow the chunks.
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    return pa.array(values, pa.string())


def _layer_file(layer: Artifact, part: str) -> Path:
    return layer.path / "layer" / f"{part}.parquet"
