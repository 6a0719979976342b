"""`data import` as a stage: documents, rejects, shares, what is allowed, and a kill in between."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.cli.help import stage_help
from gristmill.core.artifact import Artifact
from gristmill.core.canonical import read_jsonl
from gristmill.core.errors import GristmillError
from gristmill.data.documents import DocumentSet
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.stage import Execution
from gristmill.stages.workspace import Workspace


def line(**values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"


def rows(made: Artifact) -> list[dict[str, Any]]:
    parts = sorted((made.path / "documents").iterdir())
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def make(tmp_path: Path, name: str = "w", workers: int = 1, **config: Any) -> Artifact:
    return data_import.run(
        ImportConfig(**config), {}, Workspace.at(tmp_path / name), execution=Execution(workers)
    )


def test_stage(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_text("First text.", encoding="utf-8")
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xfa")
    (folder / "sub" / "c.jsonl").write_bytes(line(text="two") + b"no\n" + line(text="three"))
    made = make(tmp_path, path=folder, part_documents=2, licence="cc0")
    parts = [pq.read_table(path) for path in sorted((made.path / "documents").iterdir())]
    assert [part.num_rows for part in parts] == [2, 1]
    found = rows(made)
    assert [row["url"] for row in found] == [
        "file:a%20b.txt",
        "file:sub/c.jsonl#0",
        "file:sub/c.jsonl#2",
    ]
    assert [row["text"] for row in found] == ["First text.", "two", "three"]
    assert {row["licence"] for row in found} == {"CC0-1.0"}
    assert made.manifest.counts["documents"] == 3 and made.manifest.counts["rejected"] == 2
    rejects = (made.path / "rejects" / "import.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(reject)["where"] for reject in rejects] == [
        "file:bad.txt",
        "file:sub/c.jsonl#1",
    ]
    provenance = pq.read_table(made.path / "provenance").to_pylist()
    assert all(row["fetched_at"] for row in provenance)
    # Where the folder lies is no part of what was made.
    folder.rename(tmp_path / "moved")
    again = make(tmp_path, "w2", path=tmp_path / "moved", part_documents=2, licence="cc0")
    assert (again.manifest.key, again.content) == (made.manifest.key, made.content)


def test_a_table_without_the_column_is_a_reject_unless_nothing_else_is_there(
    tmp_path: Path,
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    pq.write_table(pa.table({"body": ["x"]}), texts / "b.parquet")
    with pytest.raises(GristmillError, match=r"no record could be imported.*no column 'text'"):
        make(tmp_path, path=texts)
    (texts / "a.txt").write_text("hello there", encoding="utf-8")
    made = make(tmp_path, path=texts)
    assert made.manifest.counts["documents"] == 1 and made.manifest.counts["rejected"] == 1
    assert "it has body" in made.file("rejects/import.jsonl").read_text(encoding="utf-8")


def stated(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        line(text="one", license="MIT", source="a")
        + line(text="two", license="https://creativecommons.org/licenses/by-nc/4.0/", source="a")
        + line(text="three", source="b")
        + line(text="four", license="GPL-3.0 OR MIT", opt_out="noai", source="b")
    )
    return path


@pytest.mark.parametrize(
    ("config", "kept", "skipped"),
    [
        ({}, ["one", "two", "three", "four"], 0),
        ({"licences": ["mit"]}, ["one", "four"], 2),
        ({"licences": ["CC-BY-*", "none"]}, ["two", "three"], 2),
        ({"opt_outs": "drop"}, ["one", "two", "three"], 1),
    ],
)
def test_licences_and_opt_outs(
    tmp_path: Path, config: dict[str, Any], kept: list[str], skipped: int
) -> None:
    made = make(tmp_path, path=stated(tmp_path), **config)
    assert [row["text"] for row in rows(made)] == kept
    assert made.manifest.counts["skipped"] == skipped
    if config:
        return
    shown = made.read_json("presentation.json")
    [table] = [t for t in shown["tables"] if t["title"].startswith("Licences")]
    told = {(row[0], row[1]): (row[2], row[3]) for row in table["rows"]}
    assert told[("licence", "CC-BY-NC-4.0")] == (1, 3)
    assert told[("licence", "not stated")] == (1, 5) and told[("source", "b")] == (2, 9)
    assert told[("opt-out", "noai")] == (1, 4)
    assert shown["figures"]["import.opted_out"]["value"] == 0.25
    assert any("licence: MIT" in chart["categories"] for chart in shown["charts"])


def test_nothing_to_import_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(GristmillError, match="there is no record in this"):
        make(tmp_path, path=tmp_path / "empty.jsonl")
    lines = line(text="one", licence="MIT") + line(text="two", licence="MIT") + line(text="")
    (tmp_path / "a.jsonl").write_bytes(lines)
    with pytest.raises(GristmillError, match=r"2 for this reason: licence not allowed.*--licences"):
        make(tmp_path, path=tmp_path / "a.jsonl", licences=["CC0-1.0"])


def test_the_filter_drops_by_what_is_stated(tmp_path: Path) -> None:
    from gristmill.stages.data_filter import FilterConfig, data_filter

    made = make(tmp_path, path=stated(tmp_path))
    off = {
        name: {"enabled": False}
        for name in ("language", "boilerplate", "spam", "gopher_quality", "gopher_repetition",
                     "c4", "fineweb", "personal_data")
    }  # fmt: skip
    config = FilterConfig.model_validate({**off, "terms": {"licences_dropped": ["CC-*-NC-*"]}})
    layer = data_filter.run(
        config, {"documents": made}, Workspace.at(tmp_path / "w"), execution=Execution(1)
    )
    verdicts = pq.read_table(layer.path / "layer").to_pylist()
    assert [row["reason"] for row in verdicts] == [None, "licence.dropped", None, "opt_out"]
    assert DocumentSet.open(layer).read("part-00000", ["text"])["text"].to_pylist() == [
        "one", "three",
    ]  # fmt: skip
    shown = layer.read_json("presentation.json")
    assert any(table["title"].startswith("Licences") for table in shown["tables"])


def test_any_number_of_workers_and_all_kinds_together(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.tex").write_text(r"\documentclass{a}\begin{document}T\end{document}", "utf-8")
    (folder / "b.txt").write_text("plain", encoding="utf-8")
    (folder / "c.eml").write_text("Subject: S\n\nMail.", encoding="utf-8")
    dump = "<mediawiki>" + "".join(
        f"<page><title>P{i}</title><ns>0</ns><revision><text>Page {i}</text></revision></page>"
        for i in range(150)
    )
    (folder / "d.xml").write_text(dump + "</mediawiki>", encoding="utf-8")
    one = make(tmp_path, path=folder, part_documents=40)
    two = make(tmp_path, "w2", workers=2, path=folder, part_documents=40)
    assert one.content == two.content
    assert [row["text"] for row in rows(one)] == [
        "plain", "T", "Mail.", *(f"Page {i}" for i in range(150)),
    ]  # fmt: skip


def test_a_killed_import_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    with open(path, "wb") as file:
        for i in range(12_000):
            file.write(line(text=f"document {i} " + "word " * 50, source=f"s{i % 3}"))
            if i % 1000 == 0:
                file.write(b"broken\n")
    config = {"path": path, "part_documents": 300}
    straight = make(tmp_path, "straight", **config)
    code = (
        "import sys; from pathlib import Path\n"
        "from gristmill.data.journal import PartJournal\n"
        "from gristmill.stages.data_import import ImportConfig, data_import\n"
        "from gristmill.stages.workspace import Workspace\n"
        "end = PartJournal.end\n"
        "def end_some(journal, *told):\n"
        "    end(journal, *told)\n"
        # Nothing comes: here it waits to be killed, whoever was faster.
        "    len(journal.parts) < 20 or sys.stdin.read()\n"
        "PartJournal.end = end_some\n"
        "data_import.run(ImportConfig(path=Path(sys.argv[1]), part_documents=300), {},"
        " Workspace.at(Path(sys.argv[2])))\n"
    )
    workspace = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(workspace)],
        env={**os.environ, "GRISTMILL_PROGRESS": "off"}, stdin=subprocess.PIPE,
    )  # fmt: skip
    while process.poll() is None:
        journals = list(workspace.glob("unfinished/*/import/parts.jsonl"))
        if journals and journals[0].read_bytes().count(b"\n") >= 4:
            break
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    [journal] = journals
    taken = list(read_jsonl(journal))[-1]["note"]["taken"]
    assert taken >= 1200
    first = min(workspace.glob("unfinished/*/import/documents/*.parquet"))
    before = first.stat().st_mtime_ns
    resumed = make(tmp_path, "killed", **config)
    assert re.search(r"data import goes on after [\d,]+ documents", capsys.readouterr().err)
    # The parts that were whole are those of the first attempt, and nothing else differs.
    assert (resumed.path / "documents" / first.name).stat().st_mtime_ns == before
    assert resumed.content == straight.content
    assert resumed.manifest.counts == straight.manifest.counts
    assert resumed.read_json("presentation.json") == straight.read_json("presentation.json")


def test_help_has_an_example_of_each_and_fits_the_terminal() -> None:
    text = stage_help(data_import)
    assert max(map(len, text.splitlines())) <= 80
    for word in (
        "jsonl.zst",
        "parquet",
        "html",
        "xml.bz2",
        ".git",
        "tar.gz",
        "mbox",
        "pdf",
        "imdb",
    ):
        assert word in text.partition("\nexample\n")[2], word
