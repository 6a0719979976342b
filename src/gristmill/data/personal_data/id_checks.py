"""The check digits and inner dates of national ids: what tells an id from any other number.

Each check takes the bare id (capitals and digits, no separators) and says whether it can be one.
The rules are those that the issuing offices publish; where an office publishes none, the inner date
is what can be checked.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Final

from gristmill.data.personal_data.numbers import (
    french_id_check,
    luhn,
    spanish_id_check,
)

Check = Callable[[str], bool]


def weighted(value: str, weights: Sequence[int]) -> int:
    """The sum of digits times weights; further digits do not count."""
    return sum(int(digit) * weight for digit, weight in zip(value, weights, strict=False))


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day; a year of two digits may be of any century."""
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return False
    if year < 100:
        # 2000 is a leap year, and one of the centuries of every 'yy' that has a 29 February.
        year += 2000
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def yymmdd(value: str, month_offsets: Sequence[int] = (0,)) -> bool:
    """A date as yymmdd; some countries add to the month for sex or century."""
    year, month, day = int(value[:2]), int(value[2:4]), int(value[4:6])
    return any(is_date(year, month - offset, day) for offset in month_offsets)


def ddmmyy(value: str) -> bool:
    return is_date(int(value[4:6]), int(value[2:4]), int(value[:2]))


