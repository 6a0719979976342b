"""From tokens to pieces of text: whole characters, and never a part of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.infer.generator import Finish
from gristmill.serve.batching import TokenScore
from gristmill.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Piece:
    """A piece of a completion: text, and the tokens that it was made of.

    A token comes with the piece that completes its text, so that text may lag behind while a
    character or a stop string is unfinished. `made` counts the tokens of the completion so far, a
    stop id included; the prompt's are not among them. `finish` stands on the last piece alone.
    `tokens` holds no stop id, unless that was asked for, nor what a stop string cut off.
    """

    text: str
    tokens: tuple[TokenScore, ...] = ()
    made: int = 0
    finish: Finish | None = None


class PieceMaker:
    """Takes the tokens of one completion one by one; ends it where a stop string is whole.

    give_end: a stop id is among the tokens too, without a text. Who scores a text counts on it: one
    token after those of the prompt, whichever it is.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), *, give_end: bool = False):
        self._tokenizer, self._give_end = tokenizer, give_end
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self._tokens: list[tuple[TokenScore, int, int]] = []
        """Those not yet given, and where in `_held` the text of each begins and ends."""
        self._made = 0

    def push(self, score: TokenScore, finish: Finish | None) -> Piece | None:
        """The piece that this token completes; None where it completes none.

        finish: why the completion ends with this token, a stop id where it is "stop".
        """
        self._made += 1
        begin = len(self._held)
        if finish != "stop":
            data = self._tokenizer.decode_bytes([score.token], skip_special=True)
            self._held += self._decoder.decode(data)
            # An unfinished character will stand at the end, and this token is part of it.
            unfinished = bool(self._decoder.getstate()[0])
            self._tokens.append((score, begin, len(self._held) + unfinished))
        elif self._give_end:
            self._tokens.append((score, begin, begin))
        if finish is not None:
            self._held += self._decoder.decode(b"", True)
        found = [at for at in map(self._held.find, self._stops) if at >= 0]
        if found:
            return self._last(min(found), "stop")
        if finish is not None:
            return self._last(None, finish)
        return self._release(len(self._held) - self._unsafe())

    def _unsafe(self) -> int:
        """Letters at the end of what is held that may be the beginning of a stop string."""
        for count in range(min(len(self._held), self._longest - 1), 0, -1):
            if any(stop.startswith(self._held[-count:]) for stop in self._stops):
                return count
        return 0

    def _release(self, count: int) -> Piece | None:
        whole = [score for score, _, end in self._tokens if end <= count]
        text, self._held = self._held[:count], self._held[count:]
        rest = self._tokens[len(whole) :]
        self._tokens = [(s, max(0, begin - count), end - count) for s, begin, end in rest]
        return Piece(text, tuple(whole), self._made) if text or whole else None

    def _last(self, cut: int | None, finish: Finish) -> Piece:
        text = self._held[:cut]
        kept = [score for score, begin, _ in self._tokens if cut is None or begin < cut]
        return Piece(text, tuple(kept), self._made, finish)
