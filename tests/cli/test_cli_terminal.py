"""Names and texts from files of others are shown, and drive no terminal."""

import json
import unicodedata
from pathlib import Path

import pytest

from gristmill.cli.main import main

NAMES = ("\x1b]0;owned\x07evil", "other\x9b2J\x1b[31m\r", "[red]third[/red]")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, all of it harmless."""
    found = capsys.readouterr()
    both = found.out + found.err
    assert not {c for c in both if unicodedata.category(c) == "Cc"} - {"\n"}, repr(both)
    return both


def test_a_battle_file_with_hostile_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    battles = [
        {"model_a": a, "model_b": b, "winner": winner, "prompt": f"\x1b[2J{number}", "judge": a}
        for a in NAMES for b in NAMES if a != b
        for number, winner in enumerate(("a", "b", "tie"))
    ]  # fmt: skip
    file = tmp_path / "battles.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in battles), encoding="utf-8")
    workspace = ["--workspace", str(tmp_path / "w")]
    assert main(["arena", "import", f"--files=[{file}]", *workspace]) == 0
    assert "evil" in said(capsys)
    assert main(["arena", "rate", *workspace]) == 0
    assert "evil" in said(capsys)
    for command in (["show", "arena.rate"], ["ls"], ["diff", "arena.rate", "arena.import"]):
        assert main([*command, *workspace]) == 0
        said(capsys)


def test_an_error_that_quotes_what_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", "no\x1b[2Jsuch"]) == 2
    assert "such" in said(capsys)
    assert main(["serve", "--model", "half\udcff"]) == 2
    assert "half" in said(capsys)
    assert main([NAMES[0]]) == 2
    assert "evil" in said(capsys)
