"""Word hashes and n-grams against a plain-Python twin."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.data.ngrams import ngram_hashes, text_buffer, word_hashes
from gristmill.data.postings import Postings

MASK = (1 << 64) - 1
BASE = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    value = ((value ^ (value >> 33)) * 0xFF51AFD7ED558CCD) & MASK
    value = ((value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
    return value ^ (value >> 33)


def plain_words(text: str) -> list[str]:
    """Words by code points, where the kernel goes by bytes."""
    words, word = [], ""
    for letter in text:
        code = ord(letter)
        separates = (
            (code < 0x80 and not letter.isalnum())
            or 0x80 <= code < 0xC0
            or 0x2000 <= code < 0x2070
            or 0x3000 <= code < 0x3040
        )
        alone = (code >= 0x2E80 or 0x0E00 <= code < 0x0F00) and not separates
        if separates or alone:
            if word:
                words.append(word)
            word = ""
            if alone:
                words.append(letter)
        else:
            word += letter.lower() if code < 0x80 else letter
    return [*words, word] if word else words


def plain_hash(word: str) -> int:
    state = 0xCBF29CE484222325
    for byte in word.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return mix(state)


def plain_ngrams(text: str, n: int) -> list[int]:
    hashes = [plain_hash(word) for word in plain_words(text)]
    if not hashes:
        return []
    found = []
    for i in range(max(1, len(hashes) - n + 1)):
        value = 0
        for word in hashes[i : i + n]:
            value = (value * BASE + word) & MASK
        found.append(mix(value))
    return found


TEXTS = st.text(
    st.one_of(
        st.sampled_from("abcXYZ019 .,-–’“\n\t漢字かなไทย é\u00a0ß\u2060\u3001𝒳😀ｗ"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=5), st.integers(1, 6))
def test_words_and_ngrams_equal_the_plain_twin(texts: list[str], n: int) -> None:
    words, starts = word_hashes(texts)
    assert words.tolist() == [plain_hash(w) for text in texts for w in plain_words(text)]
    hashes, ngram_starts = ngram_hashes(words, starts, n)
    for i, text in enumerate(texts):
        assert hashes[ngram_starts[i] : ngram_starts[i + 1]].tolist() == plain_ngrams(text, n)


def test_copies_with_other_typography_have_the_same_words() -> None:
    a, _ = word_hashes(['"It\'s a mouse", he said - twice.'])
    b, _ = word_hashes(["“It’s a Mouse”,\n\nhe said – twice…"])
    assert a.tolist() == b.tolist()


def test_bytes_that_are_no_utf8_stay_within_their_text() -> None:
    broken = pa.array([b"abc \xf0\x9f", b"def \xe2", b"\xff\xfe x"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, broken.buffers())
    words, starts = word_hashes(texts)
    assert starts.tolist() == [0, 2, 4, len(words)]


def test_a_slice_of_an_arrow_column_and_nulls_are_read_right() -> None:
    column = pa.chunked_array([["one two", None, "three"], ["four", "five six"]])
    whole, starts = word_hashes(column)
    part, part_starts = word_hashes(column.slice(2, 3))
    assert np.diff(starts).tolist() == [2, 0, 1, 1, 2]
    assert part.tolist() == whole[starts[2] :].tolist()
    assert np.diff(part_starts).tolist() == [1, 1, 2]
    data, offsets = text_buffer([])
    assert len(data) == 0 and offsets.tolist() == [0]


def test_postings_count_shared_ngrams_as_sets_do() -> None:
    r = random.Random(3)
    left = [[r.randrange(30) for _ in range(r.randrange(12))] for _ in range(20)]
    right = [[r.randrange(30) for _ in range(r.randrange(12))] for _ in range(25)]

    def flat(sets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        rows = [sorted(set(s)) for s in sets]
        starts = np.cumsum([0, *(len(s) for s in rows)])
        return np.array([v for s in rows for v in s], np.uint64), starts.astype(np.int64)

    index = Postings.build([flat(left[:7]), flat(left[7:])])
    found = {(int(t), int(o)): int(c) for t, o, c in zip(*index.shared(*flat(right)), strict=True)}
    wanted = {
        (t, o): len(set(a) & set(b))
        for t, a in enumerate(right)
        for o, b in enumerate(left)
        if set(a) & set(b)
    }
    assert found == wanted
    assert index.sizes.tolist() == [len(set(s)) for s in left]
    rare = Postings.build([flat(left)], max_owners=3)
    counts = {v: sum(v in s for s in left) for v in range(30)}
    assert rare.sizes.tolist() == [sum(counts[v] <= 3 for v in set(s)) for s in left]
