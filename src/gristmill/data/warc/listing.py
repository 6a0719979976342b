"""Which files a user means: names, folders, globs, addresses, and lists as Common Crawl publishes
them (`warc.paths.gz`: a path a line, to be read behind a prefix)."""

from __future__ import annotations

import glob
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gristmill.core.canonical import hash_file
from gristmill.core.errors import GristmillError
from gristmill.data.warc.reader import Readable
from gristmill.data.warc.remote import RemoteFile, file_system, is_address

_LISTS = (".paths", ".paths.gz")
_ARCHIVES = (".warc", ".warc.gz", ".warc.zst", ".wet.gz", ".wat.gz", ".wet", ".wat", ".arc.gz")
_MAX_LIST = 64 << 20
_ENTRY = re.compile(r"[A-Za-z0-9._~/%+=@,\-]+")
_GLOB = re.compile(r"[*?\[]")


def expand(
    named: Sequence[str],
    *,
    base: str | None = None,
    limit: int | None = None,
    allow: Mapping[str, str] | None = None,
) -> list[str]:
    """Files and addresses, in the order given; what a folder or a glob names is sorted.

    base: what the entries of path lists are put behind, such as `https://data.commoncrawl.org/`;
        without it, the list's own server or bucket, or its folder.
    limit: so many files at most, the first ones.

    Raises GristmillError where a name stands for nothing.
    """
    found: list[str] = []
    for one in named:
        for file in _expanded(one, base, allow):
            found.append(file)
            if limit is not None and len(found) >= limit:
                return found
    return found


def open_archive(name: str, allow: Mapping[str, str] | None = None) -> Path | Readable:
    """What `read_records` takes for a file or an address."""
    return RemoteFile(name, allow=allow) if is_address(name) else Path(name)


def identity(path: Path) -> str:
    """A name as part of an artifact's identity: of local files what they hold, of remote ones
    their address: what is published there is taken not to change."""
    text = unfolded(path)
    if is_address(text):
        return text
    from gristmill.core.canonical import hash_json

    files = list(_expanded(text, None, None, read_lists=False))
    return hash_json([[Path(file).name, hash_file(Path(file))] for file in files])


def is_list(text: str) -> bool:
    """Whether a name is that of a list of paths."""
    return text.lower().endswith(_LISTS)


def is_pattern(text: str) -> bool:
    """Whether a name is a glob, and not a file's that is called so."""
    return _GLOB.search(text) is not None and not Path(text).exists()


def unfolded(path: Path) -> str:
    """The text of an address that was made a Path, which folds the two slashes."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.\-]+):/(?=[^/])", r"\1://", path.as_posix())


def _expanded(
    one: str,
    base: str | None,
    allow: Mapping[str, str] | None,
    read_lists: bool = True,
) -> Iterator[str]:
    if is_list(one) and read_lists and not _GLOB.search(one):
        yield from _entries(one, base, allow)
        return
    if is_address(one):
        yield from _remote(one, allow)
        return
    if is_pattern(one):
        files = sorted(glob.glob(one, recursive=True))  # noqa: PTH207
    elif Path(one).is_dir():
        files = sorted(p.as_posix() for p in Path(one).rglob("*") if p.name.endswith(_ARCHIVES))
    else:
        files = [one] if Path(one).is_file() else []
    if not files and Path(one).is_dir():
        endings = ", ".join(_ARCHIVES)
        raise GristmillError("no WARC file is in this folder", where=one, mend=f"names: {endings}")
    if not files:
        raise GristmillError("no such file", where=one, mend="check the name or the pattern")
    yield from files


def _remote(address: str, allow: Mapping[str, str] | None) -> Iterator[str]:
    if not _GLOB.search(address):
        yield address
        return
    if address.lower().startswith(("http://", "https://")):
        raise GristmillError(
            "a web server does not list its files",
            where=address,
            mend="name the files, or a list of paths (warc.paths.gz)",
        )
    system, path = file_system(address, allow)
    found = sorted(system.unstrip_protocol(name) for name in system.glob(path))
    if not found:
        raise GristmillError("nothing is there", where=address, mend="check the pattern")
    yield from found


def _entries(name: str, base: str | None, allow: Mapping[str, str] | None) -> Iterator[str]:
    """The files of a list of paths."""
    prefix = base if base is not None else _prefix_of(name)
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    for number, line in enumerate(_text(name, allow).splitlines(), 1):
        entry = line.strip()
        if not entry:
            continue
        # A list may come from elsewhere: it chooses files behind the prefix and nothing else.
        if not _ENTRY.fullmatch(entry) or entry.startswith("/") or ".." in entry.split("/"):
            raise GristmillError(
                f"line {number} is no path: {entry[:80]!r}",
                where=name,
                mend="each line is a path such as crawl-data/.../x.warc.gz, put behind `base`",
            )
        yield prefix + entry


def _prefix_of(name: str) -> str:
    if not is_address(name):
        parent = Path(name).parent.as_posix()
        return "" if parent == "." else f"{parent}/"
    parts = urlsplit(name)
    return f"{parts.scheme}://{parts.netloc}/"


def _text(name: str, allow: Mapping[str, str] | None) -> str:
    source = open_archive(name, allow)
    if isinstance(source, Path):
        try:
            with open(source, "rb") as file:
                data = file.read(_MAX_LIST + 1)
        except FileNotFoundError as error:
            raise GristmillError(
                "no such list of paths", where=name, mend="check the name"
            ) from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise GristmillError(f"the list cannot be read: {why}", where=name) from error
    else:
        parts, have = [], 0
        while have <= _MAX_LIST and (piece := source.read(1 << 20)):
            parts.append(piece)
            have += len(piece)
        source.close()
        data = b"".join(parts)
    if data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(31)
        try:
            data = unpacker.decompress(data, _MAX_LIST + 1)
        except zlib.error as error:
            raise GristmillError("the list of paths is damaged", where=name) from error
        if not unpacker.eof and len(data) <= _MAX_LIST:
            raise GristmillError("the list of paths breaks off", where=name)
    if len(data) > _MAX_LIST:
        raise GristmillError("the list of paths is too long", where=name)
    return data.decode("utf-8", "replace")
