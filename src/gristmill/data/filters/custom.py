"""A user's own filter: a function of one document and its statistics.

    def no_short_titles(document, statistics):
        if len(document["title"] or "") < 3:
            return "the title is too short"
        return statistics["words"] > 100

True (or None) keeps, False drops, text drops and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.extension import load_extension
from gristmill.data.filters.checks import Check
from gristmill.data.filters.statistics import Statistics


def custom(
    name: str, documents: Sequence[Mapping[str, Any]], rows: Sequence[int], s: Statistics
) -> tuple[Check, dict[int, str]]:
    """The check of the function called `name`, and what it said by row.

    documents: those that the function sees, which stand in `rows` of `s`; the others pass.
    Raises GristmillError where the function returns neither a truth value nor text; what it
    raises itself goes up, and the engine quarantines the document.
    """
    function = load_extension(name)
    short = name.rpartition(":")[2]
    failed = np.zeros(len(s), dtype=np.bool_)
    said: dict[int, str] = {}
    for row, document in zip(rows, documents, strict=True):
        answer = function(dict(document), s.of(row))
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
