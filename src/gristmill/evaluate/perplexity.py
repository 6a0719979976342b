"""Held-out bits per byte, the same tokens and the same bytes for every model.

What is counted: the tokens of each document's text, every one once, given end-of-text and the text
before it; divided by the UTF-8 bytes of the text. The closing end-of-text is predicted too but has
no bytes; it stands apart (`with_end`), so that the figure is comparable with other tokenizers and
projects. Intervals resample documents, because tokens of one document go together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.core.seeds import derive_seed
from gristmill.tokenizer.shards import TokenShards

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Weights of resampled documents held at once: 32 MB.
_BOOTSTRAP_CELLS = 1 << 22


@dataclass(frozen=True)
class DocumentTokens:
    """Documents of a split: ids without end-of-text, bytes of their texts, domains."""

    documents: list[Ints]
    bytes_N: Ints
    domains: list[str]
    ids: list[str]
    urls: list[str]
    vocab_size: int
    eot_id: int

    @property
    def tokens(self) -> int:
        """Tokens of the texts, without end-of-text."""
        return sum(len(document) for document in self.documents)

    def first(self, count: int | None) -> DocumentTokens:
        """Only the first `count` documents; all where it is None."""
        if count is None:
            return self
        return replace(
            self,
            documents=self.documents[:count],
            bytes_N=self.bytes_N[:count],
            domains=self.domains[:count],
            ids=self.ids[:count],
            urls=self.urls[:count],
        )


def read_documents(folder: Path | str, split: str, *, unique: bool = False) -> DocumentTokens:
    """The documents of a split of a tokens artifact.

    unique: a document that the split repeats is read once. Counts of counts, from which
    Kneser-Ney takes its discounts, mean nothing where every n-gram occurs twice.
    """
    shards = TokenShards.open(folder, split)
    table = shards.documents
    ids, urls, starts, tokens, bytes_, domains = (
        table[name].to_pylist() for name in ("id", "url", "start", "tokens", "bytes", "domain")
    )
    rows = list(range(len(ids)))
    if unique:
        rows = sorted({name: row for row, name in reversed(list(enumerate(ids)))}.values())
    return DocumentTokens(
        [shards.tokens(starts[row], tokens[row] - 1).astype(np.int64) for row in rows],
        np.array([bytes_[row] for row in rows], dtype=np.int64),
        [domains[row] for row in rows],
        [ids[row] for row in rows],
        [urls[row] for row in rows],
        shards.vocab_size,
        shards.eot_id,
    )


@dataclass(frozen=True)
class Perplexity:
    """One model's scores of a split: for each document the bits of its text and of its end."""

    bits_N: Floats
    end_bits_N: Floats
    bytes_N: Ints
    tokens_N: Ints

    @classmethod
    def of(cls, log_probabilities: Sequence[Floats], data: DocumentTokens) -> Perplexity:
        """From log p (nats) of each document's tokens and its closing end-of-text."""
        for scores, document in zip(log_probabilities, data.documents, strict=True):
            if len(scores) != len(document) + 1:
                raise ValueError(f"{len(scores)} scores for {len(document)} tokens and their end")
        return cls(
            np.array([-scores[:-1].sum() / math.log(2) for scores in log_probabilities]),
            np.array([-scores[-1] / math.log(2) for scores in log_probabilities]),
            data.bytes_N,
            np.array([len(document) for document in data.documents], dtype=np.int64),
        )

    def bits_per_byte(self, seed: int = 0, resamples: int = 1000) -> Figure:
        """Bits of the texts over their bytes; 95% by bootstrap over documents."""
        return ratio(self.bits_N, self.bytes_N, seed, resamples)

    def with_end(self, seed: int = 0, resamples: int = 1000) -> Figure:
        """The same with the bits of end-of-text: a code from which documents can be restored."""
        return ratio(self.bits_N + self.end_bits_N, self.bytes_N, seed, resamples)

    def bits_per_token(self, seed: int = 0, resamples: int = 1000) -> Figure:
        """Mean bits of a token of the text; depends on the tokenizer."""
        return ratio(self.bits_N, self.tokens_N, seed, resamples)

    def token_perplexity(self, seed: int = 0, resamples: int = 1000) -> Figure:
        """2 to the power of that: between 1 (certain) and the vocabulary's size (guessing)."""
        bits = self.bits_per_token(seed, resamples)
        low, high = (None if b is None else 2.0**b for b in (bits.low, bits.high))
        return Figure(2.0**bits.value, low, high, int(self.tokens_N.sum()))

    def subset(self, rows: Ints) -> Perplexity:
        """Only these documents."""
        return Perplexity(
            self.bits_N[rows], self.end_bits_N[rows], self.bytes_N[rows], self.tokens_N[rows]
        )


