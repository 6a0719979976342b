"""Pages of a MediaWiki dump, streamed: .xml, .xml.gz, .xml.zst, .xml.bz2, one stream or many.

Memory stays flat: expat is fed pieces of a megabyte and a page is dropped as soon as it is given.
A dump has no document type, so one that declares entities is refused before they can grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote
from xml.parsers import expat

from gristmill.data.sources.packed import DAMAGE
from gristmill.data.sources.record import MAX_BYTES, Raw, Record, SourceFile

_PIECE = 1 << 20
_WANTED = frozenset("title ns text timestamp model sitename dbname base".split())
_LINKED_KEYS = ("-2", "6", "10", "14", "828")  # media, file, template, category, module


class _NotADump(Exception):
    pass


@dataclass
class _Site:
    name: str = ""
    base: str = ""
    language: str | None = None
    namespaces: dict[str, str] = field(default_factory=dict)

    def url(self, title: str) -> str | None:
        """The address of a page, from that of the main page that the dump states."""
        prefix, slash, _ = self.base.rpartition("/")
        if not slash or not self.base.startswith(("http://", "https://")):
            return None
        return f"{prefix}/{quote(title.replace(' ', '_'), safe='/:(),!*')}"

    def linked(self) -> tuple[str, ...]:
        """Names of namespaces whose links are no words."""
        return tuple(self.namespaces[key].lower() for key in _LINKED_KEYS if key in self.namespaces)


@dataclass
class _Page:
    number: int
    values: dict[str, str] = field(default_factory=dict)
    redirect: bool = False
    too_large: bool = False


def read_dump(file: SourceFile, namespaces: Sequence[str] = ("0",)) -> Iterator[Record | Raw]:
    """Each page of the wanted namespaces as wikitext for a worker; redirects, other namespaces and
    pages that hold no wikitext are skipped. The last revision in the dump counts."""
    fetched = file.modified()
    parser = _DumpParser()
    wanted = frozenset(namespaces)
    try:
        with file.open() as stream:
            while piece := stream.read1(_PIECE):
                parser.feed(piece)
                for page in parser.taken():
                    yield _page_record(page, parser.site, wanted, fetched)
        parser.feed(b"", final=True)
    except DAMAGE as error:
        yield Record(parser.count, problem="damaged file", sample=str(error)[:200])
    except expat.ExpatError as error:
        yield Record(parser.count, problem="not XML from here on", sample=str(error)[:200])
    except _NotADump as error:
        yield Record(parser.count, problem="not a MediaWiki dump", sample=str(error)[:200])
    for page in parser.taken():
        yield _page_record(page, parser.site, wanted, fetched)


def _page_record(
    page: _Page, site: _Site, namespaces: frozenset[str], fetched: str | None
) -> Record | Raw:
    values = page.values
    text = values.get("text", "")
    if page.redirect:
        return Record(page.number, skipped="redirect")
    if values.get("ns", "0") not in namespaces:
        return Record(page.number, skipped="other namespace")
    if values.get("model", "wikitext") != "wikitext":
        return Record(page.number, skipped=f"not wikitext: {values['model'][:40]}")
    title = " ".join(values.get("title", "").split())
    if page.too_large:
        return Record(page.number, problem="too large", sample=title[:200])
    fields = {"title": title, "date": values.get("timestamp", "")[:10]}
    if site.language:
        fields["language_attribute"] = site.language
    frame = Record(
        page.number,
        url=site.url(title) if title else None,
        source=site.name or None,
        fields={name: value for name, value in fields.items() if value},
        fetched_at=fetched,
    )
    return Raw("wikitext", text, frame, site.linked())


class _DumpParser:
    def __init__(self) -> None:
        self.site = _Site()
        self.count = 0
        self._pages: list[_Page] = []
        self._page: _Page | None = None
        self._path: list[str] = []
        self._characters: list[str] = []
        self._room = 0
        self._collecting = False
        self._key = ""
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.StartDoctypeDeclHandler = self._refuse

    def feed(self, piece: bytes, final: bool = False) -> None:
        self._expat.Parse(piece, final)

    def taken(self) -> list[_Page]:
        pages, self._pages = self._pages, []
        return pages

    def _refuse(self, *_: object) -> None:
        raise _NotADump("it declares a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            if name != "mediawiki":
                raise _NotADump(f"its first element is {name[:60]}")
            self.site.language = (attributes.get("xml:lang") or "")[:35] or None
        if len(self._path) > 50:
            raise _NotADump("it is nested too deep")
        self._path.append(name)
        if name == "page":
            self._page = _Page(self.count)
            self.count += 1
        elif name == "redirect" and self._page is not None:
            self._page.redirect = True
        elif name == "namespace":
            self._key = attributes.get("key", "")
        self._collecting = name in _WANTED or name == "namespace"
        self._characters = []
        self._room = MAX_BYTES

    def _text(self, characters: str) -> None:
        if not self._collecting:
            return
        self._room -= len(characters)
        if self._room >= 0:
            self._characters.append(characters)
        elif self._page is not None:
            self._page.too_large = True

    def _end(self, name: str) -> None:
        self._path.pop()
        value = "".join(self._characters) if self._collecting else ""
        self._collecting = False
        if name == "page" and self._page is not None:
            self._pages.append(self._page)
            self._page = None
        elif self._page is not None:
            if name in _WANTED:
                self._page.values[name] = value
        elif name == "namespace" and value and self._key:
            self.site.namespaces[self._key] = value
        elif name == "base":
            self.site.base = value.strip()
        elif name == "dbname" or (name == "sitename" and not self.site.name):
            self.site.name = value.strip()
