"""A user's filters, as a test's recipe names them."""

from __future__ import annotations

from typing import Any


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
