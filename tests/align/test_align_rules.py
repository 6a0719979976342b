"""The gold rule: what it rewards, what it refuses, and that it is monotone."""

import itertools
import math
from pathlib import Path

import pytest

from gristmill.align.chats import Answer, Chat
from gristmill.align.rules import (
    MOST_WORDS,
    Verdict,
    combine,
    correct,
    degenerate,
    load_rule,
    score,
    word_f1,
)
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.chat import Message

TEXT = (
    "Louis-Hector Berlioz was a French Romantic composer and conductor. His output includes "
    "orchestral works such as the Symphonie fantastique and three operas."
)


def asked(kind: str, question: str, answer: str, **truth: str) -> Chat:
    base = {
        "title": "Hector Berlioz",
        "name": "Hector Berlioz",
        "description": "French composer (1803–1869)",
        "topic": "Arts",
        "text": TEXT,
    }
    messages = (Message("user", question), Message("assistant", answer))
    return Chat("1", messages, "hector berlioz", kind, base | truth | {"answer": answer})


DESCRIPTION = asked(
    "description",
    "Who was Hector Berlioz?",
    "Hector Berlioz was a French composer (1803–1869).",
)
TOPIC = asked(
    "topic", "Which field does Hector Berlioz belong to?", "Hector Berlioz belongs to Arts."
)
SUMMARY = asked("summary", "Tell me about Hector Berlioz.", TEXT)
TITLE = asked("title", f"Give a title for this text: {TEXT}", "Hector Berlioz")
FIELD = asked("field", f"Which field is this text about? {TEXT}", "This text is about Arts.")
UNKNOWN = asked("unknown", "Who was Hector Berlioz?", "I do not know Hector Berlioz.")
ALL = [DESCRIPTION, TOPIC, SUMMARY, TITLE, FIELD, UNKNOWN]


@pytest.mark.parametrize("chat", ALL, ids=lambda chat: chat.kind)
def test_the_reference_is_best_and_not_stopping_costs(chat: Chat) -> None:
    truth = chat.messages[-1].content
    assert score(Answer(truth), chat).total == pytest.approx(1.0, abs=0.02)
    cut = score(Answer(truth, stopped=False), chat)
    assert cut.total == pytest.approx(0.6 * score(Answer(truth), chat).total)
    assert correct(Answer(truth), chat) == ("unknown" if chat is UNKNOWN else "right")


@pytest.mark.parametrize("chat", ALL, ids=lambda chat: chat.kind)
@pytest.mark.parametrize("stopped", [True, False])
def test_what_says_nothing_earns_nothing(chat: Chat, stopped: bool) -> None:
    reference = chat.messages[-1].content
    for content in (
        "",
        "  \n",
        "...",
        "the of and",
        chat.messages[0].content,
        " ".join([reference] * 6),
        "a city in " * 12,
        "French French French",
        "What is a French composer?",
    ):
        assert score(Answer(content, stopped), chat).total == 0.0, content


def test_a_refusal_is_right_only_where_nothing_is_known() -> None:
    for chat in ALL[:-1]:
        refusal = Answer("I do not know Hector Berlioz.")
        # Better than an invention, far worse than the answer.
        assert score(refusal, chat).total == pytest.approx(0.2)
        assert correct(refusal, chat) == "unknown"
    assert score(Answer("I don't know."), UNKNOWN).total == pytest.approx(0.5)
    invented = Answer("Hector Berlioz was a French composer (1803–1869).")
    assert score(invented, UNKNOWN).total == 0.0 and correct(invented, UNKNOWN) == "wrong"


