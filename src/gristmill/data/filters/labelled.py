"""Texts that people labelled: a JSONL file, one object a line, as somebody else made it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.data.filters.lists import BAD_SHOWN, pieces

LEAST_OF_EACH = 20
_Label = TypeVar("_Label")
_YES = frozenset({"1", "1.0", "true", "yes", "y", "positive", "bad"})
_NO = frozenset({"0", "0.0", "false", "no", "n", "none", "negative", "neutral", "clean", "ok",
                 "safe", "normal", "good", "honest", "other"})  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """texts with bool labels [n]; groups: equal for equal texts, or as the file says. bad: lines
    that could not be used, `shown` the first of them."""

    texts: tuple[str, ...]
    labels: npt.NDArray[np.bool_]
    groups: tuple[str, ...]
    bad: int
    shown: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Named:
    """texts, each with the word that it is labelled with, in lower case; else as in Labelled."""

    path: Path
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    bad: int
    shown: tuple[dict[str, str], ...]


def read_named(path: Path, *, text_field: str = "text", label_field: str = "label") -> Named:
    """Reads `{"text": ..., "label": ...}` a line, labels as they are; `group` as in
    `read_labelled`. A line that is no such object, or whose label is no word, is counted."""
    records, bad, shown = _records(path, text_field, label_field, _word)
    return Named(
        path,
        tuple(record[text_field] for record, _ in records),
        tuple(label for _, label in records),
        tuple(_group(record, text_field) for record, _ in records),
        bad,
        shown,
    )


def read_labelled(
    path: Path,
    name: str,
    *,
    text_field: str = "text",
    label_field: str = "label",
    positive: Collection[str] = (),
) -> Labelled:
    """Reads `{"text": ..., "label": ...}` a line; `group`, where it is there, names what must not
    be on both sides of a measurement (a thread, a site).

    A label is true or false, 1 or 0, or a word: `name` (adult), yes, clean, not_adult and the like.
    positive: the labels that mean yes; then all others mean no. A line that is no such object is
    counted. Raises GristmillError where fewer than LEAST_OF_EACH texts of a kind are there.
    """
    unknown: Counter[str] = Counter()
    wanted = {value.lower() for value in positive}

    def meaning(value: Any) -> bool:
        label = _meaning(value, name, wanted)
        if label is None:
            unknown[str(value)[:40]] += 1
            raise ValueError(f"a label that is not known: {value!r:.60}")
        return label

    records, bad, shown = _records(path, text_field, label_field, meaning)
    found = np.array([label for _, label in records], np.bool_)
    yes, no = int(found.sum()), int((~found).sum())
    if min(yes, no) < LEAST_OF_EACH:
        raise GristmillError(
            f"{yes} texts are labelled {name} and {no} are labelled not {name}, of "
            f"{len(records) + bad} lines; at least {LEAST_OF_EACH} of each are needed",
            where=path,
            mend=_mend(unknown, list(shown), text_field, label_field),
        )
    texts = tuple(record[text_field] for record, _ in records)
    groups = tuple(_group(record, text_field) for record, _ in records)
    return Labelled(texts, found, groups, bad, shown)


def _records(
    path: Path, text_field: str, label_field: str, meaning: Callable[[Any], _Label]
) -> tuple[list[tuple[dict[str, Any], _Label]], int, tuple[dict[str, str], ...]]:
    """(record, what its label means) of each line; how many lines are none, and the first."""
    records: list[tuple[dict[str, Any], _Label]] = []
    shown: list[dict[str, str]] = []
    bad = number = 0
    for piece in pieces(path):
        for line in piece.removesuffix(b"\n").split(b"\n"):
            number += 1
            if not line.strip():
                continue
            try:
                record = _object(line, text_field, label_field)
                records.append((record, meaning(record[label_field])))
            except ValueError as error:
                bad += 1
                if len(shown) < BAD_SHOWN:
                    sample = line[:200].decode(errors="replace")
                    shown.append({"line": str(number), "reason": str(error), "sample": sample})
    return records, bad, tuple(shown)


def _object(line: bytes, text_field: str, label_field: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(record, dict):
        raise ValueError("not an object")
    for field in (text_field, label_field):
        if record.get(field) is None:
            raise ValueError(f"no field '{field}'")
    if not isinstance(record[text_field], str) or not record[text_field].strip():
        raise ValueError(f"'{text_field}' is no text")
    return record


def _meaning(value: Any, name: str, wanted: Collection[str]) -> bool | None:
    said = str(value).strip().lower()
    if wanted:
        return said in wanted
    if said in _YES or said == name:
        return True
    if said in _NO or said in {f"not_{name}", f"not {name}", f"non-{name}", f"non_{name}"}:
        return False
    return None


def _word(value: Any) -> str:
    label = str(value).strip().lower() if isinstance(value, str) else ""
    if not label or len(label) > 40 or not label.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"a label that is no name: {value!r:.60}")
    return label


def _group(record: dict[str, Any], text_field: str) -> str:
    given = record.get("group")
    if given is not None:
        return str(given)
    words = " ".join(record[text_field].lower().split())
    return hashlib.sha256(words.encode(errors="replace")).hexdigest()[:16]


def _mend(
    unknown: Counter[str], shown: list[dict[str, str]], text_field: str, label_field: str
) -> str:
    if unknown:
        some = ", ".join(repr(label) for label, _ in unknown.most_common(5))
        return f"it has the labels {some}; name those that mean yes with --train.positive"
    if shown:
        first = shown[0]
        return (
            f"line {first['line']}: {first['reason']}; each line is an object with '{text_field}' "
            f"and '{label_field}' (--train.text and --train.label name other fields)"
        )
    return "give a file with both kinds of text"
