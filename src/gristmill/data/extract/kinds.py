"""Pages that are no articles: threads of posts, lists of entries, products.

An article is one text. These pages hold many texts of one make, each in a box of its own among
names, dates, votes and buttons; what tells them is that boxes of one name hold most of the page's
text, or what the page says of itself (generator, schema.org type, og:type, the form of its
address). On such a page `revise` chooses again, by what stands in the boxes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gristmill.data.extract import cues
from gristmill.data.extract.boxes import LONG_ARTICLE, Page
from gristmill.data.extract.goods import product, recipe
from gristmill.data.extract.many import entries, posts
from gristmill.data.extract.rules import Verdict
from gristmill.data.extract.scan import holds
from gristmill.data.extract.tree import Block, Tree

ARTICLE, POSTS, ENTRIES, PRODUCT, RECIPE = "article", "posts", "entries", "product", "recipe"
_FORUM_SOFTWARE = re.compile(
    r"phpbb|vbulletin|xenforo|discourse|simple machines|\bsmf\b|mybb|invision|flarum|nodebb|vanilla"
)
# With the place in each where what other words do not hold begins.
_FORUM_TYPES = (
    (b"DiscussionForumPosting", 11),
    (b"schema.org/Question", 8),
    (b'"QAPage', 0),
    (b"/QAPage", 0),
)
# The parts of addresses that forums give to threads.
_THREAD = re.compile(
    r"/(?:viewtopic|showthread|threads?|topics?|questions?|q|t|r/[^/]+/comments|forums?|read\.cgi"
    r"|discussions?)(?:\.php|\.asp|\.html?|\.cgi)?(?:[/?.-]|$)|item\?id="
)
_PRODUCT_KINDS = ((b"schema.org/Product", 8), (b'"Product"', 0))
_PRODUCT_TYPES = ("product", "book", "og:product", "product.item")
_PRODUCT_NAME = re.compile(r"\b(?:single-product|catalog-product-view|page-product)\b")
_PRODUCT_PATH = re.compile(r"/(?:dp|products?|items?|p|prod|gp)/[^/]")
_CART = re.compile(
    rb"add[-_ ]?to[-_ ]?(?:cart|basket|bag)|tocart|buy-?box|itemprop=.price", re.IGNORECASE
)
# These are looked for in lower case: patterns that ignore it are ten times as slow.
_RIGHTS = re.compile(r"\W*(?:©|copyright\b|\(c\))")
_RESERVED = (
    "all rights reserved", "alle rechte vorbehalten", "tous droits réservés",
    "todos los derechos reservados", "todos os direitos reservados",
    "tutti i diritti riservati", "все права защищены", "wszelkie prawa zastrzeżone", "無断転載",
    "版权所有", "جميع الحقوق محفوظة", "सर्वाधिकार सुरक्षित", "모든 권리 보유",
    "all rights are reserved",
)  # fmt: skip
_RESERVED_IN_ASCII = tuple(words for words in _RESERVED if words.isascii())
_COOKIE = re.compile(r"\bcookies?\b")
_COOKIES = ("クッキー", "ملفات تعريف الارتباط", "कुकीज़", "쿠키")
_SCRAP = 60  # characters of an entry of an index that is no link
_INDEXED = 4  # characters in links for each that is left of an index
_CHOICES = (
    (PRODUCT, product),
    (POSTS, posts),
    (RECIPE, recipe),
    (ENTRIES, entries),
)


@dataclass(frozen=True, slots=True)
class Signs:
    """What a page says of its kind, outside of its text."""

    forum: bool = False
    product: bool = False
    article: bool = False


def read_signs(meta: dict[str, str], source: bytes, url: str, body_name: str) -> Signs:
    """meta: of the head, by lower-case name. source: the page in UTF-8. body_name: of <body>."""
    generator = meta.get("generator", "").lower()
    path = url.split("://", 1)[-1].lower()
    forum = bool(_FORUM_SOFTWARE.search(generator) or _THREAD.search(path))
    stated = meta.get("og:type", "").lower() == "article" or "article:published_time" in meta
    if stated and not forum and not _PRODUCT_PATH.search(path):
        return Signs(article=True)  # the page's bytes need not be searched
    product = meta.get("og:type", "").lower() in _PRODUCT_TYPES or bool(
        _PRODUCT_NAME.search(body_name)
    )
    if holds(source, b"schema.org", 2):  # without it there are no types, in JSON-LD neither
        forum = forum or any(holds(source, name, rare) for name, rare in _FORUM_TYPES)
        product = product or any(holds(source, name, rare) for name, rare in _PRODUCT_KINDS)
    return Signs(forum, product or bool(_PRODUCT_PATH.search(path) and _CART.search(source)))


def revise(tree: Tree, verdict: Verdict, signs: Signs) -> tuple[str, Verdict]:
    """The kind of page, and for what is no article a verdict by the rules of its kind."""
    if not tree.blocks:
        return ARTICLE, verdict
    if signs.article and verdict.worth > LONG_ARTICLE:
        without_notices(tree, verdict)
        return ARTICLE, verdict
    page = Page(tree, verdict, signs.forum, signs.product)
    found = ARTICLE
    for kind, choose in _CHOICES:
        keep = choose(page)
        if keep:
            # References have entries too, and their examples are no furniture.
            keep |= {i for i in verdict.kept() if tree.blocks[i].kind == "code"}
            found, verdict = kind, page.verdict_of(keep)
            break
    if found == ARTICLE and _is_index(tree, verdict):
        for i in verdict.kept():
            verdict.reasons[i] = cues.RELATED
    without_notices(tree, verdict)
    return found, verdict


def named_wrongly(tree: Tree, verdict: Verdict) -> set[int]:
    """`mem_id` of skipped nodes of one name that together hold much more text than was found.

    They may be the entries of a list: boxes are called teasers or advertisements there too.
    """
    if verdict.worth > LONG_ARTICLE:
        return set()
    groups: dict[str, list[tuple[int, int]]] = {}
    for node in tree.skipped:
        names = (node.attributes.get("class") or "").split()
        if names:
            text = len(node.text(strip=True))
            # `teaser__heading` and `teaser__text` are parts of one make (BEM's names).
            make = names[0].partition("__")[0]
            groups.setdefault(make, []).append((int(node.mem_id), text))
    return {
        key
        for group in groups.values()
        if len(group) > 2 and sum(text for _, text in group) > max(300, 1.2 * verdict.worth)
        for key, _ in group
    }


def without_notices(tree: Tree, verdict: Verdict) -> None:
    """Drops the copyright line and what follows it, and a notice on cookies at either end."""
    kept = verdict.kept()
    blocks = tree.blocks
    for place in range(max(1, len(kept) - 4), len(kept)):
        block = blocks[kept[place]]
        if block.kind == "text" and len(block.text) < 400 and _reserves(block.text.lower()):
            for i in kept[place:]:
                verdict.reasons[i] = cues.FURNITURE
            kept = kept[:place]
            break
    ends = [i for i in (*kept[:1], *kept[-2:]) if _is_cookie_notice(blocks[i])]
    # A page about cookies speaks of them elsewhere too.
    if ends and len(kept) > 3 and sum(_speaks_of_cookies(blocks[i].text) for i in kept) < 3:
        for i in ends:
            verdict.reasons[i] = cues.FURNITURE


def _is_index(tree: Tree, verdict: Verdict) -> bool:
    """Whether what was kept are scraps between many more links: an index, a map of a site."""
    own = running = 0
    for i in verdict.kept():
        block = tree.blocks[i]
        if block.kind != "text":
            return False
        own += len(block.text)
        if len(block.text) - block.links >= max(_SCRAP, block.links):
            running += len(block.text)
    linked = sum(block.links for block in tree.blocks)
    return linked > _INDEXED * own > 0 and running * 20 < own


def _is_cookie_notice(block: Block) -> bool:
    return block.kind == "text" and 30 < len(block.text) < 500 and _speaks_of_cookies(block.text)


def _speaks_of_cookies(text: str) -> bool:
    text = text.lower()
    if "cookie" in text and _COOKIE.search(text):
        return True
    return not text.isascii() and any(word in text for word in _COOKIES)


def _reserves(text: str) -> bool:
    """Whether a text in lower case is a copyright line."""
    if _RIGHTS.match(text):
        return True
    return any(words in text for words in (_RESERVED_IN_ASCII if text.isascii() else _RESERVED))
