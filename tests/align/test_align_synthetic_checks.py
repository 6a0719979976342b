"""What is a document of what a generator answers, and what is not."""

import random

import pytest

from gristmill.align.novelty import Compared, Earlier
from gristmill.align.seeds import opening, passages
from gristmill.align.styles import STYLES, Style, drawn, styles_of
from gristmill.align.synthetic_checks import (
    Limits,
    Verdict,
    judged,
    refuses,
    up_to_a_sentence,
    without_remarks,
)
from gristmill.core.errors import GristmillError
from gristmill.infer.text import TextAnswer

R = random.Random(1)
SEED = " ".join(f"seed{R.randrange(900)}" for _ in range(150))
OWN = " ".join(f"own{R.randrange(900)}" for _ in range(60)) + "."
LIMITS = Limits(min_words=20, longest_run=15, most_copied=0.4)


def verdict(text: str, finish: str = "stop", earlier: Earlier | None = None, **more: object):  # type: ignore[no-untyped-def]
    limits = Limits(**{"min_words": 20, "longest_run": 15, "most_copied": 0.4, **more})  # type: ignore[arg-type]
    return judged(
        TextAnswer(text, finish),  # type: ignore[arg-type]
        instruction=STYLES["rephrase"].instruction,
        seed=Compared(SEED),
        earlier=earlier or Earlier(limits.near),
        limits=limits,
    )


def part(first: int, last: int) -> str:
    return " ".join(SEED.split()[first:last])


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        (OWN, "failed", "no answer"),
        (" \n", "stop", "empty"),
        ("I'm sorry, but I cannot help with that. " + OWN, "stop", "a refusal"),
        ("As an AI language model, " + OWN, "stop", "a refusal"),
        (OWN, "length", "cut at the limit of tokens"),
        ("Too few words.", "stop", "too short"),
        ("the river flows to the sea and " * 10, "stop", "repeats itself"),
        (f"{STYLES['rephrase'].instruction} {OWN}", "stop", "repeats its instruction"),
        (SEED, "stop", "a near-duplicate of its seed"),
        (f"{part(0, 12)} own {part(30, 42)} own {part(60, 72)}", "stop", "copies its seed"),
        (f"{OWN} {part(10, 30)}", "stop", "a long passage of its seed"),
        (OWN, "stop", None),
        (f"{OWN} {part(10, 20)}", "stop", None),
    ],
)
def test_each_reason(text: str, finish: str, reason: str | None) -> None:
    assert verdict(text, finish).reason == reason


def test_a_text_like_an_earlier_one_is_none() -> None:
    earlier = Earlier(0.8)
    earlier.add([OWN])
    assert verdict(OWN, earlier=earlier).reason == "a near-duplicate of another synthetic text"


def test_a_cut_answer_can_end_with_its_last_sentence() -> None:
    found = verdict(f"{OWN} And then there", "length", cut="trim")
    assert found.reason is None and found.text == OWN
    assert verdict("no sentence ends " * 20, "length", cut="trim").reason is not None
    assert up_to_a_sentence('He said "no." And 3.5 m') == 'He said "no."'


def test_texts_without_spaces_have_words_and_sentences() -> None:
    text = "河流穿过城市。" + "".join(chr(0x4E00 + 7 * n) for n in range(60)) + "。"
    assert verdict(text).reason is None
    assert verdict(text[:10]).reason == "too short"
    found = verdict(f"{text}这里没有结", "length", cut="trim")
    assert found.reason is None and found.text == text
    assert opening("河流穿过城市。然后它流入大海去了。") == "河流穿过城市。"


def test_remarks_around_an_answer_go() -> None:
    assert without_remarks(f"Sure! Here is the text, rewritten:\n\n{OWN}") == OWN
    assert without_remarks(f"```text\n{OWN}\n```") == OWN
    assert without_remarks("Here is Rome: a city.") == "Here is Rome: a city."


def test_what_is_a_refusal() -> None:
    assert refuses("I can’t do that.") and refuses("Sorry, no.")
    assert not refuses("Sorry is a village in Japan. I cannot be found on most maps.")
    assert not refuses("I cannot believe that this town was once a harbour.")
    assert not refuses("Icannon is a printer.")
    assert refuses("Leider kann ich", ["leider kann"])


def test_a_verdict_of_a_kept_text_tells_its_likeness() -> None:
    found: Verdict = verdict(f"{OWN} {part(10, 20)}")
    assert found.likeness is not None and found.likeness.run == 10
    assert found.likeness.copied == pytest.approx(3 / (70 - 7))


def test_passages_hold_the_text_and_keep_to_their_length() -> None:
    r = random.Random(5)
    for _ in range(60):
        lengths = [r.choice((20, 80, 400)) for _ in range(r.randrange(1, 8))]
        text = "\n".join(
            " ".join(r.choice(("a", "bcd.", "efghij")) for _ in range(n)) for n in lengths
        )
        found = passages(text, characters=300, most=1000)
        assert " ".join(found).split() == text.split()
        assert all(0 < len(one) <= 300 for one in found)
        assert passages(text, characters=300, most=2) == found[:2]
    assert passages("x" * 1000, characters=300, most=9) == ["x" * 300] * 3 + ["x" * 100]
    assert passages(" \n ", characters=300, most=9) == []


def test_an_opening_ends_with_a_sentence() -> None:
    assert opening("One is here. Two is there. Three is not to be seen at all.") == (
        "One is here. Two is there."
    )


def test_what_a_seed_says_is_no_template() -> None:
    style = Style("own", "Say it anew: {text}!")
    assert style.prompt("braces {text} and {0}") == "Say it anew: braces {text} and {0}!"
    assert STYLES["continue"].prompt("One is. Two is longer than it.") == "One is."


def test_styles_are_drawn_evenly_and_the_same_each_time() -> None:
    styles = styles_of(("rephrase", "questions", "textbook"))
    firsts = [drawn(styles, 1, 7, f"seed{n}", 0)[0].name for n in range(300)]
    assert firsts == [drawn(styles, 1, 7, f"seed{n}", 0)[0].name for n in range(300)]
    assert all(70 < firsts.count(style.name) < 130 for style in styles)
    assert drawn(styles, 5, 7, "x") == styles


def test_styles_that_cannot_be(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name, text in (
        ("none.txt", "no place"),
        ("two.txt", "{text} {text}"),
        ("a b.txt", "{text}"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(GristmillError):
            styles_of((), [str(tmp_path / name)])
    with pytest.raises(GristmillError, match="no style 'rephrasing'"):
        styles_of(("rephrasing",))
    with pytest.raises(GristmillError, match="two styles"):
        styles_of(("rephrase", "rephrase"))
    (tmp_path / "simple.txt").write_text("Simply: {text}", encoding="utf-8")
    assert styles_of((), [str(tmp_path / "simple.txt")])[0].name == "simple"
