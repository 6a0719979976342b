"""Each rule on texts made to fail it and on texts just inside it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.filters.boilerplate import boilerplate
from gristmill.data.filters.c4 import C4Result, c4, line_rules
from gristmill.data.filters.chain import _lexicon
from gristmill.data.filters.checks import Check, above, below, verdicts
from gristmill.data.filters.fineweb import fineweb
from gristmill.data.filters.gopher import gopher_quality, gopher_repetition
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    SpamRules,
    WordListRules,
)
from gristmill.data.filters.spam import spam
from gristmill.data.filters.statistics import Statistics, read, text_statistics
from gristmill.data.filters.words import word_list

STOPS = tuple(GopherQualityRules().stop_words)
PROSE = (
    "The mill stands on the bank of a small river that runs through the valley. Farmers have "
    "brought their grain to it for three hundred years, and with every harvest the wheel turns "
    "from dawn until late in the evening. Inside, two stones grind wheat into flour, which is then "
    "sieved and filled into sacks. Visitors can see how it works on the first Sunday of the month."
)
ADULT = ("glimmwort", "snarfen", "zibbel fratz")


def statistics(*texts: str, c4_rules: C4Rules | None = None) -> Statistics:
    lines = line_rules(c4_rules or C4Rules(), FineWebRules().short_line)
    return text_statistics(list(texts), _lexicon(ADULT, (), STOPS), lines)


def judge_c4(text: str, rules: C4Rules) -> C4Result:
    lexicon, lines = _lexicon(ADULT, (), STOPS), line_rules(rules, 30)
    texts = pa.array([text])
    return c4(texts, read(texts, lexicon, lines), rules, lines)


def new_texts(result: C4Result) -> list[str]:
    found: list[str] = result.texts(np.flatnonzero(result.changed)).to_pylist()
    return found


def reasons(checks: list[Check], row: int = 0) -> list[str]:
    return [check.reason.partition(".")[2] for check in checks if check.failed[row]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, []),
        ("The mill is the best of the mills.", ["words"]),
        (" ".join(["a to of be"] * 13), ["mean_word_length"]),
        (
            " ".join(["incomprehensibility of the counterrevolutionary"] * 20),
            ["mean_word_length"],
        ),
        (PROSE + " # # # # # # # #", ["hashes"]),
        (PROSE + " so... " * 9 + "there.", ["ellipses"]),
        ("\n".join(f"- {line}" for line in PROSE.split(". ")), ["bullet_lines"]),
        (PROSE + "\nand so on…", ["ellipsis_lines"]),
        (PROSE + " 17 23 42" * 8, ["alpha_words"]),
        (" ".join(["mills grind wheat"] * 20), ["stop_words"]),
    ],
)
def test_gopher_quality(text: str, expected: list[str]) -> None:
    assert reasons(gopher_quality(statistics(text), GopherQualityRules())) == expected


def test_gopher_quality_takes_limits_from_the_config() -> None:
    text = "The mill is one of the best in the land, and that is known to all."
    s = statistics(text)
    assert reasons(gopher_quality(s, GopherQualityRules(min_words=None))) == []
    assert reasons(gopher_quality(s, GopherQualityRules(min_words=16))) == []
    assert reasons(gopher_quality(s, GopherQualityRules(min_words=17))) == ["words"]
    check = gopher_quality(s, GopherQualityRules(min_words=17))[0]
    assert check.detail(0) == "words 16 < 17"


def test_gopher_repetition() -> None:
    rules = GopherRepetitionRules()
    assert reasons(gopher_repetition(statistics(PROSE), rules)) == []
    lines = "\n".join([PROSE, "More.", "More.", "More.", "Less."])
    assert reasons(gopher_repetition(statistics(lines), rules)) == ["duplicate_lines"]
    paragraphs = reasons(gopher_repetition(statistics(f"{PROSE}\n\n{PROSE}"), rules))
    assert paragraphs[:4] == [
        "duplicate_lines",
        "duplicate_paragraphs",
        "duplicate_line_characters",
        "duplicate_paragraph_characters",
    ]
    grams = reasons(gopher_repetition(statistics(PROSE + " fresh new bread" * 20), rules))
    assert grams[:1] == ["top_2_gram"] and "duplicate_10_grams" in grams


def test_an_n_gram_that_occurs_once_counts_only_if_asked() -> None:
    s = statistics("Mathematics investigates abstract structures.")
    assert reasons(gopher_repetition(s, GopherRepetitionRules())) == []
    once = GopherRepetitionRules(count_single=True)
    assert "top_2_gram" in reasons(gopher_repetition(s, once))


def test_c4_judges_and_rewrites() -> None:
    rules = C4Rules()
    text = "\n".join(
        [
            "Menu",
            "The wheel turns all day long.[12] It grinds the wheat that farmers bring.",
            "No full stop stands at the end of this line",
            "Please enable Javascript to see the whole page.",
            "This site and its partners use cookies for everything.",
            "",
            "It is sold in the village shop.",
            "And so it goes on and on...",
        ]
    )
    result = judge_c4(text, rules)
    assert new_texts(result) == [
        "The wheel turns all day long. It grinds the wheat that farmers bring.\n\n"
        "It is sold in the village shop."
    ]
    assert reasons(result.checks) == []
    stricter = rules.model_copy(update={"min_sentences": 4})
    assert reasons(judge_c4(text, stricter).checks) == ["sentences"]
    judging = rules.model_copy(update={"rewrite": False})
    assert new_texts(judge_c4(text, judging)) == []


@pytest.mark.parametrize("extra", ["int main() { return 0; }", "Lorem Ipsum dolor sit amet."])
def test_c4_drops_pages_with_code_or_blind_text(extra: str) -> None:
    text = f"{PROSE}\n{extra}"
    assert len(reasons(judge_c4(text, C4Rules()).checks)) == 1


def test_sentences_are_not_ended_by_abbreviations() -> None:
    text = 'He lives in the U.S. with J. Smith. "It is good!" she said. And then? Nothing more.'
    assert statistics(text)["c4_sentences"][0] == 5


def test_a_citation_mark_alone_changes_a_text() -> None:
    text = "The wheel turns all day long.[1] So it does.\n\n\nAnd it turns all night as well.[edit]"
    rules = C4Rules()
    assert new_texts(judge_c4(text, rules)) == [text.replace("[1]", "").replace("[edit]", "")]
    marked = rules.model_copy(update={"citations": False})
    # Then the second line does not end like a sentence.
    assert new_texts(judge_c4(text, marked)) == ["The wheel turns all day long.[1] So it does."]


def test_fineweb() -> None:
    rules = FineWebRules()
    assert reasons(fineweb(statistics(PROSE), rules)) == []
    menu = "\n".join(["Home", "About the mill", "Contact"])
    assert reasons(fineweb(statistics(menu), rules))[:2] == ["ended_lines", "short_lines"]
    twice = f"{PROSE}\nThe mill is closed in winter and on all public holidays.\n" + (
        "The mill is closed in winter and on all public holidays."
    )
    assert reasons(fineweb(statistics(twice), rules)) == ["duplicate_line_characters"]
    verse = "\n\n".join(["The wheel turns round, the water falls."] * 3 + ["One."] * 2 + ["Two."])
    assert "newlines_per_word" in reasons(fineweb(statistics(verse), rules))


def test_boilerplate() -> None:
    pages = [
        "Sign in\nUser name\nPassword\nForgot your password?",
        "Page not found. The page you are looking for does not exist. Contact us.",
        "chess\nchoir\ngarden\nfilm\ncycling",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor a b c.",
        "",
        PROSE,
        PROSE + " Readers may sign in to leave a comment.",
    ]
    checks = boilerplate([page.lower() for page in pages], statistics(*pages), BoilerplateRules())
    kept = verdicts(checks, len(pages)).keep
    assert kept.tolist() == [False] * 5 + [True] * 2


def test_spam() -> None:
    pages = [
        "cheap watches online, buy watches, best watches discount, " * 12,
        " ".join(f"quartz{n} lamp{n} river{n} cedar{n}" for n in range(20)),
        "Buy pills today at the best price and save a lot! " * 9,
        PROSE,
    ]
    checks = spam(statistics(*pages), ["en"] * 4, SpamRules())
    verdict = verdicts(checks, 4)
    assert verdict.keep.tolist() == [False, False, False, True]
    assert verdict.reason[1] == "spam.function_words"
    # No list of function words, no verdict from them.
    unknown = verdicts(spam(statistics(pages[1]), ["xx"], SpamRules()), 1)
    assert unknown.keep.tolist() == [True]


def test_word_lists_go_by_density_whole_words_and_context() -> None:
    stuffed = "Hot glimmwort and SNARFENS here, zibbel fratz! Click for glimmworts now. " + PROSE
    quoting = PROSE + " An old letter calls the miller a glimmwort."
    inside = PROSE + " The unglimmwortly snarfenology of zibbel and of fratz."
    medical = (
        "Doctors treat patients with the disease in the clinic; the symptoms of the infection and "
        "the treatment are known from research on health. In slang the organ is called glimmwort, "
        "snarfen or, in school, zibbel fratz, as a survey of pupils found. " + PROSE
    )
    pages = [stuffed, quoting, inside, medical]
    s = statistics(*pages)
    assert s["hits:adult"].tolist() == [4, 1, 0, 3]
    assert verdicts(word_list("adult", s, WordListRules()), 4).keep.tolist() == [
        False,
        True,
        True,
        True,
    ]
    harsh = WordListRules(context_factor=1.0)
    assert not verdicts(word_list("adult", s, harsh), 4).keep[3]


def test_few_matches_are_no_reason_however_dense() -> None:
    s = statistics("A glimmwort is a snarfen.", "A glimmwort is a snarfen, a glimmwort.")
    assert verdicts(word_list("adult", s, WordListRules()), 2).keep.tolist() == [True, False]


def test_what_equals_a_limit() -> None:
    value = np.array([1.0, 2.0, 3.0])
    assert below("a", value, 2.0)[0].failed.tolist() == [True, False, False]
    assert below("a", value, 2.0, strict=False)[0].failed.tolist() == [True, True, False]
    assert above("a", value, 2.0)[0].failed.tolist() == [False, False, True]
    assert above("a", value, 2.0, strict=False)[0].failed.tolist() == [False, True, True]
    assert below("a", value, None) == above("a", value, None) == []


def test_the_first_reason_counts_and_all_are_recorded() -> None:
    failed = np.array([False, True])
    one = Check("a.x", np.array([0.0, 3.0]), ">", 2.0, failed)
    two = Check("b.y", np.array([0.0, 1.0]), "<", 2.0, failed)
    verdict = verdicts([one, two], 2)
    assert verdict.reason == [None, "a.x"]
    assert verdict.detail == [None, "x 3 > 2"]
    assert verdict.all_reasons == [[], ["a.x", "b.y"]]


def test_too_many_stop_words_are_refused() -> None:
    with pytest.raises(GristmillError, match="stop words"):
        Lexicon.build({}, [f"w{n}" for n in range(64)])
