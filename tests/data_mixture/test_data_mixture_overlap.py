"""Contamination by evaluation items, leaks over the held-out border, files in shuffled order."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.records import mixture_schema
from gristmill.data.decontaminate import EvaluationIndex, overlap, read_items
from gristmill.data.mixture_files import leaking, write_split


def words(seed: int, count: int) -> list[str]:
    r = random.Random(seed)
    return [f"w{r.randrange(5000)}" for _ in range(count)]


def test_both_rules_find_what_they_should() -> None:
    item, short, tiny = words(1, 40), words(2, 10), words(3, 5)
    index = EvaluationIndex.build(
        {"long": [" ".join(item)], "short": [" ".join(short), " ".join(tiny)]}
    )
    assert index.names == ("long", "short")
    assert (index.too_short(0), index.too_short(1)) == (0, 1)
    noise = words(4, 60)
    found = overlap(
        [
            " ".join(noise),
            " ".join(noise[:20] + item[10:23] + noise[20:]),  # 13 words of the item
            " ".join(noise[:20] + item[10:22] + noise[20:]),  # 12: no 13-gram, 5 of 33 8-grams
            " ".join(noise[:20] + short + noise[20:]),  # an item too short for 13-grams
            " ".join(noise[:20] + tiny + noise[20:]),
            "",
        ],
        index,
    )
    assert found.long_hits.tolist() == [0, 1, 0, 0, 0, 0]
    assert found.short_share == pytest.approx([0, 6 / 33, 5 / 33, 1.0, 0, 0])
    assert found.contaminated().tolist() == [False, True, False, True, False, False]
    assert found.worst_item.tolist() == [-1, 0, 0, 1, -1, -1]
    assert found.leaked_items().tolist() == [0, 1]
    assert found.contaminated(min_long=2, min_share=1.1).tolist() == [False] * 6


def test_a_sets_template_is_no_contamination() -> None:
    template = words(5, 20)
    items = [" ".join(template + words(10 + i, 20)) for i in range(30)]
    index = EvaluationIndex.build({"set": items})
    found = overlap([" ".join(template), items[3]], index)
    assert found.contaminated().tolist() == [False, True]
    assert found.leaked_items().tolist() == [3]


def test_items_are_read_from_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    lines = [{"question": "why", "answer": 3}, {"text": "a", "question": "b"}]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    assert read_items(path, ["text", "question"]) == ["why", "a b"]
    for bad in ('{"answer": 1}', "[1]", "{"):
        path.write_text('{"text": "x"}\n' + bad, encoding="utf-8")
        with pytest.raises(GristmillError) as error:
            read_items(path, ["text"])
        assert str(error.value.where).endswith(":2")
    with pytest.raises(GristmillError, match="cannot read"):
        read_items(tmp_path / "none.jsonl", ["text"])


def test_pages_that_quote_a_held_out_page_are_found() -> None:
    held, other = words(6, 50), words(7, 400)
    texts = [
        " ".join(held),
        " ".join(other[:200] + held + other[200:]),  # all of it, at a low Jaccard similarity
        " ".join(other[:30] + held[:20]),  # 13 of 43 8-grams
        " ".join(other),
        " ".join(held[:45]),
    ]
    mask = np.array([True, False, False, False, False])

    def parts() -> list[pa.ChunkedArray]:
        return [pa.chunked_array([texts[:2]]), pa.chunked_array([texts[2:]])]

    assert leaking(parts, mask).tolist() == [False, True, False, False, True]
    assert leaking(parts, mask, share=0.25).tolist() == [False, True, True, False, True]
    assert not leaking(parts, np.zeros(5, np.bool_)).any()


def mixture_table(first: int, count: int) -> pa.Table:
    columns = {
        name: [f"{name}{i}" for i in range(first, first + count)]
        for name in (
            "id",
            "url",
            "host",
            "domain",
            "title",
            "description",
            "topic",
            "group",
            "text",
        )
    }
    columns["quality"] = [0.5] * count  # type: ignore[assignment]
    columns["repeats"] = list(range(first, first + count))  # type: ignore[assignment]
    columns["anneal"] = [False] * count  # type: ignore[assignment]
    return pa.table(columns).cast(
        pa.schema([mixture_schema().field(name) for name in columns]), safe=False
    )


def test_a_split_is_written_in_its_order(tmp_path: Path) -> None:
    order = np.array(random.Random(8).sample(range(100), 73), np.int64)
    tables = [mixture_table(0, 40), mixture_table(40, 0), mixture_table(40, 60)]
    write_split(tmp_path / "train", tables, order, documents_per_part=20)
    files = sorted((tmp_path / "train").iterdir())
    assert [f.name for f in files] == [f"part-{i:05d}.parquet" for i in range(4)]
    read = [pq.read_table(f) for f in files]
    assert [t.num_rows for t in read] == [20, 20, 20, 13]
    assert all(t.schema.equals(mixture_schema()) for t in read)
    assert pa.concat_tables(read)["repeats"].to_pylist() == order.tolist()
    write_split(tmp_path / "whole", [pa.concat_tables(tables)], order, documents_per_part=20)
    again = sorted((tmp_path / "whole").iterdir())
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again]
    write_split(tmp_path / "none", tables, np.zeros(0, np.int64))
    assert pq.read_table(tmp_path / "none" / "part-00000.parquet").num_rows == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["none", "train", "whole"]
