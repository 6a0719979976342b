"""Chats as ids, and back.

Roles and the borders of messages are ids; what is said is text and stays text. A content that
spells `<|im_end|>` or a role is ordinary tokens, so that nobody forges a turn by writing one. Nor
does what users and tools say become a foreign vocabulary's added tokens, such as `<tool_call>`.

Which conversations are taken: any order of users, assistants and tools, several of one role in a
row too, because real logs have them, and an assistant that speaks first (a greeting). Not taken
are a conversation without messages, a role that is not known and a system message that is not the
first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.canonical import read_json, write_json, write_text_atomic
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.chat_layouts import (
    CHAT_JSON,
    CHAT_TEMPLATE,
    LAYOUTS,
    NATIVE,
    ROLES,
    Layout,
    Piece,
    Role,
    read_layout,
)
from gristmill.tokenizer.formats import TOKENIZER_CONFIG
from gristmill.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatFormat", "Message", "Rendered", "Role"]


@dataclass(frozen=True)
class Message:
    """What one side says at a time."""

    role: Role
    content: str


@dataclass(frozen=True)
class Rendered:
    """A chat as ids.

    mask[i]: token i belongs to an assistant's answer: its content, or the id that ends it. Role
    headers, prompts and what tools returned do not.
    """

    ids: list[int]
    mask: list[bool]


class ChatFormat:
    """One chat format over one tokenizer. Raises GristmillError where the tokens are missing."""

    def __init__(self, layout: Layout, tokenizer: Tokenizer):
        self.layout, self.tokenizer = layout, tokenizer
        self._special = tokenizer.special_tokens
        missing = [name for name in layout.special_tokens() if name not in self._special]
        if missing:
            raise GristmillError(
                f"the chat format '{layout.name}' needs {', '.join(missing)}, and the tokenizer "
                f"has no such special token",
                mend="use a tokenizer that has them, or another chat format",
            )
        self.end_id = self._special[layout.end]
        """Ends every message; sampled by the model, it ends an answer."""
        self._opening = self._ids(layout.opening)
        self._headers = {role: self._ids(layout.headers[role]) for role in ROLES}
        self._separator = tokenizer.encode(layout.separator)

    @classmethod
    def load(cls, folder: Path | str, tokenizer: Tokenizer) -> ChatFormat:
        """The format of an assistant's folder: by `chat.json`, else by its chat template.

        Raises GristmillError where there is neither (a base model) or the format is not known.
        """
        layout = read_layout(Path(folder))
        if layout is None:
            raise GristmillError(
                f"no chat format here: neither {CHAT_JSON} nor a chat template",
                where=folder,
                mend="a base model continues text; train sft makes an assistant of it",
            )
        return cls(layout, tokenizer)

    @classmethod
    def native(cls, tokenizer: Tokenizer) -> ChatFormat:
        """The format of assistants made here: `<|endoftext|>`, then for each message
        `<|im_start|>`, `<|ROLE|>`, the content, `<|im_end|>`."""
        return cls(NATIVE, tokenizer)

    @classmethod
    def for_tuning(cls, folder: Path | str, tokenizer: Tokenizer) -> ChatFormat:
        """The format to train a model of `folder` in: its own, else the one that its tokens allow.

        Raises GristmillError where the tokenizer has no special tokens for a chat.
        """
        layout = read_layout(Path(folder))
        fitting = (
            known
            for known in LAYOUTS
            if not set(known.special_tokens()) - {*tokenizer.special_tokens}
        )
        layout = layout or next(fitting, None)
        if layout is None:
            raise GristmillError(
                "its tokenizer has no special tokens for a chat",
                where=folder,
                mend=f"known formats are {', '.join(known.name for known in LAYOUTS)}",
            )
        return cls(layout, tokenizer)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """What ends an answer: `end_id`, and the end of a document, with which a model that
        strays goes back to pre-training. For `generation_config.json` too: `list(stop_ids)`."""
        document = self.tokenizer.vocabulary.end_of_text
        return tuple(dict.fromkeys([self.end_id, *([self._special[document]] if document else [])]))

    @property
    def pad_id(self) -> int:
        """Fills a batch; never `end_id`, or the end masked as padding would never be learnt."""
        own = self.tokenizer.vocabulary.padding
        others = [*([self._special[own]] if own else []), *self._special.values()]
        return next(i for i in others if i != self.end_id)

    @property
    def answer_header(self) -> list[int]:
        """What stands right before every answer; it holds a special token, so that no text can."""
        return list(self._headers["assistant"])

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Everything up to and with the header of the assistant's answer."""
        return [*self.render(messages).ids, *self._separator, *self._headers["assistant"]]

    def answer(self, content: str, *, stopped: bool = True) -> list[int]:
        """The content's ids, then `end_id` where the answer stopped by itself."""
        return [*self._content(content, "assistant"), *([self.end_id] if stopped else [])]

    def render(self, messages: Sequence[Message]) -> Rendered:
        """A whole chat; `prompt(m[:-1]) + answer(m[-1].content)` are the ids of `render(m)`."""
        check_messages(messages)
        default = self.layout.default_system
        if default is not None and messages[0].role != "system":
            messages = [Message("system", default), *messages]
        ids = list(self._opening)
        mask = [False] * len(ids)
        for index, message in enumerate(messages):
            header = [*(self._separator if index else ()), *self._headers[message.role]]
            body = [*self._content(message.content, message.role), self.end_id]
            ids += header + body
            mask += [False] * len(header) + [message.role == "assistant"] * len(body)
        return Rendered(ids, mask)

    def text(self, ids: Iterable[int]) -> str:
        """What an answer says: up to its end, without special tokens."""
        stops, said = set(self.stop_ids), []
        for i in ids:
            if i in stops:
                break
            said.append(i)
        return self.tokenizer.decode(said, skip_special=True)

    def save(self, folder: Path | str) -> None:
        """Writes `chat.json` and `chat_template.jinja`, and the template and the token that ends
        an answer into `tokenizer_config.json`, so that transformers chats in the same format."""
        folder = Path(folder)
        template = self.layout.template()
        write_json(folder / CHAT_JSON, self.layout.to_json())
        write_text_atomic(folder / CHAT_TEMPLATE, template)
        file = folder / TOKENIZER_CONFIG
        config = read_json(file) if file.is_file() else {}
        config.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
        config["eos_token"] = self.layout.end
        config["chat_template"] = template
        write_json(file, config)

    def _content(self, content: str, role: Role) -> list[int]:
        # Added tokens of a foreign vocabulary, such as <think>, are the assistant's to write: what
        # users and tools say is text alone.
        said = content.strip() if self.layout.strip else content
        return self.tokenizer.encode(said, added=role == "assistant")

    def _ids(self, pieces: Sequence[Piece]) -> list[int]:
        ids = []
        for piece in pieces:
            if piece.kind == "special":
                ids.append(self._special[piece.value])
            else:
                ids += self.tokenizer.encode(piece.value)
        return ids


