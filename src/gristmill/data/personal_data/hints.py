"""What every value of a kind has, found in the shared pass over a text: most texts have none of it
and need no search.
"""

from __future__ import annotations

import re
from typing import Final

# An at sign.
HINT_AT: Final = 1
# Six digits with at most two spaces, dots, hyphens, slashes or brackets between each two.
HINT_DIGITS: Final = 2
# Four numbers with dots between them.
HINT_DOTTED: Final = 4
# Two capital letters and two digits.
HINT_IBAN: Final = 8
# Two colons together, or seven.
HINT_COLONS: Final = 16

_DIGITS: Final = re.compile(r"[0-9](?:[ .\-/()\u00a0\u202f]{0,2}[0-9]){5}")
_DOTTED: Final = re.compile(r"[0-9]\.[0-9]+\.[0-9]+\.[0-9]")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}")


def hints(text: str) -> int:
    """The bits of a text; the compiled pass of `filters.statistics` computes the same."""
    return (
        (HINT_AT if "@" in text else 0)
        | (HINT_DIGITS if _DIGITS.search(text) else 0)
        | (HINT_DOTTED if _DOTTED.search(text) else 0)
        | (HINT_IBAN if _IBAN.search(text) else 0)
        | (HINT_COLONS if "::" in text or text.count(":") >= 7 else 0)
    )
