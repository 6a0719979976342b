"""`data crawl`: pages into WARC files, politely, from the web or from a sample web on loopback."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    from pathlib import Path

    from gristmill.data.crawl.plan import Plan

_AGENT = "gristmill"
_REQUESTS = "requests.log"
_EXAMPLE = """gristmill data crawl --seeds https://site.example/ --max-pages 1000
gristmill data crawl --seeds https://site.example/docs/ --include /docs/
gristmill data crawl --seeds https://site.example/ --earlier data.crawl@may
gristmill data crawl --config crawl.yaml    (seeds, hosts, resolve, ...)
Ctrl-C ends a crawl cleanly: the same command again goes on from there."""
_BUDGETS = {
    "pages": ("max_pages", "of pages"),
    "pages_per_host": ("max_pages_per_host", "of pages per host"),
    "bytes": ("max_bytes", "of bytes"),
}


class CrawlConfig(StageConfig):
    """Where to begin, how far to go, and how to behave on the way."""

    seeds: list[str] = []
    """Addresses to begin with; those of the sample web where one is given."""
    hosts: list[str] = []
    """Hosts in scope, `*.example` for a domain with all below it; the seeds' hosts if empty."""
    include: list[str] = []
    """Regular expressions (RE2): where given, a URL must match one of them."""
    exclude: list[str] = []
    """Regular expressions (RE2) of URLs that are left out."""
    max_depth: int | None = Field(None, ge=0)
    """Links from a seed to a page, at most."""
    max_pages: int | None = Field(100_000, ge=1)
    """URLs asked for, at most; counted over all answers."""
    max_pages_per_host: int | None = Field(None, ge=1)
    """URLs of one host asked for, at most."""
    max_bytes: int | None = Field(None, ge=1)
    """The crawl ends when so many bytes of pages are stored. Which pages they are depends on the
    speed of the hosts; the other budgets do not."""
    max_page_bytes: int = Field(8 << 20, ge=1024)
    """Larger answers are left out; counted both as sent and unpacked."""
    content_types: list[str] = ["text/html", "application/xhtml+xml"]
    """Media types that are stored."""
    sitemaps: bool = True
    """Read the sitemaps that robots.txt names, each up to 50 MB and 50,000 addresses."""
    respect_rel_nofollow: bool = False
    """Do not follow links marked nofollow, sponsored or ugc. The robots meta always counts."""
    tdm_reservations: bool = True
    """Read each host's /.well-known/tdmrep.json, which data extract then respects."""
    agent: str = Field(_AGENT, pattern=r"^[A-Za-z_\-]+$")
    """The name that rules in robots.txt are looked up for."""
    contact: str = ""
    """Where a site's owner reaches you (an address of a page, or e-mail); in the User-Agent."""

    resolve: dict[str, str] = local({})
    """How names are reached: `{"*.example": "127.0.0.1:8000"}`. Other private and loopback
    addresses are never connected to."""
    web_port: int = local(0, ge=0, le=65535)
    """The port on loopback that a sample web is served on; 0 takes a free one."""
    delay: float = local(1.0, ge=0)
    """Seconds between two requests to a host; its robots.txt may ask for more."""
    resolved_delay: float | None = local(None, ge=0)
    """The delay of hosts in `resolve`, whatever robots.txt says; 0 for a sample web."""
    max_delay: float = local(60.0, ge=0)
    """The longest crawl-delay that is waited for."""
    per_host: int = local(4, ge=1)
    """Requests to one host at a time, where its delay is 0."""
    concurrency: int = local(32, ge=1)
    """Requests at a time."""
    timeout: float = local(30.0, gt=0)
    """Seconds for one answer."""
    retries: int = local(3, ge=0)
    """Further tries after 429, 5xx and lost connections."""
    max_rest: float = local(300.0, ge=0)
    """The longest Retry-After that is waited for, in seconds."""


@stage(
    "data crawl",
    version=3,
    kind="pages",
    config=CrawlConfig,
    inputs={
        "web": Slot(
            "web",
            optional=True,
            unless="seeds",
            help="a sample web, served on loopback meanwhile",
        ),
        "earlier": Slot(
            "pages", optional=True, named=True, help="an earlier crawl: what changed is sent again"
        ),
    },
    summary="fetch pages politely into WARC files",
    example=_EXAMPLE,
)
def data_crawl(config: CrawlConfig, inputs: Inputs, output: Output) -> None:
    """Writes warc/, index.parquet (pages, sorted by URL) and frontier.parquet (all URLs known)."""
    from gristmill.core.progress import progress
    from gristmill.data.crawl.attempt import crawl
    from gristmill.data.crawl.seal import forbidden_requests, forget, seal

    web, earlier = inputs.get("web"), inputs.get("earlier")
    folder = output.run.path
    with ExitStack() as stack:
        plan = _plan(config, web, earlier, folder, stack)
        bar = progress("data crawl", None, "pages")
        stack.callback(bar.close)
        counts = crawl(folder, plan, bar=bar)
        for reason, left in counts.over_budget.items():
            key, words = _BUDGETS[reason]
            bar.note(f"budget {words} reached")
            output.notes.append(
                f"The budget {words} was reached: {left:,} known URLs were not asked for ({key})."
            )
    output.content, reasons = seal(folder, plan, output.path)
    if not counts.states.get("fetched") and not counts.states.get("over_budget"):
        # A name that did not resolve today may tomorrow: such a crawl is not kept as done.
        forget(folder)
        raise _nothing_fetched(plan.seeds, reasons)
    # Dates and record ids differ between equal crawls; the fingerprint is what counts.
    output.volatile.update(("warc/", "index.parquet"))
    forbidden = forbidden_requests(folder, plan)
    if web is not None:
        forbidden = max(forbidden, _forbidden_in_log(web, folder / _REQUESTS))

    pages = counts.states.get("fetched", 0)
    output.counts.update(counts.states, pages=pages, bytes=counts.stored_bytes)
    output.figures["crawl.pages"] = Figure(pages)
    output.figures["crawl.bytes"] = Figure(counts.stored_bytes)
    output.figures["crawl.forbidden_fetched"] = Figure(forbidden, n=sum(counts.states.values()))
    output.tables.append(
        Table(
            "What became of the URLs",
            ("state", "reason", "URLs"),
            reasons,
            "forbidden: robots.txt or a private address; skipped: not a page; out_of_scope and "
            "over_budget: never asked for.",
        )
    )
    names = list(counts.states)
    numbers = [float(counts.states[name]) for name in names]
    series = Series("URLs", [float(i) for i in range(len(names))], numbers)
    output.charts.append(
        Chart("The frontier", "state", "URLs", [series], style="bar", categories=names)
    )


