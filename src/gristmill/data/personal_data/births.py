"""Dates of birth: whole dates shortly behind a word that says so, in eight languages.

A date alone is not personal, nor is a year; and a birthday party is no birth.
"""

from __future__ import annotations

import re
from typing import Final

_BORN: Final = (
    "born geboren geb né née nacido nacida nato nata nascido nascida född født urodzony urodzona"
).split()
_LABELS: Final = (
    "dob birth birthdate birthday geburtsdatum geburtstag naissance nacimiento nascita nascimento "
    "geboortedatum fødselsdato födelsedatum urodzenia"
).split()
BIRTH_WORDS: Final = (*_BORN, *_LABELS)

_MONTH: Final = (
    r"(?:Jan(?:uary|uar|vier)?|Feb(?:ruary|ruar)?|F[eé]v(?:rier)?|Mar(?:ch|s|zo)?|M[äa]e?rz|A[pv]r(?:il|ile)?"
    r"|Ma[yijg](?:o|gio)?|Jun[ei]?|Juin|Jul[yi]?|Juillet|Aug(?:ust|ustus)?|Août|Sept?(?:ember|embre)?"
    r"|Okt(?:ober)?|Oct(?:ober|obre)?|Nov(?:ember|embre)?|De[cz](?:ember)?|Déc(?:embre)?|enero|gennaio|janvier"
    r"|janeiro|febrero|febbraio|fevereiro|février|marzo|março|mars|maart|abril|aprile|avril|mayo|maggio|maio"
    r"|mai|mei|junio|giugno|junho|juin|juni|julio|luglio|julho|juillet|juli|agosto|août|augustus|septiembre"
    r"|settembre|setembro|septembre|octubre|ottobre|outubro|octobre|noviembre|novembro|novembre|diciembre"
    r"|dicembre|dezembro|décembre)"
)
_YEAR: Final = r"(?:18|19|20)[0-9]{2}"
_DATE: Final = re.compile(
    rf"(?<![0-9])(?:[0-9]{{1,2}}[./\-][0-9]{{1,2}}[./\-](?:{_YEAR}|[0-9]{{2}})"
    rf"|{_YEAR}[.\-/][0-9]{{1,2}}[.\-/][0-9]{{1,2}}"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th|\.|er|º)?(?: of| de|-)?[ \-]{_MONTH}\.?"
    rf"(?:,| de| of)?[ \-]{_YEAR}"
    rf"|{_MONTH}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR})(?![0-9])"
)
# Between 'born' and the date may stand a place; a sentence does not end there.
_GAP: Final = re.compile(r"[^\n0-9;!?]{0,40}$")
_SENTENCE: Final = re.compile(r"(?:^|[a-zà-ÿ]{3})\. ")
# Between a label and the date only signs.
_LABEL_GAP: Final = re.compile(
    r"""["'’)\]*_]{0,3}(?: ?date)? ?[:=\-–|>,("'\t*_\n ]{0,6}"""
    r"""(?:is |was |on |am |le |el |il )?(?:on )?[("' ]?""",
    re.IGNORECASE,
)
_REACH: Final = 72
_DIGIT: Final = re.compile(r"[0-9]")
_DOTTED: Final = ("D.O.B", "d.o.b")


def birth_at(text: str, start: int, end: int, limit: int) -> tuple[int, int, float] | None:
    """(start, end, score) of the date behind the word text[start:end], which is one of
    BIRTH_WORDS, and before `limit`, where the next such word stands."""
    limit = min(limit, end + _REACH)
    if text[start:end].lower() in _LABELS:
        gap = _LABEL_GAP.match(text, end, limit)
        match = _DATE.match(text, gap.end()) if gap else None
        return (*match.span(), 0.95) if match else None
    if _DIGIT.search(text, end, limit) is None:
        return None
    match = _DATE.search(text, end, limit)
    if match is None:
        return None
    between = text[end : match.start()]
    return (*match.span(), 0.9) if _GAP.match(between) and not _SENTENCE.search(between) else None


def dotted_labels(text: str) -> list[tuple[int, int, float]]:
    """Dates behind 'D.O.B.', which is no word."""
    found = []
    for label in _DOTTED:
        at = text.find(label)
        while at >= 0:
            end = at + len(label)
            gap = _LABEL_GAP.match(text, end + (text[end : end + 1] == "."))
            match = _DATE.match(text, gap.end()) if gap else None
            if match is not None:
                found.append((*match.span(), 0.95))
            at = text.find(label, end)
    return sorted(found)
