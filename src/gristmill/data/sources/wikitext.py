"""Wikitext to text: links, tables, lists and styles by mwparserfromhell, what it need not see by
one pass before it.

That pass takes out comments, references and templates, which are dropped (but for a few that stand
for words, such as `{{lang|fr|mot}}` or `{{convert|5|km}}`), and sets formulae and code aside as
they stand. It is linear, and the parser then has a third of the text left.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"<!--|\{\{+|\}\}+|<(ref|references|math|chem|ce|nowiki|pre|syntaxhighlight|source|code|gallery"
    r"|timeline|score|imagemap|graph|mapframe|maplink|section|templatestyles|templatedata)\b"
    r"([^<>]{0,1000}?)(/?)>",
    re.IGNORECASE,
)
_VERBATIM = ("nowiki", "pre", "syntaxhighlight", "source", "code")
_FORMULAE = ("math", "chem", "ce")
_OPEN, _CLOSE = "\ue000", "\ue001"
_KEPT = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_MAGIC = re.compile(r"__[A-Z]{3,30}__")
_DISPLAY = re.compile(r"display\s*=\s*[\"']?block", re.IGNORECASE)
_INTERWIKI = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,12})?$")
_HOLES = (
    (re.compile(r"[ \t]{2,}"), " "),
    (re.compile(r"\([ \t]*[,;:][ \t]*"), "("),
    (re.compile(r"[ \t]*[,;][ \t]*\)"), ")"),
    (re.compile(r"[ \t]?\([ \t]*\)"), ""),
    (re.compile(r" {2,}"), " "),
    (re.compile(r"[ \t]+([,.;:](?:\s|$))"), r"\1"),
)
_LOOSE_LINK = re.compile(r"\[\[(?:[^\[\]|\n]{0,300}\|)?([^\[\]|\n]{1,300})\]\]")
_HIDDEN_TABLE = re.compile(
    r"navbox|infobox|metadata|ambox|vertical-navbox|sidebar|toc\b|noprint", re.I
)
_NAMESPACES = frozenset(("file", "image", "category", "media", "wikipedia", "template", "portal"))
_BLOCKS = frozenset(
    ("p", "div", "center", "blockquote", "section", "poem", "dl", "ul", "ol", "table")
)
_DROPPED_TAGS = frozenset(("ref", "references", "gallery", "timeline", "style", "script", "hr"))

DROPPED_SECTIONS = (
    "references|external links|see also|notes|further reading|bibliography|sources|footnotes|"
    "citations|notes and references|works cited|"
    "notes et références|références|liens externes|voir aussi|articles connexes|bibliographie|"
    "einzelnachweise|weblinks|siehe auch|literatur|"
    "referencias|enlaces externos|véase también|bibliografía|"
    "note|collegamenti esterni|voci correlate|bibliografia|altri progetti|"
    "referências|ligações externas|ver também|примечания|ссылки|литература|см. также"
)  # fmt: skip
"""Headings of sections that hold lists of works and links, in seven languages."""


@dataclass(frozen=True)
class WikitextOptions:
    """namespaces: lower-case names whose links are no words (files, categories), as the dump names
    them. dropped_sections: lower-case headings."""

    markdown: bool = False
    namespaces: frozenset[str] = _NAMESPACES
    dropped_sections: frozenset[str] = frozenset(DROPPED_SECTIONS.split("|"))
    tables: bool = True


def wikitext_to_text(source: str, options: WikitextOptions | None = None) -> str:
    """The text of a page: paragraphs, headings, list items and table rows on lines of their own."""
    import mwparserfromhell

    options = options or WikitextOptions()
    first = _FirstPass(options.markdown)
    code = mwparserfromhell.parse(first.run(_MAGIC.sub("", source)))
    renderer = _Renderer(options)
    renderer.nodes(code.nodes)
    text = html.unescape("".join(renderer.out)).replace("\xa0", " ")
    lines = [_mended(line) for line in text.split("\n")]
    text = "\n".join(_without_sections(lines, options))
    text = _LOOSE_LINK.sub(r"\1", re.sub(r"\n{3,}", "\n\n", text))
    return _KEPT.sub(lambda match: first.kept[int(match[1])], text).strip()


@dataclass
class _FirstPass:
    markdown: bool
    kept: list[str] = field(default_factory=list)

    def run(self, source: str) -> str:
        source = source.replace(_OPEN, "").replace(_CLOSE, "")
        out: list[str] = []
        opened: list[int] = []  # where in `out` each template that is open begins
        absent: set[str] = set()  # ends that do not occur any more: not searched again
        lower = source.lower()
        place = 0
        for match in _TOKEN.finditer(source):
            start = match.start()
            if start < place:
                continue
            out.append(source[place:start])
            place = match.end()
            token = match[0]
            if token[0] == "{":
                out.append("{" * (len(token) % 2))
                for _ in range(len(token) // 2):
                    opened.append(len(out))
                    out.append("{{")
            elif token[0] == "}":
                for _ in range(len(token) // 2):
                    if opened:
                        begin = opened.pop()
                        body = "".join(out[begin + 1 :])
                        del out[begin:]
                        out.append(_template(body))
                out.append("}" * (len(token) % 2) if opened else "")
            elif token == "<!--":
                end = _find(source, "-->", place, absent)
                place = len(source) if end < 0 else end + 3
            elif not match[3]:
                name = match[1].lower()
                end = _find(lower, f"</{name}", place, absent)
                if end < 0:
                    continue
                out.append(self._element(name, match[2], source[place:end]))
                close = source.find(">", end)
                place = len(source) if close < 0 else close + 1
        out.append(source[place:])
        return "".join(out)

    def _element(self, name: str, attributes: str, body: str) -> str:
        if name in _FORMULAE:
            formula = " ".join(body.split())
            if name != "math":
                formula = f"\\ce{{{formula}}}"
            if not formula:
                return ""
            block = bool(_DISPLAY.search(attributes))
            return self._keep(f"$${formula}$$" if block else f"${formula}$")
        if name not in _VERBATIM:
            return ""
        body = html.unescape(body)
        if name in ("nowiki", "code") and "\n" not in body.strip():
            code = self.markdown and name == "code"
            return self._keep(f"`{body}`" if code else body)
        body = body.strip("\n")
        if self.markdown:
            body = f"```\n{body}\n```"
        return f"\n\n{self._keep(body)}\n\n"

    def _keep(self, text: str) -> str:
        self.kept.append(text)
        return f"{_OPEN}{len(self.kept) - 1}{_CLOSE}"


def _find(text: str, what: str, start: int, absent: set[str]) -> int:
    if what in absent:
        return -1
    found = text.find(what, start)
    if found < 0:
        absent.add(what)
    return found


def _first(arguments: list[str]) -> str:
    return arguments[0] if arguments else ""


def _second(arguments: list[str]) -> str:
    return arguments[1] if len(arguments) > 1 else ""


def _convert(arguments: list[str]) -> str:
    if len(arguments) > 3 and arguments[1] in ("to", "and", "-", "–", "by", "x", "or", "to(-)"):
        return f"{arguments[0]} {arguments[1]} {arguments[2]} {arguments[3]}"
    return " ".join(arguments[:2])


def _fraction(arguments: list[str]) -> str:
    if len(arguments) == 3:
        return f"{arguments[0]} {arguments[1]}/{arguments[2]}"
    return "/".join(arguments) if len(arguments) == 2 else _first(arguments)


_WORDS: dict[str, Callable[[list[str]], str]] = {
    **dict.fromkeys(("lang", "langx", "transl", "transliteration", "script"), _second),
    **dict.fromkeys(
        "nowrap nobr small big em strong abbr math mvar var val quote blockquote cquote unicode "
        "ill interlanguage-link smallcaps sc midsize larger red".split(),
        _first,
    ),
    **dict.fromkeys(("convert", "cvt"), _convert),
    **dict.fromkeys(("frac", "sfrac", "fraction"), _fraction),
    **dict.fromkeys(("nbsp", "space", "thinsp", "wbr"), lambda _: " "),
    **dict.fromkeys(("ndash", "en dash", "–"), lambda _: "–"),
    **dict.fromkeys(("snd", "spnd", "spaced ndash"), lambda _: " – "),
    **dict.fromkeys(("mdash", "em dash", "—"), lambda _: "—"),
    **dict.fromkeys(("circa", "c."), lambda a: f"c. {_first(a)}"),
    "sup": lambda a: f"^{_first(a)}",
    "sub": _first,
    "as of": lambda a: f"as of {_first(a)}",
    "=": lambda _: "=",
}


def _template(body: str) -> str:
    """The words that a template stands for; mostly none. Templates inside it are done already."""
    name, bar, rest = body.partition("|")
    name = name.strip().lower().replace("_", " ")
    words = _WORDS.get(name)
    if words is None:
        if not name.startswith("lang-"):
            return ""
        words = _first
    arguments = []
    for argument in _split_arguments(rest) if bar else ():
        key, equals, value = argument.partition("=")
        if equals and key.strip() in ("1", "2", "text", "quote"):
            arguments.append(value.strip())
        elif not equals or "[" in key or "<" in key:
            arguments.append(argument.strip())
    return words(arguments)


def _split_arguments(text: str) -> list[str]:
    """Cut at the bars that stand in no link."""
    if "[[" not in text:
        return text.split("|")
    found = [""]
    inside = 0
    for piece in re.split(r"(\[\[|\]\]|\|)", text):
        if piece == "|" and inside == 0:
            found.append("")
            continue
        inside = max(0, inside + (piece == "[[") - (piece == "]]"))
        found[-1] += piece
    return found


@dataclass
class _Renderer:
    options: WikitextOptions
    out: list[str] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    markers: str = ""

    def nodes(self, nodes: Iterable[Any]) -> None:
        from mwparserfromhell.nodes import ExternalLink, Heading, Tag, Text, Wikilink

        for node in nodes:
            if isinstance(node, Text):
                self._words(str(node))
            elif isinstance(node, Wikilink):
                self._link(node)
            elif isinstance(node, Tag):
                self._tag(node)
            elif isinstance(node, Heading):
                self._heading(node)
            elif isinstance(node, ExternalLink):
                if node.title is not None:
                    self.nodes(node.title.nodes)
                elif not node.brackets:
                    self._words(str(node.url))
            elif type(node).__name__ == "HTMLEntity":
                self._words(str(node))

    def _words(self, text: str) -> None:
        if self.markers:
            self._open_item()
        if "\n" in text and self.numbers and not re.match(r"\n#*$", text[text.rfind("\n") :]):
            self.numbers.clear()
        self.out.append(text)

    def _open_item(self) -> None:
        markers, self.markers = self.markers, ""
        depth = len(markers)
        indent = "  " * (depth - 1)
        self.numbers = {d: n for d, n in self.numbers.items() if d <= depth}
        if markers[-1] == "#":
            self.numbers[depth] = self.numbers.get(depth, 0) + 1
            self.out.append(f"{indent}{self.numbers[depth]}. ")
        elif markers[-1] == "*":
            self.numbers.pop(depth, None)
            self.out.append(f"{indent}- ")

    def _link(self, node: Any) -> None:
        title = str(node.title).strip()
        prefix, colon, _ = title.partition(":")
        space = prefix.strip().lower()
        if colon and (space in self.options.namespaces or _INTERWIKI.match(prefix)):
            return
        if node.text is not None and str(node.text).strip():
            self.nodes(node.text.nodes)
        else:
            self._words(title.lstrip(":").partition("#")[0] or title)

    def _heading(self, node: Any) -> None:
        inner = _Renderer(self.options)
        inner.nodes(node.title.nodes)
        title = " ".join("".join(inner.out).split())
        # The mark is taken off again when the sections are known.
        self.out.append(f"\n\n{_OPEN}{'=' * min(6, node.level)}{title}\n\n")

    def _tag(self, node: Any) -> None:
        tag = str(node.tag).strip().lower()
        if tag in _DROPPED_TAGS:
            return
        if tag in ("li", "dd", "dt") and node.wiki_markup:
            self.markers += str(node.wiki_markup)
        elif tag == "br":
            self.out.append("\n")
        elif tag == "table":
            if self.options.tables and not _HIDDEN_TABLE.search(_attribute(node, "class")):
                self._table(node)
        elif node.contents is None or "display:none" in _attribute(node, "style").replace(" ", ""):
            return
        elif tag == "sup":
            inner = _Renderer(self.options)
            inner.nodes(node.contents.nodes)
            text = "".join(inner.out).strip()
            self.out.append(f"^{text}" if text else "")
        elif tag in _BLOCKS:
            self.out.append("\n")
            self.nodes(node.contents.nodes)
            self.out.append("\n")
        else:
            self.nodes(node.contents.nodes)

    def _table(self, node: Any) -> None:
        rows: list[list[str]] = []
        loose: list[str] | None = None
        for row in node.contents.nodes:
            tag = str(getattr(row, "tag", "")).strip().lower()
            if tag not in ("tr", "caption"):
                # Cells of a first row without `|-` stand in the table itself.
                if tag in ("td", "th"):
                    if loose is None or str(row.contents).startswith("+"):
                        rows.append([])
                        loose = None if str(row.contents).startswith("+") else rows[-1]
                    rows[-1].append(self._cell(row))
                continue
            loose = None
            cells = [
                self._cell(cell)
                for cell in row.contents.nodes
                if str(getattr(cell, "tag", "")).strip().lower() in ("td", "th")
            ]
            rows.append(cells)
        rows = [cells for cells in rows if any(cells)]
        if not rows:
            return
        lines = [" | ".join(cells) for cells in rows]
        if self.options.markdown:
            lines = [f"| {line} |" for line in lines]
            lines.insert(1, "|" + " --- |" * len(rows[0]))
        self.out.append("\n\n" + "\n".join(lines) + "\n\n")

    def _cell(self, node: Any) -> str:
        inner = _Renderer(self.options)
        inner.nodes(node.contents.nodes)
        text = " ".join("".join(inner.out).split())
        # The parser takes a caption, `|+`, for a cell.
        return text[1:].lstrip() if text.startswith("+ ") else text


def _attribute(node: Any, name: str) -> str:
    return next((str(a.value) for a in node.attributes if str(a.name).strip().lower() == name), "")


def _mended(line: str) -> str:
    """A line without what dropped templates leave behind: empty brackets, doubled spaces."""
    indent = line[: len(line) - len(line.lstrip(" "))] if line.lstrip().startswith("- ") else ""
    line = line.strip()
    if line.startswith(("{|", "|", "!")) and not line.startswith("| "):
        line = _loose_row(line)
    for pattern, instead in _HOLES:
        line = pattern.sub(instead, line)
    return indent + line


def _loose_row(line: str) -> str:
    """A line of a table whose markup is too broken for the parser."""
    if line.startswith(("{|", "|-", "|}", "|+")):
        return ""
    cells = re.split(r"\|\||!!", line[1:])
    return " | ".join(cell.rpartition("|")[2].strip() for cell in cells)


def _without_sections(lines: list[str], options: WikitextOptions) -> list[str]:
    """Leaves out dropped sections with what lies below them, and headings with nothing below."""
    out: list[str] = []
    pending: list[tuple[int, str]] = []
    dropped = 0
    for line in lines:
        if line.startswith(_OPEN + "="):
            marked = line[1:]
            title = marked.lstrip("=")
            level = len(marked) - len(title)
            if dropped and level > dropped:
                continue
            dropped = level if title.strip().lower() in options.dropped_sections else 0
            pending = [one for one in pending if one[0] < level]
            if not dropped:
                pending.append((level, title))
            continue
        if dropped:
            continue
        if line.strip() and pending:
            for level, title in pending:
                out += ["", f"{'#' * level} {title}" if options.markdown else title, ""]
            pending = []
        out.append(line)
    return out
