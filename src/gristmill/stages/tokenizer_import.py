"""`tokenizer import`: someone else's vocabulary as a tokenizer artifact, to encode with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Samples, Table
from gristmill.stages.stage import Inputs, Output, StageConfig, content_of, stage
from gristmill.tokenizer.patterns import Match, Pattern

if TYPE_CHECKING:
    from gristmill.tokenizer.vocabulary import Vocabulary

Format = Literal["tokenizer.json", "tiktoken", "gguf"]


class TokenizerImportConfig(StageConfig):
    """What is read."""

    path: Path = content_of()
    """A tokenizer.json or a folder with one, a .tiktoken file of ranks, or a .gguf file."""
    pattern: Pattern | None = None
    """For .tiktoken, which does not say how text is cut: cl100k, o200k, gpt2, ..."""
    special_tokens: tuple[str, ...] = ("<|endoftext|>",)
    """For .tiktoken, which names none: NAME with the next free id, or NAME=ID."""
    match: Match = "merge-order"
    """merge-order, as its model expects, or longest: the longest token from the left."""


@stage(
    "tokenizer import",
    version=1,
    kind="tokenizer",
    config=TokenizerImportConfig,
    inputs={},
    summary="take a vocabulary of someone else's: tokenizer.json, .tiktoken or GGUF",
    example="gristmill tokenizer import --path cl100k_base.tiktoken --pattern cl100k",
)
def tokenizer_import(config: TokenizerImportConfig, inputs: Inputs, output: Output) -> None:
    """The files of a tokenizer of ours; encodes as the source's own library does."""
    from gristmill.tokenizer.comparison import longest_tokens
    from gristmill.tokenizer.gguf import gguf_metadata, gguf_note
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.tokenizer.vocabulary import with_match

    found = _format(config.path)
    if config.pattern is not None and found != "tiktoken":
        raise GristmillError(
            "this file says itself how text is cut", where=config.path, mend="leave out --pattern"
        )
    vocabulary = with_match(_vocabulary(config, found), config.match)
    tokenizer = Tokenizer(vocabulary)
    tokenizer.save(output.path)
    output.counts["vocab_size"] = tokenizer.vocab_size
    output.counts["merges"] = len(vocabulary.merges)
    output.counts["special_tokens"] = len(vocabulary.special_tokens)
    output.tables.append(
        Table(
            "Imported tokenizer",
            ["format", "pre-tokenizer", "ids", "merges", "special", "added", "end of text"],
            [
                [
                    found,
                    vocabulary.pattern,
                    tokenizer.vocab_size,
                    len(vocabulary.merges),
                    len(vocabulary.special_tokens),
                    len(vocabulary.added_tokens),
                    vocabulary.end_of_text or "none",
                ]
            ],
        )
    )
    output.samples.append(
        Samples("Longest tokens", [{"longest": "  ".join(longest_tokens(tokenizer, 20))}])
    )
    if vocabulary.end_of_text is None:
        output.notes.append("No token ends a document, so tokenizer encode will refuse it.")
    if vocabulary.missing_bytes:
        output.notes.append(
            f"{len(vocabulary.missing_bytes)} of the 256 bytes have no token; encoding leaves "
            "them out, as the source's own library does."
        )
    try:
        gguf_metadata(vocabulary)
        if note := gguf_note(vocabulary):
            output.notes.append(note)
    except GristmillError as error:
        output.notes.append(f"Models with it cannot be exported to GGUF: {error.what}.")


def _format(path: Path) -> Format:
    """By what is there, not by names alone."""
    if path.is_dir():
        return "tokenizer.json"
    if not path.is_file():
        raise GristmillError("no such file", where=path, mend="check the path")
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return "gguf"
    return "tokenizer.json" if path.suffix == ".json" else "tiktoken"


def _vocabulary(config: TokenizerImportConfig, found: Format) -> Vocabulary:
    if found == "gguf":
        return _gguf(config.path)
    if found == "tokenizer.json":
        from gristmill.tokenizer.formats import read_tokenizer

        return read_tokenizer(config.path)
    from gristmill.tokenizer.tiktoken_file import ranks_vocabulary, read_ranks

    ranks = read_ranks(config.path)
    if config.pattern is None:
        raise GristmillError(
            "a .tiktoken file does not say how text is cut before it is merged",
            where=config.path,
            mend="give --pattern, such as cl100k, o200k or gpt2",
        )
    specials = _specials(config.special_tokens, max(ranks.values(), default=-1) + 1)
    try:
        return ranks_vocabulary(ranks, config.pattern, specials)
    except GristmillError as error:
        raise GristmillError(error.what, where=config.path, mend=error.mend) from None


def _specials(names: tuple[str, ...], free: int) -> dict[str, int]:
    """Name to id; those without an id follow the last one that is taken."""
    found: dict[str, int] = {}
    waiting = []
    for item in names:
        name, equals, number = item.rpartition("=")
        if equals and number.isdecimal() and name:
            found[name] = int(number)
        else:
            waiting.append(item)
    if len({*found, *waiting}) != len(names) or len(set(found.values())) != len(found):
        raise GristmillError("special tokens must have names and ids, each one of its own")
    free = max([free, *(number + 1 for number in found.values())])
    return found | {name: free + i for i, name in enumerate(waiting)}


def _gguf(path: Path) -> Vocabulary:
    from gristmill.model.gguf import read_gguf_tokenizer
    from gristmill.tokenizer.foreign import gguf_vocabulary

    found = read_gguf_tokenizer(path)
    try:
        return gguf_vocabulary(
            model=found.model,
            pre=found.pre,
            tokens=found.tokens,
            types=found.types,
            merges=found.merges,
            bos_id=found.bos_id,
            eos_id=found.eos_id,
            pad_id=found.pad_id,
            add_bos=found.add_bos,
        )
    except GristmillError as error:
        raise GristmillError(error.what, where=path, mend=error.mend) from None
