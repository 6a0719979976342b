"""National ids by country: a table of how they are written, and one walk that finds them all.

A number with its separators is reduced to its shape ('219-09-9999' to '999-99-9999'), and the
shapes of the table say which ids it may be; so the time does not grow with the number of
countries. An id whose check alone would let too many other numbers through counts only where its
name stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from gristmill.data.personal_data import id_checks as c
from gristmill.data.personal_data.numbers import luhn


@dataclass(frozen=True)
class IdRule:
    """One kind of id. shapes: 9 is a digit, A a capital. alone: the score of one without its
    name beside it, 0 where that does not count. words: its names, lower case."""

    country: str
    name: str
    shapes: tuple[str, ...]
    check: c.Check
    alone: float
    words: tuple[str, ...]


_TEN, _ELEVEN, _TWELVE, _THIRTEEN = "9" * 10, "9" * 11, "9" * 12, "9" * 13
_TAX: Final = ("tax", "tin")
_ID: Final = ("id number", "id no", "identity number", "id card", "national id")

RULES: Final = (
    IdRule("us", "SSN", ("999-99-9999",), c.us_ssn, 0.85, ("ssn", "social security")),
    IdRule("us", "SSN", ("999 99 9999", "999999999"), c.us_ssn, 0, ("ssn", "social security")),
    IdRule("us", "ITIN", ("999-99-9999", "999999999"), c.us_itin, 0, ("itin", "taxpayer")),
    IdRule(
        "gb", "National Insurance number",
        ("AA999999A", "AA 99 99 99 A", "AA 999999 A", "AA 999999A", "AA999999 A", "AA 99 99 99A",
         "AA99 99 99A", "AA-99-99-99-A", "AA99 99 99 A"),
        c.gb_nino, 0.9, ("national insurance", "nino", "ni number", "ni no"),
    ),
    IdRule(
        "gb", "NHS number", ("999 999 9999", "999-999-9999", _TEN), c.gb_nhs, 0,
        ("nhs",),
    ),
    IdRule("ie", "PPS number", ("9999999A", "9999999AA"), c.ie_pps, 0.6, ("pps",)),
    IdRule(
        "de", "Steuer-ID", (_ELEVEN, "99 999 999 999"), c.de_steuer_id, 0,
        ("steuer-id", "steuerid", "steueridentifikation", "identifikationsnummer", "idnr",
         "steuernummer", "steuerliche", "german tax"),
    ),
    IdRule(
        "at", "SVNR", ("9999 999999", _TEN, "9999-999999"), c.at_svnr, 0,
        ("svnr", "sv-nr", "sv-nummer", "versicherungsnummer", "sozialversicherung"),
    ),
    IdRule("ch", "AHV number", ("999.9999.9999.99", _THIRTEEN), c.ch_ahv, 0.9, ("ahv", "avs")),
    IdRule(
        "fr", "NIR", ("9 99 99 99 999 999 99", "9" * 15, "9 99 99 9A 999 999 99",
                      "9999999999999 99", "99999" + "9A" + "99999999"),
        c.fr_nir, 0.95,
        ("nir", "sécurité sociale", "securite sociale", "insee"),
    ),
    IdRule("es", "DNI", ("99999999A", "99999999-A", "99999999 A"), c.es_dni, 0.9, ("dni", "nif")),
    IdRule("es", "NIE", ("A9999999A", "A-9999999-A", "A9999999-A"), c.es_nie, 0.9, ("nie",)),
    IdRule(
        "it", "codice fiscale", ("AAAAAA99A99A999A",), c.it_codice_fiscale, 0.95,
        ("codice fiscale", "c.f."),
    ),
    IdRule(
        "pt", "NIF", ("999999999", "999 999 999"), c.pt_nif, 0,
        ("nif", "contribuinte", "número fiscal"),
    ),
    IdRule(
        "nl", "BSN", ("999999999", "9999.99.999", "9999 99 999"), c.nl_bsn, 0,
        ("bsn", "burgerservicenummer", "sofinummer", "citizen service"),
    ),
    IdRule(
        "be", "national number", ("99.99.99-999.99", "99.99.99 999 99", _ELEVEN),
        c.be_national_number, 0.9,
        ("rijksregister", "registre national", "nationaal nummer", "national number", "insz",
         "niss"),
    ),
    IdRule("pl", "PESEL", (_ELEVEN,), c.pl_pesel, 0, ("pesel",)),
    IdRule(
        "cz", "rodné číslo", ("999999/9999",), c.cz_rodne_cislo, 0.9,
        ("rodné číslo", "rodne cislo", "r.č.", "rč"),
    ),
    IdRule("ro", "CNP", (_THIRTEEN,), c.ro_cnp, 0, ("cnp", "cod numeric personal")),
    IdRule("bg", "EGN", (_TEN,), c.bg_egn, 0, ("egn", "егн")),
    IdRule("hr", "OIB", (_ELEVEN,), c.iso_7064_11_10, 0, ("oib",)),
    IdRule(
        "se", "personnummer", ("999999-9999", "999999+9999", "99999999-9999"),
        c.se_personnummer, 0.8, ("personnummer", "personal identity", "pnr"),
    ),
    IdRule(
        "fi", "henkilötunnus",
        ("999999-999A", "999999-9999", "999999A999A", "999999A9999", "999999+999A"),
        c.fi_hetu, 0.9, ("hetu", "henkilötunnus", "personal identity"),
    ),
    IdRule(
        "dk", "CPR", ("999999-9999",), c.dk_cpr, 0, ("cpr", "personnummer"),
    ),
    IdRule(
        "no", "fødselsnummer", (_ELEVEN, "999999 99999"), c.no_fodselsnummer, 0.8,
        ("fødselsnummer", "personnummer", "fnr"),
    ),
    IdRule("ee", "isikukood", (_ELEVEN,), c.baltic_code, 0, ("isikukood",)),
    IdRule("lt", "asmens kodas", (_ELEVEN,), c.baltic_code, 0, ("asmens kod",)),
    IdRule("gr", "AMKA", (_ELEVEN,), c.gr_amka, 0, ("amka", "αμκα")),
    IdRule(
        "tr", "kimlik no", (_ELEVEN,), c.tr_kimlik, 0,
        ("kimlik", "tckn", "t.c.", "tc no"),
    ),
    IdRule(
        "il", "teudat zehut", ("999999999", "99999999-9", "9-9999999-9"), luhn, 0,
        ("teudat zehut", "israeli id", *_ID),
    ),
    IdRule("za", "identity number", (_THIRTEEN, "999999 9999 99 9"), c.za_id, 0.7, _ID),
    IdRule(
        "in", "Aadhaar", ("9999 9999 9999", "9999-9999-9999", _TWELVE), c.in_aadhaar, 0,
        ("aadhaar", "aadhar", "uidai", "uid"),
    ),
    IdRule("in", "PAN", ("AAAAA9999A",), c.in_pan, 0.8, ("pan",)),
    IdRule(
        "cn", "resident id", ("9" * 18, "9" * 17 + "A"), c.cn_resident_id, 0.95,
        ("身份证", "resident id"),
    ),
    IdRule("hk", "HKID", ("A999999(9)", "A999999(A)"), c.hk_id, 0.95, ("hkid",)),
    IdRule("tw", "national id", ("A999999999",), c.tw_id, 0.7, ("身分證", *_ID)),
    IdRule("kr", "RRN", ("999999-9999999",), c.kr_rrn, 0.9, ("주민등록번호", "rrn")),
    IdRule("sg", "NRIC", ("A9999999A",), c.sg_nric, 0.9, ("nric", "fin")),
    IdRule("my", "MyKad", ("999999-99-9999",), c.my_kad, 0.7, ("mykad", "nric", "kad")),
    IdRule(
        "th", "national id", (_THIRTEEN, "9-9999-99999-99-9", "9 9999 99999 99 9"), c.th_id, 0,
        ("เลขประจำตัวประชาชน", "thai id", *_ID),
    ),
    IdRule("br", "CPF", ("999.999.999-99",), c.br_cpf, 0.95, ("cpf",)),
    IdRule("br", "CPF", (_ELEVEN,), c.br_cpf, 0, ("cpf",)),
    IdRule("mx", "CURP", ("AAAA999999AAAAAA99", "AAAA999999AAAAAAA9"), c.mx_curp, 0.95, ("curp",)),
    IdRule("ar", "CUIL", ("99-99999999-9",), c.ar_cuil, 0.9, ("cuil", "cuit")),
    IdRule(
        "cl", "RUT", ("99.999.999-9", "99.999.999-A", "9.999.999-9", "9.999.999-A",
                      "99999999-9", "99999999-A"),
        c.cl_rut, 0, ("rut", "run"),
    ),
    IdRule("ec", "cédula", (_TEN, "999999999-9"), c.ec_cedula, 0, ("cédula", "cedula")),
    IdRule(
        "ca", "SIN", ("999 999 999", "999-999-999", "999999999"), c.ca_sin, 0,
        ("sin", "social insurance"),
    ),
    IdRule("au", "TFN", ("999 999 999", "999999999"), c.au_tfn, 0, ("tfn", "tax file")),
    IdRule("au", "Medicare", ("9999 99999 9", _TEN), c.au_medicare, 0, ("medicare",)),
    IdRule("nz", "IRD", ("99-999-999", "999-999-999", "99999999", "999999999"), c.nz_ird, 0,
           ("ird",)),
    IdRule(
        "jp", "My Number", (_TWELVE, "9999 9999 9999", "9999-9999-9999"), c.jp_my_number, 0,
        ("my number", "マイナンバー", "個人番号"),
    ),
    IdRule("ru", "SNILS", ("999-999-999 99", _ELEVEN), c.ru_snils, 0, ("снилс", "snils")),
    IdRule("ru", "INN", (_TWELVE,), c.ru_inn, 0, ("инн", "inn")),
    IdRule("ua", "RNOKPP", (_TEN,), c.ua_rnokpp, 0, ("рнокпп", "іпн", "rnokpp", "tax number")),
    IdRule("id", "NIK", ("9" * 16,), c.id_nik, 0, ("nik",)),
)  # fmt: skip

COUNTRIES: Final = tuple(sorted({rule.country for rule in RULES}))

# Groups with single separators, from a digit on. Shorter ones hold no id: 'ABCPK1234L' has five
# characters from its first digit on, and what has no capitals before it at least eight.
_REGION: Final = re.compile(r"[0-9][0-9A-Z]*+(?:[ .\-/(+\u00a0\u202f][0-9A-Z]++)*+\)?")
_SHORTEST, _SHORTEST_BEHIND_CAPITALS = 8, 5
# Where the next group begins.
_NEXT: Final = re.compile(r"(?<=[^9A])[9A]")
_TO_SHAPE: Final = str.maketrans(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\u00a0\u202f", "9" * 10 + "A" * 26 + "  "
)
# How far a name may stand before and behind its id.
_BEFORE, _BEHIND = 48, 24


@dataclass(frozen=True)
class _Table:
    rules: dict[str, tuple[IdRule, ...]]
    """By shape."""
    any_shape: Any
    """One automaton for all shapes (RE2): the leftmost and longest in a shape's bytes."""


