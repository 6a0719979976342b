"""What an extraction tells of itself: pages with and without a document, and why."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

from gristmill.core.figure import Figure, Samples, Table

CUT = 400
"""Characters of a sample."""
_SAMPLES = 5
_REJECTS_SHOWN = 2  # of each reason
# What the engine says where a page cost its worker.
_ENGINE = {
    "time": "over the time limit",
    "memory": "over the memory limit",
    "died": "its worker died",
    "error": "an error of ours",
    "opt_out": "opted out",
}
_LOOK = "`gristmill data inspect URL` shows a page beside its text, with what was dropped and why."


class Tally:
    """Counts pages as they come, in order, and makes tables and samples of them."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._lengths: array[int] = array("q")
        self._encodings: Counter[str] = Counter()
        self._kept: list[dict[str, str]] = []
        self._rejected: list[dict[str, str]] = []

    def document(self, url: str, begins: str, characters: int, encoding: str) -> None:
        """A page gave a document. begins: at least the first CUT characters of its text."""
        self._lengths.append(characters)
        self._encodings[encoding] += 1
        if len(self._kept) < _SAMPLES:
            self._kept.append({"url": url, "text": begins[:CUT]})

    def reject(self, url: str, reason: str, sample: str) -> None:
        """A page gave none; what stands behind a colon in the reason is a detail."""
        kind = reason.split(":")[0]
        self.reasons[kind] += 1
        self._show({"reason": kind, "url": url, "text": sample[:CUT] or reason})

    def to_json(self) -> dict[str, Any]:
        """For a journal; `take_up` is the inverse."""
        return {
            "reasons": dict(self.reasons),
            "lengths": self._lengths.tolist(),
            "encodings": dict(self._encodings),
            "kept": self._kept,
            "rejected": self._rejected,
        }

    def take_up(self, counted: Mapping[str, Any]) -> None:
        """Adds what another tally counted in the pages that follow."""
        self.reasons.update(counted["reasons"])
        self._lengths.extend(counted["lengths"])
        self._encodings.update(counted["encodings"])
        self._kept = [*self._kept, *counted["kept"]][:_SAMPLES]
        for row in counted["rejected"]:
            self._show(row)

    @property
    def rejected(self) -> int:
        """Pages without a document."""
        return sum(self.reasons.values())

    def figures(self) -> dict[str, Figure]:
        """Documents, rejects, and the length of the document in the middle (characters)."""
        found = {"extract.documents": Figure(len(self._lengths))}
        found["extract.rejected"] = Figure(self.rejected)
        if self._lengths:
            middle = sorted(self._lengths)[len(self._lengths) // 2]
            found["extract.characters"] = Figure(middle, n=len(self._lengths))
        return found

    def tables(self) -> list[Table]:
        """Why pages gave no document; how long documents are; what they were read as."""
        shown: list[Table] = []
        pages = len(self._lengths) + self.rejected
        if self.reasons:
            ranked = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
            rows: list[list[Any]] = [
                [_ENGINE.get(why, why), n, f"{100 * n / pages:.1f}%"] for why, n in ranked
            ]
            columns = ("why no document", "pages", "share")
            shown.append(Table("Pages without a document", columns, rows, _LOOK))
        if self._lengths:
            ordered = sorted(self._lengths)
            places = (("shortest", 0.0), ("10% are shorter", 0.1), ("the middle one", 0.5),
                      ("10% are longer", 0.9), ("longest", 1.0))  # fmt: skip
            last = len(ordered) - 1
            lengths = [[name, ordered[round(share * last)]] for name, share in places]
            shown.append(Table("Characters of a document", ("document", "characters"), lengths))
            encodings = sorted(self._encodings.items(), key=lambda item: (-item[1], item[0]))
            shown.append(Table("Encodings of the pages", ("encoding", "pages"), encodings))
        return shown

    def samples(self) -> list[Samples]:
        """The first documents, and the first rejects of each reason."""
        shown = [Samples("Extracted pages", self._kept)]
        if self._rejected:
            rows = sorted(self._rejected, key=lambda row: row["reason"])
            shown.append(Samples("Rejected pages", rows))
        return shown

    def _show(self, row: dict[str, str]) -> None:
        if sum(shown["reason"] == row["reason"] for shown in self._rejected) < _REJECTS_SHOWN:
            self._rejected.append(row)
