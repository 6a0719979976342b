"""What does not belong to the main text inside the main element.

Lists of links, teasers, headings that lost their text, and short lines before the first and after
the last paragraph. What stands below headings such as "References" is `closing`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

from gristmill.data.extract import cues
from gristmill.data.extract.record import unnoted
from gristmill.data.extract.tables import find_tables
from gristmill.data.extract.tree import Block, Element, Tree

HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
ENDS = (".", "!", "?", "…", "。", ".”", '."', "’", "”", ":", "»")
_TEXT_TAGS = HEADINGS | {"p", "li", "dd", "blockquote"}
_NETWORKS = (
    "facebook.", "twitter.", "linkedin.", "pinterest.", "reddit.", "whatsapp.", "instagram.",
    "addtoany.", "t.me", "vk.com", "telegram.", "flipboard.", "weibo.", "tumblr.", "youtube.",
    "news.google.",
)  # fmt: skip
_TEASER_CHARS = 300
_SHORT = 60


def phrases(text: str) -> frozenset[str]:
    """Phrases parted by "|", which may go over lines."""
    return frozenset(" ".join(phrase.split()) for phrase in text.split("|"))


_NOTICES = phrases(
    """advertisement | advertisements | advert | ad | ads | sponsored | iklan | anzeige | werbung |
    publicité | publicidad | publicidade | pubblicità | reklama | реклама | 広告 | share |
    share this | story continues below advertisement | article continues below |
    continue reading | read more | scroll to continue | comments"""
)
_ASKS = re.compile(
    r"\b(?:subscribe|sign up (?:for|to)|newsletters?|your inbox|"
    r"follow (?:us|him|her|them|me|@|\w+ on|\w+ \w+ on)|"
    r"follow (?:[\w.]+(?:['’]s)? ){1,5}coverage|"
    r"like us on|join us on|(?:be )?reached at|got a tip|have a tip|"
    r"abonnieren|folgen sie uns|folge uns|folgt uns|abonnez-vous|inscrivez-vous|suivez-nous|"
    r"suscríb\w+|suscrib[ai]\w*|síguenos|síganos|sigue a|iscriviti|seguici|"
    r"assine|inscreva-se|siga[- ]nos|siga o|acompanhe|abonneer|volg ons|zapisz się|obserwuj|"
    r"подпис\w+)\b"
    r"|フォローする|メルマガ|订阅|訂閱|关注我们|關注我們|구독",
    re.IGNORECASE,
)
_ASKS_CHARS = 300
_DATE_ONLY = re.compile(
    r"(?:\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\w{3,12} \d{1,2},? \d{4}|\d{1,2}\.? \w{3,12} \d{4})"
    r"(?:[ ,at]{0,4}\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]m)?)?"
)


def prune(
    tree: Tree,
    main: int,
    values: list[float],
    reasons: list[int],
    title: str,
    host: str = "",
    note: Callable[[str, list[int]], None] = unnoted,
) -> None:
    """Writes the category of what goes into `reasons`, which are 0 for what is kept so far.

    values: what each block is worth. title: as the page's head states it. host: the page's own, ''
    where it is not known. note: is told after
    each rule, by its name.
    """
    first, end = tree.elements[main].start, tree.elements[main].end
    find_tables(tree, main)
    _teasers(tree, main, values, reasons)
    note("teasers", reasons)
    _links(tree, first, end, reasons, host)
    note("links", reasons)
    _edges(tree, first, end, values, reasons, title)
    note("edges", reasons)
    _farewell(tree, first, end, reasons)
    note("farewell", reasons)
    _empty_sections(tree, first, end, reasons)
    _empty_boxes(tree, first, end, reasons)
    note("empty section", reasons)


def _teasers(tree: Tree, main: int, values: list[float], reasons: list[int]) -> None:
    """Three or more siblings of one name that each begin with a link and hold little text."""
    elements, blocks = tree.elements, tree.blocks
    first, end = elements[main].start, elements[main].end
    groups: dict[tuple[int, str, str], list[Element]] = {}
    for index in range(main + 1, len(elements)):
        element = elements[index]
        if element.start >= end:
            break
        if element.start < element.end and element.tag in ("div", "article", "section", "li"):
            head = blocks[element.start]
            if (
                head.links * 2 > len(head.text)
                and not reasons[element.start]
                and not _is_address(head.text)
                and not (element.tag == "li" and _plain(head) >= 10 and head.text.endswith("."))
            ):
                key = (element.parent, element.tag, element.name)
                groups.setdefault(key, []).append(element)
    whole = sum(value for value in values[first:end] if value > 0)
    for (_, tag, _), group in groups.items():
        if len(group) < 3 or (tag == "li" and all(e.end - e.start == 1 for e in group)):
            continue
        plain = [sum(_plain(blocks[i]) for i in range(e.start, e.end)) for e in group]
        if max(plain) <= _TEASER_CHARS and sum(plain) < 0.5 * whole:
            for element in group:
                for i in range(element.start, element.end):
                    reasons[i] = reasons[i] or cues.RELATED


def _links(tree: Tree, first: int, end: int, reasons: list[int], host: str) -> None:
    """Blocks that are mostly a link, but for sentences and items of lists with other text.

    What to read next lies on the own site: links to others are part of the text.
    """
    elements, blocks = tree.elements, tree.blocks
    cells = tree.cells[1] if tree.cells else {}
    linked: list[int] = []
    items: list[int] = []  # of lists, with links in them
    for i in range(first, end):
        if reasons[i]:
            continue
        block = blocks[i]
        length = len(block.text)
        if block.tag == "li" and block.links:
            items.append(i)
        if block.kind != "text" or (i in cells and not cells[i].linked):
            continue
        if block.links * 2 > length and length - block.links < _SHORT:
            linked.append(i)
        elif length < 40 and block.text.strip(" :.-–—()[]*").casefold() in _NOTICES:
            reasons[i] = cues.ADVERT
    if not linked:
        return
    asked = set(linked)
    abroad = {i for href, i in tree.anchors if i in asked and _leads_away(href, host)}
    # Headings that are links to themselves, as generators of documentation write them.
    own = {
        i
        for href, i in tree.anchors
        if href[0] == "#"
        and i in asked
        and blocks[i].tag in HEADINGS
        and href[1:] in elements[blocks[i].element].name.split()
    }
    announced: set[int] = set()  # lists that a sentence before them tells of
    lists: dict[int, tuple[int, int]] = {}
    for i in items:
        block = blocks[i]
        owner = elements[block.element].parent
        if owner not in lists and i > first and _announces(blocks[i - 1]):
            announced.add(owner)
        plain, links = lists.get(owner, (0, 0))
        lists[owner] = (plain + _plain(block), links + block.links)
    for i in linked:
        block = blocks[i]
        if i in own or (i in abroad and block.tag in _TEXT_TAGS):
            continue
        if block.tag == "li":
            plain, links = lists.get(elements[block.element].parent, (0, 1))
            # "Added the option NAME." is a sentence of a list of changes.
            drop = (
                plain < links
                and not (_plain(block) >= 10 and block.text.endswith("."))
                and elements[block.element].parent not in announced
            )
        else:
            drop = not (
                _is_address(block.text)
                or (block.tag == "dt" and _is_defined(elements, blocks, i, end))
                or (_plain(block) >= 15 and block.text.endswith(ENDS))
            )
        if drop:
            reasons[i] = cues.RELATED
            if (
                block.tag == "li"
                and i > first
                and not reasons[i - 1]
                and blocks[i - 1].text.endswith(":")
                and len(blocks[i - 1].text) < 40
                and blocks[i - 1].tag in ("p", "div", "td")
            ):
                reasons[i - 1] = cues.RELATED  # what a list that is gone was announced with


def _announces(block: Block) -> bool:
    plain = _plain(block)
    return block.tag == "p" and plain >= _SHORT and plain > block.links and block.text[-1] == ":"


def _is_address(text: str) -> bool:
    return text.lstrip("→➔➜ ").startswith(("http://", "https://"))


def _is_defined(elements: list[Element], blocks: list[Block], i: int, end: int) -> bool:
    """Whether a definition follows a term."""
    if i + 1 >= end:
        return False
    element = elements[blocks[i + 1].element]
    return element.tag == "dd" or elements[element.parent].tag == "dd"


def _leads_away(href: str, host: str) -> bool:
    """Whether a link goes to another site, and not to one where pages are shared."""
    if not host or not href.startswith(("http://", "https://", "//")):
        return False
    other = href.split("/", 3)[2].lower()
    return _site(host) not in other and not any(network in other for network in _NETWORKS)


@lru_cache(maxsize=64)
def _site(host: str) -> str:
    """A site's own name, the longest part of its host: "www.NAME.co.uk"."""
    return max(host.split(".")[:-1], key=len, default=host)


