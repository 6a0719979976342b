"""Invented personal data in natural sentences, and sentences that only look like it.

Telephone numbers come from the ranges that regulators keep for fiction (FCC 555-01xx, Ofcom's drama
numbers, Arcep's 01 99 00), mail addresses from reserved domains (RFC 2606), card numbers from the
makers' test prefixes with a valid Luhn digit; IBANs have valid check digits (ISO 13616).
"""

from __future__ import annotations

import random
from collections.abc import Callable

Span = tuple[str, str]  # (kind, value as it stands in the text)

FIRST_NAMES = (
    "Marta", "Ilse", "Tomasz", "Priya", "Owen", "Leila", "Bruno", "Hannah", "Kwame", "Sofia",
    "Anton", "Grace", "Yusuf", "Clara", "Dmitri", "Noor", "Felix", "Amara", "Jonas", "Ruth",
)  # fmt: skip
LAST_NAMES = (
    "Keller", "Okafor", "Lindqvist", "Moreau", "Tanaka", "Brandt", "Sørensen", "Castell", "Whitlow",
    "Adeyemi", "Novak", "Pereira", "Hargrove", "Yilmaz", "Duval", "Ashworth", "Kovacs", "Ferreira",
)  # fmt: skip
TOWNS = (
    "Willowbrook", "Harrowgate Mill", "Eastmere", "Stonebridge", "Little Fenwick", "Oakhollow",
    "Marlow Cross", "Kingsferry", "Ravenscombe", "Northwick",
)  # fmt: skip
_MAIL_HOSTS = (
    "posteo.example", "mail.willowbrook.example", "kestrel-post.example.net", "example.com",
    "letters.example.org", "eastmere-council.example", "unimail.example",
)  # fmt: skip


def _ascii(name: str) -> str:
    return name.lower().replace("ø", "o").replace(" ", "")


def email(r: random.Random) -> str:
    """Varied local parts: dots, initials, digits, plus tags, underscores, capitals."""
    first, last = _ascii(r.choice(FIRST_NAMES)), _ascii(r.choice(LAST_NAMES))
    local = r.choice(
        (
            f"{first}.{last}", f"{first[0]}.{last}", f"{first}{r.randint(10, 99)}",
            f"{first}_{last}", f"{last}+{r.choice(('club', 'news', 'post'))}",
            f"{first.title()}.{last.title()}", f"{first}-{last}{r.randint(1, 9)}", last,
        )
    )  # fmt: skip
    return f"{local}@{r.choice(_MAIL_HOSTS)}"


def phone(r: random.Random) -> str:
    """National and international spellings of five countries."""
    us, uk, mobile = r.randint(100, 199), r.randint(0, 999), r.randint(0, 999)
    a, b = r.randint(0, 99), r.randint(0, 99)
    area = r.choice((202, 312, 415, 617, 713))
    return r.choice(
        (
            f"({area}) 555-0{us}", f"+1 {area}-555-0{us}", f"{area}-555-0{us}",
            f"+1 ({area}) 555-0{us}", f"{area}.555.0{us}",
            f"020 7946 0{uk:03}", f"+44 20 7946 0{uk:03}", f"07700 900{mobile:03}",
            f"+44 7700 900{mobile:03}", f"01 99 00 {a:02} {b:02}", f"+33 1 99 00 {a:02} {b:02}",
            f"+49 30 23125 {uk:03}", f"(02) 5550 {r.randint(1000, 9999)}",
        )
    )  # fmt: skip


def ip(r: random.Random) -> str:
    """A public IPv4 address, one time in eight an IPv6 address."""
    if r.random() < 0.125:
        groups = ":".join(f"{r.randint(1, 0xFFFF):x}" for _ in range(5))
        return f"2a01:{r.randint(0x100, 0xFFFF):x}:{groups}:{r.randint(1, 0xFFFF):x}"
    first = r.choice((62, 78, 81, 84, 91, 93, 109, 145, 178, 185, 193, 212))
    return f"{first}.{r.randint(1, 254)}.{r.randint(0, 254)}.{r.randint(1, 254)}"


