"""Files of a Git repository at a revision, code and documentation, through `git cat-file --batch`.

A working tree or a bare repository is read the same way: from its objects, never from its files,
so that nothing in it is run and no link is followed. A repository's own configuration may name
programs (hooks, filters, helpers of a partial clone); only plumbing that starts none of them is
called, and fetching what is missing is forbidden.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from gristmill.core.errors import GristmillError
from gristmill.data.licences import licence_of_text, spdx_header
from gristmill.data.sources.code_files import (
    LICENCE_FILE,
    language_of,
    skip_by_content,
    skip_by_name,
)
from gristmill.data.sources.record import Record, SourceFile, iso_time

_HEAD = 4000
_LICENCE_BYTES = 200_000
_LATER = re.compile(r"at your option\W{0,5}any\s+later\s+version")
_HOST = re.compile(
    r"(?:https?|ssh|git)://(?:[^@/\s]{1,200}@)?([a-z0-9.-]{1,200})(?::\d+)?/([^\s?#]{1,300})\Z"
    r"|(?:[\w.-]{1,60}@)([a-z0-9.-]{1,200}):([^\s?#]{1,300})\Z"
)


@dataclass(frozen=True)
class GitOptions:
    """revision: as `git rev-parse` takes it. languages: none means all. max_bytes: a file's."""

    revision: str = "HEAD"
    languages: tuple[str, ...] = ()
    max_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class _Blob:
    mode: str
    kind: str
    name: str
    size: int
    path: str


def is_repository(folder: Path) -> bool:
    """Whether a folder is a working tree with its `.git`, or a bare repository."""
    if (folder / ".git").exists():
        return True
    return (folder / "HEAD").is_file() and all((folder / d).is_dir() for d in ("objects", "refs"))


def read_git(file: SourceFile, options: GitOptions) -> Iterator[Record]:
    """One document a file of text at the revision, in the order of paths.

    Raises GristmillError where git is missing or does not know the revision.
    """
    git = _Git(file.path)
    commit = git.commit(options.revision)
    date = iso_time(float(git.run("log", "-1", "--no-show-signature", "--format=%ct", commit)))
    origin = _origin(git.run("config", "--get", "remote.origin.url", check=False))
    blobs = git.files(commit)
    with git.contents() as read:
        licences = _licences(blobs, read)
        for blob in blobs:
            record = _record(blob, read, licences, options)
            if record.problem or record.skipped:
                yield record
                continue
            yield Record(
                blob.path,
                record.text,
                url=_url(origin, file.name, commit, blob.path),
                source=origin[1].rpartition("/")[2] if origin else None,
                fields={**record.fields, "title": blob.path, "date": (date or "")[:10]},
                attributes=record.attributes,
                fetched_at=date,
            )


def repository_identity(folder: Path) -> list[str]:
    """What decides what can be read from a repository: its refs, HEAD and origin."""
    git = _Git(folder)
    refs = git.run("for-each-ref", "--format=%(objectname) %(refname)")
    head = git.run("rev-parse", "--verify", "-q", "HEAD", check=False)
    return [refs, head, git.run("config", "--get", "remote.origin.url", check=False)]


def _record(blob: _Blob, read: _Contents, licences: dict[str, str], options: GitOptions) -> Record:
    if blob.mode == "120000":
        return Record(blob.path, skipped="link")
    if blob.kind != "blob":
        return Record(blob.path, skipped="submodule")
    reason = "licence file" if LICENCE_FILE.search(blob.path) else skip_by_name(blob.path)
    if reason:
        return Record(blob.path, skipped=reason)
    if blob.size > options.max_bytes:
        return Record(blob.path, skipped="too large")
    if blob.size == 0:
        return Record(blob.path, skipped="empty")
    data = read(blob.name)
    if data is None:
        return Record(blob.path, problem="not in the repository", sample=blob.name)
    language = language_of(blob.path, data[:_HEAD])
    reason = skip_by_content(data, language)
    if reason is None and language is None:
        reason = "unknown language"
    if reason is None and options.languages and language not in options.languages:
        reason = "other language"
    if reason:
        return Record(blob.path, skipped=reason)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Record(blob.path, problem="not UTF-8", sample=data[:100].decode("ascii", "replace"))
    licence = _licence_of_file(text[:_HEAD], blob.path, licences)
    return Record(
        blob.path,
        text,
        fields={"licence": licence} if licence else {},
        attributes={"language": language or ""},
    )


