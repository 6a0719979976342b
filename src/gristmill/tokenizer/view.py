"""A text cut into its tokens, for eyes: in the terminal by colours, and as data for a page.

White space is made visible, and nothing in the text acts: control characters and signs that turn
the direction of writing are shown as what they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.tokenizer.tokenizer import Tokenizer

_COLOURS = (153, 223, 157, 218, 189)
_VISIBLE = {" ": "·", "\n": "⏎", "\t": "→", "\r": "␍"}
_RESET = "\x1b[0m"


@dataclass(frozen=True)
class ShownToken:
    """One token of a text. text: as it is shown; lines: how many line breaks it holds; whole:
    whether its bytes are whole characters."""

    token_id: int
    text: str
    bytes: int
    lines: int
    whole: bool


def shown_tokens(tokenizer: Tokenizer, text: str) -> list[ShownToken]:
    """The tokens of a text in order. Bytes that are no whole character are shown as \\xNN."""
    found = []
    for token_id in tokenizer.encode(text):
        data = tokenizer.token_bytes(token_id)
        letters = data.decode("utf-8", "backslashreplace")
        try:
            data.decode()
            whole = True
        except UnicodeDecodeError:
            whole = False
        found.append(
            ShownToken(token_id, visible(letters), len(data), letters.count("\n"), whole)
        )  # fmt: skip
    return found


def visible(text: str) -> str:
    """A text with its white space as signs, and without anything that acts."""
    return "".join(_VISIBLE.get(letter) or _inert(letter) for letter in text)


def coloured_tokens(tokens: Sequence[ShownToken], *, ids: bool = False) -> str:
    """For a terminal: tokens on alternating backgrounds; with their ids behind them if asked."""
    out = []
    for i, token in enumerate(tokens):
        colour = _COLOURS[i % len(_COLOURS)]
        out.append(f"\x1b[30;48;5;{colour}m{token.text}{_RESET}")
        if ids:
            out.append(f"\x1b[2m{token.token_id}{_RESET} ")
        out.append("\n" * bool(token.lines))
    return "".join(out)


def plain_tokens(tokens: Sequence[ShownToken], *, ids: bool = False) -> str:
    """The same without colours: a bar between tokens; lines end where the text's do as well."""
    parts = [f"{t.text}({t.token_id})" if ids else t.text for t in tokens]
    ends = ["|\n" if t.lines else "|" for t in tokens[:-1]]
    return "".join(part + end for part, end in zip(parts, [*ends, ""], strict=False))


def _inert(letter: str) -> str:
    code = ord(letter)
    if code < 0x20 or code == 0x7F:
        return chr(0x2400 + code) if code < 0x20 else "␡"
    # A mark alone on a background is drawn over what stands before it: it is left to the font.
    if letter.isprintable() and unicodedata.category(letter) not in ("Cf", "Cc", "Cs"):
        return letter
    return f"\\u{code:04x}"
