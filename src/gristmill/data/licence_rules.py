"""Which licences are allowed, by patterns on SPDX ids and expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from gristmill.core.errors import GristmillError

UNSTATED = "none"
"""The pattern for documents that state no licence."""


def check_patterns(patterns: Sequence[str], where: str) -> None:
    """Raises GristmillError for an empty pattern."""
    for pattern in patterns:
        if not pattern.strip():
            raise GristmillError(
                "an empty name of a licence",
                where=where,
                mend="give SPDX ids or patterns such as CC-BY-*, and 'none' for no licence stated",
            )


def licence_fits(licence: str | None, patterns: Sequence[str]) -> bool:
    """Whether a licence is one of `patterns` (`MIT`, `CC-BY-*`, `none`), letters of any case.

    Of `A OR B` one is enough, `A AND B` needs both; an exception (`WITH ...`) is left out.
    """
    if not licence:
        return UNSTATED in (pattern.lower() for pattern in patterns)
    lowered = [pattern.lower() for pattern in patterns]
    plain = re.sub(r"[()]", " ", licence)
    return any(
        all(_one(part, lowered) for part in re.split(r"\s+AND\s+", choice))
        for choice in re.split(r"\s+OR\s+", plain)
    )


def _one(part: str, patterns: Sequence[str]) -> bool:
    name = re.split(r"\s+WITH\s+", part.strip())[0].lower()
    return any(fnmatchcase(name, pattern) for pattern in patterns)
