"""Which pages other sites link to: what a reference recommends, and which of two copies is the one
that people mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from urllib.parse import urlsplit


def same_page(url: str) -> str:
    """A key under which links and documents meet: no scheme, `www.`, fragment, final slash.

    Empty for what is no address of a page.
    """
    try:
        parts = urlsplit(url.strip())
        host = bare_host(parts.hostname or "")
    except ValueError:
        return ""
    if not host:
        return ""
    return host + parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")


def bare_host(host: str) -> str:
    """The host in lower case without `www.`."""
    return host.lower().removeprefix("www.")


def linked_pages(
    hosts: Sequence[str], links: Iterable[Sequence[str] | None], reference_hosts: Collection[str]
) -> set[str]:
    """`same_page` keys of what the reference hosts' documents link to, their own pages left out."""
    own = {bare_host(host) for host in reference_hosts}
    found: set[str] = set()
    for host, targets in zip(hosts, links, strict=True):
        if bare_host(host) in own:
            found.update(map(same_page, targets or ()))
    return {key for key in found if key and _host_of_key(key) not in own}


class LinkingSites:
    """How many other sites link to each of some pages; adds up over parts in any order."""

    def __init__(self, pages: Collection[str]):
        """pages: `same_page` keys; others are not counted."""
        self._wanted = frozenset(pages)
        self._sites: dict[str, set[str]] = {}

    def add(self, host: str, targets: Sequence[str] | None) -> None:
        """Counts the links of one document."""
        site = bare_host(host)
        for target in targets or ():
            key = same_page(target)
            if key in self._wanted and _host_of_key(key) != site:
                self._sites.setdefault(key, set()).add(site)

    def count(self, page: str) -> int:
        """The number of other sites that link to the page."""
        return len(self._sites.get(page, ()))


def _host_of_key(key: str) -> str:
    return key.split("/", 1)[0].split("?", 1)[0]
