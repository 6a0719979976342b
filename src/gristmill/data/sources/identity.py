"""What decides the documents of a path: the bytes of its files, or a repository's refs.

A repository's own files (index, logs, packs) change without its content changing.
"""

from __future__ import annotations

from pathlib import Path

from gristmill.core.canonical import hash_file, hash_json
from gristmill.core.errors import GristmillError
from gristmill.data.sources.git import is_repository, repository_identity


def source_identity(path: Path) -> str:
    """The content hash of a file with its name, or of a folder's files with their relative names;
    an address itself, since what is published there is taken not to change.

    Repositories in it count by their refs, HEAD and origin, if git can read them. Raises
    GristmillError where there is nothing.
    """
    if path.is_file():
        return hash_json({path.name: hash_file(path)})
    if not path.is_dir():
        if ":/" in path.as_posix() or any(letter in path.name for letter in "*?["):
            from gristmill.data.warc.listing import identity

            return identity(path)
        raise GristmillError("no such file or folder", where=path, mend="check the path")
    found: dict[str, object] = {}
    _add(path, path, found)
    return hash_json(found)


def _add(folder: Path, root: Path, found: dict[str, object]) -> None:
    if is_repository(folder):
        try:
            found[folder.relative_to(root).as_posix() + "/.git"] = repository_identity(folder)
            return
        except GristmillError:
            pass  # no git here: its files count, and reading says what is missing
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            _add(path, root, found)
        elif path.is_file():
            found[path.relative_to(root).as_posix()] = hash_file(path)
