"""In which sense a listed word stands: terms, names, words inside words, scripts without spaces."""

from __future__ import annotations

from typing import Any

import pytest

from gristmill.data.filters.chain import Chain, ChainRules, _lexicon
from gristmill.data.filters.context import coarse_matches
from gristmill.data.filters.rules import WordListRules
from gristmill.data.filters.spaceless import spaceless_list
from gristmill.data.filters.words import with_plurals

# Invented coarse words beside plain terms, as a user's list mixes them.
LIST = (
    "glorbex",
    "frumbolt",
    "penis",
    "sex",
    "breast",
    "anal",
    "dickory",
    "hot glorbex",
    "cock",
    "sex show",
)


def reasons(text: str, **rules: Any) -> list[str]:
    import pyarrow as pa

    chain = Chain(
        ChainRules(
            adult=WordListRules(**rules),
            adult_words=LIST,
        )
    )
    found = chain(pa.table({"text": [text]}))["reasons_all"].to_pylist()[0]
    return [reason for reason in found if reason.startswith("adult")]


BIOLOGY = (
    "The penis of the drake is unlike that of mammals. Sex in ducks is brief, and the sex of a "
    "duckling is told by its penis, which vets turn out with a thumb. The breast is the meat."
)
COARSE = (
    "Hot glorbex here, frumbolt there and more glorbex and frumbolts for every visitor of ours."
)
TITLES = "Hot Glorbex Pictures Free Frumbolt Gallery More Glorbex Movies Best Frumbolt Clips"
NAMED = (
    "The miller Jonathan Dickory was born in a village. When Dickory was nine his father died, and "
    "young Dickory learned the trade of his uncle, whom people called old Dickory as well."
)


@pytest.mark.parametrize("text", [BIOLOGY, NAMED])
def test_terms_and_names_are_spared_only_by_the_second_look(text: str) -> None:
    assert reasons(text) == []
    assert reasons(text, second_look=False) == ["adult.words"]


def test_coarse_words_alone_must_reach_the_limit() -> None:
    quoted = "Three words were read out in court: glorbex, frumbolt and glorbex. "
    assert reasons(quoted + BIOLOGY * 8) == []
    assert reasons(quoted + BIOLOGY * 8, second_look=False) == ["adult.words"]
    assert reasons(quoted * 3) == ["adult.words_in_context"]


@pytest.mark.parametrize("text", [COARSE, COARSE.upper(), TITLES])
def test_coarse_words_are_not_spared(text: str) -> None:
    assert reasons(text) == ["adult.words"]


def test_coarse_words_count_among_terms() -> None:
    lexicon = _lexicon(LIST, (), ())
    bit = 1 << lexicon.categories.index("adult")
    # 'hot glorbex' is one match of two words; the plural is the word; the term is none.
    assert coarse_matches("hot glorbex and frumbolts, anal sex", lexicon, bit) == (2, 3)
    assert coarse_matches("hot and glorbex", lexicon, bit) == (1, 1)
    # One word of a phrase that is no term makes it coarse.
    assert coarse_matches("a sex show, sex", lexicon, bit) == (1, 2)
    assert coarse_matches("", lexicon, bit) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe, Penistone and Cockfosters lie in England, as do Essex, Sussex and Middlesex.",
        "Mr Cockburn and Mrs Hancock read Dickens to the class and assess its analysis.",
        "The cockpit, the cocktail, the peacock and the shuttlecock have nothing in common.",
    ],
)
def test_words_inside_words_are_no_matches(text: str) -> None:
    lexicon = _lexicon(LIST, (), ())
    bit = 1 << lexicon.categories.index("adult")
    assert coarse_matches(text * 3, lexicon, bit) == (0, 0)


def test_an_entry_of_signs_is_left_out() -> None:
    assert with_plurals(["a$$", "b!x", "well-known", "don't", "x y"]) == [
        "b!x", "well-known", "don't", "x y", "b!xs", "well-knowns", "don'ts", "x ys",
    ]  # fmt: skip


def test_scripts_without_spaces() -> None:
    rules = WordListRules()
    words = ["悪語", "悪語集", "猫", "glorbex", "คำหยาบ"]
    honest = "これは水車についての長い記事です。" * 20
    texts = [
        "悪語集と悪語と悪語。",
        honest + "悪語、悪語、悪語。",
        "猫" * 30,
        "glorbex " * 30,
        "คำหยาบคำหยาบ คำหยาบ",
        "悪語と悪語。",
    ]
    (check,) = spaceless_list("adult", texts, words, rules)
    assert check.failed.tolist() == [True, False, False, False, True, False]
    assert check.value[0] == pytest.approx(7 / 9)
    assert spaceless_list("adult", texts, ["glorbex", "猫"], rules) == []
