"""Documents on both sides of a limit as a page to read: the limit is set by looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.report import elements

_LETTERS = 1_000


def near_page(found: Mapping[str, Any]) -> str:
    """The page of a `gristmill.data.near.Near` as JSON. It opens offline and holds no script."""
    rule, limit = str(found["rule"]), _number(found["limit"])
    sections = [
        ("Other limits", _moves(found)),
        ("Dropped, nearest first", _documents(found["failing"])),
        ("Kept by this rule, nearest first", _documents(found["passing"])),
    ]
    anew = ", counted anew from the texts" if found["recomputed"] else ""
    context = "" if found["only"] else " A context decides beside the number."
    about = (
        f"Dropped where the number is {found['fails']} {limit}. {found['judged']:,} of "
        f"{found['documents']:,} documents were judged{anew}.{context}"
    )
    return elements.page(f"{rule}, {found['fails']} {limit}", about, sections)


def _moves(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{_number(move['limit'])}{' (this)' if move['limit'] == found['limit'] else ''}",
            move["drops"],
            move["alone"],
            move["kept_more"],
            move["dropped_more"],
        ]
        for move in found["moves"]
    ]
    moves = elements.table(
        {
            "title": "",
            "columns": ["limit", "drops", "no other rule does", "kept more", "dropped more"],
            "rows": rows,
            "note": "kept more, dropped more: than now, by all rules together.",
        }
    )
    quantiles = found["quantiles"]
    shares = elements.table(
        {
            "title": "The number among all documents",
            "columns": [f"{float(share):.0%} are below" for share in quantiles],
            "rows": [[_number(value) for value in quantiles.values()]],
        }
    )
    return moves + (shares if quantiles else "")


def _documents(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(_document(row) for row in rows) or "<p>None.</p>"


def _document(row: Mapping[str, Any]) -> str:
    said = f"dropped: {row['reason']}" if row["reason"] else "kept"
    text = str(row["text"])
    rest = len(text) - _LETTERS
    more = f" [... {rest:,} more letters]" if rest > 0 else ""
    return (
        f"<h3>{elements.text(_number(row['value']))} &#183; "
        f"{elements.text(row['title'] or row['url'])}</h3>"
        f'<p class="soft">{elements.text(row["url"])} &#183; {elements.text(said)}</p>'
        f'<div class="card" style="white-space: pre-wrap">{elements.text(text[:_LETTERS] + more)}'
        "</div>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
