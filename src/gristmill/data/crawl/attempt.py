"""One attempt at a crawl, from a caller's thread: its event loop, and signals that end it whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gristmill.core.errors import Retryable
from gristmill.core.event_loop import run_coroutine
from gristmill.core.progress import Progress, Silent
from gristmill.data.crawl.crawler import Crawler
from gristmill.data.crawl.plan import CrawlCounts, Plan
from gristmill.data.crawl.resolver import Lookup


def crawl(
    folder: Path, plan: Plan, *, bar: Progress | None = None, lookup: Lookup | None = None
) -> CrawlCounts:
    """Crawls, or goes on with the crawl in `folder`, to its end.

    lookup: host to addresses, the system's where None. Raises GristmillError for bad seeds or
    settings, Retryable when it is interrupted; what was fetched until then is kept.
    """

    crawler: Crawler | None = None

    async def work() -> CrawlCounts:
        nonlocal crawler
        with _stopping(asyncio.current_task()):
            crawler = Crawler(folder, plan, bar or Silent(), lookup)
            return await crawler.run()

    try:
        return run_coroutine(work)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        pages = crawler.pages if crawler is not None else 0
        raise Retryable(
            f"the crawl was interrupted; {pages:,} pages are kept",
            where=folder,
            mend="run the same command again; it goes on from here",
        ) from error


@contextmanager
def _stopping(task: asyncio.Task[object] | None) -> Iterator[None]:
    """Inside the block Ctrl-C and SIGTERM cancel the task, between two steps and not in one.

    Where the system or the thread cannot do that, they raise KeyboardInterrupt as ever.
    """
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    set_here = []
    try:
        for number in numbers:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                assert task is not None
                loop.add_signal_handler(number, task.cancel)
                set_here.append(number)
        yield
    finally:
        for number in set_here:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
