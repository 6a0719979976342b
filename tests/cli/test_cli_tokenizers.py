"""`tokenizer compare` and `tokenizer show`, as a user calls them."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gristmill.cli.main import main
from gristmill.report.tokenizers import OVERVIEW, comparison_tables
from gristmill.tokenizer.judging import judge
from gristmill.tokenizer.labelled import labelled
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

_TEXT = "The mill grinds the grain slowly, but it grinds exceedingly fine. 12345 + 678 = 13023\n"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tokenizers")
    train_tokenizer([_TEXT] * 20, 330).save(folder / "bpe")
    train_tokenizer([_TEXT], 300, kind="bytes").save(folder / "plain")
    return [str(folder / "bpe"), str(folder / "plain")]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


class _Page(HTMLParser):
    """The tags of a page, and the text of its tokens."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "data-id" and value]


def test_two_tokenizers_on_eighty_columns(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tokenizer", "compare", *folders]) == 0
    said = capsys.readouterr().out
    for part in ("In short", "Thai", "digits", "Tokens of no use", "longest match", "32 x 4096"):
        assert part in said
    tables, _, cut = said.partition("\nbpe: ")
    assert max(map(len, tables.splitlines())) <= 80
    assert "T|h|e|·" in cut


def test_nothing_is_said_of_merges_that_are_not_there() -> None:
    words = train_tokenizer([_TEXT] * 3, 300, kind="words", unknown="token")
    merging = train_tokenizer([_TEXT] * 3, 300)
    texts = [labelled(_TEXT, "prose")]
    judged = [judge("merging", merging, texts), judge("words", words, texts)]
    tables = {table.title: table for table in comparison_tables(judged, 1.0)}
    (row,) = (row for row in tables[OVERVIEW].rows if row[0] == "longest match differs")
    assert row[1].endswith("%") and row[2] is None


def test_the_cost_of_a_thousand_words(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["tokenizer", "compare", *folders, "--price", "3", "--show", "0"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tokenizers"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    for one in found:
        english = one["languages"]["English"]
        tokens = english["tokens_per_1000_words"]
        assert tokens == 1000 * english["tokens"] / english["words"]
        assert english["cost_per_1000_words"] == pytest.approx(3 * tokens / 1e6)
        assert f"{tokens:,.0f} ${3 * tokens / 1e6:.4f}" in said


def test_many_tokenizers_go_on_below(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tokenizer", "compare", *(folders * 5), "--show", "0"]) == 0
    said = capsys.readouterr().out
    assert "In short (on)" in said and "plain 5" in said and "more columns" not in said


def test_json_and_a_page_of_own_text(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "own.py"
    text.write_text("mill = '<script>alert(1)</script>'\n" * 3, encoding="utf-8")
    page = tmp_path / "page.html"
    given = ["tokenizer", "compare", *folders, "--text", str(text), "--price", "2"]
    assert main([*given, "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["tokenizers"]] == ["bpe", "plain"]
    assert list(found["tokenizers"][0]["domains"]) == ["code"]
    assert found["tokenizers"][1]["domains"]["code"]["bytes_per_token"] == 1
    assert found["tokenizers"][1]["matched"] == "byte by byte"
    html = page.read_text(encoding="utf-8")
    parsed = _Page(html)
    assert "script" not in parsed.tags and "default-src 'none'" in html
    assert len(parsed.ids) == sum(
        len(Tokenizer.load(folder).encode(text.read_text(encoding="utf-8"))) for folder in folders
    )


def test_a_text_in_tokens(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["tokenizer", "show", "the <b>mill</b>", "--tokenizer", ",".join(folders)]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "t|h|e|·|<|b|>|m|i|l|l" in said and said.index("bpe:") < said.index("plain:")
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["ids"] == Tokenizer.load(folders[0]).encode("the <b>mill</b>")
    page = tmp_path / "view.html"
    assert main([*asked, "--html", str(page)]) == 0
    parsed = _Page(page.read_text(encoding="utf-8"))
    assert "b" not in parsed.tags
    assert parsed.ids[0].startswith(f"id {found[0]['ids'][0]}, ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tokenizer", "show", "x"], "no tokenizer is named"),
        (["tokenizer", "show", "--tokenizer", "."], "no text is given"),
        (["tokenizer", "compare", "nowhere"], "no tokenizer here"),
        (["tokenizer", "compare", ".", "--vocab", "3"], "unknown flag '--vocab'"),
        (["tokenizer", "compare", ".", "--price", "much"], "must be a number"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_help_is_eighty_columns_wide(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("compare", "show"):
        assert main(["tokenizer", verb, "--help"]) == 0
        said = capsys.readouterr().out
        assert "example" in said and max(map(len, said.splitlines())) <= 80
