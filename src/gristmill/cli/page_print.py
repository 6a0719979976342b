"""A page and its extracted text on the terminal: marked lines, or two columns where it is wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gristmill.cli.present import console, print_table
from gristmill.cli.talk import printable

if TYPE_CHECKING:
    from gristmill.data.extract.explain import Explanation, PageBlock
    from gristmill.data.extract.stored import StoredPage

# Two columns of less than that are harder to read than lines below each other.
_TWO_COLUMNS = 120
_DROPPED_LINES = 2
# Embeddings, overrides and isolates of the direction of writing.
_TURNS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
_KEPT, _DROPPED, _WHY = "green", "dim", "yellow"


def print_explanation(found: Explanation, *, whole: bool = False) -> None:
    """One page: facts, its blocks in order, and the sums by reason.

    whole: every dropped block on lines of its own.
    """
    out = console()
    _print_head(found, out)
    if found.rejected:
        out.print(Text(f"no document: {_inert(found.rejected)}", style="bold red"))
    if not found.blocks:
        return
    out.print()
    wide = out.width >= _TWO_COLUMNS
    if wide:
        out.print(_two_columns(found, out.width, whole))
    else:
        for line in _marked_lines(found, out.width, whole):
            out.print(line)
    _print_reasons(found, out)


def print_index(shown: Sequence[StoredPage], total: int, name: str) -> None:
    """Pages of a crawl, a line each, and how many there are."""
    out = console()
    if shown:
        out.print(Text("status  type        address", style="bold"))
    for page in shown:
        kind = (page.content_type or "").partition(";")[0].removeprefix("text/")
        line = f"{page.status:>6}  {kind[:10]:10}  {page.url}"
        out.print(Text(_inert(line)), no_wrap=True, overflow="ellipsis", crop=True)
    more = f", the first {len(shown):,}" if len(shown) < total else ""
    out.print(Text(f"{total:,} pages of {name}{more}", style=_DROPPED))


def print_sample(found: Sequence[Explanation], about: str) -> None:
    """Some pages: how much of each was kept, and the main reason for the rest."""
    out = console()
    out.print(Text(_inert(about), style="bold"))
    for one in found:
        dropped = [kind for kind, kept, _, _ in one.reasons() if not kept]
        if one.rejected:
            said = Text(f"rejected: {_inert(one.rejected)}", style="red")
        else:
            said = Text(f"{100 * one.kept_share:3.0f}% of {one.characters:,} characters", _KEPT)
            said.append(f", the rest mostly {dropped[0]}" if dropped else "", style=_DROPPED)
        out.print(said)
        out.print(Text(f"     {_inert(one.url)}"), soft_wrap=True)
    out.print(Text("--html FILE shows them beside their texts", style="dim"))


def _inert(text: str) -> str:
    """Text of a page that drives no terminal and turns no line around."""
    return printable(text).translate(_TURNS)


def _print_head(found: Explanation, out: Console) -> None:
    title = " ".join(_inert(found.title or "").split())
    if title:
        out.print(Text(textwrap.shorten(title, 2 * out.width, placeholder=" ..."), style="bold"))
    for place in (found.url, found.where):
        if place and (place == found.where or not found.where.endswith(place)):
            # Addresses stand whole, so that they can be copied.
            out.print(Text(_inert(place), style="dim"), soft_wrap=True)
    facts = []
    if found.blocks:
        share = f"{100 * found.kept_share:.0f}%"
        facts.append(f"kept {found.kept_characters:,} of {found.characters:,} characters ({share})")
    facts += [
        _inert(value)
        for value in (found.kind, found.encoding, found.language, found.date, found.licence)
        if value
    ]
    if facts:
        out.print(Text(", ".join(facts)))


def _marked_lines(found: Explanation, width: int, whole: bool) -> Iterator[Text]:
    """`+` before what was extracted, `-` before what was dropped, its reason above it."""
    told: set[int] = set()
    for kept, members in _runs(found):
        if kept:
            if text := _got(found, members, told):
                yield _margin(text, "+ ", width, _KEPT, "")
            continue
        yield Text(_heading(members), style=_WHY)
        if whole:
            for block in members:
                yield _margin(block.text, "- ", width, _DROPPED, _DROPPED)
        else:
            yield _margin(_joined(members), "- ", width, _DROPPED, _DROPPED, _DROPPED_LINES)


def _two_columns(found: Explanation, width: int, whole: bool) -> Table:
    """The page on the left, the extracted text on the right."""
    half = (width - 3) // 2
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(width=half, overflow="fold")
    table.add_column(width=width - half - 3, overflow="fold")
    table.add_row(Text("the page", style="bold"), Text("the extracted text", style="bold"))
    for kept, members in _runs(found):
        if kept:
            for piece, run in groupby(members, key=lambda block: block.piece):
                said = "\n".join(_inert(block.text) for block in run)
                got = _inert(found.pieces[piece].strip("\n"))
                table.add_row(_margin(said, "+ ", half, _KEPT, ""), Text(got))
            continue
        lines = [Text(_heading(members), style=_WHY)]
        if whole:
            lines += [_margin(b.text, "- ", half, _DROPPED, _DROPPED) for b in members]
        else:
            lines.append(_margin(_joined(members), "- ", half, _DROPPED, _DROPPED, _DROPPED_LINES))
        table.add_row(Text("\n").join(lines), "")
    return table


def _runs(found: Explanation) -> Iterator[tuple[bool, list[PageBlock]]]:
    """Neighbours that were kept, or dropped for one reason."""
    for (kept, _), run in groupby(found.blocks, key=lambda b: (b.kept, "" if b.kept else b.reason)):
        yield kept, list(run)


def _got(found: Explanation, members: Sequence[PageBlock], told: set[int]) -> str:
    """The extracted text of neighbours; a piece that a dropped block cuts in two is told once."""
    pieces = dict.fromkeys(block.piece for block in members if block.piece not in told)
    told.update(pieces)
    return "".join(found.pieces[piece] for piece in pieces).strip("\n")


def _heading(members: Sequence[PageBlock]) -> str:
    reason = _inert(members[0].reason)
    if len(members) == 1:
        return f"  {reason}"
    characters = sum(block.characters for block in members)
    return f"  {len(members)} blocks, {characters:,} characters, {reason}"


def _joined(members: Sequence[PageBlock]) -> str:
    return " · ".join(" ".join(block.text.split()) for block in members)


def _margin(text: str, mark: str, width: int, mark_style: str, style: str, most: int = 0) -> Text:
    """Text wrapped behind a mark on each line, cut to `most` lines where that is not 0."""
    lines: list[str] = []
    for line in _inert(text).split("\n"):
        wrapped = Text(line).wrap(_MEASURE, max(10, width - len(mark)))
        lines += [str(part).rstrip() for part in wrapped] or [""]
        if most and len(lines) > most:
            lines = lines[:most]
            lines[-1] = lines[-1][: width - len(mark) - 4].rstrip() + " ..."
            break
    shown = Text()
    for number, line in enumerate(lines):
        shown.append("\n" if number else "")
        shown.append(mark, style=mark_style)
        shown.append(line, style=style)
    return shown


_MEASURE = Console(width=80)


def _print_reasons(found: Explanation, out: Console) -> None:
    whole = max(1, found.characters)
    rows = [
        ("kept" if kept else "dropped", kind, blocks, length, f"{100 * length / whole:.1f}%")
        for kind, kept, blocks, length in found.reasons()
    ]
    note = f"the main element: {_inert(found.main)}"
    if found.unread:
        counted = ", ".join(f"{n} {tag.lstrip('-')}" for tag, n in found.unread.items())
        note += f"\nnot read: {counted}"
    print_table("", ("", "reason", "blocks", "characters", "share"), rows, out, note=note)
