"""Pages to be looked at: by URL in a crawl, in a WARC file, in an HTML file; explained in workers.

A page that is looked at may be the one that was made to hurt, so it is read and explained in a
worker process with the limits that an extraction has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.core.progress import progress
from gristmill.core.records import host_of
from gristmill.core.seeds import derive_seed
from gristmill.data.engine import Failure, in_batches, map_batches
from gristmill.data.extract.explain import Explanation, PageBlock, explain_html, explained
from gristmill.data.extract.opt_out import TdmRules
from gristmill.data.extract.page import ExtractOptions
from gristmill.data.extract.record import Record
from gristmill.data.extract.stored import PageExtractor, StoredPage
from gristmill.data.warc.reader import Record as WarcRecord
from gristmill.data.warc.reader import read_record, read_records

Order = Literal["random", "least", "most"]

# Recording and telling costs about as much again as extracting.
_SLOWER = 3
MOST_RANKED = 2_000
_MOST_NAMED = 2_000  # URLs among which a mistyped one's neighbour is looked for
_BATCH = 16


@dataclass(frozen=True, slots=True)
class PageAt:
    """Where a page lies: a record of the WARC file `file`, or that file itself, or `body`."""

    url: str
    file: Path | None = None
    stored: StoredPage | None = None
    body: bytes | None = None
    content_type: str | None = None

    @property
    def where(self) -> str:
        """The place, for people."""
        if self.file is None:
            return "standard input"
        return str(self.file) if self.stored is None else f"{self.file}:{self.stored.offset}"


@dataclass(frozen=True)
class PageExplainer:
    """Explains batches of pages; picklable, so that workers can be given it.

    brief: leave out blocks and text, for a ranking. tdm: as for `PageExtractor`.
    """

    options: ExtractOptions
    brief: bool = False
    tdm: TdmRules = field(default_factory=lambda: TdmRules({}))

    def __call__(self, pages: Sequence[PageAt]) -> list[Explanation]:
        return [self._one(page) for page in pages]

    def _one(self, page: PageAt) -> Explanation:
        try:
            found = self._explained(page)
        except GristmillError as error:
            found = Explanation(page.url, rejected=error.what)
        found.where = page.where
        if self.brief:
            # Two empty blocks in place of many keep the shares.
            kept, whole = found.kept_characters, found.characters
            blocks = [_sum_of(kept, True), _sum_of(whole - kept, False)]
            return replace(found, text="", pieces=[], blocks=blocks)
        return found

    def _explained(self, page: PageAt) -> Explanation:
        if page.body is not None:
            return explain_html(page.body, page.url, page.content_type, self.options)
        assert page.file is not None
        if page.stored is None:
            body = _read_file(page.file, self.options.limits.bytes)
            return explain_html(body, page.url, page.content_type, self.options)
        record = Record()
        extractor = PageExtractor(page.file.parent, self.options, self.tdm)
        result = extractor.extract(page.stored, record).result
        return explained(page.url, result, record)


def explain_pages(
    pages: Sequence[PageAt],
    options: ExtractOptions,
    *,
    workers: int = 1,
    seconds: float = 5.0,
    memory_bytes: int = 512 << 20,
    brief: bool = False,
    tdm: TdmRules | None = None,
) -> Iterator[Explanation]:
    """An explanation for each page, in order; a page over a limit is one that says so."""
    bar = progress("explain pages", len(pages), "pages") if len(pages) > 1 else None
    batches = in_batches(pages, _BATCH)
    at = 0
    for result in map_batches(
        PageExplainer(options, brief, tdm or TdmRules({})),
        batches,
        workers=workers,
        seconds_per_item=seconds * _SLOWER,
        memory_bytes=memory_bytes,
        by_item=True,
    ):
        for found in result.items():
            page = pages[at]
            at += 1
            if isinstance(found, Failure):
                found = Explanation(page.url, rejected=found.reason, where=page.where)
            yield found
        if bar is not None:
            bar.advance(result.size)
    if bar is not None:
        bar.close()


def from_file(path: Path, url: str | None = None, offset: int | None = None) -> PageAt:
    """The page in a file: HTML, or a WARC file's record at `offset`, of `url`, or the first one.

    Raises GristmillError where there is none.
    """
    if not path.is_file():
        raise GristmillError("no such file", where=path)
    if not _is_warc(path):
        if offset is not None:
            raise GristmillError("an offset needs a WARC file", where=path)
        return PageAt(url or path.name, path)
    if offset is not None:
        record = read_record(path, offset)
        return _of_record(record, path)
    seen: list[str] = []
    for record in read_records(path, ("response", "resource")):
        if url is None and _is_html(record):
            return _of_record(record, path)
        if record.url == url:
            return _of_record(record, path)
        if len(seen) < _MOST_NAMED:
            seen.append(record.url)
    if url is None:
        raise GristmillError("holds no HTML page", where=path)
    raise GristmillError(f"holds no page '{url}'", where=path, mend=did_you_mean(url, seen))


def from_crawl(stored: Iterable[StoredPage], folder: Path, url: str) -> PageAt:
    """The page of `url` in a crawl. stored: its index; folder: that of its WARC files.

    Raises GristmillError, with the nearest URL, where the crawl has none.
    """
    seen: list[str] = []
    for page in stored:
        if page.url == url:
            return _of_stored(page, folder)
        if len(seen) < _MOST_NAMED:
            seen.append(page.url)
    raise GristmillError(f"the crawl has no page '{url}'", mend=did_you_mean(url, seen))


def pages_like(
    stored: Iterable[StoredPage], host: str | None = None, pattern: str | None = None
) -> Iterator[StoredPage]:
    """The pages of a host, `*.example` for all below it, whose URL the pattern (RE2) fits.

    Raises GristmillError for a pattern that is none.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        fits = re2.compile(pattern or "", options)
    except re2.error as error:
        raise GristmillError(
            f"'{pattern}' is no regular expression", where="--match", mend="RE2's syntax counts"
        ) from error
    wanted = (host or "").lower()
    for page in stored:
        if wanted:
            name = host_of(page.url)
            below = wanted.startswith("*.") and f".{name}".endswith(wanted[1:])
            if name != wanted and not below:
                continue
        if pattern is None or fits.search(page.url):
            yield page


