"""Mail: mbox files and maildirs into messages, and a message into its text.

Addresses and names stay out of the metadata unless asked for; ids of messages, which often hold an
address, become letters of a hash, equal for equal ids, so that threads can be put together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

from gristmill.data.sources.packed import DAMAGE
from gristmill.data.sources.record import Raw, Record, SourceFile

MAX_MESSAGE = 16 << 20
_MAX_PARTS = 200
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,500})>")
_PREFIX = re.compile(r"\A(?:(?:re|aw|fwd?|wg|sv|antw|vs|tr)(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
_WROTE = re.compile(
    r"(?:\bwrote|\bwrites|\bschrieb|a écrit|escribió|ha scritto|napisał)\b.{0,80}:\s*\Z|said:\s*\Z"
)
_ORIGINAL = re.compile(
    r"-{2,20} ?(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine)"
    r" ?-{2,20}",
    re.IGNORECASE,
)
_LIST_FOOTER = re.compile(r"\A_{20,}\s*\Z|\A-{40,}\s*\Z")
_LIST_WORDS = re.compile(
    r"mailing list|unsubscribe|listinfo|to post to this|liste de diffusion", re.I
)


@dataclass(frozen=True)
class MailOptions:
    """What of a message is kept besides its own words."""

    quotes: bool = False
    signatures: bool = False
    addresses: bool = False


def read_mbox(file: SourceFile) -> Iterator[Record | Raw]:
    """Each message of an mbox file, streamed; a `From ` line after an empty one begins the next."""
    row = 0
    lines: list[bytes] = []
    size, empty, started = 0, True, False
    try:
        with file.open() as stream:
            while line := stream.readline(1 << 20):
                if line.startswith(b"From ") and empty:
                    if started:
                        yield _framed(row, lines, size, file)
                        row += 1
                    lines, size, started = [], 0, True
                    continue
                empty = line in (b"\n", b"\r\n")
                size += len(line)
                if size <= MAX_MESSAGE:
                    # mboxrd: a quoted `From ` has one > more than it was sent with.
                    lines.append(line[1:] if re.match(rb">+From ", line) else line)
                started = True
    except DAMAGE as error:
        yield Record(row, problem="damaged file", sample=str(error)[:200])
    if started:
        yield _framed(row, lines, size, file)


def read_message(file: SourceFile, row: int | str | None = None) -> Iterator[Record | Raw]:
    """A file that is one message, as in a maildir."""
    data = file.whole()
    yield _framed(row, [data or b""], MAX_MESSAGE + 1 if data is None else len(data), file)


def message_text(
    data: bytes, options: MailOptions
) -> tuple[str, dict[str, str], dict[str, str], str]:
    """(text, fields, attributes, url) of a message; the url is empty where none is stated.

    Raises ValueError with the reason where it has no text.
    """
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    if message.get_content_type() in ("multipart/encrypted", "application/pkcs7-mime"):
        raise ValueError("encrypted")
    text, flowed = _body(message)
    lines = _unflowed(text) if flowed else text.replace("\r\n", "\n").split("\n")
    if not options.signatures:
        lines = _without_signature(lines)
    if not options.quotes:
        lines = _without_quotes(lines)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()
    own = _ids(message, "message-id")
    thread = [*_ids(message, "references"), *_ids(message, "in-reply-to"), *own]
    attributes = {
        "thread": _hashed(thread[0]) if thread else "",
        "message": _hashed(own[0]) if own else "",
        "reply_to": _hashed(found[0]) if (found := _ids(message, "in-reply-to")) else "",
        "list": _header(message, "list-id").strip("<>")[:200].rpartition("<")[2],
    }
    if options.addresses:
        attributes.update((name, _header(message, name)[:1000]) for name in ("from", "to", "cc"))
    fields = {"title": _PREFIX.sub("", _header(message, "subject"))[:300], "date": _date(message)}
    if _header(message, "x-no-archive").lower() == "yes":
        fields["opt_out"] = "no-archive"
    archived = _header(message, "archived-at").strip("<> ")
    url = archived if archived.startswith(("http://", "https://")) else ""
    kept = {name: value for name, value in attributes.items() if value}
    return text, {name: value for name, value in fields.items() if value}, kept, url


def _framed(row: int | str | None, lines: list[bytes], size: int, file: SourceFile) -> Record | Raw:
    if size > MAX_MESSAGE:
        return Record(row, problem="too large")
    return Raw("mail", b"".join(lines), Record(row, fetched_at=file.modified()))


def _body(message: EmailMessage) -> tuple[str, bool]:
    """The text of the first plain part, else of the first HTML part; whether it is flowed."""
    plain: EmailMessage | None = None
    markup: EmailMessage | None = None
    for count, part in enumerate(message.walk()):
        if count > _MAX_PARTS:
            break
        if part.is_multipart() or part.get_content_disposition() == "attachment":
            continue
        kind = part.get_content_type()
        assert isinstance(part, EmailMessage)
        if kind == "text/plain" and plain is None:
            plain = part
        elif kind == "text/html" and markup is None:
            markup = part
    if plain is not None and (text := _content(plain)).strip():
        return text, plain.get_param("format", "") == "flowed"
    if markup is not None:
        return _html_text(_content(markup)), False
    raise ValueError("no text")


def _content(part: EmailMessage) -> str:
    """A part's text; what its charset does not explain is shown as U+FFFD."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = str(part.get_content_charset() or "utf-8")
    for name in (charset, "utf-8"):
        try:
            return data.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode("cp1252", "replace")