def iso_7064_11_10(value: str) -> bool:
    """The hybrid system modulus 11, 10 (ISO 7064): Germany, Croatia."""
    product = 10
    for digit in value[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(value[-1])


# Verhoeff 1969: multiplication in the dihedral group D5 and the permutation of positions.
_D5: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTATION: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(value: str) -> bool:
    """The check of Indian Aadhaar numbers: finds every swap of neighbours."""
    state = 0
    for position, digit in enumerate(reversed(value)):
        state = int(_D5[state][int(_PERMUTATION[position % 8][int(digit)])])
    return state == 0


def us_ssn(value: str) -> bool:
    """Areas 000, 666 and 900 and up, group 00 and serial 0000 were never given out."""
    area, group, serial = value[:3], value[3:5], value[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def us_itin(value: str) -> bool:
    group = int(value[3:5])
    return value[0] == "9" and (50 <= group <= 65 or 70 <= group <= 99) and group not in (89, 93)


def gb_nino(value: str) -> bool:
    first, second, last = value[0], value[1], value[-1]
    return (
        first not in "DFIQUV"
        and second not in "DFIQUVO"
        and value[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")
        and last in "ABCD"
    )


def gb_nhs(value: str) -> bool:
    return (11 - weighted(value, range(10, 1, -1)) % 11) % 11 == int(value[-1])


def ie_pps(value: str) -> bool:
    letters = "WABCDEFGHIJKLMNOPQRSTUV"
    second = letters.find(value[8:9]) if len(value) > 8 else 0
    return letters[(weighted(value[:7], range(8, 1, -1)) + 9 * second) % 23] == value[7]


def de_steuer_id(value: str) -> bool:
    """One digit of the first ten stands there two or three times, and no other one twice."""
    counts = sorted(value[:10].count(digit) for digit in set(value[:10]))
    return value[0] != "0" and counts[-1] in (2, 3) and counts[-2] == 1 and iso_7064_11_10(value)


def at_svnr(value: str) -> bool:
    total = weighted(value, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11
    month, day = int(value[6:8]), int(value[4:6])
    return value[0] != "0" and total == int(value[3]) and 1 <= day <= 31 and 1 <= month <= 15


def ean_13(value: str) -> bool:
    return (10 - weighted(value, (1, 3) * 6) % 10) % 10 == int(value[-1])


def ch_ahv(value: str) -> bool:
    return value.startswith("756") and ean_13(value)


def fr_nir(value: str) -> bool:
    """Corsica's departments count as 19 and 18."""
    value = value.replace("2A", "19").replace("2B", "18")
    month = int(value[3:5]) if value.isdigit() else 0
    return value[0] in "12" and 1 <= month <= 12 and french_id_check(value)


def es_dni(value: str) -> bool:
    return spanish_id_check(value[:8], value[8])


def es_nie(value: str) -> bool:
    return value[0] in "XYZ" and spanish_id_check(str("XYZ".find(value[0])) + value[1:8], value[8])


_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11,
         3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def it_codice_fiscale(value: str) -> bool:
    total = 0
    for position, character in enumerate(value[:15]):
        if position % 2 == 0:
            total += _ODD[character]
        else:
            total += int(character) if character.isdigit() else ord(character) - ord("A")
    return (
        value[8] in "ABCDEHLMPRST"
        and 1 <= int(value[9:11]) % 40 <= 31
        and chr(ord("A") + total % 26) == value[15]
    )


def pt_nif(value: str) -> bool:
    """Numbers of persons begin with 1, 2 or 3."""
    check = 11 - weighted(value, range(9, 1, -1)) % 11
    return value[0] in "123" and (0 if check > 9 else check) == int(value[-1])


def nl_bsn(value: str) -> bool:
    return int(value) > 0 and weighted(value, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def be_national_number(value: str) -> bool:
    """For who was born from 2000 on a 2 is put before the number."""
    body, check = value[:9], int(value[9:])
    return yymmdd(value, (0, 20, 40)) and check in (
        97 - int(body) % 97,
        97 - int("2" + body) % 97,
    )


def pl_pesel(value: str) -> bool:
    check = (10 - weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10
    return check == int(value[-1]) and yymmdd(value, (0, 20, 40, 60, 80))


def cz_rodne_cislo(value: str) -> bool:
    number = int(value)
    sound = number % 11 == 0 or (int(value[:9]) % 11 == 10 and value[9] == "0")
    return sound and yymmdd(value, (0, 20, 50, 70))


def ro_cnp(value: str) -> bool:
    check = weighted(value, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (
        value[0] in "12345678"
        and yymmdd(value[1:])
        and (check % 10 + check // 10) == int(value[-1])
    )


def bg_egn(value: str) -> bool:
    check = weighted(value, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return check == int(value[-1]) and yymmdd(value, (0, 20, 40))


def se_personnummer(value: str) -> bool:
    """Coordination numbers have 60 added to the day."""
    value = value[-10:]
    day = int(value[4:6]) % 60
    return luhn(value) and is_date(int(value[:2]), int(value[2:4]), day)


def fi_hetu(value: str) -> bool:
    # The sign of the century is a separator or a letter; the last character is the check.
    digits = "".join(character for character in value[:-1] if character.isdigit())
    return (
        len(digits) == 9
        and ddmmyy(digits)
        and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == value[-1]
    )


def dk_cpr(value: str) -> bool:
    """Since 2007 numbers are given out that fail the old check, so that the date must do."""
    return ddmmyy(value)


def no_fodselsnummer(value: str) -> bool:
    first = (11 - weighted(value, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11) % 11
    second = (11 - weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    day = int(value[:2]) % 40
    return (
        first == int(value[9])
        and second == int(value[10])
        and is_date(int(value[4:6]), int(value[2:4]), day)
    )


def baltic_code(value: str) -> bool:
    """Estonia and Lithuania."""
    check = weighted(value, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(value, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return value[0] in "123456" and yymmdd(value[1:]) and check == int(value[-1])


def gr_amka(value: str) -> bool:
    return ddmmyy(value) and luhn(value)


def tr_kimlik(value: str) -> bool:
    digits = [int(digit) for digit in value]
    return (
        digits[0] > 0
        and (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10 == digits[9]
        and sum(digits[:10]) % 10 == digits[10]
    )


def za_id(value: str) -> bool:
    return yymmdd(value) and value[10] in "012" and luhn(value)


def in_aadhaar(value: str) -> bool:
    return value[0] not in "01" and verhoeff(value)


def in_pan(value: str) -> bool:
    """The fourth letter says who holds it: P is a person."""
    return value[3] == "P" and value[5:9] != "0000"


def cn_resident_id(value: str) -> bool:
    total = weighted(value[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    year, month, day = int(value[6:10]), int(value[10:12]), int(value[12:14])
    return (
        "10X98765432"[total % 11] == value[17] and 1880 < year < 2100 and is_date(year, month, day)
    )


def hk_id(value: str) -> bool:
    total = 36 * 9 + (ord(value[0]) - 55) * 8 + weighted(value[1:7], range(7, 1, -1))
    last = 10 if value[7] == "A" else int(value[7]) if value[7].isdigit() else -1
    return last >= 0 and (total + last) % 11 == 0


def tw_id(value: str) -> bool:
    code = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".find(value[0])
    total = code // 10 + 9 * (code % 10) + weighted(value[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))
    return value[1] in "1289" and total % 10 == 0


def kr_rrn(value: str) -> bool:
    check = (11 - weighted(value, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return yymmdd(value) and check == int(value[-1])


def sg_nric(value: str) -> bool:
    total = weighted(value[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if value[0] in "TG" else 0)
    letters = "JZIHGFEDCBA" if value[0] in "ST" else "XWUTRQPNMLK"
    return value[0] in "STFG" and letters[total % 11] == value[8]


def my_kad(value: str) -> bool:
    return yymmdd(value) and value[6:8] not in ("00", "17", "18", "19", "20", "69", "70")


def th_id(value: str) -> bool:
    return value[0] != "0" and (11 - weighted(value, range(13, 1, -1)) % 11) % 10 == int(value[-1])


def br_cpf(value: str) -> bool:
    if len(set(value)) == 1:
        return False
    first = weighted(value[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(value[:10], range(11, 1, -1)) * 10 % 11 % 10
    return value[9:] == f"{first}{second}"


def mx_curp(value: str) -> bool:
    letters = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(
        letters.find(character) * weight
        for character, weight in zip(value[:17], range(18, 1, -1), strict=True)
    )
    return value[10] in "HMX" and yymmdd(value[4:]) and (10 - total % 10) % 10 == int(value[17])


def ar_cuil(value: str) -> bool:
    """20, 23, 24 and 27 stand for persons."""
    check = 11 - weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return value[:2] in ("20", "23", "24", "27") and {11: 0, 10: 9}.get(check, check) == int(
        value[-1]
    )


def cl_rut(value: str) -> bool:
    total = weighted(value[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3, 4))
    return "0123456789K0"[(11 - total % 11)] == value[-1]


def ec_cedula(value: str) -> bool:
    return 1 <= int(value[:2]) <= 24 and value[2] < "6" and luhn(value)


def ca_sin(value: str) -> bool:
    return value[0] not in "08" and luhn(value)


def au_tfn(value: str) -> bool:
    return weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def au_medicare(value: str) -> bool:
    return value[0] in "23456" and weighted(value, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(value[8])


def nz_ird(value: str) -> bool:
    body = value[:-1].zfill(8)
    for weights in ((3, 2, 7, 6, 5, 4, 3, 2), (7, 4, 3, 2, 5, 2, 7, 6)):
        check = (11 - weighted(body, weights) % 11) % 11
        if check < 10:
            return check == int(value[-1])
    return False


def jp_my_number(value: str) -> bool:
    rest = weighted(value[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)) % 11
    return (0 if rest <= 1 else 11 - rest) == int(value[-1])


def ru_snils(value: str) -> bool:
    return weighted(value, range(9, 0, -1)) % 101 % 100 == int(value[9:])


def ru_inn(value: str) -> bool:
    first = weighted(value, (7, 2, 4, 10, 3, 5, 9, 4, 6, 8)) % 11 % 10
    second = weighted(value, (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)) % 11 % 10
    return value[10:] == f"{first}{second}"


def ua_rnokpp(value: str) -> bool:
    return weighted(value, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10 == int(value[-1])


def id_nik(value: str) -> bool:
    """Women have 40 added to the day."""
    return is_date(int(value[10:12]), int(value[8:10]), int(value[6:8]) % 40)
