"""Language identification with the real model; skipped where it is neither cached nor fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.filters.checks import verdicts
from gristmill.data.filters.language import identify, language, language_model_path
from gristmill.data.filters.rules import LanguageRules

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


def test_a_damaged_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "lid.ftz").write_bytes(b"no model")
    with pytest.raises(GristmillError, match="cannot load"):
        identify(["a text"], tmp_path / "lid.ftz")


def test_rule() -> None:
    labels = ["en", "fr", "en", "und"]
    scores = np.array([0.9, 0.99, 0.5, 0.0], dtype=np.float32)
    verdict = verdicts(language(labels, scores, LanguageRules()), 4)
    assert verdict.reason == [None, "language.other", "language.score", "language.other"]
    assert language(labels, scores, LanguageRules(keep=[])) == []
