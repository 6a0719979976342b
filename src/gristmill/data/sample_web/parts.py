"""What designs share: a site, its words in three languages, and the main part of special pages."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from gristmill.data.sample_web.page import Page, Places, anchors, related_links


@dataclass
class Site:
    """A host: its name, the design of its pages, its menu, and where its articles are."""

    host: str
    name: str
    design: str
    path: str
    """Where articles stand, with {slug}."""
    language: str = "en"
    topic_share: float = 0.0
    description_share: float = 0.0
    comment_share: float = 0.0
    charset: str = "utf-8"
    broken: bool = False
    menu: list[tuple[str, str]] = field(default_factory=list)
    places: Places | None = None
    robots: str | None = ""
    """The rules of robots.txt; empty allows all, None is a server error."""

    @property
    def words(self) -> Mapping[str, str]:
        """The site's own words in its language."""
        return UI[self.language]


_KEYS = [
    "home",
    "search",
    "contents",
    "categories",
    "history",
    "talk",
    "read",
    "edit",
    "tools",
    "random",
    "recent",
    "donate",
    "about",
    "contact",
    "privacy",
    "terms",
    "related",
    "links",
    "references",
    "cookies",
    "accept",
    "refuse",
    "topic",
    "newsletter",
    "login",
    "updated",
    "licence",
    "share",
    "print",
]
_EN = (
    "Home|Search|Contents|Categories|View history|Talk|Read|Edit|Tools|Random article|Recent "
    "changes|Donate|About us|Contact|Privacy policy|Terms of use|See also|External links|"
    "References|We use cookies to make this site work. Some of them are not strictly necessary.|"
    "Accept all|Only necessary|Topic|Get our letter once a week, no advertising.|Log in|"
    "Last changed on|Text available under Creative Commons Attribution-ShareAlike|Share|"
    "Print version"
)
_FR = (
    "Accueil|Rechercher|Sommaire|Catégories|Historique|Discussion|Lire|Modifier|Outils|Article au "
    "hasard|Modifications récentes|Faire un don|À propos|Contact|Confidentialité|Conditions "
    "d'utilisation|Voir aussi|Liens externes|Références|Ce site utilise des cookies. Certains ne "
    "sont pas indispensables.|Tout accepter|Refuser|Thème|Recevez notre lettre chaque semaine.|"
    "Connexion|Dernière modification le|Texte sous licence Creative Commons Attribution-Partage "
    "dans les mêmes conditions|Partager|Version imprimable"
)
_ES = (
    "Portada|Buscar|Índice|Categorías|Ver historial|Discusión|Leer|Editar|Herramientas|Página "
    "aleatoria|Cambios recientes|Donaciones|Acerca de|Contacto|Privacidad|Condiciones de uso|"
    "Véase también|Enlaces externos|Referencias|Este sitio usa cookies. Algunas no son "
    "imprescindibles.|Aceptar todo|Rechazar|Tema|Reciba nuestra carta cada semana.|Acceder|"
    "Última modificación el|Texto bajo la licencia Creative Commons Atribución-CompartirIgual|"
    "Compartir|Versión para imprimir"
)
UI: dict[str, dict[str, str]] = {
    language: dict(zip(_KEYS, words.split("|"), strict=True))
    for language, words in (("en", _EN), ("fr", _FR), ("es", _ES))
}

LICENCE_URL = "https://creativecommons.org/licenses/by-sa/4.0/"


def head(site: Site, page: Page, style: str, script: str = "", extra: str = "") -> str:
    """The head element's inside: title, metadata, inline style and script."""
    description = page.shown_description
    meta = f'\n<meta name="description" content="{escape(description)}">' if description else ""
    return (
        f'<meta charset="{site.charset}">\n<title>{escape(page.title)} | {escape(site.name)}'
        f'</title>{meta}\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="stylesheet" href="/static/site.css">\n<style>{style}</style>{extra}'
        + (f"\n<script>{script}</script>" if script else "")
    )


def date_of(r: random.Random) -> str:
    """An invented day, in ISO form."""
    return f"20{r.randint(12, 24)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"


def menu(site: Site, item: str = "<li>{}</li>") -> str:
    """The site's menu as a link list."""
    return anchors(site.menu, item)


def special(site: Site, page: Page, r: random.Random) -> str | None:
    """The main part of a listing, boilerplate, a thread or goods; None for other pages."""
    title = f"<h1>{escape(page.title, False)}</h1>\n"
    if page.kind == "listing":
        return title + f'<ul class="entries">\n{anchors(page.links)}\n</ul>'
    if page.kind == "boilerplate":
        return title + _boilerplate(page)
    if page.kind == "forum":
        return title + _thread(page, r)
    if page.kind == "shop":
        return title + _product(page, r)
    return None


def _boilerplate(page: Page) -> str:
    lines = [text for _, text in page.links]
    if page.subkind == "login":
        rows = "".join(
            f'<label>{escape(line)} <input type="text" name="f{i}"></label>'
            for i, line in enumerate(lines[:2])
        )
        return f'<form action="/login" method="post">{rows}<button>{lines[-1]}</button></form>'
    if page.subkind in ("terms", "privacy", "lorem", "cookies", "soft404", "paywall", "cart"):
        return "\n".join(f"<p>{escape(line, False)}</p>" for line in lines)
    if page.subkind == "calendar":
        cells = "".join(f"<td>{escape(line)}</td>" for line in lines)
        return f"<table class='month'><tr>{cells}</tr></table>"
    return "<ul>" + "".join(f"<li>{escape(line, False)}</li>" for line in lines) + "</ul>"


def _thread(page: Page, r: random.Random) -> str:
    posts = []
    for number, block in enumerate(page.blocks, 1):
        name = page.comments[number - 1][0]
        posts.append(
            f'<div class="post" id="p{number}"><div class="poster"><b>{escape(name)}</b><br>'
            f"Posts: {r.randint(1, 4000)}<br>Joined: 20{r.randint(10, 24)}</div>"
            f'<div class="message"><p>{escape(block.text, False)}</p></div>'
            f'<div class="actions"><a href="#quote-{number}">Quote</a> '
            f'<a href="#report-{number}">Report</a></div></div>'
        )
    return "\n".join(posts)


def _product(page: Page, r: random.Random) -> str:
    text = "\n".join(f"<p>{escape(block.text, False)}</p>" for block in page.blocks)
    return (
        f'<div class="product"><img src="/img/{r.randint(1, 999)}.jpg" alt="">'
        f'<div class="price">{r.randint(5, 80)}.{r.randint(10, 99)} EUR</div>'
        '<select name="size"><option>A4</option><option>A3</option><option>A2</option></select>'
        f'<button class="buy">Add to basket</button><div class="details">{text}</div></div>'
        f"<h3>Customers also bought</h3><ul>{anchors(related_links(page))}"
        "</ul>"
    )
