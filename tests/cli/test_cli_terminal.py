"""Names and texts from files of others are shown, and drive no terminal."""

import json
import unicodedata
from pathlib import Path

import pytest

from gristmill.cli.main import main
from gristmill.core.figure import Figure

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


def test_a_table_cuts_no_number_and_breaks_no_heading(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gristmill.cli.present import console, print_table

    headings = ["domain", "documents in the mixture", "characters", "words of text", "share of it",
                "repeated", "weight in all"]  # fmt: skip
    rows = [["Geography and places", 12_481, 1_247_787, 247_787, 0.4412, 1_000_000, 0.25]]
    for width in (120, 80, 60, 40, 30):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table("Domains", headings, rows, console(), "")
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= width
        words = said.replace("(", " ").split()
        shown = [
            number
            for number, cell in enumerate(("12,481", "1,247,787", "247,787", "0.4412", "1,000,000"))
            if cell in words
        ]
        assert shown == list(range(len(shown)))
        left_out = 7 - 1 - len(shown) - ("0.25" in words)
        assert (f"({left_out} more column" in said) == (left_out > 0)
        if left_out:
            assert "weight in all" in " ".join(said.split())
        assert {word for h in headings[1 : len(shown) + 1] for word in h.split()} <= set(words)
    assert len(shown) < 5
    figure = {"figure": Figure(1.547, 1.519, 1.577).to_json()}
    monkeypatch.setenv("COLUMNS", "60")
    columns = ["domain", "bytes", "unigram", "5-gram", "base"]
    print_table("By domain", columns, [["People", 33_336, figure, figure, figure]], console())
    said = capsys.readouterr().out
    assert said.count("1.547") == 3 and "base" in said and "[1.519" not in said
    assert "the 95% intervals stand in the report" in said
    print_table("None", ["a", "b"], [], console())
    assert "None" in capsys.readouterr().out
