"""English for questions and answers: which article a noun takes, how a subject is named.

Everything is learnt from the texts themselves: "is a species", "is the capital", "is music" say
which article a description wants, and a text's own first sentence says whether its subject is
`the Black Sea`, `a mongoose` or `physics`, and whether it is or was.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from gristmill.evaluate.tasks import WordCase

_COPULA = re.compile(
    r"\b(?:is|was|are|were)\s+(?:(an?|the)\s+)?((?:[\w'’–-]+\s+){1,6}[\w'’–-]+)", re.IGNORECASE
)
_INDEFINITE = re.compile(r"\b(an?)\s+(\w[\w'’-]*)")
_STARTS_WITH_DETERMINER = {
    "a", "an", "the", "any", "one", "some", "various", "several", "all", "each", "every", "either",
    "both", "its", "his", "her", "their", "two", "three", "four", "five", "many", "someone",
    "something", "anything", "what",
}  # fmt: skip
_SUPERLATIVE = re.compile(
    r"(?:\w+-)?(?:(?:larg|small|high|low|long|short|old|tall|deep|young|great|bright|near|earli|"
    r"lat|fast|wid|heavi|busi|northernmo|southernmo|easternmo|westernmo|innermo|outermo)(?:e?st)|"
    r"most|only|sole|main|last|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)"
)
# What ends the head noun of a phrase when it is not its first word.
_AFTER_HEAD = {
    "of", "in", "on", "at", "by", "for", "from", "to", "with", "within", "without", "between",
    "that", "which", "who", "whose", "where", "when", "and", "or", "as", "into", "over", "under",
    "during", "since", "until", "against", "through", "about", "among", "near", "off", "than",
}  # fmt: skip
_NOT_PLURAL = re.compile(r".*(?:ss|us|is|ics|species|series|lens|means|headquarters|[^aeiou]os)")
_ARTICLES = ("a", "the", "")
# Before any text is read: most descriptions name one of many things.
_PRIOR = {"a": 1.0, "the": 0.4, "": 0.4}
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|St|Mr|Mrs|Ms|Dr|Jr|Sr|No|Mt|Ft|Inc|Ltd|vs|etc|ca|c|cf|fl|r|b|d|e\.g|i\.e|"
    r"approx|U\.S|U\.K))\.$"
)
_SENTENCE_START = re.compile(r"(?:\A|[.!?:]\s|\n)\W*\w+")
_BEFORE_CAPITAL = re.compile(r"\b(\w+)(?= ([A-Z]\w+))")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]?(?=\s|$)")
_LIFE = re.compile(r"\([^()]{0,40}?\d{1,4}[^()]{0,20}[–-][^()]{0,20}?\d{1,4}[^()]{0,10}\)\s*$")
_BORN = re.compile(r"\((?:born|b\.) [^()]{0,30}\)\s*$")


@dataclass(frozen=True)
class Subject:
    """What an article is about, as a sentence names it: `the Black Sea`, `is`; `who` for people."""

    name: str
    verb: str
    person: bool

    @property
    def start(self) -> str:
        """The name at the start of a sentence."""
        return self.name[0].upper() + self.name[1:]

    @property
    def plural(self) -> bool:
        """Whether verbs take their plural form."""
        return self.verb in ("are", "were")


class Wording:
    """Counts of how texts write, and the choices that follow from them."""

    def __init__(self) -> None:
        self.case = WordCase()
        self._first: dict[str, Counter[str]] = {}
        self._head: dict[str, Counter[str]] = {}
        self._an: Counter[str] = Counter()
        self._before_capital: Counter[str] = Counter()

    def read(self, text: str) -> None:
        """Adds what one text shows."""
        # Every first word of a sentence has a capital; that says nothing about the word.
        inside = _SENTENCE_START.sub(" ", text)
        self.case.count(inside)
        for found in _BEFORE_CAPITAL.finditer(inside):
            key = f"{found.group(1).lower()} {found.group(2)}"
            self._before_capital[key] += 1 if found.group(1)[0].isupper() else -1
        for found in _COPULA.finditer(text):
            article = (found.group(1) or "").lower()
            article = "a" if article == "an" else article
            words = found.group(2).lower().split()
            self._first.setdefault(words[0], Counter())[article] += 1
            self._head.setdefault(_head_key(words), Counter())[article] += 1
        for found in _INDEFINITE.finditer(text):
            self._an[found.group(2).lower()] += 1 if found.group(1) == "an" else -1

    def phrase(self, description: str) -> str:
        """A description as it stands after "is": `a French composer (1803–1869)`."""
        text = " ".join(description.split()).rstrip(" .;,")
        # Prime Minister, but ancient Greek: the next word, where it has a capital too, decides.
        pair = _BEFORE_CAPITAL.match(text)
        if pair is None or self._before_capital[f"{pair[1].lower()} {pair[2]}"] <= 0:
            text = self.case.in_a_sentence(text)
        words = text.lower().split()
        if not words or words[0] in _STARTS_WITH_DETERMINER:
            return text
        article = self._article(words)
        if article == "a":
            article = self.indefinite(words[0])
        return f"{article} {text}" if article else text

    def indefinite(self, word: str) -> str:
        """`a` or `an`, as texts write it before `word`; by its first letter where none does."""
        seen = self._an[word.lower()]
        if seen:
            return "an" if seen > 0 else "a"
        vowel = re.match(r"[aeiou]|8|11\b|11th|18\b|18th", word.lower()) is not None
        return "an" if vowel and not re.match(r"eu|uni|use|one\b|once", word.lower()) else "a"

    def subject(self, title: str, text: str, description: str, person: bool) -> Subject:
        """How a sentence names what `text`, titled `title`, is about."""
        opening = sentences(text[:600], 1, 600) or text[:200]
        found = re.match(
            rf"(?P<lead>In [^.]{{2,80}}?, )?(?:(?P<article>the|an?)\s+)?"
            rf"(?P<name>{re.escape(title)})(?P<plural>e?s)?\b",
            opening,
            re.IGNORECASE,
        )
        verb = self._verb(opening[found.end() :] if found else opening, description, person)
        name = title if person else self._in_a_sentence(title)
        if found is None and not _plural(title.split()[-1]):
            verb = {"are": "is", "were": "was"}.get(verb, verb)
        if found is None or person:
            return Subject(name, verb, person)
        article = (found.group("article") or "").lower()
        if article or found.group("lead"):
            # In the midst of a sentence the text itself shows how the name is written.
            name = found.group("name")
        if found.group("plural"):
            verb = "was" if verb in ("was", "were") else "is"
            article = article if article == "the" else "a"
        if article in ("a", "an"):
            article = self.indefinite(name.split()[0])
        return Subject(f"{article} {name}" if article else name, verb, person)

    def _article(self, words: list[str]) -> str:
        if _SUPERLATIVE.fullmatch(words[0]):
            return "the"
        first = self._first.get(words[0], Counter())
        head = self._head.get(_head_key(words), Counter())
        noun = _head_key(words).removesuffix(" of")
        plural = _plural(noun)

        def weight(article: str) -> float:
            # Two witnesses, the first word and the head noun; each is worth what it has seen.
            if plural and article == "a":
                return -math.inf
            total = math.log(_PRIOR[article])
            for seen in (first, head):
                rate = (seen[article] + _PRIOR[article]) / (seen.total() + sum(_PRIOR.values()))
                total += math.log(rate / _PRIOR[article])
            return total

        return max(_ARTICLES, key=weight)

    def _verb(self, rest: str, description: str, person: bool) -> str:
        if person and (_LIFE.search(description) or _BORN.search(description)):
            return "is" if _BORN.search(description) else "was"
        found = re.search(r"\b(is|was|are|were)\b", rest)
        verb = found.group(1) if found else "is"
        if person:
            return {"are": "is", "were": "was"}.get(verb, verb)
        return verb

    def _in_a_sentence(self, title: str) -> str:
        # A second capital says that it is a name: the Black Sea, not the black Sea.
        if any(word[0].isupper() for word in title.split()[1:]) or title[1:2].isupper():
            return title
        return self.case.in_a_sentence(title)


def sentences(text: str, most: int, characters: int) -> str:
    """The first `most` sentences of the first paragraph, as far as they fit; empty where none."""
    paragraph = " ".join(text.split("\n", 1)[0].split())
    end = count = 0
    for found in _SENTENCE_END.finditer(paragraph):
        if found.end() > characters or count == most:
            break
        if found.group().startswith(".") and _ABBREVIATION.search(
            paragraph[max(0, found.start() - 12) : found.start() + 1]
        ):
            continue
        end, count = found.end(), count + 1
    found_text = paragraph[:end]
    double = found_text.endswith("..") and not found_text.endswith("...")
    return found_text[:-1] if double else found_text


def about_a_person(text: str) -> bool:
    """Whether a text soon says he or she of what it is about."""
    return re.search(r"\b(?:He|She|His|Her|he|she)\b", text[:400]) is not None


def lived(description: str) -> bool:
    """Whether a description ends with the years of a life, `(1803–1869)` or `(born 1950)`."""
    return bool(_LIFE.search(description) or _BORN.search(description))


def _plural(noun: str) -> bool:
    return noun.endswith("s") and not _NOT_PLURAL.fullmatch(noun)


def _head_key(words: list[str]) -> str:
    """The head noun of a phrase, with ` of` where that follows it: `study of` wants `the`."""
    for index, word in enumerate(words):
        bare = word.strip("(),;:")
        participle = re.fullmatch(r"\w{3,}(?:ed|ing)", bare) and index + 1 < len(words)
        if index and (bare in _AFTER_HEAD or word.startswith("(") or participle):
            return words[index - 1].strip("(),;:") + (" of" if bare == "of" else "")
        if word[-1] in ",;:)":
            return bare
    return words[-1]
