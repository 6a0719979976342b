"""What makes two documents exact copies: equal text after a normalisation, or one address."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from gristmill.data.links import same_page

Normalisation = Literal["whitespace", "none"]
Numbers = npt.NDArray[np.uint64]


def text_digest(text: str, normalisation: Normalisation = "whitespace") -> bytes:
    """16 bytes that are equal for equal texts.

    whitespace: Unicode NFC, runs of white space are one space, none at the ends; so that the same
    text laid out by two page designs is one text. Case and punctuation count: what differs there
    is a near duplicate. none: the text as it is.
    """
    if normalisation == "whitespace":
        text = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def digest_numbers(digests: Iterable[bytes]) -> tuple[Numbers, Numbers]:
    """The two halves of each digest: uint64[texts] each."""
    both = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()


def name_number(name: str) -> int:
    """64 bits of a name: of a site, a page, an id of another kind."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def site_numbers(hosts: Iterable[str]) -> Numbers:
    """A number of each host, 0 for no host: uint64[hosts]."""
    known: dict[str, int] = {"": 0}
    numbers = []
    for host in hosts:
        if host not in known:
            known[host] = name_number(host)
        numbers.append(known[host])
    return np.array(numbers, np.uint64)


def address_numbers(urls: Iterable[str]) -> Numbers:
    """Equal for addresses of one page (`links.same_page`); 0 for what is no address of a page."""
    pages = map(same_page, urls)
    return np.array([name_number(page) if page else 0 for page in pages], np.uint64)
