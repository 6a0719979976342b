"""The answers of the OpenAI routes: pieces of completions into their JSON, whole or in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gristmill.serve.service import LoadedModel, Piece, TokenScore


@dataclass
class _Choice:
    text: str = ""
    tokens: list[TokenScore] = field(default_factory=list)
    made: int = 0
    finish: str | None = None
    letters: int = 0
    """Of the tokens that were shown, for `text_offset`."""


class Answers(ABC):
    """The choices of one request. prompt_tokens: those of all prompts together."""

    prefix, whole_object, chunk_object = "", "", ""

    def __init__(self, loaded: LoadedModel, count: int, prompt_tokens: int, top: int | None):
        self.loaded, self.top = loaded, top
        self.prompt_tokens = prompt_tokens
        self.choices = [_Choice() for _ in range(count)]
        self.id, self.created = "", 0
        self._special = frozenset(loaded.tokenizer.special_tokens.values())

    def add(self, index: int, piece: Piece) -> None:
        """Keeps a piece of a choice."""
        choice = self.choices[index]
        choice.text += piece.text
        choice.tokens += piece.tokens
        choice.made = piece.made
        choice.finish = piece.finish

    def whole(self) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        choices = [self._choice(index, choice) for index, choice in enumerate(self.choices)]
        return {**self._head(self.whole_object), "choices": choices, "usage": self._usage()}

    @abstractmethod
    def chunks(self, index: int, piece: Piece, usage: bool) -> list[dict[str, Any]]:
        """What a stream says of a piece."""

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk where usage was asked for: no choices."""
        return {**self._head(self.chunk_object), "choices": [], "usage": self._usage()}

    @abstractmethod
    def _choice(self, index: int, choice: _Choice) -> dict[str, Any]:
        """A choice of an answer that does not stream."""

    def _chunk(self, choice: dict[str, Any], usage: bool) -> dict[str, Any]:
        none = {"usage": None} if usage else {}
        return {**self._head(self.chunk_object), "choices": [choice], **none}

    def _head(self, kind: str) -> dict[str, Any]:
        served = self.loaded.served
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": served.name,
            "system_fingerprint": served.fingerprint or None,
        }

    def _usage(self) -> dict[str, int]:
        made = sum(choice.made for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
        }

    def _word(self, token: int) -> str:
        """A token's text; where its bytes are no text by themselves, the bytes in hexadecimal."""
        data = self.loaded.tokenizer.token_bytes(token)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class CompletionAnswers(Answers):
    """Of /v1/completions."""

    prefix, whole_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def chunks(self, index: int, piece: Piece, usage: bool) -> list[dict[str, Any]]:
        choice = {
            "index": index,
            "text": piece.text,
            "logprobs": self._scores(self.choices[index], piece.tokens),
            "finish_reason": piece.finish,
        }
        return [self._chunk(choice, usage)]

    def _choice(self, index: int, choice: _Choice) -> dict[str, Any]:
        return {
            "index": index,
            "text": choice.text,
            "logprobs": self._scores(choice, choice.tokens),
            "finish_reason": choice.finish,
        }

    def _scores(self, choice: _Choice, tokens: Sequence[TokenScore]) -> dict[str, Any] | None:
        """Lists beside each other. What the first token of a prompt has instead is null."""
        if self.top is None:
            return None
        offsets = []
        for score in tokens:
            offsets.append(choice.letters)
            if score.token not in self._special:
                choice.letters += len(self.loaded.tokenizer.decode([score.token]))
        return {
            "tokens": [self._word(score.token) for score in tokens],
            "token_logprobs": [score.log_probability for score in tokens],
            "top_logprobs": [self._best(score) for score in tokens] if self.top else None,
            "text_offset": offsets,
        }

    def _best(self, score: TokenScore) -> dict[str, float] | None:
        if score.log_probability is None:
            return None
        best: dict[str, float] = {}
        for token, value in score.top:
            # Two ids may spell one text: the more probable stands.
            best.setdefault(self._word(token), value)
        return best


class ChatAnswers(Answers):
    """Of /v1/chat/completions."""

    prefix, whole_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, loaded: LoadedModel, count: int, prompt_tokens: int, top: int | None):
        super().__init__(loaded, count, prompt_tokens, top)
        self._begun: set[int] = set()

    def chunks(self, index: int, piece: Piece, usage: bool) -> list[dict[str, Any]]:
        deltas: list[tuple[dict[str, Any], Any, str | None]] = []
        if index not in self._begun:
            self._begun.add(index)
            deltas.append(({"role": "assistant", "content": ""}, None, None))
        if piece.text or piece.tokens:
            deltas.append(({"content": piece.text}, self._scores(piece.tokens), None))
        if piece.finish is not None:
            deltas.append(({}, None, piece.finish))
        return [
            self._chunk(
                {"index": index, "delta": delta, "logprobs": scores, "finish_reason": finish},
                usage,
            )
            for delta, scores, finish in deltas
        ]

    def _choice(self, index: int, choice: _Choice) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": self._scores(choice.tokens),
            "finish_reason": choice.finish,
        }

    def _scores(self, tokens: Sequence[TokenScore]) -> dict[str, Any] | None:
        if self.top is None:
            return None
        return {
            "content": [
                {
                    **self._score(score.token, score.log_probability),
                    "top_logprobs": [self._score(token, value) for token, value in score.top],
                }
                for score in tokens
            ],
            "refusal": None,
        }

    def _score(self, token: int, value: float | None) -> dict[str, Any]:
        data = self.loaded.tokenizer.token_bytes(token)
        return {"token": self._word(token), "logprob": value, "bytes": list(data)}
