"""What is to be read of a path that a user named, in an order that does not depend on the machine.

A folder may be a Git repository, a maildir, a saved data set, or hold any of these and single
files. Links that lead out of the named folder are not followed, so that a folder from elsewhere
cannot make us read what lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.data.sources.formats import CONVERTED, PLAIN, detect
from gristmill.data.sources.git import is_repository
from gristmill.data.sources.hugging_face import Card, read_card
from gristmill.data.sources.latex import decoded, is_main
from gristmill.data.sources.packed import DAMAGE, open_packed
from gristmill.data.sources.record import SourceFile

_HEAD = 2048
_MAIN_HEAD = 200_000
_MOST_FOLDERS_DEEP = 60


@dataclass(frozen=True)
class Found:
    """Files that can be read, sorted by name, plain ones first; others' names with the reason."""

    files: list[SourceFile]
    unknown: list[tuple[str, str]]
    parts: int = 0
    """Files that are taken in by a main file of LaTeX."""


def sort_found(files: list[SourceFile], path: Path, format: str) -> Found:
    """`find_files` for files that were named otherwise; those without a format are looked at.

    One that is not there is left to its reader, which says so.
    """
    found = [
        file if file.format else replace(file, format="warc")
        if not file.path.exists() else _sniffed(file, format)
        for file in files
    ]  # fmt: skip
    return _sorted(found, path)


def find_files(path: Path, format: str = "auto", follow_links: bool = False) -> Found:
    """A file, or all that is below a folder except hidden files.

    format: 'auto', or what every file is to be read as. follow_links: also to what lies outside.
    Raises GristmillError where there is nothing, or nothing that can be read.
    """
    if path.is_file():
        found = [_sniffed(SourceFile(path, path.name), format)]
    elif path.is_dir():
        found = list(_Walk(path, format, follow_links).run())
    else:
        raise GristmillError(
            "no such file or folder", where=path, mend="name a file or a folder that exists"
        )
    return _sorted(found, path)


def _sorted(found: list[SourceFile], path: Path) -> Found:
    unknown = sorted((f.name, f.format[1:]) for f in found if f.format.startswith("?"))
    files = [file for file in found if not file.format.startswith("?")]
    whole = _without_parts_of_latex(files)
    parts, files = len(files) - len(whole), whole
    if not files:
        raise GristmillError(
            "there is nothing to import here",
            where=path,
            mend=f"name a file, or a folder with files, of {', '.join((*PLAIN, *CONVERTED))}; "
            "or say with --format what the files are",
        )
    files.sort(key=lambda file: (file.format in CONVERTED, file.name))
    return Found(files, unknown, parts)


class _Walk:
    def __init__(self, root: Path, format: str, follow_links: bool):
        self._root = root
        self._inside = root.resolve()
        self._format = format
        self._follow = follow_links

    def run(self) -> Iterator[SourceFile]:
        """Each file, with its format; one that is not read has '?' and the reason there."""
        yield from self._folder(self._root, Card(), 0)

    def _folder(self, folder: Path, card: Card, depth: int) -> Iterator[SourceFile]:
        name = self._name(folder)
        if self._format in ("auto", "git") and is_repository(folder):
            yield SourceFile(folder, name, "git")
            return
        if self._format == "git" and folder == self._root:
            raise GristmillError(
                "this is no Git repository", where=folder, mend="name one, bare or a working tree"
            )
        if all((folder / part).is_dir() for part in ("cur", "new")):
            for part in ("cur", "new"):
                yield from (
                    SourceFile(message, self._name(message), "mail")
                    for message in sorted((folder / part).iterdir())
                    if message.is_file() and not message.is_symlink()
                )
            return
        card = read_card(folder, card)
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_symlink() and not self._follow and not self._is_inside(path):
                yield SourceFile(path, self._name(path), "?link out of the folder")
            elif path.is_dir():
                if path.is_symlink() or depth > _MOST_FOLDERS_DEEP:
                    yield SourceFile(path, self._name(path), "?link to a folder")
                else:
                    yield from self._folder(path, card, depth + 1)
            elif path.is_file() and path.name not in card.own_files(folder):
                file = SourceFile(path, self._name(path), defaults=card.defaults())
                yield _sniffed(file, self._format)

    def _name(self, path: Path) -> str:
        return "" if path == self._root else path.relative_to(self._root).as_posix()

    def _is_inside(self, link: Path) -> bool:
        try:
            return link.resolve(strict=True).is_relative_to(self._inside)
        except (OSError, RuntimeError):
            return False


def sniffed_head(file: SourceFile, size: int = _HEAD) -> bytes:
    """The first decompressed bytes; none where they cannot be read."""
    try:
        with file.open() if file.data is not None else open_packed(file.path) as stream:
            return stream.read(size)
    except DAMAGE:
        return b""


def _sniffed(file: SourceFile, format: str) -> SourceFile:
    head = sniffed_head(file)
    found = detect(file.name, head)
    if format == "mail" and head.startswith(b"From "):
        format = "mbox"
    elif format == "parquet" and found == "arrow":
        format = "arrow"
    if format != "auto" and found not in ("zip", "tar"):
        return replace(file, format=format)
    return replace(file, format=found or "?unknown format")


def _without_parts_of_latex(files: list[SourceFile]) -> list[SourceFile]:
    """Where main files of LaTeX are among them, other .tex files are parts of those."""
    latex = [file for file in files if file.format == "latex"]
    mains = {f.name for f in latex if is_main(decoded(sniffed_head(f, _MAIN_HEAD)))}
    if not mains:
        return files
    return [file for file in files if file.format != "latex" or file.name in mains]
