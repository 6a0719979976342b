"""What the extractor kept of a page, what it dropped, and why: block by block in page order.

`explain_html` runs `extract_page` itself and reads what it wrote into a `Record`, so that an
explanation cannot differ from an extraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

from gristmill.data.extract import cues
from gristmill.data.extract.dom import flatten_node
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, Rejected, extract_page
from gristmill.data.extract.prune import HEADINGS
from gristmill.data.extract.record import LeftOut, Record
from gristmill.data.extract.tree import Element, TooDeep, Tree

_LONGEST_NAME = 60
_MOST_ABOVE = 200  # elements above a block that are looked at
_LONGEST_PATH = 6  # elements; those nearest to the block
_MOST_LEFT = 4_000  # characters of a control or a picture's text
# What the walk does not enter and that holds nothing to read.
_UNREAD = frozenset(
    """script style template noscript iframe noframes frameset object embed link meta base source
    track param area head title input -comment -doctype""".split()
)

# Rule: (kind of reason in a summary, what it says of one block). `{}` is what decided.
_SAID = {
    "subtitle": ("subtitle", "a subtitle: the description, not part of the text"),
    "closing section": ("closing section", "below the heading {}"),
    "teasers": ("teaser", "one of several boxes that begin with a link and say little"),
    "outside": ("outside the main element", "outside the main element"),
    "empty section": ("empty section", "a heading with nothing left below it"),
    "farewell": ("invitation", "asks to subscribe or to follow, after the text"),
    "kind of page": ("notice", "a notice of cookies or rights"),
    "label of code": ("label of code", "the label of a code block"),
    "mark": ("sign", "a link to this very place: a sign beside a heading"),
    "footnote": ("footnote mark", "the mark of a footnote"),
    "line number": ("line number", "line numbers beside code"),
}
# For these two the category says which of the rule's cases it was.
_EDGES = {
    cues.TITLE: ("title", "the headline: the title, not part of the text"),
    cues.BYLINE: ("byline", "a date or a short line before the first paragraph"),
    cues.FURNITURE: ("short last line", "a short line after the last paragraph"),
}
# Pages that are no articles have rules of their own, which speak last.
_KINDS = {
    "posts": "the posts of a discussion",
    "entries": "the entries of a list",
    "product": "a product's description",
    "recipe": "a recipe",
}
_KEPT = {"code": "code", "li": "list item", "td": "table cell", "th": "table cell",
         "p": "paragraph", "blockquote": "quotation", "dt": "term", "dd": "definition",
         "figcaption": "caption"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageBlock:
    """A block of the page. `piece` is the index of the piece of extracted text that it stands in,
    -1 where it was dropped; `worth` are the characters that it counts for or against a main text,
    None where the walk did not enter it."""

    text: str
    kept: bool
    kind: str
    reason: str
    path: str
    tag: str
    characters: int
    link_characters: int
    worth: float | None = None
    piece: int = -1


@dataclass
class Explanation:
    """A page beside its extracted text. `rejected` says why there is none, '' where there is one.

    `pieces` joined are `text`; `unread` counts elements without text to read, by tag.
    """

    url: str
    rejected: str = ""
    title: str | None = None
    description: str | None = None
    date: str | None = None
    language: str | None = None
    licence: str | None = None
    encoding: str | None = None
    bytes: int = 0
    text: str = ""
    main: str = ""
    kind: str = ""
    """Of the page: article, posts, entries, product, recipe."""
    entered: int = 0
    pieces: list[str] = field(default_factory=list)
    blocks: list[PageBlock] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    where: str = ""
    """Where the page was read from: a file, or a WARC file and its offset."""

    @property
    def kept_characters(self) -> int:
        """Characters of the blocks that are in the text."""
        return sum(block.characters for block in self.blocks if block.kept)

    @property
    def characters(self) -> int:
        """Characters of all blocks."""
        return sum(block.characters for block in self.blocks)

    @property
    def kept_share(self) -> float:
        """The share of the page's characters that is in the text; 0 for a page without any."""
        whole = self.characters
        return self.kept_characters / whole if whole else 0.0

    def reasons(self) -> list[tuple[str, bool, int, int]]:
        """(kind, kept, blocks, characters) by kind of reason, those with most characters first."""
        found: dict[tuple[str, bool], list[int]] = {}
        for block in self.blocks:
            sums = found.setdefault((block.kind, block.kept), [0, 0])
            sums[0] += 1
            sums[1] += block.characters
        rows = [(kind, kept, n, length) for (kind, kept), (n, length) in found.items()]
        return sorted(rows, key=lambda row: (not row[1], -row[3], row[0]))

    def to_json(self) -> dict[str, Any]:
        """For programs: everything, with the sums."""
        shown = asdict(self)
        shown["blocks"] = [asdict(block) for block in self.blocks]
        shown["kept_characters"] = self.kept_characters
        shown["characters"] = self.characters
        shown["kept_share"] = round(self.kept_share, 4)
        shown["reasons"] = [
            {"kind": kind, "kept": kept, "blocks": n, "characters": length}
            for kind, kept, n, length in self.reasons()
        ]
        return shown


