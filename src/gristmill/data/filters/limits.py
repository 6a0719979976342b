"""The limits that a run of `data filter` had, and how a document's numbers stand to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.data.filters import rules
from gristmill.data.filters.thresholds import THRESHOLDS, Threshold

_GROUPS: Final[Mapping[str, type[rules.RuleGroup]]] = {
    "language": rules.LanguageRules,
    "boilerplate": rules.BoilerplateRules,
    "spam": rules.SpamRules,
    "adult": rules.WordListRules,
    "toxic": rules.WordListRules,
    "gopher_repetition": rules.GopherRepetitionRules,
    "gopher_quality": rules.GopherQualityRules,
    "c4": rules.C4Rules,
    "fineweb": rules.FineWebRules,
    "outliers": rules.OutlierRules,
}


@dataclass(frozen=True)
class Judged:
    """One threshold and one document."""

    rule: str
    value: float
    limit: float
    fails: str
    """The sign between value and limit with which a document is dropped."""
    failed: bool

    @property
    def distance(self) -> float:
        """How far the value is from the limit, as a share of the limit."""
        return abs(self.value - self.limit) / max(abs(self.limit), 1e-9)

    def said(self) -> str:
        """`37 < 50`, or `73, not < 50`."""
        sign = self.fails if self.failed else f"not {self.fails}"
        between = " " if self.failed else ", "
        return f"{number(self.value)}{between}{sign} {number(self.limit)}"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def number(value: float) -> str:
    """Four digits; whole numbers whole."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def group_of(threshold: Threshold) -> str:
    """The group of rules that a threshold belongs to."""
    return threshold.rule.partition(".")[0]


def limit_in(config: Mapping[str, Any], threshold: Threshold) -> float | None:
    """The limit in a config of `data filter`; what it does not name has the default. None where
    the rule is off."""
    group, _, field = threshold.rule.partition(".")
    settings = _GROUPS[group].model_validate(config.get(group) or {})
    if not settings.enabled:
        return None
    value = getattr(settings, field)
    return None if value is None else float(value)


def as_configured(config: Mapping[str, Any], threshold: Threshold) -> Threshold:
    """The threshold with the sign that the config gives it: at FineWeb's limits datatrove keeps."""
    counting = config.get("counting") or {}
    loose = {"<=": "<", ">=": ">"}
    if group_of(threshold) == "fineweb" and counting.get("at_fineweb_limits") == "keep":
        return replace(threshold, fails=loose.get(threshold.fails, threshold.fails))
    return threshold


def judged(config: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[Judged]:
    """How one document stood to each limit, by a layer's row: those that it failed first, in the
    order in which rules are asked, then the others, nearest first.

    Where a word list or another condition decides beside the number, the row's reasons tell.
    """
    reasons = set(verdict.get("reasons_all") or ())
    found = []
    for each in THRESHOLDS:
        value, limit = verdict.get(each.column), limit_in(config, each)
        if value is None or limit is None:
            continue
        threshold = as_configured(config, each)
        over = bool(threshold.failing(np.array([value]), limit)[0])
        failed = over and threshold.reason in reasons
        found.append(Judged(threshold.rule, float(value), limit, threshold.fails, failed))
    failing = [one for one in found if one.failed]
    return failing + sorted((one for one in found if not one.failed), key=lambda j: j.distance)


def named(rule: str) -> Threshold:
    """The threshold of a name: that in the config (`gopher_quality.min_words`), or that in the
    reason (`gopher_quality.ellipses`) where it stands for one threshold alone.

    Raises GristmillError with the nearest names.
    """
    by_rule = [t for t in THRESHOLDS if t.rule == rule]
    if by_rule:
        return by_rule[0]
    by_reason = [t for t in THRESHOLDS if t.reason == rule]
    if len(by_reason) == 1:
        return by_reason[0]
    if by_reason:
        raise GristmillError(
            f"'{rule}' is decided by two limits",
            where="--near",
            mend=" or ".join(t.rule for t in by_reason),
        )
    raise GristmillError(
        f"'{rule}' is no threshold of data filter",
        where="--near",
        mend=_others(rule),
    )


def _names() -> list[str]:
    return [t.rule for t in THRESHOLDS]


def _others(rule: str) -> str:
    """The nearest name, and the others of its group; the groups where it is near to none."""
    names = list(dict.fromkeys(_names()))
    near = did_you_mean(rule, names)
    group = rule.partition(".")[0]
    listed = ", ".join(name for name in names if name.startswith(f"{group}."))
    if not near.startswith("did you mean"):
        near = "" if listed else "a threshold is GROUP.NAME, such as gopher_quality.min_words"
    return f"{near} (there are {listed})" if listed else f"{near} (groups: {', '.join(_GROUPS)})"
