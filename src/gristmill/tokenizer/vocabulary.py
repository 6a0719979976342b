"""What a tokenizer is made of, apart from how it is stored and how it is run."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.patterns import pattern_code

END_OF_TEXT = "<|endoftext|>"
PADDING = "<|pad|>"

# Reserved from the start, so that a chat later needs no new vocabulary. Roles are ids of their
# own: a role that is spelled in text can be forged by text.
SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    PADDING,
    "<|im_start|>",
    "<|im_end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|tool|>",
    "<|tool_call|>",
    *(f"<|reserved_{i}|>" for i in range(7)),
)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, merges in order, special tokens by name.

    tokens: the bytes of each id; a special token's are its name. merges: (left id, right id),
    first merged first. merged_ids: the id that each merge makes. special_tokens: name to id.
    Raises GristmillError where these do not fit together.
    """

    tokens: tuple[bytes, ...]
    merges: tuple[tuple[int, int], ...]
    merged_ids: tuple[int, ...]
    special_tokens: dict[str, int]
    pattern: str

    def __post_init__(self) -> None:
        pattern_code(self.pattern)
        special = set(self.special_tokens.values())
        ordinary = [t for i, t in enumerate(self.tokens) if i not in special]
        if len(set(ordinary)) != len(ordinary):
            raise GristmillError("the vocabulary holds one token twice")
        missing = 256 - sum(len(token) == 1 for token in ordinary)
        if missing:
            raise GristmillError(
                f"the vocabulary lacks {missing} of the 256 bytes, so some text has no ids",
                mend="use a byte-level BPE tokenizer",
            )
        for (left, right), merged in zip(self.merges, self.merged_ids, strict=True):
            if self.tokens[left] + self.tokens[right] != self.tokens[merged]:
                raise GristmillError(f"merging {left} and {right} does not spell {merged}")
            if left in special or right in special or merged in special:
                raise GristmillError(f"the merge of {left} and {right} touches a special token")

    @property
    def byte_ids(self) -> list[int]:
        """The id of each byte."""
        special = set(self.special_tokens.values())
        by_token = {t: i for i, t in enumerate(self.tokens) if i not in special}
        return [by_token[bytes([byte])] for byte in range(256)]


def from_merges(
    merges: list[tuple[int, int]], special_tokens: tuple[str, ...], pattern: str
) -> Vocabulary:
    """A vocabulary of ours: the 256 bytes, then one id for each merge, then the special tokens."""
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    first_special = len(tokens)
    for name in sorted({name.encode() for name in special_tokens} & set(tokens)):
        raise GristmillError(
            f"'{name.decode()}' is a special token, and the text made it an ordinary one too",
            mend="choose a name that text does not hold as one word, such as <|name|>",
        )
    tokens.extend(name.encode() for name in special_tokens)
    return Vocabulary(
        tokens=tuple(tokens),
        merges=tuple(merges),
        merged_ids=tuple(range(256, first_special)),
        special_tokens={name: first_special + i for i, name in enumerate(special_tokens)},
        pattern=pattern,
    )