def ratio(above_N: Floats, below_N: Ints, seed: int, resamples: int = 1000) -> Figure:
    """sum(above) / sum(below) with a 95% percentile bootstrap over rows (Efron 1979)."""
    n, total = len(above_N), int(below_N.sum())
    if total == 0:
        return Figure(math.nan, n=n)
    value = float(above_N.sum() / total)
    if n < 2:
        return Figure(value, n=n)
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    samples: list[Floats] = []
    portion = max(1, _BOOTSTRAP_CELLS // n)
    for start in range(0, resamples, portion):
        size = min(portion, resamples - start)
        weights_RN = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        below_R = weights_RN @ below_N.astype(np.float64)
        samples.append((weights_RN @ above_N)[below_R > 0] / below_R[below_R > 0])
    samples_R = np.concatenate(samples)
    low, high = np.percentile(samples_R, [2.5, 97.5])
    return Figure(value, float(low), float(high), n)


def difference(
    first: Perplexity, second: Perplexity, seed: int = 0, resamples: int = 1000
) -> Figure:
    """Bits per byte of `first` minus those of `second`; both resampled on the same documents."""
    return ratio(first.bits_N - second.bits_N, first.bytes_N, seed, resamples)


class Unigram:
    """Every token by its own frequency, one added to each count: the baseline without context."""

    def __init__(self, documents: Sequence[Ints], vocab_size: int, eot_id: int):
        counts = np.ones(vocab_size)
        for document in documents:
            counts += np.bincount(document, minlength=vocab_size)
        counts[eot_id] += len(documents)
        self._log_p = np.log(counts / counts.sum())
        self._eot_id = eot_id

    def log_probabilities(self, documents: Sequence[Ints]) -> list[Floats]:
        """log p (nats) of each document's tokens and its closing end-of-text."""
        return [self._log_p[np.append(document, self._eot_id)] for document in documents]


def unigram_entropy(data: DocumentTokens) -> float:
    """Bits per token of the scored text by its own token frequencies: what no model that ignores
    the context can go below, however it was trained."""
    counts = np.zeros(data.vocab_size)
    for document in data.documents:
        counts += np.bincount(document, minlength=data.vocab_size)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def bounds_table(
    models: Mapping[str, Perplexity],
    disjoint: Mapping[str, Perplexity],
    data: DocumentTokens,
    seed: int,
    resamples: int = 1000,
) -> Table:
    """Every predictor between the two bounds of perplexity, 1 and the vocabulary's size.

    disjoint: the scores of the models that read windows, over windows that do not overlap.
    """
    per_byte = data.tokens / max(1, int(data.bytes_N.sum()))

    def line(name: str, bits_per_token: float) -> list[object]:
        return [name, bits_per_token * per_byte, bits_per_token, 2.0**bits_per_token]

    rows = [line("uniform guessing (bound)", math.log2(data.vocab_size))]
    rows.append(line("best without context", unigram_entropy(data)))
    for name, found in models.items():
        pairs = [(name, found)]
        if name in disjoint:
            pairs = [(f"{name}, disjoint", disjoint[name]), (f"{name}, strided", found)]
        for shown, scores in pairs:
            rows.append(
                [
                    shown,
                    scores.bits_per_byte(seed, resamples),
                    scores.bits_per_token(seed, resamples),
                    scores.token_perplexity(seed, resamples),
                ]
            )
    rows.append(line("certainty (bound)", 0.0))
    return Table(
        "Perplexity and its bounds",
        ["predictor", "bits per byte", "bits per token", "perplexity"],
        rows,
        note="Perplexity lies between 1 and the vocabulary's size and depends on the tokenizer; "
        "bits per byte do not. Best without context: the entropy of the text's own token "
        "frequencies. Disjoint windows begin without what came before, so they bound the loss from "
        "above; strided ones overlap, so that every token sees much of it. 95% by bootstrap over "
        "documents.",
    )


def by_domain(
    models: Mapping[str, Perplexity], domains: Sequence[str], seed: int, resamples: int = 1000
) -> Table:
    """Bits per byte of each model on each domain, most bytes first, and on all."""
    if not models:
        raise GristmillError("no models to compare")
    bytes_N = next(iter(models.values())).bytes_N
    names = np.array(domains)
    rows: list[list[object]] = []
    for domain in sorted(set(domains), key=lambda d: (-int(bytes_N[names == d].sum()), d)):
        inside = np.flatnonzero(names == domain)
        cells = [m.subset(inside).bits_per_byte(seed, resamples) for m in models.values()]
        rows.append([domain, len(inside), int(bytes_N[inside].sum()), *cells])
    cells = [m.bits_per_byte(seed, resamples) for m in models.values()]
    rows.append(["all", len(names), int(bytes_N.sum()), *cells])
    return Table(
        "Held-out bits per byte by domain",
        ["domain", "documents", "bytes", *models],
        rows,
        note="The same tokens and bytes for every model; 95% by bootstrap over documents.",
    )


def by_position(log_probabilities: Mapping[str, Sequence[Floats]]) -> Chart:
    """Mean bits per token by how many tokens of the document came before: what context is worth."""
    series = []
    for name, scores in log_probabilities.items():
        flat = np.concatenate([s[:-1] for s in scores]) if scores else np.zeros(0)
        place = np.concatenate([np.arange(len(s) - 1) for s in scores]) if scores else np.zeros(0)
        bins = np.floor(2 * np.log2(place + 1)).astype(np.int64)
        counts = np.bincount(bins)
        means = -np.bincount(bins, weights=flat)[counts > 0] / counts[counts > 0] / math.log(2)
        # Small bins jump about and hide the curve.
        seen = np.flatnonzero(counts > 0)
        steady = counts[seen] >= 30
        x = 2.0 ** (seen[steady] / 2)
        series.append(Series(name, x.tolist(), means[steady].tolist()))
    return Chart(
        "Loss by place in the document", "tokens read", "bits per token", series, log_x=True
    )
