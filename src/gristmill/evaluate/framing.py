"""How a question stands before a model: as text that goes on, or as a turn of a chat.

A way of asking writes what is asked and what could be answered as plain text; a framing turns both
into ids, with earlier questions and their answers (shots) before them. A base model reads one text;
an assistant reads its own chat format, where roles and borders are ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.chat import ChatFormat, Message

# (what is asked, the answer): an earlier question, or one to be scored.
Pair = tuple[str, str]
_BETWEEN = "\n\n"


class TextEncoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def eot_id(self) -> int: ...
    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]: ...
    def token_bytes(self, token_id: int) -> bytes: ...


@dataclass(frozen=True)
class Cut:
    """A question and its answer as ids (from end-of-text or a chat's opening), and where the
    answer begins among them."""

    ids: list[int]
    start: int
    characters: int
    bytes: int

    @property
    def tokens(self) -> int:
        """Tokens of the answer."""
        return len(self.ids) - self.start


class Framing(Protocol):
    """Turns what is asked and answered into ids."""

    @property
    def name(self) -> str:
        """`text` or `chat`."""
        ...

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """What ends an answer that a model writes."""
        ...

    def cuts(self, pairs: Sequence[Pair], shots: Sequence[Pair] = ()) -> list[Cut]:
        """Each question with its answer, after the shots."""
        ...

    def prompts(self, questions: Sequence[str], shots: Sequence[Pair] = ()) -> list[list[int]]:
        """Each question as what a model goes on from."""
        ...

    def said(self, ids: Sequence[int]) -> str:
        """The answer that a model wrote."""
        ...


class TextFraming:
    """One text that goes on: shots and question apart by an empty line, the answer on one line."""

    name = "text"

    def __init__(self, tokenizer: TextEncoder):
        self._tokenizer = tokenizer
        self.stop_ids: tuple[int, ...] = (tokenizer.eot_id,)

    def cuts(self, pairs: Sequence[Pair], shots: Sequence[Pair] = ()) -> list[Cut]:
        """Cut on the ids of the joined text, see `cut_texts`."""
        before = _before(shots)
        return cut_texts(self._tokenizer, [(before + asked, text) for asked, text in pairs])

    def prompts(self, questions: Sequence[str], shots: Sequence[Pair] = ()) -> list[list[int]]:
        """End-of-text, the shots and the question."""
        before = _before(shots)
        encoded = self._tokenizer.encode_batch([before + question for question in questions])
        return [[self._tokenizer.eot_id, *ids.tolist()] for ids in encoded]

    def said(self, ids: Sequence[int]) -> str:
        """The first line that is not empty: a base model goes on to a question of its own."""
        said = [i for i in ids if i not in self.stop_ids]
        text = b"".join(map(self._tokenizer.token_bytes, said)).decode(errors="replace")
        return text.lstrip().split("\n")[0]


class ChatFraming:
    """What is asked is a user's turn and what is answered an assistant's; so are the shots."""

    name = "chat"

    def __init__(self, chat_format: ChatFormat):
        self._format = chat_format
        self.stop_ids: tuple[int, ...] = chat_format.stop_ids

    def cuts(self, pairs: Sequence[Pair], shots: Sequence[Pair] = ()) -> list[Cut]:
        """The format's own ids: its borders are tokens, so no token crosses them. The token that
        ends the answer is not scored."""
        cuts = []
        for asked, text in pairs:
            said = text.strip()
            prompt = self._format.prompt(_turns(asked, shots))
            ids = prompt + self._format.answer(said, stopped=False)
            cuts.append(Cut(ids, len(prompt), len(said), len(said.encode())))
        return cuts

    def prompts(self, questions: Sequence[str], shots: Sequence[Pair] = ()) -> list[list[int]]:
        """The chat up to the header of the assistant's answer."""
        return [self._format.prompt(_turns(question, shots)) for question in questions]

    def said(self, ids: Sequence[int]) -> str:
        """The whole answer."""
        return self._format.text(ids)


def cut_texts(tokenizer: TextEncoder, pairs: Sequence[Pair]) -> list[Cut]:
    """Each (context, continuation) joined, encoded and cut at the first token that ends in the
    continuation.

    Encoding the two apart gives other tokens than a model would see: the token that crosses the
    border belongs to the continuation.
    """
    encoded = tokenizer.encode_batch([context + text for context, text in pairs])
    lengths = _TokenLengths(tokenizer)
    cuts = []
    for (context, text), ids in zip(pairs, encoded, strict=True):
        border = len(context.encode())
        ends = np.cumsum([lengths[token] for token in ids.tolist()])
        start = 1 + int(np.searchsorted(ends, border, side="right"))
        cuts.append(Cut([tokenizer.eot_id, *ids.tolist()], start, len(text), len(text.encode())))
    return cuts


def fit(cut: Cut, context: int | None, text: str) -> Cut:
    """The cut without as much of its beginning as makes it fit a scorer that looks back on
    `context` tokens. Raises GristmillError where the answer alone does not."""
    if context is None or len(cut.ids) <= context + 1:
        return cut
    surplus = len(cut.ids) - context - 1
    if cut.start - surplus < 1:
        raise GristmillError(
            f"a choice of {cut.tokens} tokens does not fit a context of {context}",
            where=text[:60],
            mend="shorten it",
        )
    return Cut(cut.ids[surplus:], cut.start - surplus, cut.characters, cut.bytes)


class _TokenLengths(dict[int, int]):
    """Bytes of each token, looked up once."""

    def __init__(self, tokenizer: TextEncoder):
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> int:
        self[token] = len(self._tokenizer.token_bytes(token))
        return self[token]


def _before(shots: Sequence[Pair]) -> str:
    return "".join(f"{asked}{answer}{_BETWEEN}" for asked, answer in shots)


def _turns(asked: str, shots: Sequence[Pair]) -> list[Message]:
    turns = []
    for question, answer in shots:
        turns += [Message("user", question), Message("assistant", answer.strip())]
    return [*turns, Message("user", asked)]
