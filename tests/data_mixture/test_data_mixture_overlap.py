"""Contamination by evaluation items, and leaks over the held-out border."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema
from gristmill.data.contamination import ContaminationRules, judge_documents
from gristmill.data.decontaminate import EvaluationIndex, overlap, read_items
from gristmill.data.documents import DocumentSet
from gristmill.data.engine.local import LocalEngine
from gristmill.data.journal import PartJournal
from gristmill.data.mixture_leaks import leaking


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


def test_parts_that_are_judged_are_not_judged_again(tmp_path: Path, seal: Any) -> None:
    item = words(1, 30)
    for part in range(3):
        texts = [" ".join(words(10 * part + n, 40)) for n in range(2, 6)]
        texts.append(" ".join(words(90 + part, 9) + item))
        rows = [
            {"id": document_id(f"http://a.example/{part}/{n}", text), "host": "a.example",
             "url": f"http://a.example/{part}/{n}", "source": "test", "links": [], "text": text}
            for n, text in enumerate(texts)
        ]  # fmt: skip
        path = tmp_path / "base" / "documents" / f"part-{part:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=document_schema()), path)
    documents = DocumentSet.open(seal(tmp_path / "base", "documents", "data.extract"))
    index = EvaluationIndex.build({"set": [" ".join(item)]})

    def judged(folder: Path) -> Iterator[Mapping[str, Any]]:
        folder.mkdir(exist_ok=True)
        return judge_documents(
            LocalEngine(1), documents, index, ContaminationRules(), PartJournal(folder)
        )

    calm = list(judged(tmp_path / "calm"))
    assert [note["contaminated"] for note in calm] == [1, 1, 1]
    # As if killed after the second part.
    stopped = judged(tmp_path / "killed")
    assert [next(stopped), next(stopped)] == calm[:2]
    stopped.close()  # type: ignore[attr-defined]
    layer = tmp_path / "killed" / "parts" / "layer"
    before = {path.name: path.stat().st_mtime_ns for path in layer.iterdir()}
    assert len(before) == 2
    assert list(judged(tmp_path / "killed")) == calm
    for path in layer.iterdir():
        assert path.read_bytes() == (tmp_path / "calm/parts/layer" / path.name).read_bytes()
        assert path.stat().st_mtime_ns == before.get(path.name, path.stat().st_mtime_ns)
    lines = (tmp_path / "killed" / "parts" / "contamination").iterdir()
    assert all(json.loads(path.read_text("utf-8"))["set"] == "set" for path in lines)
