"""FineWeb's own rules (Penedo et al. 2024, section 3.6)."""

from __future__ import annotations

from gristmill.data.filters.checks import Check, above, below, ratio
from gristmill.data.filters.rules import FineWebRules
from gristmill.data.filters.statistics import Statistics


def fineweb(s: Statistics, rules: FineWebRules, *, strict: bool = False) -> list[Check]:
    """The checks in the order of the published code; lines are those that are not blank.

    strict: what equals a limit passes, as in that code and not in the paper.
    """
    return [
        *below(
            "fineweb.ended_lines",
            ratio(s["ended_lines"], s["lines"]),
            rules.min_ended_lines,
            strict=strict,
        ),
        *above(
            "fineweb.short_lines",
            ratio(s["short_lines"], s["lines"]),
            rules.max_short_lines,
            strict=strict,
        ),
        *above(
            "fineweb.duplicate_line_characters",
            ratio(s["duplicate_line_characters"], s["characters"] - s["newlines"]),
            rules.max_duplicate_line_characters,
            strict=strict,
        ),
        *above(
            "fineweb.newlines_per_word",
            ratio(s["newlines"], s["words"]),
            rules.max_newlines_per_word,
        ),
    ]
