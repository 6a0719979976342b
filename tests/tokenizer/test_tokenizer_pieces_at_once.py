"""What the compiled loops do many bytes at a time equals what they would do one by one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from gristmill.core.errors import GristmillError
from gristmill.tokenizer import encoding
from gristmill.tokenizer.eight_bytes import PADDING, least16, letters16, load8
from gristmill.tokenizer.encoding import Encoder
from gristmill.tokenizer.kept_pieces import (
    ID_BITS,
    KEPT_BYTES,
    MIDDLE_BYTES,
    keep_middle,
    middle_slots,
    recall_middle,
    short_key,
)
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.small_encoding import MOST_BYTES, SmallEncoder
from gristmill.tokenizer.splitter import split
from gristmill.tokenizer.tiktoken_file import ranks_vocabulary
from gristmill.tokenizer.tokenizer import Tokenizer


@njit
def _looks(text: Any, at: int) -> Any:
    return load8(text, at), letters16(text, at)


@njit
def _least(values: Any, at: int) -> Any:
    return least16(values, at)


@njit
def _key(text: Any, length: int) -> Any:
    return short_key(text, 0, length)


def _padded(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(data + bytes(PADDING), dtype=np.uint8).copy()


def test_bytes_and_letters_are_counted_as_one_by_one() -> None:
    rng = random.Random(2)
    for byte in range(256):
        letters = 16 if byte < 128 and chr(byte).isalpha() else 0
        assert _looks(np.full(32, byte, dtype=np.uint8), 3)[1] == letters, byte
    for _ in range(300):
        data = bytes(rng.choices(b"azAZ@[`{ \x00\x80\xe1\xfa", weights=[9] * 4 + [1] * 9, k=24))
        text = _padded(data)
        for at in range(8):
            run = 0
            while run < 16 and chr(data[at + run]).isascii() and chr(data[at + run]).isalpha():
                run += 1
            assert _looks(text, at) == (int.from_bytes(data[at : at + 8], "little"), run)


def test_the_least_of_sixteen() -> None:
    draw = np.random.default_rng(5)
    for _ in range(100):
        values = draw.integers(0, 1 << 32, 48, dtype=np.uint32)
        values[draw.integers(48)] = 0xFFFFFFFF
        at = int(draw.integers(33))
        assert _least(values, at) == values[at : at + 16].min()


def test_keys_tell_apart_what_is_behind_the_piece_and_how_long_it_is() -> None:
    keys = set()
    for length in range(1, KEPT_BYTES + 1):
        for data in (bytes(length), b"a" * length, b"a" * (length - 1) + b"\x00"):
            behind = {_key(_padded(data + tail), length)[:2] for tail in (b"", b"\xff" * 16)}
            assert len(behind) == 1
            keys |= behind
    assert len(keys) == 3 * KEPT_BYTES - 1  # one zero byte comes twice
    # Longer ones have keys that no slot holds.
    assert all(_key(_padded(b"a" * n), n)[1] >> 56 > KEPT_BYTES for n in (16, 17, 255, 256, 999))


def test_the_same_ids_as_tiktoken_on_ten_thousand_texts(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str]
) -> None:
    ranks = {token: i for i, token in enumerate(tokenizer.vocabulary.tokens) if i < 684}
    # Tokens that no merge reaches, of all lengths that are kept and more.
    rng = random.Random(8)
    words = sorted({word for text in texts for word in text.split(" ")})
    for word in words:
        ranks.setdefault((" " + word).encode(), len(ranks))
    theirs = tiktoken.Encoding(
        "here", pat_str=REGEXES["gpt4"], mergeable_ranks=ranks, special_tokens={}
    )
    ours = Tokenizer(ranks_vocabulary(ranks, "gpt4"))
    pool = [*texts, *strange_texts]
    mixed = ["".join(rng.choices(pool, k=rng.randint(1, 3))) for _ in range(10_000 - len(pool))]
    every = [text.encode("utf-8", "replace").decode() for text in (*pool, *mixed)]
    known = _known_characters(every)
    for text, ids in zip(known, ours.encode_batch(known), strict=True):
        assert ids.tolist() == theirs.encode_ordinary(text), text
    assert len(known) > 3000


def _known_characters(texts: list[str]) -> list[str]:
    """Without code points that one Unicode knows and another does not."""
    return [text for text in texts if all(unicodedata.category(c) != "Cn" for c in text)]


@pytest.mark.parametrize("pattern", ["gpt4", "gpt2", "characters"])
def test_joined_documents_get_the_ids_of_single_ones(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str], pattern: str
) -> None:
    fresh = Tokenizer(replace(tokenizer.vocabulary, pattern=pattern))
    data = [text.encode() for text in ["", *texts[:80], "", *strange_texts[::7], "x" * 5000]]
    text = np.frombuffer(b"".join(data), dtype=np.uint8)
    ends = np.cumsum([len(document) for document in data], dtype=np.int64)
    for end_id in (-1, fresh.eot_id):
        ids, id_ends = fresh.encode_joined(text, ends, end_id)
        assert ids.dtype == np.int32 and id_ends.dtype == np.int64
        starts = [0, *id_ends.tolist()]
        last = [end_id] if end_id >= 0 else []
        for i, document in enumerate(data):
            expected = fresh.encode_bytes(document).tolist() + last
            assert ids[starts[i] : starts[i + 1]].tolist() == expected, document
        assert starts[-1] == ids.size
    nothing = np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
    assert [found.size for found in fresh.encode_joined(*nothing)] == [0, 0]


def test_documents_are_read_where_they_lie(
    tokenizer: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In memory that is only read; but for the last ones, behind which kernels would look too far.
    monkeypatch.setattr(encoding, "_BATCH_BYTES", 2000)
    copied: list[int] = []
    read_padded = Encoder._encode_padded

    def watched(self: Encoder, stretch: Any, ends: Any, end_id: int = -1) -> Any:
        assert stretch.size >= ends[-1] + PADDING
        copied.append(0 if np.shares_memory(stretch, text) else int(ends[-1]))
        return read_padded(self, stretch, ends, end_id)

    monkeypatch.setattr(Encoder, "_encode_padded", watched)
    fresh = Tokenizer(tokenizer.vocabulary)
    for last in (["x" * 9, "y" * 7, ""], ["z" * 400], ["w" * 31], ["v" * 32]):
        data = [text.encode() for text in [*texts[:40], *last]]
        text = np.frombuffer(b"".join(data), dtype=np.uint8)
        assert not text.flags.writeable
        copied.clear()
        ends = np.cumsum([len(d) for d in data], dtype=np.int64)
        ids, _ = fresh.encode_joined(text, ends)
        assert len(copied) > 2 and not any(copied[:-1])
        outside = [d for d, end in zip(data, ends, strict=True) if end + PADDING > text.size]
        assert copied[-1] == len(b"".join(outside)) < 600
        assert ids.tolist() == [i for document in data for i in fresh.encode_bytes(document)]


def test_joined_documents_of_foreign_vocabularies(tokenizer: Tokenizer, texts: list[str]) -> None:
    normalised = Tokenizer(replace(tokenizer.vocabulary, normalizer="NFC"))
    data = [text.encode() for text in (*texts[:20], "e\u0301")]
    ends = np.cumsum([len(document) for document in data], dtype=np.int64)
    joined = np.frombuffer(b"".join(data), dtype=np.uint8)
    ids, id_ends = normalised.encode_joined(joined, ends, 3)
    assert ids[id_ends[-2] :].tolist() == [*normalised.encode("é"), 3]
    assert ids[: id_ends[0]].tolist() == [*normalised.encode(texts[0]), 3]


def test_pieces_longer_than_the_room_for_merging(tokenizer: Tokenizer) -> None:
    # Around the sizes at which the merging changes, and where the room grows, twice in one text.
    parts = ["grain" * 13, "mill" * 16 + "s", "a" * 4096, "b" * 4097, "the" * 3000, "c" * 20_000]
    text = "! ".join(parts)
    fresh = Tokenizer(tokenizer.vocabulary)
    ids = fresh.encode(text)
    assert fresh.decode(ids) == text
    assert [i for part in split(text.encode()) for i in fresh.encode_bytes(part)] == ids
    # With the room already there, and through a batch.
    assert [found.tolist() for found in fresh.encode_batch([text, "a", text])][2] == ids


@pytest.mark.parametrize("length", [15, 16, 17, 31, 32, 33, 48, 62, 63, 64, 65, 66, 80])
def test_short_and_long_merging_agree(tokenizer: Tokenizer, length: int) -> None:
    small = SmallEncoder(tokenizer.vocabulary)
    compiled = Tokenizer(tokenizer.vocabulary)
    compiled.encode("x" * (MOST_BYTES + 1))
    rng = random.Random(length)
    for _ in range(20):
        piece = "".join(rng.choices("thegrainmlsoé", k=length)).encode()[:length]
        assert compiled.encode_bytes(piece).tolist() == small.encode_batch([piece])[0].tolist()


def test_what_was_seen_changes_no_id(texts: list[str]) -> None:
    # The merges make `ab` and `abc`; the whole token `bcd` is not what they make of it.
    a, b, c, d = b"abcd"
    merges = np.array([[a, b], [256, c], [c, d]], dtype=np.int32)
    given = (np.arange(256, dtype=np.int32), merges, np.array([256, 257, 258], np.int32), "gpt4")
    whole = {b"ab": 256, b"abc": 257, b"cd": 258, b"bcd": 300}
    seen = [b"ab", b"dab", b"abcd", b"bcd" * 7, b" ", "é".encode()]
    plain, knowing = Encoder(*given, whole), Encoder(*given, whole, seen=seen)
    rng = random.Random(1)
    for _ in range(200):
        text = "".join(rng.choices("abcd !é", k=rng.randint(1, 60))).encode()
        assert plain.encode(text).tolist() == knowing.encode(text).tolist()
    assert plain.encode(b"bcd").tolist() == [300]
    assert plain.encode(b"xbcd").tolist() == [ord("x"), b, 258]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_come_back(tokenizer: Tokenizer, data: bytes) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data
    stream = tokenizer.stream()
    pushed = "".join(stream.push(int(i)) for i in tokenizer.encode_bytes(data))
    assert pushed + stream.finish() == data.decode("utf-8", "replace")


def test_what_became_of_pieces_is_kept_by_their_size() -> None:
    """Up to 31 bytes and twelve ids of twenty bits; the newest two of a place; none by mistake."""
    rng = random.Random(9)
    kept, out = middle_slots(), np.full(32, -1, dtype=np.int32)
    pieces: dict[bytes, list[int]] = {}
    for _ in range(3000):
        data = bytes(rng.choices(b"ab\x00\xff", k=rng.randint(1, MIDDLE_BYTES)))
        ids = [rng.choice((0, 1, rng.getrandbits(ID_BITS))) for _ in range(rng.randint(1, 12))]
        out[: len(ids)] = ids
        out[len(ids) :] = -1
        keep_middle(_padded(data), 0, len(data), kept, out, 0, len(ids))
        assert out[: len(ids)].tolist() == ids
        pieces[data] = ids
        found = recall_middle(_padded(data + b"tail"), 0, len(data), kept, out, 3)
        assert out[3 : 3 + found].tolist() == ids
    counts = [recall_middle(_padded(data), 0, len(data), kept, out, 0) for data in pieces]
    assert sum(n >= 0 for n in counts) > 0.9 * len(pieces)
    for data, ids in pieces.items():
        n = recall_middle(_padded(data), 0, len(data), kept, out, 0)
        assert n < 0 or out[:n].tolist() == ids
        longer = data + b"\x00"
        if len(longer) <= MIDDLE_BYTES and longer not in pieces:
            assert recall_middle(_padded(longer), 0, len(longer), kept, out, 0) == -1


def test_ids_that_the_tables_have_no_room_for_are_refused() -> None:
    letters = np.arange(256, dtype=np.int32)
    pairs = np.array([[97, 98]], dtype=np.int32)
    for tables in (
        (letters, pairs, np.array([1 << ID_BITS], dtype=np.int32), "gpt4", None),
        (letters + (1 << ID_BITS), pairs[:0], pairs[:0, 0], "gpt4", None),
        (letters, pairs, np.array([300], dtype=np.int32), "gpt4", {b"xyz": 1 << ID_BITS}),
    ):
        with pytest.raises(GristmillError, match="at most"):
            Encoder(*tables)


def test_a_numba_without_its_private_option(tmp_path: Path) -> None:
    code = (
        "from numba.core import cpu\n"
        "if hasattr(cpu._options_mixin, '_nrt'): del cpu._options_mixin._nrt\n"
        "import numpy as np\n"
        "from gristmill.tokenizer import eight_bytes, kept_pieces\n"
        "assert not eight_bytes._UNCOUNTED\n"
        "kept, ids = kept_pieces.middle_slots(), np.arange(7, 40, dtype=np.int32)\n"
        "text = np.frombuffer(bytearray(b'a piece' + bytes(32)), dtype=np.uint8)\n"
        "kept_pieces.keep_middle(text, 0, 7, kept, ids, 0, 5)\n"
        "assert kept_pieces.recall_middle(text, 0, 7, kept, ids, 9) == 5\n"
        "assert ids[9:14].tolist() == [7, 8, 9, 10, 11]\n"
    )
    apart = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=apart)
