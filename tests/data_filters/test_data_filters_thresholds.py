"""The numbers under thresholds, as columns; and outliers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.outliers import CorpusShape, outliers
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    OutlierRules,
    SpamRules,
)
from gristmill.data.filters.thresholds import THRESHOLDS, statistic

WORDS = "the mill of a river and farmers that grind wheat in stones with water by day".split()
GROUPS: dict[str, Any] = {
    "boilerplate": BoilerplateRules(),
    "spam": SpamRules(),
    "gopher_repetition": GopherRepetitionRules(),
    "gopher_quality": GopherQualityRules(),
    "c4": C4Rules(rewrite=False),
    "fineweb": FineWebRules(),
}


def texts(count: int) -> list[str]:
    source = random.Random(3)
    made = []
    for _ in range(count):
        lines = [
            " ".join(source.choices(WORDS, k=source.randint(1, 14))) + source.choice([".", "", "!"])
            for _ in range(source.randint(1, 30))
        ]
        made.append("\n".join(lines + lines[: source.randint(0, 5)]))
    return made


def judged(rules: ChainRules, documents: list[str]) -> pa.Table:
    return Chain(rules)(pa.table({"text": pa.array(documents, pa.string())}))


def test_every_threshold_decides_from_its_column_alone() -> None:
    documents = texts(300)
    rules = ChainRules(**GROUPS, statistics=True)
    table = judged(rules, documents)
    looked_at = 0
    for threshold in THRESHOLDS:
        group, _, field = threshold.rule.partition(".")
        if group not in GROUPS or not threshold.alone:
            continue
        values = table[threshold.column].to_numpy(zero_copy_only=False)
        known = values[~np.isnan(values)]
        for limit in np.quantile(known, [0.2, 0.5, 0.9]).tolist() if len(known) else []:
            # Another limit, and a new run: the same documents have the reason.
            new = GROUPS[group].model_copy(update={field: limit})
            others = [t for t in THRESHOLDS if t.column == threshold.column and t != threshold]
            for other in others:
                new = new.model_copy(update={other.rule.partition(".")[2]: None})
            again = judged(ChainRules(**{**GROUPS, group: new}), documents)
            dropped = [threshold.reason in reasons for reasons in again["reasons_all"].to_pylist()]
            near = np.isclose(values, limit, rtol=1e-6)
            found = threshold.failing(values, limit)
            assert (found == np.array(dropped))[~near].all(), threshold
            looked_at += sum(dropped)
    assert looked_at > 1000


def test_the_columns_are_there_only_if_asked_and_only_of_groups_that_are_on() -> None:
    assert "gopher_quality_words" not in judged(ChainRules(**GROUPS), texts(2)).column_names
    some = ChainRules(**{**GROUPS, "spam": SpamRules(enabled=False)}, statistics=True)
    table = judged(some, [*texts(2), "Too short."])
    assert "spam_repeated" not in table.column_names
    assert table.schema.field("fineweb_short_lines").type == pa.float32()
    # A rule that does not judge a document says nothing of it.
    spam = judged(ChainRules(**GROUPS, statistics=True), [*texts(2), "Too short."])
    assert spam["spam_repeated"].to_pylist()[2] is None
    assert spam["gopher_quality_words"].to_pylist()[2] == 2


def test_a_threshold_by_name() -> None:
    found = statistic("gopher_quality.min_words")
    assert (found.column, found.fails) == ("gopher_quality_words", "<")
    assert found.failing(np.array([49.0, 50.0, np.nan]), 50).tolist() == [True, False, False]
    with pytest.raises(GristmillError) as caught:
        statistic("gopher_quality.min_word")
    assert "gopher_quality.min_words" in str(caught.value)


def test_outliers_are_unlike_their_corpus() -> None:
    usual = texts(400)
    odd = [
        "мельница стоит на берегу реки " * 20,
        " ".join(f"zq{n}x{n * 7919 % 1000}" for n in range(80)),
        "the " * 100,
        " ".join(usual) * 3,
    ]
    rules = OutlierRules(enabled=True, max_word_bits=8, max_length_deviation=5)
    shape = CorpusShape.of([usual[:150], pa.array([*usual[150:], *odd])])
    checks = outliers([*usual, *odd], shape, rules)
    failed = {
        (check.reason.partition(".")[2], check.sign): check.failed[len(usual) :].tolist()
        for check in checks
    }
    # Digits are nowhere else.
    assert failed[("byte_divergence", ">")] == [True, True, False, False]
    assert failed[("word_bits", ">")] == [True, True, False, False]
    assert failed[("length_deviation", ">")] == [False, False, False, True]
    assert failed[("word_bits", "<")][2]
    assert sum(check.failed[: len(usual)].sum() for check in checks if check.sign == ">") == 0


def test_the_shape_of_a_corpus_does_not_depend_on_its_batches() -> None:
    documents = [*texts(60), ""]
    one = CorpusShape.of([documents])
    many = CorpusShape.of([documents[:7], documents[7:8], documents[8:]])
    assert one.word_bits.tobytes() == many.word_bits.tobytes()
    assert (one.length_median, one.length_spread) == (many.length_median, many.length_spread)
    rules = ChainRules(outliers=OutlierRules(enabled=True), corpus=one, statistics=True)
    table = judged(rules, documents)
    assert table["outliers_word_bits"].null_count == 0
    assert max(table["outliers_byte_divergence"].to_pylist()[:-1]) < 1
