"""Training a tokenizer from a stream of texts: BPE, or the baselines without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress
from gristmill.core.run import Run
from gristmill.tokenizer.counted_runs import MEMORY, CountedCorpus, count_corpus
from gristmill.tokenizer.merging import learn_merges
from gristmill.tokenizer.patterns import Kind, Match, Unknown
from gristmill.tokenizer.ties import Ties
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import (
    SPECIAL_TOKENS,
    UNKNOWN,
    from_merges,
    from_words,
    with_match,
)
from gristmill.tokenizer.words import frequent_words


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    *,
    kind: Kind = "bpe",
    pattern: str = "gpt4",
    min_frequency: int = 2,
    max_token_length: int | None = 64,
    min_count: int = 1,
    ties: Ties = "lowest-ids",
    multiple_of: int = 1,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    match: Match = "merge-order",
    unknown: Unknown = "bytes",
    workers: int = 1,
    memory: int = MEMORY,
    run: Run | None = None,
    bar: Progress | None = None,
    report: Callable[[CountedCorpus], None] | None = None,
) -> Tokenizer:
    """A tokenizer of at most `vocab_size` ids: 256 bytes, merges, special tokens.

    The order of the texts does not matter. min_frequency: a pair that occurs less often is not
    merged, nor a word kept. max_token_length: in bytes; None for any. min_count: pretokens that
    occur less often are left out before merging. ties: see `merging.Ties`. multiple_of: the ids in
    all are filled up to a multiple with reserved special tokens, also beyond `vocab_size`. match:
    see `with_match`. unknown: what a word without a token becomes in a vocabulary of words: its
    bytes, or one special token. workers, memory, run: see `count_corpus`; they change nothing in
    the outcome. `bar` advances by bytes read. `report` is given what was counted. Raises
    GristmillError where the size leaves no room for bytes and special tokens.
    """
    names = tuple(special_tokens)
    if len(set(names)) != len(names) or not all(names):
        raise GristmillError("special tokens must have names, each one of its own")
    if unknown == "token" and kind != "words":
        raise GristmillError(
            f"a vocabulary of kind {kind} has a token for everything", mend="leave unknown at bytes"
        )
    if unknown == "token" and UNKNOWN not in names:
        names = (*names, UNKNOWN)
    merges = vocab_size - 256 - len(names)
    if unknown == "token":
        merges = vocab_size - len(names)
    if merges < 0:
        raise GristmillError(
            f"a vocabulary of {vocab_size} has no room for 256 bytes "
            f"and {len(names)} special tokens",
            mend=f"take at least {256 + len(names)}",
        )
    if kind == "bytes":
        names = _filled(names, 256, multiple_of)
        return Tokenizer(with_match(from_merges([], names, "characters"), match))
    if kind == "words" and match == "longest":
        raise GristmillError("a vocabulary of words takes words whole", mend="leave out --match")
    pattern = "characters" if kind == "characters" else pattern
    counted = count_corpus(
        texts, pattern, workers=workers, memory=memory, min_count=min_count, run=run, bar=bar
    )
    if report is not None:
        report(counted)
    if not counted.bytes:
        raise GristmillError("there is no text to train a tokenizer on")
    if kind == "words":
        lengths = range(1 if unknown == "token" else 2, (max_token_length or 2**31) + 1)
        words = frequent_words(counted.pretokens, merges, min_frequency, lengths)
        names = _filled(names, len(words) + (0 if unknown == "token" else 256), multiple_of)
        return Tokenizer(from_words(words, names, pattern, UNKNOWN if unknown == "token" else None))
    pairs, _ = learn_merges(
        counted.pretokens,
        merges,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        ties=ties,
    )
    names = _filled(names, 256 + len(pairs), multiple_of)
    # Columns first: a list for each pair would set off a search of the whole heap for garbage.
    made = from_merges(
        list(zip(pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True)), names, pattern
    )
    return Tokenizer(with_match(made, match))


def _filled(names: tuple[str, ...], ordinary: int, multiple_of: int) -> tuple[str, ...]:
    """The special tokens, and reserved ones until all ids are a multiple."""
    free = (name for i in count() if (name := f"<|reserved_{i}|>") not in names)
    return (*names, *islice(free, -(ordinary + len(names)) % max(1, multiple_of)))
