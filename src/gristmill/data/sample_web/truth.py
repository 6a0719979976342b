"""What is true of each page of a sample web, and what the steps of the pipeline made of the pages.

Both are plain records by URL, so that `audit` compares them without knowing files or stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow.parquet as pq

from gristmill.data.documents import DocumentSet

HONEST = ("article", "notice")
JUNK = ("boilerplate", "listing", "spam", "adult")


def same_address(url: str) -> str:
    """One spelling of a URL, for comparison: lower-case host, escapes undone, no fragment."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"http://{(parts.hostname or '').lower()}{unquote((parts.path or '/') + query)}"


@dataclass(frozen=True)
class TruePage:
    """A row of truth.parquet; the fields are described where it is written."""

    url: str
    kind: str
    article: str | None
    language: str | None
    title: str
    description: str | None
    topic: str | None
    shows_description: bool
    shows_topic: bool
    main_text: str
    exact_group: str | None
    near_group: str | None
    edit: str | None
    personal_data: tuple[tuple[str, str], ...]
    quality: str | None
    linked: bool
    lookalike: bool
    blocklisted: bool
    forbidden: bool
    opt_out: str | None = None


def read_truth(path: Path) -> dict[str, TruePage]:
    """Every page's truth by `same_address` of its URL."""
    file = pq.ParquetFile(path)
    # A web of an earlier release has no column `opt_out`, and no page that opts out.
    names = [name for name in TruePage.__dataclass_fields__ if name in file.schema_arrow.names]
    pages = {}
    for batch in file.iter_batches(columns=names):
        for row in batch.to_pylist():
            spans = tuple((span["kind"], span["value"]) for span in row.pop("personal_data"))
            pages[same_address(row["url"])] = TruePage(personal_data=spans, **row)
    return pages


@dataclass
class Verdict:
    """What one layer says of one document that reached it."""

    keep: bool
    reason: str | None
    text: str | None
    """The new text, None where it is unchanged."""
    own: dict[str, Any]

    @property
    def reasons(self) -> list[str]:
        """Every reason that the layer recorded, the first one where it recorded no more."""
        more = self.own.get("reasons_all")
        return [str(reason) for reason in more] if more else [self.reason] if self.reason else []


@dataclass
class Judged:
    """A document, as extracted, and its verdicts by stage in the order of the steps."""

    url: str
    title: str | None
    description: str | None
    topic: str | None
    text: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)


def judged_documents(documents: DocumentSet) -> dict[str, Judged]:
    """Every document of the base with what each layer said, by `same_address` of its URL."""
    judged: dict[str, Judged] = {}
    for part in documents.parts:
        base = pq.read_table(
            documents.base.path / "documents" / f"{part}.parquet",
            columns=["url", "title", "description", "topic", "text"],
        ).to_pylist()
        rows = [Judged(**row) for row in base]
        for layer in documents.layers:
            table = pq.read_table(layer.path / "layer" / f"{part}.parquet")
            names = [name for name in table.column_names if name not in _FIXED]
            for judgement, row in zip(rows, table.to_pylist(), strict=True):
                # A row that an earlier layer dropped has neither a verdict nor columns here.
                if row["keep"] or row["reason"] is not None:
                    judgement.verdicts[layer.stage] = Verdict(
                        row["keep"],
                        row["reason"],
                        row["text"],
                        {name: row[name] for name in names},
                    )
        judged.update((same_address(row.url), row) for row in rows)
    return judged


_FIXED = ("id", "keep", "reason", "text")


def dropped_by(judged: Judged) -> tuple[str, str] | None:
    """The stage and reason that dropped a document, or None where all keep it."""
    for stage, verdict in judged.verdicts.items():
        if not verdict.keep:
            return stage, verdict.reason or ""
    return None


def known_addresses(urls: Iterable[str], truth: Mapping[str, TruePage]) -> set[str]:
    """Those of `urls` that truth knows, in one spelling."""
    return {address for url in urls if (address := same_address(url)) in truth}
