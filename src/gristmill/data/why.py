"""What happened to one page: its state in the crawl, each step's verdict, where it ended.

Each step says what it did and the numbers that decided: limits, scores, the copy that was kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.data.documents import DocumentSet
from gristmill.data.filters.limits import judged
from gristmill.data.filters.thresholds import THRESHOLDS
from gristmill.data.nearest_urls import nearest_urls

_FIXED = ("id", "keep", "reason", "text")
_FRONTIER, _INDEX = "frontier.parquet", "index.parquet"
_COLUMNS: Final = ("url", "id", "title", "language_attribute", "date", "licence", "opt_out",
                   "source", "text")  # fmt: skip
_COPIES_SHOWN = 3


def explain_page(url: str, artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """What each artifact says of the page at `url`: `{"stage", "said", "numbers", "rules"}`.

    rules: how the page stood to each limit of a filter, what it failed first (`Judged.to_json`).
    Raises GristmillError, with the nearest known URLs, where none of them knows it.
    """
    told: list[dict[str, Any]] = []
    for artifact in artifacts:
        if artifact.kind == "pages":
            told += _crawl(url, artifact)
        elif artifact.kind == "documents":
            told += _extraction(url, artifact)
    verdicts, keeping = _layers(url, artifacts)
    told += verdicts
    for artifact in artifacts:
        if artifact.kind == "mixture":
            told += _mixture(url, artifact, expected=_takes(artifact, keeping))
    if not told:
        near = nearest_urls(url, _known_urls(artifacts))
        said = f"did you mean '{near[0]}'?" if near else "nothing is known here"
        if len(near) > 1:
            said += f" There are also {', '.join(near[1:])}"
        raise GristmillError(f"no step has seen the page '{url}'", mend=said)
    return told


def _crawl(url: str, artifact: Artifact) -> list[dict[str, Any]]:
    found = []
    for name in (_FRONTIER, _INDEX):
        if name == _FRONTIER and not (artifact.path / name).exists():
            continue  # pages out of other people's WARC files
        rows = _rows_of(artifact.file(name), url)
        found += rows[:1]
    if not found:
        return []
    numbers = {key: value for row in found for key, value in row.items() if value is not None}
    numbers.pop("url", None)
    state = str(numbers.pop("state", "fetched"))
    reason = str(numbers.get("reason", ""))
    if state == "redirected" and "://" in reason:
        numbers["leads to"] = numbers.pop("reason")
    elif state != "fetched" and reason:
        state = f"{state}: {numbers.pop('reason')}"
    return [_said(artifact, state, numbers)]


def _extraction(url: str, artifact: Artifact) -> list[dict[str, Any]]:
    for path in sorted((artifact.path / "documents").glob("part-*.parquet")):
        have = pq.read_schema(path).names
        rows = _rows_of(path, url, [name for name in _COLUMNS if name in have])
        if rows:
            row = {k: v for k, v in rows[0].items() if v is not None and k != "url"}
            row["words"] = len(row["text"].split())
            row["characters"] = len(row["text"])
            row |= _written(artifact, path.name, row["id"])
            return [_said(artifact, "a document", row)]
    for path in sorted((artifact.path / "rejects").glob("*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line) if line.strip() else {}
                if url in (record.get("url"), record.get("where")):
                    sample = str(record.get("sample") or "")
                    numbers = {"detail": sample} if sample else {}
                    return [_said(artifact, f"rejected: {record.get('reason', '')}", numbers)]
    return []


def _written(artifact: Artifact, part: str, id_: str) -> dict[str, Any]:
    """How a synthetic document was made."""
    path = artifact.path / "synthetic" / part
    if not path.is_file():
        return {}
    columns = ["seed_url", "style", "generator", "temperature", "copied", "run"]
    (row,) = pq.read_table(path, columns=columns, filters=[("id", "=", id_)]).to_pylist()
    return {"written from": row.pop("seed_url"), **row}


def _layers(
    url: str, artifacts: Sequence[Artifact]
) -> tuple[list[dict[str, Any]], Artifact | None]:
    """What each layer said, and the documents that hold the page where the last one keeps it."""
    layers = [artifact for artifact in artifacts if artifact.kind == "layer"]
    below = {ref.content for one in layers for ref in one.manifest.inputs.get("documents", ())}
    for top in reversed([one for one in layers if one.content not in below]):
        documents = DocumentSet.open(top)
        for part in documents.parts:
            table = documents.read_all(part, ["url"])
            row = pc.index(table["url"], url).as_py()
            if row >= 0:
                told, kept = _verdicts(documents, part, row)
                return told, documents.base if kept else None
    return [], None


def _takes(mixture: Artifact, documents: Artifact | None) -> bool:
    """Whether a mixture was made from these documents, as far as that is known."""
    if documents is None:
        return False
    try:
        taken = [one for slot, one in mixture.inputs() if slot in ("documents", "also")]
        bases = [DocumentSet.open(one).base.content for one in taken]
    except GristmillError:
        return True
    return not bases or documents.content in bases


def _verdicts(documents: DocumentSet, part: str, row: int) -> tuple[list[dict[str, Any]], bool]:
    told = []
    alone = DocumentSet(documents.base, ())
    text: str = alone.read_all(part, ["text"])["text"][row].as_py()
    for number, (layer, (_, verdict)) in enumerate(
        zip(documents.layers, documents.history(part, row), strict=True)
    ):
        own = {k: v for k, v in verdict.items() if k not in _FIXED and v not in (None, [])}
        rules = []
        if "reasons_all" in verdict:
            # What a threshold judges is told with its limit.
            rules = [one.to_json() for one in judged(layer.manifest.config, verdict)]
            for column in {threshold.column for threshold in THRESHOLDS} - {"language_score"}:
                own.pop(column, None)
        if "near_group" in verdict:
            own = _copies(documents, number, verdict, own)
        if "quality" in own and (limit := _quality_limit(layer)) is not None:
            own["threshold"] = limit
        if verdict["keep"]:
            said = "kept"
            if (new := verdict["text"]) is not None:
                said = f"kept, its text changed: {_words(new)} of {_words(text)} words are left"
                own["characters"] = f"{len(new):,} of {len(text):,} are left"
                text = new
        else:
            said = f"dropped: {verdict['reason']}"
        told.append(_said(layer, said, own, rules))
        if not verdict["keep"]:
            return told, False
    return told, True


def _words(text: str) -> str:
    return f"{len(text.split()):,}"


def _copies(
    documents: DocumentSet, number: int, verdict: dict[str, Any], own: dict[str, Any]
) -> dict[str, Any]:
    """The groups of a page as what a person asks of them: which copy was kept, how like it is."""
    from gristmill.data.dedup.keep import WON

    hidden = ("exact_group", "near_group", "kept_because")
    found = {k: v for k, v in own.items() if k not in hidden}
    layer = documents.layers[number]
    for kind in ("exact_group", "near_group"):
        group = verdict[kind]
        if group is None:
            continue
        members = _members(documents, layer, kind, group)
        others = [url for one, url in members if one != verdict["id"]]
        name = kind.removesuffix("_group")
        known = any(one == group for one, _ in members)
        if not others and known:
            found[f"{name} copies"] = 0
            continue
        found[f"{name} copies"] = len(others)
        if not known:
            found[f"{name} copy of an earlier page"] = _earlier_url(layer, group) or group
            continue
        if group == verdict["id"]:
            found[f"kept of the {name} copies"] = "this one"
            found[f"{name} copy of it"] = ", ".join(others[:_COPIES_SHOWN])
        else:
            kept = next((url for one, url in members if one == group), "")
            found[f"kept of the {name} copies"] = kept
            if kind == "near_group":
                before = DocumentSet(documents.base, documents.layers[:number])
                found["likeness to it"] = _likeness(
                    before, layer.manifest.config, verdict["id"], group
                )
    if (won := WON.get(verdict.get("kept_because") or "")) is not None:
        found["it was kept because"] = won
    return {k: v for k, v in found.items() if v is not None}


def _earlier_url(layer: Artifact, wanted: str) -> str | None:
    """The URL of a document of the snapshots that the step compared with."""
    refs = [ref for name, of in layer.manifest.inputs.items() for ref in of if name == "against"]
    for ref in refs:
        try:
            earlier = DocumentSet.open(layer.resolve(ref))
        except GristmillError:
            continue  # it is gone: the id is all that is known
        for part in earlier.parts:
            row = pc.index(earlier.ids(part), wanted).as_py()
            if row >= 0:
                url: str = earlier.read_all(part, ["url"])["url"][row].as_py()
                return url
    return None


def _members(
    documents: DocumentSet, layer: Artifact, kind: str, group: str
) -> list[tuple[str, str]]:
    """(id, url) of a group's documents, in the order of the parts."""
    found = []
    for part in documents.parts:
        path = layer.path / "layer" / f"{part}.parquet"
        table = pq.read_table(path, columns=["id", kind])
        rows = pc.indices_nonzero(pc.fill_null(pc.equal(table[kind], group), False))
        if len(rows):
            urls = documents.read_all(part, ["url"])["url"].take(rows).to_pylist()
            found += list(zip(table["id"].take(rows).to_pylist(), urls, strict=True))
    return found


