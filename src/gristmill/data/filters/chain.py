"""All rules on a batch of documents: an Arrow table in, an Arrow table of verdicts out.

Pages without text of their own come first, because no language can be told from them; then
stuffing and word lists, language, and Gopher, C4 and FineWeb in FineWeb's order, the user's
functions, personal data. All rules share one pass over the text; a document's reason is its first,
and all are on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from gristmill.data.filters.boilerplate import boilerplate
from gristmill.data.filters.c4 import C4Result, c4, line_rules
from gristmill.data.filters.checks import Check, Verdicts, verdicts
from gristmill.data.filters.custom import custom
from gristmill.data.filters.fineweb import fineweb
from gristmill.data.filters.gopher import gopher_quality, gopher_repetition
from gristmill.data.filters.language import identify, language
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    LanguageRules,
    PersonalDataRules,
    SpamRules,
    WordListRules,
)
from gristmill.data.filters.spam import spam
from gristmill.data.filters.statistics import Statistics, text_statistics
from gristmill.data.filters.word_lists import BOILERPLATE, HONEST_CONTEXT, function_words
from gristmill.data.filters.words import with_plurals, word_list
from gristmill.data.personal_data.find import Span, find
from gristmill.data.personal_data.mask import mask, remove, to_json

VERDICT_SCHEMA: Final = pa.schema(
    [
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("text", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("reasons_all", pa.list_(pa.string())),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("words", pa.int32()),
        pa.field("personal_data", pa.string()),
    ]
)


@dataclass(frozen=True)
class ChainRules:
    """Everything that decides a verdict, but for addresses, which need no text."""

    language: LanguageRules = field(default_factory=LanguageRules)
    boilerplate: BoilerplateRules = field(default_factory=BoilerplateRules)
    spam: SpamRules = field(default_factory=SpamRules)
    adult: WordListRules = field(default_factory=WordListRules)
    toxic: WordListRules = field(default_factory=WordListRules)
    gopher_quality: GopherQualityRules = field(default_factory=GopherQualityRules)
    gopher_repetition: GopherRepetitionRules = field(default_factory=GopherRepetitionRules)
    c4: C4Rules = field(default_factory=C4Rules)
    fineweb: FineWebRules = field(default_factory=FineWebRules)
    personal_data: PersonalDataRules = field(default_factory=PersonalDataRules)
    custom: tuple[str, ...] = ()
    adult_words: tuple[str, ...] = ()
    toxic_words: tuple[str, ...] = ()
    language_model: Path | None = None
    """None leaves language identification out."""


@dataclass(frozen=True)
class Chain:
    """Picklable; `chain(table)` gives a table of VERDICT_SCHEMA, row by row.

    The table has the column `text`; a user's functions see all its columns.
    """

    rules: ChainRules

    def __call__(self, table: pa.Table) -> pa.Table:
        rules = self.rules
        texts = _one_array(table["text"])
        lexicon = _lexicon(rules.adult_words, rules.toxic_words, _stop_words(rules))
        lines = line_rules(rules.c4, rules.fineweb.short_line)
        s = text_statistics(texts, lexicon, lines)
        strings: list[str] = texts.to_pylist()
        labels, scores = self._languages(strings)
        checks, result = self._checks(strings, s, lexicon, labels, scores)
        said: dict[int, str] = {}
        for name in rules.custom:
            passed = np.flatnonzero(verdicts(checks, len(texts)).keep)
            check, words = custom(
                name, table.take(pa.array(passed)).to_pylist(), passed.tolist(), s
            )
            checks.append(check)
            said.update({row: text for row, text in words.items() if row not in said})
        verdict = verdicts(checks, len(texts))
        for row, text in said.items():
            if (verdict.reason[row] or "").startswith("custom."):
                verdict.detail[row] = text
        return self._table(strings, s, verdict, result.texts, labels, scores)

    def warm_up(self) -> None:
        """Compiles and loads what the first batch would, before a worker's memory is measured."""
        texts = ["A first text.", "Write to someone@example.com."]
        lexicon = _lexicon(self.rules.adult_words, self.rules.toxic_words, _stop_words(self.rules))
        text_statistics(texts, lexicon)
        self._languages(texts)

    def _languages(self, texts: Sequence[str]) -> tuple[list[str | None], Any]:
        model = self.rules.language_model
        if model is None:
            return [None] * len(texts), np.zeros(len(texts), np.float32)
        labels, scores = identify(texts, model)
        return list(labels), scores

    def _checks(
        self,
        texts: Sequence[str],
        s: Statistics,
        lexicon: Lexicon,
        labels: Sequence[str | None],
        scores: Any,
    ) -> tuple[list[Check], C4Result]:
        rules = self.rules
        lowered = [text.lower() for text in texts]
        checks: list[Check] = []
        if rules.boilerplate.enabled:
            checks += boilerplate(lowered, s, rules.boilerplate)
        if rules.spam.enabled:
            checks += spam(s, labels, rules.spam)
        if rules.adult.enabled and rules.adult_words:
            checks += word_list("adult", s, rules.adult)
        if rules.toxic.enabled and rules.toxic_words:
            checks += word_list("toxic", s, rules.toxic)
        if rules.language_model is not None and rules.language.enabled:
            checks += language([label or "und" for label in labels], scores, rules.language)
        if rules.gopher_repetition.enabled:
            checks += gopher_repetition(s, rules.gopher_repetition)
        if rules.gopher_quality.enabled:
            checks += gopher_quality(s, rules.gopher_quality)
        result = C4Result([], {})
        if rules.c4.enabled:
            result = c4(texts, lowered, s, rules.c4)
            checks += result.checks
        if rules.fineweb.enabled:
            checks += fineweb(self._after_c4(s, result, lexicon), rules.fineweb)
        return checks, result

    def _after_c4(self, s: Statistics, result: C4Result, lexicon: Lexicon) -> Statistics:
        """The statistics with those of the rewritten texts in place."""
        if not result.texts:
            return s
        rows = sorted(result.texts)
        lines = line_rules(self.rules.c4, self.rules.fineweb.short_line)
        again = text_statistics([result.texts[row] for row in rows], lexicon, lines)
        values = s.values.copy()
        values[rows] = again.values
        return Statistics(values, s.names)

    def _table(
        self,
        texts: Sequence[str],
        s: Statistics,
        verdict: Verdicts,
        changed: dict[int, str],
        labels: Sequence[str | None],
        scores: Any,
    ) -> pa.Table:
        rules = self.rules.personal_data
        count = len(texts)
        new: list[str | None] = [None] * count
        personal: list[str | None] = [None] * count
        hints = s["personal_hints"]
        for row in np.flatnonzero(verdict.keep).tolist():
            text = changed.get(row)
            new[row] = text
            if not rules.enabled:
                continue
            known = None if text is not None else int(hints[row])
            if known == 0:
                continue
            text = texts[row] if text is None else text
            spans = find(text, rules.kinds, private_ip=rules.private_ip, known_hints=known)
            if not spans:
                continue
            personal[row] = to_json(spans)
            if rules.action == "reject":
                verdict.reason[row] = "personal_data"
                verdict.detail[row] = _kinds(spans)
                verdict.all_reasons[row].append("personal_data")
                new[row] = None
            elif rules.action == "mask":
                new[row] = mask(text, spans, rules.mask)
            elif rules.action == "remove":
                new[row] = remove(text, spans)
        labelled = np.array([label is not None for label in labels], dtype=np.bool_)
        return pa.table(
            {
                "keep": pa.array(verdict.keep),
                "reason": pa.array(verdict.reason, pa.string()),
                "text": pa.array(new, pa.string()),
                "detail": pa.array(verdict.detail, pa.string()),
                "reasons_all": pa.array(verdict.all_reasons, pa.list_(pa.string())),
                "language": pa.array(labels, pa.string()),
                "language_score": pa.array(scores, pa.float32(), mask=~labelled),
                "words": pa.array(s["words"], pa.int32()),
                "personal_data": pa.array(personal, pa.string()),
            },
            schema=VERDICT_SCHEMA,
        )


