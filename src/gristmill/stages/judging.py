"""What `evaluate judge` joins: contestants that answer, judges, and labels to agree with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_json
from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress
from gristmill.core.seeds import derive_seed
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    from gristmill.align.chats import Answer, Chat
    from gristmill.evaluate.judge import JudgePair
    from gristmill.evaluate.judges import Said, ScoreJudge
    from gristmill.infer.text import LocalText


@dataclass(frozen=True)
class Asked:
    """How contestants answer. temperature 0 takes the most probable tokens."""

    max_tokens: int
    temperature: float
    max_rows: int


def local_text(artifact: Artifact, output: Output, max_rows: int) -> LocalText:
    """A model artifact as a generator of text: an assistant in its chat format, a base model in
    plain text."""
    from gristmill.infer.engine import Engine
    from gristmill.infer.text import LocalText
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.chat_layouts import read_layout
    from gristmill.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(artifact.path)
    layout = read_layout(artifact.path)
    engine: Any = Engine(
        load_model(artifact.path, choose_device(output.execution.device)), max_rows=max_rows
    )
    return LocalText(engine, tokenizer, ChatFormat(layout, tokenizer) if layout else None)


def answers_of(
    artifact: Artifact,
    name: str,
    chats: Sequence[Chat],
    how: Asked,
    output: Output,
    bar: Progress,
    split: str,
) -> dict[str, Answer]:
    """One answer to each chat's prompt, by the chat's id: the model's own, or those that lie in an
    answers artifact (its greedy ones). What has no answer is missing, and among the rejects."""
    from gristmill.align.chats import Answer, read_answers
    from gristmill.infer.text import TextRequest

    if artifact.kind == "answers":
        records, rejects = read_answers(artifact.file(f"{split}.jsonl"))
        output.reject(f"answers.{name}", rejects)
        return {one.id: one.answers[0] for one in records}
    requests = [
        TextRequest(
            tuple(chat.prompt), how.max_tokens, how.temperature,
            derive_seed(output.seed, "answers", name, chat.id),
        )
        for chat in chats
    ]  # fmt: skip
    found, unanswered = {}, []
    answered = local_text(artifact, output, how.max_rows).answer(requests, bar)
    for chat, answer in zip(chats, answered, strict=True):
        if answer.finish == "failed":
            unanswered.append(
                {"where": chat.id, "reason": answer.error, "sample": chat.prompt[-1].content[:200]}
            )
        else:
            found[chat.id] = Answer(
                answer.text, stopped=answer.finish == "stop", tokens=answer.tokens_out
            )
    output.counts[f"unanswered_{name}"] = output.reject(f"answers.{name}", unanswered)
    return found


def pairs_of(
    chats: Sequence[Chat], baseline: Mapping[str, Answer], model: Mapping[str, Answer]
) -> list[JudgePair]:
    """The baseline's answer and the model's to each prompt."""
    from gristmill.evaluate.judge import JudgePair

    return [
        JudgePair(
            chat.id,
            instruction_of(chat),
            baseline[chat.id].content,
            model[chat.id].content,
            baseline[chat.id].stopped,
            model[chat.id].stopped,
            chat,
        )
        for chat in chats
    ]


def instruction_of(chat: Any) -> str:
    """What was asked, as text: the one message, or the conversation with its roles."""
    prompt = prompt_of(chat)
    if len(prompt) == 1:
        return str(prompt[0].content)
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt)


def reward_judge(artifact: Artifact, output: Output, batch_tokens: int) -> ScoreJudge:
    """A reward model as a judge: soft where its scores mean probabilities."""
    from gristmill.align.reward import RewardModel
    from gristmill.evaluate.judges import ScoreJudge
    from gristmill.model.device import choose_device
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer

    model = RewardModel.load(artifact.path, choose_device(output.execution.device))
    chat_format = ChatFormat.load(artifact.path, Tokenizer.load(artifact.path))

    def score(said: Sequence[Said]) -> list[float]:
        conversations = [
            chat_format.prompt(prompt_of(one.about))
            + chat_format.answer(one.text, stopped=one.ended)
            for one in said
        ]
        return [float(value) for value in model.raw(conversations, batch_tokens=batch_tokens)]

    return ScoreJudge("reward", score, soft=model.form == "bradley_terry")


def prompt_of(about: Any) -> Any:
    """The messages of a record up to the answer."""
    return getattr(about, "prompt", about.messages)


def rule_judge(name: str | None, margin: float) -> ScoreJudge:
    """The gold rule, or a user's, as a judge."""
    from gristmill.align.chats import Answer
    from gristmill.align.rules import load_rule
    from gristmill.evaluate.judges import ScoreJudge

    rule = load_rule(name)

    def score(said: Sequence[Said]) -> list[float]:
        return [rule(Answer(one.text, stopped=one.ended), one.about) for one in said]

    return ScoreJudge("rule" if name is None else name.rpartition(":")[2], score, margin=margin)


