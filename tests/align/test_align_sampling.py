"""Answers sampled from a small untrained model, and what they come to."""

from dataclasses import replace

import pytest
import torch

from gristmill.align.answering import (
    Answered,
    Answering,
    alike,
    evaluate_answers,
    invented_by_set,
)
from gristmill.align.chats import Answer, Chat
from gristmill.align.sampling import (
    CHUNK_PROMPTS,
    HowSampled,
    answer_of,
    fitting,
    sample_answers,
    sampled_figures,
)
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion, Request
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges

TEXTS = ["What is a river? A river is a stream of water.", "Who was Otto Holm? A poet."] * 5


@pytest.fixture(scope="module")
def chat_format() -> ChatFormat:
    return ChatFormat.native(train_tokenizer(TEXTS, 300))


@pytest.fixture(scope="module")
def model(chat_format: ChatFormat) -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(chat_format.tokenizer.vocab_size, 32, 2, 2, 1, 16, 48, 64)
    model = Transformer(config)
    model.init_weights(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model


def chat(number: int, words: int = 4) -> Chat:
    question = " ".join(f"word{number + i}" for i in range(words)) + "?"
    said = (Message("user", question), Message("assistant", "the reference"))
    return Chat(f"c{number}", said, f"g{number}", "description", {"title": "x", "answer": "y"})


CHATS = [chat(number) for number in range(5)]
HOW = HowSampled(samples=3, max_tokens=12)


def test_the_first_answer_is_greedy_and_the_others_are_draws(
    model: Transformer, chat_format: ChatFormat
) -> None:
    engine = Engine(model)
    sampled = sample_answers(engine, chat_format, CHATS, HOW, seed=1, context=64)
    assert [one.id for one in sampled] == [c.id for c in CHATS]
    for one, asked in zip(sampled, CHATS, strict=True):
        assert one.messages == asked.messages[:1] and one.truth == asked.truth
        assert len(one.answers) == 4
        assert (one.group, one.kind) == (asked.group, asked.kind)
    colder = sample_answers(engine, chat_format, CHATS, HOW, seed=2, context=64)
    assert [one.answers[0] for one in sampled] == [one.answers[0] for one in colder]
    assert all(a.answers[1:] != b.answers[1:] for a, b in zip(sampled, colder, strict=True))


def test_an_answer_is_the_same_alone_and_in_company(
    model: Transformer, chat_format: ChatFormat
) -> None:
    def answers(chats: list[Chat], samples: int) -> dict[str, list[tuple[str, bool, int | None]]]:
        how = replace(HOW, samples=samples)
        found = sample_answers(Engine(model), chat_format, chats, how, seed=1, context=64)
        return {one.id: [(a.content, a.stopped, a.tokens) for a in one.answers] for one in found}

    all_of_them, one = answers(CHATS, 3), answers([CHATS[3]], 3)
    assert one["c3"] == all_of_them["c3"]
    # More draws leave the first ones as they were.
    assert answers([CHATS[3]], 5)["c3"][:4] == one["c3"]


def test_log_probabilities_are_those_of_the_answer_with_its_end(
    model: Transformer, chat_format: ChatFormat
) -> None:
    seen: list[tuple[Request, Completion]] = []

    class Watching:
        def generate(self, requests: list[Request]) -> list[Completion]:
            found = Engine(model).generate(requests)
            seen.extend(zip(requests, found, strict=True))
            return found

    sampled = sample_answers(Watching(), chat_format, CHATS, HOW, seed=1, context=64)  # type: ignore[arg-type]
    flat = [answer for one in sampled for answer in one.answers]
    for (request, completion), answer in zip(seen, flat, strict=True):
        ids = [*request.prompt, *completion.tokens]
        (scores,) = Engine(model).score_tokens([ids])
        assert answer.log_probability == pytest.approx(
            float(scores[len(request.prompt) - 1 :].sum()), abs=1e-3
        )
        assert answer.tokens == len(completion.tokens)
        # At the length limit nothing ended, and nobody says that it did; the end of a document is
        # no end of an answer either.
        assert answer.stopped == (completion.tokens[-1] == chat_format.end_id)
        assert (completion.finish == "stop") == (completion.tokens[-1] in chat_format.stop_ids)
        assert "<|im_end|>" not in answer.content


def test_prompts_that_fill_the_context_are_rejects(
    model: Transformer, chat_format: ChatFormat
) -> None:
    chats = [chat(0), chat(1, words=40), chat(2)]
    kept, rejects = fitting(chats, chat_format, 64)
    assert [c.id for c in kept] == ["c0", "c2"]
    assert rejects[0]["where"] == "c1" and "leaves no room" in rejects[0]["reason"]
    sampled = sample_answers(Engine(model), chat_format, chats, HOW, seed=1, context=64)
    assert [one.id for one in sampled] == ["c0", "c2"]
    answered = evaluate_answers(Engine(model), chat_format, chats, context=64, max_tokens=4)
    assert [a.chat.id for a in answered.answered] == ["c0", "c2"]


def test_figures_of_a_sampling(model: Transformer, chat_format: ChatFormat) -> None:
    chats = [chat(number) for number in range(CHUNK_PROMPTS + 3)]
    sampled = sample_answers(Engine(model), chat_format, chats, HOW, seed=1, context=64)
    assert len(sampled) == len(chats)
    figures = sampled_figures(sampled)
    drawn = [answer for one in sampled for answer in one.answers[1:]]
    assert figures["stops"].value == sum(a.stopped for a in drawn) / len(drawn)
    assert figures["stops"].n == 3 * len(chats) and figures["stops.greedy"].n == len(chats)
    assert figures["tokens"].value == pytest.approx(sum(a.tokens or 0 for a in drawn) / len(drawn))
    same = replace(sampled[0], answers=(drawn[0],) * 5)
    assert sampled_figures([same])["distinct"].value == pytest.approx(1 / 4)


def answered(kind: str, outcome: str, stopped: bool) -> Answered:
    asked = replace(CHATS[0], kind=kind)
    return Answered(asked, Answer("said", stopped, tokens=3), outcome, 0.5)  # type: ignore[arg-type]


def test_invented_is_wrong_and_not_said_to_be_unknown() -> None:
    answering = Answering(
        [
            answered("topic", "right", True),
            answered("topic", "wrong", True),
            answered("summary", "unknown", True),
            answered("summary", "wrong", False),
        ]
    )
    figures = answering.figures()
    assert [figures[n].value for n in ("right", "invented", "unknown", "stops")] == [
        0.25, 0.5, 0.25, 0.75
    ]  # fmt: skip
    assert figures["right"].n == 4 and figures["right"].low is not None
    assert answering.figures(["summary"])["invented"].value == 0.5
    rows = answering.table("t").rows
    assert [row[0] for row in rows] == ["summary", "topic", "all"] and rows[-1][1] == 4
    shown = answering.samples("s").rows
    assert shown[3]["answer"] == "said [not ended]" and shown[2]["verdict"] == "I do not know"
    assert [r[:2] for r in invented_by_set({"seen": answering}).rows] == [["seen", 4]]


def test_sets_are_compared_on_as_many_questions_of_each_kind() -> None:
    def judged(*kinds: str) -> Answering:
        return Answering([answered(kind, "right", True) for kind in kinds])

    unjudged = replace(answered("topic", "wrong", True), chat=replace(CHATS[0], truth={}))
    seen = judged("topic", "field", "topic", "summary", "topic")
    unseen = Answering([unjudged, *judged("summary", "topic", "summary", "topic").answered])
    found = {"seen": seen, "unseen": unseen}
    compared = alike(found)
    assert [one.chat.kind for one in compared["seen"].answered] == ["topic", "topic", "summary"]
    assert compared["seen"].answered[0] is seen.answered[0]
    assert [one.chat.kind for one in compared["unseen"].answered] == ["summary", "topic", "topic"]
    table = invented_by_set(found)
    assert [row[:2] for row in table.rows] == [["seen", 3], ["unseen", 3]]
    assert "summary 1, topic 2. Left out, as not every set has any: field." in table.note
    # Nothing is left out where there is nothing to compare, or nothing that is alike.
    apart = {"seen": judged("field"), "unseen": judged("topic", "topic")}
    for one, said in (({"seen": seen}, ""), ({"seen": seen, "unseen": seen}, ""), (apart, "No ki")):
        assert alike(one) == one and invented_by_set(one).note[:5] == said


def test_greedy_answers_are_judged_by_the_rule(chat_format: ChatFormat) -> None:
    class Saying:
        def generate(self, requests: list[Request]) -> list[Completion]:
            ids = chat_format.answer("Otto Holm belongs to Arts.")
            assert all(request.sampling.temperature == 0 for request in requests)
            return [Completion(ids, [0.0] * len(ids), "stop") for _ in requests]

    truth = {"title": "Otto Holm", "name": "Otto Holm", "topic": "Arts"}
    chats = [
        replace(CHATS[0], kind="topic", truth=truth),
        replace(CHATS[1], kind="topic", truth=truth | {"topic": "History"}),
    ]
    found = evaluate_answers(Saying(), chat_format, chats, context=64)  # type: ignore[arg-type]
    assert [a.outcome for a in found.answered] == ["right", "wrong"]
    assert found.answered[0].score == pytest.approx(1.0)
    assert found.figures()["stops"].value == 1.0


def test_an_answer_that_strays_to_the_end_of_a_document_has_not_ended() -> None:
    chat = ChatFormat.native(Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4")))
    end, eot = chat.stop_ids
    ended, strayed = (
        answer_of(Completion([104, 105, last], [-0.1] * 3, "stop"), chat) for last in (end, eot)
    )
    assert ended.stopped and not strayed.stopped and ended.content == strayed.content == "hi"
    # What is rendered of it again ends as it did: with nothing that was not sampled.
    assert chat.answer(strayed.content, stopped=strayed.stopped)[-1] != end
