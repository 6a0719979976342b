"""Documents of an earlier snapshot, against which new ones are deduplicated.

Of them the step holds the id and the digest of each, in memory, and the band keys, in its index.
Both are made from the texts, or read where the earlier deduplication kept them (`KEPT`): per part
`index/PART.parquet`, a row for each kept document with its row in the base, the digest of its text
and its keys in all bands, and `index/index.json` with the settings that they depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.canonical import read_json, write_json
from gristmill.data.dedup.exact import Normalisation, text_digest
from gristmill.data.dedup.lsh import Keys
from gristmill.data.dedup.near import EarlierPart, NearSettings
from gristmill.data.documents import DocumentSet, write_parquet
from gristmill.data.ngrams import Texts

KEPT = "index"
_SETTINGS = "index.json"
_FORMAT = 1


@dataclass(frozen=True)
class Earlier:
    """ids, digests: of every document of the earlier snapshots, in the order of `parts`.
    reused: how many of them did not have to be read."""

    ids: list[str]
    digests: list[bytes]
    parts: list[EarlierPart]
    reused: int


def read_earlier(
    snapshots: Sequence[DocumentSet], near: NearSettings | None, normalisation: Normalisation
) -> Earlier:
    """What was kept of earlier snapshots, the first one first.

    A kept index is used where its settings are these; otherwise the texts are read.
    """
    found = Earlier([], [], [], 0)
    reused = 0
    for snapshot in snapshots:
        folder = _kept_folder(snapshot, near, normalisation)
        for part in snapshot.parts:
            read = partial(_texts, snapshot, part)
            if folder is None:
                table = snapshot.read(part, ["id", "text"])
                digests = [text_digest(t, normalisation) for t in table["text"].to_pylist()]
                one = EarlierPart(table.num_rows, read)
            else:
                table = snapshot.read(part, ["id"])
                kept = pq.read_table(folder / f"{part}.parquet", columns=["row", "digest"])
                assert kept["row"].equals(table["row"]), part
                digests = kept["digest"].to_pylist()
                one = EarlierPart(table.num_rows, read, partial(_keys, folder, part))
                reused += table.num_rows
            found.ids.extend(table["id"].to_pylist())
            found.digests.extend(digests)
            found.parts.append(one)
    return Earlier(found.ids, found.digests, found.parts, reused)


def keep_index(
    folder: Path, part: str, rows: npt.NDArray[np.int64], digests: Sequence[bytes], keys: Keys
) -> None:
    """Writes `index/PART.parquet` below `folder`. keys: uint32[bands, len(rows)]."""
    width = 4 * len(keys)
    flat = np.ascontiguousarray(keys.T, "<u4").tobytes()
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "digest": pa.array(digests, pa.binary(16)),
            "keys": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(width), len(rows), [None, pa.py_buffer(flat)]
            ),
        }
    )
    write_parquet(folder / KEPT / f"{part}.parquet", table)


def keep_index_settings(folder: Path, near: NearSettings, normalisation: Normalisation) -> None:
    """Writes `index/index.json`: without it the parts are not used."""
    write_json(folder / KEPT / _SETTINGS, _settings(near, normalisation))


def _settings(near: NearSettings, normalisation: Normalisation) -> dict[str, Any]:
    settings = {**asdict(near), "normalisation": normalisation, "format": _FORMAT}
    # What counts as near is decided later, by exact similarity.
    del settings["threshold"]
    return settings


def _kept_folder(
    snapshot: DocumentSet, near: NearSettings | None, normalisation: Normalisation
) -> Path | None:
    """Only of the topmost layer: what lies above it may have changed texts."""
    if not snapshot.layers or near is None:
        return None
    folder = snapshot.layers[-1].path / KEPT
    file = folder / _SETTINGS
    if not file.is_file() or read_json(file) != _settings(near, normalisation):
        return None
    return folder


def _texts(snapshot: DocumentSet, part: str) -> Texts:
    texts: Texts = snapshot.read(part, ["text"])["text"]
    return texts


def _keys(folder: Path, part: str) -> Keys:
    column = pq.read_table(folder / f"{part}.parquet", columns=["keys"])["keys"].combine_chunks()
    width = column.type.byte_width
    flat = np.frombuffer(column.buffers()[1], "<u4", len(column) * width // 4)
    return np.ascontiguousarray(flat.reshape(len(column), width // 4).T)
