"""What does not belong to the main text inside the main element.

Lists of links, teasers, closing sections (references, comments, more to read), headings that lost
their text, and short lines before the first and after the last paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gristmill.data.extract import cues
from gristmill.data.extract.dom import Block, Element, Tree
from gristmill.data.extract.record import unnoted
from gristmill.data.extract.tables import find_tables

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
_GOES_ON = 70  # characters of a paragraph after links to other pages


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in text.split("|"))


_NOTICES = _phrases(
    """advertisement | advertisements | advert | ad | ads | sponsored | iklan | anzeige | werbung |
    publicité | publicidad | publicidade | pubblicità | reklama | реклама | 広告 | share |
    share this | story continues below advertisement | article continues below |
    continue reading | read more | scroll to continue | comments"""
)
# Headings of what follows a text: all below them, as far as their element reaches, goes.
_CLOSING = _phrases(
    """references | notes | notes and references | footnotes | citations | sources | see also |
    external links | further reading | related | related articles | related posts | related stories
    | related content | related links | related pages | related topics | read also | read next |
    more to read | you may also like | you might also like | you may like | recommended |
    recommended for you | recommended reading | more like this | more stories | more news |
    more from | most read | most popular | popular posts | trending | trending now | recent posts |
    latest news | latest posts | comments | leave a comment | leave a reply | post a comment |
    add a comment | share this | share this article | share this post | categories | tags |
    about the author | up next | customers also bought | partners | newsletter | subscribe |
    références | notes et références | voir aussi | liens externes | à lire aussi | lire aussi |
    articles liés | commentaires | catégories | sur le même sujet | bibliographie |
    referencias | notas | véase también | ver también | enlaces externos | bibliografía |
    artículos relacionados | comentarios | categorías | te puede interesar | lea también |
    einzelnachweise | siehe auch | weblinks | literatur | kommentare | verwandte artikel |
    mehr zum thema | das könnte sie auch interessieren | das könnte dich auch interessieren |
    riferimenti | voci correlate | collegamenti esterni | commenti | articoli correlati |
    referências | ver também | ligações externas | leia também | artigos relacionados |
    comentários | posts relacionados | zie ook | externe links | reacties | bronnen"""
)
# Of these, what text there is below them.
_NOTES = _phrases(
    """references | notes | notes and references | footnotes | citations | sources | comments |
    leave a comment | leave a reply | post a comment | add a comment | about the author |
    bibliography | références | notes et références | commentaires | bibliographie | referencias |
    notas | bibliografía | comentarios | einzelnachweise | literatur | kommentare | riferimenti |
    commenti | referências | comentários | reacties | bronnen"""
)
_ASKS = re.compile(
    r"\b(?:subscribe|sign up (?:for|to)|newsletters?|your inbox|"
    r"follow (?:us|him|her|them|me|@|\w+ on|\w+ \w+ on)|"
    r"like us on|join us on|(?:be )?reached at|got a tip|have a tip|"
    r"abonnieren|folgen sie uns|folge uns|folgt uns|abonnez-vous|inscrivez-vous|suivez-nous|"
    r"suscríb\w+|suscrib[ai]\w*|síguenos|síganos|sigue a|iscriviti|seguici|"
    r"assine|inscreva-se|siga[- ]nos|siga o|acompanhe|abonneer|volg ons|zapisz się|obserwuj|"
    r"подпис\w+)\b"
    r"|フォローする|メルマガ|订阅|訂閱|关注我们|關注我們|구독",
    re.IGNORECASE,
)
_ASKS_CHARS = 300
_COUNTED = re.compile(
    r"\d{1,6} (?:comments?|thoughts?|responses?|replies|kommentare?|comentarios?)\b"
)
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
    note("empty section", reasons)


def closing_sections(tree: Tree, positive: list[float], reasons: list[int]) -> None:
    """Drops what stands below headings such as "References", in the whole page.

    positive: what each block is worth, at least 0. A section goes to the next heading of its rank,
    inside the element that its heading stands in. What is only linked to ends where the text goes
    on: at a paragraph in the same element as those before.
    """
    blocks, elements = tree.blocks, tree.elements
    above = 0.0
    owners: set[int] = set()  # elements of long paragraphs
    stop = 0
    for i, block in enumerate(blocks):
        if i >= stop and not reasons[i]:
            above += positive[i]
            if positive[i] >= _GOES_ON and block.tag == "p":
                owners.add(elements[block.element].parent)
        if reasons[i] or len(block.text) > 60 or block.tag not in HEADINGS:
            continue
        name = block.text.split("[")[0].strip(" :.-–—()[]*#0123456789¶").casefold()
        if name not in _CLOSING and not _COUNTED.match(block.text.casefold()):
            continue
        stop = elements[elements[block.element].parent].end
        ends = name not in _NOTES
        for j in range(i + 1, stop):
            other = blocks[j]
            if (other.tag in HEADINGS and other.tag <= block.tag) or (
                ends
                and other.tag == "p"
                and positive[j] >= _GOES_ON
                and elements[other.element].parent in owners
            ):
                stop = j
                break
        # "Sources" may also be the chapter that a page is about.
        if sum(positive[j] for j in range(i, stop) if not reasons[j]) <= 4 * above:
            for j in range(i, stop):
                reasons[j] = reasons[j] or cues.RELATED


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
            if head.links * 2 > len(head.text) and not reasons[element.start]:
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
    abroad = {i for href, i in tree.anchors if first <= i < end and _leads_away(href, host)}
    lists: dict[int, tuple[int, int]] = {}
    for i in range(first, end):
        block = blocks[i]
        if block.tag == "li" and not reasons[i] and block.links:
            owner = elements[block.element].parent
            plain, links = lists.get(owner, (0, 0))
            lists[owner] = (plain + _plain(block), links + block.links)
    for i in range(first, end):
        block = blocks[i]
        if reasons[i] or block.kind != "text" or (i in cells and not cells[i].linked):
            continue
        length = len(block.text)
        if block.links * 2 > length and _plain(block) < _SHORT:
            if i in abroad and block.tag in _TEXT_TAGS:
                continue
            if block.tag == "li":
                plain, links = lists.get(elements[block.element].parent, (0, 1))
                drop = plain < links
            else:
                drop = not (
                    block.text.startswith(("http://", "https://"))
                    or (_plain(block) >= 15 and block.text.endswith(ENDS))
                )
            if drop:
                reasons[i] = cues.RELATED
        elif length < 40 and block.text.strip(" :.-–—()[]*").casefold() in _NOTICES:
            reasons[i] = cues.ADVERT


def _leads_away(href: str, host: str) -> bool:
    """Whether a link goes to another site, and not to one where pages are shared."""
    if not host or not href.startswith(("http://", "https://", "//")):
        return False
    other = href.split("/", 3)[2].lower()
    # The site's own name is the longest part of its host: "www.NAME.co.uk".
    name = max(host.split(".")[:-1], key=len, default=host)
    return name not in other and not any(network in other for network in _NETWORKS)


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
    for i in range(first, paragraphs[0]):
        if reasons[i] or (i in cells and cells[i].plain):
            continue
        block = blocks[i]
        folded = block.text.casefold()
        if block.tag == "h1" or (len(folded) > 2 and folded in title):
            reasons[i] = cues.TITLE
        elif _DATE_ONLY.fullmatch(block.text) or (
            block.tag in ("div", "span", "td", "body", "header") and _is_scrap(block)
        ):
            reasons[i] = cues.BYLINE
    for i in range(paragraphs[-1] + 1, end):
        block = blocks[i]
        if reasons[i] or block.kind != "text" or (i in cells and cells[i].plain):
            continue
        if (block.tag in ("div", "span", "body", "center", "section") and _is_scrap(block)) or (
            block.tag == "p" and block.links and _is_scrap(block)
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
        goes = block.tag in ("p", "div") and (block.links or "@" in text)
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


def _plain(block: Block) -> int:
    return len(block.text) - block.links
