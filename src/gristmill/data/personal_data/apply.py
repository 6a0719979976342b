"""The rules on personal data, applied to one document."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gristmill.data.filters.rules import PersonalDataRules
from gristmill.data.personal_data.find import FINDERS, find
from gristmill.data.personal_data.mask import rewrite, to_json
from gristmill.data.personal_data.national_ids import COUNTRIES


@dataclass(frozen=True)
class Applied:
    """record: the findings as JSON, None where there are none. text: the new text, None where it
    stays. rejected_for: the kinds for which the document is dropped, none in most cases."""

    record: str | None = None
    text: str | None = None
    rejected_for: str = ""


def hints_decide(kinds: Collection[str]) -> bool:
    """Whether a text without hints has nothing of these kinds."""
    return all(FINDERS[kind][1] for kind in kinds)


def apply(text: str, rules: PersonalDataRules, known_hints: int | None = None) -> Applied:
    """Finds what the rules ask for, and masks, removes, rejects or only records it, by kind."""
    spans = find(
        text,
        rules.kinds,
        private_ip=rules.private_ip,
        known_hints=known_hints,
        id_countries=COUNTRIES if "all" in rules.id_countries else rules.id_countries,
        min_score=rules.min_score,
    )
    if not spans:
        return Applied()
    record = to_json(spans, rules.scores)
    own = {str(kind): str(what) for kind, what in rules.actions.items()}
    action = {span.kind: own.get(span.kind, rules.action) for span in spans}
    rejected = sorted(kind for kind, what in action.items() if what == "reject")
    if rejected:
        return Applied(record, None, ", ".join(rejected))
    changed = [span for span in spans if action[span.kind] in ("mask", "remove")]
    if not changed:
        return Applied(record)
    removed = {kind for kind, what in action.items() if what == "remove"}
    return Applied(record, rewrite(text, changed, rules.mask, removed))
