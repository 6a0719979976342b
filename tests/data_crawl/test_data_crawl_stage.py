"""The stage: a small sample web crawled from its own server, its figures, and its errors."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import write_json
from gristmill.core.errors import GristmillError
from gristmill.stages.data_crawl import CrawlConfig, data_crawl
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

PAGES = [
    ("a.example", "/", 200, "text/html", None, '<a href="/x"><a href="http://b.example/no">'),
    ("a.example", "/x", 301, "text/html", "http://b.example/", ""),
    ("b.example", "/", 200, "text/html", None, "<p>b"),
    ("b.example", "/no", 200, "text/html", None, "<p>forbidden"),
    ("b.example", "/robots.txt", 200, "text/plain", None, "User-agent: *\nDisallow: /no"),
]


class WebConfig(StageConfig):
    pass


@stage(
    "data sample-web", version=1, kind="web", config=WebConfig, inputs={}, summary="", example=""
)
def small_web(config: WebConfig, inputs: Inputs, output: Output) -> None:
    names = ("host", "path", "status", "content_type", "location", "body")
    columns = [list(column) for column in zip(*PAGES, strict=True)]
    table = pa.table(dict(zip(names, columns, strict=True)))
    body = pa.array([text.encode() for text in columns[5]], pa.binary())
    pq.write_table(table.set_column(5, "body", body), output.path / "pages.parquet")
    truth = {"url": ["http://a.example/", "http://b.example/no"], "forbidden": [False, True]}
    pq.write_table(pa.table(truth), output.path / "truth.parquet")
    web = {"seeds": ["http://a.example/"], "hosts": ["a.example", "b.example"]}
    write_json(output.path / "web.json", web)


def _crawl(folder: Path, own: bool = False, **settings: Any) -> Artifact:
    workspace = Workspace.at(folder)
    web = small_web.run(WebConfig(), {}, workspace)
    inputs = {} if own else {"web": web}
    return data_crawl.run(CrawlConfig(**settings), inputs, workspace)


def test_crawls_a_sample_web(tmp_path: Path) -> None:
    pages = _crawl(tmp_path / "1")
    index = pq.read_table(pages.file("index.parquet")).to_pylist()
    assert [row["url"] for row in index] == ["http://a.example/", "http://b.example/"]
    frontier = {
        row["url"]: (row["state"], row["reason"])
        for row in pq.read_table(pages.file("frontier.parquet")).to_pylist()
    }
    assert frontier["http://b.example/no"] == ("forbidden", "robots")
    assert frontier["http://a.example/x"] == ("redirected", "http://b.example/")
    figures = pages.read_json("presentation.json")["figures"]
    assert figures["crawl.pages"]["value"] == 2
    assert figures["crawl.forbidden_fetched"]["value"] == 0
    assert figures["crawl.bytes"]["value"] == sum(len(PAGES[i][5]) for i in (0, 2))
    pages.verify()

    # Another day, another port, other politeness: the same content.
    again = _crawl(tmp_path / "2", concurrency=1, resolved_delay=0.01)
    assert again.content == pages.content and again.path.name == pages.path.name
    assert not list((tmp_path / "1" / "unfinished").glob("data.crawl*"))


def test_a_forbidden_page_that_was_asked_for_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gristmill.data.crawl.robots import Robots

    monkeypatch.setattr(Robots, "allows", lambda self, url: True)
    pages = _crawl(tmp_path)
    figures = pages.read_json("presentation.json")["figures"]
    assert figures["crawl.forbidden_fetched"]["value"] == 1


def test_a_later_crawl_takes_over_what_has_not_changed(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    web = small_web.run(WebConfig(), {}, workspace)
    first = data_crawl.run(CrawlConfig(), {"web": web}, workspace)
    again = data_crawl.run(CrawlConfig(), {"web": web, "earlier": first}, workspace)
    assert again.path != first.path and again.content == first.content
    # An earlier crawl is never taken because it happens to lie there, nor a web beside seeds.
    slots = data_crawl.inputs
    assert slots["earlier"].named and slots["web"].unless == "seeds"


def test_a_budget_that_was_reached_is_said(tmp_path: Path) -> None:
    pages = _crawl(tmp_path, max_pages=1)
    notes = pages.read_json("presentation.json")["notes"]
    assert notes == [
        "The budget of pages was reached: 2 known URLs were not asked for (max_pages)."
    ]


def test_a_crawl_without_a_page_is_told_and_not_kept(tmp_path: Path, site: Any) -> None:
    seed = f"http://a.example:{site.port}/"
    settings: dict[str, Any] = {"seeds": [seed], "resolved_delay": 0.0, "retries": 0, "own": True}
    with pytest.raises(GristmillError, match=r"no page could be fetched: failed http_404 \(1\)"):
        _crawl(tmp_path, **settings, resolve={"a.example": f"127.0.0.1:{site.port}"})
    with pytest.raises(GristmillError, match="its address is private"):
        _crawl(tmp_path, **{**settings, "seeds": [f"http://127.0.0.1:{site.port}/"]})
    site.page(f"a.example:{site.port}/", "<p>now there is one")
    made = _crawl(tmp_path, **settings, resolve={"a.example": f"127.0.0.1:{site.port}"})
    assert made.manifest.counts["pages"] == 1


def test_what_a_host_reserves_is_left_out_of_its_documents(tmp_path: Path, site: Any) -> None:
    words = "<p>Words that make a paragraph of a page, and enough of them to be its main text.</p>"
    host = f"a.example:{site.port}"
    site.page(f"{host}/", words + '<a href="/kept/x">x</a>')
    site.page(f"{host}/kept/x", words)
    rules = '[{"location": "/kept/", "tdm-reservation": 1}]'
    site.page(f"{host}/.well-known/tdmrep.json", rules, Content_Type="application/json")
    pages = _crawl(
        tmp_path,
        own=True,
        seeds=[f"http://{host}/"],
        include=["/$", "/kept/"],
        resolve={"a.example": f"127.0.0.1:{site.port}"},
        resolved_delay=0.0,
    )
    assert pages.manifest.counts["pages"] == 2
    workspace = Workspace.at(tmp_path)
    made = data_extract.run(ExtractConfig(), {"pages": pages}, workspace, execution=Execution(1))
    assert pq.read_table(made.path / "documents")["url"].to_pylist() == [f"http://{host}/"]
    assert made.manifest.counts["opted_out"] == 1


@pytest.mark.parametrize("settings", [{}, {"seeds": ["nonsense://"]}, {"seeds": ["http://"]}])
def test_bad_seeds(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(GristmillError):
        data_crawl.run(CrawlConfig(**settings), {}, Workspace.at(tmp_path))
