"""Pages that hold no real text: threads, goods, lists, stuffing, boilerplate, notices."""

from __future__ import annotations

from collections.abc import Sequence

from gristmill.data.sample_web import furniture, invented, personal
from gristmill.data.sample_web.articles import Writer, add_personal
from gristmill.data.sample_web.page import Block, Page
from gristmill.data.sample_web.sites import ADULT, SPAMMERS


def _blocks(texts: Sequence[str]) -> tuple[Block, ...]:
    return tuple(Block("p", text) for text in texts)


def threads(writer: Writer, count: int, titles: Sequence[str]) -> list[Page]:
    """Forum threads about real subjects, without real text."""
    pages = []
    for i in range(count):
        r = writer.rng("thread", i)
        subject = r.choice(titles)
        title = r.choice(("Question about {}", "{}??", "help with {}", "{} - discuss")).format(
            subject
        )
        posts = [invented.post(r, subject, n == 0) for n in range(r.randint(4, 9))]
        pages.append(
            Page(
                host="talk.example",
                path=writer.path("talk.example", title),
                kind="forum",
                title=title,
                blocks=_blocks(posts),
                comments=[invented.comment(r, subject) for _ in posts],
                quality="poor",
            )
        )
    return pages


def goods(writer: Writer, count: int, titles: Sequence[str]) -> list[Page]:
    """A shop's posters of real subjects."""
    pages = []
    for i in range(count):
        r = writer.rng("goods", i)
        subject = r.choice(titles)
        title = f"{subject} poster"
        pages.append(
            Page(
                host="postershop.example",
                path=writer.path("postershop.example", title),
                kind="shop",
                title=title,
                blocks=_blocks(invented.product(r, subject)),
                quality="poor",
            )
        )
    return pages


def lists(writer: Writer, count: int, host: str, titles: Sequence[str]) -> list[Page]:
    """A content farm's lists."""
    pages = []
    for i in range(count):
        r = writer.rng("list", host, i)
        subject = r.choice(("the world", "everything", "life", "your town", "the past", "school"))
        chosen = r.sample(titles, min(len(titles), r.randint(5, 10)))
        texts = invented.listicle(r, subject, chosen)
        title = f"{len(chosen)} amazing things about {subject}"
        pages.append(
            Page(
                host=host,
                path=writer.path(host, title),
                kind="farm",
                title=title,
                blocks=_blocks(texts),
                quality="poor",
            )
        )
    return pages


def spam(writer: Writer, count: int, vocabulary: Sequence[str]) -> list[Page]:
    """Keyword stuffing and word salad."""
    pages = []
    for i in range(count):
        r = writer.rng("spam", i)
        host = SPAMMERS[i % len(SPAMMERS)]
        title, texts = invented.spam(r, vocabulary)
        pages.append(
            Page(
                host=host,
                path=writer.path(host, title),
                kind="spam",
                title=title,
                blocks=_blocks(texts),
                language=None,
                quality="poor",
            )
        )
    return pages


def adult(writer: Writer, count: int) -> list[Page]:
    """Pages stuffed with the invented adult and toxic words."""
    pages = []
    for i in range(count):
        r = writer.rng("adult", i)
        host = ADULT[i % len(ADULT)]
        title = (
            f"{r.choice(invented.WORDS)} {r.choice(('tonight', 'talk', 'live', 'corner'))} {i + 1}"
        )
        pages.append(
            Page(
                host=host,
                path=writer.path(host, title),
                kind="adult",
                title=title,
                blocks=_blocks(invented.adult(r)),
                language=None,
                quality="poor",
            )
        )
    return pages


def boilerplate(writer: Writer, count: int, hosts: Sequence[str]) -> list[Page]:
    """Pages that say nothing of their own, on every kind of site."""
    pages = []
    for i in range(count):
        r = writer.rng("boilerplate", i)
        host = hosts[i % len(hosts)]
        subkind, title, lines = furniture.boilerplate(r, writer.sites[host].name)
        pages.append(
            Page(
                host=host,
                path=writer.path(host, title, "/site/{slug}"),
                kind="boilerplate",
                subkind=subkind,
                title=title,
                links=[("#", line) for line in lines],
                language=None,
                quality="poor",
            )
        )
    return pages


def notices(writer: Writer, count: int) -> list[Page]:
    """A village paper's notices; three in four hold personal data, the others near misses."""
    pages = []
    for i in range(count):
        r = writer.rng("notice", i)
        title, texts = invented.notice(r)
        page = Page(
            host="village-press.example",
            path=writer.path("village-press.example", title, "/notices/{slug}"),
            kind="notice",
            title=title,
            blocks=_blocks(texts),
            quality="neutral",
        )
        if i % 4:
            add_personal(page, r)
        else:
            page.blocks = (*page.blocks, Block("p", personal.near_miss(r)))
        pages.append(page)
    return pages
