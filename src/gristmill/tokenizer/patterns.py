"""The pre-tokenizers: their names, and the regexes by which other tools know them."""

from __future__ import annotations

from typing import Literal, get_args

from gristmill.core.errors import GristmillError

Pattern = Literal["gpt4", "gpt2", "qwen", "characters", "smollm"]

# bpe: merges inside the pieces of a pattern. characters: merges only inside characters, the most
# frequent first; a character without a token falls back to its bytes. bytes: no merges.
Kind = Literal["bpe", "characters", "bytes"]

# gpt4: cl100k and Llama 3, digits by threes. qwen: the same with digits one by one.
# characters: every character alone, for vocabularies of characters and of bytes.
# smollm: gpt2 inside the stretches between digits, each of which stands alone; white space before
# a digit is the end of a stretch, so nothing of it is left to the digit.
_GPT4_LIKE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REGEXES: dict[str, str] = {
    "gpt4": _GPT4_LIKE.replace("DIGITS", "{1,3}"),
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen": _GPT4_LIKE.replace("DIGITS", ""),
    "characters": r"[\s\S]",
    "smollm": (
        r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+"
        r"|\s+(?=\p{N})|\s+(?!\S)|\s+"
    ),
}


def pattern_code(pattern: str) -> int:
    """The number by which the kernels know a pattern."""
    names = get_args(Pattern)
    if pattern not in names:
        raise GristmillError(
            f"'{pattern}' is not a pre-tokenizer that is known here",
            mend=f"choose one of {', '.join(names)}",
        )
    return names.index(pattern)