def _edges(
    tree: Tree, first: int, end: int, values: list[float], reasons: list[int], title: str
) -> None:
    """Headline, date and short lines before the first paragraph; short lines after the last."""
    blocks = tree.blocks
    title = title.casefold()
    paragraphs = [i for i in range(first, end) if not reasons[i] and values[i] >= 20]
    if not paragraphs:
        return
    cells = tree.cells[1] if tree.cells else {}
    # Sections may be headed by <h1> as well.
    below = range(paragraphs[0], end)
    many = sum(blocks[i].tag == "h1" and not reasons[i] for i in below) > 1
    for i in range(first, paragraphs[0]):
        if reasons[i] or (i in cells and cells[i].plain):
            continue
        block = blocks[i]
        folded = block.text.casefold()
        if (block.tag == "h1" and not many) or (len(folded) > 2 and folded in title):
            reasons[i] = cues.TITLE
        elif _DATE_ONLY.fullmatch(block.text) or (
            block.tag in ("div", "span", "td", "body", "header") and _is_scrap(block)
        ):
            reasons[i] = cues.BYLINE
    for i in range(paragraphs[-1] + 1, end):
        block = blocks[i]
        if reasons[i] or block.kind != "text" or (i in cells and cells[i].plain):
            continue
        owner = tree.elements[tree.elements[block.element].parent].tag
        if not _is_scrap(block) or _is_address(block.text) or owner in ("li", "dd"):
            continue
        if block.tag in ("div", "span", "body", "center", "section") or (
            block.tag == "p" and block.links
        ):
            reasons[i] = cues.FURNITURE


