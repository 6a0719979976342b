"""Postal addresses: a street with its number, and the town and code that stand behind it.

Each is looked for around a word for a street ('Road', 'rue', '...strasse'), in a window of fixed
length, so that the time is linear in the text. The forms are those of English, German, Dutch,
Scandinavian, French, Spanish, Italian, Portuguese and Polish addresses, and post boxes.
"""

from __future__ import annotations

import re
from typing import Final

_SURE: Final = (
    "street st avenue ave road rd lane ln boulevard blvd crescent cres parkway pkwy highway hwy "
    "mews terrace drive dr alley turnpike expressway esplanade causeway"
).split()
# They also stand for other things, and need more around them.
_UNSURE: Final = (
    "court ct place pl square sq way close gardens grove row walk circle loop rise hill green park "
    "path trail pike view quay wharf yard"
).split()
_BEFORE_NAME: Final = (  # 12 rue de la Paix
    "rue avenue boulevard place chemin impasse allée quai cours route passage faubourg"
).split()
_NUMBER_LAST: Final = (  # Calle Mayor, 5
    "calle avenida av avda plaza paseo carrera camino via viale piazza corso vicolo largo rua "
    "travessa praça estrada alameda ulica ul aleja"
).split()
_BOXES: Final = ("box", "postfach", "postbus", "apartado")
STREET_WORDS: Final = tuple(
    dict.fromkeys((*_SURE, *_UNSURE, *_BEFORE_NAME, *_NUMBER_LAST, *_BOXES))
)
_ENDINGS: Final = (
    "straße", "strasse", "str", "weg", "gasse", "allee", "platz", "damm", "ufer", "ring", "steig",
    "straat", "laan", "plein", "gracht", "kade", "dreef", "gatan", "vägen", "gata", "vej", "gade",
    "veien", "katu", "tie",
)  # fmt: skip

_SPACE: Final = r"[ \u00a0]"
_WORD: Final = r"[^\W\d_][\w'’.\-]{0,24}"
_NAME: Final = r"[A-ZÀ-ÞŁŚŻČŠ][\w'’.\-]{0,24}"
_WINDOW: Final = 90

# The number and the name before 'Street'.
_LEFT: Final = re.compile(
    rf"(?<![\w.,\-/])([0-9]{{1,5}}[A-Za-z]?(?:[\-/][0-9]{{1,5}})?,?{_SPACE}"
    rf"(?:(?:{_NAME}|[0-9]{{1,3}}(?:st|nd|rd|th)|of|the){_SPACE}){{1,4}})$"
)
_FRENCH_LEFT: Final = re.compile(
    rf"(?<![\w.,\-/])([0-9]{{1,4}}(?:{_SPACE}?(?:bis|ter|quater|[A-D]))?,?{_SPACE})$"
)
_FRENCH_RIGHT: Final = re.compile(
    rf"{_SPACE}(?:(?:de|du|des|la|le|les|l['’]|d['’]){_SPACE}?){{0,3}}{_NAME}"
    rf"(?:(?:{_SPACE}|-)(?:(?:de|du|des|la|et){_SPACE})?{_NAME}){{0,3}}"
)
_NUMBER_RIGHT: Final = re.compile(
    r"\.?[ /]{1,2}"
    rf"(?:(?:de|del|della|dei|degli|di|da|do|dos|das|la|las|los|el|y|e|i){_SPACE}){{0,3}}"
    rf"{_NAME}(?:{_SPACE}(?:(?:de|del|la|di|da|do|dos|y|e){_SPACE}){{0,2}}{_NAME}){{0,3}}"
    rf",?{_SPACE}(?:n[.ºo°]{{0,2}}{_SPACE}?|nr\.?{_SPACE})?[0-9]{{1,4}}(?:{_SPACE}?[A-Za-z])?(?!\w)"
)
_HOUSE: Final = re.compile(
    rf"\.?{_SPACE}([0-9]{{1,4}})(?:{_SPACE}?[a-zA-Z])?(?:[\-/][0-9]{{1,4}}[a-z]?)?(?![\w%]|[.,:][0-9])"
)
_BOX_LEFT: Final = re.compile(r"(?<!\w)P\.?[ ]?O\.?[ ]$|(?<!\w)PO[ ]$")
_BOX_RIGHT: Final = re.compile(r"[ ][0-9]{1,6}(?:[ ][0-9]{2,3})?(?!\w)")

