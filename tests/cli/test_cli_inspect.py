"""`data inspect PAGE`: which pages it finds, what it prints, what it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gristmill.cli.main import main

PAGE = """<html><head><title>On mills</title></head><body><nav><a href="/">Home</a></nav>
<main><p>A paragraph of a page that is long enough to be taken for running text by the rules.</p>
<p>Another paragraph with a \x1b[31mcontrol\x07 character and a turn \u202e of the direction.</p>
<h2>See also</h2><p><a href="/x">Something else</a></p></main></body></html>"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(PAGE, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")


def test_a_file_in_marked_lines_of_80_columns(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "inspect", str(page)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert max(len(line) for line in lines if str(page) not in line) <= 80
    assert any(line.startswith("+ A paragraph of a page") for line in lines)
    assert "- Home" in lines and "  navigation: <nav>" in lines
    assert '  2 blocks, 22 characters, below the heading "See also"' in lines
    assert any("paragraph" in line and line.startswith(" kept") for line in lines)
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_two_columns_where_there_is_room(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["data", "inspect", str(page)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "A paragraph" in line]
    assert len(rows) == 1 and rows[0].count("A paragraph") == 2


def test_what_is_piped_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Piped:
        buffer = io.BytesIO(PAGE.encode())

    monkeypatch.setattr("sys.stdin", Piped())
    assert main(["data", "inspect", "-", "--json", "--url", "http://a.example/"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["url"] == "http://a.example/" and found["title"] == "On mills"
    assert found["text"].startswith("A paragraph of a page") and found["rejected"] == ""
    assert {block["kind"] for block in found["blocks"] if not block["kept"]} == {
        "navigation", "closing section",
    }  # fmt: skip
    assert found["kept_characters"] == sum(b["characters"] for b in found["blocks"] if b["kept"])


def test_a_page_of_html_instead(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.html"
    assert main(["data", "inspect", str(page), "--html", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert "A paragraph of a page" in out.read_text(encoding="utf-8")


def test_a_rejected_page_is_explained_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.html"
    path.write_text("<div>" * 30_000 + "text", encoding="utf-8")
    assert main(["data", "inspect", str(path)]) == 0
    assert "no document: too deep" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file"], "a page is a URL with http://, a file, or -"),
        (["http://a.example/", "--workspace", "no-such-folder"], "no such workspace"),
        (["--html", "x.html"], "is for one page, and none is named"),
        (["--sample", "0"], "must be at least 1"),
        (["--sample", "2", "--by", "size"], "no such order 'size'"),
        (["--sample", "2", "page.html"], "a page and a sample are one too many"),
        (["page.html", "--seed", "3"], "goes with --sample"),
        (["page.html", "--samples_per_reason", "3"], "unknown flag '--samples_per_reason'"),
        (["page.html", "--offset", "3"], "an offset needs a WARC file"),
        (["page.html", "--format", "pdf"], "is markdown or text"),
    ],
)
def test_mistakes_are_told_with_their_mend(
    arguments: list[str], said: str, page: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(page.parent)
    assert main(["data", "inspect", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_help_tells_the_two_uses_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "gristmill data inspect PAGE" in out and "--samples_per_reason" in out
    assert "data why URL" in out


def test_without_a_page_it_is_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "--workspace", str(tmp_path)]) == 2
    assert "--documents" in capsys.readouterr().err


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """A workspace with the index of a crawl of 3,000 pages on three hosts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gristmill.stages.stage import Inputs, Output, StageConfig, stage
    from gristmill.stages.workspace import Workspace

    class NoConfig(StageConfig):
        pass

    @stage("data crawl", version=1, kind="pages", config=NoConfig, inputs={}, summary="",
           example="")  # fmt: skip
    def write_pages(config: NoConfig, inputs: Inputs, output: Output) -> None:
        hosts = ("a.example", "b.a.example", "c.example")
        rows = [
            {"url": f"http://{host}/{'x' * 90 if i == 0 else 'page'}/{i:04d}", "status": 200,
             "content_type": "text/html", "file": "a.warc.gz", "offset": i, "fetched_at": None}
            for host in hosts for i in range(1000)
        ]  # fmt: skip
        (output.path / "warc").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), output.path / "index.parquet")

    workspace = Workspace.at(tmp_path / "w")
    workspace.name_node("data.crawl", write_pages.run(NoConfig(), {}, workspace))
    return workspace.path


def test_a_crawl_is_listed_in_part(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def listed(*flags: str) -> list[str]:
        assert main(["data", "inspect", "--list", "5", "--workspace", str(crawl), *flags]) == 0
        return capsys.readouterr().out.splitlines()

    lines = listed()
    assert len(lines) == 7 and max(map(len, lines)) <= 80
    assert lines[1].endswith("…") and lines[2].endswith("http://a.example/page/0001")
    assert lines[-1].startswith("3,000 pages of data.crawl-") and "the first 5" in lines[-1]
    assert listed("--host", "c.example")[-1].startswith("1,000 pages")
    assert listed("--host", "*.a.example")[-1].startswith("2,000 pages")
    few = listed("--host", "c.example", "--match", "page/000[12]$")
    assert few[1].endswith("http://c.example/page/0001") and few[-1].startswith("2 pages")
    assert listed("--match", "nothing like it")[-1].startswith("0 pages")
    rows = [json.loads(line) for line in listed("--json", "--match", "x/0000")]
    assert [row["url"].split("/")[2] for row in rows] == ["a.example", "b.a.example", "c.example"]


def test_a_list_refuses_what_does_not_go_with_it(
    crawl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, told in (
        (["--list", "0"], "at least 1"),
        (["--list", "3", "--match", "("], "no regular expression"),
        (["--list", "3", "--sample", "3"], "one too many"),
        (["--list", "3", "--offset", "1"], "does not go with --list"),
        (["--host", "a.example"], "none is named"),
    ):
        assert main(["data", "inspect", "--workspace", str(crawl), *flags]) == 2
        assert told in capsys.readouterr().err
