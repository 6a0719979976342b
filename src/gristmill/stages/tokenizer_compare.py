"""`tokenizer compare`: tokenizers side by side on the same text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import Field

from gristmill.core.figure import Figure, Samples, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage

_JUDGED_CHARACTERS = 16 << 20


class TokenizerCompareConfig(StageConfig):
    text: str | None = content_of(None)
    """A text file to compare on, beside or in place of a mixture."""
    split: str = "heldout"
    """The mixture's split to compare on."""
    max_bytes: int = Field(64 << 20, ge=1)
    """Read this much of the mixture."""
    show: int = Field(400, ge=0)
    """Characters of text to show cut into tokens."""
    price: float = Field(1.0, ge=0)
    """Dollars for a million tokens."""


@stage(
    "tokenizer compare",
    version=3,
    kind="comparison",
    config=TokenizerCompareConfig,
    inputs={
        "tokenizers": Slot("tokenizer", many=True, help="one or more"),
        "mixture": Slot("mixture", optional=True),
    },
    summary="set tokenizers side by side on the same text",
    example="gristmill tokenizer compare --tokenizers A,B --text README.md",
    uncached=True,
)
def tokenizer_compare(config: TokenizerCompareConfig, inputs: Inputs, output: Output) -> None:
    """Prints the text cut into coloured tokens; tables of what `judge` says, `comparison.html`."""
    import sys
    from itertools import chain

    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.core.figure import figures_to_json
    from gristmill.report.tokenizers import OVERVIEW, comparison_page, comparison_tables
    from gristmill.tokenizer.comparison import coloured, longest_tokens, measure, pieces
    from gristmill.tokenizer.corpus import split_domain_texts
    from gristmill.tokenizer.judging import judge
    from gristmill.tokenizer.labelled import file_domain, labelled
    from gristmill.tokenizer.opening import short_names
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.tokenizer.view import shown_tokens

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
    by_domain, summary, views, judged, coloured_view = [], [], [], [], []
    whole = [labelled(text, _domain(domain, file_domain)) for domain, text in _first(texts())]
    artifacts = inputs.many("tokenizers")
    names = short_names([artifact.path for artifact in artifacts])
    for name, artifact in zip(names, artifacts, strict=True):
        tokenizer = Tokenizer.load(artifact.path)
        usage = measure(tokenizer, texts())
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
        judged.append(judge(name, tokenizer, whole))
        coloured_view.append((name, shown_tokens(tokenizer, example)))
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
    output.tables += [
        table
        for table in comparison_tables(judged, config.price)
        if table.rows and table.title != OVERVIEW
    ]
    output.samples.append(Samples("The same text, cut", views))
    output.counts["tokenizers"] = len(summary)
    write_json(
        output.path / "comparison.json",
        {
            "figures": figures_to_json(output.figures),
            "tokenizers": [one.to_json(config.price) for one in judged],
        },
    )
    size = sum(len(one.text) for one in whole)
    about = f"On {size:,} characters of the same text."
    page = comparison_page(judged, about, config.price, coloured_view)
    (output.path / "comparison.html").write_text(page, encoding="utf-8", errors="replace")


def _first(texts: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What the vocabulary is judged on, which is held in memory."""
    left = _JUDGED_CHARACTERS
    for domain, text in texts:
        yield domain, text
        left -= len(text)
        if left <= 0:
            return


def _domain(name: str, of_file: Callable[[Path], str]) -> str:
    """A file's name stands in place of a domain."""
    return of_file(Path(name)) if "." in name else name
