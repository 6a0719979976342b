"""What is done with the personal data that was found: masked, removed, or only told."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gristmill.data.personal_data.find import Span


def mask(text: str, spans: Sequence[Span], template: str = "[{kind}-{number}]") -> str:
    """The text with each span replaced; equal values of a kind get the same number.

    spans: sorted and not overlapping, as `find` gives them.
    """
    numbers: dict[str, dict[str, int]] = {}
    pieces: list[str] = []
    position = 0
    for span in spans:
        known = numbers.setdefault(span.kind, {})
        number = known.setdefault(same_value(span), len(known) + 1)
        pieces += [text[position : span.start], template.format(kind=span.kind, number=number)]
        position = span.end
    return "".join([*pieces, text[position:]])


def remove(text: str, spans: Sequence[Span]) -> str:
    """The text without the spans; the space before one goes with it."""
    pieces: list[str] = []
    position = 0
    for span in spans:
        start = span.start
        if start > position and text[start - 1] == " ":
            start -= 1
        pieces.append(text[position:start])
        position = span.end
    return "".join([*pieces, text[position:]])


def same_value(span: Span) -> str:
    """One spelling for values that are the same: case and separators do not count."""
    if span.kind in ("email", "ip"):
        return span.value.lower()
    return "".join(c for c in span.value.upper() if c.isalnum())


def to_json(spans: Sequence[Span]) -> str:
    """`[{"kind", "start", "end", "value"}, ...]`; positions are those of the text before."""
    return json.dumps(
        [{"kind": s.kind, "start": s.start, "end": s.end, "value": s.value} for s in spans],
        ensure_ascii=False,
    )
