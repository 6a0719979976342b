"""How much of a set of documents comes from which source, under which licence, and is opted out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gristmill.core.figure import Chart, Figure, Series, Table, proportion

_SHOWN = 12
_BARS = 6
_LEFT_OUT = ", left out"
_NONE = {"licence": "not stated", "opt-out": "none stated"}


class Presentation(Protocol):
    """What of a stage's output is filled here."""

    figures: dict[str, Figure]
    tables: list[Table]
    charts: list[Chart]


class Shares:
    """Counts of documents and characters, by source, licence and opt-out."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, list[int]]] = {"source": {}, "licence": {}, "opt-out": {}}

    def add(
        self, source: str | None, licence: str | None, opt_out: str | None, characters: int
    ) -> None:
        """Counts a document."""
        stated = (("source", source), ("licence", licence), ("opt-out", opt_out))
        for kind, name in stated:
            entry = self._counts[kind].setdefault(name or "", [0, 0])
            entry[0] += 1
            entry[1] += characters

    def leave_out(self, opt_out: str) -> None:
        """Counts what became no document because it opts out."""
        self._counts["opt-out"].setdefault(f"{opt_out}{_LEFT_OUT}", [0, 0])[0] += 1

    def to_json(self) -> dict[str, Any]:
        """For a journal; `take_up` is the inverse."""
        return dict(self._counts)

    def take_up(self, counts: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
        """Adds counts of `to_json`."""
        for kind, entries in counts.items():
            for name, (documents, characters) in entries.items():
                entry = self._counts[kind].setdefault(name, [0, 0])
                entry[0] += documents
                entry[1] += characters

    @property
    def documents(self) -> int:
        """Documents counted."""
        return sum(count for count, _ in self._counts["source"].values())

    def figures(self, prefix: str) -> dict[str, Figure]:
        """Shares of documents that state a licence, and of those that state an opt-out among them
        and what was left out for one."""
        n = self.documents
        with_licence = n - self._counts["licence"].get("", [0])[0]
        judged = sum(count for count, _ in self._counts["opt-out"].values())
        opted_out = judged - self._counts["opt-out"].get("", [0])[0]
        return {
            f"{prefix}.licence_stated": proportion(with_licence, n),
            f"{prefix}.opted_out": proportion(opted_out, judged),
        }

    def table(self, title: str = "Licences, sources and opt-outs") -> Table:
        """Documents, characters and the share of characters, the largest first."""
        rows = []
        for kind in ("licence", "source", "opt-out"):
            total = sum(characters for _, characters in self._counts[kind].values()) or 1
            ordered = self._ordered(kind)
            for name, (documents, characters) in ordered[:_SHOWN]:
                label = name or _NONE.get(kind, "not stated")
                rows.append((kind, label, documents, characters, characters / total))
            if len(ordered) > _SHOWN:
                rest = ordered[_SHOWN:]
                documents = sum(counts[0] for _, counts in rest)
                characters = sum(counts[1] for _, counts in rest)
                rows.append((kind, f"{len(rest)} more", documents, characters, characters / total))
        columns = ("what", "name", "documents", "characters", "share of characters")
        return Table(
            title, columns, rows, "Licences as the documents state them; not legal advice."
        )

    def chart(self, title: str = "Characters by licence, source and opt-out") -> Chart | None:
        """One bar for each of the largest; None where nothing was counted."""
        names: list[str] = []
        shares: list[float] = []
        for kind in ("licence", "source", "opt-out"):
            total = sum(characters for _, characters in self._counts[kind].values())
            for name, (_, characters) in self._ordered(kind)[:_BARS] if total else ():
                if not characters:
                    continue
                names.append(f"{kind}: {name or _NONE.get(kind, 'not stated')}"[:40])
                shares.append(characters / total)
        if not names:
            return None
        series = [Series("share", list(range(len(names))), shares)]
        return Chart(title, "", "share of characters", series, style="bar", categories=tuple(names))

    def present(self, output: Presentation, prefix: str) -> None:
        """Adds figures, table and chart to what a stage shows, where there are documents."""
        if not self.documents:
            return
        output.figures.update(self.figures(prefix))
        output.tables.append(self.table())
        chart = self.chart()
        if chart is not None:
            output.charts.append(chart)

    def _ordered(self, kind: str) -> list[tuple[str, list[int]]]:
        return sorted(self._counts[kind].items(), key=lambda item: (-item[1][1], item[0]))
