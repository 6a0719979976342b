"""A page beside its extracted text as one HTML file: what was kept, what was dropped and why.

The page's text is text here: escaped, isolated in its direction of writing, without control
characters, under a policy that allows no script and nothing from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gristmill.data.extract.explain import Explanation, PageBlock
from gristmill.report.elements import table, text

_MOST_BLOCKS = 3_000
_LONGEST_TEXT = 4_000
_OPEN_RUN = 3  # dropped blocks in a row that are not folded
_MOST_KINDS = 4
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_CONTROLS |= {0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}
_SPACES = re.compile(r"\s+")


def page_beside_text(found: Explanation) -> str:
    """The whole file for one page."""
    return _document(_title(found), "", _leaf(found, 0, 1))


def pages_beside_text(found: Sequence[Explanation], about: str) -> str:
    """The whole file for several pages, to leaf through. about: how they were chosen."""
    items = "".join(
        f'<li><a href="#p{i + 1}">{inert(_title(one))}</a> '
        f'<span class="n">{_percent(one)}</span></li>'
        for i, one in enumerate(found)
    )
    leaves = "".join(_leaf(one, i, len(found)) for i, one in enumerate(found))
    head = f'<p>{text(about)}</p><ol class="pages" id="pages">{items}</ol>'
    return _document(f"{len(found)} pages and their texts", head, leaves)


def inert(value: str) -> str:
    """Text from a page for HTML: escaped, its control characters shown as signs."""
    return text(value.translate(_CONTROLS))


def _document(title: str, head: str, leaves: str) -> str:
    folder = Path(__file__).parent
    css = "".join(
        (folder / name).read_text(encoding="utf-8") for name in ("page.css", "explained.css")
    )
    heading = f"<header><h1>{inert(title)}</h1>{head}</header>" if head else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
        f"<title>{inert(title)}</title><style>{css}</style></head><body>"
        f'{heading}<main class="leaves">{leaves}</main>'
        "<footer>Left the page, block by block; right what was extracted, in Markdown unless plain "
        "text was asked for. Grey blocks were dropped, for the reason below each. A block's worth "
        "is what it counts for a main text, or against one: running text as it is long, links less "
        "than nothing.</footer>"
        "</body></html>\n"
    )


def _leaf(found: Explanation, number: int, of: int) -> str:
    level = "h2" if of > 1 else "h1"
    shown = [
        f'<section class="leaf" id="p{number + 1}">',
        _leafing(number, of),
        f'<{level} dir="auto">{inert(_title(found))}</{level}>',
        f'<p class="place">{inert(found.url)}</p>'
        if found.url != _title(found) and not found.where.endswith(found.url)
        else "",
        f'<p class="place">{inert(found.where)}</p>' if found.where else "",
    ]
    if found.rejected:
        shown.append(
            f'<p class="rejected"><b>No document:</b> {inert(found.rejected)}. '
            "The extraction rejects this page.</p>"
        )
    shown.append(_facts(found))
    if found.blocks:
        shown += [_summary(found), _sheet(found)]
    shown.append("</section>")
    return "".join(shown)


def _leafing(number: int, of: int) -> str:
    if of < 2:
        return ""
    links = [f"page {number + 1} of {of}"]
    if number:
        links.append(f'<a href="#p{number}">previous</a>')
    if number + 1 < of:
        links.append(f'<a href="#p{number + 2}">next</a>')
    links.append('<a href="#pages">all pages</a>')
    inner = "".join(f"<span>{link}</span>" for link in links)
    return f'<nav class="leafing" aria-label="pages">{inner}</nav>'


def _facts(found: Explanation) -> str:
    known = [
        ("kept", f"{_percent(found)} of {found.characters:,} characters" if found.blocks else ""),
        ("kind", found.kind),
        ("size", f"{found.bytes:,} bytes" if found.bytes else ""),
        ("encoding", found.encoding),
        ("language", found.language),
        ("date", found.date),
        ("licence", found.licence),
        ("description", found.description),
        ("not read", ", ".join(f"{n} {tag.lstrip('-')}" for tag, n in found.unread.items())),
    ]
    items = "".join(f"<li>{name} <b>{inert(str(value))}</b></li>" for name, value in known if value)
    return f'<ul class="facts">{items}</ul>' if items else ""


def _summary(found: Explanation) -> str:
    whole = max(1, found.characters)
    rows = [
        [f"{'kept' if kept else 'dropped'}: {kind}", blocks, length, f"{100 * length / whole:.0f}%"]
        for kind, kept, blocks, length in found.reasons()
    ]
    kept = 100 * found.kept_share
    notes = [f"The main element: {found.main}."]
    if found.entered:
        notes.append(
            f"Read although named as something else, since most text lies there: {found.entered}."
        )
    return (
        f'<div class="share" role="img" aria-label="{kept:.0f} per cent kept">'
        f'<i style="width:{kept:.1f}%"></i></div>'
        "<details><summary>reasons, with their blocks and characters</summary>"
        + table(
            {
                "title": "",
                "columns": ["reason", "blocks", "characters", "share"],
                "rows": [[_clean(c) if isinstance(c, str) else c for c in row] for row in rows],
                "note": _clean(" ".join(notes)),
            }
        )
        + "</details>"
    )


def _sheet(found: Explanation) -> str:
    blocks = found.blocks[:_MOST_BLOCKS]
    rows = "".join(_rows(found, blocks))
    more = len(found.blocks) - len(blocks)
    if more:
        rows += f'<div class="row out"><div class="said"><p>{more:,} more blocks</p></div></div>'
    return (
        '<div class="sheet"><div class="heads"><span>the page</span>'
        "<span>the extracted text</span>"
        "<em>the page, and what was extracted where that differs</em>"
        f"</div>{rows}</div>"
    )


def _rows(found: Explanation, blocks: Sequence[PageBlock]) -> Iterator[str]:
    told: set[int] = set()
    for piece, run in groupby(blocks, key=lambda block: block.piece if block.kept else -1):
        members = list(run)
        if piece < 0:
            yield _dropped(members)
            continue
        got = found.pieces[piece].strip("\n") if piece not in told else ""
        told.add(piece)
        got_html = inert(_cut(got)) if got else "<span class=soft>(with the piece above)</span>"
        same = " same" if got.split() == " ".join(b.text for b in members).split() else ""
        said = "".join(f'<p dir="auto">{inert(_cut(block.text))}</p>' for block in members)
        yield (
            f'<div class="row{same}" tabindex="0"><div class="said">{said}'
            f"<small>{inert(_numbers(members))}</small></div>"
            f'<div class="got" dir="auto">{got_html}</div></div>'
        )


def _dropped(members: list[PageBlock]) -> str:
    inner = []
    for reason, run in groupby(members, key=lambda block: block.reason):
        same = list(run)
        inner += [f'<p dir="auto">{inert(_cut(block.text))}</p>' for block in same]
        inner.append(
            f'<small><span class="why">{inert(reason)}</span><br>{inert(_numbers(same))}</small>'
        )
    shown = "".join(inner)
    if len(members) > _OPEN_RUN:
        shown = f"<details><summary>{inert(_run(members))}</summary>{shown}</details>"
    return (
        f'<div class="row out" tabindex="0"><div class="said">{shown}</div>'
        '<div class="got"></div></div>'
    )


def _run(members: list[PageBlock]) -> str:
    """`37 blocks dropped: navigation 30, related 7`."""
    counts: dict[str, int] = {}
    for block in members:
        counts[block.kind] = counts.get(block.kind, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{kind} {n}" if len(ranked) > 1 else kind for kind, n in ranked[:_MOST_KINDS]]
    if len(ranked) > _MOST_KINDS:
        named.append(f"{len(ranked) - _MOST_KINDS} more kinds")
    return f"{len(members)} blocks dropped: {', '.join(named)}"


def _numbers(members: list[PageBlock]) -> str:
    """What decided, for one block or a run of one reason."""
    first = members[0]
    if len(members) > 1:
        links = sum(block.link_characters for block in members)
        length = sum(block.characters for block in members)
        said = f"{len(members)} blocks, {length:,} characters, {links:,} of them in links"
        return f"{said}; {first.path}"
    said = (
        f"{first.kind}, {first.characters:,} characters"
        if first.kept
        else (f"{first.characters:,} characters")
    )
    if first.link_characters:
        said += f", {first.link_characters:,} in links"
    if first.worth is not None:
        said += f", worth {first.worth:g}"
    return f"{said}; {first.path}"


def _title(found: Explanation) -> str:
    return _SPACES.sub(" ", found.title or "").strip()[:200] or found.url or "a page"


def _percent(found: Explanation) -> str:
    if found.rejected:
        return f"rejected: {found.rejected}"
    return f"{100 * found.kept_share:.0f}%"


def _clean(value: str) -> str:
    return value.translate(_CONTROLS)


def _cut(value: str) -> str:
    if len(value) <= _LONGEST_TEXT:
        return value
    return f"{value[:_LONGEST_TEXT]} [... {len(value) - _LONGEST_TEXT:,} more letters]"
