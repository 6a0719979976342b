"""Which of several copies stays, and what decided.

A rule is a list of criteria in their order; the first in which two copies differ decides. Where
none does it is the address (the smaller string), then the id, so that the order of documents never
decides unless it is asked to (`first`). Only documents that have copies are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.core.errors import GristmillError
from gristmill.data.dedup.columns import Column, Rows
from gristmill.data.dedup.exact import address_numbers, name_number, site_numbers
from gristmill.data.documents import DocumentSet
from gristmill.data.links import bare_host, same_page

Criterion = Literal[
    "host", "source", "linked", "quality", "newest", "longest", "short_url", "first"
]
DEFAULT_RULE: tuple[Criterion, ...] = ("host", "source", "linked", "longest", "short_url")
ADDRESS = "url"
"""What decided where no criterion did."""
EARLIER = "earlier"
"""The copy is of an earlier snapshot: no rule was asked."""
WON: Final = {
    "host": "it is on a preferred host",
    "source": "it is of a preferred source",
    "linked": "more other sites link to it",
    "quality": "its quality is higher",
    "newest": "its date is later",
    "longest": "its text is longer",
    "short_url": "its URL is shorter",
    "first": "it came first",
    ADDRESS: "its URL is the smaller string, and nothing else differs",
    EARLIER: "it is of an earlier snapshot",
}
"""What is said of the copy that stays, by what decided."""

Values = npt.NDArray[np.float64]
_HALF = np.uint64(32)


@dataclass(frozen=True)
class KeepRule:
    """criteria: in their order. hosts, sources: the preferred ones, the first most."""

    criteria: tuple[Criterion, ...] = DEFAULT_RULE
    hosts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """kept: for each document the one of its group that stays. because: what decided for those that
    go, an index into `names`; 0, the empty name, for those that stay."""

    kept: Rows
    because: npt.NDArray[np.int8]
    names: tuple[str, ...]


class Copies:
    """The documents that have copies, with what the rule looks at; asked for groups of them.

    members: rows of the document set, ascending. counts: documents of each part. lengths: letters
    of the texts as they are now. Held are 8 bytes a member and criterion.
    Raises GristmillError where the rule asks for a column that is not there.
    """

    def __init__(
        self,
        documents: DocumentSet,
        counts: Sequence[int],
        members: Rows,
        rule: KeepRule,
        lengths: Column,
    ):
        unknown = [one for one in rule.criteria if one not in get_args(Criterion)]
        assert not unknown, unknown
        self._documents, self._counts, self._members = documents, counts, members
        self._rule = rule
        if "quality" in rule.criteria and "quality" not in documents.column_names():
            raise GristmillError(
                "the keep rule asks for quality, which these documents do not have",
                where="keep",
                mend="run data quality before, or leave quality out of the rule",
            )
        self._values = self._read(lengths)

    def choose(self, groups: Rows) -> Choice:
        """The copy of each group that stays. groups: for each of all documents a row that is the
        same within its group; whoever is in a group of several is a member."""
        names = ("", *self._rule.criteria, ADDRESS)
        kept = np.arange(len(groups), dtype=np.int64)
        because = np.zeros(len(groups), np.int8)
        members = self._members
        group = groups[members]
        order = np.lexsort((*reversed(self._values), group))
        group = group[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = group[1:] != group[:-1]
        leader = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        # tied: like the first of its group in all that the criteria look at.
        tied = np.ones(len(order), np.bool_)
        decided = np.full(len(order), len(names) - 1, np.int8)
        for number in range(len(self._values) - 1, -1, -1):
            value = self._values[number][order]
            unlike = value != value[leader]
            decided[unlike] = number + 1
            tied &= ~unlike
        several = np.bincount(leader[tied], minlength=len(order)) > 1
        open_ = np.flatnonzero(tied & several[leader])
        best = leader.copy()
        if len(open_):
            winners = self._by_address(order[open_], leader[open_])
            new = np.arange(len(order))
            new[leader[open_][winners]] = open_[winners]
            best = new[leader]
        kept[members[order]] = members[order[best]]
        because[members[order]] = np.where(best == np.arange(len(order)), 0, decided)
        return Choice(kept, because, names)

    def _by_address(self, places: Rows, groups: Rows) -> Rows:
        """Of each group the place (among `places`) of the smallest address, then id."""
        sort = np.argsort(places)
        wanted = self._members[places[sort]]
        found: list[pa.Table] = []
        first = 0
        for part, count in zip(self._documents.parts, self._counts, strict=True):
            low, high = np.searchsorted(wanted, (first, first + count))
            if high > low:
                table = self._documents.read(part, ["url", "id"])
                found.append(table.take(pa.array(wanted[low:high] - first)))
            first += count
        table = pa.concat_tables(found).append_column("group", pa.array(groups[sort]))
        keys = [("group", "ascending"), ("url", "ascending"), ("id", "ascending")]
        ranked: Rows = pc.sort_indices(table, sort_keys=keys).to_numpy().astype(np.int64)
        order = sort[ranked]
        group = groups[order]
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = group[1:] != group[:-1]
        return np.sort(order[is_first])

    def _read(self, lengths: Column) -> list[Values]:
        """Of each criterion a number a member; the smaller stays."""
        rule, members = self._rule, self._members
        values = {name: np.zeros(len(members)) for name in rule.criteria}
        if "longest" in values:
            values["longest"] = -lengths.take(members).astype(np.float64)
        if "first" in values:
            values["first"] = members.astype(np.float64)
        needs = {"host": "host", "source": "source", "linked": "url", "short_url": "url",
                 "quality": "quality", "newest": "date"}  # fmt: skip
        wanted = {needs[name] for name in rule.criteria if name in needs}
        if not rule.hosts:
            wanted.discard("host")
        if not rule.sources:
            wanted.discard("source")
        pages: list[npt.NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        first = low = 0
        for part, count in zip(self._documents.parts, self._counts, strict=True):
            high = int(np.searchsorted(members, first + count))
            if wanted and high > low:
                rows = pa.array(members[low:high] - first)
                table = self._documents.read(part, sorted(wanted)).take(rows)
                here = slice(low, high)
                if "linked" in values:
                    pages.append(address_numbers(table["url"].to_pylist()))
                for name in values:
                    if needs.get(name) in wanted and name != "linked":
                        values[name][here] = self._column(name, table)
            first, low = first + count, high
        if "linked" in values:
            values["linked"] = -self._linking_sites(np.concatenate(pages)).astype(np.float64)
        return list(values.values())

    def _column(self, name: str, table: pa.Table) -> Values:
        if name in ("host", "source"):
            preferred = self._rule.hosts if name == "host" else self._rule.sources
            ranks = {one: float(rank) for rank, one in enumerate(preferred)}
            return np.array([ranks.get(o, float(len(ranks))) for o in table[name].to_pylist()])
        if name == "short_url":
            lengths: Values = pc.utf8_length(table["url"]).to_numpy().astype(np.float64)
            return lengths
        if name == "newest":
            return np.array([-moment(one) for one in table["date"].to_pylist()])
        assert name == "quality", name
        return np.array([-one if one is not None else np.inf for one in table[name].to_pylist()])

    def _linking_sites(self, pages: npt.NDArray[np.uint64]) -> Rows:
        """Of each member how many other sites link to it. pages: `address_numbers`."""
        wanted = np.unique(pages[pages > 0])
        if not len(wanted):
            return np.zeros(len(pages), np.int64)
        # Of each link to a member the member's place and half of its site's number: two sites that
        # link to one page are one in four billion times.
        links = [np.zeros(0, np.uint64)]
        held = 1 << 20
        for _, table in self._documents.tables(["host", "links"]):
            column = table["links"].combine_chunks()
            sites = site_numbers(map(bare_host, table["host"].to_pylist()))
            targets = [_target(link) for link in pc.list_flatten(column).to_pylist()]
            pair = np.array(targets, np.uint64).reshape(-1, 2)
            owner = sites[pc.list_parent_indices(column).to_numpy()]
            place = np.minimum(np.searchsorted(wanted, pair[:, 0]), len(wanted) - 1)
            hit = (wanted[place] == pair[:, 0]) & (pair[:, 1] != owner)
            key = (place[hit].astype(np.uint64) << _HALF) | (owner[hit] >> _HALF)
            links.append(np.unique(key))
            if sum(map(len, links)) > held:
                links = [np.unique(np.concatenate(links))]
                held = max(held, 2 * len(links[0]))
        linked = wanted[(np.unique(np.concatenate(links)) >> _HALF).astype(np.int64)]
        low, high = np.searchsorted(linked, pages), np.searchsorted(linked, pages, "right")
        found: Rows = np.where(pages > 0, high - low, 0)
        return found


@lru_cache(1 << 16)
def _target(link: str | None) -> tuple[int, int]:
    """The page that a link leads to and its site, as numbers. Menus repeat on each page."""
    page = same_page(link or "")
    if not page:
        return 0, 0
    return name_number(page), name_number(page.split("/", 1)[0].split("?", 1)[0])


def moment(date: str | None) -> float:
    """Seconds since 1970 of an ISO date or time (UTC where no zone is said); minus infinity where
    there is none."""
    try:
        found = datetime.fromisoformat((date or "").strip())
    except ValueError:
        return -np.inf
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
