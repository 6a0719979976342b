"""Which format a file has: by its first bytes where they say it, else by its name."""

from __future__ import annotations

import re

PLAIN = ("text", "markdown", "jsonl", "parquet", "arrow", "git", "warc")
"""Formats whose texts stand in the file as they are."""
CONVERTED = ("html", "wikipedia", "latex", "mbox", "mail", "pdf", "zip", "tar")
"""Formats that worker processes turn into text, and archives, which may hold such."""

_ENDINGS = {
    "text": (".txt", ".text"),
    "markdown": (".md", ".markdown"),
    "html": (".html", ".htm", ".xhtml"),
    "jsonl": (".jsonl", ".ndjson", ".jsonlines"),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
    "latex": (".tex", ".ltx"),
    "mbox": (".mbox", ".mbx"),
    "mail": (".eml",),
    "pdf": (".pdf",),
    "warc": (".warc", ".wet"),
    "tar": (".tar", ".tgz", ".tbz2", ".txz"),
    "zip": (".zip",),
}
_PACKED = (".gz", ".zst", ".bz2", ".xz")
# Zip archives that are files of a program, and no folders of texts.
_ZIPPED = (
    ".docx",
    ".xlsx",
    ".pptx",
    ".odt",
    ".ods",
    ".odp",
    ".epub",
    ".jar",
    ".whl",
    ".npz",
    ".apk",
)
_HTML = re.compile(
    rb"\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_HEADER = re.compile(rb"\n(?:From|To|Subject|Date|Message-ID|Received|Return-Path):", re.I)
_LATEX = re.compile(rb"(?m)^\s*\\document(?:class|style)\b")


def detect(name: str, head: bytes) -> str | None:
    """The format of a file from its name and the first (decompressed) bytes; None if unknown."""
    lower = name.lower()
    by_name = _by_name(lower)
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"WARC/1."):
        return "warc"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")) and by_name in (None, "arrow"):
        return "arrow"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None if lower.endswith(_ZIPPED) else "zip"
    if head[257:262] == b"ustar":
        return "tar"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<mediawiki") or (text.startswith(b"<?xml") and b"<mediawiki" in text):
        return "wikipedia"
    if by_name is not None:
        return by_name
    if head.startswith(b"From ") and _HEADER.search(head):
        return "mbox"
    if b"\0" in head:
        return None
    if _HTML.match(head):
        return "html"
    if _LATEX.search(head):
        return "latex"
    # Rows in files named .json: the object on the first line is whole, or longer than what is seen.
    if ".json" in lower and re.match(rb"\{\s?\"[^\"\n]{1,80}\"\s?:", text):
        first, newline, _ = text.partition(b"\n")
        if not newline or first.rstrip().endswith(b"}"):
            return "jsonl"
    return None


def without_packing(name: str) -> str:
    """The name without the endings of compression."""
    lower = name.lower()
    for ending in _PACKED:
        if lower.endswith(ending):
            return name[: -len(ending)]
    return name


def _by_name(lower: str) -> str | None:
    bare = without_packing(lower)
    return next((kind for kind, ends in _ENDINGS.items() if bare.endswith(ends)), None)
