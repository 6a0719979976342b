"""The hosts of the demo's web: which exist, how they look, and which article stands where."""

from __future__ import annotations

import random
from collections.abc import Mapping

from gristmill.data.sample_web.parts import Site

ENCYCLOPAEDIA = "encyclopaedia.example"
DIRECTORY = "directory.example"

SITES: tuple[Site, ...] = (
    Site(ENCYCLOPAEDIA, "The Example Encyclopaedia", "wiki", "/wiki/{slug}", "en", 0.75, 0.85),
    Site("atlas.example", "Atlas of Everywhere", "semantic", "/places/{slug}", "en", 1.0, 1.0),
    Site("naturenotes.example", "Nature Notes", "blog", "/2024/{slug}/", comment_share=0.6),
    Site("lives.example", "Lives", "magazine", "/story/{slug}.html", "en", 0.0, 1.0, 0.3),
    Site("oldscience.example", "Old Science Pages", "tables", "/pages/{slug}.htm", "en", 0.9,
         charset="windows-1252"),
    Site("coursebook.example", "Coursebook", "manual", "/docs/{slug}.html", "en", 1.0),
    Site("kiosk.example", "Kiosk", "app", "/read/{slug}", "en", 0.0, 1.0),
    Site("museum.example", "Museum of Things", "gallery", "/object/{slug}", "en", 0.5, 0.5),
    Site("village-press.example", "Village Press", "blog", "/news/{slug}", comment_share=0.3),
    Site("attic.example", "The Attic", "tables", "/attic/{slug}.html", "en", 0.4, broken=True),
    Site("encyclopedie.example", "Encyclopédie Exemple", "wiki", "/wiki/{slug}", "fr", 0.75, 0.85),
    Site("enciclopedia.example", "Enciclopedia Ejemplo", "wiki", "/wiki/{slug}", "es", 0.75, 0.85),
    Site("wikimirror.example", "Wiki Mirror", "wiki", "/w/{slug}", "en", 0.5, 0.5),
    Site("textarchive.example", "Text Archive", "plain", "/t/{slug}.html"),
    Site("freeanswers.example", "Free Answers", "answers", "/q/{slug}", comment_share=0.4),
    Site("quickfacts.example", "Quick Facts", "app", "/f/{slug}", "en", 0.0, 0.5),
    Site("studyhelp.example", "Study Help", "answers", "/help/{slug}", comment_share=0.2),
    Site("members.example", "Members Only", "semantic", "/area/{slug}"),
    Site("maintenance.example", "Closed for Repair", "plain", "/{slug}", robots=None),
    Site("talk.example", "Talk About It", "forum", "/thread/{slug}"),
    Site("postershop.example", "Poster Shop", "cheap", "/product/{slug}"),
    Site("click4facts.example", "Click 4 Facts", "cheap", "/list/{slug}"),
    Site("best-price-online.example", "Best Price Online", "cheap", "/{slug}.html"),
    Site("keyword-heaven.example", "Keyword Heaven", "cheap", "/k/{slug}"),
    Site("toprankings.example", "Top Rankings", "answers", "/top/{slug}"),
    Site("velvet-lounge.example", "Velvet Lounge", "cheap", "/v/{slug}"),
    Site("gutter-talk.example", "Gutter Talk", "forum", "/g/{slug}"),
    Site("winbig-gambling.example", "Win Big", "cheap", "/play/{slug}"),
    Site("promo.winbig-gambling.example", "Win Big Promotions", "cheap", "/p/{slug}"),
    Site("freeware-vault.example", "Freeware Vault", "answers", "/dl/{slug}"),
    Site("studio-notes.example", "Studio Notes", "blog", "/note/{slug}"),
    Site("reserved-press.example", "The Reserved Press", "semantic", "/article/{slug}"),
    Site(DIRECTORY, "Web Directory", "plain", "/d/{slug}"),
)  # fmt: skip

# The share of a topic's articles that stand on another good site; the encyclopaedia has the rest.
_ELSEWHERE: Mapping[str, tuple[tuple[str, float], ...]] = {
    "Geography": (("atlas.example", 0.40), ("attic.example", 0.03)),
    "History": (("atlas.example", 0.14), ("museum.example", 0.22), ("attic.example", 0.04)),
    "Biology and health sciences": (("naturenotes.example", 0.38), ("oldscience.example", 0.04)),
    "People": (("lives.example", 0.36), ("museum.example", 0.03)),
    "Physical sciences": (("oldscience.example", 0.28), ("coursebook.example", 0.10)),
    "Mathematics": (("coursebook.example", 0.45),),
    "Technology": (("coursebook.example", 0.22), ("kiosk.example", 0.16)),
    "Society and social sciences": (("kiosk.example", 0.30), ("village-press.example", 0.08)),
    "Everyday life": (("kiosk.example", 0.26), ("village-press.example", 0.12)),
    "Arts": (("museum.example", 0.36), ("attic.example", 0.05)),
    "Philosophy and religion": (("museum.example", 0.20), ("attic.example", 0.16)),
    "Uncategorized": (("kiosk.example", 0.20), ("oldscience.example", 0.08),
                      ("naturenotes.example", 0.08)),
}  # fmt: skip

MIRRORS = ("textarchive.example", "wikimirror.example")
COPYISTS = ("freeanswers.example", "quickfacts.example", "studyhelp.example")
SPAMMERS = ("best-price-online.example", "keyword-heaven.example", "toprankings.example")
ADULT = ("velvet-lounge.example", "gutter-talk.example")
# Its pages say themselves that they are not to be trained on; its host says it for all but a few.
OPTED_OUT, RESERVED = "studio-notes.example", "reserved-press.example"
RESERVED_OPEN = "/open/"
BLOCKED = (
    "winbig-gambling.example", "promo.winbig-gambling.example", "freeware-vault.example",
)  # fmt: skip

# UT1's form: a folder for each category with a file `domains`. A domain covers its subdomains;
# press.example must not cover village-press.example.
BLOCKLIST: Mapping[str, tuple[str, ...]] = {
    "gambling": ("winbig-gambling.example", "lucky-dice.example", "press.example"),
    "malware": ("freeware-vault.example", "cracked-keys.example"),
    "phishing": ("examplebank-login.example", "talk.example.net"),
}

GOOD = tuple(site.host for site in SITES[:10])


def home_of(topic: str, r: random.Random) -> str:
    """The good site on which an English article of this topic stands."""
    draw = r.random()
    for host, share in _ELSEWHERE.get(topic, ()):
        draw -= share
        if draw < 0:
            return host
    return ENCYCLOPAEDIA
