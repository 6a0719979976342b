"""gigatoken as the encoder, where it is installed: the same ids, or it is refused.

gigatoken (Rød 2025) encodes byte-level BPE in Rust. It is told a vocabulary's ranks and one of the
pre-tokenizers that it knows by name, and none of the special tokens, which it would find in text.
Before it is used it encodes a text of many scripts, of the vocabulary's own tokens and of what
pre-tokenizers differ in, and every id has to be ours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.formats import RANKS, ranks_are_ids, tiktoken_ranks
from gristmill.tokenizer.labelled import sample
from gristmill.tokenizer.small_encoding import Ids, SmallEncoder
from gristmill.tokenizer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from gristmill.tokenizer.encoding import Offsets

_PRETOKENIZERS = {"gpt4": "gpt4", "gpt2": "gpt2", "qwen": "qwen2", "o200k": "o200k"}
_OWN = "leave the backend at gristmill"
_ODD = [
    *"'sStlLreVdmſ \n\r\t\u00a0\u3000aA1½٣é中🙂/_.,(<|>\u0301\u200d",
    "    ", "\r\n", "'ll", "'S", "Grist", "12345", "<|endoftext|>", "ÉCOLE",
]  # fmt: skip


class GigatokenEncoder:
    """Encodes with one vocabulary, on the calling thread; has `Encoder`'s interface.

    Raises GristmillError where the package is missing, does not know the vocabulary's
    pre-tokenizer, or gives other ids than ours on the sample.
    """

    def __init__(self, vocabulary: Vocabulary):
        name = _PRETOKENIZERS.get(vocabulary.pattern)
        if name is None or not ranks_are_ids(vocabulary):
            what = f"the pre-tokenizer '{vocabulary.pattern}'" if name is None else "such ids"
            raise GristmillError(f"gigatoken does not know {what}", mend=_OWN)
        try:
            gigatoken = import_module("gigatoken")
        except ImportError:
            raise GristmillError(
                "gigatoken is not installed",
                mend=f"pip install 'gristmill[gigatoken]', or {_OWN}",
            ) from None
        with TemporaryDirectory(prefix="gristmill-ranks-") as folder:
            file = Path(folder) / RANKS
            file.write_text(tiktoken_ranks(vocabulary), encoding="ascii")
            try:
                self._theirs: Any = gigatoken.Tokenizer.from_tiktoken(file, name, {})
            except Exception as error:
                raise GristmillError(f"gigatoken takes no such ranks: {error}", mend=_OWN) from None
        self._own = SmallEncoder(vocabulary)
        self._check(vocabulary)

    def encode_batch(self, documents: Sequence[bytes]) -> list[Ids]:
        """The ids, int32, of each document; bytes that are not UTF-8 are encoded by us."""
        ids, ends = self._ids(list(documents))
        found = [ids[start:end] for start, end in pairwise([0, *ends.tolist()])]
        for place, document in enumerate(documents):
            if not _is_utf8(document):
                found[place] = self._own.encode_batch([document])[0]
        return found

    def encode_joined(
        self, text: npt.NDArray[np.uint8], ends: Offsets, end_id: int = -1
    ) -> tuple[Ids, Offsets]:
        """The same of UTF-8 documents that lie one after the other; see `Encoder`."""
        data = text.tobytes()
        ids, id_ends = self._ids([data[a:b] for a, b in pairwise([0, *ends.tolist()])])
        if end_id < 0:
            return ids, id_ends
        return np.insert(ids, id_ends, end_id), id_ends + np.arange(1, id_ends.size + 1)

    def encode_stretches(
        self, text: npt.NDArray[np.uint8], ends: Offsets, end_id: int = -1
    ) -> Iterator[tuple[Ids, Offsets]]:
        """All at once; see `Encoder`."""
        yield self.encode_joined(text, ends, end_id)

    def _ids(self, documents: list[bytes]) -> tuple[Ids, Offsets]:
        if not documents:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64)
        # Threads are ours to start: one call is one thread, as with our own encoder.
        layout = self._theirs.encode_batch(documents, parallel=False).layout
        offsets = np.asarray(layout.offsets.data, dtype=np.int64)
        ids = np.asarray(layout.content.data)[offsets[0] : offsets[-1]].astype(np.int32)
        return ids, offsets[1:] - offsets[0]

    def _check(self, vocabulary: Vocabulary) -> None:
        texts = [text.encode() for text in sample_texts(vocabulary)]
        ids, ends = self._ids(texts)
        theirs = np.split(ids, ends[:-1])
        for text, own, other in zip(texts, self._own.encode_batch(texts), theirs, strict=True):
            if not np.array_equal(own, other):
                raise GristmillError(
                    f"gigatoken gives other ids for {text[:60].decode('utf-8', 'replace')!r}",
                    mend=_OWN,
                )


def sample_texts(vocabulary: Vocabulary) -> list[str]:
    """The built-in text, the tokens that are text, behind a word and one by one, odd texts."""
    tokens = [token.decode("utf-8", "ignore") for token in vocabulary.ordinary]
    rng = random.Random(0)
    odd = ["".join(rng.choices(_ODD, k=rng.randint(1, 24))) for _ in range(400)]
    drawn = rng.sample(tokens, min(len(tokens), 2_000))
    return [*(one.text for one in sample()), *odd, *drawn, *(f"x{token}y 1" for token in drawn)]


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
