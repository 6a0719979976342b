"""A user's files as documents: what is read, what is refused and counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gristmill.core.errors import GristmillError
from gristmill.data.sources.folder import find_files
from gristmill.data.sources.readers import read_records
from gristmill.data.sources.record import Record, SourceFile
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.stage import Execution
from gristmill.stages.workspace import Workspace


def records(path: Path, text_key: str = "text") -> list[Record]:
    return list(read_records(SourceFile(path, path.name), text_key))


def line(**values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"


def test_text_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfOne.\r\n\r\nTwo \xc3\xa9.\n")
    assert records(file) == [Record(None, "One.\n\nTwo é.")]
    file.write_bytes("Zwölf".encode("utf-16"))
    assert records(file) == [Record(None, "Zwölf")]


def test_markdown_title(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("Intro\n\n# The head\n\nText", encoding="utf-8")
    assert records(file) == [
        Record(None, "Intro\n\n# The head\n\nText", fields={"title": "The head"})
    ]
    file.write_text("---\nlayout: post\ntitle: 'In front'\n---\n# Other\n", encoding="utf-8")
    assert records(file) == [Record(None, "# Other", fields={"title": "In front"})]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_json_lines(tmp_path: Path, ending: str) -> None:
    data = b"".join(
        [
            line(text="one", title=" T\n1 ", url="http://h.example/1", license="CC0", lang="en"),
            b"{broken\n",
            b"\n",
            line(other=1),
            line(text=5),
            line(text="  "),
            b'{"text": "\\ud800"}\n',
            b'{"text": "\xff"}\n',
            b"[1]\n",
            b"[" * 100_000 + b"\n",
            b'{"text": "last, without an end of line"}',
        ]
    )
    file = tmp_path / f"a.jsonl{ending}"
    if ending == ".gz":
        data = gzip.compress(data)
    elif ending == ".zst":
        # Two frames, as tools that write in parallel make them.
        compress = zstandard.ZstdCompressor().compress
        data = compress(data[:50]) + compress(data[50:])
    file.write_bytes(data)
    found = records(file)
    assert found[0] == Record(
        0,
        "one",
        url="http://h.example/1",
        fields={"title": "T 1", "licence": "CC0", "language_attribute": "en"},
    )
    assert [(record.row, record.problem) for record in found[1:-1]] == [
        (1, "not JSON"),
        (3, "no 'text'"),
        (4, "'text' is not text"),
        (5, "empty"),
        (6, "lone surrogates"),
        (7, "not UTF-8"),
        (8, "not a JSON object"),
        (9, "not JSON"),
    ]
    assert found[-1] == Record(10, "last, without an end of line")


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_damaged_file_gives_what_comes_before(tmp_path: Path, ending: str) -> None:
    data = b"".join(line(text=f"document {i} " + "x" * (i % 97)) for i in range(20_000))
    packed = gzip.compress(data) if ending == ".gz" else zstandard.ZstdCompressor().compress(data)
    file = tmp_path / f"a.jsonl{ending}"
    file.write_bytes(packed[: len(packed) // 2])
    found = records(file)
    assert found[0].text == "document 0"
    assert found[-1].problem is not None
    assert all(record.problem is None for record in found[:-1])


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = {"content": ["one", None, ""], "title": ["T", None, None], "n": [1, 2, 3]}
    pq.write_table(pa.table(table), file)
    found = records(file, "content")
    assert found == [
        Record(0, "one", fields={"title": "T"}),
        Record(1, problem="no 'content'", sample="{'content': None, 'title': None}"),
        Record(2, problem="empty"),
    ]
    columns = Record(None, problem="no column 'text'", sample="it has content, title, n")
    assert records(file) == [columns]
    file.write_bytes(b"PAR1 but not really")
    assert [record.problem for record in records(file)] == ["damaged file"]


def test_files_are_found_in_one_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a.txt", ".hidden/x.txt", "c.pdf", "a/.y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    found = find_files(tmp_path)
    assert [file.name for file in found.files] == ["a.txt", "a/z.md", "b.txt"]
    assert found.unknown == ["c.pdf"]


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_nothing_to_import_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(GristmillError) as caught:
        find_files(tmp_path / name)
    assert caught.value.exit_code == 2 and caught.value.mend


def test_stage(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_text("First text.", encoding="utf-8")
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xfa")
    (folder / "sub" / "c.jsonl").write_bytes(line(text="two") + b"no\n" + line(text="three"))
    config = ImportConfig(path=folder, part_documents=2, licence="CC0-1.0")
    made = data_import.run(config, {}, Workspace.at(tmp_path / "w1"), execution=Execution(1))
    parts = [pq.read_table(path) for path in sorted((made.path / "documents").iterdir())]
    assert [part.num_rows for part in parts] == [2, 1]
    rows = [row for part in parts for row in part.to_pylist()]
    assert [row["url"] for row in rows] == [
        "file:a%20b.txt",
        "file:sub/c.jsonl#0",
        "file:sub/c.jsonl#2",
    ]
    assert [row["text"] for row in rows] == ["First text.", "two", "three"]
    assert {row["licence"] for row in rows} == {"CC0-1.0"}
    assert made.manifest.counts["documents"] == 3 and made.manifest.counts["rejected"] == 2
    rejects = (made.path / "rejects" / "import.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(reject)["where"] for reject in rejects] == [
        "file:bad.txt",
        "file:sub/c.jsonl#1",
    ]
    # Where the folder lies is no part of what was made.
    folder.rename(tmp_path / "moved")
    again = data_import.run(
        ImportConfig(path=tmp_path / "moved", part_documents=2, licence="CC0-1.0"),
        {},
        Workspace.at(tmp_path / "w2"),
    )
    assert (again.manifest.key, again.content) == (made.manifest.key, made.content)