def explain_html(
    html: bytes,
    url: str,
    content_type: str | None = None,
    options: ExtractOptions | None = None,
) -> Explanation:
    """Extracts a page and says of each of its blocks whether it was kept and why.

    Takes what `extract_page` takes; a rejected page has blocks as far as it was judged.
    """
    record = Record()
    return explained(url, extract_page(html, url, content_type, options, record), record)


def explained(url: str, result: ExtractedPage | Rejected, record: Record) -> Explanation:
    """What an extraction that wrote into `record` decided."""
    found = Explanation(url, bytes=record.bytes, entered=record.entered)
    if isinstance(result, Rejected):
        found.rejected = result.reason
        found.title = result.sample or None
    else:
        found.title, found.description = result.title, result.description
        found.date, found.language = result.date, result.language_attribute
        found.licence, found.encoding = result.licence, result.encoding
        found.text = result.text
    if record.tree is None or record.verdict is None:
        return found
    places = _pieces(record, found)
    found.main = _path(record.tree.elements, record.verdict.main)
    found.kind = record.kind
    found.blocks = list(_in_page_order(record, record.tree, places))
    found.unread = dict(sorted(record.unread.items()))
    return found


def _pieces(record: Record, found: Explanation) -> dict[int, int]:
    """Cuts the text where kept blocks begin; returns the piece of each kept block."""
    assert record.verdict is not None
    if found.rejected:
        return {}
    starts = [start for _, start in record.pieces] + [len(record.strings)]
    known: dict[int, int] = {}
    for number, (block, start) in enumerate(record.pieces):
        known[block] = number
        found.pieces.append("".join(record.strings[start : starts[number + 1]]))
    places: dict[int, int] = {}
    last = -1
    for block in record.verdict.kept():
        # The cells of a table are rendered together, where its first one stands.
        last = known.get(block, last)
        places[block] = last
    return places


def _in_page_order(record: Record, tree: Tree, places: dict[int, int]) -> Iterator[PageBlock]:
    left: dict[int, list[LeftOut]] = {}
    for one in record.left:
        # What stands inside of a block is told after it.
        left.setdefault(one.at + one.inside, []).append(one)
    headings = _closing_headings(record, tree)
    assert record.verdict is not None
    whole = _Wholly(tree, record.verdict.reasons)
    for i in range(len(tree.blocks)):
        for one in left.get(i, ()):
            yield from _left_out(one, tree, record)
        yield _walked(i, record, tree, places, headings, whole)
    for at in sorted(at for at in left if at >= len(tree.blocks)):
        for one in left[at]:
            yield from _left_out(one, tree, record)


def _walked(
    i: int,
    record: Record,
    tree: Tree,
    places: dict[int, int],
    headings: list[str],
    whole: _Wholly,
) -> PageBlock:
    """A block that the rules judged."""
    assert record.verdict is not None
    block = tree.blocks[i]
    cue = record.verdict.reasons[i]
    if not cue and i in places:
        kind, reason = _why_kept(record, i, block.tag, block.kind)
    else:
        kind, reason = _why_dropped(i, cue, record, tree, headings, whole)
    return PageBlock(
        text=block.text,
        kept=i in places,
        kind=kind,
        reason=reason,
        path=_path(tree.elements, block.element),
        tag=block.tag,
        characters=len(block.text),
        link_characters=block.links,
        worth=round(record.worth[i], 1),
        piece=places.get(i, -1),
    )


def _why_kept(record: Record, i: int, tag: str, kind: str) -> tuple[str, str]:
    what = "heading" if tag in HEADINGS else _KEPT.get("code" if kind == "code" else tag, "text")
    if record.rules[i] == "kind of page" and record.kind in _KINDS:
        return what, f"{what} of {_KINDS[record.kind]}"
    if record.rules[i] == "quotation":
        return what, "kept after all: a quotation in a box that is named after a network"
    return what, f"{what} in the main element"


