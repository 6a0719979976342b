"""Files that are text already: what is read, what is refused and counted."""

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
from gristmill.data.sources.readers import ReadOptions, read_records
from gristmill.data.sources.record import Raw, Record


def records(path: Path, text_key: str = "text") -> list[Record]:
    """The records of a file, without the time of the file."""
    found: list[Record] = []
    for file in find_files(path).files:
        for one in read_records(file, ReadOptions(text_key)):
            assert not isinstance(one, Raw)
            found.append(one)
    return found


def plain(found: list[Record]) -> list[Record]:
    from dataclasses import replace

    return [replace(record, fetched_at=None) for record in found]


def line(**values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"


def test_text_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfOne.\r\n\r\nTwo \xc3\xa9.\n")
    found = records(file)
    assert plain(found) == [Record(None, "One.\n\nTwo é.")]
    assert found[0].fetched_at is not None and found[0].fetched_at.endswith("Z")
    file.write_bytes("Zwölf".encode("utf-16"))
    assert plain(records(file)) == [Record(None, "Zwölf")]


def test_markdown_title(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("Intro\n\n# The head\n\nText", encoding="utf-8")
    assert plain(records(file)) == [
        Record(None, "Intro\n\n# The head\n\nText", fields={"title": "The head"})
    ]
    file.write_text("---\nlayout: post\ntitle: 'In front'\n---\n# Other\n", encoding="utf-8")
    assert plain(records(file)) == [Record(None, "# Other", fields={"title": "In front"})]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_json_lines(tmp_path: Path, ending: str) -> None:
    data = b"".join(
        [
            line(
                text="one", title=" T\n1 ", url="http://h.example/1", license="cc-by-4.0",
                lang="en", fetched_at="2025-01-02", opt_out="noai",
            ),
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
    )  # fmt: skip
    file = tmp_path / f"a.jsonl{ending}"
    if ending == ".gz":
        data = gzip.compress(data)
    elif ending == ".zst":
        # Two frames, as tools that write in parallel make them.
        compress = zstandard.ZstdCompressor().compress
        data = compress(data[:50]) + compress(data[50:])
    file.write_bytes(data)
    found = records(file)
    assert found[0].fetched_at == "2025-01-02"
    assert plain(found)[0] == Record(
        0,
        "one",
        url="http://h.example/1",
        fields={
            "title": "T 1", "licence": "CC-BY-4.0", "language_attribute": "en", "opt_out": "noai",
        },
    )  # fmt: skip
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
    assert plain(found)[-1] == Record(10, "last, without an end of line")


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


def test_a_stream_that_swells_without_end_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gristmill.data.sources import packed

    monkeypatch.setattr(packed, "_FREE", 1 << 20)
    monkeypatch.setattr(packed, "_MAX_RATIO", 10)
    row = line(text="x" * 1000)
    file = tmp_path / "a.jsonl.zst"
    file.write_bytes(zstandard.ZstdCompressor().compress(row * 20_000))
    found = records(file)
    assert found[-1].problem == "damaged file" and "proportion" in found[-1].sample
    assert 900 < len(found) < 3000


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = {"content": ["one", None, ""], "title": ["T", None, None], "n": [1, 2, 3]}
    pq.write_table(pa.table(table), file)
    found = plain(records(file, "content"))
    assert found == [
        Record(0, "one", fields={"title": "T"}),
        Record(1, problem="no 'content'", sample="{'content': None, 'title': None}"),
        Record(2, problem="empty"),
    ]
    columns = Record(None, problem="no column 'text'", sample="it has content, title, n")
    assert records(file) == [columns]
    file.write_bytes(b"PAR1 but not really")
    assert [record.problem for record in records(file)] == ["damaged file"]


def saved_data_set(folder: Path, rows: int = 3) -> None:
    """As `datasets` saves one: a stream of Arrow and two JSON files beside it."""
    folder.mkdir(parents=True)
    table = pa.table({"text": [f"row {i}" for i in range(rows)], "label": list(range(rows))})
    path = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    info = {"license": "apache-2.0", "dataset_name": "tiny", "features": {}}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")


def test_a_data_set_as_it_is_saved(tmp_path: Path) -> None:
    saved_data_set(tmp_path / "set" / "train")
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train"]}', encoding="utf-8")
    found = records(tmp_path / "set")
    assert [record.text for record in found] == ["row 0", "row 1", "row 2"]
    assert {(record.source, record.fields["licence"]) for record in found} == {
        ("tiny", "Apache-2.0")
    }
    state = tmp_path / "set" / "train" / "state.json"
    state.write_text('{"_indices_data_files": [{"filename": "i.arrow"}]}', encoding="utf-8")
    assert "selection" in (records(tmp_path / "set")[0].problem or "")


def test_a_data_set_with_a_card(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"text": ["a b"]}), tmp_path / "data" / "train.parquet")
    card = "---\nlicense: cc-by-sa-4.0\nlanguage:\n- en\npretty_name: Small\n---\n# Card\n"
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    [found] = records(tmp_path)
    assert (found.text, found.source) == ("a b", "Small")
    assert found.fields == {"licence": "CC-BY-SA-4.0", "language_attribute": "en"}
    # A front matter that is no card is a document like any other.
    (tmp_path / "README.md").write_text("---\ntitle: Hello\n---\nWords", encoding="utf-8")
    assert sorted(record.text for record in records(tmp_path)) == ["Words", "a b"]


def test_files_are_found_in_one_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a.txt", ".hidden/x.txt", "c.pptx", "a/.y.txt", "a.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    found = find_files(tmp_path)
    assert [file.name for file in found.files] == ["a.txt", "a/z.md", "b.txt", "a.html"]
    assert found.unknown == [("c.pptx", "unknown format")]
    forced = find_files(tmp_path, "text")
    assert [file.name for file in forced.files] == ["a.html", "a.txt", "a/z.md", "b.txt", "c.pptx"]


def test_content_tells_before_the_name(tmp_path: Path) -> None:
    heads = {
        "page": (b"<!DOCTYPE html><html>", "html"),
        "b.txt": (b"%PDF-1.4", "pdf"),
        "mails": (b"From a@b.example Mon\nSubject: x\n", "mbox"),
        "dump.xml": (b'<mediawiki xmlns="x">', "wikipedia"),
        "paper": (b"\\documentclass{article}\n", "latex"),
        "rows.json.gz": (gzip.compress(b'{"a": 1}\n'), "jsonl"),
        "one.json": (b'{\n  "a": 1\n}\n', None),
        "rows.jsonl.gz": (gzip.compress(b'{"a": 1}\n'), "jsonl"),
    }
    for name, (data, _) in heads.items():
        (tmp_path / name).write_bytes(data)
    found = find_files(tmp_path)
    told = {file.name: file.format for file in found.files}
    assert told == {name: kind for name, (_, kind) in heads.items() if kind}


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "own.txt").write_text("own", encoding="utf-8")
    (folder / "inside.txt").symlink_to(folder / "own.txt")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    found = find_files(folder)
    assert [file.name for file in found.files] == ["inside.txt", "own.txt"]
    assert [reason for _, reason in found.unknown] == ["link out of the folder"] * 2
    followed = find_files(folder, follow_links=True)
    assert [file.name for file in followed.files] == ["inside.txt", "out.txt", "own.txt"]


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_nothing_to_import_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(GristmillError) as caught:
        find_files(tmp_path / name)
    assert caught.value.exit_code == 2 and caught.value.mend