def luhn_digit(digits: str) -> str:
    """The check digit that makes `digits` + digit valid (ISO/IEC 7812-1)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card(r: random.Random, valid: bool = True) -> str:
    """A card number in groups, with dashes or in one piece; `valid=False` breaks its check."""
    prefix, length = r.choice((("424242", 16), ("411111", 16), ("555555", 16), ("378282", 15)))
    body = prefix + "".join(str(r.randint(0, 9)) for _ in range(length - 1 - len(prefix)))
    check = luhn_digit(body)
    if not valid:
        check = str((int(check) + r.randint(1, 9)) % 10)
    number = body + check
    separator = r.choice((" ", " ", "-", ""))
    if length == 15:
        return separator.join((number[:4], number[4:10], number[10:]))
    return separator.join(number[i : i + 4] for i in range(0, 16, 4))


_IBAN_LENGTHS = {"DE": 18, "FR": 23, "NL": 14, "ES": 20, "GB": 18}


def iban(r: random.Random, valid: bool = True) -> str:
    """An IBAN, printed in groups of four or in one piece; `valid=False` breaks its check."""
    country = r.choice(sorted(_IBAN_LENGTHS))
    bank = {"NL": "GRMB", "GB": "GRML"}.get(country, "")
    digits = "".join(str(r.randint(0, 9)) for _ in range(_IBAN_LENGTHS[country] - len(bank)))
    body = bank + digits
    as_number = "".join(str(int(c, 36)) for c in body + country + "00")
    check = 98 - int(as_number) % 97
    if not valid:
        check = check % 97 + 2 if check < 60 else check - 30
    whole = f"{country}{check:02}{body}"
    if r.random() < 0.3:
        return whole
    return " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))


_MAKERS: dict[str, Callable[[random.Random], str]] = {
    "email": email, "phone": phone, "ip": ip, "card": card, "iban": iban,
}  # fmt: skip
KINDS = tuple(_MAKERS)
_WEIGHTS = (34, 30, 12, 12, 12)

_SENTENCES = {
    "email": (
        "Corrections to this page reach {name} at {value}.",
        "Write to {value} if you would like to join the next walk.",
        "The archive is looked after by {name} ({value}), who answers most questions.",
        "Please send your photographs to <{value}> before the end of the month.",
        "{name} can be reached under {value}, or in person on market days.",
    ),
    "phone": (
        "{name} answers the telephone on weekday mornings: {value}.",
        "Call {value} and ask for {name}.",
        "Tickets can be ordered by phone ({value}) until Friday noon.",
        "If the gate is locked, ring {name} on {value}; the key hangs in the shed.",
        "Tel. {value}, after six in the evening, please.",
    ),
    "ip": (
        "The last edit of this paragraph came from {value}, an address in {town}.",
        "{name} still runs the old message board on {value} at home.",
        "Somebody connecting from {value} voted four times in our reader poll.",
    ),
    "card": (
        "By mistake the first issue printed the card number of {name}, {value}, in full.",
        "{name} paid the deposit with card {value} and has not seen the money since.",
        "The receipt shows that {value} was charged twice, says {name}.",
    ),
    "iban": (
        "Donations for the new roof go to {value}, account holder {name}.",
        "Members pay their yearly fee to IBAN {value} by the end of March.",
        "{name} asks that the refund be sent to {value}.",
    ),
}

_NEAR_MISSES = (
    lambda r: (
        f"The handbook has the ISBN 978-0-{r.randint(100000, 999999)}-{r.randint(10, 99)}-"
        f"{r.randint(0, 9)} and is out of print."
    ),
    lambda r: (
        f"The catalogue was last built with version {r.randint(2, 12)}.{r.randint(0, 30)}."
        f"{r.randint(0, 20)} of the press software."
    ),
    lambda r: (
        f"The exhibition runs from {r.randint(1, 28):02}.{r.randint(1, 12):02}.20"
        f"{r.randint(10, 24)} and closes before the winter."
    ),
    lambda r: (
        f"The record was entered on 20{r.randint(10, 24)}-{r.randint(1, 12):02}-"
        f"{r.randint(1, 28):02} under number {r.randint(100, 999)}-{r.randint(10, 99)}."
    ),
    lambda r: (
        f"The printer in the reading room answers on 192.168.{r.randint(0, 9)}."
        f"{r.randint(2, 250)} inside the house only."
    ),
    lambda r: (
        f"The journal has the ISSN {r.randint(1000, 9999)}-{r.randint(1000, 9999)} and "
        "appears twice a year."
    ),
    lambda r: (
        f"The parcel had the tracking number {card(r, valid=False).replace('-', ' ')} and "
        "came a week late."
    ),
    lambda r: (
        f"The sum of {r.randint(1, 9)} {r.randint(100, 999)} {r.randint(100, 999)} was "
        "collected over ten years."
    ),
    lambda r: (
        f"The trail starts at {r.randint(40, 59)}.{r.randint(1000, 9999)} north, "
        f"{r.randint(1, 9)}.{r.randint(1000, 9999)} east, behind the mill."
    ),
    lambda r: f"The old form {iban(r, valid=False)} was a misprint, and no such account exists.",
    lambda r: f"Follow the project as @{_ascii(r.choice(TOWNS))}_archive on the usual networks.",
    lambda r: (
        f"The match ended {r.randint(0, 9)}-{r.randint(0, 9)} after scores of "
        f"{r.randint(100, 450)}-{r.randint(100, 450)}-{r.randint(10, 99)} in the earlier rounds."
    ),
    lambda r: (
        f"The wars of {r.randint(1700, 1799)}-{r.randint(1800, 1899)} and of 1914-1918 are "
        "treated on other pages."
    ),
    lambda r: (
        f"The net mask 255.255.255.0 belongs to the router model {r.randint(10, 99)}-"
        f"{r.randint(1000, 9999)}-{r.randint(10, 99)}."
    ),
)


def sentence(r: random.Random, kind: str | None = None) -> tuple[str, list[Span]]:
    """A sentence that holds one invented value, and that value."""
    chosen = kind or r.choices(KINDS, _WEIGHTS)[0]
    value = _MAKERS[chosen](r)
    name = f"{r.choice(FIRST_NAMES)} {r.choice(LAST_NAMES)}"
    text = r.choice(_SENTENCES[chosen]).format(value=value, name=name, town=r.choice(TOWNS))
    return text, [(chosen, value)]


def paragraph(r: random.Random) -> tuple[str, list[Span]]:
    """One or two sentences with values, at times a third that only looks like it."""
    parts = [sentence(r) for _ in range(r.choice((1, 1, 2)))]
    texts = [text for text, _ in parts]
    if r.random() < 0.25:
        texts.insert(r.randrange(len(texts) + 1), near_miss(r))
    return " ".join(texts), [span for _, spans in parts for span in spans]


def near_miss(r: random.Random) -> str:
    """A sentence with numbers or signs that a careless rule takes for personal data."""
    return r.choice(_NEAR_MISSES)(r)
