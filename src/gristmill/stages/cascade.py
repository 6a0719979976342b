"""The cascade of `data extract`: cheap rules first, the main text only of what survives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.stages.stage import StageConfig, content_of, local

if TYPE_CHECKING:
    from gristmill.data.extract.stored import StoredPage
    from gristmill.data.filters.cascade import Cascade

_AT_ONCE = 1000


class CascadeSettings(StageConfig):
    """Pages that cheap rules on their address and all their text rule out are not extracted. It
    pays where much of a crawl is dropped for its language, address or lack of text."""

    languages: list[str] = []
    """Pages that are clearly in none of these (ISO codes) are left out; an empty list: no rule."""
    min_probability: float = Field(0.8, gt=0, le=1)
    """Of another language, by pieces of three places of the page; each alone has at least half."""
    language_wheel: str | None = local(None)
    """The wheel with the language model, where the registry cannot be reached."""
    min_words: int | None = Field(None, ge=1)
    """Of the whole page, menus too."""
    min_prose_words: int | None = Field(None, ge=1)
    """Of the whole page, in lines of 12 words, or of 5 that end like a sentence."""
    max_repeated_share: float | None = Field(None, gt=0, le=1)
    """Of the characters in long lines, those in lines that were there before."""
    adult_words: list[str] = content_of([])
    """Files with one word a line."""
    max_adult_share: float = Field(0.05, gt=0, le=1)
    """Of the words of the whole page, those of the lists."""
    blocklists: list[str] = content_of([])
    """Folders of blocklists in the UT1 format (CATEGORY/domains)."""
    hosts: list[str] = content_of([])
    """Your files of hosts that are left out."""


def look_of(settings: CascadeSettings) -> Cascade | None:
    """The rules on a page's text; None where there are none."""
    from gristmill.data.filters.cascade import Cascade
    from gristmill.data.filters.language import language_model_path
    from gristmill.data.filters.lexicon import read_word_list

    words = frozenset(
        word.lower() for path in settings.adult_words for word in read_word_list(Path(path))
    )
    asked = (settings.min_words, settings.min_prose_words, settings.max_repeated_share)
    if not settings.languages and not words and asked == (None, None, None):
        return None
    try:
        model = language_model_path(settings.language_wheel) if settings.languages else None
    except GristmillError as error:
        raise GristmillError(
            error.what,
            where=error.where,
            mend="give the wheel with --data.extract.cascade.language_wheel FILE, "
            "or leave cascade.languages empty",
        ) from error
    return Cascade(
        languages=tuple(language.lower() for language in settings.languages),
        min_probability=settings.min_probability,
        language_model=model,
        min_words=settings.min_words,
        min_prose_words=settings.min_prose_words,
        max_repeated_share=settings.max_repeated_share,
        adult_words=words,
        max_adult_share=settings.max_adult_share if words else None,
    )


def refused_addresses(
    pages: Iterable[StoredPage], settings: CascadeSettings
) -> Iterator[StoredPage]:
    """The pages in their order; those whose address is on a list say so."""
    if not settings.blocklists and not settings.hosts:
        yield from pages
        return
    import pyarrow as pa

    from gristmill.data.filters.blocklist import AddressRules, Blocklist

    rules = AddressRules(
        Blocklist.read(
            [Path(path) for path in settings.blocklists],
            own=[Path(path) for path in settings.hosts],
        )
    )
    rest = iter(pages)
    while batch := list(islice(rest, _AT_ONCE)):
        refused = rules.verdicts(pa.chunked_array([pa.array([page.url for page in batch])]))
        for row, page in enumerate(batch):
            if row in refused:
                reason, detail = refused[row]
                page = replace(page, refused=(f"cascade.{reason}", detail))
            yield page
