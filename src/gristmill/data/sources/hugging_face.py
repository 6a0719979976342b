"""Data sets as the `datasets` library and its hub lay them out, read without it.

A saved or cached set is a folder of Arrow streams with `state.json` or `dataset_info.json`; a hub
repository is Parquet, Arrow or JSON Lines files and a README whose front matter states the
licence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gristmill.data.licences import licence_name
from gristmill.data.sources.record import OTHER_NAMES, Raw, Record, SourceFile, record_from

_STATED = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json")
_KEYS = ("license", "dataset_info", "configs", "task_categories", "size_categories", "pretty_name")
_MAX_FRONT = 200_000
_ROWS = 1000


@dataclass(frozen=True)
class Card:
    """What is stated of a data set for all of its rows; empty where a folder is none."""

    folder: Path | None = None
    stated: Mapping[str, str] = field(default_factory=dict)
    files: frozenset[str] = frozenset()

    def defaults(self) -> dict[str, str]:
        """licence, source and language of rows that state none themselves."""
        return dict(self.stated)

    def own_files(self, folder: Path) -> frozenset[str]:
        """Names in `folder` of files that describe the set and are no documents."""
        return self.files if folder == self.folder else frozenset()


def read_card(folder: Path, above: Card) -> Card:
    """The card of a folder: its own where it has one, over that of the folder above it."""
    files = {name for name in _STATED if (folder / name).is_file()}
    stated = dict(above.stated)
    info = _json(folder / "dataset_info.json")
    front = _front_matter(folder / "README.md")
    if front:
        files.add("README.md")
    if not files:
        return Card(None, above.stated)
    if "license" in info or "license" in front:
        stated["licence"] = _licence(info.get("license") or front.get("license"))
    name = info.get("dataset_name") or info.get("builder_name") or front.get("pretty_name")
    if isinstance(name, str) and name.strip():
        stated["source"] = " ".join(name.split())[:100]
    language = front.get("language")
    language = language[0] if isinstance(language, list) and len(language) == 1 else language
    if isinstance(language, str):
        stated["language_attribute"] = language[:35]
    kept = {key: value for key, value in stated.items() if value}
    return Card(folder, kept, frozenset(files | {"dataset_dict.json", "state.json"}))


def read_arrow(file: SourceFile, text_key: str) -> Iterator[Record | Raw]:
    """One document a row of an Arrow stream or file, mapped and not loaded."""
    import pyarrow as pa

    state = _json(file.path.parent / "state.json") if file.data is None else {}
    if state.get("_indices_data_files"):
        # The rows that count are named in a second table: all rows would be more than the set.
        yield Record(None, problem="a selection of rows; save the data set flattened")
        return
    try:
        source = (
            pa.BufferReader(file.data) if file.data is not None else pa.memory_map(str(file.path))
        )
        with source:
            row = 0
            for batch in _batches(source):
                names = batch.schema.names
                if text_key not in names:
                    columns = f"it has {', '.join(names[:20])}"
                    yield Record(None, problem=f"no column '{text_key}'", sample=columns)
                    return
                for start in range(0, batch.num_rows, _ROWS):
                    wanted = wanted_columns(names, text_key)
                    for values in batch.slice(start, _ROWS).select(wanted).to_pylist():
                        yield record_from(row, values, text_key)
                        row += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Record(None, problem="damaged file", sample=str(error)[:200])


def wanted_columns(names: list[str], text_key: str) -> list[str]:
    """The columns of a table that a document takes."""
    from gristmill.data.sources.record import FIELDS

    known = {text_key, "url", "source", "fetched_at", *OTHER_NAMES, *FIELDS}
    return [name for name in names if name in known]


def _batches(source: Any) -> Iterator[Any]:
    import pyarrow as pa

    if source.read(6) == b"ARROW1":
        source.seek(0)
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        return
    source.seek(0)
    yield from pa.ipc.open_stream(source)


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > 64 << 20:
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _front_matter(path: Path) -> dict[str, Any]:
    """The YAML block at the top of a README that is a data set's card; empty for any other."""
    import yaml

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            head = file.read(_MAX_FRONT)
    except OSError:
        return {}
    if not head.startswith("---\n") or (end := head.find("\n---", 3)) < 0:
        return {}
    # Anchors can make a small block grow without bound when it is loaded.
    if "*" in head[:end] and "&" in head[:end]:
        return {}
    try:
        value = yaml.safe_load(head[4:end])
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) and any(key in value for key in _KEYS) else {}


def _licence(stated: Any) -> str:
    names = stated if isinstance(stated, list) else [stated]
    found = [licence_name(name) for name in names if isinstance(name, str) and name.strip()]
    known = [name for name in found if name and name.lower() not in ("other", "unknown")]
    return " AND ".join(known)
