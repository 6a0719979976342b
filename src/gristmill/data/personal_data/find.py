"""Finds personal data of all kinds; e-mail and IP addresses, cards and IBANs are told here.

Every pattern is linear in the text by construction: it starts at something rare ('@', a digit),
its repeats are bounded, and no two parts of it match the same character in two ways.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from gristmill.data.personal_data.births import birth_at, dotted_labels
from gristmill.data.personal_data.hints import (
    HINT_AT,
    HINT_COLONS,
    HINT_DIGITS,
    HINT_DOTTED,
    HINT_IBAN,
    hints,
)
from gristmill.data.personal_data.national_ids import national_ids
from gristmill.data.personal_data.numbers import IBAN_LENGTHS, card_length_fits, iban_check, luhn
from gristmill.data.personal_data.phones import phones
from gristmill.data.personal_data.streets import street_at

Found = tuple[int, int, float]
"""start, end, score"""

# Those whose ids are told from other numbers by their form or check alone.
ID_COUNTRIES: Final = ("us", "gb", "es", "fr")


class Span(NamedTuple):
    """text[start:end] == value; positions count code points."""

    start: int
    end: int
    kind: str
    value: str
    score: float = 1.0
    """How sure it is: 1 where a check digit or the form says so."""


_LETTERS_DIGITS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LOCAL: Final = _LETTERS_DIGITS + "._%+-"
_DOMAIN: Final = _LETTERS_DIGITS + ".-"

_IPV4: Final = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6: Final = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}+(?::(?=\W|$))?(?![\w:])"
)
# What every address has behind its first dot or colon. To look for that, and then at what stands
# before it, takes a tenth of the time of looking for the whole at each character.
_DOTS: Final = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_COLONS: Final = re.compile(r":[0-9A-Fa-f]{0,4}:")
_DIGITS: Final = "0123456789"
_HEX: Final = _DIGITS + "ABCDEFabcdef"
_VERSION_BEFORE: Final = re.compile(
    r"(?:\bv|versions?|releases?|builds?|sections?|§)[ .]{0,2}$", re.I
)

# A digit first and then what is before it: so digits alone are looked at.
_CARD: Final = re.compile(
    r"[0-9](?<![0-9][0-9])(?<![0-9][ -][0-9])(?:[ -]?[0-9]){12,18}+(?![ -]?[0-9])"
)
_IBAN_START: Final = re.compile(r"[A-Z]{2}[0-9]{2}(?= ?[A-Z0-9])")


def find(
    text: str,
    kinds: Collection[str],
    *,
    private_ip: bool = False,
    known_hints: int | None = None,
    id_countries: Collection[str] = ID_COUNTRIES,
    min_score: float = 0.0,
) -> list[Span]:
    """The personal data of the given kinds, by position, not overlapping.

    Where two kinds claim the same characters, the stricter one (the earlier in `FINDERS`) wins.
    private_ip: addresses that are not global count as well. known_hints: `hints(text)`, where it
    was computed before. min_score: what is less sure is left out.
    """
    found: list[Span] = []
    taken: bytearray | None = None
    present = hints(text) if known_hints is None else known_hints
    for kind, (finder, needed) in FINDERS.items():
        if kind not in kinds or (needed and not present & needed):
            continue
        spans = national_ids(text, id_countries) if kind == "national_id" else finder(text)
        for start, end, score in spans:
            if score < min_score:
                continue
            value = text[start:end]
            if kind == "ip" and not private_ip and not _is_global(value):
                continue
            if taken is None:
                taken = bytearray(len(text))
            if taken.find(1, start, end) < 0:
                taken[start:end] = b"\1" * (end - start)
                found.append(Span(start, end, kind, value, score))
    return sorted(found)


def _emails(text: str) -> Iterator[Found]:
    at = -1
    while (at := text.find("@", at + 1)) >= 0:
        if at == 0 or text[at - 1] not in _LOCAL or text[at + 1 : at + 2] not in _LETTERS_DIGITS:
            continue
        left = text[max(0, at - 64) : at]
        local = left[len(left.rstrip(_LOCAL)) :].lstrip(".-%+")
        right = text[at + 1 : at + 254]
        domain = right[: len(right) - len(right.lstrip(_DOMAIN))].rstrip(".-")
        labels = domain.split(".")
        last = labels[-1]
        if (
            local
            and local[-1] != "."
            and len(labels) > 1
            and all(labels)
            and len(last) > 1
            and (last.isalpha() or last.startswith("xn--"))
        ):
            yield at - len(local), at + 1 + len(domain), 1.0


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN_START.finditer(text):
        wanted = IBAN_LENGTHS.get(match.group()[:2])
        before = text[max(0, match.start() - 1) : match.start()]
        if wanted is None or before.isalnum():
            continue
        found: list[str] = []
        end = match.start()
        while end < len(text) and len(found) < wanted:
            character = text[end]
            if character in _LETTERS_DIGITS:
                found.append(character)
            elif character not in " \u00a0" or text[end - 1] in " \u00a0":
                break
            end += 1
        whole = "".join(found).upper()
        followed = end < len(text) and text[end] in _LETTERS_DIGITS
        if len(found) == wanted and not followed and iban_check(whole):
            yield match.start(), end, 1.0


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        value = match.group()
        digits = value.replace(" ", "").replace("-", "")
        if card_length_fits(digits) and luhn(digits) and not (" " in value and "-" in value):
            yield *match.span(), 1.0


def _ip_addresses(text: str) -> Iterator[Found]:
    for match in _around(text, _DOTS, _DIGITS, 3, _IPV4):
        before = text[max(0, match.start() - 12) : match.start()]
        if all(int(part) < 256 for part in match.group().split(".")) and not (
            _VERSION_BEFORE.search(before)
        ):
            yield *match.span(), 0.95
    if "::" in text or text.count(":") >= 7:
        for match in _around(text, _COLONS, _HEX, 4, _IPV6):
            value = match.group()
            # '::' alone and '::1' stand for no person.
            if sum(map(bool, value.split(":"))) < 3:
                continue
            try:
                ipaddress.IPv6Address(value)
            except ValueError:
                continue
            yield *match.span(), 1.0


def _around(
    text: str, middle: re.Pattern[str], signs: str, most: int, whole: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    """`whole.finditer(text)`, for a pattern that begins with up to `most` of `signs`, behind no
    letter and none of them, and goes on with `middle`."""
    at = 0
    while (found := middle.search(text, at)) is not None:
        begin = found.start()
        lead = text[max(0, begin - most) : begin]
        match = whole.match(text, begin - len(lead) + len(lead.rstrip(signs)))
        if match is not None:
            yield match
        at = begin + 1 if match is None else match.end()


def _is_global(value: str) -> bool:
    try:
        return ipaddress.ip_address(value).is_global
    except ValueError:
        # '010.1.2.3': ambiguous spelling, still an address.
        return True


def _birth_dates(text: str) -> Iterator[Found]:
    from gristmill.data.personal_data.name_words import BIRTH
    from gristmill.data.personal_data.names import places

    words = [(start, end) for start, end, bits in places(text) if bits & BIRTH]
    for (start, end), (following, _) in pairwise([*words, (len(text), 0)]):
        found = birth_at(text, start, end, following)
        if found is not None:
            yield found
    yield from dotted_labels(text)


def _street_addresses(text: str) -> Iterator[Found]:
    from gristmill.data.personal_data.name_words import STREET
    from gristmill.data.personal_data.names import places

    for start, end, bits in places(text):
        found = street_at(text, start, end) if bits & STREET or not bits else None
        if found is not None:
            yield found


def _persons(text: str) -> Iterator[Found]:
    from gristmill.data.personal_data.names import shipped_tagger

    return shipped_tagger().find(text)


# kind: (finder, the hints of which a text must have one, 0 where it needs none), the strictest
# first.
FINDERS: Final[dict[str, tuple[Callable[[str], Iterator[Found]], int]]] = {
    "email": (_emails, HINT_AT),
    "iban": (_ibans, HINT_IBAN),
    "card": (_cards, HINT_DIGITS),
    "ip": (_ip_addresses, HINT_DOTTED | HINT_COLONS),
    "national_id": (national_ids, HINT_DIGITS | HINT_IBAN),
    "birth_date": (_birth_dates, 0),
    "phone": (phones, HINT_DIGITS),
    "address": (_street_addresses, 0),
    "person": (_persons, 0),
}
