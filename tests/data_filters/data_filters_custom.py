"""A user's filters, as a test's recipe names them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.data.filters.custom import whole_batch


def mentions_mill(document: dict[str, Any], statistics: dict[str, int]) -> bool | str:
    if statistics["words"] > 1000:
        return "too long for me"
    return "mill" in document["text"]


def always_raises(document: dict[str, Any], statistics: dict[str, int]) -> bool:
    raise KeyError(document["url"])


def raises_on_river(document: dict[str, Any], statistics: dict[str, int]) -> bool:
    if "river" in document["text"]:
        raise ValueError("no rivers")
    return True


def returns_a_number(document: dict[str, Any], statistics: dict[str, int]) -> int:
    return 3


@whole_batch
def no_shouting(documents: pa.RecordBatch, statistics: pa.RecordBatch) -> pa.Array:
    share = pc.divide(pc.cast(statistics["uppers"], pa.float64()), statistics["characters"])
    return pc.less(share, 0.3)


@whole_batch
def names_their_words(documents: pa.RecordBatch, statistics: pa.RecordBatch) -> list[str | None]:
    words = statistics["words"].to_pylist()
    mills = ["mill" in text for text in documents["text"].to_pylist()]
    return [None if m else f"{n} words, no mill" for m, n in zip(mills, words, strict=True)]


@whole_batch
def forgets_some(documents: pa.RecordBatch, statistics: pa.RecordBatch) -> list[bool]:
    return [True]
