"""Text as it comes: whole characters, never a part of a stop string, and its tokens."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world

from gristmill.serve.batching import TokenScore
from gristmill.serve.pieces import Piece, PieceMaker

TOKENIZER = world.byte_tokenizer()


def pieces(data: bytes, stops: list[str], finish: str = "length") -> list[Piece]:
    """Of the bytes of a text, one token each, ended from outside where no stop string ends it."""
    maker, made = PieceMaker(TOKENIZER, stops), []
    ids = TOKENIZER.encode_bytes(data).tolist()
    if finish == "stop":
        ids.append(TOKENIZER.eot_id)
    for place, token in enumerate(ids):
        piece = maker.push(TokenScore(token), finish if place == len(ids) - 1 else None)  # type: ignore[arg-type]
        if piece is not None:
            made.append(piece)
            if piece.finish is not None:
                break
    return made


def said(made: list[Piece]) -> str:
    return "".join(piece.text for piece in made)


def test_a_character_comes_whole() -> None:
    made = pieces("aé€😀b".encode(), [])
    assert [piece.text for piece in made] == ["a", "é", "€", "😀", "b"]
    assert [len(piece.tokens) for piece in made] == [1, 2, 3, 4, 1]
    assert made[-1].finish == "length" and made[-1].made == 11


def test_an_unfinished_character_at_the_end_shows() -> None:
    assert said(pieces("aé".encode()[:2], [])) == "a\ufffd"


def test_a_stop_id_is_counted_and_not_said() -> None:
    made = pieces(b"ab", [], "stop")
    assert said(made) == "ab"
    assert made[-1] == Piece("", (), 3, "stop")


def test_a_stop_string_over_several_tokens_is_cut_and_never_leaks() -> None:
    made = pieces(b"one\nUser: two", ["\nUser:"])
    assert said(made) == "one"
    assert made[-1].finish == "stop"
    assert sum(len(piece.tokens) for piece in made) == 3
    # What only looks like one comes out once it is sure.
    assert said(pieces(b"one\nUse it", ["\nUser:"])) == "one\nUse it"
    assert said(pieces(b"one\nUse", ["\nUser:"])) == "one\nUse"


def test_the_first_of_several_stop_strings_counts() -> None:
    assert said(pieces(b"abcdef", ["ef", "cd", "de"])) == "ab"
    # A beginning that fails may hide the beginning of the true one.
    assert said(pieces(b"aaab", ["aab"])) == "a"


def test_of_two_stop_strings_that_one_token_ends_the_one_that_begins_first_cuts() -> None:
    assert said(pieces(b"abcd.", ["cd", "bcd"])) == "a"
    assert said(pieces(b"abcd.", ["bcd", "cd"])) == "a"


@given(
    st.text(alphabet="ab\né€", max_size=30),
    st.lists(st.text(alphabet="ab\né", min_size=1, max_size=4), max_size=3),
)
def test_all_pieces_are_the_text_up_to_the_first_stop(text: str, stops: list[str]) -> None:
    if not text:
        return
    made = pieces(text.encode(), stops)
    # The stop string that is whole first ends it; of those whole at once the one that begins first.
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    first = min((end for end, _ in ends), default=None)
    expected = text if first is None else text[: min(at for end, at in ends if end == first)]
    assert said(made) == expected
    assert [piece.finish is not None for piece in made] == [False] * (len(made) - 1) + [True]
    assert made[-1].finish == ("length" if first is None else "stop")
    shown = [score.token for piece in made for score in piece.tokens]
    assert bytes(TOKENIZER.decode_bytes(shown)).decode() == expected
