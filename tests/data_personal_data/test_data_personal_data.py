"""Personal data by hand-made examples, look-alikes, invented paragraphs and hostile text."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.data.personal_data.find import FINDERS, find
from gristmill.data.personal_data.mask import mask, remove, to_json
from gristmill.data.personal_data.numbers import iban_check, luhn
from gristmill.data.sample_web import personal

# Those that are told by their form alone; words are another file's.
KINDS = ("email", "phone", "ip", "card", "iban", "national_id")


def found(text: str, **options: bool) -> list[tuple[str, str]]:
    spans = find(text, KINDS, **options)
    assert all(text[span.start : span.end] == span.value for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    return [(span.kind, span.value) for span in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail <jo.b+x_1%y@a-b.co.uk>.", [("email", "jo.b+x_1%y@a-b.co.uk")]),
        ("(mail: .ann@example.com, ok)", [("email", "ann@example.com")]),
        ("a@b, @name, a@b.c, a@b..com, x@1.2, a.@b.com", []),
        (
            "two@a.example;three@b.example",
            [("email", "two@a.example"), ("email", "three@b.example")],
        ),
        ("Call +44 20 7946 0123 2019 times", [("phone", "+44 20 7946 0123")]),
        (
            "+1 (202) 555-0143, (312) 555-0199",
            [("phone", "+1 (202) 555-0143"), ("phone", "(312) 555-0199")],
        ),
        ("+44 (0)20 7946 0123", [("phone", "+44 (0)20 7946 0123")]),
        (
            "or 01 99 00 12 34 or 01.99.00.12.34",
            [("phone", "01 99 00 12 34"), ("phone", "01.99.00.12.34")],
        ),
        ("phone: 5550123456", [("phone", "5550123456")]),
        ("Tel (11) 4444-5555", [("phone", "(11) 4444-5555")]),
        ("born 01/02/1990 - 03.04.2010; 1914-1918; 2 000 000 000", []),
        ("ISBN 978-0-306-40615-7, ISSN 1234-5678, 299-371-95", []),
        ("4111 1111 1111 1111", [("card", "4111 1111 1111 1111")]),
        ("3782-822463-10005", [("card", "3782-822463-10005")]),
        ("4111 1111 1111 1112 and 1234567812345670", []),
        ("IBAN GB82 WEST 1234 5698 7654 32.", [("iban", "GB82 WEST 1234 5698 7654 32")]),
        ("DE89370400440532013000", [("iban", "DE89370400440532013000")]),
        ("DE89370400440532013001 DE893704004405320130009", []),
        ("from 93.184.216.34 today", [("ip", "93.184.216.34")]),
        ("192.168.1.1, 127.0.0.1, 256.1.1.1, 1.2.3.4.5, version 8.1.2.3", []),
        ("at 2a01:4f8:1:2::10 and 12:30:45 and ::", [("ip", "2a01:4f8:1:2::10")]),
        ("std::vector<int> a::b, 10:20:30:40", []),
        ("SSN 219-09-9999, not 000-12-3456", [("national_id", "219-09-9999")]),
        (
            "NINO AB 12 34 56 C; DNI 12345678Z, 12345678A",
            [("national_id", "AB 12 34 56 C"), ("national_id", "12345678Z")],
        ),
        ("NIR 1 84 12 76 451 089 46", [("national_id", "1 84 12 76 451 089 46")]),
    ],
)
def test_examples(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_private_addresses_if_asked() -> None:
    assert found("at 192.168.1.1 inside", private_ip=True) == [("ip", "192.168.1.1")]


def test_only_the_kinds_asked_for() -> None:
    text = "ann@mail.example, +44 20 7946 0123"
    assert [span.kind for span in find(text, ["phone"])] == ["phone"]
    assert find(text, []) == []


def test_check_digits() -> None:
    assert luhn("79927398713") and not luhn("79927398710")
    assert iban_check("GB82WEST12345698765432") and not iban_check("GB82WEST12345698765433")


def test_precision_and_recall_on_invented_paragraphs() -> None:
    right = wrong = missed = 0
    for seed in range(600):
        r = random.Random(seed)
        text, spans = personal.paragraph(r)
        text = f"{text} {personal.near_miss(r)}"
        got, want = Counter(found(text)), Counter(spans)
        right += (got & want).total()
        wrong += (got - want).total()
        missed += (want - got).total()
    assert right / (right + wrong) >= 0.95
    assert right / (right + missed) >= 0.95


def test_masks_are_equal_for_equal_values() -> None:
    text = "Ann@A.example, bob@a.example, ann@a.example, +44 20 7946 0123, +44-20-7946-0123."
    spans = find(text, KINDS)
    assert mask(text, spans) == "[email-1], [email-2], [email-1], [phone-1], [phone-1]."
    assert mask(text, spans, "<{kind}>").startswith("<email>, <email>")
    assert (
        remove("Ask ann@a.example today.", find("Ask ann@a.example today.", KINDS)) == "Ask today."
    )
    text = "Ann@A.example"
    assert to_json(find(text, KINDS)) == (
        '[{"kind": "email", "start": 0, "end": 13, "value": "Ann@A.example"}]'
    )


HOSTILE = [
    "1", "1 ", "1-", "1.", "1  ", "@", "a@", "a.", "x@a.", "+1", "+1 ", ":", "1:", "a:", "ffff:",
    "(0", "(", "0 11", "012345678 ", "tel ", "tel 1", "phone" + " " * 25, "DE89 3704", "GB12",
    "AB 12 ", "123-45-", "4242-", "255.255.255.255.", "A", " ", "a" * 60 + "@",
    "a@a.cc ", "Ann Lee ", "A. ", "Mr. ", "A de la ", "12 Elm Street ", "1 rue ", "born 1.1. ",
    "dob:", "D.O.B. ", "SSN 1 ", "0 11", "999 999 999 ", "P.O. Box ", "((", "]", "A-", "O'",
    "Weg 5 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_ends_in_time(piece: str, cpu_seconds: Any) -> None:
    find(piece * 50, tuple(FINDERS), known_hints=~0)  # compiles what it needs
    # Milliseconds for what is linear; a pattern that tries pairs of places takes minutes.
    with cpu_seconds(30):
        find(piece * (200_000 // len(piece)), tuple(FINDERS), known_hints=~0)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789 +-.()@:abDEGB", max_size=80))
def test_any_text_gives_sound_spans(text: str) -> None:
    found(text)
    spans = find(text, KINDS)
    assert len(mask(text, spans, "")) == len(text) - sum(s.end - s.start for s in spans)
