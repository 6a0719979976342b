"""A user's own filter: a function of one document and its statistics, or of a whole batch.

    def no_short_titles(document, statistics):
        if len(document["title"] or "") < 3:
            return "the title is too short"
        return statistics["words"] > 100

True (or None) keeps, False drops, text drops and says why. With the decorator `whole_batch` a
function is given all documents of a batch at once, as Arrow record batches, and returns an answer
for each (a list, or an Arrow or NumPy array of truth values or texts):

    @whole_batch
    def no_shouting(documents, statistics):
        share = pc.divide(statistics["uppers"], pc.max_element_wise(statistics["characters"], 1))
        return pc.less(share, 0.3)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from gristmill.core.errors import GristmillError
from gristmill.core.extension import load_extension
from gristmill.data.filters.checks import Check
from gristmill.data.filters.statistics import Statistics

_Function = TypeVar("_Function", bound=Callable[..., Any])


def whole_batch(function: _Function) -> _Function:
    """Marks a filter as one of batches: it is called with two record batches of as many rows, the
    documents and `Statistics` by name (int64)."""
    function.whole_batch = True  # type: ignore[attr-defined]
    return function


def custom(
    name: str, documents: pa.Table, rows: Sequence[int], s: Statistics
) -> tuple[Check, dict[int, str]]:
    """The check of the function called `name`, and what it said by row.

    documents: those that the function sees, which stand in `rows` of `s`; the others pass.
    Raises GristmillError where the function returns neither a truth value nor text, or not as many
    as there are documents; what it raises itself goes up, and the engine quarantines the document.
    """
    function = load_extension(name)
    short = name.rpartition(":")[2]
    failed = np.zeros(len(s), dtype=np.bool_)
    said: dict[int, str] = {}
    answers = (
        _of_batch(function, name, documents, rows, s)
        if getattr(function, "whole_batch", False)
        else _of_each(function, documents, rows, s)
    )
    for row, answer in zip(rows, answers, strict=True):
        if answer is None or answer is True or (isinstance(answer, np.bool_) and bool(answer)):
            continue
        if not isinstance(answer, (bool, str, np.bool_)):
            raise GristmillError(
                f"the filter returned {type(answer).__name__}",
                where=name,
                mend="return True to keep a document, False or a reason to drop it",
            )
        failed[row] = True
        said[row] = answer if isinstance(answer, str) else short
    return Check(f"custom.{short}", failed.astype(np.float64), "is", 1.0, failed), said


def _of_each(
    function: Callable[..., Any], documents: pa.Table, rows: Sequence[int], s: Statistics
) -> list[Any]:
    listed: list[Mapping[str, Any]] = documents.to_pylist()
    return [function(dict(document), s.of(row)) for row, document in zip(rows, listed, strict=True)]


def _of_batch(
    function: Callable[..., Any], name: str, documents: pa.Table, rows: Sequence[int], s: Statistics
) -> list[Any]:
    if not len(documents):
        return []
    (batch,) = documents.combine_chunks().to_batches()
    values = s.values[np.asarray(rows, dtype=np.int64)]
    numbers = pa.record_batch(
        [pa.array(values[:, number]) for number in range(len(s.names))], names=list(s.names)
    )
    answers = function(batch, numbers)
    if isinstance(answers, (pa.Array, pa.ChunkedArray)):
        answers = answers.to_pylist()
    try:
        found = list(answers)
    except TypeError:
        found = [answers]
    if len(found) != len(documents):
        raise GristmillError(
            f"the filter gave {len(found)} answers for {len(documents)} documents",
            where=name,
            mend="a filter of batches returns an answer for each row, in their order",
        )
    return found
