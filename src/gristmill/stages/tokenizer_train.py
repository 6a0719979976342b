"""`tokenizer train`: a vocabulary from a mixture's training split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.figure import Figure, Samples, Table
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, later, local, stage
from gristmill.tokenizer.patterns import Kind, Match, Pattern, Unknown
from gristmill.tokenizer.ties import Ties
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS

if TYPE_CHECKING:
    from gristmill.tokenizer.counted_runs import CountedCorpus

_MEASURED_BYTES = 64 << 20


class TokenizerTrainConfig(StageConfig):
    vocab_size: int = Field(4096, ge=257)
    """Ids in all: 256 bytes, merges, special tokens. Fewer come out where the text has no more."""
    kind: Kind = "bpe"
    """bpe, or the baselines without it: characters, words, bytes."""
    pattern: Pattern = "gpt4"
    """How text is cut before merging: gpt4 or llama3, cl100k, gpt2, o200k (capitals begin words),
    qwen and smollm (digits one by one), digits-right (threes from the right), digits-free, code
    (a line break with its indentation), scripts (by script where words have no spaces),
    characters, none. llama.cpp knows gpt4, gpt2, qwen and smollm alone."""
    min_frequency: int = Field(2, ge=1)
    """A pair that occurs less often is not merged."""
    max_token_length: int = Field(64, ge=2)
    """In bytes."""
    min_count: int = later(1, ge=1)
    """Pretokens that occur less often are left out before merging; the output says how many."""
    ties: Ties = later("lowest-ids")
    """Of equally frequent pairs: lowest-ids, as rustbpe and tokenizers, or greatest-bytes, as
    subword-nmt."""
    multiple_of: int = later(1, ge=1)
    """Reserved special tokens fill the ids up to a multiple of this, also beyond vocab_size."""
    special_tokens: tuple[str, ...] = SPECIAL_TOKENS
    """Reserved by name, with the last ids; never made from text."""
    match: Match = later("merge-order")
    """merge-order, as every model expects, or longest: the longest token from the left."""
    unknown: Unknown = later("bytes")
    """What a word without a token becomes where kind is words: its bytes, or one token."""
    memory: int = local(2 << 30, ge=1 << 20)
    """Bytes that counting may take, about; what is more goes to disk."""
    max_bytes: int | None = Field(None, ge=1)
    """Train on the first documents up to this many bytes; null for all."""


@stage(
    "tokenizer train",
    version=1,
    kind="tokenizer",
    config=TokenizerTrainConfig,
    inputs={"mixture": Slot("mixture", help="its train split alone is read for training")},
    summary="train a byte-level BPE vocabulary",
    example="gristmill tokenizer train --mixture FOLDER --vocab_size 4096",
)
def tokenizer_train(config: TokenizerTrainConfig, inputs: Inputs, output: Output) -> None:
    """Each document counts once, however often training repeats it."""
    from gristmill.tokenizer.comparison import longest_tokens, measure, pieces
    from gristmill.tokenizer.corpus import split_bytes, split_domain_texts, split_texts
    from gristmill.tokenizer.training import train_tokenizer

    mixture = inputs["mixture"].path
    size = split_bytes(mixture, "train")
    bar = progress("tokenizer train", min(size, config.max_bytes or size), "bytes")
    try:
        tokenizer = train_tokenizer(
            split_texts(mixture, "train", config.max_bytes),
            config.vocab_size,
            kind=config.kind,
            pattern=config.pattern,
            min_frequency=config.min_frequency,
            max_token_length=config.max_token_length,
            special_tokens=config.special_tokens,
            match=config.match,
            unknown=config.unknown,
            min_count=config.min_count,
            ties=config.ties,
            multiple_of=config.multiple_of,
            workers=output.execution.workers,
            memory=config.memory,
            run=output.run,
            report=lambda corpus: _note_counted(corpus, output),
            bar=bar,
        )
    finally:
        bar.close()
    tokenizer.save(output.path)

    train = measure(tokenizer, split_domain_texts(mixture, "train", _MEASURED_BYTES))
    heldout = measure(tokenizer, split_domain_texts(mixture, "heldout", _MEASURED_BYTES))
    output.counts["vocab_size"] = tokenizer.vocab_size
    output.counts["merges"] = len(tokenizer.vocabulary.merges)
    output.figures["tokenizer.vocab_size"] = Figure(tokenizer.vocab_size)
    output.figures["tokenizer.bytes_per_token"] = Figure(
        heldout.total.bytes_per_token, n=heldout.total.tokens
    )
    output.figures["tokenizer.bytes_per_token.train"] = Figure(
        train.total.bytes_per_token, n=train.total.tokens
    )
    output.figures["tokenizer.used_share"] = Figure(heldout.used_share)
    output.tables.append(
        Table(
            "Tokenizer: held-out text by domain",
            ["domain", "documents", "bytes", "tokens", "bytes per token", "tokens per word"],
            [
                [
                    domain,
                    row.documents,
                    row.bytes,
                    row.tokens,
                    round(row.bytes_per_token, 3),
                    round(row.tokens_per_word, 3),
                ]
                for domain, row in {**heldout.domains, "all": heldout.total}.items()
            ],
            note=f"{heldout.used_share:.1%} of the vocabulary occurs in the held-out text.",
        )
    )
    example = next((text for _, text in split_domain_texts(mixture, "heldout", 1)), "")[:200]
    output.samples.append(
        Samples(
            "Tokens",
            [
                {
                    "longest": "  ".join(longest_tokens(tokenizer, 20)),
                    "a held-out text": "|".join(pieces(tokenizer, example)),
                }
            ],
        )
    )
    if tokenizer.vocab_size < config.vocab_size and config.kind == "bpe":
        output.notes.append(
            f"The text gave {tokenizer.vocab_size} of the {config.vocab_size} tokens asked for."
        )


def _note_counted(corpus: CountedCorpus, output: Output) -> None:
    output.counts["documents"] = corpus.documents
    output.counts["bytes"] = corpus.bytes
    output.counts["pretokens"] = corpus.pretokens.counts.size
    if corpus.dropped:
        output.counts["pretokens_dropped"] = corpus.dropped
        output.notes.append(
            f"{corpus.dropped:,} pretokens were left out as rare; they occur "
            f"{corpus.dropped_occurrences:,} times in all."
        )
