"""Vocabularies from `.tiktoken` files: `base64(token) rank` a line, and nothing else.

Such a file does not say which merges made its tokens, nor how text is cut before: the pattern is
the caller's to know. tiktoken merges any two neighbours whose bytes are a token, the lowest rank
first; that is the same as one merge for each token, the last of its own making, because merges
inside a token's bytes do not depend on what stands around them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.vocabulary import Vocabulary

_NO_RANK = 1 << 62


def read_tiktoken(
    file: Path, pattern: str, special_tokens: Mapping[str, int] | None = None
) -> Vocabulary:
    """The vocabulary of a `.tiktoken` file; special tokens are not in it and come by name and id.

    Raises GristmillError for a line that is no token and rank, a rank that comes twice, or an id
    that is a token's already.
    """
    return ranks_vocabulary(read_ranks(file), pattern, special_tokens)


def read_ranks(file: Path) -> dict[bytes, int]:
    """Token to rank. Raises GristmillError with the line that cannot be read."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise GristmillError(
                "not a line of base64 and rank",
                where=f"{file}:{number}",
                mend="give a .tiktoken file, such as ranks.tiktoken of a tokenizer's folder",
            ) from error
    if len(set(ranks.values())) != len(ranks):
        raise GristmillError("two tokens have one rank", where=file)
    return ranks


def ranks_vocabulary(
    ranks: Mapping[bytes, int], pattern: str, special_tokens: Mapping[str, int] | None = None
) -> Vocabulary:
    """See `read_tiktoken`."""
    specials = dict(special_tokens or {})
    taken = set(ranks.values())
    size = 1 + max([*taken, *specials.values()], default=-1)
    tokens = [b""] * size
    for name, token_id in specials.items():
        if token_id in taken:
            raise GristmillError(f"id {token_id} of {name} is a token's already")
        tokens[token_id] = name.encode()
    for token, rank in ranks.items():
        tokens[rank] = token
    merges: list[tuple[int, int]] = []
    merged_ids: list[int] = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = _parts(token, ranks) if len(token) > 1 else []
        # A token that its own merges do not reach is made only of a pretoken that it is.
        if len(parts) == 2:
            merges.append((ranks[parts[0]], ranks[parts[1]]))
            merged_ids.append(rank)
    return Vocabulary(
        tokens=tuple(tokens),
        merges=tuple(merges),
        merged_ids=tuple(merged_ids),
        special_tokens=specials,
        pattern=pattern,
        ignore_merges=True,
    )


def _parts(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """What a token's bytes become before the merge that makes it: two parts, or more where no
    merges lead to it. A part may have a higher rank than the token."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, at = _NO_RANK, -1
        for i in range(len(parts) - 1):
            rank = ranks.get(parts[i] + parts[i + 1], _NO_RANK)
            if rank < best:
                best, at = rank, i
        if at < 0:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts
