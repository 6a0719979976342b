"""Repeated passages: suffix arrays and their merge beside plain Python, and planted ones."""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.data.dedup.substrings import Removed, SubstringSettings, repeated_passages
from gristmill.data.dedup.suffix_array import suffix_array


@given(st.lists(st.integers(0, 4), max_size=60) | st.lists(st.integers(0, 255), max_size=60))
@settings(max_examples=150, deadline=None)
def test_suffixes_in_the_order_of_sorted(numbers: list[int]) -> None:
    data = bytes(numbers)
    found = suffix_array(np.frombuffer(data, np.uint8))
    assert found.tolist() == sorted(range(len(data)), key=lambda i: data[i:])


def test_suffixes_of_long_runs() -> None:
    for data in (b"\0" * 3000, b"ab" * 2000, b"abaab" * 500 + b"\xff"):
        found = suffix_array(np.frombuffer(data, np.uint8))
        assert found.tolist() == sorted(range(len(data)), key=lambda i: data[i:])


def marked(texts: list[str], least: int) -> list[set[int]]:
    """The plain twin: bytes in a passage of `least` bytes that stands earlier, not over itself."""
    places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for number, text in enumerate(texts):
        data = text.encode()
        for i in range(len(data) - least + 1):
            if data[i] & 0xC0 != 0x80:
                places[data[i : i + least]].append((number, i))
    found: list[set[int]] = [set() for _ in texts]
    for (document, first), *others in places.values():
        for number, i in others:
            if number != document or i - first >= least:
                found[number].update(range(i, i + least))
    return found


def removed(
    texts: list[str], least: int, folder: Path, *, stretch: int = 1 << 20, parts: int = 1
) -> list[Removed | None]:
    size = max(1, -(-len(texts) // parts))
    pieces = [texts[low : low + size] for low in range(0, len(texts), size)]
    made = repeated_passages(pieces, SubstringSettings(least, stretch), folder)
    return [of.get(place) for of, piece in zip(made, pieces, strict=True)
            for place in range(len(piece))]  # fmt: skip


def word_borders(text: str) -> set[int]:
    """Places in the bytes where a word may be cut off: not between two letters of a, b and é."""
    places, at = {0}, 0
    for one, after in zip_longest(text, text[1:], fillvalue=""):
        at += len(one.encode())
        if not (one in "abé" and after in tuple("abé")):
            places.add(at)
    return places


@pytest.mark.parametrize("stretch", [1, 300, 1 << 20])
def test_what_goes_is_what_the_plain_twin_marks(tmp_path: Path, stretch: int) -> None:
    r = random.Random(stretch)
    for round_ in range(6):
        texts = ["".join(r.choices("ab é字.\n", k=r.randrange(90))) for _ in range(30)]
        wanted = marked(texts, 9)
        found = removed(texts, 9, tmp_path / str(round_), stretch=stretch, parts=4)
        assert any(wanted)
        for text, one, bytes_ in zip(texts, found, wanted, strict=True):
            data = text.encode()
            borders = word_borders(text)
            gone: set[int] = set()
            for first, last in [] if one is None else one.ranges.tolist():
                gone.update(range(first, last))
                assert data[first:last].decode() is not None
                # Within a word only where the passage has no border at all.
                whole = {first, last} <= borders
                assert whole or not borders & set(range(first + 1, last))
            # Nothing else goes, and what stays of it is a part of a word or of a character.
            assert gone <= bytes_
            for i in bytes_ - gone:
                assert data[i : i + 1].isalnum() or data[i] >= 0x80


def real_text() -> list[str]:
    """Texts of the standard library, each line once, so that they share next to nothing."""
    seen: set[str] = set()
    texts = []
    folder = Path(random.__file__).parent
    for name in ("argparse", "ast", "inspect", "random", "tarfile", "turtle", "typing"):
        lines = (folder / f"{name}.py").read_text(encoding="utf-8").splitlines()
        fresh = [line for line in lines if line not in seen and not seen.add(line)]  # type: ignore[func-returns-value]
        texts += ["\n".join(fresh[i : i + 60]) for i in range(0, len(fresh), 60)]
    return texts


def test_every_planted_passage_is_found_and_nothing_shorter(tmp_path: Path) -> None:
    least = 150
    texts = real_text()
    assert len(texts) > 100 and sys.version_info >= (3, 11)
    r = random.Random(2)
    planted: dict[int, str] = {}
    owners = r.sample(range(20), 8)
    for place, target in enumerate(r.sample(range(20, len(texts)), 40)):
        source = texts[owners[place % 8]]
        # A half of them just long enough, the others just too short; all from word to word.
        first = source.index(" ", r.randrange(200)) + 1
        length = least + 40 * (place % 2) if place % 4 < 2 else least - 30
        passage = source[first : first + length]
        passage = passage[: passage.rindex(" ")] if place % 4 >= 2 else passage
        texts[target] = f"{texts[target][:300]} {{{{ {passage} }}}} {texts[target][300:]}"
        if len(passage.encode()) >= least:
            planted[target] = passage
    before = {i for i, one in enumerate(marked(texts, least)) if one}
    found = removed(texts, least, tmp_path, stretch=30_000, parts=3)
    cut = {i for i, one in enumerate(found) if one is not None}
    assert set(planted) <= before and len(planted) == 20
    assert cut == before
    for target, passage in planted.items():
        one = found[target]
        assert one is not None
        text, taken = one.apply(texts[target])
        # All of it but what a word's border takes.
        assert any(passage[40:-40] in piece for piece in taken)
        assert passage[40:-40] not in text


def test_one_occurrence_stays_whole(tmp_path: Path) -> None:
    r = random.Random(4)
    passage = " ".join(r.choices(["mill", "stone", "wheel", "grain", "flour"], k=40)) + "."
    texts = [f"Page {k}\n\n{passage}\n\n{k * 7} and so on." for k in range(5)]
    found = removed(texts, 100, tmp_path / "1")
    assert found[0] is None
    for k in range(1, 5):
        one = found[k]
        assert one is not None
        assert one.apply(texts[k])[0] == f"Page {k}\n\n{k * 7} and so on."
    # A row of one sign loses what does not overlap with its first occurrence.
    (row,) = removed(["Start\n" + "-" * 500], 100, tmp_path / "2")
    assert row is not None and row.ranges.tolist() == [[106, 506]]
    assert removed([], 100, tmp_path / "3") == [] and removed(["", ""], 20, tmp_path / "4") == [
        None,
        None,
    ]
