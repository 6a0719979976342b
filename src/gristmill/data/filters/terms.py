"""Documents dropped for what they state: a licence that is not allowed, or an opt-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from gristmill.data.licence_rules import licence_fits

STATED: Final = ("source", "licence", "opt_out")


@dataclass(frozen=True)
class Terms:
    """licences: patterns of those allowed, empty for all. dropped: patterns of those that are not.

    drop_opt_outs: whether a document that opts out is dropped.
    """

    licences: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    drop_opt_outs: bool = False

    def verdict(self, licence: str | None, opt_out: str | None) -> tuple[str, str] | None:
        """(reason, detail) of a document that is dropped, or None."""
        if self.drop_opt_outs and opt_out:
            return "opt_out", f"states {opt_out}"
        if self.licences and not licence_fits(licence, self.licences):
            return "licence.not_allowed", f"states {licence or 'no licence'}"
        if self.dropped and licence_fits(licence, self.dropped):
            return "licence.dropped", f"states {licence or 'no licence'}"
        return None


def stated_columns(
    table: pa.Table,
) -> tuple[list[str | None], list[str | None], list[str | None]]:
    """The columns STATED of a table; nulls for one that it lacks."""
    names = table.column_names
    source, licence, opt_out = (
        table[name] if name in names else pa.nulls(len(table)) for name in STATED
    )
    return source.to_pylist(), licence.to_pylist(), opt_out.to_pylist()