@lru_cache(maxsize=8)
def _table(countries: frozenset[str]) -> _Table:
    import re2

    rules: dict[str, tuple[IdRule, ...]] = {}
    for rule in RULES:
        if rule.country in countries:
            for shape in rule.shapes:
                rules[shape] = (*rules.get(shape, ()), rule)
    options = re2.Options()
    options.longest_match = True
    pattern = "|".join(re2.escape(shape) for shape in sorted(rules)) or "$."
    return _Table(rules, re2.compile(pattern.encode(), options))


def national_ids(
    text: str, countries: Collection[str] = COUNTRIES
) -> Iterator[tuple[int, int, float]]:
    """(start, end, score) of the ids of these countries, from left to right.

    Each group of digits is looked at once as the first of an id, against shapes of bounded length:
    the time is linear in the text.
    """
    table = _table(frozenset(countries))
    labels = _Labels(text, table)
    search = table.any_shape.search
    done = 0
    for region in _REGION.finditer(text):
        begin, stop = region.span()
        capital = begin > 0 and "A" <= text[begin - 1] <= "Z"
        if stop - begin < (_SHORTEST_BEHIND_CAPITALS if capital else _SHORTEST):
            continue
        begin = _with_capitals(text, begin, done)
        shape = text[begin:stop].translate(_TO_SHAPE)
        data = shape.encode()
        at = 0
        while (match := search(data, at)) is not None:
            first, last = match.span()
            rules = labels.rules(shape[first:last])
            found = _id_at(text, begin + first, begin + last, rules, labels) if rules else None
            if found is not None:
                yield found
                at, done = last, begin + last
            elif (following := _NEXT.search(shape, first + 1)) is not None:
                at = following.start()
            else:
                break


