"""Training a tokenizer from a stream of texts: BPE, or the baselines without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress, Silent
from gristmill.tokenizer.counting import PretokenCounter
from gristmill.tokenizer.merging import learn_merges
from gristmill.tokenizer.patterns import Kind
from gristmill.tokenizer.tokenizer import Tokenizer, utf8
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges

_BATCH_BYTES = 4 << 20


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    *,
    kind: Kind = "bpe",
    pattern: str = "gpt4",
    min_frequency: int = 2,
    max_token_length: int = 64,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    bar: Progress | None = None,
) -> Tokenizer:
    """A tokenizer of at most `vocab_size` ids: 256 bytes, merges, special tokens.

    The order of the texts does not matter. min_frequency: a pair that occurs less often is not
    merged. max_token_length: in bytes. `bar` advances by bytes read. Raises GristmillError where
    the size leaves no room for bytes and special tokens.
    """
    names = tuple(special_tokens)
    if len(set(names)) != len(names) or not all(names):
        raise GristmillError("special tokens must have names, each one of its own")
    merges = vocab_size - 256 - len(names)
    if merges < 0:
        raise GristmillError(
            f"a vocabulary of {vocab_size} has no room for 256 bytes "
            f"and {len(names)} special tokens",
            mend=f"take at least {256 + len(names)}",
        )
    if kind == "bytes":
        return Tokenizer(from_merges([], names, "characters"))
    pattern = "characters" if kind == "characters" else pattern
    bar = bar or Silent()
    counter = PretokenCounter(pattern)
    for batch in _batches(texts):
        counter.add(batch)
        bar.advance(sum(map(len, batch)))
    if not counter.bytes:
        raise GristmillError("there is no text to train a tokenizer on")
    pairs, _ = learn_merges(
        counter.result(), merges, min_frequency=min_frequency, max_token_length=max_token_length
    )
    return Tokenizer(from_merges([(left, right) for left, right in pairs.tolist()], names, pattern))


def _batches(texts: Iterable[str]) -> Iterator[list[bytes]]:
    """Documents by some megabytes."""
    batch: list[bytes] = []
    size = 0
    for text in texts:
        data = utf8(text)
        batch.append(data)
        size += len(data)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
