"""Boxes of one make: what is asked of a page that holds many texts.

A box is an element that lays out (div, article, li, td and the like); boxes of one make share a tag
and the first word of their name. `Page` is a tree with sums over its blocks, so that what a box
holds costs one subtraction; all here is linear in blocks and elements.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate

from gristmill.data.extract import cues
from gristmill.data.extract.prune import HEADINGS
from gristmill.data.extract.rules import Verdict, worth
from gristmill.data.extract.tree import Block, Element, Tree

# Where most boxes of one make hold text, names of what is inside them are taken at their word.
_HARD = frozenset(
    (cues.NAVIGATION, cues.ADVERT, cues.SIGN_UP, cues.FURNITURE, cues.HIDDEN, cues.SHARE)
)
_ABOUT = re.compile(
    r"(?<![a-z])(?:meta|author|byline|user-?name|date|rating|stars|votes?|profile|permalink|tagline"
    r"|respond|(?:reply|comment|review)[-_]form)(?![a-z])"
)
BOXES = frozenset(("div", "article", "section", "li", "dd", "td", "tr", "table", "span", "form"))
_DIGITS = re.compile(r"\d+")
DATE = re.compile(
    r"(?:posted|published|updated|reviewed|asked|answered)?\W*(?:\d{1,4}[-./]\d{1,2}[-./]\d{1,4}"
    r"|\w{3,12}\.? \d{1,2},? \d{4}|\d{1,2}\.? (?:de )?\w{3,12},?(?: de)? \d{4}"
    r"|\d+ ?\w+ ago|\d{1,2}\.? \w{3,9})(?:[ ,at]{0,4}\d{1,2}[:.]\d{2}(?::\d{2})?(?: ?[ap]m)?)?",
    re.IGNORECASE,
)
_BARS = re.compile(r"\s+[|·•]\s+")
_NO_NAME = re.compile(r"\d|[.!?:]$")
_IDEOGRAPHS = "\u2e80"  # from there on a character is half a word
LONG_ARTICLE = 600.0  # a text of that worth with comments below it is an article
TITLE_CHARS = 200


class Page:
    """A tree with what is asked of it often: worth of blocks, sums over elements, names."""

    def __init__(self, tree: Tree, verdict: Verdict, forum: bool, product: bool):
        self.blocks, self.elements = tree.blocks, tree.elements
        self.old = verdict
        self.forum, self.product = forum, product
        raw = [max(0.0, worth(block)) for block in tree.blocks]
        self.hard = _marked(tree.elements, raw)
        self.values = [0.0 if hard else value for value, hard in zip(raw, self.hard, strict=True)]
        self.sums = [0.0, *accumulate(self.values)]
        self.headlines = tree.headlines
        self.cells = tree.cells[1] if tree.cells else {}

    @cached_property
    def byline(self) -> list[bool]:
        """Per block whether it is a short one in a box that is named as author, date and so on."""
        return _about(self.elements, self.blocks)

    @cached_property
    def chars(self) -> list[int]:
        """Characters before each block."""
        return [0, *accumulate(len(block.text) for block in self.blocks)]

    def value(self, element: Element) -> float:
        return self.sums[element.end] - self.sums[element.start]

    def verdict_of(self, keep: set[int]) -> Verdict:
        """The verdict that keeps exactly `keep`."""
        first, last = min(keep), max(keep)
        main, elements = 0, self.elements
        for index, element in enumerate(elements):
            if element.start <= first and element.end > last and element.parent in (main, -1):
                main = index
        old = self.old.reasons
        reasons = [
            0
            if i in keep
            else old[i] or (cues.OUTSIDE if i < first or i > last else cues.FURNITURE)
            for i in range(len(self.blocks))
        ]
        kept = sum(self.values[i] for i in keep)
        one = elements[main]
        return Verdict(main, one.start, one.end, reasons, self.old.subtitle, self.old.whole, kept)


def _marked(elements: list[Element], raw: list[float]) -> list[bool]:
    """Whether each block stands in an element that is named as furniture of the page.

    A name that three or more boxes share which hold most of the text is wrong ("ad" on a page of
    classified advertisements).
    """
    sums = [0.0, *accumulate(raw)]
    hard = [element for element in elements if element.cue in _HARD]
    together: Counter[str] = Counter()
    makes: Counter[str] = Counter()
    for element in hard:
        together[name_of(element)] += int(sums[element.end] - sums[element.start])
        makes[name_of(element)] += 1
    wrong = {
        name for name in together if name and makes[name] > 2 and together[name] > 0.4 * sums[-1]
    }
    return within(
        (
            element
            for element in hard
            if name_of(element) not in wrong
            and sums[element.end] - sums[element.start] <= 0.5 * sums[-1]
        ),
        len(raw),
    )


def _about(elements: list[Element], blocks: list[Block]) -> list[bool]:
    """Whether each block is a short one in a box that is named as author, date, votes, form."""
    found = [False] * len(blocks)
    for element in elements:
        span = range(element.start, element.end)
        if len(span) > 6 or (not element.name and element.cue != cues.BYLINE):
            continue
        if element.cue == cues.BYLINE or _ABOUT.search(element.name.lower()):
            for i in span:
                found[i] = found[i] or len(blocks[i].text) < 120
    return found


def within(elements: Iterable[Element], n: int) -> list[bool]:
    """Whether each of n blocks stands in one of the elements."""
    steps = [0] * (n + 1)
    for element in elements:
        steps[element.start] += 1
        steps[element.end] -= 1
    return [open_now > 0 for open_now in accumulate(steps)][:n]


def name_of(element: Element) -> str:
    """What the boxes of one make share: of "post p12" and "post p13", "post"."""
    name = element.name.split(None, 1)
    return name[0].rstrip("0123456789") if name else ""


def groups_of(page: Page) -> dict[tuple[str, str, int], list[Element]]:
    """Boxes by tag and name anywhere on the page, nameless ones by their parent."""
    groups: dict[tuple[str, str, int], list[Element]] = {}
    for element in page.elements:
        if element.tag in BOXES or "-" in element.tag:
            name = name_of(element)
            key = (element.tag, name, -1 if name else element.parent)
            groups.setdefault(key, []).append(element)
    return groups


def covered(ranges: Iterable[Element]) -> list[tuple[int, int]]:
    """The union of the ranges of blocks."""
    out: list[tuple[int, int]] = []
    for element in sorted(ranges, key=lambda e: (e.start, -e.end)):
        if out and element.start < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], element.end))
        else:
            out.append((element.start, element.end))
    return out


def same_lines(blocks: Sequence[Block], indices: Iterable[int], *, facts: bool = False) -> set[int]:
    """Short blocks whose words, a number aside, occur again: "Reply", "12 people found this".

    facts: lines with several numbers tell something: "780 €, 84 m², 3 rooms".
    """
    masked = {}
    for i in indices:
        if len(blocks[i].text) < 80:
            masked[i], numbers = _DIGITS.subn("0", blocks[i].text)
            if facts and numbers > 1 and not DATE.fullmatch(blocks[i].text):
                del masked[i]
    counts = Counter(masked.values())
    return {
        i
        for i, text in masked.items()
        if counts[text] > 1 and blocks[i].tag not in ("th", "td", "dt", "pre")
    }


def is_text(block: Block) -> bool:
    """Not a line that is a link, a date or a name beside it."""
    length = len(block.text)
    if block.kind != "text":
        return True
    return not (block.links * 2 > length and length < TITLE_CHARS) and not (
        length < 40 and DATE.fullmatch(block.text)
    )


def is_title(block: Block) -> bool:
    length = len(block.text)
    if length > TITLE_CHARS or length < 4 or block.kind != "text":
        return False
    return block.links * 2 > length or (block.tag in HEADINGS and block.tag != "h1")


def runs(page: Page, i: int, least: int = 40) -> bool:
    """Whether a block is running text, be it short."""
    block = page.blocks[i]
    plain = len(block.text) - block.links
    if block.text[0] >= _IDEOGRAPHS:
        least = least * 3 // 8
    return (
        not page.hard[i]
        and plain >= least
        and plain > block.links
        and block.tag != "h1"
        and not is_row_of_names(block.text)
    )


def is_row_of_names(text: str) -> bool:
    """Three or more short names between bars or dots, as a footer has: "Returns | Imprint | Help".

    A row of a table has such bars too, but numbers or long cells as well.
    """
    if len(text) > 200:
        return False
    parts = _BARS.split(text)
    return len(parts) > 2 and all(
        part and len(part) < 30 and not _NO_NAME.search(part) for part in parts
    )


def drop_empty(page: Page, keep: set[int]) -> None:
    """Headings with no kept text before the next one."""
    follows = True
    for i in sorted(keep, reverse=True):
        if page.blocks[i].tag in HEADINGS and page.blocks[i].tag != "h1":
            if follows or i + 1 not in keep:
                keep.discard(i)
            follows = True
        else:
            follows = False