_WHY = {
    "private_address": "its address is private; a host of your own is reached by a name in resolve",
    "robots_unreachable": "its robots.txt cannot be reached: is the address right, the host up?",
    "robots": "its robots.txt forbids it",
    "host": "it is not among the hosts",
    "excluded": "it is among what exclude leaves out",
    "not_included": "nothing in include fits it",
    "dns": "the name is not known",
}


def _nothing_fetched(
    seeds: Sequence[str], reasons: Sequence[tuple[str, str, int]]
) -> GristmillError:
    """What became of all that was asked for, most frequent first."""
    ranked = sorted(reasons, key=lambda row: (-row[2], row))
    told = ", ".join(f"{state} {why} ({n:,})".replace("  ", " ") for state, why, n in ranked[:3])
    first = next((_WHY[why] for _, why, _ in ranked if why in _WHY), None)
    return GristmillError(
        f"no page could be fetched: {told}",
        where=seeds[0] if len(seeds) == 1 else "data.crawl.seeds",
        mend=first or "look at the addresses, and at the settings for content types and sizes",
    )


def _plan(
    config: CrawlConfig,
    web: Artifact | None,
    earlier: Artifact | None,
    folder: Path,
    stack: ExitStack,
) -> Plan:
    """The crawl's plan; starts the server of the sample web for as long as `stack` is open."""
    from gristmill.data.crawl.plan import Plan
    from gristmill.data.crawl.urls import BadUrl, host_of, normalise

    seeds, hosts, resolve = config.seeds, config.hosts, dict(config.resolve)
    resolved_delay = config.resolved_delay
    first_rest = 1.0
    if web is not None:
        from gristmill.data.sample_web.server import serve

        about: dict[str, Any] = web.read_json("web.json")
        seeds = seeds or list(about["seeds"])
        hosts = hosts or list(about["hosts"])
        server = stack.enter_context(
            serve(web.file("pages.parquet"), folder / _REQUESTS, config.web_port)
        )
        for host in about["hosts"]:
            resolve.setdefault(host, f"127.0.0.1:{server.port}")
        resolved_delay = 0.0 if resolved_delay is None else resolved_delay
        first_rest = 0.2
    if not seeds:
        raise GristmillError(
            "nothing to begin with", where="data.crawl.seeds", mend="give seeds, or a sample web"
        )
    if not hosts:
        for seed in seeds:
            try:
                hosts = [*hosts, host_of(normalise(seed))]
            except BadUrl as error:
                raise GristmillError(
                    f"'{seed}' cannot be crawled: {error}",
                    where="data.crawl.seeds",
                    mend="give addresses such as http://site.example/",
                ) from error
    contact = f" (+{config.contact})" if config.contact else ""
    return Plan(
        seeds=seeds,
        hosts=sorted(set(hosts)),
        include=config.include,
        exclude=config.exclude,
        max_depth=config.max_depth,
        max_pages=config.max_pages,
        max_pages_per_host=config.max_pages_per_host,
        max_bytes=config.max_bytes,
        body_bytes=config.max_page_bytes,
        content_types=frozenset(kind.lower() for kind in config.content_types),
        sitemaps=config.sitemaps,
        skip_nofollow=config.respect_rel_nofollow,
        reservations=config.tdm_reservations,
        agent=config.agent,
        user_agent=f"{config.agent}/1{contact}",
        resolve=resolve,
        delay=config.delay,
        resolved_delay=resolved_delay,
        max_delay=config.max_delay,
        per_host=config.per_host,
        concurrency=config.concurrency,
        timeout=config.timeout,
        retries=config.retries,
        first_rest=first_rest,
        max_rest=config.max_rest,
        earlier=None if earlier is None else earlier.path,
    )


def _forbidden_in_log(web: Artifact, log: Path) -> int:
    """Pages that robots.txt forbids among all that the sample web's server was asked for."""
    import pyarrow.parquet as pq

    from gristmill.data.sample_web.truth import same_address

    truth = pq.read_table(web.file("truth.parquet"), columns=["url", "forbidden"])
    rows = zip(truth["url"].to_pylist(), truth["forbidden"].to_pylist(), strict=True)
    forbidden = {same_address(url) for url, is_forbidden in rows if is_forbidden}
    if not log.exists():
        return 0
    asked = {same_address(url) for url in log.read_text(encoding="utf-8").splitlines()}
    return len(forbidden & asked)
