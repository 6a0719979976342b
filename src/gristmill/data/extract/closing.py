"""Sections that close a page: references, comments, what to read next.

Their headings tell them. "Notes" may also head remarks on the subject, as references of commands
have them: these are paragraphs, where notes to a text are numbered or a list.
"""

from __future__ import annotations

import re

from gristmill.data.extract import cues
from gristmill.data.extract.prune import HEADINGS, phrases
from gristmill.data.extract.tree import Block, Tree

_GOES_ON = 70  # characters of a paragraph after links to other pages
# Headings of what follows a text: all below them, as far as their element reaches, goes.
_CLOSING = phrases(
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
_NOTES = phrases(
    """references | notes | notes and references | footnotes | citations | sources | comments |
    leave a comment | leave a reply | post a comment | add a comment | about the author |
    bibliography | références | notes et références | commentaires | bibliographie | referencias |
    notas | bibliografía | comentarios | einzelnachweise | literatur | kommentare | riferimenti |
    commenti | referências | comentários | reacties | bronnen"""
)
# What a heading "Notes" may also stand above: remarks on the subject, and no notes to the text.
_REMARKS = phrases("notes | notas | remarks | remarques | anmerkungen")
_NOTE_MARK = re.compile(r"\W{0,2}\d{1,3}\W|[*†‡^↑]")
_COUNTED = re.compile(
    r"\d{1,6} (?:comments?|thoughts?|responses?|replies|kommentare?|comentarios?)\b"
)


def closing_sections(tree: Tree, positive: list[float], reasons: list[int]) -> None:
    """Drops what stands below headings such as "References", in the whole page.

    positive: what each block is worth, at least 0. A section goes to the next heading of its rank,
    inside the element that its heading stands in. What is only linked to ends where the text goes
    on: at a paragraph in the same element as those before.
    """
    blocks, elements = tree.blocks, tree.elements
    names = {
        i: name
        for i, block in enumerate(blocks)
        if block.tag in HEADINGS and (name := _closes(block))
    }
    if not names:
        return
    above = 0.0
    owners: set[int] = set()  # elements of long paragraphs
    stop = 0
    for i, block in enumerate(blocks):
        if i >= stop and not reasons[i]:
            above += positive[i]
            if positive[i] >= _GOES_ON and block.tag == "p":
                owners.add(elements[block.element].parent)
        if reasons[i] or i not in names:
            continue
        name = names[i]
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
        if name in _REMARKS and _runs(tree, positive, i + 1, stop):
            continue
        # "Sources" may also be the chapter that a page is about.
        if sum(positive[j] for j in range(i, stop) if not reasons[j]) <= 4 * above:
            for j in range(i, stop):
                reasons[j] = reasons[j] or cues.RELATED


def _closes(block: Block) -> str:
    """What a heading is called below which no text goes on, '' for others."""
    if len(block.text) > 60:
        return ""
    name = block.text.split("[")[0].strip(" :.-–—()[]*#0123456789¶").casefold()
    if name in _CLOSING:
        return name
    counted = block.text[:1].isdecimal() and _COUNTED.match(block.text.casefold())
    return counted[0] if counted else ""


def _runs(tree: Tree, positive: list[float], first: int, stop: int) -> bool:
    """Whether blocks are paragraphs that go on for themselves, not numbered notes in a list."""
    elements, blocks = tree.elements, tree.blocks
    running = 0.0
    for i in range(first, stop):
        block = blocks[i]
        owner = elements[elements[block.element].parent].tag
        if block.kind == "code" or (
            block.tag in ("p", "div") and owner != "li" and not _NOTE_MARK.match(block.text)
        ):
            running += positive[i]
    return running > 0.5 * sum(positive[first:stop])
