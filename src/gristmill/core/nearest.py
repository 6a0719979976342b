"""The valid name that a mistyped one was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A mend for an unknown name: the nearest valid one, or the list of all where none is near."""
    names = sorted(valid)
    grouped = [valid_name for valid_name in names if valid_name.endswith(f".{name}")]
    near = grouped or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"valid here: {', '.join(names)}" if names else "nothing is valid here"
