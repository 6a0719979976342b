"""What is said of a tokenizer: by hand where a hand can count, and on what must be dead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.dead_tokens import glitch_prone, ordinary_ids, swallowed_by, unreachable
from gristmill.tokenizer.judging import BODIES, brief, judge
from gristmill.tokenizer.labelled import Labelled, file_domain, labelled, sample, script
from gristmill.tokenizer.longest_match import LongestMatch, compare_matching
from gristmill.tokenizer.opening import open_tokenizer, short_names
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.view import coloured_tokens, plain_tokens, shown_tokens, visible
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges

A, B, C, BLANK = b"abc "


def _made(*merges: tuple[int, int], pattern: str = "gpt4") -> Tokenizer:
    return Tokenizer(from_merges(list(merges), SPECIAL_TOKENS, pattern))


def test_merge_order_and_longest_match_as_the_lecture_has_them() -> None:
    # bc is merged before ab: abc is a|bc in merge order, and ab|c if the longest token is taken.
    tokenizer = _made((B, C), (A, B))
    assert tokenizer.encode("abc") == [A, 256]
    found = compare_matching(tokenizer, ["abc abc abc", "bc x"])
    assert (found.pretokens, found.differing, found.kinds, found.kinds_differing) == (5, 3, 4, 2)
    assert found.share == 0.6
    # The most frequent first: " abc".
    assert [one.count for one in found.examples] == [2, 1]
    assert found.examples[0].longest == (BLANK, 257, C)
    assert {(one.merge_order[-2:], one.longest[-2:]) for one in found.examples} == {
        ((A, 256), (257, C))
    }
    assert LongestMatch({b"a": 0, b"ab": 1, b"abcd": 2}).ids(b"abcdab") == [2, 1]
    assert LongestMatch({b"a": 0}).ids(b"ax") is None


def test_longest_match_of_everything_is_every_tokens_own_bytes(
    tokenizer: Tokenizer, texts: list[str]
) -> None:
    found = compare_matching(tokenizer, texts)
    assert found.pretokens > 1000
    assert found.merge_tokens == sum(map(len, tokenizer.encode_batch(texts)))
    longest = LongestMatch(tokenizer.vocabulary.ordinary)
    for text in texts[:50]:
        ids = longest.ids(text.encode())
        assert ids is not None and tokenizer.decode(ids) == text


def test_what_the_pattern_cuts_and_what_the_merges_take_apart_is_unreachable() -> None:
    # "a b" spans two pieces; "abc" is a|bc, as bc comes first, so ab + c is never made.
    tokenizer = _made((B, C), (A, B), (257, C), (A, BLANK), (259, B))
    tokens = tokenizer.vocabulary.tokens
    found = unreachable(tokenizer)
    assert [tokens[i] for i in found.cut] == [b"a ", b"a b"]
    assert [tokens[i] for i in found.merged] == [b"abc"]
    assert unreachable(_made((B, C), (A, B), pattern="none")).ids == []


def test_part_of_a_character_is_not_unreachable_for_it(tokenizer: Tokenizer) -> None:
    first, second = "é".encode()
    # Bytes of half a character never stand alone in a text; the merges reach this one.
    third = "\u20ac".encode()
    made = _made((third[0], third[1]), (first, second))
    assert unreachable(made).ids == []
    # Trained merges are reached by the text that they were learnt on.
    assert unreachable(tokenizer).ids == []


def test_glitch_prone_tokens_are_rare_where_there_is_text_enough() -> None:
    tokenizer = _made((A, B), (256, C))
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    assert glitch_prone(tokenizer, counts) is None
    counts[:256] = 1000
    counts[257] = 1000
    counts[256] = 3
    assert glitch_prone(tokenizer, counts) == [256]
    assert glitch_prone(tokenizer, counts, frozenset([256])) == []
    # It goes into abc, which is why text has so little of it.
    assert swallowed_by(tokenizer, 256) == 257
    assert swallowed_by(tokenizer, 257) is None
    assert swallowed_by(_made((A, B), (C, 256)), 256) == 257


def test_rare_is_less_than_a_hundredth_of_the_mean() -> None:
    tokenizer = _made((A, B), (256, C))
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    # 258 tokens, seen 100 times on average.
    counts[:256], counts[256], counts[257] = 100, 1, 199
    assert glitch_prone(tokenizer, counts) == []
    counts[256] = 0
    assert glitch_prone(tokenizer, counts) == [256]


def test_what_cannot_be_made_is_not_counted_as_dead() -> None:
    # "a " and "a b" are cut apart, "abc" is merged otherwise: see below.
    tokenizer = _made((B, C), (A, B), (257, C), (A, BLANK), (259, B))
    found = judge("made", tokenizer, [labelled("abc", "prose")])
    assert (found.ordinary, found.used, len(found.unreachable.ids)) == (261, 2, 3)
    assert found.dead == 261 - 2 - 3


def test_a_language_with_texts_of_its_own_is_not_set_against_english() -> None:
    plain = train_tokenizer(["x"], 300, kind="bytes")
    passage = Labelled("German", "prose", "ab cd", 2, 4)
    assert judge("plain", plain, [passage]).tokens_per_thousand_words("German") == 1250
    found = judge("plain", plain, [passage, Labelled("German", "prose", "ef", 1)])
    assert found.references == {}
    assert found.tokens_per_thousand_words("German") == pytest.approx(7000 / 3)


def test_how_each_vocabulary_encodes_is_said(tokenizer: Tokenizer) -> None:
    text = ["the mill grinds the grain"] * 3
    for settings, said in (
        ({}, "merge order"),
        ({"match": "longest"}, "longest match"),
        ({"kind": "words"}, "words, or bytes"),
        ({"kind": "words", "unknown": "token"}, "words, or unknown"),
        ({"kind": "bytes"}, "byte by byte"),
    ):
        made = train_tokenizer(text, 290, **settings)  # type: ignore[arg-type]
        assert judge("made", made, []).matched == said


def test_counts_by_language_and_domain_by_hand() -> None:
    plain = train_tokenizer(["x"], 300, kind="bytes")
    texts = [
        Labelled("English", "prose", "ab cd", 2, 2),
        Labelled("Thai", "prose", "กข", None, 2),
        # A program's words are none of a language.
        Labelled("English", "code", "a = b", 3),
    ]
    found = judge("plain", plain, texts)
    assert list(found.languages) == ["English", "Thai"]
    assert found.fertility("English") == 2.5
    assert found.fertility("Thai") is None
    assert found.fertility("prose") is None
    # Set against the words of the English form, so also where a language has no spaces.
    assert found.tokens_per_thousand_words("English") == 2500
    assert found.tokens_per_thousand_words("Thai") == 3000
    assert found.domains["code"].tokens == 5
    assert (found.total.bytes, found.total.tokens, found.used) == (16, 16, 10)
    assert found.dead == 246
    head = found.heads[0]
    layers, width = BODIES[0]
    assert (head.head, head.body) == (plain.vocab_size * width, 12 * layers * width**2)
    assert head.share_tied == head.head / (head.head + head.body)
    assert head.share_untied > head.share_tied
    written = found.to_json(2.0)
    assert written["languages"]["Thai"]["cost_per_1000_words"] == pytest.approx(3000 * 2e-6)
    assert written["languages"]["Thai"]["tokens_per_word"] is None
    assert written["glitch_prone"] is None


def test_unknown_words_are_counted() -> None:
    text = ["the mill grinds the grain"] * 3
    words = train_tokenizer(text, 290, kind="words", unknown="token")
    found = judge("words", words, [labelled("the mill grinds wheat", "prose")])
    assert found.unknown == {"Latin": 1, "prose": 1}
    assert found.matching.pretokens == 0
    assert judge("bytes", train_tokenizer(text, 290, kind="words"), []).unknown == {}


def test_the_built_in_text_is_the_same_passage_in_every_language() -> None:
    texts = list(sample())
    passages = [one for one in texts if one.reference is not None]
    assert len({one.reference for one in passages}) == 1
    assert {"English", "Thai", "Chinese", "Arabic"} <= {one.language for one in passages}
    assert {one.domain for one in texts} == {"prose", "code", "maths", "digits"}
    for one in passages:
        assert 70 < len(one.text) < 400
        assert (one.words is None) == (one.language in ("Chinese", "Japanese", "Thai"))


@pytest.mark.parametrize(
    ("text", "name"),
    [("grist", "Latin"), ("мельница x", "Cyrillic"), ("磨坊立在河边", "Chinese"),
     ("古い水車小屋は川の", "Japanese"), ("โรงสี", "Thai"), ("12 + 3", ""), ("é", "Latin")],
)  # fmt: skip
def test_scripts(text: str, name: str) -> None:
    assert script(text) == name


def test_files_by_their_names() -> None:
    assert [file_domain(Path(name)) for name in ("a.py", "b.tex", "c.md", "README")] == [
        "code", "maths", "prose", "prose",
    ]  # fmt: skip


def test_tokenizers_from_all_that_holds_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    tokenizer.save(folder)
    ranks = tmp_path / "other.tiktoken"
    ranks.write_bytes((folder / "ranks.tiktoken").read_bytes())
    text = "The mill grinds 12345 of it."
    wanted = tokenizer.encode(text)
    for path in (folder, folder / "tokenizer.json", folder / "ranks.tiktoken"):
        assert open_tokenizer(path).encode(text) == wanted
    assert open_tokenizer(ranks, "gpt4").encode(text) == wanted
    with pytest.raises(GristmillError, match="does not say how text is cut"):
        open_tokenizer(ranks)
    # OpenAI's files are known by their names.
    for name, pattern in (
        ("cl100k_base", "gpt4"), ("o200k_base", "o200k"), ("p50k_base", "gpt2"),
        ("r50k_base", "gpt2"), ("gpt2", "gpt2"),
    ):  # fmt: skip
        known = ranks.with_name(f"{name}.tiktoken")
        known.write_bytes(ranks.read_bytes())
        assert open_tokenizer(known).vocabulary.pattern == pattern
    with pytest.raises(GristmillError, match="'nonsense' is not known"):
        open_tokenizer(ranks, "nonsense")
    with pytest.raises(GristmillError, match="no tokenizer here"):
        open_tokenizer(tmp_path / "nowhere")
    assert short_names([folder, folder / "tokenizer.json", ranks]) == ["mine", "mine 2", "other"]
    artifact = tmp_path / "tokenizer.train-0123456789ab"
    assert short_names([artifact, artifact / "tokenizer.json"]) == ["train-0123", "train-0123 2"]


def test_a_text_is_shown_whole_and_acts_on_nothing(
    tokenizer: Tokenizer, strange_texts: list[str]
) -> None:
    for text in strange_texts[::11]:
        tokens = shown_tokens(tokenizer, text)
        assert [one.token_id for one in tokens] == tokenizer.encode(text)
        assert sum(one.bytes for one in tokens) == len(text.encode())
        said = "".join(one.text for one in tokens)
        assert said.isprintable() and "\u202e" not in said
    view = shown_tokens(tokenizer, "a b\n\tc\x1b[2J\u202e")
    assert "·" in plain_tokens(view) and "⏎" in plain_tokens(view) and "→" in plain_tokens(view)
    assert plain_tokens(shown_tokens(_made(), "a\nb\n")) == "a|⏎|\nb|⏎"
    assert plain_tokens([]) == ""
    # A token's line breaks break the line of the page behind it, its tabs do not.
    assert [one.lines for one in shown_tokens(tokenizer, "\n")] == [1]
    assert [one.lines for one in shown_tokens(tokenizer, "\t")] == [0]
    coloured = coloured_tokens(view, ids=True)
    assert "\x1b[2J" not in coloured and "␛" in coloured and "\u202e" not in coloured
    assert visible("\u202e\x9b\x7f é") == "\\u202e\\u009b␡·é"
    assert str(view[0].token_id) in coloured


def test_long_tokens_are_shortened() -> None:
    assert brief(b" " * 128) == "␣␣␣..␣␣␣ (128)"
    assert brief(b" the") == "␣the"
    assert brief(b"ab" * 40) == "abababababababababab.. (80)"


def test_special_and_filling_rows_are_no_ordinary_tokens(tokenizer: Tokenizer) -> None:
    padded = Tokenizer(
        replace(tokenizer.vocabulary, tokens=(*tokenizer.vocabulary.tokens, b"", b""))
    )
    assert ordinary_ids(padded) == ordinary_ids(tokenizer)
    assert len(ordinary_ids(tokenizer)) == tokenizer.vocab_size - len(tokenizer.special_tokens)
