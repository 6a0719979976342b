"""What `data inspect` shows of a funnel: tables, a picture, and samples of what was dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Samples, Series, Table
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    from gristmill.data.funnel import Funnel, Step
    from gristmill.data.funnel_groups import Groups

_BY = {"site": "By site", "source": "By source", "domain": "By domain"}
_NOTE = {
    "site": "A page that never became a document counts among what went, not among what was left.",
    "domain": "Domains are told late: what earlier steps dropped has none.",
}
_IN_JSON = 1000
"""Names that inspection.json has, of each kind."""


def present_funnel(found: Funnel, groups_shown: int, output: Output) -> None:
    """Adds tables, the picture and samples."""
    steps = [*([found.crawl] if found.crawl else []), *found.steps]
    output.tables.append(
        Table(
            "Left after each step",
            ("step", "documents", "words", "bytes", "dropped", "changed"),
            [_row(step, has_texts=step is not found.crawl) for step in steps],
        )
    )
    output.charts.append(
        Chart(
            "Documents left after each step, and what each reason took",
            "step",
            "documents",
            [
                Series(
                    step.name,
                    list(map(float, range(1 + len(step.dropped)))),
                    [float(step.documents), *map(float, step.dropped.values())],
                    labels=["left", *step.dropped],
                )
                for step in steps
            ],
            style="funnel",
            categories=[step.name for step in steps],
        )
    )
    reasons = [
        (step.name, reason, count, *_texts(step, reason))
        for step in steps
        for reason, count in sorted(step.dropped.items(), key=lambda item: (-item[1], item[0]))
    ]
    if reasons:
        output.tables.append(
            Table(
                "Why documents were dropped",
                ("step", "reason", "documents", "words", "bytes"),
                reasons,
            )
        )
    names = [step.name.removeprefix("data.") for step in found.steps]
    for kind, groups in found.groups.items():
        output.tables.append(_by(kind, groups, names, groups_shown))
    for step in steps:
        if step.samples:
            output.samples.append(
                Samples(
                    f"Dropped by {step.name}",
                    [{"reason": why, "url": url, "text": text} for why, url, text in step.samples],
                )
            )


def funnel_json(found: Funnel) -> dict[str, Any]:
    """For inspection.json."""
    steps = [step.name for step in found.steps]
    return {
        "crawl": found.crawl.to_json() if found.crawl else None,
        "funnel": [step.to_json() for step in found.steps],
        "by": {
            kind: [row.to_json(steps) for row in groups.top(_IN_JSON)]
            for kind, groups in found.groups.items()
        },
    }


def _row(step: Step, has_texts: bool) -> tuple[Any, ...]:
    words, size = (step.words, step.bytes) if has_texts else (None, None)
    return step.name, step.documents, words, size, sum(step.dropped.values()), step.changed


def _texts(step: Step, reason: str) -> tuple[int | None, int | None]:
    """Words and bytes of what a reason took; none where it took pages before their texts."""
    if reason not in step.dropped_words:
        return None, None
    return step.dropped_words[reason], step.dropped_bytes[reason]


def _by(kind: str, groups: Groups, steps: list[str], shown: int) -> Table:
    rows = [
        (
            row.name,
            row.documents[0],
            row.documents[-1],
            row.words[-1],
            row.bytes[-1],
            row.mostly(),
            *row.documents[1:-1],
        )
        for row in groups.top(shown)
    ]
    # The terminal shows as many columns as it has room for: the first say most.
    columns = (
        kind,
        steps[0],
        "left",
        "words left",
        "bytes left",
        "most went by",
        *(f"after {step}" for step in steps[1:-1]),
    )
    return Table(f"{_BY[kind]}: documents left", columns, rows, _NOTE.get(kind, ""))
