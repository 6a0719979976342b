"""The record schemas: one for documents, one for where they came from, one for a mixture.

pyarrow is imported inside, because it costs 0.14 s and the command line must start fast.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import pyarrow as pa


@cache
def document_schema() -> pa.Schema:
    """A document: its text and what its page said of itself. `id` is `document_id(url, text)`.

    opt_out: what its page or host says against use (`noai, tdm-reservation`), null for nothing.
    attributes: what only some sources know, such as the language of code or a thread of mail.
    Artifacts from before these two columns lack them.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("url", pa.string(), nullable=False),
            pa.field("host", pa.string(), nullable=False),
            pa.field("title", pa.string()),
            pa.field("description", pa.string()),
            pa.field("topic", pa.string()),
            pa.field("language_attribute", pa.string()),
            pa.field("date", pa.string()),
            pa.field("licence", pa.string()),
            pa.field("source", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("links", pa.list_(pa.string()), nullable=False),
            pa.field("opt_out", pa.string()),
            pa.field("attributes", pa.map_(pa.string(), pa.string())),
        ]
    )


@cache
def provenance_schema() -> pa.Schema:
    """Where and when a document was fetched; row-aligned with its documents, not content."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("fetched_at", pa.string()),
            pa.field("warc", pa.string()),
            pa.field("offset", pa.int64()),
            pa.field("record_id", pa.string()),
        ]
    )


@cache
def layer_schema() -> pa.Schema:
    """The columns that every layer has; a step's own columns follow them."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("keep", pa.bool_(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("text", pa.string()),
        ]
    )


@cache
def mixture_schema() -> pa.Schema:
    """A document chosen for training or held out; `repeats` is how often training sees it."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("url", pa.string(), nullable=False),
            pa.field("host", pa.string(), nullable=False),
            pa.field("domain", pa.string(), nullable=False),
            pa.field("quality", pa.float32()),
            pa.field("title", pa.string()),
            pa.field("description", pa.string()),
            pa.field("topic", pa.string()),
            pa.field("group", pa.string(), nullable=False),
            pa.field("repeats", pa.int32(), nullable=False),
            pa.field("anneal", pa.bool_(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
        ]
    )


def document_id(url: str, text: str) -> str:
    """16 hexadecimal letters from the SHA-256 of URL and text."""
    return hashlib.sha256(f"{url}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def host_of(url: str) -> str:
    """The host of a URL in lower case, without a port; empty where it has none."""
    return (urlsplit(url).hostname or "").lower()
