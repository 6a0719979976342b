"""`tokenizer compare`: tokenizers side by side on the same text."""

from __future__ import annotations

from pydantic import Field

from gristmill.core.figure import Figure, Samples, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage


class TokenizerCompareConfig(StageConfig):
    text: str | None = content_of(None)
    """A text file to compare on, beside or in place of a mixture."""
    split: str = "heldout"
    """The mixture's split to compare on."""
    max_bytes: int = Field(64 << 20, ge=1)
    """Read this much of the mixture."""
    show: int = Field(400, ge=0)
    """Characters of text to show cut into tokens."""


@stage(
    "tokenizer compare",
    version=1,
    kind="comparison",
    config=TokenizerCompareConfig,
    inputs={
        "tokenizers": Slot("tokenizer", many=True, help="one or more"),
        "mixture": Slot("mixture", optional=True),
    },
    summary="tokenizers side by side on the same text",
    example="gristmill tokenizer compare --tokenizers A,B --text README.md",
    uncached=True,
)
def tokenizer_compare(config: TokenizerCompareConfig, inputs: Inputs, output: Output) -> None:
    """Prints the text cut into coloured tokens; bytes per token by domain go into the tables."""
    import sys
    from collections.abc import Iterator
    from itertools import chain
    from pathlib import Path

    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.core.figure import figures_to_json
    from gristmill.tokenizer.comparison import coloured, longest_tokens, measure, pieces
    from gristmill.tokenizer.corpus import split_domain_texts
    from gristmill.tokenizer.tokenizer import Tokenizer

    mixture = inputs.get("mixture")
    if mixture is None and config.text is None:
        raise GristmillError(
            "there is no text to compare on", mend="give --mixture FOLDER or --text FILE"
        )

    def texts() -> Iterator[tuple[str, str]]:
        own = []
        if config.text is not None:
            path = Path(config.text)
            own.append((path.name, path.read_text(encoding="utf-8", errors="replace")))
        if mixture is None:
            return iter(own)
        return chain(own, split_domain_texts(mixture.path, config.split, config.max_bytes))

    example = next((text for _, text in texts()), "")[: config.show]
    by_domain, summary, views = [], [], []
    for artifact in inputs.many("tokenizers"):
        tokenizer = Tokenizer.load(artifact.path)
        usage = measure(tokenizer, texts())
        name = artifact.path.name
        for domain, row in [*usage.domains.items(), ("all", usage.total)]:
            by_domain.append(
                [domain, name, row.bytes, row.tokens, row.bytes_per_token, row.tokens_per_word]
            )
        summary.append(
            [name, tokenizer.vocab_size, usage.used_share, "  ".join(longest_tokens(tokenizer))]
        )
        output.figures[f"tokenizer.compare.{name}.bytes_per_token"] = Figure(
            usage.total.bytes_per_token, n=usage.total.tokens
        )
        cut = pieces(tokenizer, example)
        views.append({"tokenizer": name, "tokens": "|".join(cut)})
        # The result goes to stdout, which may be JSON for a program; this is for eyes.
        print(f"{name}\n{coloured(cut)}\n", file=sys.stderr)
    by_domain.sort(key=lambda row: (row[0] == "all", row[0]))
    output.tables.append(
        Table(
            "Bytes per token by domain",
            ["domain", "tokenizer", "bytes", "tokens", "bytes per token", "tokens per word"],
            by_domain,
        )
    )
    output.tables.append(
        Table(
            "Vocabulary",
            ["tokenizer", "vocabulary", "share used", "longest tokens"],
            summary,
        )
    )
    output.samples.append(Samples("The same text, cut", views))
    output.counts["tokenizers"] = len(summary)
    write_json(output.path / "comparison.json", figures_to_json(output.figures))
