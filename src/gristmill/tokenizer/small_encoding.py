"""Text to ids in plain Python: for a line or two, where `encoding.py` would first start a compiler.

The same ids, always: the pair with the lowest merge rank first, the leftmost of equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.pieces import piece_end
from gristmill.tokenizer.unicode_classes import class_table

if TYPE_CHECKING:
    from gristmill.tokenizer.vocabulary import Vocabulary

Ids = npt.NDArray[np.int32]

MOST_BYTES = 2048
"""Of all texts that one tokenizer gets: beyond these the compiled one is faster, its start
included."""


class SmallEncoder:
    """Encodes short texts with one vocabulary; see `encoding.Encoder`, whose ids these are."""

    def __init__(self, vocabulary: Vocabulary):
        self._byte_ids = vocabulary.byte_ids
        self._pattern = pattern_code(vocabulary.pattern)
        self._whole = vocabulary.whole_tokens
        self._merged_ids = vocabulary.merged_ids
        # Without merges: the tokens, the longest of them, and the id of unknown pretokens.
        self._tokens = {} if vocabulary.by_merges else vocabulary.ordinary
        self._longest = max(map(len, self._tokens), default=0)
        self._unknown = vocabulary.special_tokens.get(vocabulary.unknown or "")
        self._ranks: dict[tuple[int, int], int] = {}
        for rank, (left, right) in enumerate(vocabulary.merges):
            # A pair that is listed twice counts where it stands first.
            self._ranks.setdefault((left, right), rank)

    def encode_batch(self, documents: Sequence[bytes]) -> list[Ids]:
        """The ids of each document, int32."""
        return [np.array(self._encode(document), dtype=np.int32) for document in documents]

    def _encode(self, text: bytes) -> list[int]:
        classes = class_table(self._pattern)
        ids: list[int] = []
        at = 0
        while at < len(text):
            stop = piece_end(text, at, len(text), classes, self._pattern)
            ids += self._piece(text[at:stop])
            at = stop
        return ids

    def _piece(self, piece: bytes) -> list[int]:
        if self._unknown is not None:
            return [self._tokens.get(piece, self._unknown)]
        if self._tokens:
            return self._by_longest(piece)
        if len(piece) > 1 and piece in self._whole:
            return [self._whole[piece]]
        ids = [self._byte_ids[byte] for byte in piece if self._byte_ids[byte] >= 0]
        while len(ids) > 1:
            ranked = [self._ranks.get(pair, -1) for pair in pairwise(ids)]
            known = [rank for rank in ranked if rank >= 0]
            if not known:
                break
            best = ranked.index(min(known))
            ids[best : best + 2] = [self._merged_ids[ranked[best]]]
        return ids

    def _by_longest(self, piece: bytes) -> list[int]:
        ids = []
        at = 0
        while at < len(piece):
            ends = range(min(len(piece), at + self._longest), at, -1)
            # Every byte is a token where longest match is allowed.
            stop = next(end for end in ends if piece[at:end] in self._tokens)
            ids.append(self._tokens[piece[at:stop]])
            at = stop
        return ids
