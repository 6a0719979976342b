"""Documents on both sides of a limit, nearest first, so that a person can set it by looking.

The numbers come from the layer of `data filter` where it stored them, else the rule is asked again
of the texts. Held are five bytes a document and the few that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.progress import progress
from gristmill.core.seeds import derive_seed
from gristmill.data.documents import DocumentSet
from gristmill.data.filters.chain import Chain
from gristmill.data.filters.limits import as_configured, limit_in, named
from gristmill.data.filters.one_rule import chain_of
from gristmill.data.filters.thresholds import THRESHOLDS, Threshold

FILTER: Final = "data.filter"
_BATCH = 1000
_MOVES: Final = (0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0, 4.0)
"""Times the limit: what else is tried."""
_AROUND: Final = (0.02, 0.1)
"""Shares of the documents on either side of the limit: where else it is tried."""

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Neighbour:
    """A document near the limit."""

    url: str
    title: str
    text: str
    """Its text before the filter, whole."""
    value: float
    fails: bool
    reason: str
    """For what it was dropped in the end; empty for one that was kept, or where no filter ran."""


@dataclass(frozen=True)
class Move:
    """What another limit would do. `alone`: of those that it drops, no other rule drops them."""

    limit: float
    drops: int
    alone: int
    kept_more: int
    """Documents that would be kept and were not under the limit as it is."""
    dropped_more: int


@dataclass(frozen=True)
class Near:
    """What was found near a limit."""

    rule: str
    fails: str
    limit: float
    documents: int
    judged: int
    """Documents that the rule judged; others were dropped before, or it is not for them."""
    recomputed: bool
    only: bool
    """Whether the number alone decides; False where a context decides beside it."""
    quantiles: dict[str, float]
    moves: list[Move]
    failing: list[Neighbour]
    passing: list[Neighbour]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def parse_near(asked: str) -> tuple[str, float | None]:
    """`RULE` or `RULE=LIMIT`. Raises GristmillError for a limit that is no number."""
    rule, equals, limit = asked.partition("=")
    if not equals:
        return rule.strip(), None
    try:
        value = float(limit)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise GristmillError("the limit is no number", where=f"--near {asked}")
    return rule.strip(), value


def near(
    documents: DocumentSet,
    rule: str,
    limit: float | None = None,
    *,
    count: int = 5,
    seed: int = 0,
) -> Near:
    """The `count` documents on either side of a limit that are nearest to it.

    rule: as `limits.named` takes it. limit: another than the filter had (its default where none
    ran). Equally near documents are drawn by the seed.
    Raises GristmillError for an unknown rule, and for one that is off and has no limit.
    """
    layer = next((one for one in reversed(documents.layers) if one.stage == FILTER), None)
    config: Mapping[str, Any] = {} if layer is None else layer.manifest.config
    threshold = as_configured(config, named(rule))
    was = limit_in(config, threshold)
    at = was if limit is None else limit
    if at is None:
        raise GristmillError(
            f"'{threshold.rule}' is off and has no limit",
            where="--near",
            mend=f"give one: --near {threshold.rule}=NUMBER",
        )
    stored = layer is not None and threshold.column in documents.column_names()
    before = documents if layer is None else _below(documents, layer)
    chain = None if stored else chain_of(threshold, config, before, at)
    numbers: list[Floats] = [np.zeros(0, np.float32)]
    others: list[Flags] = [np.zeros(0, np.bool_)]
    bar = progress("near", float(sum(map(before.base_rows, before.parts))), "documents")
    try:
        for part in before.parts:
            if chain is None:
                assert layer is not None
                found = _from_layer(layer, part, threshold)
            else:
                found = _from_texts(before, part, threshold, chain)
            numbers.append(found)
            others.append(_otherwise(layer, part, threshold, found, config))
            bar.advance(float(len(found)))
    finally:
        bar.close()
    values, otherwise = np.concatenate(numbers), np.concatenate(others)
    parts = list(zip(before.parts, map(len, numbers[1:]), strict=True))
    known = values[~np.isnan(values)]
    failing = threshold.failing(values, at)
    rows = {
        side: _nearest(values, mask & ~np.isnan(values), at, count, seed)
        for side, mask in (("failing", failing), ("passing", ~failing))
    }
    shown = _neighbours(before, layer, parts, values, failing, rows)
    places = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
    quantiles = np.quantile(known, list(map(float, places))).tolist() if len(known) else []
    return Near(
        threshold.rule,
        threshold.fails,
        at,
        len(values),
        len(known),
        not stored,
        threshold.alone,
        {name: float(value) for name, value in zip(places, quantiles, strict=False)},
        _moves(values, otherwise, threshold, at, was),
        *shown,
    )


def _below(documents: DocumentSet, layer: Artifact) -> DocumentSet:
    """The documents as the layer was given them."""
    return DocumentSet(documents.base, documents.layers[: documents.layers.index(layer)])


def _from_layer(layer: Artifact, part: str, threshold: Threshold) -> Floats:
    path = layer.path / "layer" / f"{part}.parquet"
    return _floats(pq.read_table(path, columns=[threshold.column])[threshold.column])


def _from_texts(before: DocumentSet, part: str, threshold: Threshold, chain: Chain) -> Floats:
    """The rule alone, asked of every text that came to the filter."""
    table = before.read(part, ["text"])
    values: Floats = np.full(before.base_rows(part), np.nan, np.float32)
    for start in range(0, len(table), _BATCH):
        piece = table.slice(start, _BATCH)
        found = chain(piece.select(["text"]))
        values[piece["row"].to_numpy()] = _floats(found[threshold.column])
    return values


def _otherwise(
    layer: Artifact | None,
    part: str,
    threshold: Threshold,
    values: Floats,
    config: Mapping[str, Any],
) -> Flags:
    """Which documents something else drops as well."""
    found = np.zeros(len(values), np.bool_)
    if layer is None:
        return found
    path = layer.path / "layer" / f"{part}.parquet"
    reasons = pq.read_table(path, columns=["reasons_all"])["reasons_all"].combine_chunks()
    rows = pc.list_parent_indices(reasons)
    other = pc.not_equal(pc.list_flatten(reasons), threshold.reason)
    found[rows.filter(other).to_numpy()] = True
    for twin in THRESHOLDS:
        # The other end of the same number has the same reason.
        if twin.reason == threshold.reason and twin.rule != threshold.rule:
            twin = as_configured(config, twin)
            if (limit := limit_in(config, twin)) is not None:
                found |= twin.failing(values, limit)
    return found


def _floats(column: pa.ChunkedArray) -> Floats:
    found: Floats = pc.fill_null(pc.cast(column, pa.float32()), np.nan).to_numpy()
    return found.astype(np.float32)


def _nearest(
    values: Floats, mask: Flags, limit: float, count: int, seed: int
) -> npt.NDArray[np.int64]:
    """Rows, nearest first; equally near ones in an order that the seed draws."""
    rows = np.flatnonzero(mask)
    distance = np.abs(values[rows].astype(np.float64) - limit)
    if len(rows) > count:
        farthest = np.partition(distance, count - 1)[count - 1]
        rows = rows[distance <= farthest]
        distance = np.abs(values[rows].astype(np.float64) - limit)
    drawn = np.random.default_rng(derive_seed(seed, "near")).random(len(rows))
    return rows[np.lexsort((drawn, distance))][:count]


def _neighbours(
    before: DocumentSet,
    layer: Artifact | None,
    parts: list[tuple[str, int]],
    values: Floats,
    failing: Flags,
    rows: Mapping[str, npt.NDArray[np.int64]],
) -> Iterator[list[Neighbour]]:
    starts = np.cumsum([0, *(size for _, size in parts)])
    found: dict[int, Neighbour] = {}
    wanted = np.sort(np.concatenate(list(rows.values())))
    for number, (part, _) in enumerate(parts):
        here = wanted[(wanted >= starts[number]) & (wanted < starts[number + 1])]
        if not len(here):
            continue
        take = pa.array(here - starts[number])
        texts = before.read_all(part, ["url", "title", "text"]).take(take).to_pylist()
        reasons: list[str | None] = [None] * len(texts)
        if layer is not None:
            path = layer.path / "layer" / f"{part}.parquet"
            reasons = pq.read_table(path, columns=["reason"])["reason"].take(take).to_pylist()
        for row, one, reason in zip(here.tolist(), texts, reasons, strict=True):
            found[row] = Neighbour(
                one["url"],
                one["title"] or "",
                one["text"],
                float(values[row]),
                bool(failing[row]),
                reason or "",
            )
    for side in ("failing", "passing"):
        yield [found[row] for row in rows[side].tolist()]


def _moves(
    values: Floats,
    otherwise: Flags,
    threshold: Threshold,
    limit: float,
    was: float | None,
) -> list[Move]:
    """What other limits do, in their order; counts are against `was`."""
    tried = {limit, *([] if was is None else [was])}
    known = values[~np.isnan(values)]
    whole = bool((known == np.round(known)).all()) and limit == int(limit)
    tried |= {_round(limit * factor, whole) for factor in _MOVES if limit}
    tried |= {_round(one, whole) for one in _around(known, limit)}
    asked = {limit, was}
    tried = {
        one for one in tried if one in asked or (len(known) and known.min() <= one <= known.max())
    }
    now = threshold.failing(values, limit if was is None else was)
    found = []
    for one in sorted(tried):
        drops = threshold.failing(values, one)
        found.append(
            Move(
                one,
                int(drops.sum()),
                int((drops & ~otherwise).sum()),
                int((now & ~drops & ~otherwise).sum()),
                int((drops & ~now & ~otherwise).sum()),
            )
        )
    return found


def _around(known: Floats, limit: float) -> list[float]:
    """Limits by which a few more documents stand on the other side."""
    known = np.sort(known)
    if not len(known):
        return []
    at = int(np.searchsorted(known, limit))
    places = [at + sign * int(share * len(known)) for share in _AROUND for sign in (-1, 1)]
    return [float(known[place]) for place in places if 0 <= place < len(known)]


def _round(value: float, whole: bool) -> float:
    """A limit that a person would write: whole where the numbers are, else of two digits."""
    return float(round(value)) if whole else float(f"{value:.2g}")