def check_messages(messages: Sequence[Message]) -> None:
    """Raises GristmillError for a conversation that has no rendering; see the top of the file."""
    if not messages:
        raise GristmillError("a chat without messages")
    for index, message in enumerate(messages):
        if message.role not in ROLES:
            raise GristmillError(
                f"'{message.role}' is not a role", where=f"message {index + 1}",
                mend=f"roles are {', '.join(ROLES)}",
            )  # fmt: skip
        if not isinstance(message.content, str):
            raise GristmillError("a content that is not text", where=f"message {index + 1}")
        if message.role == "system" and index:
            raise GristmillError(
                "a system message that is not the first", where=f"message {index + 1}",
                mend="put it first, or give it to the user",
            )  # fmt: skip


def latest_turns(
    messages: Sequence[Message], fits: Callable[[Sequence[Message]], bool]
) -> Sequence[Message] | None:
    """The chat without as few whole turns at its front as make it fit; None where none does.

    A turn begins with what a user says, so that no answer is left without its question and no
    tool's output without its call. The system message stays. fits: true of every shorter chat
    where it is true of one.
    """
    system, rest = [m for m in messages[:1] if m.role == "system"], messages
    starts = [i for i, m in enumerate(rest) if m.role == "user"]
    if fits(messages):
        return messages
    choices = [[*system, *rest[start:]] for start in starts if start > len(system)]
    found = bisect_left(range(len(choices)), True, key=lambda i: fits(choices[i]))
    return choices[found] if found < len(choices) else None