def _licence_of_file(head: str, path: str, licences: dict[str, str]) -> str | None:
    """Its own SPDX line, else the LICENSE file in the nearest folder above it."""
    stated = spdx_header(head)
    if stated:
        return stated
    folder = path
    found = None
    while folder and found is None:
        folder = folder.rpartition("/")[0]
        found = licences.get(folder)
    if found and found.endswith("-only") and _LATER.search(head):
        return found.removesuffix("-only") + "-or-later"
    return found


def _licences(blobs: Sequence[_Blob], read: _Contents) -> dict[str, str]:
    """The licence of each folder that has a file of one, joined by OR where it has several."""
    found: dict[str, set[str]] = {}
    for blob in blobs:
        if blob.mode == "120000" or blob.kind != "blob" or blob.size > _LICENCE_BYTES:
            continue
        if LICENCE_FILE.search(blob.path) and not skip_by_name(blob.path):
            data = read(blob.name) or b""
            known = licence_of_text(data.decode("utf-8", "replace"))
            if known:
                found.setdefault(blob.path.rpartition("/")[0], set()).add(known)
    for ids in found.values():
        # The lesser licence is written as an addition to the whole one and comes with it.
        if any(one.startswith("LGPL") for one in ids):
            ids -= {one for one in ids if one.startswith("GPL")}
    return {folder: " OR ".join(sorted(ids)) for folder, ids in found.items()}


def _origin(url: str) -> tuple[str, str] | None:
    """(host, path) of a remote, without user names and passwords."""
    match = _HOST.match(url.strip())
    if not match:
        return None
    return (match[1] or match[3]).lower(), (match[2] or match[4]).strip("/").removesuffix(".git")


def _url(origin: tuple[str, str] | None, name: str, commit: str, path: str) -> str:
    if origin is None:
        # Where the repository lies is not part of it.
        place = f"{quote(name)}@" if name else ""
        return f"git:{place}{commit[:12]}/{quote(path)}"
    host, project = origin
    place = {"gitlab.com": "-/blob", "codeberg.org": "src/commit"}.get(host, "blob")
    return f"https://{host}/{quote(project)}/{place}/{commit}/{quote(path)}"


class _Contents:
    """Objects by name from one `git cat-file --batch`."""

    def __init__(self, into: IO[bytes], out: IO[bytes]):
        self._into, self._out = into, out

    def __call__(self, name: str) -> bytes | None:
        self._into.write(name.encode() + b"\n")
        self._into.flush()
        head = self._out.readline().split()
        if len(head) != 3:
            return None
        size = int(head[2])
        data = self._out.read(size)
        self._out.read(1)
        return data


class _Git:
    def __init__(self, folder: Path):
        program = shutil.which("git")
        if program is None:
            raise GristmillError(
                "git is not installed", where=folder, mend="install git to read repositories"
            )
        self._folder = folder
        self._command = [
            program, "--no-replace-objects", "--no-optional-locks",
            "-c", f"safe.directory={folder.resolve()}", "-c", "core.fsmonitor=false",
            "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "-C", str(folder),
        ]  # fmt: skip
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        self._environment = {
            **inherited,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_TERMINAL_PROMPT": "0",
            # The repository is this folder, not one that lies above it.
            "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent),
            "LC_ALL": "C",
        }

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, check=False
        )
        if done.returncode and check:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GristmillError(
                f"git cannot read this repository: {said[-1] if said else done.returncode}",
                where=self._folder,
                mend="check it with git fsck",
            )
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(self, revision: str) -> str:
        """The commit that a revision names."""
        name = f"{revision}^{{commit}}"
        found = self.run("rev-parse", "--verify", "-q", "--end-of-options", name, check=False)
        if not found:
            raise GristmillError(
                f"the repository has no revision '{revision}'",
                where=self._folder,
                mend="name a commit, branch or tag with --git.revision",
            )
        return found

    def files(self, commit: str) -> list[_Blob]:
        """Every file of a commit, by path."""
        listing = self.run("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
        blobs = []
        for entry in listing.split("\0"):
            head, tab, path = entry.partition("\t")
            if not tab:
                continue
            mode, kind, name, size = head.split()
            path = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            blobs.append(_Blob(mode, kind, name, int(size) if size.isdigit() else -1, path))
        return blobs

    @contextmanager
    def contents(self) -> Iterator[_Contents]:
        """Reads objects; the process ends with the block."""
        process = subprocess.Popen(
            [*self._command, "cat-file", "--batch"],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield _Contents(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.kill()
            process.wait()
