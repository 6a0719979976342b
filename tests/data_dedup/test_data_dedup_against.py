"""New documents against an earlier snapshot: by its texts, and by its kept index."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema, host_of
from gristmill.data.dedup.keep import WON
from gristmill.data.documents import DocumentSet
from gristmill.data.why import explain_page
from gristmill.stages.data_dedup import data_dedup
from gristmill.stages.stage import Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

Row = dict[str, str]


class SnapshotConfig(StageConfig):
    rows: str
    parts: int


@stage(
    "snapshot",
    version=1,
    kind="documents",
    config=SnapshotConfig,
    inputs={},
    summary="",
    example="",
)
def snapshot(config: SnapshotConfig, inputs: Inputs, output: Output) -> None:
    rows = json.loads(config.rows)
    size = -(-len(rows) // config.parts)
    for part in range(config.parts):
        records = [
            {
                "id": document_id(row["url"], row["text"]),
                "host": host_of(row["url"]),
                "source": "test",
                "links": [],
                **row,
            }
            for row in rows[part * size : (part + 1) * size]
        ]
        path = output.path / "documents" / f"part-{part:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records, schema=document_schema()), path)


def prose(r: random.Random) -> str:
    return " ".join(f"word{r.randrange(900)}" for _ in range(80))


def snapshots() -> tuple[list[Row], list[Row]]:
    """40 old articles (five twice); of the new ones 8 are old word for word, 8 old with one word
    changed, 4 a new article twice, 20 new. Every text ends in a footer of its site."""
    r = random.Random(3)
    articles = [prose(r) for _ in range(40)]
    fresh = [prose(r) for _ in range(22)]
    footer = "\nBrought to you by the guild of copyists"

    def rows(host: str, texts: list[str]) -> list[Row]:
        return [{"url": f"http://{host}/{i}", "text": t + footer} for i, t in enumerate(texts)]

    old = rows("old.example", articles + articles[:5])
    changed = [text.replace(" ", " changed ", 1) for text in articles[8:16]]
    new = rows("new.example", articles[:8] + changed + [*fresh[:2], *fresh[:2]] + fresh[2:])
    return old, new


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    return Workspace.at(tmp_path / "runs")


def documents(workspace: Workspace, rows: list[Row], parts: int = 2) -> Artifact:
    return snapshot.run(SnapshotConfig(rows=json.dumps(rows), parts=parts), {}, workspace)


def dedup(
    of: Artifact, workspace: Workspace, against: list[Artifact] | None = None, **settings: Any
) -> Artifact:
    config = data_dedup.config(**settings)
    inputs = {"documents": of, **({"against": against} if against else {})}
    found = data_dedup.run(config, inputs, workspace, seed=5)
    assert isinstance(found, Artifact)
    return found


def verdicts(layer: Artifact) -> list[tuple[str | None, str]]:
    """Reason and near group of every document, in order."""
    found = []
    for part in DocumentSet.open(layer).parts:
        table = pq.read_table(layer.path / "layer" / f"{part}.parquet")
        found += zip(table["reason"].to_pylist(), table["near_group"].to_pylist(), strict=True)
    return found


def ids(of: Artifact) -> list[str]:
    found = DocumentSet.open(of)
    return [i for part in found.parts for i in found.ids(part).to_pylist()]


@pytest.mark.parametrize("kept", [True, False])
def test_copies_of_earlier_documents_are_dropped_and_named(
    workspace: Workspace, kept: bool
) -> None:
    old, new = snapshots()
    before = dedup(documents(workspace, old), workspace, near={"keep_index": kept})
    found = dedup(documents(workspace, new, 3), workspace, [before])
    said = verdicts(found)
    old_ids = ids(before)
    assert [reason for reason, _ in said[:8]] == ["exact_duplicate_of_earlier"] * 8
    assert [reason for reason, _ in said[8:16]] == ["near_duplicate_of_earlier"] * 8
    assert [group for _, group in said[8:16]] == old_ids[8:16]
    # Of the earlier copies the one that was kept is named.
    names = dict(zip(old_ids, verdicts(before), strict=True))
    assert all(names[group][0] is None for _, group in said[:16])
    assert (
        sorted(str(reason) for reason, _ in said[16:20]) == ["None"] * 2 + ["exact_duplicate"] * 2
    )
    assert [reason for reason, _ in said[20:]] == [None] * 20
    counts = found.manifest.counts
    assert counts["kept"] == 22 and counts["earlier_documents"] == 40
    # The texts of the earlier snapshot are read for candidates only.
    assert counts["earlier_documents_by_index"] == (40 if kept else 0)


def test_an_index_of_other_settings_is_not_used(workspace: Workspace) -> None:
    old, new = snapshots()
    before = dedup(documents(workspace, old), workspace, near={"keep_index": True, "words": 4})
    found = dedup(documents(workspace, new), workspace, [before])
    assert found.manifest.counts["earlier_documents_by_index"] == 0
    assert found.manifest.counts["near_duplicate_of_earlier"] == 8


def test_documents_without_a_layer_and_several_snapshots(workspace: Workspace) -> None:
    old, new = snapshots()
    off = {"enabled": False}
    halves = [documents(workspace, old[:12]), documents(workspace, old[12:])]
    found = dedup(documents(workspace, new), workspace, halves, lines=off)
    counts = found.manifest.counts
    assert counts["exact_duplicate_of_earlier"] == 8 and counts["near_duplicate_of_earlier"] == 8
    near_only = dedup(documents(workspace, new), workspace, halves, lines=off, exact=off)
    assert near_only.manifest.counts["near_duplicate_of_earlier"] == 16
    exact_only = dedup(documents(workspace, new), workspace, halves, lines=off, near=off)
    assert exact_only.manifest.counts["exact_duplicate_of_earlier"] == 8
    assert exact_only.manifest.counts["near_duplicate_of_earlier"] == 0


def test_lines_across_the_corpus_when_asked(workspace: Workspace) -> None:
    notice = "Copied from the town library with thanks"
    r = random.Random(8)
    rows = [
        {"url": f"http://site{k}.example/a", "text": f"{prose(r)}\n{notice}"} for k in range(10)
    ]
    rows += [{"url": f"http://site{k}.example/b", "text": prose(r)} for k in range(10)]
    made = documents(workspace, rows, 3)
    assert dedup(made, workspace).manifest.counts["repeated_lines"] == 0
    assert dedup(made, workspace, lines={"corpus_pages": 11}).manifest.counts["repeated_lines"] == 0
    found = dedup(made, workspace, lines={"corpus_pages": 10})
    assert found.manifest.counts["repeated_lines"] == 10
    seen = DocumentSet.open(found)
    texts = [text for part in seen.parts for text in seen.read(part, ["text"])["text"].to_pylist()]
    assert texts == [row["text"].removesuffix(f"\n{notice}") for row in rows]


def test_against_itself_nothing_is_left(workspace: Workspace) -> None:
    old, _ = snapshots()
    made = documents(workspace, old)
    before = dedup(made, workspace, near={"keep_index": True})
    again = dedup(made, workspace, [before])
    assert again.manifest.counts["kept"] == 0


def test_a_kept_index_changes_no_verdict(workspace: Workspace) -> None:
    old, _ = snapshots()
    made = documents(workspace, old)
    plain, kept = dedup(made, workspace), dedup(made, workspace, near={"keep_index": True})
    assert verdicts(plain) == verdicts(kept)
    size = sum(f.stat().st_size for f in (kept.path / "index").glob("*.parquet"))
    assert not (plain.path / "index").exists() and size > 40 * 100


def test_why_names_the_earlier_page(workspace: Workspace) -> None:
    old, new = snapshots()
    before = dedup(documents(workspace, old), workspace)
    made = documents(workspace, new, 3)
    found = dedup(made, workspace, [before])

    def last(place: int) -> dict[str, Any]:
        told: dict[str, Any] = explain_page(new[place]["url"], [made, found])[-1]
        return {"said": told["said"], **told["numbers"]}

    exact, near, twin = last(2), last(9), [last(16), last(18)]
    assert exact["said"] == "dropped: exact_duplicate_of_earlier"
    assert exact["exact copy of an earlier page"] == "http://old.example/2"
    assert near["near copy of an earlier page"] == "http://old.example/9"
    assert near["it was kept because"] == exact["it was kept because"] == WON["earlier"]
    (gone,) = [one for one in twin if "dropped" in one["said"]]
    assert gone["kept of the exact copies"] in {new[16]["url"], new[18]["url"]}
    assert gone["it was kept because"] == WON["url"]


def test_the_order_of_earlier_documents_does_not_count(workspace: Workspace) -> None:
    old, new = snapshots()
    r = random.Random(1)
    # Two earlier pages that one new page ties to each other.
    half = prose(r).split()
    old += [{"url": f"http://o.example/{k}", "text": f"{' '.join(half)} {prose(r)[:150]}"}
            for k in range(2)]  # fmt: skip
    new.append({"url": "http://n.example/", "text": " ".join(half)})
    told = []
    for _ in range(3):
        r.shuffle(old)
        r.shuffle(new)
        found = dedup(documents(workspace, new, 3), workspace, [documents(workspace, old)])
        said = [
            (document_id(row["url"], row["text"]), *one)
            for row, one in zip(new, verdicts(found), strict=True)
        ]
        told.append(sorted(said))
    assert told[0] == told[1] == told[2]
    assert sum(reason == "near_duplicate_of_earlier" for _, reason, _ in told[0]) >= 9


@pytest.mark.parametrize("kept", [True, False])
def test_an_address_of_an_earlier_snapshot_when_asked(workspace: Workspace, kept: bool) -> None:
    r = random.Random(7)
    old = [{"url": f"http://a.example/{k}", "text": prose(r)} for k in range(6)]
    old += [{"url": "https://www.a.example/2/", "text": prose(r)}]
    new = [
        {"url": "https://www.a.example/1#top", "text": prose(r)},
        {"url": "http://a.example/2", "text": prose(r)},
        {"url": "http://a.example/1", "text": prose(r)},
        {"url": "http://b.example/1", "text": old[3]["text"]},
        {"url": "http://a.example/9", "text": prose(r)},
        {"url": "no address", "text": prose(r)},
    ]
    # A text that an earlier address hides is nobody's copy.
    new.append({"url": "http://c.example/", "text": new[1]["text"]})
    before = dedup(documents(workspace, old), workspace, near={"keep_index": kept})
    made = documents(workspace, new)
    plain = dedup(made, workspace, [before])
    assert [reason for reason, _ in verdicts(plain)].count("exact_duplicate_of_earlier") == 1
    assert "same_address_of_earlier" not in plain.manifest.counts
    found = dedup(made, workspace, [before], exact={"addresses": True})
    said = verdicts(found)
    gone, copied = "same_address_of_earlier", "exact_duplicate_of_earlier"
    assert [reason for reason, _ in said] == [gone, gone, gone, copied, None, None, None]
    both = min(document_id(row["url"], row["text"]) for row in (old[2], old[6]))
    first = document_id(old[1]["url"], old[1]["text"])
    assert [group for _, group in said[:3]] == [first, both, first]
    told: dict[str, Any] = explain_page(new[2]["url"], [made, found])[-1]
    assert told["said"] == f"dropped: {gone}"
    assert told["numbers"]["it was kept because"] == WON["earlier"]
    counts = found.manifest.counts
    assert counts[gone] == 3 and counts["same_address"] == 0 and counts["kept"] == 3
    assert counts["earlier_documents_by_index"] == (7 if kept else 0)


def test_passages_of_earlier_documents_are_cut(workspace: Workspace) -> None:
    r = random.Random(5)
    passage = prose(r)
    old = [{"url": "http://old.example/", "text": f"{prose(r)}\n{passage}"}]
    new = [
        {"url": f"http://new.example/{k}", "text": f"{prose(r)}\n{passage}\n{prose(r)}"}
        for k in range(3)
    ]
    made = documents(workspace, new)
    on = {"substrings": {"enabled": True, "min_bytes": 200, "shard_bytes": 1 << 16}}
    alone = dedup(made, workspace, near={"enabled": False}, **on)
    assert alone.manifest.counts["documents_with_repeated_substrings"] == 2
    against = dedup(made, workspace, [documents(workspace, old)], near={"enabled": False}, **on)
    assert against.manifest.counts["documents_with_repeated_substrings"] == 3
    seen = DocumentSet.open(against)
    texts = [text for part in seen.parts for text in seen.read(part, ["text"])["text"].to_pylist()]
    assert texts == [row["text"].replace(f"{passage}\n", "") for row in new]
    with pytest.raises(GristmillError, match="before passages are cut"):
        dedup(made, workspace, near={"keep_index": True}, **on)