def _farewell(tree: Tree, first: int, end: int, reasons: list[int]) -> None:
    """What asks readers to subscribe or to follow, after the last paragraphs of the text."""
    blocks = tree.blocks
    seen = 0
    for i in range(end - 1, first - 1, -1):
        block = blocks[i]
        if reasons[i] or block.kind != "text":
            continue
        text = block.text
        # An invitation has somewhere to go.
        goes = block.tag in ("p", "div") and (block.links or "@" in text or "http" in text)
        if goes and len(text) < _ASKS_CHARS and _ASKS.search(text):
            reasons[i] = cues.SIGN_UP
        elif len(text) >= _SHORT:
            seen += 1
            if seen == 2:
                return


def _is_scrap(block: Block) -> bool:
    text = block.text
    formula = text.startswith("$") and text.endswith("$")
    return len(text) < _SHORT and not text.endswith(ENDS) and not formula


def _empty_sections(tree: Tree, first: int, end: int, reasons: list[int]) -> None:
    """Headings below which nothing is left, before one of their rank or the end."""
    blocks = tree.blocks
    follows = "h0"  # the tag of the next kept heading, '' after a kept block of text
    for i in range(end - 1, first - 1, -1):
        if reasons[i]:
            continue
        tag = blocks[i].tag
        if tag not in HEADINGS:
            follows = ""
        elif follows and tag >= follows:
            reasons[i] = cues.RELATED
        else:
            follows = tag


def _empty_boxes(tree: Tree, first: int, end: int, reasons: list[int]) -> None:
    """Titles of boxes in which nothing else is left ("See also")."""
    elements = tree.elements
    left = [0, *accumulate(not reason for reason in reasons)]
    for i in range(first, end):
        own = elements[tree.blocks[i].element]
        if reasons[i] or "title" not in own.name or own.parent < 0:
            continue
        box = elements[own.parent]
        if box.end - box.start > 1 and left[box.end] - left[box.start] == 1:
            reasons[i] = cues.RELATED


def _plain(block: Block) -> int:
    return len(block.text) - block.links