def _html_text(source: str) -> str:
    from selectolax.lexbor import LexborHTMLParser

    from gristmill.data.extract.guard import Limits, refuse

    if refuse(source.encode("utf-8", "replace"), Limits()):
        raise ValueError("no text")
    parser = LexborHTMLParser(source)
    parser.strip_tags(["script", "style", "title"], recursive=True)
    for node in parser.css("br, p, div, li, tr, h1, h2, h3, blockquote"):
        node.insert_before("\n\n" if node.tag in ("p", "h1", "h2", "h3", "blockquote") else "\n")
    text = parser.body.text() if parser.body is not None else ""
    return re.sub(r"[ \t\xa0]+", " ", re.sub(r"[ \t]*\n[ \t]*", "\n", text))


def _unflowed(text: str) -> list[str]:
    """format=flowed (RFC 3676): a line that ends in a blank goes on in the next of its depth."""
    out: list[str] = []
    depth_before, flowing = -1, False
    for raw in text.replace("\r\n", "\n").split("\n"):
        line = raw.lstrip(">")
        depth = len(raw) - len(line)
        line = line.removeprefix(" ") if line != "-- " else line
        if flowing and depth == depth_before and line != "-- ":
            out[-1] += line
        else:
            out.append(f"{'>' * depth}{' ' if depth else ''}{line}")
        flowing, depth_before = line.endswith(" ") and line != "-- ", depth
    return out


def _without_signature(lines: list[str]) -> list[str]:
    for place in range(len(lines)):
        if lines[place] in ("-- ", "--") and len(lines) - place <= 40:
            return lines[:place]
        if _LIST_FOOTER.match(lines[place]) and _LIST_WORDS.search("\n".join(lines[place:][:12])):
            return lines[:place]
    return lines


def _without_quotes(lines: list[str]) -> list[str]:
    out: list[str] = []
    for line in lines:
        if _ORIGINAL.search(line[:200]):
            break
        if line.startswith(">") or line.startswith((" >", "|>")):
            # The line before a quotation says whose it is; it may be broken in two.
            while out and not out[-1].strip():
                out.pop()
            if out and _WROTE.search(out[-1][-200:]):
                out.pop()
                if (
                    out
                    and re.match(r"(?:On|Am|Le|El|Il)\b.{5,}", out[-1][:100])
                    and out[-1][-1:] != "."
                ):
                    out.pop()
            out.append("")
            continue
        out.append(line)
    return out


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message.get(name, ""))
    except Exception:  # the standard library's header parser raises many kinds on hostile headers
        return ""
    return " ".join(value.encode("utf-8", "replace").decode().split())


def _ids(message: EmailMessage, name: str) -> list[str]:
    return _MESSAGE_ID.findall(_header(message, name)[:20_000])


def _hashed(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _date(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(_header(message, "date")[:200]).strftime("%Y-%m-%d")
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
