"""Language identification with the real model; skipped where it is neither cached nor fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.records import document_schema
from gristmill.data.documents import write_parquet
from gristmill.data.filters.checks import verdicts
from gristmill.data.filters.language import (
    check_languages,
    identify,
    language,
    language_model_path,
)
from gristmill.data.filters.rules import LanguageRules
from gristmill.stages.data_filter import FilterConfig, data_filter
from gristmill.stages.workspace import Workspace

TEXTS = {
    "en": "The mill stands on the bank of a river,\nand the wheel turns all day.",
    "fr": "Le moulin se trouve au bord d'une rivière, et la roue tourne toute la journée.",
    "es": "El molino está a la orilla de un río, y la rueda gira durante todo el día.",
    "de": "Die Mühle steht am Ufer eines Flusses, und das Rad dreht sich den ganzen Tag.",
}


@pytest.fixture(scope="module")
def model() -> Path:
    try:
        return language_model_path()
    except GristmillError as error:
        pytest.skip(str(error))


def test_identifies(model: Path) -> None:
    labels, scores = identify(list(TEXTS.values()), model)
    assert labels == list(TEXTS)
    assert all(0.8 < score <= 1.0 for score in scores)


def test_what_has_no_letters_is_undetermined(model: Path) -> None:
    labels, scores = identify(["", " \n ", "12 + 30 = 42"], model)
    assert labels == ["und"] * 3 and scores.tolist() == [0.0] * 3
    assert identify([], model)[0] == []


def test_a_language_that_is_none_is_told(model: Path) -> None:
    check_languages(["en", "zh", "arz", "und"], model)
    with pytest.raises(GristmillError, match=r"knows no 'english'.*ISO 639"):
        check_languages(["en", "english"], model)


def test_a_damaged_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "lid.ftz").write_bytes(b"no model")
    with pytest.raises(GristmillError, match="cannot load"):
        identify(["a text"], tmp_path / "lid.ftz")


def test_rule() -> None:
    labels = ["en", "fr", "en", "und"]
    scores = np.array([0.9, 0.99, 0.5, 0.0], dtype=np.float32)
    verdict = verdicts(language(labels, scores, LanguageRules()), 4)
    assert verdict.reason == [None, "language.other", "language.score", "language.other"]
    assert verdict.detail[1] == "fr 0.99, not en" and verdict.detail[2] == "score 0.5 < 0.65"
    several = verdicts(language(labels, scores, LanguageRules(keep=["de", "la"])), 4)
    assert several.detail[1] == "fr 0.99, not one of de, la"
    assert language(labels, scores, LanguageRules(keep=[])) == []


def test_what_an_earlier_layer_found_is_not_asked_again(model: Path) -> None:
    texts = list(TEXTS.values())
    labels, scores = identify(texts, model)
    known = (["en", None, "xx", None], np.array([0.9, 0.0, 0.5, 0.0], np.float32))
    again, probability = identify(texts, model, known)
    assert again == ["en", labels[1], "xx", labels[3]]
    assert probability.tolist() == [np.float32(0.9), scores[1], np.float32(0.5), scores[3]]


def test_a_changed_threshold_costs_no_second_identification(
    model: Path, tmp_path: Path, seal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        dict.fromkeys(document_schema().names)
        | {"id": f"{n:016x}", "url": f"https://a.example/{n}", "host": "a.example"}
        | {"source": "test", "links": [], "text": text}
        for n, text in enumerate(TEXTS.values())
    ]
    table = pa.Table.from_pylist(rows, schema=document_schema())
    write_parquet(tmp_path / "documents" / "documents" / "part-00000.parquet", table)
    inputs = {"documents": seal(tmp_path / "documents", "documents", "test documents")}
    workspace = Workspace.at(tmp_path / "work")
    data_filter.run(FilterConfig(), inputs, workspace)

    def not_again(path: str) -> None:
        raise AssertionError("the model was asked again")

    monkeypatch.setattr("gristmill.data.filters.language._load", not_again)
    changed = FilterConfig(language=LanguageRules(keep=["de"]))
    made = data_filter.run(changed, inputs, workspace)
    layer = pq.read_table(made.path / "layer" / "part-00000.parquet")
    assert layer["language"].to_pylist() == list(TEXTS)
