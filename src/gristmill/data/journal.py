"""The parts of a stage's output that are whole, so that a killed stage goes on after them.

A part's files are written below the journal's own folder, in the stage's run, which outlives a
kill. When they are whole they are made durable, and one line of the journal names the part, the
hash of each file and a note: what the part adds to the counts and samples of the stage. A later
attempt takes over every part up to the first that is not sound, and makes the rest. At the end the
files are linked into the output, so that a kill there costs nothing either.

The stage must give the same parts in the same order each time. What a killed attempt left of a
part that is in no line is written over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gristmill.core.canonical import hash_file, read_jsonl, write_text_atomic
from gristmill.core.run import Run

_JOURNAL = "parts.jsonl"
_LINES = ".jsonl"


class PartJournal:
    """Parts in their order. One process at a time may have it open, as the run sees to.

    run: a folder that outlives a kill (`output.run.path`). name: the journal's own folder in it.
    """

    def __init__(self, run: Path, name: str = "parts"):
        self.folder = run / name
        """Where parts are written: at the paths that their files have in the output."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = Run(self.folder)
        self.parts: list[str] = []
        """Names of the parts that are whole, in order; those of earlier attempts come first."""
        self._take_over()

    def notes(self) -> Iterator[dict[str, Any]]:
        """What was noted with each of `parts`, read from the disk."""
        for entry in self._entries():
            yield entry["note"]

    def write_rejects(self, part: str, name: str, records: Iterable[Mapping[str, Any]]) -> str:
        """Writes a part's bad records, which end in `rejects/NAME.jsonl`; returns the path for
        `end`. Without records there is no file."""
        file = rejects_file(part, name)
        path = self.folder / file
        lines = [json.dumps(r, ensure_ascii=False, sort_keys=True) + "\n" for r in records]
        if lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes("".join(lines).encode("utf-8", "backslashreplace"))
        else:
            path.unlink(missing_ok=True)
        return file

    def end(self, part: str, files: Sequence[str], note: Mapping[str, Any] | None = None) -> None:
        """A part is whole: from here on no later attempt makes it again.

        files: paths below `folder`; one that does not exist is none of the part's (a part without
        rejects). note: anything that JSON can say.
        """
        hashes = {}
        for name in files:
            path = self.folder / name
            if path.exists():
                _sync(path)
                hashes[name] = hash_file(path)
        self._run.append(_JOURNAL, {"part": part, "files": hashes, "note": dict(note or {})})
        self.parts.append(part)

    def hand_over(self, output: Path) -> None:
        """Puts the files of all parts below `output`, where they are not to be changed.

        `DIR/PART.jsonl` is joined in the order of the parts to one `DIR.jsonl`; others keep their
        path.
        """
        for entry in self._entries():
            for name in entry["files"]:
                source, target = self.folder / name, output / name
                if name.endswith(_LINES):
                    target = target.parent.with_name(target.parent.name + _LINES)
                target.parent.mkdir(parents=True, exist_ok=True)
                if name.endswith(_LINES):
                    with open(source, "rb") as lines, open(target, "ab") as file:
                        shutil.copyfileobj(lines, file)
                else:
                    _link(source, target)

    def _entries(self) -> Iterator[Any]:
        path = self.folder / _JOURNAL
        return islice(read_jsonl(path) if path.exists() else iter(()), len(self.parts))

    def _take_over(self) -> None:
        """Takes the parts up to the first with a file that is gone or not what was noted; forgets
        the rest."""
        path = self.folder / _JOURNAL
        for entry in read_jsonl(path) if path.exists() else ():
            for name, wanted in entry["files"].items():
                file = self.folder / name
                if not file.is_file() or hash_file(file) != wanted:
                    kept = [json.dumps(one, ensure_ascii=False) + "\n" for one in self._entries()]
                    write_text_atomic(path, "".join(kept))
                    return
            self.parts.append(str(entry["part"]))


def rejects_file(part: str, name: str) -> str:
    """Where a part's bad records are written, below the journal's folder."""
    return f"rejects/{name}/{part}{_LINES}"


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here
        shutil.copyfile(source, target)


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
