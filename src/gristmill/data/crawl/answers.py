"""What an answer means: a page and its links, a redirect, a sitemap, or nothing to store."""

from __future__ import annotations

from gristmill.data.crawl.decode import BadEncoding
from gristmill.data.crawl.earlier import Earlier, EarlierPage, version_of
from gristmill.data.crawl.fetch import REDIRECTS, Response
from gristmill.data.crawl.frontier import Settled, Task
from gristmill.data.crawl.ledger import Ledger
from gristmill.data.crawl.links import (
    HTML_TYPES,
    PageLinks,
    canonical_header,
    page_links,
    robots_words,
)
from gristmill.data.crawl.plan import Plan
from gristmill.data.crawl.records import answer_records, revisit_records
from gristmill.data.crawl.sitemap import Sitemap
from gristmill.data.crawl.urls import BadUrl, normalise


class Answers:
    """Puts what answers say into the ledger."""

    def __init__(self, plan: Plan, ledger: Ledger):
        self._plan, self._ledger = plan, ledger

    def take(self, task: Task, response: Response) -> None:
        """An answer that is the last word on its URL."""
        status = response.status
        kind = response.content_type
        if status in REDIRECTS:
            self._redirected(task, response)
        elif status != 200:
            self._ledger.settle(task, "failed", f"http_{status}", status=status)
        elif response.skipped:
            self._ledger.settle(task, "skipped", response.skipped, status=status, content_type=kind)
        elif response.is_binary:
            self._ledger.settle(task, "skipped", "not_text", status=status, content_type=kind)
        else:
            self._page(task, response)

    def take_unchanged(
        self, task: Task, response: Response, earlier: Earlier, page: EarlierPage
    ) -> None:
        """304: the page as an earlier crawl stored it, and a revisit record that says so.

        Raises GristmillError, and puts nothing down, where the stored page cannot be read.
        """
        record, stored = earlier.read(page)
        links, robots, follow = self._read(task, stored)
        records = revisit_records(
            task.url,
            response,
            record,
            page.digest,
            date=self._ledger.date(),
            via=task.via,
            depth=task.depth,
            links=links,
            robots=robots,
        )
        etag, modified = version_of(response)
        self._ledger.store(
            Settled(
                task.url,
                task.host,
                "fetched",
                "not_modified",
                status=stored.status,
                content_type=stored.content_type,
                digest=page.digest,
                record_id=page.record_id,
                fetched_at=page.fetched_at,
                robots=robots,
                canonical=_other(links, task.url),
                etag=etag or page.etag,
                last_modified=modified or page.last_modified,
            ),
            records,
            len(stored.body),
        )
        self._follow(task, links, follow)

    def _redirected(self, task: Task, response: Response) -> None:
        try:
            target = normalise(response.header("location"), task.url)
        except BadUrl:
            self._ledger.settle(task, "failed", "bad_redirect", status=response.status)
            return
        if target == task.url:
            self._ledger.settle(task, "failed", "redirect_to_itself", status=response.status)
            return
        self._store(task, response, "redirected", target, None, None)
        self._ledger.find(target, task.depth, task.hops + 1, task.url, task.kind)

    def _page(self, task: Task, response: Response) -> None:
        links, robots, follow = self._read(task, response)
        self._store(task, response, "fetched", None, links, robots)
        self._follow(task, links, follow)

    def _read(self, task: Task, response: Response) -> tuple[PageLinks | None, str | None, bool]:
        """(links of a page of HTML, words for robots, whether the links may be followed)."""
        words = set(robots_words(response.all_headers("x-robots-tag")))
        links: PageLinks | None = None
        if not response.content_type or response.content_type in HTML_TYPES:
            links = page_links(
                response.text(),
                task.url,
                skip_nofollow=self._plan.skip_nofollow,
                agent=self._plan.agent,
                canonical=canonical_header(response.all_headers("link"), task.url),
            )
            words.update(links.robots)
        return links, ",".join(sorted(words)) or None, not words & {"nofollow", "none"}

    def _follow(self, task: Task, links: PageLinks | None, follow: bool) -> None:
        if links is not None and follow:
            for url in links.links:
                self._ledger.find(url, task.depth + 1, 0, task.url)

    def take_sitemap(self, task: Task, response: Response, sitemap: Sitemap) -> None:
        """A sitemap that has arrived: what it lists is found."""
        try:
            sitemap.end()
        except BadEncoding:
            self._ledger.settle(task, "failed", "bad_encoding", status=response.status)
            return
        self._ledger.settle(task, "sitemap", None, status=response.status)
        for url in sitemap.urls:
            if sitemap.is_index:
                self._ledger.find_sitemap(url, task.url, task.depth, task.hops + 1)
            else:
                self._ledger.find(url, task.depth + 1, 0, task.url)

    def _store(
        self,
        task: Task,
        response: Response,
        state: str,
        reason: str | None,
        links: PageLinks | None,
        robots: str | None,
    ) -> None:
        date = self._ledger.date()
        records, record_id, digest = answer_records(
            task.url,
            response,
            date=date,
            via=task.via,
            depth=task.depth,
            links=links,
            robots=robots,
        )
        etag, modified = version_of(response) if state == "fetched" else (None, None)
        self._ledger.store(
            Settled(
                task.url,
                task.host,
                state,
                reason,
                status=response.status,
                content_type=response.content_type,
                digest=digest,
                record_id=record_id,
                fetched_at=date,
                robots=robots,
                canonical=_other(links, task.url),
                etag=etag,
                last_modified=modified,
            ),
            records,
            len(response.body),
        )


def _other(links: PageLinks | None, url: str) -> str | None:
    """The address that a page says is its own, where it is not the one it was fetched from."""
    return None if links is None or links.canonical == url else links.canonical
