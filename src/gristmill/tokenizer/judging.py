"""One tokenizer judged on labelled texts: how long sequences get, for whom, and which tokens serve.

Several tokenizers are judged on the same texts and their `Judgement`s laid beside each other; what
they cannot say is whether a model learns well on them. That takes models: `study tokenizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gristmill.tokenizer.comparison import DomainCounts, shown
from gristmill.tokenizer.dead_tokens import (
    ENOUGH,
    Unreachable,
    glitch_prone,
    ordinary_ids,
    swallowed_by,
    unreachable,
)
from gristmill.tokenizer.labelled import Labelled
from gristmill.tokenizer.longest_match import MatchComparison, compare_matching
from gristmill.tokenizer.tokenizer import Tokenizer, utf8
from gristmill.tokenizer.vocabulary import Vocabulary

_BATCH_TEXTS = 256
# Text that merge order and longest match are compared on.
_MATCH_BYTES = 8 << 20
_SHOWN = 12
_BRIEF = 28
# (layers, width) of models in the usual proportions; a block has about 12 width^2 parameters.
BODIES = ((4, 128), (8, 512), (12, 768), (24, 2048), (32, 4096))


@dataclass(frozen=True)
class HeadSize:
    """What a vocabulary costs a model. body: parameters without embedding and head; head: of one
    matrix, vocabulary by width; share of the model where embedding and head are one."""

    layers: int
    width: int
    body: int
    head: int

    @property
    def share_tied(self) -> float:
        """Of all parameters, one matrix for both."""
        return self.head / (self.head + self.body)

    @property
    def share_untied(self) -> float:
        """Of all parameters, embedding and head apart."""
        return 2 * self.head / (2 * self.head + self.body)


@dataclass(frozen=True)
class RareToken:
    """A token, how often the text has it, and the larger token that most of it goes into."""

    token_id: int
    token: str
    count: int
    part_of: str


@dataclass(frozen=True)
class Judgement:
    """What is said of one tokenizer.

    matched: how a piece becomes tokens. languages, domains: counts by label. wordless: labels whose
    words cannot be counted, for want of spaces. references: languages whose text stands in English
    too, with the words of that; cost is set against them. unknown: tokens that stand for a word
    that the vocabulary has not, by label; bytes per token mean little where they are many. dead:
    reachable tokens that the text has not. rare: None where the text is too short to say.
    """

    name: str
    vocab_size: int
    ordinary: int
    special: int
    pattern: str
    matched: str
    languages: dict[str, DomainCounts]
    domains: dict[str, DomainCounts]
    total: DomainCounts
    used: int
    longest: list[str]
    unreachable: Unreachable
    unreachable_shown: list[str]
    dead: int
    rare: list[RareToken] | None
    rare_count: int
    enough_bytes: int
    matching: MatchComparison
    matching_shown: list[tuple[int, str, str]]
    heads: list[HeadSize]
    wordless: frozenset[str]
    references: dict[str, int]
    unknown: dict[str, int]

    @property
    def used_share(self) -> float:
        """Of the ordinary tokens, those that the text has."""
        return self.used / self.ordinary if self.ordinary else 0.0

    def tokens_per_thousand_words(self, language: str) -> float | None:
        """Of the English form where there is one, else of its own; None where those cannot be
        counted."""
        row = self.languages[language]
        words = self.references.get(language) or (0 if language in self.wordless else row.words)
        return 1000 * row.tokens / words if words else None

    def fertility(self, label: str) -> float | None:
        """Tokens a word of a language or a domain; None where words cannot be counted."""
        row = self.languages.get(label) or self.domains[label]
        return row.tokens_per_word if row.words and label not in self.wordless else None

    def to_json(self, price: float) -> dict[str, Any]:
        """For programs. price: of a million tokens."""
        matching = self.matching
        languages = {}
        for name, row in self.languages.items():
            tokens = self.tokens_per_thousand_words(name)
            languages[name] = {
                **_counts_json(row, name in self.wordless),
                "tokens_per_1000_words": tokens,
                "cost_per_1000_words": None if tokens is None else tokens * price / 1e6,
            }
        return {
            "name": self.name,
            "vocabulary": self.vocab_size,
            "ordinary_tokens": self.ordinary,
            "special_tokens": self.special,
            "pattern": self.pattern,
            "matched": self.matched,
            "total": _counts_json(self.total, True),
            "languages": languages,
            "domains": {k: _counts_json(v, k in self.wordless) for k, v in self.domains.items()},
            "unknown_tokens": self.unknown or None,
            "vocabulary_used": {"tokens": self.used, "share": self.used_share},
            "longest_tokens": self.longest,
            "dead": {
                "never_produced": self.dead,
                "unreachable": len(self.unreachable.ids),
                "unreachable_cut": self.unreachable.cut,
                "unreachable_merged": self.unreachable.merged,
            },
            "glitch_prone": None
            if self.rare is None
            else {
                "tokens": self.rare_count,
                "rarest": [
                    {"id": r.token_id, "token": r.token, "count": r.count, "part_of": r.part_of}
                    for r in self.rare
                ],
            },
            "longest_match": {
                "pretokens": matching.pretokens,
                "differing": matching.differing,
                "share": matching.share,
                "merge_order_tokens": matching.merge_tokens,
                "longest_match_tokens": matching.longest_tokens,
                "examples": [
                    {"count": n, "merge_order": a, "longest_match": b}
                    for n, a, b in self.matching_shown
                ],
            },
            "head": [
                {
                    "layers": h.layers,
                    "width": h.width,
                    "body_parameters": h.body,
                    "head_parameters": h.head,
                    "share_tied": h.share_tied,
                    "share_untied": h.share_untied,
                }
                for h in self.heads
            ],
        }


def judge(name: str, tokenizer: Tokenizer, texts: Sequence[Labelled]) -> Judgement:
    """Encodes the texts and looks through the vocabulary."""
    languages: dict[str, DomainCounts] = {}
    domains: dict[str, DomainCounts] = {}
    wordless: set[str] = set()
    references: dict[str, int] = {}
    unknown: dict[str, int] = {}
    unknown_name = tokenizer.vocabulary.unknown
    unknown_id = -1 if unknown_name is None else tokenizer.special_tokens[unknown_name]
    unreferenced: set[str] = set()
    total = DomainCounts()
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for start in range(0, len(texts), _BATCH_TEXTS):
        batch = texts[start : start + _BATCH_TEXTS]
        for one, ids in zip(
            batch, tokenizer.encode_batch([one.text for one in batch]), strict=True
        ):
            counts += np.bincount(ids, minlength=len(counts))
            size = len(utf8(one.text))
            # A program's words are no words of a language.
            if one.language and one.domain != "code":
                _add(languages, one.language, size, len(ids), one.words)
                if one.reference is not None:
                    references[one.language] = references.get(one.language, 0) + one.reference
                else:
                    unreferenced.add(one.language)
            _add(domains, one.domain, size, len(ids), one.words)
            for label in {one.language, one.domain} - {""} if unknown_name is not None else ():
                unknown[label] = unknown.get(label, 0) + int(np.count_nonzero(ids == unknown_id))
            if one.words is None:
                wordless |= {one.language, one.domain}
            total.documents += 1
            total.bytes += size
            total.tokens += len(ids)
    no_way = unreachable(tokenizer)
    apart = frozenset(no_way.ids)
    ordinary = ordinary_ids(tokenizer)
    rare = glitch_prone(tokenizer, counts, apart)
    matching = compare_matching(tokenizer, _first(texts, _MATCH_BYTES))
    tokens = tokenizer.vocabulary.tokens

    def cut(ids: tuple[int, ...]) -> str:
        return "|".join(shown(tokens[i]) for i in ids)

    several = [tokens[i] for i in ordinary if len(tokens[i]) > 1]
    mean_bytes = total.bytes / total.tokens if total.tokens else 1.0
    return Judgement(
        name=name,
        vocab_size=tokenizer.vocab_size,
        ordinary=len(ordinary),
        special=len(tokenizer.special_tokens),
        pattern=tokenizer.vocabulary.pattern,
        matched=_matched(tokenizer.vocabulary),
        languages=languages,
        domains=domains,
        total=total,
        used=int(np.count_nonzero(counts[ordinary])),
        longest=[brief(token) for token in sorted(several, key=_by_length)[:_SHOWN]],
        unreachable=no_way,
        unreachable_shown=[brief(tokens[i]) for i in no_way.ids[:_SHOWN]],
        dead=sum(1 for i in ordinary if not counts[i] and i not in apart),
        rare=None if rare is None else [_rare(tokenizer, i, int(counts[i])) for i in rare[:_SHOWN]],
        rare_count=len(rare or ()),
        enough_bytes=round(ENOUGH * len(ordinary) * mean_bytes),
        matching=matching,
        matching_shown=[
            (one.count, cut(one.merge_order), cut(one.longest)) for one in matching.examples
        ],
        heads=[
            HeadSize(layers, width, 12 * layers * width**2, tokenizer.vocab_size * width)
            for layers, width in BODIES
        ],
        wordless=frozenset(wordless - {""}),
        references={k: v for k, v in references.items() if k not in unreferenced},
        unknown=unknown,
    )  # fmt: skip


def _matched(vocabulary: Vocabulary) -> str:
    if vocabulary.unknown is not None:
        return "words, or unknown"
    if vocabulary.match == "longest":
        return "longest match"
    if vocabulary.merges:
        return "merge order"
    return "words, or bytes" if vocabulary.ignore_merges else "byte by byte"


def brief(token: bytes) -> str:
    """A token for a table: a run of one sign by its length, any other long one cut."""
    text = shown(token)
    if len(set(text)) == 1 and len(text) > 8:
        return f"{text[:3]}..{text[-3:]} ({len(text)})"
    if len(text) <= _BRIEF:
        return text
    return f"{text[: _BRIEF - 8]}.. ({len(text)})"


def _by_length(token: bytes) -> tuple[int, bytes]:
    return -len(token), token


def _rare(tokenizer: Tokenizer, token_id: int, count: int) -> RareToken:
    larger = swallowed_by(tokenizer, token_id)
    return RareToken(
        token_id,
        shown(tokenizer.token_bytes(token_id)),
        count,
        "" if larger is None else shown(tokenizer.token_bytes(larger)),
    )


def _add(
    rows: dict[str, DomainCounts], label: str, size: int, tokens: int, words: int | None
) -> None:
    row = rows.setdefault(label, DomainCounts())
    row.documents += 1
    row.bytes += size
    row.tokens += tokens
    row.words += words or 0


def _first(texts: Sequence[Labelled], most: int) -> list[str]:
    found, size = [], 0
    for one in texts:
        found.append(one.text)
        size += len(one.text)
        if size >= most:
            break
    return found


def _counts_json(row: DomainCounts, wordless: bool) -> dict[str, Any]:
    return {
        "documents": row.documents,
        "bytes": row.bytes,
        "tokens": row.tokens,
        "words": None if wordless else row.words,
        "bytes_per_token": row.bytes_per_token if row.tokens else None,
        "tokens_per_word": None if wordless or not row.words else row.tokens_per_word,
    }
