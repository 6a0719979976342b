"""What a site's robots.txt says (RFC 9309), for one agent."""

from __future__ import annotations

from dataclasses import dataclass, field

from protego import Protego

MAX_BYTES = 500 << 10
"""RFC 9309, section 2.5: at least 500 KiB are read; what follows is left out."""
MAX_SITEMAPS = 20


@dataclass(frozen=True)
class Robots:
    """The rules of an origin.

    verdict: 'rules' (the file was read), 'allow' (there is none: 4xx), 'deny' (it could not be
    reached, so nothing may be fetched; RFC 9309, section 2.3.1.4) or 'private' (it lies at an
    address that is not connected to).
    """

    verdict: str
    text: str
    agent: str
    _parsed: Protego = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parsed", Protego.parse(self.text))

    def allows(self, url: str) -> bool:
        """Whether the agent may fetch `url`."""
        if self.verdict != "rules":
            return self.verdict == "allow"
        return bool(self._parsed.can_fetch(url, self.agent))

    @property
    def crawl_delay(self) -> float:
        """Seconds between requests that the file asks for; 0 where it asks for none."""
        delay = self._parsed.crawl_delay(self.agent)
        rate = self._parsed.request_rate(self.agent)
        asked = float(delay) if delay is not None else 0.0
        if rate is not None and rate.requests > 0:
            asked = max(asked, rate.seconds / rate.requests)
        return asked if 0.0 <= asked < float("inf") else 0.0

    @property
    def sitemaps(self) -> list[str]:
        """Addresses of sitemaps, as written; at most 20."""
        return [url for _, url in zip(range(MAX_SITEMAPS), self._parsed.sitemaps, strict=False)]


def decode_robots(body: bytes) -> str:
    """The text of a robots.txt; a last line that the limit cut is dropped."""
    if len(body) > MAX_BYTES:
        body = body[:MAX_BYTES].rpartition(b"\n")[0]
    return body.decode("utf-8-sig", "replace").replace("\x00", "")
