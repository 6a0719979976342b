"""Real pages for the pipeline's benchmark: English documentation out of Debian's HTML packages.

Each is a page of its own with its site's menus, so that deduplication finds what it would on the
web: shared headers and a few copies, not the same page again and again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpora import debian_package

from gristmill.data.warc.writer import record_bytes, sha1_base32

# Package, and the folder in it that holds the English pages where it holds others too.
PACKAGES = (
    ("libreoffice-help-en-us", ""),
    ("linux-doc-6.1", ""),
    ("postgresql-doc-15", ""),
    ("sqlite3-doc", ""),
    ("gimp-help-en", ""),
    ("python3.11-doc", ""),
    ("git-doc", ""),
    ("anarchism", ""),
    ("debian-handbook", "en-US"),
)
DATE = "2026-01-31T12:00:00Z"
_SMALLEST, _LARGEST = 1_000, 1 << 20
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nDate: Sat, 31 Jan 2026 12:00:00 GMT\r\nServer: nginx\r\n"
    b"Content-Type: text/html; charset=UTF-8\r\nContent-Length: %d\r\n\r\n"
)
_REQUEST = b"GET / HTTP/1.1\r\nHost: docs.example\r\nUser-Agent: bot/1.0\r\n\r\n"


@dataclass(frozen=True)
class Archive:
    """A WARC file and what is in it."""

    path: Path
    pages: int
    html_bytes: int


def pages() -> list[tuple[str, Path]]:
    """(address, file), in an order that depends on the addresses alone; no file twice."""
    found: dict[bytes, tuple[str, Path]] = {}
    for package, folder in PACKAGES:
        root = debian_package(package)
        for path in sorted(root.rglob("*.html")) if root else ():
            if (folder and folder not in path.parts) or path.is_symlink() or not path.is_file():
                continue
            if _SMALLEST <= path.stat().st_size <= _LARGEST:
                digest = hashlib.sha256(path.read_bytes()).digest()
                address = f"https://{package}.example/{path.relative_to(root).as_posix()}"
                found.setdefault(digest, (address, path))
    return sorted(found.values(), key=lambda one: hashlib.sha256(one[0].encode()).digest())


def archives(folder: Path, some: list[tuple[str, Path]], files: int, each: int) -> list[Archive]:
    """`files` WARC files of `each` pages, the first ones of `some`."""
    return [
        write_archive(folder / f"pages-{n}.warc.gz", some[n * each : (n + 1) * each])
        for n in range(files)
    ]


def write_archive(path: Path, some: list[tuple[str, Path]]) -> Archive:
    """One file, as Common Crawl writes it: request and response of a page, a gzip member each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as out:
        for record in _records(some):
            packer = zlib.compressobj(6, zlib.DEFLATED, 31)
            out.write(packer.compress(record) + packer.flush())
    return Archive(path, len(some), sum(page.stat().st_size for _, page in some))


def _records(some: list[tuple[str, Path]]) -> Iterator[bytes]:
    for address, path in some:
        body = path.read_bytes()
        digest = sha1_base32(body)
        for kind, block in (("request", _REQUEST), ("response", _RESPONSE % len(body) + body)):
            identity = hashlib.sha256(f"{kind} {address}".encode()).hexdigest()
            yield record_bytes(
                kind,
                block,
                date=DATE,
                target_uri=address,
                record_id=f"<urn:uuid:{identity[:8]}-{identity[8:12]}-{identity[12:16]}-"
                f"{identity[16:20]}-{identity[20:32]}>",
                content_type=f"application/http; msgtype={kind}",
                payload_digest=digest if kind == "response" else None,
                # What Common Crawl writes, and what the peer goes by.
                headers=[("WARC-Identified-Payload-Type", "text/html")],
            )