def _with_capitals(text: str, digit: int, floor: int) -> int:
    """Where an id may begin whose first digit is at `digit`: there, or at capitals before it."""
    start = digit
    while start > max(floor, digit - 7) and "A" <= text[start - 1] <= "Z":
        start -= 1
    if start == digit and start >= floor + 2 and text[digit - 1] in " -\u00a0":
        # 'AB 12 34 56 C', 'X-1234567-L'
        start -= 1
        while start > max(floor, digit - 3) and "A" <= text[start - 1] <= "Z":
            start -= 1
        return start if start < digit - 1 else digit
    return start


def _id_at(
    text: str, start: int, end: int, rules: tuple[IdRule, ...], labels: _Labels
) -> tuple[int, int, float] | None:
    if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        return None
    if start > 1 and text[start - 1] in "-./+" and text[start - 2].isalnum():
        return None
    if not _ends(text, end):
        return None
    bare = "".join(sign for sign in text[start:end] if sign.isalnum())
    for rule in rules:
        if rule.check(bare):
            if labels.near(start, end, rule.words):
                return start, end, 1.0
            if rule.alone:
                return start, end, rule.alone
    return None


def _ends(text: str, end: int) -> bool:
    after, next_one = text[end : end + 1], text[end + 1 : end + 2]
    if after.isalnum() or after == "_":
        return False
    return not (after in "-+./" and after and next_one.isdigit())


