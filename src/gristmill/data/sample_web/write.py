"""The web on disk: pages that a server can serve, and truth that the pipeline never reads.

`pages.parquet`: host, path, status, content_type, location, robots, body. `truth.parquet`: one row
for each page that answers 200 with HTML. `blocklist/CATEGORY/domains`, `words.txt`, `web.json`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.canonical import write_json, write_text_atomic
from gristmill.core.progress import say
from gristmill.data.sample_web.invented import WORDS
from gristmill.data.sample_web.page import Page
from gristmill.data.sample_web.sites import BLOCKED, BLOCKLIST, ENCYCLOPAEDIA
from gristmill.data.sample_web.world import World
from gristmill.data.wheel import Wheel

PAGE_SCHEMA = pa.schema(
    [
        pa.field("host", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("status", pa.int32(), nullable=False),
        pa.field("content_type", pa.string(), nullable=False),
        pa.field("location", pa.string()),
        # The X-Robots-Tag header.
        pa.field("robots", pa.string()),
        pa.field("body", pa.binary(), nullable=False),
    ]
)

TRUTH_SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        # article, forum, shop, farm, notice, spam, adult, boilerplate or listing
        pa.field("kind", pa.string(), nullable=False),
        # The article's key ("en:Bamboo"), null where the page holds no real text.
        pa.field("article", pa.string()),
        # Null where the text is no prose of any language.
        pa.field("language", pa.string()),
        pa.field("title", pa.string(), nullable=False),
        # What is true of the article, shown on the page or not.
        pa.field("description", pa.string()),
        pa.field("topic", pa.string()),
        pa.field("shows_description", pa.bool_(), nullable=False),
        pa.field("shows_topic", pa.bool_(), nullable=False),
        pa.field("main_text", pa.string(), nullable=False),
        # Pages with the same words are one exact group; copies of one article are one near group.
        pa.field("exact_group", pa.string()),
        pa.field("near_group", pa.string()),
        pa.field("edit", pa.string()),
        pa.field(
            "personal_data",
            pa.list_(pa.struct([("kind", pa.string()), ("value", pa.string())])),
            nullable=False,
        ),
        # good: what people wrote for readers, in its own place; neutral: copies and notices; poor.
        pa.field("quality", pa.string()),
        pa.field("linked", pa.bool_(), nullable=False),
        pa.field("boilerplate", pa.bool_(), nullable=False),
        pa.field("spam", pa.bool_(), nullable=False),
        pa.field("adult", pa.bool_(), nullable=False),
        pa.field("lookalike", pa.bool_(), nullable=False),
        pa.field("blocklisted", pa.bool_(), nullable=False),
        pa.field("forbidden", pa.bool_(), nullable=False),
        # What the page or its host says against use for training, null for nothing.
        pa.field("opt_out", pa.string()),
    ]
)


def write_world(world: World, folder: Path, wheel: Wheel) -> dict[str, int]:
    """Writes everything below `folder`; returns counts by kind of page."""
    say(f"compressing {len(world.pages):,} pages and what is true of them")
    pq.write_table(_pages(world.pages), folder / "pages.parquet", compression="zstd",
                   compression_level=3, row_group_size=2048)  # fmt: skip
    judged = [page for page in world.pages if page.status == 200 and page.kind not in _NO_TRUTH]
    pq.write_table(_truth(judged), folder / "truth.parquet", compression="zstd",
                   compression_level=3)  # fmt: skip
    for category, domains in BLOCKLIST.items():
        path = folder / "blocklist" / category / "domains"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, "\n".join(sorted(domains)) + "\n")
    write_text_atomic(folder / "words.txt", "\n".join(sorted(WORDS)) + "\n")
    counts = Counter(page.kind for page in world.pages)
    write_json(
        folder / "web.json",
        {
            "seeds": world.seeds,
            "hosts": sorted(site.host for site in world.sites),
            "reference": ENCYCLOPAEDIA,
            "attribution": {
                "text": "Summaries of Wikipedia articles in English, French and Spanish, by "
                "Wikipedia's editors",
                "licence": "CC BY-SA 4.0",
                "licence_url": "https://creativecommons.org/licenses/by-sa/4.0/",
                "source": f"{wheel.name} {wheel.version}",
                "sha256": wheel.sha256,
                "changes": "The texts stand on invented pages. Near copies have a few words "
                "changed, a sentence dropped or added; some pages have invented sentences added.",
            },
            "counts": dict(counts),
        },
    )
    return dict(counts)


_NO_TRUTH = ("redirect", "robots", "file")


def _pages(pages: Sequence[Page]) -> pa.Table:
    columns = {
        "host": [page.host for page in pages],
        "path": [page.path for page in pages],
        "status": [page.status for page in pages],
        "content_type": [page.content_type for page in pages],
        "location": [page.location for page in pages],
        "robots": [page.robots_header for page in pages],
        "body": [page.body for page in pages],
    }
    return pa.table(columns, schema=PAGE_SCHEMA)


def _truth(pages: Sequence[Page]) -> pa.Table:
    rows = []
    for page in pages:
        text = page.main_text
        exact = _words_hash(text) if text else None
        article = page.article
        rows.append(
            {
                "url": page.url,
                "host": page.host,
                "kind": page.kind,
                "article": article.key if article else None,
                "language": page.language,
                "title": page.title,
                "description": (article.description or None) if article else None,
                "topic": article.topic if article else None,
                "shows_description": page.shown_description is not None,
                "shows_topic": page.shown_topic is not None,
                "main_text": text,
                "exact_group": exact,
                "near_group": page.near or exact,
                "edit": page.edit or None,
                "personal_data": [{"kind": k, "value": v} for k, v in page.personal],
                "quality": page.quality,
                "linked": page.linked,
                "boilerplate": page.kind in ("boilerplate", "listing"),
                "spam": page.kind == "spam",
                "adult": page.kind == "adult",
                "lookalike": page.lookalike,
                "blocklisted": page.host in BLOCKED,
                "forbidden": page.forbidden,
                "opt_out": page.opt_out,
            }
        )
    return pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)


def _words_hash(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
