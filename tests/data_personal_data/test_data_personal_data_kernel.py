"""The compiled tagger beside plain Python: words of a text, islands, probabilities of labels."""

from __future__ import annotations

import itertools
import math
import random
import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.data.filters.characters import class_table, lower, lower_table
from gristmill.data.personal_data import name_kernel as kernel
from gristmill.data.personal_data import name_words
from gristmill.data.personal_data.names import WordTable, code_points

TABLE = WordTable.build(["Ann", "de"], ["Lee"])
SHAPES = ("sign", "line", "lower", "Capital", "Initial", "CAPITALS", "Mixed", "number", "Joined-up")


def compiled_words(text: str) -> list[tuple[str, str]]:
    """(word in lower case, shape), and the arrays of the kernel are sound."""
    codes = code_points(text)
    n = len(codes) + 1
    start, stop = np.empty(n, np.int32), np.empty(n, np.int32)
    hashes, shapes = np.empty(n, np.uint64), np.empty(n, np.uint8)
    bits = np.empty(n, np.uint16)
    count = name_words.read_words(
        codes, class_table(), lower_table(), TABLE.keys, TABLE.values,
        start, stop, hashes, shapes, bits,
    )  # fmt: skip
    known: dict[str, int] = {}
    found = []
    for i in range(count):
        word = lower(text[start[i] : stop[i]])
        if shapes[i] > 1:
            assert known.setdefault(word, int(hashes[i])) == int(hashes[i])
            assert bool(bits[i] & name_words.FIRST) == (word in ("ann", "de"))
        found.append((word, SHAPES[shapes[i]]))
    assert len(set(known.values())) == len(known)
    return found


def plain_words(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    i = 0
    while i < len(text):
        c = text[i]
        if c.isspace():
            if c == "\n" and (not found or found[-1][1] != "line"):
                found.append(("\n", "line"))
            i += 1
            continue
        if not c.isalnum():
            found.append((lower(c), "sign"))
            i += 1
            continue
        end = i
        joints: list[bool] = []
        while end < len(text):
            here, rest = text[end], text[end + 1 :]
            if here.isalnum():
                end += 1
            elif here in "'’-" and rest and rest[0].isalpha():
                possessive = rest[0] in "sS" and not rest[1:2].isalnum()
                if here != "-" and possessive:
                    break
                joints.append(rest[0].isupper())
                end += 1
            else:
                break
        word = text[i:end]
        letters = [c for c in word if c.isalnum()]
        uppers = sum(c.isupper() for c in letters)
        if any("0" <= c <= "9" for c in word):
            shape = "number"
        elif not word[0].isupper():
            shape = "lower"
        elif len(letters) == 1:
            shape = "Initial"
        elif joints:
            shape = "Mixed" if all(joints) else "Joined-up"
        elif uppers == len(letters):
            shape = "CAPITALS"
        else:
            shape = "Mixed" if uppers > 1 else "Capital"
        found.append((lower(word), shape))
        i = end
    return found


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aBsSé'’-. \n\tÄ9,Annde李𝔸ß", max_size=30))
def test_words_are_those_of_plain_python(text: str) -> None:
    assert compiled_words(text) == plain_words(text)


def test_words_of_any_text() -> None:
    r = random.Random(3)
    for _ in range(200):
        text = "".join(
            chr(r.choice((r.randrange(32, 0x250), r.randrange(0x33480)))) for _ in range(40)
        )
        text = "".join(c for c in text if unicodedata.category(c) != "Cs")
        assert compiled_words(text) == plain_words(text)


def test_probabilities_are_sums_over_all_labellings() -> None:
    rng = np.random.default_rng(5)
    for length in (1, 2, 4):
        out = rng.normal(size=(length, 3)) * 2
        transitions = rng.normal(size=(3, 3))
        weights: dict[tuple[int, ...], float] = {}
        for labels in itertools.product(range(3), repeat=length):
            total, before = 0.0, 0
            for i, label in enumerate(labels):
                total += out[i, label] + transitions[before, label]
                before = label
            weights[labels] = math.exp(total)
        whole = sum(weights.values())
        expected = np.zeros((length, 3))
        for labels, weight in weights.items():
            for i, label in enumerate(labels):
                expected[i, label] += weight / whole
        forward, backward = np.empty((length, 3)), np.empty((length, 3))
        log_whole = kernel.marginals(out, length, transitions, forward, backward)
        assert math.isclose(log_whole, math.log(whole), rel_tol=1e-9)
        np.testing.assert_allclose(out, expected, atol=1e-12)


def test_places_are_words_of_the_lists() -> None:
    text = "born in the Street near Hauptweg 5, not at Park nor in weg 5 or Am 7"
    codes = code_points(text)
    out = np.empty((len(codes), 3), np.int32)
    wanted = name_words.STREET | name_words.BIRTH
    count = kernel.find_places(
        codes, class_table(), lower_table(), TABLE.keys, TABLE.values, wanted, out
    )
    found = [(text[a:b], bits) for a, b, bits in out[:count].tolist()]
    assert found == [
        ("born", name_words.BIRTH), ("Street", name_words.STREET), ("Hauptweg", 0),
        ("Park", name_words.STREET),
    ]  # fmt: skip
