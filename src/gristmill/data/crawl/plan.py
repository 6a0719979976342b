"""What to crawl and how, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gristmill.core.canonical import canonical_json
from gristmill.data.crawl.links import HTML_TYPES
from gristmill.data.crawl.schedule import FIRST_REST


@dataclass(frozen=True)
class Plan:
    """What to crawl and how. The first block decides the result, the second how it is reached."""

    seeds: Sequence[str]
    hosts: Sequence[str]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_depth: int | None = None
    max_pages: int | None = None
    max_pages_per_host: int | None = None
    max_bytes: int | None = None
    max_redirects: int = 5
    body_bytes: int = 8 << 20
    content_types: frozenset[str] = HTML_TYPES
    sitemaps: bool = True
    skip_nofollow: bool = False
    reservations: bool = True
    """Read the tdmrep.json of each origin."""
    agent: str = "gristmill"
    """The product token that robots.txt rules are looked up for."""

    user_agent: str = "gristmill"
    """The User-Agent header; it should say how to reach who crawls."""
    resolve: Mapping[str, str] = field(default_factory=dict)
    delay: float = 1.0
    resolved_delay: float | None = None
    """Delay for hosts of `resolve`, instead of their robots.txt's too; None: as for the others."""
    max_delay: float = 60.0
    per_host: int = 4
    concurrency: int = 32
    timeout: float = 30.0
    retries: int = 3
    first_rest: float = FIRST_REST
    max_rest: float = 300.0
    warc_bytes: int = 1 << 30
    earlier: Path | None = None
    """The folder of an earlier crawl: its pages are asked for only where they have changed."""
    host_failures: int = 10
    """URLs of a host that may fail for lost connections in a row before it is left alone."""

    def identity(self) -> str:
        """Canonical JSON of what decides the result."""
        names = "seeds hosts include exclude max_depth max_pages max_pages_per_host max_bytes "
        names += "max_redirects body_bytes sitemaps skip_nofollow reservations agent"
        values = {name: asdict(self)[name] for name in names.split()}
        values["content_types"] = sorted(self.content_types)
        return canonical_json(values)


@dataclass(frozen=True)
class CrawlCounts:
    """The end of a crawl: URLs by state, requests made in this attempt, bytes of bodies stored.

    over_budget: known URLs that each budget left out (pages, pages_per_host, bytes).
    """

    states: dict[str, int]
    requests: int
    stored_bytes: int
    over_budget: dict[str, int] = field(default_factory=dict)
