"""Which blocks are the page's main text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from gristmill.data.extract import cues
from gristmill.data.extract.closing import closing_sections
from gristmill.data.extract.dom import flatten_node
from gristmill.data.extract.prune import HEADINGS, prune
from gristmill.data.extract.record import Record, unnoted
from gristmill.data.extract.tree import Block, Element, Tree

MAX_SUBTITLE = 400  # characters
_PARAGRAPHS = frozenset(("p", "blockquote", "dd", "pre"))
_SMALL = frozenset(("p", "li", "dd", "td", "th", "blockquote"))
_STOPS = (".", "!", "?", "…", "。", "।", "؟", "۔", ":", ";", '"', "”", "’", "»", ")", "！", "？")


_NAME_BLOCKS = 4  # between a manual page's heading NAME and the next section
# A site's line below its name, before the first heading of the page.
_TAGLINE = re.compile(r"(?<![a-z])(?:tagline|slogan|site-?description)(?![a-z])", re.IGNORECASE)
_TAGLINE_CHARS = 120
# A value that only a paragraph has.
_LONG = 140
_SENTENCE = 70
# Less than that is no reason to think that a name is wrong: a short page may have a long footer.
_OUTWEIGHS = 200
# So much text in an element that is named as the main one is the main text.
_SURE = 600
# Parts of a main text: never the whole of it.
_NO_CONTAINERS = frozenset(("p", "pre", "ul", "ol", "dl", "li", "blockquote"))
# Classes of chapters: one is never the main text beside others, as long as it may be.
_CHAPTERS = frozenset(("sect1", "sect2", "section", "chapter"))
# Of these all is text, what stands before and after the longest part too.
_WHOLE_CHAPTERS = frozenset(("sect1", "sect2", "chapter", "refentry", "appendix", "preface"))
_TABLE_PARTS = frozenset(("table", "tbody", "tr", "td"))


def worth(block: Block) -> float:
    """Characters for or against: running text counts as it is long, links count against."""
    length = len(block.text)
    plain = length - block.links
    if block.kind != "text":
        return min(plain, 400)
    if block.tag in HEADINGS:
        return 0.0
    if plain >= 40 and plain > block.links:
        text = block.text
        if plain < 250 and text.endswith(("…", "...")):
            return 0.1 * plain  # the beginning of another page's text
        if plain >= 140 or (text.endswith(_STOPS) and (block.tag in _PARAGRAPHS or plain >= 80)):
            return plain - block.links
        return 0.4 * plain - block.links
    if block.links * 2 > length:
        return -min(length, 50.0)
    return 0.3 * plain if block.tag in _SMALL else 0.0


@dataclass(slots=True)
class Verdict:
    """The main element, its blocks [first, end), and per block of the page 0 or why it goes."""

    main: int
    first: int
    end: int
    reasons: list[int]
    subtitle: int = -1  # the element below the headline that is named a subtitle
    whole: float = 0.0  # what all blocks of the page are worth
    worth: float = 0.0  # what those of the main text are worth

    def kept(self) -> list[int]:
        """The blocks of the main text, ascending."""
        reasons = self.reasons
        return [i for i in range(self.first, self.end) if not reasons[i]]


def heaviest(tree: Tree, verdict: Verdict, known: dict[int, float], max_depth: int) -> int | None:
    """The `mem_id` of the skipped node that is worth more than all the rest of the page, if any.

    Not looked for where the text that was found is long and stands in an element that is named as
    the main one. known: worth of nodes by `mem_id`, filled here.
    """
    whole = verdict.worth
    if whole >= _SURE and _in_main(tree.elements, verdict.main):
        return None
    if whole >= _SURE and not any(len(n.text_lexbor()) >= 4 * whole for n in tree.skipped):
        return None  # none of them can outweigh so much
    held: list[tuple[float, int, Any]] = []  # what each node is worth at most
    for node in tree.skipped:
        key = int(node.mem_id)
        bound = known.get(key)
        if bound is None:
            # Long notices about cookies are no articles, unless there is nothing else.
            if whole > _OUTWEIGHS and cues.asks(node.attributes):
                continue
            # Characters outside of links bound the worth from above and need no walk.
            bound = _plain_length(node) if len(node.text_lexbor()) > whole else 0
            if bound <= whole:
                continue
        held.append((bound, key, node))
    held.sort(key=lambda one: one[0], reverse=True)
    best, most, rest = None, 0.0, whole  # rest: what all but the best are worth
    unseen = sum(bound for bound, _, _ in held)
    for bound, key, node in held:
        if bound <= most and (most <= rest or most > rest + unseen):
            break  # the others cannot be better, nor change what the best one is held against
        unseen -= bound
        value = known.get(key)
        if value is None:
            value = _inner_worth(tree, node, max_depth, skip=True)
            if value <= _OUTWEIGHS:
                value = _inner_worth(tree, node, max_depth, skip=False)
            known[key] = value
        rest += min(value, most)
        if value > most:
            best, most = key, value
    if whole >= _SURE and most < 4 * whole:
        return None
    return best if most > max(rest, _OUTWEIGHS if whole else 0.0) else None


def _plain_length(node: Any) -> int:
    return len(node.text(strip=True)) - sum(len(a.text(strip=True)) for a in node.css("a"))


def _inner_worth(tree: Tree, node: Any, max_depth: int, *, skip: bool) -> float:
    blocks = flatten_node(node, max_depth=max_depth, skip=skip, titled=tree.titled).blocks
    return sum(value for value in map(worth, blocks) if value > 0)


def _in_main(elements: list[Element], index: int) -> bool:
    while index >= 0:
        if elements[index].cue == cues.MAIN:
            return True
        index = elements[index].parent
    return False


def choose(
    tree: Tree,
    *,
    title: str = "",
    host: str = "",
    comments: bool = False,
    captions: bool = False,
    record: Record | None = None,
) -> Verdict:
    """Judges every block of a page. title: what its head states, which is no part of the text.
    host: of the page, to tell links to other sites from its own.

    record: is told after each rule what it decided.
    """
    note = unnoted if record is None else record.note
    blocks, elements = tree.blocks, tree.elements
    n = len(blocks)
    values = [worth(block) for block in blocks]
    positive = [value if value > 0 else 0.0 for value in values]
    if record is not None:
        record.judge(values)
    allowed = {cues.TITLE, cues.SUBTITLE}
    if comments:
        allowed.add(cues.COMMENTS)
    if captions:
        allowed.add(cues.CAPTION)
    reasons = _cue_reasons(tree, positive, allowed)
    _drop_taglines(tree, reasons)
    note("name", reasons)
    _keep_quotations(tree, reasons)
    note("quotation", reasons)
    subtitle = _subtitle(tree, reasons)
    note("subtitle", reasons)
    closing_sections(tree, positive, reasons)
    note("closing section", reasons)
    kept = [0.0 if reasons[i] else positive[i] for i in range(n)]
    main = _with_name(tree, _main_element(tree, kept))
    first, end = elements[main].start, elements[main].end
    prune(tree, main, values, reasons, title, host, note)
    for i in (*range(first), *range(end, n)):
        reasons[i] = reasons[i] or cues.OUTSIDE
    note("outside", reasons)
    rest = sum(positive[i] for i in range(first, end) if not reasons[i])
    return Verdict(main, first, end, reasons, subtitle, sum(positive), rest)


def _cue_reasons(tree: Tree, positive: list[float], allowed: set[int]) -> list[int]:
    """Per block the category of the outermost element whose names speak against it, or 0."""
    reasons = [0] * len(positive)
    if not tree.spoken_against:
        return reasons
    sums = [0.0, *accumulate(positive)]
    whole = sums[-1]
    until = 0  # blocks before this one are already judged
    for element in map(tree.elements.__getitem__, tree.spoken_against):
        kind = element.cue
        if kind in allowed or element.start < until or element.end <= element.start:
            continue
        share = sums[element.end] - sums[element.start]
        if share > max(0.5 * whole, _OUTWEIGHS) and kind != cues.COMMENTS:
            continue
        if element.tag in ("article", "main") and share > 0.2 * whole:
            continue
        for i in range(element.start, element.end):
            reasons[i] = kind
        until = element.end
    return reasons


def _keep_quotations(tree: Tree, reasons: list[int]) -> None:
    """Posts of social networks are quoted in boxes that are named after the network."""
    for element in map(tree.elements.__getitem__, tree.quotations):
        for i in range(element.start, element.end):
            if reasons[i] in (cues.SHARE, cues.MEDIA):
                reasons[i] = 0


def _subtitle(tree: Tree, reasons: list[int]) -> int:
    for index in tree.subtitles:
        element = tree.elements[index]
        if not any(0 < element.start - h1 <= 3 for h1 in tree.headlines):
            continue
        blocks = tree.blocks[element.start : element.end]
        if 3 <= sum(len(block.text) for block in blocks) <= MAX_SUBTITLE and not any(
            block.links for block in blocks
        ):
            for i in range(element.start, element.end):
                reasons[i] = cues.SUBTITLE
            return index
    return -1


def _drop_taglines(tree: Tree, reasons: list[int]) -> None:
    """The same words on every page of a site, where they stand above all headings."""
    if not tree.subtitles:
        return
    blocks = tree.blocks
    heading = next((i for i, block in enumerate(blocks) if block.tag in HEADINGS), len(blocks))
    for element in (tree.elements[index] for index in tree.subtitles):
        inside = range(element.start, element.end)
        if (
            element.end <= heading
            and _TAGLINE.search(element.name)
            and sum(len(blocks[i].text) for i in inside) <= _TAGLINE_CHARS
        ):
            for i in inside:
                reasons[i] = reasons[i] or cues.FURNITURE


def _main_element(tree: Tree, kept: list[float]) -> int:
    """The deepest element that still holds nearly all of what counts.

    kept: what each block is worth, 0 where it is dropped.
    """
    elements = tree.elements
    total = [0.0, *accumulate(kept)]
    long = [0, *accumulate(value >= _LONG for value in kept)]
    whole = total[-1]
    best_child = [0] * len(elements)
    best_value = [0.0] * len(elements)
    start = 0
    start_value = 0.0
    main_cue = cues.MAIN
    for index, element in enumerate(elements):
        value = total[element.end] - total[element.start]
        if value > 0.0 and index and value > best_value[element.parent]:
            best_value[element.parent] = value
            best_child[element.parent] = index
        if element.cue == main_cue and value >= start_value:
            titled = any(element.start <= h1 < element.end for h1 in tree.headlines)
            if value >= (0.15 if titled else 0.4) * whole:
                start, start_value = index, value
    current = start
    while True:
        element = elements[current]
        child = best_child[current]
        if not child or elements[child].tag in _NO_CONTAINERS:
            return _around_table(elements, current)
        if element.name.split(" ", 1)[0] in _WHOLE_CHAPTERS:
            return _around_table(elements, current)
        inner = elements[child]
        if current and inner.cue != cues.MAIN and _is_led_in(tree, kept, current, inner.start):
            return _around_table(elements, current)
        share = best_value[current] / (total[element.end] - total[element.start])
        # Outside of it no paragraph is left, only short lines.
        rest = long[element.end] - long[element.start] - (long[inner.end] - long[inner.start])
        if inner.cue == cues.MAIN or not rest:
            need = 0.6
        else:
            need = 0.95 if element.cue == cues.MAIN else 0.85
        chapter = _is_chapter(inner)
        if share < need or ((share < 0.85 or chapter) and _one_of_many(elements, child, total)):
            return _around_table(elements, current)
        current = child


def _with_name(tree: Tree, main: int) -> int:
    """The main element, or what a manual page's NAME stands in: it is written into the header."""
    elements, blocks = tree.elements, tree.blocks
    parent, start = elements[main].parent, elements[main].start
    while parent >= 0 and elements[parent].start == start:
        parent = elements[parent].parent
    if parent < 0:
        return main
    for i in range(max(elements[parent].start, start - _NAME_BLOCKS), start - 1):
        if blocks[i].tag in HEADINGS and blocks[i].text.casefold() == "name":
            return parent
    return main


