"""The search for IP addresses around their dots and colons, beside the search at each character."""

from __future__ import annotations

import random

from gristmill.data.personal_data import find

_TEXTS = [
    "192.168.1.10 and 8.8.8.8, v1.2.3.4 1.2.3.4.5 .1.2.3.4 12345.1.2.3 x1.2.3.4 1.2.3.4",
    "2001:db8::1 fe80::1%eth0 ::1 :: std::vector a::b::c 1:2:3:4:5:6:7:8 10:20:30 12:30",
    "1:2:3:4:5:6:7:8:9 abcde::1 é::1 ::ffff:1.2.3.4 2001:db8::1:2001:db8::2",
]


def test_finds_what_a_search_at_each_character_finds() -> None:
    r = random.Random(3)
    texts = list(_TEXTS)
    for letters in ("0019af:::::....g é-_\n٣2", "01.:"):
        texts += ["".join(r.choices(letters, k=r.randrange(40))) for _ in range(5000)]
    found = 0
    for text in texts:
        for middle, signs, most, whole in (
            (find._DOTS, find._DIGITS, 3, find._IPV4),
            (find._COLONS, find._HEX, 4, find._IPV6),
        ):
            wanted = [match.span() for match in whole.finditer(text)]
            around = find._around(text, middle, signs, most, whole)
            assert [match.span() for match in around] == wanted, text
            found += len(wanted)
    assert found > 1000
