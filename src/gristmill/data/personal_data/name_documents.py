"""Invented documents with names of persons and others, from which the tagger learns.

Names are listed ones or made up of syllables, as are firms and products: so that unknown names are
told by what stands around them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from gristmill.data.personal_data import name_lists, name_templates

Span = tuple[int, int]

_PLACE = re.compile(r"\{([A-Z])\}")
_STARTS = (
    "b c d f g h j k l m n p r s t v w z br ch dr fl gr kr kl pl pr sh st th tr sch kw ng tz mb y"
).split()
_MIDDLES = "a e i o u ai ei ou ia ea oo ee au ya io ö ü é á".split()
_ENDS = "n r l s t m k d x z nd rt lt ck ng sk ss st v h n n r l".split()
_NAME_ENDS = (
    "a o i e ie y ia en an in on er el us is as os elle ette son sen sson ssen ez es ini ello elli"
    " ova eva ski sky cki wicz ov ev enko uk man mann stein berg burg feld ley ton ford well wood"
    " kova idis opoulos oğlu yan ian dze shvili aho nen la pour zadeh wala kar nathan amma ah ha"
).split()
_THING_ENDS = (
    "ly ify io ium ics ware soft tech net hub base flow stack metrics sight scope works labs"
    " ora ex ix on ia space point box bank pay cart desk forge wise bytes cast loop grid"
).split()
_OTHER = [word for word in name_lists.OTHER_WORDS if word[0].isupper()]
_PEOPLES = _OTHER[_OTHER.index("Afghan") : _OTHER.index("Venus")]
_COMMON = [word.capitalize() for word in name_lists.COMMON_WORDS]
_GEOGRAPHY = _OTHER[_OTHER.index("Europe") : _OTHER.index("North")]


def invented_name(r: random.Random) -> str:
    """A name that nobody has, of one to three syllables."""
    word = "".join(
        r.choice(_STARTS) + r.choice(_MIDDLES) + (r.choice(_ENDS) if r.random() < 0.3 else "")
        for _ in range(r.choice((1, 1, 2)))
    )
    return (word + r.choice(_NAME_ENDS) if r.random() < 0.8 else word).capitalize()


def _invented_thing(r: random.Random) -> str:
    word = "".join(r.choice(_STARTS) + r.choice(_MIDDLES) for _ in range(r.choice((1, 2))))
    word += r.choice(_ENDS) if r.random() < 0.4 else ""
    word = (word + r.choice(_THING_ENDS)).capitalize()
    if r.random() < 0.1:
        return word.upper()[: r.randint(2, 5)]
    return word[:3] + word[3:].capitalize() if r.random() < 0.1 and len(word) > 5 else word


class _Filler:
    """Fills the places of one document: its persons stay the same, so that they recur."""

    def __init__(self, r: random.Random):
        self.r = r
        self.people = [(self._first(), self._last()) for _ in range(3)]

    def _first(self) -> str:
        r = self.r
        if r.random() < 0.35:
            return invented_name(r)
        return r.choice(name_lists.FIRST_NAMES)

    def _last(self) -> str:
        r = self.r
        if r.random() < 0.4:
            name = invented_name(r)
            return f"{name}-{invented_name(r)}" if r.random() < 0.05 else name
        return r.choice(name_lists.LAST_NAMES).replace("_", " ")

    def person(self) -> str:
        r = self.r
        first, last = r.choice(self.people) if r.random() < 0.7 else (self._first(), self._last())
        roll = r.random()
        if roll < 0.72:
            return f"{first} {last}"
        if roll < 0.80:
            return f"{first} {r.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if roll < 0.86:
            return f"{first[0]}. {last}"
        if roll < 0.90:
            return f"{first} {self._first()} {last}"
        if roll < 0.93:
            return f"{first[0]}. {r.choice('ABCDEJKLMR')}. {last}"
        if roll < 0.97:
            return f"{r.choice('ABCDEGHJKLMRST')}. {first} {last}"
        return f"{first} {last}-{self._last().split()[-1]}"

    def thing(self) -> str:
        """A firm or another body."""
        r = self.r
        roll = r.random()
        if roll < 0.35:
            return _invented_thing(r)
        if roll < 0.5:
            return f"{_invented_thing(r)} {r.choice(name_templates.ORGANISATION_TAILS)}"
        if roll < 0.65:
            tail = r.choice(name_templates.ORGANISATION_TAILS)
            return f"{self._last()} {tail}"
        if roll < 0.8:
            words = r.sample(_OTHER if r.random() < 0.5 else _COMMON, r.choice((1, 2)))
            return " ".join([*words, r.choice(name_templates.ORGANISATION_TAILS)])
        if roll < 0.88:
            return f"{r.choice(_GEOGRAPHY)} {r.choice(name_templates.ORGANISATION_TAILS)}"
        if roll < 0.94:
            return "".join(r.choice("ABCDEFGIKLMNOPRSTUVW") for _ in range(r.randint(2, 4)))
        return f"{self._last()} {r.choice(('&', 'and'))} {self._last()}"

    def place(self) -> str:
        r = self.r
        if r.random() < 0.25:
            return invented_name(r)
        if r.random() < 0.1:
            return f"{invented_name(r)}, {r.choice(_GEOGRAPHY)}"
        if r.random() < 0.2:
            tail = r.choice(("Hills", "Bay", "Park", "Valley", "Springs", "County", "Falls"))
            return f"{invented_name(r)} {tail}"
        return r.choice(_GEOGRAPHY)

    def work(self) -> str:
        r = self.r
        roll = r.random()
        if roll < 0.5:
            return _invented_thing(r) + r.choice(name_templates.PRODUCT_TAILS)
        if roll < 0.8:
            return " ".join(["The", *r.sample(_COMMON, r.choice((1, 2)))])
        return " ".join(r.sample(_COMMON if r.random() < 0.7 else _OTHER, r.choice((1, 2))))

    def people_word(self) -> str:
        r = self.r
        if r.random() < 0.5:
            return r.choice(_PEOPLES)
        stem = "".join(r.choice(_STARTS) + r.choice(_MIDDLES) for _ in range(r.choice((1, 2))))
        ends = (
            "ian ese ish ic ism ist ite ean idae aceae us um ology ians ists ization ology".split()
        )
        return (stem + r.choice("nrlstm") + r.choice(ends)).capitalize()

    def heading(self) -> str:
        r = self.r
        roll = r.random()
        source = name_templates.HEADING_WORDS if roll < 0.4 else _OTHER if roll < 0.6 else _COMMON
        words = r.sample(source, r.choice((1, 2, 2, 3, 4)))
        return " ".join(words).upper() if r.random() < 0.06 else " ".join(words)

    def date(self) -> str:
        r = self.r
        month = r.choice(_OTHER[12:24])
        day, year = r.randint(1, 28), r.randint(1930, 2026)
        return r.choice((f"{day} {month} {year}", f"{month} {day}, {year}", f"{month} {year}",
                         f"{year}-{r.randint(1, 12):02}-{day:02}", str(year)))  # fmt: skip

    def value(self, place: str) -> tuple[str, bool]:
        """(text, whether it is a name)."""
        r = self.r
        first, last = r.choice(self.people) if r.random() < 0.6 else (self._first(), self._last())
        # A letter and what fills its place; what is no person comes last.
        persons: dict[str, Callable[[], str]] = {
            "P": self.person,
            "F": lambda: first,
            "L": lambda: last,
            "A": lambda: f"{first} {last}".upper(),
        }
        if place in persons:
            return persons[place](), True
        others: dict[str, Callable[[], str]] = {
            "O": self.thing,
            "G": self.place,
            "W": self.work,
            "H": self.heading,
            "E": self.people_word,
            "D": self.date,
            "N": lambda: str(r.randint(2, 2000)),
            "R": lambda: (
                r.choice(name_lists.ROLES).title()
                if r.random() < 0.2
                else r.choice(name_lists.ROLES)
            ),
            "V": lambda: r.choice(name_templates.PERSON_VERBS),
            "X": lambda: r.choice(name_templates.THING_VERBS),
            "C": lambda: r.choice(name_templates.WORK_NOUNS),
            "Q": lambda: r.choice(name_templates.QUALITIES),
        }
        return others[place](), False


def invented_document(r: random.Random) -> tuple[str, list[Span]]:
    """A document and where its names of persons stand."""
    filler = _Filler(r)
    text = ""
    spans: list[Span] = []
    for _ in range(r.randint(2, 6)):
        with_names = r.random() < 0.5
        source = name_templates.WITH_NAMES if with_names else name_templates.WITHOUT_NAMES
        template = r.choice(source)
        position = 0
        for match in _PLACE.finditer(template):
            text += template[position : match.start()]
            value, is_name = filler.value(match.group(1))
            if is_name and with_names:
                spans.append((len(text), len(text) + len(value)))
            text += value
            position = match.end()
        text += template[position:]
        text += r.choice((" ", " ", " ", "\n", "\n\n", ". "))
    return text, spans