def _is_led_in(tree: Tree, kept: list[float], index: int, stop: int) -> bool:
    """Whether two paragraphs of the element itself stand before the block `stop`."""
    blocks, elements = tree.blocks, tree.elements
    found = 0
    for i in range(elements[index].start, stop):
        block = blocks[i]
        if kept[i] >= _SENTENCE and block.tag == "p" and elements[block.element].parent == index:
            found += 1
    return found > 1


def _around_table(elements: list[Element], index: int) -> int:
    """What a table stands in, where the table or its body was found: its rows are the text."""
    tag = elements[index].tag
    if tag in ("tbody", "thead") and elements[elements[index].parent].tag == "table":
        index = elements[index].parent
        tag = "table"
    return elements[index].parent if tag == "table" and index else index


def _is_chapter(element: Element) -> bool:
    """Whether an element is a section among others, as documents are made of them."""
    name = element.name
    if element.tag == "section":
        return not name or name[0] == " "  # no class; an id is its own
    return name.split(" ", 1)[0] in _CHAPTERS


def _one_of_many(elements: list[Element], index: int, total: list[float]) -> bool:
    """Whether an element is a paragraph, or a post with siblings of its name that hold text."""
    one = elements[index]
    if one.end - one.start == 1:
        return True
    if one.tag in _TABLE_PARTS:
        return False
    kind, parent = _kind(one), elements[one.parent]
    for i in range(one.parent + 1, len(elements)):
        other = elements[i]
        if other.start >= parent.end:
            return False
        holds = total[other.end] > total[other.start]
        if other.parent == one.parent and i != index and holds and _kind(other) == kind:
            return True
    return False


def _kind(element: Element) -> tuple[str, str]:
    # Of "post p12" and "post p13" the first word is the same; numbered ids are too.
    if element.tag == "section" and element.name[:1] == " ":
        return "section", ""
    name = element.name.split(None, 1)
    return element.tag, name[0].rstrip("0123456789") if name else ""
