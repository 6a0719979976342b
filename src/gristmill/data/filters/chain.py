"""All rules on a batch of documents: an Arrow table in, an Arrow table of verdicts out.

Pages without text of their own come first, because no language can be told from them; then
stuffing and word lists, language, and Gopher, C4 and FineWeb in FineWeb's order, the user's
functions, personal data. All rules share one pass over the text; a document's reason is its first,
and all are on record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from gristmill.data.filters.kept_lines import LazyTexts
from gristmill.data.filters.language import KNOWN, identify, known_languages, language
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.outliers import CorpusShape, outliers
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    CountingRules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    LanguageRules,
    OutlierRules,
    PersonalDataRules,
    SpamRules,
    WordListRules,
)
from gristmill.data.filters.spam import spam
from gristmill.data.filters.statistics import LineRules, Reading, Statistics, read
from gristmill.data.filters.thresholds import columns_of_groups, measured
from gristmill.data.filters.uses import Uses
from gristmill.data.filters.word_lists import BOILERPLATE, HONEST_CONTEXT, function_words
from gristmill.data.filters.words import listed_text, with_plurals
from gristmill.data.personal_data.apply import apply, hints_decide

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
    counting: CountingRules = field(default_factory=CountingRules)
    personal_data: PersonalDataRules = field(default_factory=PersonalDataRules)
    outliers: OutlierRules = field(default_factory=OutlierRules)
    corpus: CorpusShape | None = None
    """What `outliers` compares with; None leaves it out."""
    statistics: bool = False
    """Whether the number that each threshold judges is a column of its own, see `thresholds`."""
    custom: tuple[str, ...] = ()
    adult_words: tuple[str, ...] = ()
    toxic_words: tuple[str, ...] = ()
    uses: Uses = field(default_factory=Uses)
    """Trained classifiers of adult and toxic text, and what follows from them."""
    language_model: Path | None = None
    """None leaves language identification out."""


@dataclass(frozen=True)
class Chain:
    """Picklable; `chain(table)` gives a table of `schema`, row by row.

    The table has the column `text`; a user's functions see all its columns.
    """

    rules: ChainRules

    @property
    def schema(self) -> pa.Schema:
        """VERDICT_SCHEMA, the columns of classifiers, and the numbers under thresholds."""
        numbers = [pa.field(name, pa.float32()) for name in self._number_columns()]
        return pa.schema([*VERDICT_SCHEMA, *self.rules.uses.fields(), *numbers])

    def __call__(self, table: pa.Table) -> pa.Table:
        rules = self.rules
        texts = _one_array(table["text"])
        lexicon = _lexicon(rules.adult_words, rules.toxic_words, _stop_words(rules))
        lines = line_rules(rules.c4, rules.fineweb.short_line, rules.counting)
        reading = read(texts, lexicon, lines)
        s = reading.statistics
        strings = LazyTexts(texts)
        labels, scores = self._languages(strings, table)
        table = table.drop_columns([name for name in KNOWN if name in table.column_names])
        judged = rules.uses.scores(texts)
        checks, result, worded = self._checks(
            strings, reading, lexicon, lines, labels, scores, judged
        )
        said: dict[int, str] = {}
        for name in rules.custom:
            passed = np.flatnonzero(verdicts(checks, len(texts)).keep)
            check, words = custom(name, table.take(pa.array(passed)), passed.tolist(), s)
            checks.append(check)
            said.update({row: text for row, text in words.items() if row not in said})
        verdict = verdicts(checks, len(texts))
        for row, text in said.items():
            if (verdict.reason[row] or "").startswith("custom."):
                verdict.detail[row] = text
        further = rules.uses.columns(len(texts), worded, judged)
        listed = [check for of_list in worded.values() for check in of_list]
        further |= measured([*listed, *checks], self._number_columns(), len(texts))
        return self._table(strings, s, verdict, result, labels, scores, further)

    def _number_columns(self) -> list[str]:
        rules = self.rules
        if not rules.statistics:
            return []
        on = {
            "boilerplate": rules.boilerplate.enabled,
            "spam": rules.spam.enabled,
            "adult": rules.adult.enabled and rules.adult_words,
            "toxic": rules.toxic.enabled and rules.toxic_words,
            "gopher_repetition": rules.gopher_repetition.enabled,
            "gopher_quality": rules.gopher_quality.enabled,
            "c4": rules.c4.enabled,
            "fineweb": rules.fineweb.enabled,
            "outliers": rules.outliers.enabled and rules.corpus is not None,
        }
        return columns_of_groups(group for group, judges in on.items() if judges)

    def warm_up(self) -> None:
        """Compiles and loads what the first batch would, before a worker's memory is measured."""
        texts = ["A first text.", "Write to someone@example.com."]
        lexicon = _lexicon(self.rules.adult_words, self.rules.toxic_words, _stop_words(self.rules))
        lines = line_rules(self.rules.c4, self.rules.fineweb.short_line, self.rules.counting)
        read(texts, lexicon, lines).kept.texts(np.arange(len(texts)))
        self._languages(texts)
        self.rules.uses.scores(texts)

    def _languages(
        self, texts: Sequence[str], table: pa.Table | None = None
    ) -> tuple[list[str | None], Any]:
        model = self.rules.language_model
        if model is None:
            return [None] * len(texts), np.zeros(len(texts), np.float32)
        labels, scores = identify(texts, model, None if table is None else known_languages(table))
        return list(labels), scores

    def _checks(
        self,
        texts: LazyTexts,
        reading: Reading,
        lexicon: Lexicon,
        lines: LineRules,
        labels: Sequence[str | None],
        scores: Any,
        judged: Mapping[str, Any],
    ) -> tuple[list[Check], C4Result, dict[str, list[Check]]]:
        rules, s = self.rules, reading.statistics
        checks: list[Check] = []
        if rules.boilerplate.enabled:
            checks += boilerplate(_blind(texts, s), s, rules.boilerplate)
        if rules.spam.enabled:
            checks += spam(s, labels, rules.spam)
        worded: dict[str, list[Check]] = {}
        for name, listed, limits in (
            ("adult", rules.adult_words, rules.adult),
            ("toxic", rules.toxic_words, rules.toxic),
        ):
            if limits.enabled and listed:
                worded[name] = listed_text(name, listed, limits, texts, s, lexicon)
        for name in ("adult", "toxic"):
            checks += rules.uses.checks(name, worded.get(name, ()), judged)
        if rules.language_model is not None and rules.language.enabled:
            checks += language([label or "und" for label in labels], scores, rules.language)
        if rules.gopher_repetition.enabled:
            checks += gopher_repetition(s, rules.gopher_repetition)
        if rules.gopher_quality.enabled:
            of_all = rules.counting.symbol_ratio == "all_words"
            checks += gopher_quality(s, rules.gopher_quality, of_all_words=of_all)
        result = C4Result([], s, np.zeros(len(s), np.bool_), np.zeros(0, np.int64))
        if rules.c4.enabled:
            result = c4(texts.array, reading, rules.c4, lines)
            checks += result.checks
        if rules.fineweb.enabled:
            strict = rules.counting.at_fineweb_limits == "keep"
            checks += fineweb(result.left, rules.fineweb, strict=strict)
        if rules.outliers.enabled and rules.corpus is not None:
            checks += outliers(texts.array, rules.corpus, rules.outliers)
        return checks, result, worded

    def _table(
        self,
        texts: Sequence[str],
        s: Statistics,
        verdict: Verdicts,
        result: C4Result,
        labels: Sequence[str | None],
        scores: Any,
        further: Mapping[str, pa.Array],
    ) -> pa.Table:
        rules = self.rules.personal_data
        count = len(texts)
        keep = verdict.keep
        # New texts: of kept lines, in Arrow from the first, and others.
        joined = np.flatnonzero(keep & result.changed)
        from_lines = result.texts(joined)
        place = np.full(count, -1, dtype=np.int64)
        place[joined] = np.arange(len(joined))
        others: list[str] = []
        personal: list[str | None] = [None] * count
        cut = set(result.cut.tolist())
        looked = np.zeros(count, np.bool_)
        if rules.enabled:
            # What a text has not, its lines have not; but where a part of a line was cut out there
            # is no telling.
            looked = (s["personal_hints"] != 0) | np.bool_(not hints_decide(rules.kinds))
            looked[result.cut] = True
        for row in np.flatnonzero(keep & looked).tolist():
            at = int(place[row])
            text = texts[row] if at < 0 else from_lines[at].as_py()
            known = None if row in cut else int(s["personal_hints"][row])
            applied = apply(text, rules, known)
            personal[row] = applied.record
            if applied.rejected_for:
                verdict.reason[row] = "personal_data"
                verdict.detail[row] = applied.rejected_for
                verdict.all_reasons[row].append("personal_data")
                keep[row] = False
                place[row] = -1
            elif applied.text is not None:
                place[row] = len(joined) + len(others)
                others.append(applied.text)
        new = pa.concat_arrays([from_lines, pa.array(others, pa.string())])
        labelled = np.array([label is not None for label in labels], dtype=np.bool_)
        return pa.table(
            {
                "keep": pa.array(keep),
                "reason": pa.array(verdict.reason, pa.string()),
                "text": new.take(pa.array(place, mask=place < 0)),
                "detail": pa.array(verdict.detail, pa.string()),
                "reasons_all": pa.array(verdict.all_reasons, pa.list_(pa.string())),
                "language": pa.array(labels, pa.string()),
                "language_score": pa.array(scores, pa.float32(), mask=~labelled),
                "words": pa.array(s["words"], pa.int32()),
                "personal_data": pa.array(personal, pa.string()),
                **further,
            },
            schema=self.schema,
        )


def _blind(texts: Sequence[str], s: Statistics) -> list[str]:
    """The texts in lower case where they hold blind text; the others, of no interest, empty."""
    found = ["" for _ in range(len(s))]
    for row in np.flatnonzero(s["c4_lorem_ipsum"]).tolist():
        found[row] = texts[row].lower()
    return found


def quarantined(count: int, reason: str, schema: pa.Schema = VERDICT_SCHEMA) -> pa.Table:
    """The verdict on documents that could not be processed; what no rule measured is null."""
    known = {
        "keep": pa.array([False] * count),
        "reason": pa.array(["quarantine"] * count, pa.string()),
        "detail": pa.array([reason] * count, pa.string()),
        "reasons_all": pa.array([["quarantine"]] * count, pa.list_(pa.string())),
    }
    return pa.table(
        {f.name: known.get(f.name, pa.nulls(count, f.type)) for f in schema}, schema=schema
    )


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
