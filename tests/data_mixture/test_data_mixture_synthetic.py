"""A mixture of pages and of documents that were written from them."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.align.synthesize_documents import synthetic_schema
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_schema
from gristmill.data.coded import Coded
from gristmill.data.mixture import Candidates, held_out_sites, split_heldout
from gristmill.data.why import explain_page
from gristmill.stages.data_dedup import DedupConfig, data_dedup
from gristmill.stages.data_mix import MixConfig, data_mix
from gristmill.stages.workspace import Workspace

Seal = Callable[[Path, str, str], Artifact]
R = random.Random(8)
KINDS = {"page": 1, "copy": 2, "from": 3, "more": 4}


def named(kind: str, number: int) -> str:
    """An id that tells what it is."""
    return f"{KINDS[kind]}{number:015x}"


def kind_of(row: dict[str, Any]) -> str:
    return next(kind for kind, digit in KINDS.items() if row["id"].startswith(str(digit)))


def write(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema, name: str) -> None:
    (folder / name).mkdir(parents=True)
    for number in range(2):
        table = pa.Table.from_pylist(rows[number::2], schema=schema)
        pq.write_table(table, folder / name / f"part-{number:05d}.parquet")


def document(name: str, url: str) -> dict[str, Any]:
    text = " ".join(f"w{R.randrange(4000)}" for _ in range(40))
    host = url.split("/")[2]
    return {"id": name, "url": url, "host": host, "source": "x", "links": [], "text": text}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, seal: Seal) -> Artifact:
    rows = [document(named("page", n), f"http://h{n % 20}.example/{n}") for n in range(100)]
    # Two copies of the first page, so that they are one group.
    rows += [
        {**rows[0], "id": named("copy", n), "text": rows[0]["text"] + f" end{n}"} for n in range(2)
    ]
    folder = tmp_path_factory.mktemp("pages")
    write(folder, rows, document_schema(), "documents")
    return seal(folder, "documents", "data.import")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, seal: Seal) -> Artifact:
    """One from each page, and one from a page that is not there."""
    rows = [document(named("from", n), f"synthetic://rephrase/{n}/0") for n in range(101)]
    schema = document_schema().append(pa.field("domain", pa.string()))
    folder = tmp_path_factory.mktemp("written")
    write(folder, [{**row, "domain": "synthetic"} for row in rows], schema, "documents")
    how = [
        {
            "id": named("from", n), "seed": named("page", n), "seed_group": f"old{n}", "style": "x",
            "seed_url": f"http://h/{n}", "generator": "g", "run": 3, "temperature": 0, "copied": 0,
        }
        for n in range(101)
    ]  # fmt: skip
    known = synthetic_schema()
    names = pa.schema([known.field(name) for name in how[0]])
    write(folder, how, names, "synthetic")
    return seal(folder, "documents", "align.synthesize")


def rows_of(mixture: Artifact, split: str) -> list[dict[str, Any]]:
    parts = sorted((mixture.path / split).glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def test_what_was_written_from_a_held_out_page_is_on_neither_side(
    pages: Artifact, written: Artifact, tmp_path: Path
) -> None:
    workspace = Workspace.at(tmp_path)
    layer = data_dedup.run(DedupConfig(), {"documents": pages}, workspace)
    config = MixConfig(heldout_share=0.2, heldout_host_share=0.1)
    alone = data_mix.run(config, {"documents": layer}, workspace, seed=3)
    both = data_mix.run(config, {"documents": layer, "also": [written]}, workspace, seed=3)
    # The written ones change nothing about what is held out, in which order too.
    held = [row["id"] for row in rows_of(both, "heldout")]
    assert held == [row["id"] for row in rows_of(alone, "heldout")] and len(held) > 15
    train = {row["id"]: row for row in rows_of(both, "train")}
    trained = {one for one, row in train.items() if kind_of(row) == "from"}
    assert set(train) - trained == {row["id"] for row in rows_of(alone, "train")}
    lost = {named("from", int(one[1:], 16)) for one in held}
    assert not lost & set(train)
    # A page that is not there has a group of its own, which the hash may hold out.
    assert len(trained) >= 101 - len(lost) - 3
    assert both.manifest.counts["synthetic"] == 101
    assert both.manifest.counts["synthetic_train"] == len(trained)
    assert both.manifest.counts["synthetic_of_heldout"] == 101 - len(trained)
    assert {train[one]["domain"] for one in trained} == {"synthetic"}
    assert {row["domain"] for one, row in train.items() if one not in trained} == {"all"}
    # A page's near-duplicates and what was written from it have one group.
    for one in trained:
        number = int(one[1:], 16)
        page = train.get(named("page", number))
        assert train[one]["group"] == (page["group"] if page else f"old{number}")


def test_weights_say_how_much_is_written(
    pages: Artifact, written: Artifact, tmp_path: Path
) -> None:
    workspace = Workspace.at(tmp_path)
    shares = {}
    for share in (0.0, 0.3, 1.0):
        config = MixConfig(
            weighting="manual", weights={"*": 1 - share, "synthetic": share}, heldout_share=0.1
        )
        mixed = data_mix.run(config, {"documents": pages, "also": [written]}, workspace)
        seen = {True: 0, False: 0}
        for row in rows_of(mixed, "train"):
            seen[row["domain"] == "synthetic"] += row["repeats"] * len(row["text"])
        shares[share] = seen[True] / (seen[True] + seen[False])
    with pytest.raises(GristmillError, match="a generator wrote all"):
        data_mix.run(MixConfig(), {"documents": written}, workspace)
    alone = data_mix.run(MixConfig(heldout_share=0), {"documents": written}, workspace)
    assert len(rows_of(alone, "train")) == 101
    assert shares[0.0] == 0 and shares[1.0] == 1 and shares[0.3] == pytest.approx(0.3, abs=0.08)


def test_several_steps_over_several_documents_are_one_mixture(
    pages: Artifact, written: Artifact, tmp_path: Path, seal: Seal
) -> None:
    workspace = Workspace.at(tmp_path / "ws")
    first, second = (
        data_dedup.run(DedupConfig(), {"documents": one}, workspace) for one in (pages, written)
    )
    more = [document(named("more", n), f"http://more.example/{n}") for n in range(30)]
    write(tmp_path / "more", more, document_schema(), "documents")
    third = seal(tmp_path / "more", "documents", "data.import")
    mixed = data_mix.run(
        MixConfig(heldout_share=0.1), {"documents": first, "also": [second, third]}, workspace
    )
    train, held = rows_of(mixed, "train"), rows_of(mixed, "heldout")
    assert {"page", "from", "more"} <= set(map(kind_of, train))
    assert "from" not in set(map(kind_of, held))
    # The groups of the second dedup do not hide the seeds.
    by_id = {row["id"]: row for row in train}
    seeds = [n for n in range(1, 100) if named("page", n) in by_id and named("from", n) in by_id]
    assert len(seeds) > 60
    assert all(by_id[named("from", n)]["group"] == named("page", n) for n in seeds)
    # Each page is told of by what was made of it, and by no other mixture.
    other = data_mix.run(MixConfig(heldout_share=0.1), {"documents": third}, workspace)
    artifacts = [pages, written, first, second, mixed, other]
    for url, stages in (
        (f"synthetic://rephrase/{seeds[0]}/0", ["align.synthesize", "data.dedup", "data.mix"]),
        (by_id[named("page", seeds[0])]["url"], ["data.import", "data.dedup", "data.mix"]),
    ):
        told = explain_page(url, artifacts)
        assert [one["stage"] for one in told] == stages and told[-1]["said"] == "in train"
    assert told[0]["numbers"].keys().isdisjoint({"written from", "style"})
    written_from = explain_page(f"synthetic://rephrase/{seeds[0]}/0", artifacts)[0]["numbers"]
    assert written_from["written from"] == f"http://h/{seeds[0]}" and written_from["run"] == 3


def candidates(pages: int, each: int) -> Candidates:
    """So many pages of a group each, and `each` long texts written from every page."""
    made = np.arange(pages * (1 + each)) >= pages
    groups = [f"g{n % pages}" for n in range(len(made))]
    hosts = ["rephrase" if one else f"h{n}.example" for n, one in enumerate(made)]
    return Candidates(
        Coded.distinct([f"{n:016x}" for n in range(len(made))]),
        Coded.of(hosts),
        Coded.of(["all"] * len(made)),
        Coded.of(groups),
        np.full(len(made), np.nan),
        np.where(made, 100_000, 100).astype(np.int64),
        made=made,
    )


def test_what_is_written_weighs_nothing_when_pages_are_held_out() -> None:
    # So few pages that the hash may choose too little, and bytes decide.
    for seed in range(20):
        alone, both = candidates(12, 0), candidates(12, 3)
        held = split_heldout(alone, share=0.2, seed=seed)
        assert (split_heldout(both, share=0.2, seed=seed)[:12] == held).all()
    uneven = candidates(12, 1)
    uneven.sizes[12:] = np.arange(12) ** 5
    assert split_heldout(uneven, share=0.2, seed=1)[:12].sum() in (2, 3)


def test_what_is_written_is_of_no_site() -> None:
    both = candidates(5, 2)
    drawn = [held_out_sites(both, share=0.5, seed=seed) for seed in range(20)]
    assert any(drawn) and not any("rephrase" in one for one in drawn)