@dataclass(frozen=True)
class Labelled:
    """Pairs with what a reference says of the second answer, in [0, 1]."""

    pairs: list[JudgePair]
    reference: list[float]
    groups: list[str]


def labelled_pairs(
    artifact: Artifact | None, files: Sequence[str], most: int, output: Output
) -> Labelled:
    """Labels of people: preferences (chosen, rejected) or battles (winner), the first `most`.

    Which answer stands second is drawn from the pair, or the reference would always say the same.
    """
    from gristmill.align.chats import Chat, read_preferences
    from gristmill.evaluate.arena import read_battles
    from gristmill.evaluate.judge import JudgePair
    from gristmill.tokenizer.chat import Message

    found = Labelled([], [], [])

    def add(pair: JudgePair, preference: float, group: str) -> None:
        turn = derive_seed(0, "side", pair.id) % 2 == 1
        found.pairs.append(pair.turned() if turn else pair)
        found.reference.append(1 - preference if turn else preference)
        found.groups.append(group)

    for path, battles in _label_files(artifact, files):
        if battles:
            fought, rejects = read_battles(path)
            for one in fought:
                chat = Chat(one.id, (Message("user", one.prompt),))
                preference = {"a": 0.0, "b": 1.0}.get(one.winner, 0.5)
                if not (one.answer_a and one.answer_b):
                    reason = "has no answers to judge"
                    sample = f"{one.model_a}, {one.model_b}: {one.prompt[:200]}"
                    rejects.append({"where": one.id, "reason": reason, "sample": sample})
                    continue
                add(
                    JudgePair(one.id, one.prompt, one.answer_a, one.answer_b, about=chat),
                    preference,
                    one.prompt,
                )
        else:
            preferred, rejects = read_preferences(path)
            for made in preferred:
                add(
                    JudgePair(
                        made.id, instruction_of(made), made.rejected.content, made.chosen.content,
                        made.rejected.stopped, made.chosen.stopped, made,
                    ),
                    1.0,
                    made.group,
                )  # fmt: skip
        output.counts["labels_rejected"] = output.counts.get("labels_rejected", 0) + output.reject(
            "labels", rejects
        )
    return Labelled(found.pairs[:most], found.reference[:most], found.groups[:most])


def _label_files(artifact: Artifact | None, files: Sequence[str]) -> list[tuple[Any, bool]]:
    found: list[tuple[Any, bool]] = []
    if artifact is not None:
        battles = artifact.kind == "battles"
        names = ["battles.jsonl"] if battles else ["heldout.jsonl", "train.jsonl"]
        found += [
            (artifact.path / name, battles) for name in names if (artifact.path / name).is_file()
        ]
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            found.append((path, '"winner"' in file.readline()))
    return found


def read_questions(path: str) -> tuple[list[Chat], list[dict[str, str]]]:
    """A user's questions, JSON Lines: {"prompt": ...}, {"instruction": ...} or {"messages": [...]}.

    A last message that is an answer is left out of what is asked.
    """
    from gristmill.align.chats import Chat
    from gristmill.tokenizer.chat import Message, check_messages

    found: list[Chat] = []
    rejects: list[dict[str, str]] = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
                given = value.get("messages")
                text = next(
                    (value[k] for k in ("prompt", "instruction", "question") if value.get(k)), ""
                )
                messages = [
                    Message(one["role"], one["content"])
                    for one in (given or [{"role": "user", "content": text}])
                ]
                check_messages(messages)
                if not messages[-1].content:
                    raise ValueError("has no 'prompt', 'instruction' or 'messages'")
                name = (
                    str(value.get("id") or "")
                    or hash_json([[m.role, m.content] for m in messages])[:16]
                )
                truth = {str(k): str(v) for k, v in dict(value.get("truth") or {}).items()}
                kind = str(value.get("kind", ""))
                found.append(Chat(name, tuple(messages), name, kind, truth))
            except (ValueError, KeyError, TypeError, AttributeError, GristmillError) as error:
                reason = error.what if isinstance(error, GristmillError) else str(error)
                where = f"{Path(path).name}:{number}"
                rejects.append({"where": where, "reason": reason, "sample": line[:200].strip()})
    return found, rejects
