"""Win rates: both orders, ties, and judges that favour a place."""

import pytest

from gristmill.align.chats import Answer, Chat
from gristmill.align.intervals import direction
from gristmill.align.judging import judge_by_score, win_rate, win_rate_table
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.chat import Message


def chats(count: int) -> list[Chat]:
    return [Chat(f"c{i}", (Message("user", f"question {i}"),)) for i in range(count)]


def length(answer: Answer, chat: Chat) -> float:
    return len(answer.content)


def rows(*contents: str) -> list[list[Answer]]:
    return [[Answer(content)] for content in contents]


def test_by_hand() -> None:
    found = win_rate(
        judge_by_score(length), chats(4), rows("aa", "a", "a", "aaa"), rows("a", "aa", "b", "a")
    )
    assert found.rate.value == pytest.approx(2.5 / 4)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.order_bias.value == found.inconsistent.value == 0
    assert found.each_P.tolist() == [1, 0, 0.5, 1]


def test_a_margin_makes_ties() -> None:
    judge = judge_by_score(length, margin=1)
    assert judge(chats(1)[0], Answer("aa"), Answer("a")) == 0.5
    assert judge(chats(1)[0], Answer("aaa"), Answer("a")) == 1
    assert judge(chats(1)[0], Answer("a"), Answer("aaa")) == 0


def test_a_judge_that_takes_the_first_place_is_even_and_known_as_such() -> None:
    found = win_rate(lambda chat, first, second: 1.0, chats(6), rows(*"abcdef"), rows(*"uvwxyz"))
    assert found.rate.value == 0.5 and found.order_bias.value == 0.5
    assert found.inconsistent.value == 1 and found.ties == 6


def test_each_order_is_asked() -> None:
    asked: list[tuple[str, str]] = []

    def judge(chat: Chat, first: Answer, second: Answer) -> float:
        asked.append((first.content, second.content))
        return 0.5

    win_rate(judge, chats(1), rows("a"), rows("b"))
    assert asked == [("a", "b"), ("b", "a")]


def test_turned_round_it_is_the_rest() -> None:
    a = rows(*["x" * (3 + i % 4) for i in range(40)])
    b = rows(*["y" * (3 + i % 3) for i in range(40)])
    judge = judge_by_score(length)
    forward, backward = win_rate(judge, chats(40), a, b), win_rate(judge, chats(40), b, a)
    assert forward.rate.value == pytest.approx(1 - backward.rate.value)
    assert forward.rate.value > 0.5


def test_the_interval_resamples_prompts_not_answers() -> None:
    # Ten prompts of which seven are won by all their hundred answers: ten cases, not a thousand.
    a = [[Answer("aa" if i < 7 else "")] * 100 for i in range(10)]
    b = [[Answer("b")] * 100 for _ in range(10)]
    found = win_rate(judge_by_score(length), chats(10), a, b)
    assert found.rate.value == pytest.approx(0.7) and found.rate.n == 10
    assert direction(found.rate, 0.5) == 0


def test_weights_are_chances_to_be_picked() -> None:
    a = [[Answer("a"), Answer("aaa")]]
    found = win_rate(
        judge_by_score(length), chats(1), a, rows("bb"), weights=[[0.25, 0.75]]
    )  # fmt: skip
    assert found.rate.value == pytest.approx(0.75)


@pytest.mark.parametrize("verdict", [-0.1, 1.5, float("nan")])
def test_a_verdict_out_of_range_is_refused(verdict: float) -> None:
    with pytest.raises(GristmillError, match="the judge said"):
        win_rate(lambda *_: verdict, chats(1), rows("a"), rows("b"))


def test_what_cannot_be_judged_is_refused() -> None:
    judge = judge_by_score(length)
    for a, b, count in ((rows("a"), rows("b"), 2), ([[]], rows("b"), 1), ([], [], 0)):
        with pytest.raises(GristmillError):
            win_rate(judge, chats(count), a, b)


def test_table() -> None:
    found = win_rate(judge_by_score(length), chats(2), rows("aa", "a"), rows("a", "aa"))
    table = win_rate_table({"dpo": found})
    assert len(table.rows[0]) == len(table.columns)
