"""Documents of an earlier snapshot, against which new ones are deduplicated.

Of them the step has the id and the digest of each, in columns, and the band keys, in its index.
Both are made from the texts, or read where the earlier deduplication kept them (`KEPT`): per part
`index/PART.parquet`, a row for each kept document with its row in the base, the digest of its text
and its keys in all bands, and `index/index.json` with the settings that they depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.canonical import read_json, write_json
from gristmill.data.dedup.columns import Column, Rows
from gristmill.data.dedup.corpus_texts import id_numbers
from gristmill.data.dedup.exact import (
    Normalisation,
    address_numbers,
    digest_numbers,
    text_digest,
)
from gristmill.data.dedup.lsh import Keys
from gristmill.data.dedup.near import EarlierPart, NearSettings
from gristmill.data.documents import DocumentSet, write_parquet
from gristmill.data.ngrams import Hashes, Texts

KEPT = "index"
_SETTINGS = "index.json"
_FORMAT = 1


@dataclass(frozen=True)
class Earlier:
    """ids, digests (two halves), pages (`address_numbers`, where asked for): of every document of
    the earlier snapshots, in the order of `parts`. reused: how many of them did not have to be
    read."""

    ids: Column
    digests: tuple[Column, Column]
    pages: Column
    parts: list[EarlierPart]
    reused: int

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, digests: tuple[Hashes, Hashes]) -> Rows:
        """For each digest the earlier document of the smallest id that has it, or -1."""
        high, low = (column.read() for column in self.digests)
        order = np.lexsort((self.ids.read(), low, high))
        high, low = high[order], low[order]
        place = np.searchsorted(high, digests[0])
        found = np.full(len(place), -1, np.int64)
        open_ = np.arange(len(place))
        # Once, but for two texts that share half a digest.
        while len(open_):
            inside = place[open_] < len(high)
            open_ = open_[inside]
            open_ = open_[high[place[open_]] == digests[0][open_]]
            same = low[place[open_]] == digests[1][open_]
            found[open_[same]] = order[place[open_[same]]]
            open_ = open_[~same]
            place[open_] += 1
        return found

    def find_pages(self, pages: Hashes) -> Rows:
        """For each page the earlier document of the smallest id at its address, or -1; 0 is none.
        Only where addresses were noted."""
        known = self.pages.read()
        order = np.lexsort((self.ids.read(), known))
        known = known[order]
        place = np.minimum(np.searchsorted(known, pages), max(0, len(known) - 1))
        hit = (known[place] == pages) & (pages > 0)
        return np.where(hit, order[place], -1)


def nothing_earlier(scratch: Path) -> Earlier:
    """No earlier snapshot. scratch: a folder."""
    names = ("ids", "high", "low", "pages")
    ids, high, low, pages = (Column(scratch / f"earlier-{name}", "<u8") for name in names)
    return Earlier(ids, (high, low), pages, [], 0)


def read_earlier(
    snapshots: Sequence[DocumentSet],
    near: NearSettings | None,
    normalisation: Normalisation,
    scratch: Path,
    addresses: bool = False,
) -> Earlier:
    """What was kept of earlier snapshots, the first one first.

    A kept index is used where its settings are these; otherwise the texts are read. scratch: a
    folder for the columns. addresses: note them too.
    """
    found = nothing_earlier(scratch)
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
            if addresses:
                urls = snapshot.read(part, ["url"])["url"].to_pylist()
                found.pages.append(address_numbers(urls))
            found.ids.append(id_numbers(table["id"]))
            for column, half in zip(found.digests, digest_numbers(digests), strict=True):
                column.append(half)
            found.parts.append(one)
    return replace(found, reused=reused)


def keep_index(
    folder: Path, part: str, rows: Rows, digests: tuple[Hashes, Hashes], keys: Keys
) -> None:
    """Writes `index/PART.parquet` below `folder`. digests: both halves of each. keys:
    uint32[bands, len(rows)]."""
    width = 4 * len(keys)
    flat = np.ascontiguousarray(keys.T, "<u4").tobytes()
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "digest": _fixed(np.stack(digests, axis=1).astype("<u8").tobytes(), 16, len(rows)),
            "keys": _fixed(flat, width, len(rows)),
        }
    )
    write_parquet(folder / KEPT / f"{part}.parquet", table)


def _fixed(flat: bytes, width: int, count: int) -> pa.Array:
    buffers = [None, pa.py_buffer(flat)]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, buffers)


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
