"""`tokenizer encode`: a mixture's documents as token shards with a document index."""

from __future__ import annotations

from gristmill.core.figure import Table
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage
from gristmill.tokenizer.formats import TOKENIZER_CONFIG, TOKENIZER_JSON
from gristmill.tokenizer.patterns import Backend


class TokenizerEncodeConfig(StageConfig):
    """The mixture and the tokenizer decide the result."""

    backend: Backend = local("gristmill")
    """What encodes: gristmill, or gigatoken where that package is installed. It is refused where
    its ids are not the same."""


@stage(
    "tokenizer encode",
    version=2,
    kind="tokens",
    config=TokenizerEncodeConfig,
    inputs={"mixture": Slot("mixture"), "tokenizer": Slot("tokenizer")},
    summary="turn documents into token shards",
    example="gristmill tokenizer encode --mixture FOLDER --tokenizer FOLDER",
)
def tokenizer_encode(config: TokenizerEncodeConfig, inputs: Inputs, output: Output) -> None:
    """Splits train (documents as often as they repeat), anneal (a part of train), heldout."""
    import shutil

    from gristmill.tokenizer.corpus import encode_mixture
    from gristmill.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(inputs["tokenizer"].path, config.backend)
    bar = progress("tokenizer encode", None, "documents")
    try:
        splits = encode_mixture(
            inputs["mixture"].path,
            tokenizer,
            output.path,
            workers=output.execution.workers,
            bar=bar,
        )
    finally:
        bar.close()
    for name in (TOKENIZER_JSON, TOKENIZER_CONFIG):
        shutil.copyfile(inputs["tokenizer"].file(name), output.path / name)
    for split, entry in splits.items():
        output.counts[f"{split}.documents"] = entry["documents"]
        output.counts[f"{split}.tokens"] = entry["tokens"]
    output.tables.append(
        Table(
            "Tokens by split",
            ["split", "documents", "bytes", "tokens", "bytes per token"],
            [
                [
                    split,
                    entry["documents"],
                    entry["bytes"],
                    entry["tokens"],
                    round(entry["bytes"] / max(1, entry["tokens"]), 3),
                ]
                for split, entry in splits.items()
            ],
            note="Every document has its end-of-text token; repeated ones count each time.",
        )
    )
