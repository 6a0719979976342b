"""Check digits and number plans: what tells personal numbers from other digits."""

from __future__ import annotations

from typing import Final

# Digits after the country code, longest first; where a country is missing, 6 to 12.
NATIONAL_DIGITS: Final = {
    "1": (10,), "7": (10,), "20": (10, 9), "27": (9,), "30": (10,), "31": (9,), "32": (9, 8),
    "33": (9,), "34": (9,), "36": (9, 8), "39": (11, 10, 9, 8), "40": (9,), "41": (9,),
    "44": (10, 9), "45": (8,), "46": (9, 8, 7), "47": (8,), "48": (9,), "52": (10,),
    "55": (11, 10), "61": (9,), "64": (10, 9, 8), "81": (10, 9), "82": (10, 9), "86": (11, 10),
    "91": (10,), "351": (9,), "353": (9, 8, 7), "358": (10, 9, 8, 7), "420": (9,),
}  # fmt: skip

# ISO 13616, the IBAN registry: the whole length by country.
IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20,
    "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18,
    "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30,
    "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24,
    "ME": 22, "MK": 19, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "TN": 24, "TR": 26, "UA": 29, "XK": 20,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """The check of payment cards (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) << (position & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_length_fits(digits: str) -> bool:
    """Whether a network issues cards with this beginning and length."""
    two, four = int(digits[:2]), int(digits[:4])
    length = len(digits)
    if digits[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two in (36, 38, 39) or 300 <= int(digits[:3]) <= 305:
        return length in (14, 16, 17, 18, 19)
    # Discover, JCB, Maestro and UnionPay.
    return length in range(16, 20) and (two in (35, 50, 60, 62, 64, 65) or 56 <= two <= 58)


def iban_check(iban: str) -> bool:
    """The check of an IBAN without spaces (ISO 7064, modulus 97)."""
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def national_length(international: str) -> tuple[int, tuple[int, ...]]:
    """For the digits after '+': the length of the country code and the possible lengths of the
    rest; a code that is not listed counts as two digits."""
    for length in (1, 2, 3):
        code = international[:length]
        if code in NATIONAL_DIGITS:
            return length, NATIONAL_DIGITS[code]
    return 2, tuple(range(12, 5, -1))


def spanish_id_check(digits: str, letter: str) -> bool:
    """The check letter of a DNI (8 digits modulus 23)."""
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == letter.upper()


def french_id_check(digits: str) -> bool:
    """The two check digits of a French NIR (13 digits, 97 minus modulus 97)."""
    return 97 - int(digits[:13]) % 97 == int(digits[13:])
