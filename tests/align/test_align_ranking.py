"""Preferences from scores, from a reward model and from people."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gristmill.align.chats import Answer, Answers, read_preferences, write_records
from gristmill.align.ranking import (
    HowPaired,
    preference_figures,
    preference_samples,
    rank,
    rank_by_hand,
    score_by_reward,
    score_by_rule,
    with_scores,
)
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.training import train_tokenizer


def prompt(name: str, *scores: float, texts: Sequence[str] | None = None) -> Answers:
    said = texts or [f"answer {place} of {name}" for place in range(len(scores))]
    answers = tuple(Answer(t, score=s) for t, s in zip(said, scores, strict=True))
    return Answers(name, (Message("user", f"What is {name}?"),), answers, name, "description")


def numbers(one: Answers, how: HowPaired) -> list[tuple[int, int, str | None]]:
    made = rank([one], how, "rule").preferences
    place = {answer.content: i for i, answer in enumerate(one.answers)}
    return [(place[p.chosen.content], place[p.rejected.content], p.baseline) for p in made]


def test_pairs_are_of_the_drawn_answers_and_meet_the_baseline_apart() -> None:
    one = prompt("x", 0.5, 0.9, 0.1, 0.6)
    assert numbers(one, HowPaired("all", 0.0, 9)) == [
        (1, 2, None), (3, 2, None), (1, 3, None),
        (1, 0, "rejected"), (0, 2, "chosen"), (3, 0, "rejected"),
    ]  # fmt: skip
    assert numbers(one, HowPaired("extremes", 0.0, 9, baseline=False)) == [(1, 2, None)]
    assert numbers(one, HowPaired("all", 0.0, 2, baseline=False)) == [(1, 2, None), (3, 2, None)]


def test_ties_are_dropped_and_counted() -> None:
    one = prompt("x", 0.5, 0.52, 0.5, 0.9)
    ranked = rank([one], HowPaired("all", 0.1, 9), "rule")
    assert ranked.counts["ties"] == 1 and ranked.counts["baseline_ties"] == 2
    assert ranked.counts["pairs"] == 2 and ranked.counts["baseline_pairs"] == 1
    level = prompt("y", 0.5, 0.5, 0.5)
    ranked = rank([level], HowPaired("all", 0.0, 9), "rule")
    assert not ranked.preferences and ranked.counts["prompts_without_pairs"] == 1


def test_equal_texts_make_no_pair_whatever_their_scores() -> None:
    one = prompt("x", 0.2, 0.9, 0.1, 0.9, texts=["base", "same", "same", "same"])
    ranked = rank([one], HowPaired("all", 0.0, 9), "rule")
    assert ranked.counts["pairs"] == 0
    # A text drawn twice says the same thing against a third once.
    one = prompt("x", 0.2, 0.9, 0.9, 0.1, texts=["base", "good", "good", "bad"])
    assert rank([one], HowPaired("all", 0.0, 9), "rule").counts["pairs"] == 1


def test_noise_turns_its_share_round_and_the_same_labels_always() -> None:
    prompts = [prompt(f"p{n}", 0.5, 0.9, 0.1) for n in range(400)]
    clean = rank(prompts, HowPaired(), "rule", 5)
    noisy = rank(prompts, HowPaired(noise=0.2), "rule", 5)
    assert clean.counts["flipped"] == 0
    share = noisy.counts["flipped"] / len(noisy.preferences)
    assert 0.15 < share < 0.25
    wrong = {p.id for p in noisy.preferences if p.chosen.score < p.rejected.score}  # type: ignore[operator]
    assert len(wrong) == noisy.counts["flipped"]
    some = rank(prompts[100:200], HowPaired(noise=0.2), "rule", 5)
    assert [p for p in noisy.preferences if p.group in {q.group for q in prompts[100:200]}] == (
        some.preferences
    )
    # Who is the baseline does not change when a label does.
    for p in noisy.preferences:
        if p.baseline is not None:
            side = p.chosen if p.baseline == "chosen" else p.rejected
            assert side.content.startswith("answer 0")


def test_figures_tell_the_length_bias_of_the_labels() -> None:
    texts = ["base", "a long answer of many words", "short", "one two"]
    ranked = rank([prompt("x", 0.5, 0.9, 0.1, 0.3, texts=texts)], HowPaired("all", 0, 9), "rule")
    figures = preference_figures(ranked.preferences)
    assert figures["pairs"].value == 3 and figures["baseline_pairs"].value == 3
    assert figures["chosen_longer"].value == 1.0 and figures["chosen_longer"].n == 3
    assert figures["baseline_beaten"].value == pytest.approx(1 / 3)
    shown = preference_samples(ranked.preferences, "pairs").rows[0]
    assert shown["chosen"] == "(0.90) a long answer of many words"


def test_preferences_survive_their_file(tmp_path: Path) -> None:
    made = rank([prompt("x", 0.5, 0.9, 0.1)], HowPaired(), "rule").preferences
    write_records(tmp_path / "p.jsonl", made)
    read, rejects = read_preferences(tmp_path / "p.jsonl")
    assert read == made and not rejects
    assert {p.source for p in read} == {"rule"}


def test_preferences_with_lists_of_messages_are_taken(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Why?"}
    yes, no = ({"role": "assistant", "content": text} for text in ("Because.", "No."))
    lines = [
        {"prompt": [asked], "chosen": [yes], "rejected": [no]},
        {"chosen": [asked, yes], "rejected": [asked, no]},
        {"prompt": "Why?", "chosen": [yes], "rejected": [no]},
        {"chosen": [asked, yes], "rejected": [{**asked, "content": "How?"}, no]},
        {"prompt": [asked], "chosen": [asked], "rejected": [no]},
        {"prompt": [asked], "chosen": [{"role": "assistant"}], "rejected": [no]},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "p.jsonl").write_text(text, encoding="utf-8")
    read, rejects = read_preferences(tmp_path / "p.jsonl")
    found = [(p.messages[0].content, p.chosen.content, p.rejected.content) for p in read]
    assert found == [("Why?", "Because.", "No.")] * 3
    assert all(len(p.messages) == 1 for p in read)
    assert [r["where"] for r in rejects] == ["p.jsonl:4", "p.jsonl:5", "p.jsonl:6"]
    assert "the same messages" in rejects[0]["reason"]


def test_a_reward_model_reads_the_prompt_and_an_end_that_was_given() -> None:
    tokenizer = train_tokenizer(["What is x? answer of many things"] * 9, 300)
    chat_format = ChatFormat.native(tokenizer)
    seen: list[list[int]] = []

    def reward(conversations: list[list[int]]) -> list[float]:
        seen.extend(conversations)
        return [float(len(ids)) for ids in conversations]

    message = Message("user", "What is x?")
    cut, whole = Answer("answer", stopped=False), Answer("answer", stopped=True)
    one = Answers("x", (message,), (whole, cut))
    (scored,) = with_scores([one], score_by_reward(reward, chat_format))
    assert [a.score for a in scored.answers] == [float(len(seen[0])), float(len(seen[1]))]
    assert seen[0] == [*seen[1], chat_format.end_id]
    assert seen[0] == chat_format.render([message, Message("assistant", "answer")]).ids


def test_scores_by_rule_stand_in_order() -> None:
    scored = with_scores(
        [prompt("x", 0, 0), prompt("y", 0)], score_by_rule(lambda a, c: len(a.content))
    )
    assert [[a.score for a in one.answers] for one in scored] == [[13.0, 13.0], [13.0]]


def by_hand(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "hand.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return path


def test_rankings_by_hand(tmp_path: Path) -> None:
    answers = [prompt("x", 0, 0, 0, 0), prompt("y", 0, 0)]
    path = by_hand(
        tmp_path,
        {"id": "x", "ranking": [3, 0, 1]},
        {"id": "y", "chosen": 1, "rejected": 0},
        {"id": "y", "chosen": "written by a person", "rejected": 1},
    )
    ranked = rank_by_hand(answers, path, HowPaired())
    made = [(p.chosen.content, p.rejected.content, p.baseline) for p in ranked.preferences]
    assert made == [
        ("answer 3 of x", "answer 1 of x", None),
        ("answer 3 of x", "answer 0 of x", "rejected"),
        ("answer 0 of x", "answer 1 of x", "chosen"),
        ("answer 1 of y", "answer 0 of y", "rejected"),
        ("written by a person", "answer 1 of y", None),
    ]
    assert {p.source for p in ranked.preferences} == {"hand"} and not ranked.rejects


def test_what_a_person_wrote_wrongly_is_a_reject(tmp_path: Path) -> None:
    wrong: list[object] = [
        "not json",
        {"id": "nobody", "ranking": [0, 1]},
        {"id": "x", "ranking": [0, 7]},
        {"id": "x", "ranking": [1, 1]},
        {"id": "x", "ranking": 3},
        {"id": "x", "chosen": True, "rejected": 0},
        {"id": "x"},
        [1, 2],
        {"id": "x", "chosen": 1, "rejected": 1},
    ]
    path = by_hand(tmp_path, *wrong, {"id": "x", "ranking": [1, 0]})
    ranked = rank_by_hand([prompt("x", 0, 0)], path, HowPaired())
    assert len(ranked.rejects) == len(wrong) and len(ranked.preferences) == 1
    assert ranked.rejects[1]["where"] == "hand.jsonl:2"
    with pytest.raises(GristmillError, match="no such file"):
        rank_by_hand([], tmp_path / "none.jsonl", HowPaired())
