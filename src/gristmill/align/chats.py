"""The records of post-training, one JSON Lines schema each: chats, answers, preferences.

    chat        {"id", "group", "kind", "messages": [{"role", "content"}, ...], "truth": {...}}
    answers     {"id", "group", "kind", "messages": [...], "truth": {...},
                 "answers": [{"content", "stopped", ...}, ...]}
    preference  {"id", "group", "kind", "messages": [...], "truth": {...}, "source",
                 "chosen": {...}, "rejected": {...}, "baseline"}

Only `messages` (and what a record is about) must be given; the rest has defaults, so that a user's
own file is short. A record that cannot be used is among the rejects, with its line and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from gristmill.core.canonical import hash_json
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.chat import Message, Role

Ranker = Literal["rule", "reward", "hand"]
Baseline = Literal["chosen", "rejected"]


@dataclass(frozen=True)
class Chat:
    """A conversation that ends with an answer.

    group: what must not be torn apart between splits (the article a question is about). kind: of
    question. truth: what a rule needs to judge an answer (title, description, ...).
    """

    id: str
    messages: tuple[Message, ...]
    group: str = ""
    kind: str = ""
    truth: Mapping[str, str] = field(default_factory=dict)

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last answer; all of them where the last is no answer."""
        last = self.messages[-1]
        return self.messages[:-1] if last.role == "assistant" else self.messages


@dataclass(frozen=True)
class Answer:
    """What a model (or a person) answered.

    stopped: whether the end of the turn was given; where it was not, no one appends it.
    log_probability: nats, of all its tokens at the sampling temperature. tokens: how many.
    score: what a rule or a reward model gave it.
    """

    content: str
    stopped: bool = True
    log_probability: float | None = None
    tokens: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class Answers:
    """Several answers to one prompt. The first is the baseline: the greedy one."""

    id: str
    messages: tuple[Message, ...]
    answers: tuple[Answer, ...]
    group: str = ""
    kind: str = ""
    truth: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, the better one first.

    source: who said so. baseline: which of the two is the baseline answer, if one is.
    """

    id: str
    messages: tuple[Message, ...]
    chosen: Answer
    rejected: Answer
    group: str = ""
    kind: str = ""
    truth: Mapping[str, str] = field(default_factory=dict)
    source: Ranker = "hand"
    baseline: Baseline | None = None


Record = TypeVar("Record", Chat, Answers, Preference)
Rejects = list[dict[str, str]]


def read_chats(path: Path | str) -> tuple[list[Chat], Rejects]:
    """Conversations, and the records that are none. Raises GristmillError for a missing file."""
    return _read(path, _chat)


def read_answers(path: Path | str) -> tuple[list[Answers], Rejects]:
    """Prompts with their answers, and the records that are none."""
    return _read(path, _answers)


def read_preferences(path: Path | str) -> tuple[list[Preference], Rejects]:
    """Preferences, and the records that are none."""
    return _read(path, _preference)


def write_records(path: Path | str, records: Iterable[Chat | Answers | Preference]) -> int:
    """Writes one record a line; returns how many. What is unknown is left out."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for record in records:
            line = json.dumps(record_to_json(record), ensure_ascii=False, sort_keys=True)
            file.write(line + "\n")
            count += 1
    return count


def record_to_json(record: Chat | Answers | Preference) -> dict[str, Any]:
    """The line of a record."""
    line: dict[str, Any] = {
        "id": record.id,
        "group": record.group,
        "kind": record.kind,
        "messages": [{"role": m.role, "content": m.content} for m in record.messages],
        "truth": dict(record.truth),
    }
    if isinstance(record, Answers):
        line["answers"] = [_answer_to_json(answer) for answer in record.answers]
    if isinstance(record, Preference):
        line["chosen"] = _answer_to_json(record.chosen)
        line["rejected"] = _answer_to_json(record.rejected)
        line["source"], line["baseline"] = record.source, record.baseline
    return {key: value for key, value in line.items() if value not in (None, "", {})}


def _answer_to_json(answer: Answer) -> dict[str, Any]:
    line: dict[str, Any] = {"content": answer.content, "stopped": answer.stopped}
    for name in ("log_probability", "score"):
        value = getattr(answer, name)
        if value is not None:
            line[name] = round(float(value), 6)
    if answer.tokens is not None:
        line["tokens"] = answer.tokens
    return line


class _Unfit(Exception):
    """Why a line is no record."""


