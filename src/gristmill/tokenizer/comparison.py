"""Tokenizers judged on the same text: how long sequences get, and which tokens are of use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gristmill.tokenizer.tokenizer import Tokenizer, utf8

_BATCH_TEXTS = 512


@dataclass
class DomainCounts:
    """Sums over the texts of one domain; a word is what white space separates."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0
    words: int = 0

    @property
    def bytes_per_token(self) -> float:
        """How much text a token carries; the longer, the shorter the sequences."""
        return self.bytes / self.tokens if self.tokens else float("nan")

    @property
    def tokens_per_word(self) -> float:
        """Fertility (Rust et al. 2021): 1 where every word is a token."""
        return self.tokens / self.words if self.words else float("nan")


@dataclass
class Usage:
    """What a tokenizer made of some texts."""

    domains: dict[str, DomainCounts]
    id_counts: npt.NDArray[np.int64]
    special_ids: frozenset[int] = field(default_factory=frozenset)

    @property
    def total(self) -> DomainCounts:
        """All domains together."""
        rows = self.domains.values()
        return DomainCounts(
            sum(row.documents for row in rows),
            sum(row.bytes for row in rows),
            sum(row.tokens for row in rows),
            sum(row.words for row in rows),
        )

    @property
    def used_share(self) -> float:
        """Share of the ordinary ids that occur at least once."""
        ordinary = len(self.id_counts) - len(self.special_ids)
        return float(np.count_nonzero(self.id_counts)) / ordinary


def measure(tokenizer: Tokenizer, texts: Iterable[tuple[str, str]]) -> Usage:
    """Encodes (domain, text) pairs and counts."""
    domains: dict[str, DomainCounts] = {}
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    batch: list[tuple[str, str]] = []

    def flush() -> None:
        for (domain, text), ids in zip(
            batch, tokenizer.encode_batch([text for _, text in batch]), strict=True
        ):
            row = domains.setdefault(domain, DomainCounts())
            row.documents += 1
            row.bytes += len(utf8(text))
            row.tokens += len(ids)
            row.words += len(text.split())
            np.add.at(counts, ids, 1)
        batch.clear()

    for pair in texts:
        batch.append(pair)
        if len(batch) == _BATCH_TEXTS:
            flush()
    flush()
    special = frozenset(tokenizer.special_tokens.values())
    return Usage(dict(sorted(domains.items())), counts, special)


def longest_tokens(tokenizer: Tokenizer, n: int = 10) -> list[str]:
    """The longest ordinary tokens by bytes, longest first, smaller ids first among equals."""
    special = set(tokenizer.special_tokens.values())
    ids = [i for i in range(tokenizer.vocab_size) if i not in special]
    ids.sort(key=lambda i: (-len(tokenizer.token_bytes(i)), i))
    return [shown(tokenizer.token_bytes(i)) for i in ids[:n]]


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    """The text cut at token borders; joined it is the text again.

    Tokens that end inside a character are shown together with those that complete it.
    """
    decoder = tokenizer.stream()
    found = [decoder.push(token_id) for token_id in tokenizer.encode(text)]
    return [piece for piece in [*found, decoder.finish()] if piece]


def coloured(parts: Sequence[str]) -> str:
    """Pieces on alternating backgrounds, by ANSI codes; control characters made visible."""
    colours = (153, 223, 157, 218, 189)
    out = []
    for i, part in enumerate(parts):
        # Newlines and escape codes in the text must not act on the terminal.
        visible = "".join(letter if letter.isprintable() else _picture(letter) for letter in part)
        out.append(f"\x1b[30;48;5;{colours[i % len(colours)]}m{visible}\x1b[0m")
        if "\n" in part:
            out.append("\n")
    return "".join(out)


def shown(token: bytes) -> str:
    """A token as text that can stand in a table: blanks and bytes made visible."""
    text = token.decode("utf-8", "backslashreplace").replace(" ", "␣")
    return "".join(letter if letter.isprintable() else _picture(letter) for letter in text)


def _picture(letter: str) -> str:
    code = ord(letter)
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"