def _likeness(documents: DocumentSet, config: dict[str, Any], one: str, other: str) -> float | None:
    """The exact Jaccard similarity of two documents' shingles, as the step saw their texts."""
    from gristmill.data.dedup.minhash import shingle_sets

    words = (config.get("near") or {}).get("words")
    texts: dict[str, str] = {}
    for part in documents.parts:
        ids = documents.ids(part)
        rows = pc.indices_nonzero(pc.is_in(ids, value_set=pa.array([one, other])))
        if len(rows):
            table = documents.read_all(part, ["id", "text"]).take(rows)
            texts.update(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    if words is None or len(texts) < 2:
        return None
    hashes, starts = shingle_sets([texts[one], texts[other]], int(words))
    left, right = (set(hashes[starts[i] : starts[i + 1]].tolist()) for i in range(2))
    return round(len(left & right) / max(1, len(left | right)), 4)


def _quality_limit(layer: Artifact) -> float | None:
    """The quality from which on documents were kept, as the step itself told."""
    path = layer.path / "presentation.json"
    if not path.is_file():
        return None
    figure = layer.read_json("presentation.json").get("figures", {}).get("quality.threshold")
    return None if figure is None else float(figure["value"])


def _mixture(url: str, artifact: Artifact, *, expected: bool) -> list[dict[str, Any]]:
    for split in ("train", "heldout"):
        for path in sorted((artifact.path / split).glob("part-*.parquet")):
            rows = _rows_of(path, url)
            if rows:
                row = {k: v for k, v in rows[0].items() if v is not None}
                shown = ["domain", "quality", "repeats", "anneal"]
                kept = {key: row[key] for key in shown if key in row}
                return [_said(artifact, f"in {split}", kept)]
    if not expected:
        return []
    why = (
        "it quotes a held-out page or is a copy of one that does, or was written from one, or its "
        "weight left it out"
    )
    return [_said(artifact, "dropped: not in the mixture", {"detail": why})]


def _rows_of(path: Path, url: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    table = pq.read_table(path, columns=columns, filters=[("url", "=", url)])
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _known_urls(artifacts: Sequence[Artifact]) -> Iterator[str]:
    for artifact in artifacts:
        if artifact.kind == "pages":
            name = _FRONTIER if (artifact.path / _FRONTIER).exists() else _INDEX
            yield from _urls_in(artifact.file(name))
        elif artifact.kind == "documents":
            for path in sorted((artifact.path / "documents").glob("part-*.parquet")):
                yield from _urls_in(path)


def _urls_in(path: Path) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["url"]):
            yield from batch["url"].to_pylist()


def _said(
    artifact: Artifact,
    said: str,
    numbers: dict[str, Any],
    rules: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {"stage": artifact.stage, "said": said, "numbers": numbers, "rules": rules or []}
