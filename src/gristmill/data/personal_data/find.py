"""Finds e-mail addresses, telephone and card numbers, IBANs, IP addresses and national ids.

Every pattern is linear in the text by construction: it starts at something rare ('@', a digit),
its repeats are bounded, and no two parts of it match the same character in two ways.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from gristmill.data.personal_data.hints import (
    HINT_AT,
    HINT_COLONS,
    HINT_DIGITS,
    HINT_DOTTED,
    HINT_IBAN,
    hints,
)
from gristmill.data.personal_data.numbers import (
    IBAN_LENGTHS,
    card_length_fits,
    french_id_check,
    iban_check,
    luhn,
    national_length,
    spanish_id_check,
)


@dataclass(frozen=True, order=True)
class Span:
    """text[start:end] == value; positions count code points."""

    start: int
    end: int
    kind: str
    value: str


_LETTERS_DIGITS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LOCAL: Final = _LETTERS_DIGITS + "._%+-"
_DOMAIN: Final = _LETTERS_DIGITS + ".-"

_IPV4: Final = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6: Final = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}+(?::(?=\W|$))?(?![\w:])"
)
_VERSION_BEFORE: Final = re.compile(
    r"(?:\bv|versions?|releases?|builds?|sections?|§)[ .]{0,2}$", re.I
)

_CARD: Final = re.compile(r"(?<![0-9])(?<![0-9][ -])[0-9](?:[ -]?[0-9]){12,18}+(?![ -]?[0-9])")
_IBAN_START: Final = re.compile(r"[A-Z]{2}[0-9]{2}(?= ?[A-Z0-9])")

_SEPARATOR: Final = r"[ .\-/()\u00a0\u202f]{0,2}"
_INTERNATIONAL: Final = re.compile(rf"(?<![\w+])\+[0-9](?:{_SEPARATOR}[0-9]){{6,17}}+")
_NORTH_AMERICAN: Final = re.compile(
    r"(?<![\w\-.+])(?:1[ .\-])?(?:\([2-9][0-9]{2}\)[ \-]?|[2-9][0-9]{2}[.\-])"
    r"[2-9][0-9]{2}[ .\-][0-9]{4}(?![\w\-])"
)
_TRUNK: Final = re.compile(
    r"(?<![\w\-.+/])(?<![0-9] )(?:\(0[0-9]{1,4}\)|0(?!00)[0-9]{1,4})"
    r"(?:[ \-/\u00a0\u202f][0-9]{2,8}){1,5}+(?![\w\-])"
)
_FRENCH_DOTS: Final = re.compile(r"(?<![\w.])0[1-9](?:\.[0-9][0-9]){4}(?![\w.][0-9])")
_AFTER_WORD: Final = re.compile(
    r"\b(?:tel|tél|phone|telephone|téléphone|teléfono|telefon|call|mobile|cell|fax|ring|whatsapp"
    r"|dial|sms|hotline|handy)\b[^0-9+\n]{0,25}"
    rf"(\+?[0-9](?:{_SEPARATOR}[0-9]){{6,14}}+)(?!\w)",
    re.IGNORECASE,
)
_YEARS: Final = re.compile(
    r"[0-9]{4}[-/ ][0-9]{4}|[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}|[0-9]{4}-[0-9][0-9]-[0-9][0-9]"
)

_US_ID: Final = re.compile(
    r"(?<![\w-])(?!000|666|9)[0-9]{3}-(?!00)[0-9][0-9]-(?!0000)[0-9]{4}(?![\w-])"
)
_UK_ID: Final = re.compile(
    r"(?<!\w)(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r"(?: ?[0-9][0-9]){3} ?[A-D](?!\w)"
)
_ES_ID: Final = re.compile(r"(?<!\w)([0-9]{8})[- ]?([A-HJ-NP-TV-Z])(?!\w)")
_FR_ID: Final = re.compile(
    r"(?<![\w-])[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?![\w-])"
)


def find(
    text: str, kinds: Collection[str], *, private_ip: bool = False, known_hints: int | None = None
) -> list[Span]:
    """The personal data of the given kinds, by position, not overlapping.

    Where two kinds claim the same characters, the stricter one (the earlier in `FINDERS`) wins.
    private_ip: addresses that are not global count as well. known_hints: `hints(text)`, where it
    was computed before.
    """
    taken: list[Span] = []
    present = hints(text) if known_hints is None else known_hints
    for kind, (finder, needed) in FINDERS.items():
        if kind not in kinds or not present & needed:
            continue
        for start, end in finder(text):
            value = text[start:end]
            if kind == "ip" and not private_ip and not _is_global(value):
                continue
            if not any(start < span.end and span.start < end for span in taken):
                taken.append(Span(start, end, kind, value))
    return sorted(taken)


def _emails(text: str) -> Iterator[tuple[int, int]]:
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
            yield at - len(local), at + 1 + len(domain)


def _ibans(text: str) -> Iterator[tuple[int, int]]:
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
            yield match.start(), end


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        value = match.group()
        digits = value.replace(" ", "").replace("-", "")
        if card_length_fits(digits) and luhn(digits) and not (" " in value and "-" in value):
            yield match.span()


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in _IPV4.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if all(int(part) < 256 for part in match.group().split(".")) and not (
            _VERSION_BEFORE.search(before)
        ):
            yield match.span()
    if "::" in text or text.count(":") >= 7:
        for match in _IPV6.finditer(text):
            value = match.group()
            # '::' alone and '::1' stand for no person.
            if sum(map(bool, value.split(":"))) < 3:
                continue
            try:
                ipaddress.IPv6Address(value)
            except ValueError:
                continue
            yield match.span()


def _is_global(value: str) -> bool:
    try:
        return ipaddress.ip_address(value).is_global
    except ValueError:
        # '010.1.2.3': ambiguous spelling, still an address.
        return True


def _national_ids(text: str) -> Iterator[tuple[int, int]]:
    for match in _US_ID.finditer(text):
        yield match.span()
    for match in _UK_ID.finditer(text):
        yield match.span()
    for match in _ES_ID.finditer(text):
        if spanish_id_check(match.group(1), match.group(2)):
            yield match.span()
    for match in _FR_ID.finditer(text):
        if french_id_check(match.group().replace(" ", "")):
            yield match.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _INTERNATIONAL.finditer(text):
        end = _international_end(text, match.start(), match.end())
        if end:
            yield match.start(), end
    for match in _NORTH_AMERICAN.finditer(text):
        yield match.span()
    for match in _TRUNK.finditer(text):
        end = _trunk_end(text, match.start(), match.end())
        if end:
            yield match.start(), end
    for match in _FRENCH_DOTS.finditer(text):
        yield match.span()
    for match in _AFTER_WORD.finditer(text):
        if not _YEARS.match(match.group(1)):
            yield _with_bracket(text, *match.span(1))


def _with_bracket(text: str, start: int, end: int) -> tuple[int, int]:
    """Takes in the bracket before an area code, as in '(11) 4444-5555'."""
    first = text.find(")", start, end)
    if first >= 0 and text.find("(", start, first) < 0 and text[start - 1] == "(":
        return start - 1, end
    return start, end


def _international_end(text: str, start: int, end: int) -> int:
    """Where the number ends that the run of digits text[start:end] begins with; 0 for none.

    The run may go on into the next number of a sentence, so the number plan decides, and only
    ends of groups count.
    """
    ends = _group_ends(text, start, end)
    digits = [(at, count) for at, count in ends if not (at < len(text) and text[at].isdigit())]
    code, lengths = national_length("".join(c for c in text[start : start + 6] if c.isdigit()))
    counts = {count: at for at, count in digits}
    # '+44 (0)20 ...' has a zero that is not dialled.
    zero = 1 if "(0)" in text[start:end] else 0
    return next((counts[code + n + zero] for n in lengths if code + n + zero in counts), 0)


def _trunk_end(text: str, start: int, end: int) -> int:
    """As `_international_end`, for national numbers that begin with 0: 9 to 11 digits."""
    ends = [(at, count) for at, count in _group_ends(text, start, end) if 9 <= count <= 11]
    return max((at for at, _ in ends), default=0)


def _group_ends(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """(position after each group of digits, digits up to there)."""
    found: list[tuple[int, int]] = []
    count = 0
    for at in range(start, end):
        if text[at].isdigit():
            count += 1
            if at + 1 == end or not text[at + 1].isdigit():
                found.append((at + 1, count))
    return found


# kind: (finder, the hints of which a text must have one), the strictest first.
FINDERS: Final[dict[str, tuple[Callable[[str], Iterator[tuple[int, int]]], int]]] = {
    "email": (_emails, HINT_AT),
    "iban": (_ibans, HINT_IBAN),
    "card": (_cards, HINT_DIGITS),
    "ip": (_addresses, HINT_DOTTED | HINT_COLONS),
    "national_id": (_national_ids, HINT_DIGITS),
    "phone": (_phones, HINT_DIGITS),
}
