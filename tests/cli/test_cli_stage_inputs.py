"""What a stage takes where no input is named, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gristmill.cli.main import main


def test_a_step_run_again_judges_what_it_judged_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"text": "word " * n}) for n in (10, 30, 60)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    where = ["--workspace", str(tmp_path / "w")]
    off = [
        word
        for group in ("language", "gopher_repetition", "c4", "fineweb", "spam", "boilerplate")
        for word in (f"--{group}.enabled", "false")
    ]

    def said(*words: str) -> str:
        assert main([*words, *where]) == 0
        return capsys.readouterr().out

    imported = said("data", "import", "--path", str(tmp_path / "a.jsonl"))
    documents = imported.partition("data.import-")[2][:12]
    strict = ["data", "filter", *off, "--gopher_quality.min_stop_words", "0"]
    first = said(*strict, "--gopher_quality.min_words", "50")
    assert "3 documents, 1 kept" in first
    assert f"took --documents data.import-{documents}\n" in first
    # The step after it comes of it, and is no more what it judges than its own result is.
    said("data", "dedup")
    assert "3 documents, 2 kept" in said(*strict, "--gopher_quality.min_words", "20")
    named = said(*strict, "--gopher_quality.min_words", "5", "--documents", "data.filter")
    assert "2 documents, 2 kept" in named
    assert "took" not in named


def test_the_titles_of_tables_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    from gristmill.cli.present import console, print_table

    print_table("A title wider than its table", ["a", "b"], [["x", 1]], console())
    assert capsys.readouterr().out.splitlines()[1] == "A title wider than its table"


def test_what_yaml_reads_otherwise_and_keys_of_a_mapping(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["data", "filter", "--train.positive", "[yes]"]) == 2
    assert "it is True, as YAML reads it: quote it to mean text" in capsys.readouterr().err
    assert main(["data", "filter", "--personal_data.actions", "{emial: reject}"]) == 2
    assert "--personal_data.actions.emial: input should be 'email'" in capsys.readouterr().err


def test_a_workspace_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    where = str(tmp_path / "file" / "w")
    assert main(["data", "sample-web", "--workspace", where]) == 2
    assert f"{where}: the workspace cannot be made: Not a directory" in capsys.readouterr().err
