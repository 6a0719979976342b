"""What a tokenizer is made of, apart from how it is stored and how it is run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.patterns import Match, pattern_name

END_OF_TEXT = "<|endoftext|>"
PADDING = "<|pad|>"
UNKNOWN = "<|unknown|>"

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


# Names for the end of a document, ours first, then Llama 3's.
_ENDS = (END_OF_TEXT, "<|end_of_text|>")
# What a chat needs: none of them may fill a batch.
_TURNS = ("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
          "<|eom_id|>", "<|python_tag|>", "<|begin_of_text|>")  # fmt: skip
# Without these no text of any language could be read; other bytes may lack a token.
_NEEDED = frozenset([0x0A, *range(0x20, 0x7F)])


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, merges in order, special tokens by name.

    tokens: the bytes of each id; a special token's are its name, and an id that stands for nothing
    (a row that only fills an embedding) has none. merges: (left id, right id), first merged first.
    merged_ids: the id that each merge makes. special_tokens: name to id; never made from text.

    What only vocabularies made elsewhere have: added_tokens: names that are cut out of text before
    anything else, the longest first. normalizer: the Unicode form that text is brought to.
    ignore_merges: a pretoken that is a token becomes it, whatever the merges would make of it.
    bos, eos, pad: the special tokens that its files name so; add_bos: every text begins with bos.

    What only those without merges have: match: "longest" takes, from the left, the longest token
    that fits. unknown: the special token that stands for every pretoken that is no token, so that
    decoding does not give the text back. Raises GristmillError where these do not fit together.
    """

    tokens: tuple[bytes, ...]
    merges: tuple[tuple[int, int], ...]
    merged_ids: tuple[int, ...]
    special_tokens: dict[str, int]
    pattern: str
    added_tokens: dict[str, int] = field(default_factory=dict)
    normalizer: Literal["NFC"] | None = None
    ignore_merges: bool = False
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    add_bos: bool = False
    match: Match = "merge-order"
    unknown: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", pattern_name(self.pattern))
        special = set(self.special_tokens.values())
        listed = self._ordinary()
        ordinary = dict(listed)
        if len(ordinary) != len(listed):
            raise GristmillError("the vocabulary holds one token twice")
        missing = [byte for byte in range(256) if bytes([byte]) not in ordinary]
        if self.unknown is not None:
            missing = []
        if self.merges and (self.unknown is not None or self.match != "merge-order"):
            raise GristmillError("a vocabulary of whole words or longest match has no merges")
        if self.match == "longest" and missing:
            raise GristmillError(
                f"longest match needs all 256 bytes, and {len(missing)} are missing",
                mend="use merge order",
            )
        if not _NEEDED.isdisjoint(missing):
            raise GristmillError(
                f"the vocabulary lacks {len(missing)} of the 256 bytes, so some text has no ids",
                mend="use a byte-level BPE tokenizer",
            )
        tokens = self.tokens
        for (left, right), merged in zip(self.merges, self.merged_ids, strict=True):
            if tokens[left] + tokens[right] != tokens[merged]:
                raise GristmillError(f"merging {left} and {right} does not spell {merged}")
        used = chain(self.merged_ids, chain.from_iterable(self.merges))
        if special and not special.isdisjoint(used):
            left, right = next(
                pair
                for pair, merged in zip(self.merges, self.merged_ids, strict=True)
                if not special.isdisjoint((*pair, merged))
            )
            raise GristmillError(f"the merge of {left} and {right} touches a special token")
        for name in (self.bos, self.eos, self.pad, self.unknown):
            if name is not None and name not in self.special_tokens:
                raise GristmillError(f"{name} is not among the special tokens")

    @property
    def byte_ids(self) -> list[int]:
        """The id of each byte; -1 for one that has none."""
        by_token = dict(self._ordinary())
        return [by_token.get(bytes([byte]), -1) for byte in range(256)]

    @property
    def missing_bytes(self) -> list[int]:
        """The bytes without an id, which encoding leaves out; none if words are unknown whole."""
        if self.unknown is not None:
            return []
        return [byte for byte, token_id in enumerate(self.byte_ids) if token_id < 0]

    @property
    def whole_tokens(self) -> dict[bytes, int]:
        """What a pretoken is looked up in before it is merged: nothing where merges count."""
        return self.ordinary if self.ignore_merges else {}

    @property
    def ordinary(self) -> dict[bytes, int]:
        """The tokens that text may become, with their ids."""
        return dict(self._ordinary())

    @property
    def by_merges(self) -> bool:
        """Whether text is encoded in merge order: not by longest match, nor as words or unknown."""
        return self.match == "merge-order" and self.unknown is None

    @property
    def end_of_text(self) -> str | None:
        """The special token that ends a document: by its name, else what the files call eos."""
        return next((name for name in _ENDS if name in self.special_tokens), self.eos)

    @property
    def padding(self) -> str | None:
        """The special token that fills a batch.

        Its own, unless that also ends a text or a turn: masked as padding, the end would never be
        learnt. Then one that is called a padding or reserved, else the last that has no such use,
        and the end of text only where there is no other.
        """
        ends = {self.end_of_text, self.eos, self.unknown, *_TURNS}
        own = PADDING if PADDING in self.special_tokens else self.pad
        if own is not None and own not in ends:
            return own
        free = [
            name
            for name, _ in sorted(self.special_tokens.items(), key=lambda item: item[1])
            if name not in ends and name != self.bos
        ]
        for word in ("pad", "reserved"):
            named = [name for name in free if word in name]
            if named:
                return named[-1]
        return free[-1] if free else self.end_of_text

    def _ordinary(self) -> list[tuple[bytes, int]]:
        apart = {*self.special_tokens.values(), *self.added_tokens.values()}
        apart.difference_update(self.merged_ids)
        return [(t, i) for i, t in enumerate(self.tokens) if t and i not in apart]


