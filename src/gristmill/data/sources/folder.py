"""The files that a user named, in an order that does not depend on the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.data.sources.readers import READERS, reader_for
from gristmill.data.sources.record import SourceFile


@dataclass(frozen=True)
class Found:
    """Files that can be read, sorted by name, and the names of those that cannot."""

    files: list[SourceFile]
    unknown: list[str]


def find_files(path: Path) -> Found:
    """A file, or all files below a folder except hidden ones.

    Raises GristmillError where there is nothing, or nothing that can be read.
    """
    if path.is_file():
        found = [SourceFile(path, path.name)]
    elif path.is_dir():
        found = [
            SourceFile(inner, inner.relative_to(path).as_posix())
            for inner in path.rglob("*")
            if inner.is_file()
        ]
        found = [f for f in found if not any(p.startswith(".") for p in f.name.split("/"))]
        found.sort(key=lambda file: file.name)
    else:
        raise GristmillError(
            "no such file or folder", where=path, mend="name a file or a folder that exists"
        )
    files = [file for file in found if reader_for(file.name)]
    if not files:
        raise GristmillError(
            "there is nothing to import here",
            where=path,
            mend=f"name a file, or a folder with files, of {', '.join(READERS)}",
        )
    return Found(files, [file.name for file in found if not reader_for(file.name)])
