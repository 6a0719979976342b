"""Texts of web archives: WET files, WAT files, and which files a path or an address stands for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.data.sources.record import Raw, Record, SourceFile
from gristmill.data.sources.wat import is_wat, read_description
from gristmill.data.warc.reader import Damage, NoSuchFile, Readable, read_records
from gristmill.data.warc.record import Record as WarcRecord

A_PAGE = "a page, for data warc"
_PAGES = ("response", "resource")
_ARCHIVES = (".wet.gz", ".wat.gz", ".wet", ".wat", ".warc.gz", ".warc", ".warc.zst")


class _InMemory(io.BytesIO):
    """A member of an archive as the reader of records takes files."""

    def __init__(self, name: str, data: bytes):
        super().__init__(data)
        self.name = name


def read_web_archive(file: SourceFile) -> Iterator[Record | Raw]:
    """Each conversion record whose text is UTF-8, and what WAT records say of pages. Pages as they
    were fetched are skipped: they are taken by `data warc` and `data extract`. Damage is a problem,
    and reading goes on after it; so is a file of several that is not there."""
    damage: list[Damage] = []
    try:
        source: Path | Readable = file.path
        if file.data is not None:
            source = _InMemory(file.name, file.data)
        elif file.address:
            from gristmill.data.warc.remote import RemoteFile

            source = RemoteFile(file.address, allow=file.allow)
        for row, record in enumerate(read_records(source, None, damage.append)):
            yield from _problems(damage)
            yield from _of_record(row, record)
    except NoSuchFile as error:
        if file.alone:
            raise
        yield Record(None, problem=error.what)
    yield from _problems(damage)


def archive_files(
    path: Path, base: str | None, limit: int | None, allow: Mapping[str, str]
) -> list[SourceFile] | None:
    """The files of an address, a list of paths or a pattern; None for any other path.

    Raises GristmillError where it stands for nothing, or for a remote file that is no web archive.
    """
    from gristmill.data.warc.listing import expand, is_list, is_pattern, unfolded
    from gristmill.data.warc.remote import is_address

    text = unfolded(path)
    if not (is_address(text) or is_list(text) or is_pattern(text)):
        return None
    named = expand([text], base=base, limit=limit, allow=allow)
    found = []
    for name in named:
        if not is_address(name):
            found.append(SourceFile(Path(name), name, "", alone=len(named) == 1))
            continue
        if not name.partition("?")[0].lower().endswith(_ARCHIVES):
            raise GristmillError(
                "of remote files only web archives are read (.wet.gz, .wat.gz)",
                where=name,
                mend="fetch the file and name it; for pages (.warc.gz) there is data warc",
            )
        found.append(
            SourceFile(Path(name), name, "warc", address=name, allow=allow, alone=len(named) == 1)
        )
    return found


def _of_record(row: int, record: WarcRecord) -> Iterator[Record]:
    if record.type in _PAGES:
        yield Record(row, skipped=A_PAGE)
    elif record.type == "metadata":
        if is_wat(record.headers.get("content-type", ""), record.block):
            found = read_description(row, record.block)
            if found is not None:
                yield found
    elif record.type == "conversion":
        yield _converted(row, record)


def _converted(row: int, record: WarcRecord) -> Record:
    headers = record.headers
    if not headers.get("content-type", "text/plain").lower().startswith("text/plain"):
        return Record(row, skipped="conversion that is no text")
    try:
        text = record.block.decode("utf-8")
    except UnicodeDecodeError:
        return Record(row, problem="not UTF-8", sample=ascii(record.block[:100]))
    # Several languages are given most used first.
    language = headers.get("warc-identified-content-language", "").partition(",")[0]
    return Record(
        row,
        text,
        url=record.url or None,
        fields={"language_attribute": language} if language else {},
        fetched_at=record.date or None,
    )


def _problems(damage: list[Damage]) -> Iterator[Record]:
    for found in damage:
        where = f"byte {found.offset}"
        yield Record(where, problem=f"{found.reason} archive", sample=f"{found.length} bytes")
    damage.clear()