def quarantined(count: int, reason: str) -> pa.Table:
    """The verdict on documents that could not be processed."""
    return pa.table(
        {
            "keep": pa.array([False] * count),
            "reason": pa.array(["quarantine"] * count),
            "text": pa.nulls(count, pa.string()),
            "detail": pa.array([reason] * count),
            "reasons_all": pa.array([["quarantine"]] * count, pa.list_(pa.string())),
            "language": pa.nulls(count, pa.string()),
            "language_score": pa.nulls(count, pa.float32()),
            "words": pa.nulls(count, pa.int32()),
            "personal_data": pa.nulls(count, pa.string()),
        },
        schema=VERDICT_SCHEMA,
    )


def _kinds(spans: Sequence[Span]) -> str:
    return ", ".join(sorted({span.kind for span in spans}))


def _stop_words(rules: ChainRules) -> tuple[str, ...]:
    return tuple(rules.gopher_quality.stop_words)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


@lru_cache(maxsize=2)
def _lexicon(
    adult: tuple[str, ...], toxic: tuple[str, ...], stop_words: tuple[str, ...]
) -> Lexicon:
    # The compiled pass takes the first category for the function words.
    return Lexicon.build(
        {
            "function": function_words(),
            "context": HONEST_CONTEXT.split(),
            "boilerplate": BOILERPLATE,
            "adult": with_plurals(adult),
            "toxic": with_plurals(toxic),
        },
        stop_words,
    )
