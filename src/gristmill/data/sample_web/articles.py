"""Pages that hold real texts: originals on good sites, exact and near copies, foreign languages."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from urllib.parse import quote

from gristmill.core.seeds import derive_seed
from gristmill.data.sample_web import furniture, invented, personal
from gristmill.data.sample_web.page import Block, Page
from gristmill.data.sample_web.parts import Site
from gristmill.data.sample_web.sites import ENCYCLOPAEDIA, home_of
from gristmill.data.sample_web.texts import EDITS, UNCATEGORIZED, Article, near_copy, slug

_HEADINGS = {
    "en": ("Overview", "Background", "Details", "In context", "Further details", "At a glance"),
    "fr": ("Description", "Contexte", "Détails", "En bref"),
    "es": ("Descripción", "Contexto", "Detalles", "En resumen"),
}
# "46 meters (151 ft)": the same measure twice makes an honest row of a table.
_AMOUNT = r"(\d[\d.,]*[ \xa0](?:million[ \xa0])?[a-z]+[23²³]?)"
_MEASURE = re.compile(rf"{_AMOUNT} \({_AMOUNT}\)")
# Honest pages on what an adult filter must not drop.
_LOOKALIKE = re.compile(
    r"\b(sex|sexual|sexually|penis|vagina|clitoris|condoms?|contracepti\w+|prostitution|pornograph\w+"
    r"|orgasms?|masturbat\w+|abortion|syphilis|gonorrh\w+|HIV|breasts?|menstrua\w+|rape|genitals?"
    r"|uterus|semen|puberty|intercourse|reproductive)\b",
    re.IGNORECASE,
)


class Writer:
    """Makes article pages and keeps the paths that are taken on each host."""

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        self.sites = {site.host: site for site in sites}
        self.seed = seed
        self.taken: dict[str, set[str]] = {site.host: set() for site in sites}

    def rng(self, *names: str | int) -> random.Random:
        """A generator of its own for each purpose."""
        return random.Random(derive_seed(self.seed, *names))

    def path(self, host: str, title: str, pattern: str | None = None) -> str:
        """A new path on a host from its pattern."""
        site = self.sites[host]
        taken = self.taken[host]
        if site.design == "wiki" and site.language != "en":
            # Percent-encoded UTF-8, as Wikipedia's addresses are.
            name = quote(slug(title, taken, "_", lower=False, ascii_only=False), safe="_-")
        elif site.design == "wiki":
            name = slug(title, taken, "_", lower=False)
        else:
            name = slug(title, taken)
        return (pattern or site.path).format(slug=name)

    def original(self, article: Article) -> Page:
        """The article's page on the site that is its home."""
        r = self.rng("article", article.key)
        host = home_of(article.topic, r)
        if article.language == "fr":
            host = "encyclopedie.example" if r.random() < 0.9 else "atlas.example"
        elif article.language == "es":
            host = "enciclopedia.example" if r.random() < 0.9 else "museum.example"
        pattern = None
        if host == ENCYCLOPAEDIA and r.random() < 0.01:
            pattern = "/drafts/published/{slug}"
        elif article.language != "en" and self.sites[host].language == "en":
            pattern = f"/{article.language}/{{slug}}"
        page = Page(
            host=host,
            path=self.path(host, article.title, pattern),
            kind="article",
            title=article.title,
            blocks=_blocks(article, self.sites[host], r),
            language=article.language,
            article=article,
            near=article.key,
            quality="good",
            lookalike=bool(_LOOKALIKE.search(" ".join(article.paragraphs))),
        )
        self._furnish(page, r)
        return page

    def copy(self, source: Page, host: str, pattern: str | None = None) -> Page:
        """An exact copy of a page's main text in another place."""
        article = source.article
        assert article is not None
        r = self.rng("copy", host, pattern or "", article.key)
        page = Page(
            host=host,
            path=self.path(host, article.title, pattern),
            kind="article",
            title=article.title,
            blocks=source.blocks,
            article=article,
            near=article.key,
            edit="exact",
            personal=list(source.personal),
            lookalike=source.lookalike,
            quality="neutral",
        )
        self._furnish(page, r)
        return page

    def near_copy(self, source: Page, host: str, pattern: str | None = None) -> Page:
        """A copy with a few words changed, a sentence dropped or added."""
        page = self.copy(source, host, pattern)
        r = self.rng("near", host, pattern or "", page.near or "")
        places = [i for i, block in enumerate(page.blocks) if block.kind == "p"]
        texts = [page.blocks[i].text for i in places]
        changed, page.edit = near_copy(texts, r.choice(EDITS), r)
        blocks = list(page.blocks)
        if len(changed) == len(places):
            for i, text in zip(places, changed, strict=True):
                blocks[i] = Block("p", text)
        else:
            rest = [block for block in blocks if block.kind != "p"]
            blocks = [Block("p", text) for text in changed] + rest
        page.blocks = tuple(blocks)
        return page

    def _furnish(self, page: Page, r: random.Random) -> None:
        site = self.sites[page.host]
        article = page.article
        assert article is not None
        if article.topic != UNCATEGORIZED and r.random() < site.topic_share:
            page.shown_topic = article.topic
        if article.description and r.random() < site.description_share:
            page.shown_description = article.description
        if r.random() < site.comment_share:
            page.comments = [invented.comment(r, page.title) for _ in range(r.randint(1, 5))]


def add_paragraph(page: Page, text: str) -> None:
    """A last paragraph that the site's owner added to the real text."""
    page.blocks = (*page.blocks, Block("p", text))


def add_personal(page: Page, r: random.Random) -> None:
    """Personal data in one more paragraph, remembered in truth."""
    text, spans = personal.paragraph(r)
    add_paragraph(page, text)
    page.personal += spans


def _blocks(article: Article, site: Site, r: random.Random) -> tuple[Block, ...]:
    blocks = [Block("p", paragraph) for paragraph in article.paragraphs]
    if len(blocks) > 1 and r.random() < 0.5:
        headings = r.sample(_HEADINGS[article.language], min(len(blocks) - 1, 3))
        for place, heading in zip(range(len(headings), 0, -1), headings, strict=True):
            blocks.insert(place, Block("h2", heading))
    if article.language != "en":
        return tuple(blocks)
    measures = _MEASURE.findall("\n".join(article.paragraphs))
    if measures and r.random() < 0.6:
        rows = ["Measure\tIn other units", *("\t".join(pair) for pair in measures)]
        blocks.append(Block("table", "\n".join(rows)))
    technical = article.topic in ("Mathematics", "Technology", "Physical sciences")
    share = 0.5 if site.design == "manual" else 0.08 if technical else 0.0
    if r.random() < share:
        kind = "code" if r.random() < 0.5 else "formula"
        text = furniture.code(r) if kind == "code" else furniture.formula(r)
        blocks.insert(r.randint(1, len(blocks)), Block(kind, text))
    return tuple(blocks)