def _why_dropped(
    i: int, cue: int, record: Record, tree: Tree, headings: list[str], whole: _Wholly
) -> tuple[str, str]:
    rule = record.rules[i]
    block = tree.blocks[i]
    category = cues.REASONS[cue] if cue < len(cues.REASONS) else "other"
    if rule == "name":
        element = _named(tree, i, cue, whole)
        return category, _by_name(category, element.tag, element.name)
    if rule == "links" and cue == cues.RELATED:
        said = f"mostly a link: {block.links} of {len(block.text)} characters"
        return "mostly links", said
    if rule == "links":
        return category, "a notice by its words"
    if rule == "edges" and cue in _EDGES:
        return _EDGES[cue]
    if rule == "kind of page" and record.kind in _KINDS:
        return f"not in {_KINDS[record.kind]}", f"not part of {_KINDS[record.kind]}"
    if rule == "kind of page" and cue == cues.RELATED:
        return "index", "an entry of an index, as nearly all of the page"
    if rule in _SAID:
        kind, said = _SAID[rule]
        return kind, said.format(f'"{headings[i]}"')
    return category or "not in the text", f"{rule}: {category}" if rule else "not in the text"


class _Wholly:
    """Which elements have no block that was kept."""

    def __init__(self, tree: Tree, reasons: list[int]):
        self._elements = tree.elements
        self._kept = [0, *accumulate(not reason for reason in reasons)]

    def __call__(self, index: int) -> bool:
        element = self._elements[index]
        return self._kept[element.start] == self._kept[element.end]


def _named(tree: Tree, i: int, cue: int, whole: _Wholly) -> Element:
    """The outermost element around a block whose name speaks against it and that is wholly out."""
    elements = tree.elements
    found = elements[tree.blocks[i].element]
    index = tree.blocks[i].element
    for _ in range(_MOST_ABOVE):
        element = elements[index]
        if element.cue == cue and whole(index):
            found = element
        index = element.parent
        if index < 0:
            break
    return found


def _by_name(category: str, tag: str, name: str) -> str:
    name = " ".join(name.split())
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 4] + " ..."
    return f'{category}: <{tag}> named "{name}"' if name else f"{category}: <{tag}>"


def _closing_headings(record: Record, tree: Tree) -> list[str]:
    """Per block the last heading before it that the rule of closing sections dropped."""
    found, last = [], ""
    for rule, block in zip(record.rules, tree.blocks, strict=True):
        if rule == "closing section" and block.tag in HEADINGS:
            last = block.text[:_LONGEST_NAME]
        found.append(last)
    return found


def _left_out(one: LeftOut, tree: Tree, record: Record) -> Iterator[PageBlock]:
    """What lies in a node that the walk did not enter."""
    tag = str(one.node.tag)
    if one.rule == "tag" and tag in _UNREAD:
        record.unread[tag] += 1
        return
    path = _path(tree.elements, one.element)
    kind, reason = _why_left(one, tag)
    step = f"{tag}{_brackets(one.name)}" if one.rule != "tag" else tag
    if one.rule == "name":
        try:
            inner = flatten_node(one.node)
        except TooDeep:
            inner = Tree()
        for block in inner.blocks:
            below = _path(inner.elements, block.element, skip_root=True)
            yield PageBlock(
                block.text, False, kind, reason, _joined(path, step, below), block.tag,
                len(block.text), block.links,
            )  # fmt: skip
        return
    text = " ".join(one.node.text(separator=" ")[:_MOST_LEFT].split())
    if text:
        where = _joined(path, step, "")
        yield PageBlock(text, False, kind, reason, where, tag, len(text), 0)


def _why_left(one: LeftOut, tag: str) -> tuple[str, str]:
    if one.rule == "tag":
        return "control or picture", f"a control or a picture: <{tag}>"
    if one.rule in _SAID:
        return _SAID[one.rule]
    category = cues.REASONS[one.cue] or "inline"
    if one.rule == "inline":
        found = cues.cue(one.name) if one.name else 0
        category = cues.REASONS[found] if found else "hidden"
        if "katex" in one.name or "math" in one.name.lower():
            return "formula's picture", "the picture of a formula whose source is beside it"
    return category, _by_name(category, tag, one.name)


def _path(elements: list[Element], index: int, skip_root: bool = False) -> str:
    steps: list[str] = []
    while index >= 0 and len(steps) <= _LONGEST_PATH:
        element = elements[index]
        if element.parent >= 0 or not skip_root:
            steps.append(f"{element.tag}{_brackets(element.name)}")
        index = element.parent
    return _shortened(steps[::-1])


def _joined(path: str, step: str, below: str) -> str:
    return _shortened([*path.split(" > "), step, *(below.split(" > ") if below else [])])


def _shortened(steps: list[str]) -> str:
    if len(steps) > _LONGEST_PATH:
        steps = ["..."] + [step for step in steps[-_LONGEST_PATH:] if step != "..."]
    return " > ".join(steps)


def _brackets(name: str) -> str:
    """Class and id as the rules see them: words in brackets behind the tag."""
    name = " ".join(name.replace(">", " ").split())
    if len(name) > _LONGEST_NAME // 2:
        name = name[: _LONGEST_NAME // 2 - 3] + "..."
    return f"[{name}]" if name else ""