_UNIT: Final = re.compile(
    r"\.?,?[ ](?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm)\.?[ ]#?|#[ ]?)"
    r"[A-Za-z0-9\-]{1,6}(?!\w)"
)
_TOWN: Final = (
    rf"{_NAME}(?:[ \-](?:(?:upon|on|the|of|am|an|der|de|la|le|sur|les|del|aan|den)[ \-]){{0,2}}"
    rf"{_NAME}){{0,3}}"
)
_AMERICAN: Final = re.compile(
    rf"\.?,?\s{{1,2}}{_TOWN}(?:,{_SPACE}|{_SPACE})[A-Z]{{2}}{_SPACE}[0-9]{{5}}(?:-[0-9]{{4}})?(?!\w)"
    rf"|\.?,?\s{{1,2}}{_TOWN},{_SPACE}[A-Z]{{2}}(?!\w)"
)
_BRITISH: Final = re.compile(
    rf"\.?(?:,?\s{{1,2}}{_TOWN}){{0,2}},?\s{{1,2}}[A-Z]{{1,2}}[0-9][A-Z0-9]?{_SPACE}[0-9][A-Z]{{2}}(?!\w)"
)
_CONTINENTAL: Final = re.compile(
    rf",?\s{{1,2}}(?:[A-Z]{{1,2}}-)?(?:[0-9]{{4,5}}|[0-9]{{3}}{_SPACE}[0-9]{{2}}|[0-9]{{2}}-[0-9]{{3}}"
    rf"|[0-9]{{4}}{_SPACE}[A-Z]{{2}}|[0-9]{{4}}-[0-9]{{3}}){_SPACE}{_TOWN}(?!\w)"
)
_TOWN_AT_END: Final = re.compile(rf"\.?,{_SPACE}{_TOWN}(?=[.,;)]?(?:\s|$))")
# What may follow an address whose word for a street has other meanings.
_GOES_ON: Final = re.compile(
    r"\.?(?:$|[,;:)\n!?\"]|\.?\s(?:$|[A-Z0-9(]|(?:in|and|on|for|near|is|was|by|with|at|to|from|until"
    r"|since|or|where|which|but|before|after|as|has|had|when|who)\b))"
)
_COURTS: Final = re.compile(
    r"(?:Supreme|High|District|Appeal|Appeals|Crown|Federal|County|Tennis|Food|National|Theme|Business"
    r"|Car|Trafalgar|Times|Milky|Market|First|Second|Third|Last|Jurassic|South)[ ]$"
)
_YEAR: Final = re.compile(r"(?:1[5-9]|20)[0-9]{2}[ ,]")


def street_at(text: str, start: int, end: int) -> tuple[int, int, float] | None:
    """(start, end, score) of the address around the word text[start:end], which is one of
    STREET_WORDS or a capitalised word before a number; None where there is none."""
    word = text[start:end].lower()
    left_from = max(0, start - _WINDOW)
    left = text[left_from:start]
    if word in _BOXES:
        return _box(text, start, end, left_from, left)
    if word in _BEFORE_NAME:
        match = _FRENCH_LEFT.search(left)
        right = _FRENCH_RIGHT.match(text, end, end + _WINDOW)
        if match and right:
            return left_from + match.start(1), _tail(text, right.end(), _CONTINENTAL), 0.9
    if word in _NUMBER_LAST and (right := _NUMBER_RIGHT.match(text, end, end + _WINDOW)):
        return start, _tail(text, right.end(), _CONTINENTAL), 0.85
    if text[start].isupper() and (word in _SURE or word in _UNSURE):
        return _english(text, end, word, left_from, left)
    if word.rstrip(".").endswith(_ENDINGS):
        house = _HOUSE.match(text, end, end + 20)
        if house:
            # 'Am Alten Weg 3' begins with its words in capitals.
            return start, _tail(text, house.end(), _CONTINENTAL), 0.85
    return None


def _english(
    text: str, end: int, word: str, left_from: int, left: str
) -> tuple[int, int, float] | None:
    match = _LEFT.search(left)
    if match is None or not text[left_from + match.end() :][:1].isupper():
        return None
    if (
        end < len(text)
        and text[end] == "."
        and word in ("st", "ave", "rd", "ln", "blvd", "dr", "ct")
    ):
        end += 1
    finish = end
    if (unit := _UNIT.match(text, finish, finish + 24)) is not None:
        finish = unit.end()
    whole = _tail(text, finish, _AMERICAN, _BRITISH, _CONTINENTAL)
    if whole == end:
        year = _YEAR.match(match.group(1))
        doubtful = word in _UNSURE or word in ("dr", "st", "drive", "terrace")
        if year or (doubtful and not _GOES_ON.match(text, end, end + 12)):
            return None
        if word in _UNSURE and _COURTS.search(left):
            return None
        return left_from + match.start(1), _tail(text, whole, _TOWN_AT_END), 0.75
    return left_from + match.start(1), whole, 0.95


def _box(
    text: str, start: int, end: int, left_from: int, left: str
) -> tuple[int, int, float] | None:
    right = _BOX_RIGHT.match(text, end, end + 14)
    if right is None:
        return None
    if text[start:end].lower() == "box":
        before = _BOX_LEFT.search(left)
        if before is None:
            return None
        start = left_from + before.start()
    elif not text[start].isupper():
        return None
    return start, _tail(text, right.end(), _AMERICAN, _BRITISH, _CONTINENTAL), 0.9


def _tail(text: str, end: int, *forms: re.Pattern[str]) -> int:
    """Behind the town and code, where they follow."""
    for form in forms:
        match = form.match(text, end, end + _WINDOW)
        if match is not None:
            return match.end()
    return end