def with_match(vocabulary: Vocabulary, match: Match) -> Vocabulary:
    """The same tokens, matched otherwise; longest match forgets the merges: there is no way back.

    Raises GristmillError where merge order is wanted of a vocabulary that has lost it.
    """
    if match == vocabulary.match:
        return vocabulary
    if match == "merge-order":
        raise GristmillError(
            "a vocabulary for longest match has no merges", mend="take the one that it came from"
        )
    return replace(vocabulary, merges=(), merged_ids=(), ignore_merges=False, match=match)


def from_words(
    words: list[bytes], special_tokens: tuple[str, ...], pattern: str, unknown: str | None
) -> Vocabulary:
    """A vocabulary of whole pretokens, the most frequent first, then the special tokens.

    unknown: the special token for all others; None where they are spelled in bytes, which then
    come first.
    """
    letters = [] if unknown is not None else [bytes([byte]) for byte in range(256)]
    tokens = [*letters, *words]
    first_special = len(tokens)
    _refuse_ordinary(special_tokens, tokens)
    end = END_OF_TEXT if END_OF_TEXT in special_tokens else None
    return Vocabulary(
        tokens=(*tokens, *(name.encode() for name in special_tokens)),
        merges=(),
        merged_ids=(),
        special_tokens={name: first_special + i for i, name in enumerate(special_tokens)},
        pattern=pattern,
        ignore_merges=True,
        bos=end,
        eos=end,
        pad=PADDING if PADDING in special_tokens else None,
        unknown=unknown,
    )


def from_merges(
    merges: list[tuple[int, int]], special_tokens: tuple[str, ...], pattern: str
) -> Vocabulary:
    """A vocabulary of ours: the 256 bytes, then one id for each merge, then the special tokens."""
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    first_special = len(tokens)
    _refuse_ordinary(special_tokens, tokens)
    tokens.extend(name.encode() for name in special_tokens)
    end = END_OF_TEXT if END_OF_TEXT in special_tokens else None
    return Vocabulary(
        tokens=tuple(tokens),
        merges=tuple(merges),
        merged_ids=tuple(range(256, first_special)),
        special_tokens={name: first_special + i for i, name in enumerate(special_tokens)},
        pattern=pattern,
        bos=end,
        eos=end,
        pad=PADDING if PADDING in special_tokens else None,
    )


def _refuse_ordinary(special_tokens: tuple[str, ...], tokens: list[bytes]) -> None:
    for name in sorted({name.encode() for name in special_tokens}.intersection(tokens)):
        raise GristmillError(
            f"'{name.decode()}' is a special token, and the text made it an ordinary one too",
            mend="choose a name that text does not hold as one word, such as <|name|>",
        )
