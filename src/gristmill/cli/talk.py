"""Answering in the terminal, token by token: an assistant's turns, or a base model's text."""

from __future__ import annotations

import signal
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from gristmill.core.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.infer.engine import Engine
    from gristmill.infer.generator import Sampling
    from gristmill.tokenizer.chat import ChatFormat, Message
    from gristmill.tokenizer.tokenizer import Tokenizer


@dataclass
class Speaker:
    """A loaded model that says what comes next. `sampling` without what ends an output."""

    engine: Engine
    tokenizer: Tokenizer
    sampling: Sampling
    interruptible: bool = False
    """Whether Ctrl-C ends what is being said, not the program."""

    def room(self) -> int:
        """Tokens of a prompt that leave room for the longest answer. Raises GristmillError."""
        room = self.engine.context - self.sampling.max_tokens
        if room < 2:
            raise GristmillError(
                f"leaves no room in the context of {self.engine.context} tokens",
                where="--max_tokens",
            )
        return room

    def say(self, prompt: list[int], stop_ids: tuple[int, ...], seed: int) -> str:
        """Streams what follows `prompt` to the terminal and returns it."""
        from dataclasses import replace

        from gristmill.infer.generator import Request

        sampling = replace(self.sampling, stop_ids=stop_ids)
        decoder = self.tokenizer.stream(skip_special=True)
        said = ""
        with _interrupt(self.interruptible) as interrupted:
            for emitted in self.engine.stream([Request(prompt, sampling, seed)]):
                said += _show(decoder.push(emitted.token))
                if interrupted():
                    break
        said += _show(decoder.finish())
        print(flush=True)
        return said


@dataclass
class Continuation:
    """A base model goes on from each line; what was said before is not kept."""

    speaker: Speaker

    def answer(self, text: str, seed: int) -> str:
        """Shows `text` with its continuation; returns the continuation."""
        eot = self.speaker.tokenizer.eot_id
        prompt = [eot, *self.speaker.tokenizer.encode(text)][-self.speaker.room() :]
        print(text, end="", flush=True)
        return self.speaker.say(prompt, (eot,), seed)


@dataclass
class Conversation:
    """An assistant answers, turn by turn, with as many of the last turns as fit the context."""

    speaker: Speaker
    chat: ChatFormat
    system: str | None = None
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets what was said; the system message stays."""
        from gristmill.tokenizer.chat import Message

        self.messages = [] if self.system is None else [Message("system", self.system)]

    def answer(self, text: str, seed: int) -> str:
        """Shows and returns the answer to `text`.

        Raises GristmillError, and forgets `text`, where it alone is longer than the context.
        """
        from gristmill.tokenizer.chat import Message, latest_turns

        asked = [*self.messages, Message("user", text)]
        room = self.speaker.room()
        kept = latest_turns(asked, lambda messages: len(self.chat.prompt(messages)) <= room)
        if kept is None:
            raise GristmillError(
                f"too long: with the system message it must fit {room} tokens",
                mend="say it shorter",
            )
        said = self.speaker.say(self.chat.prompt(kept), self.chat.stop_ids, seed)
        self.messages = [*kept, Message("assistant", said)]
        return said


def printable(text: str) -> str:
    """`text` without control characters, so that no model output can drive the terminal, and
    without halves of surrogate pairs, which none can show."""
    category = unicodedata.category
    return "".join(c if c in "\n\t" or category(c) not in ("Cc", "Cs") else "�" for c in text)


def _show(piece: str) -> str:
    print(printable(piece), end="", flush=True)
    return piece


@contextmanager
def _interrupt(wanted: bool) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed meanwhile; not as an exception, which would lose the answer."""
    pressed = threading.Event()
    # Only the main thread may set handlers.
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def press(signum: int, frame: FrameType | None) -> None:
        pressed.set()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
