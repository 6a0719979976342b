"""Which copies stay and why, whatever the order of documents, their parts and the workers."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.core.artifact import Artifact, Manifest
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema, host_of
from gristmill.data.dedup.corpus import DedupSettings, deduplicate
from gristmill.data.dedup.corpus_texts import LineSettings
from gristmill.data.dedup.keep import KeepRule, moment
from gristmill.data.dedup.lsh import band_keys, candidate_pairs, connected_components
from gristmill.data.dedup.near import NearSettings
from gristmill.data.dedup.substrings import SubstringSettings
from gristmill.data.dedup.verdicts import DedupPart
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.local import LocalEngine

Row = dict[str, Any]
Verdicts = dict[str, tuple[Any, ...]]


def document_set(folder: Path, parts: list[list[Row]]) -> DocumentSet:
    extra = pa.field("quality", pa.float32())
    for number, rows in enumerate(parts):
        records = [
            {
                "id": document_id(row["url"], row["text"]),
                "host": host_of(row["url"]),
                "source": "test",
                "links": [],
                **row,
            }
            for row in rows
        ]
        path = folder / "documents" / f"part-{number:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        has_quality = any("quality" in row for part in parts for row in part)
        schema = document_schema().append(extra) if has_quality else document_schema()
        pq.write_table(pa.Table.from_pylist(records, schema=schema), path)
    manifest = Manifest.model_construct(kind="documents")
    return DocumentSet(Artifact(path=folder, manifest=manifest), ())


def judged(
    folder: Path, parts: list[list[Row]], how: DedupSettings, workers: int = 1
) -> tuple[Verdicts, dict[str, int]]:
    """By id: url, reason, both groups, why, new text."""
    documents = document_set(folder, parts)
    found: Verdicts = {}

    def write(part: DedupPart) -> None:
        table = documents.read(part.name, ["id", "url"])
        texts = part.text or [None] * len(part.reason)
        rows = zip(
            table["url"].to_pylist(),
            part.reason,
            part.exact_group,
            part.near_group,
            part.because,
            texts,
            strict=True,
        )
        found.update(zip(table["id"].to_pylist(), rows, strict=True))

    result = deduplicate(documents, how, write, engine=LocalEngine(workers), scratch=folder)
    return found, result.counts


@cache
def corpus() -> list[Row]:
    """Template pages in one crowded bucket, families of edits, exact copies in other layouts."""
    r = random.Random(11)
    words = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("n", "r", "st")]

    def prose(count: int) -> str:
        return " ".join(r.choice(words) for _ in range(count))

    rows: list[Row] = []
    template = prose(60)
    for k in range(70):
        rows.append({"url": f"http://shop.example/{k}", "text": f"{template} {prose(k % 23)}"})
    for k in range(12):
        text = prose(50)
        rows.append({"url": f"http://a.example/{k}", "text": text})
        rows.append({"url": f"http://b.example/page/{k}", "text": text.replace(" ", "\n", k % 3)})
        rows.append({"url": f"http://c.example/{k}", "text": f"cafe\u0301 {text}"})
        rows.append({"url": f"http://d.example/{k}", "text": f"caf\u00e9 {text}"})
    notice = "Every line of this is on\nall the pages of the site"
    for k in range(10):
        text = f"{prose(30)}\n\n{notice if k % 2 else notice.replace(chr(10), ' ')}"
        rows.append({"url": f"http://e.example/{k}", "text": text, "links": ["http://a.example/3"]})
        rows.append({"url": f"http://e.example/{k}/print", "text": text.replace("\n", " ")})
    passage = prose(60)
    rows += [{"url": f"http://f.example/{k}", "text": f"{prose(90)} {passage}"} for k in range(3)]
    return rows


ALL = DedupSettings(
    addresses=True,
    near=NearSettings(threshold=0.7),
    near_sample=40,
    lines=(LineSettings(min_pages=4), LineSettings("paragraph", 0.1, 3, 20, 8)),
    substrings=SubstringSettings(200, 1 << 12),
)


@cache
def wanted() -> Verdicts:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found, counts = judged(Path(folder), [corpus()], ALL)
    assert counts["exact_duplicate"] > 20 and counts["near_duplicate"] > 60
    assert counts["repeated_lines"] > 5 and counts["documents_with_repeated_substrings"] >= 2
    return found


@given(st.integers(0, 2**32), st.integers(1, 3))
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_verdicts_do_not_depend_on_order_parts_or_workers(
    tmp_path_factory: pytest.TempPathFactory, seed: int, workers: int
) -> None:
    r = random.Random(seed)
    rows = list(corpus())
    r.shuffle(rows)
    bounds = sorted([0, len(rows), *(r.randrange(len(rows)) for _ in range(r.randrange(5)))])
    parts = [rows[low:high] for low, high in pairwise(bounds)]
    found, _ = judged(tmp_path_factory.mktemp("order"), parts, ALL, workers)
    assert found == wanted()


@given(st.integers(0, 2**32), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_what_is_looked_at_in_a_crowded_bucket_follows_content(seed: int, all_pairs: int) -> None:
    random_ = np.random.default_rng(seed)
    keys = band_keys(random_.integers(0, 3, (120, 8), dtype=np.uint32), 4, 2)
    content = random_.permutation(120).astype(np.uint64)
    order = random_.permutation(120)
    found = candidate_pairs(keys, content, all_pairs)
    shuffled = candidate_pairs(keys[:, order], content[order], all_pairs)
    pairs = {frozenset(pair) for pair in found.tolist()}
    assert pairs == {frozenset(order[pair].tolist()) for pair in shuffled}
    # Work is linear: of a document, neighbours and one run in each band.
    assert len(pairs) <= 120 * 4 * (2 + (all_pairs - 1) / 2)
    # Whoever shares a bucket is tied to all of it.
    tied = connected_components(120, found)
    for band in keys:
        for key in set(band.tolist()):
            assert len(set(tied[band == key].tolist())) == 1


def test_a_pair_is_found_in_a_crowd(tmp_path: Path) -> None:
    # 600 pages share a notice that half of their shingles come from, and 60 of them are copies.
    r = random.Random(6)
    notice = " ".join(f"notice{k}" for k in range(24))
    own = [" ".join(f"w{r.randrange(5000)}" for _ in range(24)) for _ in range(540)]
    texts = [f"{notice} {text}" for text in own]
    texts += [f"{text} once" for text in texts[:60]]
    rows = [{"url": f"http://s{k}.example/", "text": text} for k, text in enumerate(texts)]
    how = DedupSettings(near=NearSettings(threshold=0.8), near_sample=600, lines=())
    found, counts = judged(tmp_path, [rows], how)
    assert counts["near_duplicate"] >= 59
    assert all(one[1] is None for url, one in found.items() if one[0] in rows[100]["url"])


COPY = "a text that stands at several places and is the same in each of them"


@pytest.mark.parametrize(
    ("rule", "kept", "because"),
    [
        (KeepRule(("host", "short_url"), hosts=("o.example", "n.example")), 4, "host"),
        (KeepRule(("source", "short_url"), sources=("dump",)), 1, "source"),
        (KeepRule(("linked", "short_url")), 2, "linked"),
        (KeepRule(("quality", "short_url")), 3, "quality"),
        (KeepRule(("newest", "short_url")), 1, "newest"),
        (KeepRule(("longest", "short_url")), 2, "longest"),
        (KeepRule(("short_url",)), 4, "short_url"),
        (KeepRule(("first",)), 0, "first"),
        (KeepRule(()), 3, "url"),
    ],
)
def test_each_criterion_decides_and_is_named(
    tmp_path: Path, rule: KeepRule, kept: int, because: str
) -> None:
    rows: list[Row] = [
        {"url": "http://mm.example/long", "text": COPY, "quality": 0.2, "date": "2024-03-01"},
        {"url": "http://mn.example/new", "text": COPY, "quality": None, "source": "dump",
         "date": "2024-03-01T00:00:01+00:00"},
        {"url": "http://mo.example/linked", "text": COPY + "  ", "quality": 0.3},
        {"url": "http://lo.example/abc", "text": COPY, "quality": 0.9, "date": "soon"},
        {"url": "http://o.example/a", "text": COPY, "quality": 0.1,
         "links": ["http://o.example/a", "http://www.o.example/a/"]},
        {"url": "http://x.example/", "text": "another", "quality": 0.5,
         "links": ["http://mo.example/linked#x", "http://x.example/"]},
    ]  # fmt: skip
    found, _ = judged(tmp_path, [rows[:2], rows[2:]], DedupSettings(lines=(), keep=rule))
    group = document_id(rows[kept]["url"], rows[kept]["text"])
    for place, row in enumerate(rows[:5]):
        _, reason, exact, near, why, _ = found[document_id(row["url"], row["text"])]
        assert exact == near == group
        assert reason == (None if place == kept else "exact_duplicate")
        assert (why is None) == (place == kept)
    reasons = {one[4] for one in found.values()} - {None}
    assert because in reasons and reasons <= {because, "short_url", "url"}


def test_sites_that_link_are_counted_once_each(tmp_path: Path) -> None:
    rows: list[Row] = [{"url": f"http://{k}.example/x", "text": COPY} for k in "mn"]
    links = {"p": "n", "q": "n", "r": "m", "www.r": "m", "n": "n"}
    for number, (site, to) in enumerate(links.items()):
        target = [f"http://{to}.example/x", f"https://www.{to}.example/x/"]
        rows.append({"url": f"http://{site}.example/", "text": f"own {number}", "links": target})
    rows += [{**row, "url": f"{row['url']}again", "text": "yes"} for row in rows[4:6]]
    found, _ = judged(tmp_path, [rows[:3], rows[3:]], DedupSettings(lines=()))
    verdict = {one[0]: one for one in found.values()}
    assert verdict["http://m.example/x"][1::3] == ("exact_duplicate", "linked")
    assert verdict["http://n.example/x"][1] is None


def test_one_page_under_many_addresses_keeps_its_lines(tmp_path: Path) -> None:
    same = "The very same page\nwith two long lines"
    rows: list[Row] = [{"url": f"http://a.example/?p={k}", "text": same} for k in range(20)]
    rows += [{"url": f"http://a.example/{k}", "text": f"Page of {'klmnopqr'[k]}, another"}
             for k in range(8)]  # fmt: skip
    for how in (DedupSettings(near=None), DedupSettings("none", near=None)):
        found, counts = judged(tmp_path / str(how.normalisation), [rows[:9], rows[9:]], how)
        assert counts["repeated_lines"] == 0 and counts["exact_duplicate"] == 19
        assert all(one[5] is None for one in found.values())


def test_a_rule_on_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    rows: list[Row] = [{"url": f"http://a.example/{k}", "text": COPY} for k in range(2)]
    with pytest.raises(GristmillError, match="quality"):
        judged(tmp_path, [rows], DedupSettings(keep=KeepRule(("quality",))))


def test_one_address_is_one_document_when_asked(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"url": "http://a.example/x", "text": "what it said first", "date": "2023-01-01"},
        {"url": "https://www.a.example/x/", "text": "what it says now", "date": "2024-01-01"},
        {"url": "http://b.example/", "text": "what it said first"},
        {"url": "no address", "text": "one"},
        {"url": "no address", "text": "two"},
    ]
    how = DedupSettings(addresses=True, lines=(), keep=KeepRule(("newest",)))
    found, counts = judged(tmp_path / "1", [rows], how)
    verdicts = [found[document_id(row["url"], row["text"])] for row in rows]
    assert [one[1] for one in verdicts] == ["same_address", None, None, None, None]
    assert verdicts[0][4] == "newest" and counts["same_address"] == 1
    assert verdicts[0][3] == verdicts[1][3] == document_id(rows[1]["url"], rows[1]["text"])
    assert judged(tmp_path / "2", [rows], DedupSettings(lines=()))[1]["exact_duplicate"] == 1


def test_moments() -> None:
    assert moment("1970-01-02") == 86400 == moment("1970-01-02T01:00:00+01:00")
    assert moment(None) == moment("") == moment("yesterday") == -np.inf