def test_knowledge_counts_more_than_the_title() -> None:
    near = score(Answer("Hector Berlioz was a French composer (1810–1880)."), DESCRIPTION)
    far = score(Answer("Hector Berlioz was a species of flowering plant."), DESCRIPTION)
    other = score(Answer("Tokyo is the capital of Japan."), DESCRIPTION)
    assert 1 > near.total > far.total > other.total == 0.0
    assert far.right == 0.0 and far.on_topic == pytest.approx(1 / 3)
    # The title stands in the question: repeating it is not knowledge.
    assert near.right == word_f1(
        "french composer 1810 1880".split(), "french composer 1803 1869".split()
    )
    assert correct(Answer("Hector Berlioz was a species of plant."), DESCRIPTION) == "wrong"


@pytest.mark.parametrize(
    ("content", "right"),
    [
        ("Hector Berlioz belongs to Arts.", 1.0),
        ("Arts", 1.0),
        ("It belongs to the field of Arts.", 1.0),
        ("Hector Berlioz belongs to History.", 0.0),
        ("Hector Berlioz belongs to Arts and History and Geography.", 0.0),
        ("Hector Berlioz belongs to Liberal Arts.", 0.0),
    ],
)
def test_a_topic_is_exact(content: str, right: float) -> None:
    assert score(Answer(content), TOPIC).right == right


def test_a_topic_that_stands_in_the_title() -> None:
    chat = asked(
        "topic", "?", "History of mathematics belongs to Mathematics.",
        title="History of mathematics", name="the history of mathematics", topic="Mathematics",
    )  # fmt: skip
    assert score(Answer("History of mathematics belongs to Mathematics."), chat).right == 1.0
    assert score(Answer("The history of mathematics belongs to History."), chat).right == 0.0


def test_the_total_rises_with_each_part() -> None:
    grid = (0.0, 0.3, 1.0)
    for parts in itertools.product(grid, repeat=4):
        for place in range(4):
            more = list(parts)
            more[place] = min(1.0, parts[place] + 0.5)
            assert combine(*more) >= combine(*parts)
            assert 0.0 <= combine(*parts) <= 1.0
    assert combine(1, 1, 1, 1) == pytest.approx(1.0)
    assert combine(1, 0, 0, 0) > combine(0, 1, 1, 1) * 0.9


def test_long_answers_lose_by_length() -> None:
    limit = MOST_WORDS["description"]
    words = [f"word{i}" for i in range(2 * limit)]
    assert score(Answer(" ".join(words[:limit])), DESCRIPTION).short == 1.0
    assert score(Answer(" ".join(words)), DESCRIPTION).short == 0.5


def test_f1_by_hand() -> None:
    assert word_f1(["a", "b", "b"], ["b", "c"]) == pytest.approx(2 * (1 / 3) * 0.5 / (1 / 3 + 0.5))
    assert word_f1([], ["a"]) == word_f1(["a"], []) == 0.0


def test_a_short_answer_out_of_the_prompt_is_no_echo() -> None:
    question = "Give a title for this text: The Battle of the Somme was a battle."
    assert not degenerate("Battle of the Somme", question)
    assert degenerate("Give a title for this text: The Battle of the Somme was", question)


def test_chats_without_truth_are_judged_by_their_own_answer() -> None:
    said = (Message("user", "Name a colour."), Message("assistant", "A colour is green."))
    own = Chat("1", said)
    assert score(Answer("green, a colour"), own).right > 0.5
    assert score(Answer("noise"), own).total == 0.0


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def length(answer, chat):\n    return len(answer.content) * (chat.kind != '')\n"
        "def wrong(answer, chat):\n    return 'good'\n",
        encoding="utf-8",
    )
    assert load_rule(f"{file}:length")(Answer("four"), DESCRIPTION) == 4.0
    with pytest.raises(GristmillError, match="returned 'good'"):
        load_rule(f"{file}:wrong")(Answer("x"), DESCRIPTION)
    with pytest.raises(GristmillError, match="has no function"):
        load_rule(f"{file}:nothing")
    assert load_rule(None)(Answer("Arts"), TOPIC) == score(Answer("Arts"), TOPIC).total
    assert isinstance(score(Answer("x"), TOPIC), Verdict)
    assert math.isfinite(score(Answer("x" * 10_000), SUMMARY).total)