def _read(
    path: Path | str, parse: Callable[[dict[str, Any]], Record]
) -> tuple[list[Record], Rejects]:
    path = Path(path)
    if not path.is_file():
        raise GristmillError("no such file of records", where=path)
    found: list[Record] = []
    rejects: Rejects = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise _Unfit("not a JSON object")
                found.append(parse(value))
            except (_Unfit, ValueError, RecursionError) as error:
                where = f"{path.name}:{number}"
                rejects.append({"where": where, "reason": str(error), "sample": line[:200]})
    return found, rejects


def _chat(value: dict[str, Any]) -> Chat:
    messages = _messages(value)
    if messages[-1].role != "assistant":
        raise _Unfit("the last message is not an answer (role assistant)")
    return Chat(messages=messages, **_about(value, messages))


def _answers(value: dict[str, Any]) -> Answers:
    given = value.get("answers")
    if not isinstance(given, list) or not given:
        raise _Unfit("has no 'answers'")
    messages = _messages(value)
    answers = tuple(_answer(one, "answers") for one in given)
    return Answers(messages=messages, answers=answers, **_about(value, messages))


def _preference(value: dict[str, Any]) -> Preference:
    value = _without_lists(value)
    chosen, rejected = _answer(value.get("chosen"), "chosen"), _answer(
        value.get("rejected"), "rejected"
    )  # fmt: skip
    if (chosen.content, chosen.stopped) == (rejected.content, rejected.stopped):
        raise _Unfit("chosen and rejected are the same")
    source, baseline = value.get("source", "hand"), value.get("baseline")
    if source not in get_args(Ranker):
        raise _Unfit(f"source is none of {', '.join(get_args(Ranker))}")
    if baseline is not None and baseline not in get_args(Baseline):
        raise _Unfit("baseline is neither 'chosen' nor 'rejected'")
    messages = _messages(value)
    return Preference(
        messages=messages,
        chosen=chosen,
        rejected=rejected,
        source=source,
        baseline=baseline,
        **_about(value, messages),
    )


def _without_lists(value: dict[str, Any]) -> dict[str, Any]:
    """The layout in which each side is a list of messages, with the prompt before it or apart."""
    chosen, rejected = value.get("chosen"), value.get("rejected")
    if not (isinstance(chosen, list) and isinstance(rejected, list) and chosen and rejected):
        return value
    prompt = value.get("messages", value.get("prompt"))
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    before = prompt if isinstance(prompt, list) else chosen[:-1]
    sides = {}
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        *said, last = side
        if said not in ([], before):
            raise _Unfit("chosen and rejected do not answer the same messages")
        if not isinstance(last, dict) or last.get("role", "assistant") != "assistant":
            raise _Unfit(f"the last message of '{name}' is not an answer (role assistant)")
        sides[name] = {"content": last.get("content")}
    return {**value, "messages": before, **sides}


def _about(value: dict[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
    truth = value.get("truth", {})
    if not isinstance(truth, dict):
        raise _Unfit("'truth' is not a JSON object")
    # Records without an id are told apart by what they ask.
    asked = hash_json([[m.role, m.content] for m in messages if m.role != "assistant"])[:16]
    given = str(value.get("id", "")) or asked
    return {
        "id": given,
        "group": str(value.get("group", "")) or given,
        "kind": str(value.get("kind", "")),
        "truth": {str(key): str(item) for key, item in truth.items()},
    }


def _messages(value: dict[str, Any]) -> tuple[Message, ...]:
    given = value.get("messages")
    if given is None and isinstance(value.get("prompt"), list):
        given = value["prompt"]
    if given is None and isinstance(value.get("prompt"), str):
        given = [{"role": "user", "content": value["prompt"]}]
    if not isinstance(given, list) or not given:
        raise _Unfit("has no 'messages'")
    found = []
    for message in given:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise _Unfit("a message without 'content'")
        role = message.get("role")
        if role not in get_args(Role):
            raise _Unfit(f"a message's role is none of {', '.join(get_args(Role))}")
        found.append(Message(cast(Role, role), message["content"]))
    return tuple(found)


def _answer(value: Any, name: str) -> Answer:
    if isinstance(value, str):
        value = {"content": value}
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise _Unfit(f"'{name}' is not an answer")
    numbers: dict[str, float | None] = {}
    for key in ("log_probability", "score", "tokens"):
        number = value.get(key)
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, (int, float))
        ):
            raise _Unfit(f"{key} of '{name}' is not a number")
        numbers[key] = number
    tokens = numbers["tokens"]
    return Answer(
        content=value["content"],
        stopped=bool(value.get("stopped", True)),
        log_probability=numbers["log_probability"],
        tokens=None if tokens is None else int(tokens),
        score=numbers["score"],
    )
