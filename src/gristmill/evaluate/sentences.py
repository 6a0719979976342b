"""What p(sentence) means: the same words in an order that makes sense, and in one that does not.

A language model gives every sentence a probability. Good grammar and good sense are more probable
than bad, without anybody having told it what either is: p(the mouse ate the cheese) > p(the cheese
ate the mouse).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, Table, proportion
from gristmill.evaluate.choices import TextEncoder
from gristmill.evaluate.likelihood import score_all
from gristmill.infer.generator import Scorer


@dataclass(frozen=True)
class SentencePair:
    """`likely` should be the more probable one; the difference is one of `kind`."""

    likely: str
    unlikely: str
    kind: str = "own"


@dataclass(frozen=True)
class SentenceScore:
    """log_probability: nats, of all tokens given a document's start; no end is asked of it."""

    text: str
    tokens: int
    log_probability: float
    bits_per_byte: float


# The first pair is the usual example of lectures on language models.
EXAMPLES: tuple[SentencePair, ...] = tuple(
    SentencePair(likely, unlikely, kind)
    for kind, pairs in {
        "meaning": [
            ("The mouse ate the cheese.", "The cheese ate the mouse."),
            ("The city lies on the river.", "The river lies on the city."),
            ("The Earth orbits the Sun.", "The Sun orbits the Earth."),
            ("The writer published the novel.", "The novel published the writer."),
            ("The king ruled for ten years.", "Ten years ruled for the king."),
            ("The scientist discovered the element.", "The element discovered the scientist."),
            ("Birds are animals that can fly.", "Animals are birds that can fly."),
            ("The capital of France is Paris.", "The Paris of France is capital."),
            ("The composer wrote an opera.", "The opera wrote a composer."),
            ("Water is a liquid.", "Water is a writer."),
        ],
        "grammar": [
            ("She was the first to win the prize.", "She was first the win to the prize."),
            ("The island is part of Greece.", "The island are part of Greece."),
            ("The war began in 1914.", "The war begin in 1914."),
            ("It is one of the largest cities.", "It is one of the largest city."),
            ("The song was written by two brothers.", "The song was wrote by two brothers."),
            ("He was born in Germany.", "He born was in Germany."),
            ("They are used in many countries.", "They is used in many countries."),
            ("The plant grows in warm regions.", "The plant grow in warm regions."),
            ("An atom has a nucleus.", "A atom has an nucleus."),
            ("The book has been translated twice.", "The book have been translated twice."),
        ],
    }.items()
    for likely, unlikely in pairs
)


def score_sentences(
    scorer: Scorer, tokenizer: TextEncoder, sentences: Sequence[str], context: int | None = None
) -> list[SentenceScore]:
    """Each sentence's log-probability after end-of-text, and its bits per byte.

    Raises GristmillError for an empty sentence and one longer than the context.
    """
    encoded = tokenizer.encode_batch(sentences)
    for text, ids in zip(sentences, encoded, strict=True):
        if len(ids) == 0:
            raise GristmillError("an empty sentence has no probability")
        if context is not None and len(ids) > context:
            raise GristmillError(
                f"a sentence of {len(ids)} tokens does not fit a context of {context}",
                where=text[:60],
            )
    scored = score_all(scorer, [[tokenizer.eot_id, *ids.tolist()] for ids in encoded])
    results = []
    for text, scores in zip(sentences, scored, strict=True):
        total = float(scores.sum())
        bits = -total / math.log(2) / len(text.encode("utf-8", "replace"))
        results.append(SentenceScore(text, len(scores), total, bits))
    return results


def score_pairs(
    scorer: Scorer,
    tokenizer: TextEncoder,
    pairs: Sequence[SentencePair],
    context: int | None = None,
) -> list[tuple[SentencePair, SentenceScore, SentenceScore]]:
    """Both sentences of each pair."""
    texts = [text for pair in pairs for text in (pair.likely, pair.unlikely)]
    scores = score_sentences(scorer, tokenizer, texts, context)
    return [(pair, scores[2 * i], scores[2 * i + 1]) for i, pair in enumerate(pairs)]


def right(scored: Sequence[tuple[SentencePair, SentenceScore, SentenceScore]]) -> Figure:
    """The share of pairs whose likely sentence is the more probable one."""
    wins = sum(likely.log_probability > unlikely.log_probability for _, likely, unlikely in scored)
    return proportion(wins, len(scored))


def pair_table(scored: Sequence[tuple[SentencePair, SentenceScore, SentenceScore]]) -> Table:
    """One row a pair: the more probable sentence first as written, with both probabilities."""
    rows = [
        [
            pair.kind,
            pair.likely,
            round(likely.log_probability, 2),
            pair.unlikely,
            round(unlikely.log_probability, 2),
            "yes" if likely.log_probability > unlikely.log_probability else "no",
        ]
        for pair, likely, unlikely in scored
    ]
    return Table(
        "What the model finds more probable",
        ["kind", "sentence", "log p", "against", "log p", "as expected"],
        rows,
        note="Natural logarithm of the probability of all tokens after a document's start.",
    )


def read_pairs(path: Path | str) -> list[SentencePair]:
    """Pairs of a user's file: JSON Lines `{"likely": ..., "unlikely": ...}` (`kind` optional), or
    two sentences a line with a tab between them.

    Raises GristmillError with the line that is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise GristmillError("no such file", where=path)
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            pairs.append(_pair(line, f"{path}:{number}"))
    if not pairs:
        raise GristmillError("holds no sentence pairs", where=path)
    return pairs


def _pair(line: str, where: str) -> SentencePair:
    if line.lstrip().startswith("{"):
        try:
            record = json.loads(line)
            return SentencePair(
                str(record["likely"]), str(record["unlikely"]), str(record.get("kind", "own"))
            )
        except (json.JSONDecodeError, KeyError) as error:
            raise GristmillError(
                f"not a pair: {error}", where=where, mend='write {"likely": ..., "unlikely": ...}'
            ) from error
    parts = [part.strip() for part in line.split("\t")]
    if len(parts) != 2 or not all(parts):
        raise GristmillError(
            "not a pair", where=where, mend="put a tab between the two sentences of a line"
        )
    return SentencePair(parts[0], parts[1])