def sample(
    stored: Callable[[], Iterable[StoredPage]],
    folder: Path,
    count: int,
    options: ExtractOptions,
    *,
    order: Order = "random",
    seed: int = 0,
    workers: int = 1,
    tdm: TdmRules | None = None,
) -> list[Explanation]:
    """`count` pages of a crawl, explained: drawn at random, or those of which the least or the
    most is kept (rejected ones are not ranked; of more than 2,000 pages, a sample is).

    stored: gives the crawl's index, which is read twice and not held. Deterministic for a seed,
    whatever the number of workers.
    """
    total = sum(page.status == 200 for page in stored())
    draw = random.Random(derive_seed(seed, "data.inspect"))
    drawn = draw.sample(range(total), min(total, count if order == "random" else MOST_RANKED))
    wanted = set(drawn)
    sound = (page for page in stored() if page.status == 200)
    by_row = {row: _of_stored(page, folder) for row, page in enumerate(sound) if row in wanted}
    chosen = [by_row[row] for row in drawn]
    if order != "random":
        shares = list(explain_pages(chosen, options, workers=workers, brief=True, tdm=tdm))
        ranked = [i for i, found in enumerate(shares) if not found.rejected]
        sign = 1 if order == "least" else -1
        ranked.sort(key=lambda i: (sign * shares[i].kept_share, chosen[i].url))
        chosen = [chosen[i] for i in ranked[:count]]
    return list(explain_pages(chosen, options, workers=workers, tdm=tdm))


def _of_stored(page: StoredPage, folder: Path) -> PageAt:
    return PageAt(page.url, folder / page.file, page)


def _of_record(record: WarcRecord, path: Path) -> PageAt:
    kind = record.headers.get("content-type")
    if record.type == "resource":  # the block is the page itself, without an HTTP head
        return PageAt(record.url, path, body=record.block, content_type=kind)
    status = record.http().status or 200
    return PageAt(record.url, path, StoredPage(record.url, status, None, path.name, record.offset))


def _is_html(record: WarcRecord) -> bool:
    if record.type == "resource":
        return "html" in record.headers.get("content-type", "")
    message = record.http()
    return message.status == 200 and "html" in message.header("content-type").lower()


def _is_warc(path: Path) -> bool:
    if path.name.endswith((".warc", ".warc.gz", ".warc.zst")):
        return True
    with open(path, "rb") as file:
        return file.read(5) == b"WARC/"


def _read_file(path: Path, limit: int) -> bytes:
    """The file's bytes, undone where it ends in .gz; a byte more than the limit where it is
    longer, which the extractor refuses."""
    import gzip
    import zlib

    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read(limit + 1)
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise GristmillError("cannot be read", where=path, mend=str(error)) from None


def _sum_of(characters: int, kept: bool) -> PageBlock:
    return PageBlock("", kept, "", "", "", "", characters, 0)
