"""The same questions answered by several models, to read side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gristmill.align.chats import Chat
from gristmill.core.figure import Figure, Samples, proportion
from gristmill.infer.generator import Generator, Request
from gristmill.infer.sampling import greedy
from gristmill.tokenizer.chat import ChatFormat
from gristmill.tokenizer.tokenizer import Tokenizer

# A sentence that ends in a question mark, or one that begins like a question.
_ASKS = re.compile(
    r"\?|(?:^|[.!\n])[ \t]*(?:what|who|whom|whose|which|when|where|why|how)\b[^.!\n]{0,200}$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Speaker:
    """A model that is asked. Without a chat format it is a base model, which continues text."""

    engine: Generator
    tokenizer: Tokenizer
    chat_format: ChatFormat | None = None


@dataclass(frozen=True)
class SideBySide:
    """The answers, and for each model how often it asked a question instead of answering."""

    samples: Samples
    asks_on: Mapping[str, Figure]


def asks_on(answer: str) -> bool:
    """Whether an answer holds a question: a question mark, or a last sentence that asks."""
    return _ASKS.search(answer) is not None


def side_by_side(
    chats: Sequence[Chat], models: Mapping[str, Speaker], *, max_tokens: int = 48
) -> SideBySide:
    """Each chat's prompt answered by every model, greedily.

    A base model gets the plain text of the last question to continue, and knows nothing of turns.
    """
    answers = {name: _answers(chats, speaker, max_tokens) for name, speaker in models.items()}
    rows = [
        {
            "question": chat.prompt[-1].content,
            **{name: given[index] for name, given in answers.items()},
        }
        for index, chat in enumerate(chats)
    ]
    asked = {
        name: proportion(sum(map(asks_on, given)), len(given)) for name, given in answers.items()
    }
    note = f"The most probable tokens each time, up to {max_tokens}."
    if any(figure.value for figure in asked.values()):
        counts = ", ".join(
            f"{name} {sum(map(asks_on, given))}" for name, given in answers.items()
        )  # fmt: skip
        note += f" Of {len(chats)} questions so many were met with another question: {counts}."
    title = "The same questions, answered by each model"
    return SideBySide(Samples(title, rows, note=note, layout="columns"), asked)


def _answers(chats: Sequence[Chat], speaker: Speaker, max_tokens: int) -> list[str]:
    tokenizer, chat_format = speaker.tokenizer, speaker.chat_format
    requests = []
    for chat in chats:
        if chat_format is None:
            prompt = [tokenizer.eot_id, *tokenizer.encode(chat.prompt[-1].content)]
            requests.append(Request(prompt, greedy(max_tokens, (tokenizer.eot_id,))))
        else:
            stops = chat_format.stop_ids
            requests.append(Request(chat_format.prompt(chat.prompt), greedy(max_tokens, stops)))
    texts = []
    for completion in speaker.engine.generate(requests):
        if chat_format is None:
            text = tokenizer.decode(completion.tokens, skip_special=True)
        else:
            text = chat_format.text(completion.tokens)
        if completion.finish == "length":
            text += " …"
        texts.append(text)
    return texts
