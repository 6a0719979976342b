"""The tokenizer: text to ids and back, exactly.

Text is never markup: a text that spells `<|endoftext|>` becomes ordinary tokens. Special tokens
come from `special_tokens` by name, as ids.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.formats import read_tokenizer, write_tokenizer
from gristmill.tokenizer.patterns import Backend
from gristmill.tokenizer.small_encoding import MOST_BYTES, Ids, SmallEncoder
from gristmill.tokenizer.vocabulary import END_OF_TEXT, PADDING, Vocabulary

if TYPE_CHECKING:
    from gristmill.tokenizer.encoding import Encoder
    from gristmill.tokenizer.gigatoken_backend import GigatokenEncoder
    from gristmill.tokenizer.whole_encoding import WholeEncoder


class Tokenizer:
    """Byte-level BPE over one vocabulary. Several threads may share one.

    backend: what encodes; `gigatoken`, an optional package, is refused where its ids are not ours.
    """

    def __init__(self, vocabulary: Vocabulary, backend: Backend = "gristmill"):
        self.vocabulary = vocabulary
        self._backend: Backend = backend
        self._tokens = vocabulary.tokens
        self._special = frozenset(vocabulary.special_tokens.values())
        # Made when they are needed.
        self._encoder: Encoder | GigatokenEncoder | None = None
        self._whole: WholeEncoder | None = None
        self._small: SmallEncoder | None = None
        self._small_bytes = 0
        self._added_ids = {name.encode(): i for name, i in vocabulary.added_tokens.items()}
        self._added = _added_pattern(self._added_ids)
        self._plain = self._added is None and vocabulary.normalizer is None
        if backend == "gigatoken":
            from gristmill.tokenizer.gigatoken_backend import GigatokenEncoder

            self._encoder = GigatokenEncoder(vocabulary)

    @classmethod
    def load(cls, path: Path | str, backend: Backend = "gristmill") -> Tokenizer:
        """From a `tokenizer.json`, or a folder that holds one. Raises GristmillError."""
        return cls(read_tokenizer(Path(path)), backend)

    def save(self, folder: Path | str) -> None:
        """Writes `tokenizer.json`, `ranks.tiktoken` and `tokenizer_config.json`."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_tokenizer(Path(folder), self.vocabulary)

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[Vocabulary, Backend]]:
        # Worker processes get the vocabulary and build their own tables and caches.
        return (Tokenizer, (self.vocabulary, self._backend))

    @property
    def vocab_size(self) -> int:
        """All ids, special ones and those that stand for nothing included: a model's rows."""
        return len(self._tokens)

    @property
    def special_tokens(self) -> dict[str, int]:
        """Name to id."""
        return dict(self.vocabulary.special_tokens)

    @property
    def eot_id(self) -> int:
        """The id that ends every document."""
        return self._special_id(self.vocabulary.end_of_text, END_OF_TEXT)

    @property
    def eos_id(self) -> int:
        """The id that the tokenizer's files name as the end: of a turn, in a model that chats."""
        return self._special_id(self.vocabulary.eos or self.vocabulary.end_of_text, END_OF_TEXT)

    @property
    def bos_id(self) -> int | None:
        """The id that every text of a foreign model begins with; None where it has none."""
        name = self.vocabulary.bos
        return self.special_tokens[name] if name and self.vocabulary.add_bos else None

    @property
    def pad_id(self) -> int:
        """The id that fills a batch; `eot_id` only where there is no other special token."""
        return self._special_id(self.vocabulary.padding, PADDING)

    @property
    def pad_token(self) -> str:
        """The name of `pad_id`; not always the one that a foreign tokenizer's files give."""
        return self.vocabulary.tokens[self.pad_id].decode()

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one id; a special token's are its name."""
        return self._tokens[self._checked(token_id)]

    def encode(self, text: str, *, added: bool = True) -> list[int]:
        """The ids of a text, none of them special but that of unknown words, where there is one.

        added: whether text that spells an added token of a foreign vocabulary, such as Qwen's
        `<tool_call>`, becomes that token, as it does for its makers, or stays what it is.
        """
        if added or self._added is None:
            return self.encode_bytes(utf8(text)).tolist()
        data = utf8(text)
        if self.vocabulary.normalizer is not None:
            data = _nfc(data)
        return self._encode_plain([data])[0].tolist()

    def encode_bytes(self, data: bytes) -> Ids:
        """The ids, int32, of any bytes, valid UTF-8 or not."""
        return self._encode([data])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """The ids, int32, of each text."""
        return self._encode([utf8(text) for text in texts])

    def encode_joined(
        self, text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], end_id: int = -1
    ) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The ids of documents that lie one after the other, as in an Arrow column, in one array,
        and where each one's end in it: without an object for each document.

        text: their UTF-8 bytes, uint8. ends: where each ends in them, int64 (documents,). end_id:
        what each document's ids end with, where it is not -1. Ids int32, their ends int64.
        """
        if self._plain and self.vocabulary.by_merges:
            self._small_bytes += text.size
            return self._compiled().encode_joined(text, ends, end_id)
        data = text.tobytes()
        starts = [0, *ends.tolist()]
        last = np.array([end_id] if end_id >= 0 else [], dtype=np.int32)
        parts = self._encode([data[a:b] for a, b in pairwise(starts)])
        id_ends = np.cumsum([part.size + last.size for part in parts], dtype=np.int64)
        both = [array for part in parts for array in (part, last)]
        return np.concatenate([np.empty(0, dtype=np.int32), *both]), id_ends

    def encode_stretches(
        self, text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], end_id: int = -1
    ) -> Iterator[tuple[Ids, npt.NDArray[np.int64]]]:
        """The same as of `encode_joined`, of some documents after the other, which is faster where
        the ids are only handed on: they may lie in memory that is written over when the next are
        asked for. The ends are those in the ids that stand beside them."""
        if self._plain and self.vocabulary.by_merges:
            self._small_bytes += text.size
            yield from self._compiled().encode_stretches(text, ends, end_id)
        else:
            yield self.encode_joined(text, ends, end_id)

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = False) -> bytes:
        """Exactly the bytes that were encoded. Raises GristmillError for an id out of range.

        A foreign vocabulary may have normalised them, or lack some (`missing_bytes`), and one of
        whole words has forgotten those that it did not know.
        """
        special = self._special if skip_special else frozenset[int]()
        tokens, checked = self._tokens, self._checked
        return b"".join([tokens[checked(i)] for i in as_list(ids) if i not in special])

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text; bytes that are not UTF-8 become U+FFFD. Special tokens show their names."""
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", "replace")

    def stream(self, *, skip_special: bool = False) -> StreamDecoder:
        """A decoder that takes ids one by one, for text that is shown while it is generated."""
        return StreamDecoder(self, skip_special)

    def _checked(self, token_id: int) -> int:
        if not 0 <= token_id < len(self._tokens):
            raise GristmillError(
                f"id {token_id} is not in this vocabulary of {len(self._tokens)}",
                mend="use the tokenizer that made the ids",
            )
        return token_id

    def _special_id(self, name: str | None, wanted: str) -> int:
        if name is None:
            raise GristmillError(f"this tokenizer has no special token {wanted}")
        return self.vocabulary.special_tokens[name]

    def _encode(self, texts: list[bytes]) -> list[Ids]:
        if self._plain:
            return self._encode_plain(texts)
        # Stretches of text between added tokens, all encoded at once, then joined again.
        stretches: list[bytes] = []
        plans: list[list[int | bytes]] = []
        for text in texts:
            plan = self._cut(text)
            plans.append(plan)
            stretches += [part for part in plan if isinstance(part, bytes)]
        encoded = iter(self._encode_plain(stretches))
        return [
            np.concatenate(
                [
                    np.empty(0, dtype=np.int32),
                    *(
                        next(encoded) if isinstance(part, bytes) else np.array([part], np.int32)
                        for part in plan
                    ),
                ]
            )
            for plan in plans
        ]

    def _encode_plain(self, texts: list[bytes]) -> list[Ids]:
        self._small_bytes += sum(map(len, texts))
        if self._encoder is None and self._whole is None and self._small_bytes <= MOST_BYTES:
            if self._small is None:
                self._small = SmallEncoder(self.vocabulary)
            return self._small.encode_batch(texts)
        if self.vocabulary.by_merges:
            return self._compiled().encode_batch(texts)
        if self._whole is None:
            from gristmill.tokenizer.whole_encoding import WholeEncoder

            unknown = self.vocabulary.unknown
            self._whole = WholeEncoder(
                self.vocabulary.ordinary,
                self.vocabulary.pattern,
                None if unknown is None else self.vocabulary.special_tokens[unknown],
            )
        return self._whole.encode_batch(texts)

    def _compiled(self) -> Encoder | GigatokenEncoder:
        if self._encoder is None:
            from gristmill.tokenizer.encoding import Encoder

            self._encoder = Encoder(
                np.array(self.vocabulary.byte_ids, dtype=np.int32),
                np.array(self.vocabulary.merges, dtype=np.int32).reshape(-1, 2),
                np.array(self.vocabulary.merged_ids, dtype=np.int32),
                self.vocabulary.pattern,
                self.vocabulary.whole_tokens,
                seen=[token for token in self._tokens if token],
            )
        return self._encoder

    def _cut(self, text: bytes) -> list[int | bytes]:
        """Normalised stretches of text, and the ids of the added tokens between them."""
        parts: list[int | bytes] = []
        for part in [text] if self._added is None else self._added.split(text):
            if part in self._added_ids:
                parts.append(self._added_ids[part])
            elif part:
                parts.append(part if self.vocabulary.normalizer is None else _nfc(part))
        return parts


class StreamDecoder:
    """Turns ids into text as they come; holds the bytes of an unfinished character back."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = False):
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text that this id completes; may be empty."""
        data = self._tokenizer.decode_bytes([token_id], skip_special=self._skip_special)
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What was held back, as U+FFFD, where the ids end inside a character."""
        return self._decoder.decode(b"", True)


def utf8(text: str) -> bytes:
    """UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _added_pattern(names: Iterable[bytes]) -> re.Pattern[bytes] | None:
    """Finds added tokens, the longest first: a plain alternation, which never goes back."""
    longest = sorted(names, key=lambda name: (-len(name), name))
    if not longest:
        return None
    return re.compile(b"(" + b"|".join(map(re.escape, longest)) + b")")


def _nfc(text: bytes) -> bytes:
    """Unicode's composed form; bytes that are not UTF-8 stay."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text.decode("utf-8", "surrogateescape"))
    return composed.encode("utf-8", "surrogateescape")


def as_list(ids: Iterable[int] | npt.NDArray[np.integer]) -> list[int]:
    """Plain integers from a list, an array or a tensor."""
    if hasattr(ids, "tolist"):
        return list(ids.tolist())
    return [int(i) for i in ids]
