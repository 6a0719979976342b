"""Pages of the sample web that opt out: known to truth, and dropped on the way to documents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.data.documents import DocumentSet
from gristmill.data.sample_web.sites import OPTED_OUT, RESERVED
from gristmill.data.sample_web.truth import judged_documents, read_truth
from gristmill.data.sample_web.world import World
from gristmill.data.sample_web.write import write_world
from gristmill.data.wheel import WIKI_SUMMARIES
from gristmill.stages.data_crawl import CrawlConfig, data_crawl
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.data_inspect import InspectConfig, data_inspect
from gristmill.stages.stage import Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace


class NoConfig(StageConfig):
    """Nothing to choose."""


@pytest.fixture(scope="module")
def crawled(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, Artifact, Artifact]:
    @stage("data sample-web", version=9, kind="web", config=NoConfig, inputs={}, summary="",
           example="")  # fmt: skip
    def web(config: NoConfig, inputs: Inputs, output: Output) -> None:
        write_world(world, output.path, WIKI_SUMMARIES)

    workspace = Workspace.at(tmp_path_factory.mktemp("w"))
    made = web.run(NoConfig(), {}, workspace)
    host = {
        "hosts": [OPTED_OUT, RESERVED],
        "seeds": [f"http://{OPTED_OUT}/", f"http://{RESERVED}/"],
    }
    pages = data_crawl.run(CrawlConfig(**host), {"web": made}, workspace)
    return workspace, made, pages


def test_truth_knows_them(world: World, tmp_path: Path) -> None:
    write_world(world, tmp_path, WIKI_SUMMARIES)
    truth = read_truth(tmp_path / "truth.parquet")
    articles = [page for page in truth.values() if page.kind == "article"]
    ways = Counter(page.opt_out for page in articles)
    assert ways["noai, noimageai"] == 2 and ways["tdm-reservation"] == 1
    # All but the ones that opt out, and one that its host leaves open, are on other hosts.
    own = [page for page in articles if page.url.split("/")[2] in (OPTED_OUT, RESERVED)]
    assert len(own) == 4 and sum(page.opt_out is None for page in own) == 1
    assert {page.edit for page in own} - {"exact", None}


def test_they_are_no_documents_unless_asked_for(
    crawled: tuple[Workspace, Artifact, Artifact],
) -> None:
    workspace, web, pages = crawled
    truth = read_truth(web.file("truth.parquet"))
    made = data_extract.run(ExtractConfig(part_pages=5), {"pages": pages}, workspace)
    kept = judged_documents(DocumentSet.open(made))
    assert kept and not [address for address in kept if truth[address].opt_out]
    shown = made.read_json("presentation.json")
    left_out = made.manifest.counts["opted_out"]
    documents = made.manifest.counts["documents"]
    figure = shown["figures"]["extract.opted_out"]
    assert left_out > 4 and figure["value"] == pytest.approx(left_out / (left_out + documents))
    [table] = [t for t in shown["tables"] if t["title"].startswith("Licences")]
    told = {row[1]: row[2] for row in table["rows"] if row[0] == "opt-out"}
    assert told["noai, noimageai, left out"] == 2 and told["tdm-reservation, left out"] >= 3
    inspected = data_inspect.run(
        InspectConfig(), {"documents": made, "pages": pages, "web": web}, workspace
    )
    figure = inspected.read_json("inspection.json")["figures"]["extract.opt_outs_left_out"]
    assert figure["value"] == 1.0 and figure["n"] == left_out

    every = data_extract.run(ExtractConfig(respect_opt_out=False), {"pages": pages}, workspace)
    rows = pq.read_table(every.path / "documents").to_pylist()
    stated = {row["url"]: row["opt_out"] for row in rows}
    by_url = {page.url: page.opt_out for page in truth.values()}
    assert stated and all(by_url[url] == found for url, found in stated.items())