class _Labels:
    """Names of ids in a text: most texts have none, and are asked once for each."""

    def __init__(self, text: str, table: _Table):
        self._text = text
        self._table = table
        self._lower: str | None = None
        self._known: dict[tuple[str, ...], bool] = {}
        self._rules: dict[str, tuple[IdRule, ...]] = {}

    def rules(self, shape: str) -> tuple[IdRule, ...]:
        """The rules of a shape that can hold in this text: without its name, some cannot."""
        found = self._rules.get(shape)
        if found is None:
            found = tuple(
                rule
                for rule in self._table.rules[shape]
                if rule.alone or self.somewhere(rule.words)
            )
            self._rules[shape] = found
        return found

    def somewhere(self, words: tuple[str, ...]) -> bool:
        """Whether one of `words` stands in the text at all."""
        known = self._known.get(words)
        if known is None:
            if self._lower is None:
                self._lower = self._text.lower()
            known = self._known[words] = any(word in self._lower for word in words)
        return known

    def near(self, start: int, end: int, words: tuple[str, ...]) -> bool:
        """Whether one of `words` stands shortly before text[start:end], or behind it."""
        if not self.somewhere(words):
            return False
        before = self._text[max(0, start - _BEFORE) : start].lower()
        behind = self._text[end : end + _BEHIND].lower()
        return any(_has_word(before, word) or _has_word(behind, word) for word in words)


def _has_word(text: str, word: str) -> bool:
    at = text.find(word)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(word) : at + len(word) + 1]
        # 'Steueridentifikationsnummer' begins with its word, 'pan' must not be in 'company'.
        if not before.isalpha() and (len(word) > 5 or not after.isalpha()):
            return True
        at = text.find(word, at + 1)
    return False
