"""Pages of many texts: the posts of a thread, the entries of a list."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from gristmill.data.extract import cues
from gristmill.data.extract.boxes import (
    BOXES,
    DATE,
    LONG_ARTICLE,
    Page,
    covered,
    groups_of,
    is_text,
    is_title,
    name_of,
    runs,
    same_lines,
)
from gristmill.data.extract.prune import HEADINGS
from gristmill.data.extract.tree import Element

_MIN_POST = 30.0  # what a post is worth, at least
_ENTRY_CHARS = 1500


def posts(page: Page) -> set[int]:
    """A thread: the innermost boxes of one make that hold nearly all of the page's text."""
    if not page.forum and page.old.worth > LONG_ARTICLE:
        return set()  # an article, with comments or without
    best, groups = 0.0, []
    for members in groups_of(page).values():
        heavy = [e for e in members if page.value(e) >= _MIN_POST]
        if len(heavy) < 2:
            continue
        spans = covered(heavy)
        if len(spans) < 2 and len(heavy) < 3:
            continue
        value = sum(page.sums[end] - page.sums[start] for start, end in spans)
        length = sum(page.chars[end] - page.chars[start] for start, end in spans)
        groups.append((value, length, covered(_with_short(page, heavy, members))))
        best = max(best, value)
    whole = page.sums[-1]
    if not groups or best < (0.4 if page.forum else 0.7) * whole:
        return set()
    comments = _in_comments(page, groups, best)
    if not page.forum and not comments:
        return set()
    if comments and page.old.worth > 2 * LONG_ARTICLE:
        return set()  # an article with many comments, whatever its address looks like
    _, _, spans = min((g for g in groups if g[0] >= 0.9 * best), key=lambda g: g[1])
    inside = [i for start, end in spans for i in range(start, end)]
    same = same_lines(page.blocks, inside)
    first = spans[0][0]
    keep = {
        i
        for i in inside
        if not page.hard[i] and not page.byline[i] and i not in same and is_text(page.blocks[i])
    }
    # What opens the thread may stand in a box of another make.
    old = page.old
    keep |= {i for i in range(first) if page.values[i] >= _MIN_POST and not old.reasons[i]}
    return keep


def _with_short(page: Page, heavy: list[Element], members: list[Element]) -> list[Element]:
    """Posts, and short ones of their make among them or beside them ("Thank you!")."""
    elements = page.elements

    def places(element: Element) -> tuple[int, int]:
        return element.parent, elements[element.parent].parent

    # The page as a whole is no place.
    beside = {place for element in heavy for place in places(element) if place > 0}
    first, end = heavy[0].start, max(element.end for element in heavy)
    return [e for e in members if first <= e.start < end or not beside.isdisjoint(places(e))]


def _in_comments(
    page: Page,
    groups: list[tuple[float, int, list[tuple[int, int]]]],
    best: float,
) -> bool:
    """Whether the heaviest boxes are named as comments, with little other text on the page."""
    _, _, spans = max(groups, key=lambda g: g[0])
    reasons = page.old.reasons
    named = sum(
        page.values[i]
        for start, end in spans
        for i in range(start, end)
        if reasons[i] == cues.COMMENTS
    )
    return named > 0.7 * best


def entries(page: Page) -> set[int]:
    """A list: boxes that begin with a linked title and go on with a few lines of text."""
    boxes = _entry_boxes(page)
    makes = Counter((e.tag, name_of(e)) for e in boxes)
    boxes = [e for e in boxes if makes[e.tag, name_of(e)] > 1]
    if len(boxes) < 3:
        return set()
    inside = {i for e in boxes for i in range(e.start, e.end)}
    text = sum(len(page.blocks[i].text) for i in inside if runs(page, i))
    rest = sum(
        len(page.blocks[i].text) for i in page.old.kept() if i not in inside and runs(page, i)
    )
    if text < 1.5 * rest:
        return set()
    # On a page that is a list, a line with place and time is text enough for an entry.
    listed = {(e.tag, name_of(e)) for e in boxes if e.name}
    boxes += [
        e
        for e in _entry_boxes(page, 20)
        if (e.tag, name_of(e)) in listed
        and inside.isdisjoint(range(e.start, e.end))
        and page.old.reasons[e.start] in (0, cues.OUTSIDE, cues.RELATED)
    ]
    boxes.sort(key=lambda e: e.start)
    starts = [e.start for e in boxes]
    keep = _of_entries(page, [_widened(page, e, starts) for e in boxes])
    chars = sum(len(page.blocks[i].text) for i in keep)
    before = sum(len(page.blocks[i].text) for i in page.old.kept())
    # Members of a class in a reference have linked titles too, but far more lies around them.
    return keep if chars > 0.75 * before else set()


def _entry_boxes(page: Page, least: int = 40) -> list[Element]:
    """Innermost boxes with a title, mostly a link, and some other text below it."""
    blocks = page.blocks
    cells = page.cells
    found: list[Element] = []
    nested: set[int] = set()
    for index in range(len(page.elements) - 1, 0, -1):
        element = page.elements[index]
        if index in nested:
            nested.add(element.parent)
            continue
        if element.tag not in BOXES and "-" not in element.tag:
            continue
        if element.start in cells and cells[element.start].plain:
            continue
        span = range(element.start, element.end)
        if len(span) < 2 or len(span) > 20 or all(page.hard[i] for i in span):
            continue
        title = next((i for i in span if not page.hard[i] and is_title(blocks[i])), None)
        if title is None or title - element.start > 3:
            continue
        plain = [len(blocks[i].text) - blocks[i].links for i in span if not page.hard[i]]
        body = any(
            i > title and runs(page, i, least) and not DATE.fullmatch(blocks[i].text) for i in span
        )
        linked = [i for i in span if is_title(blocks[i]) and blocks[i].links]
        if body and sum(plain) <= _ENTRY_CHARS and linked:
            found.append(element)
            nested.add(element.parent)
    found.reverse()
    return found


def _widened(page: Page, box: Element, starts: list[int]) -> Element:
    """The outermost box around `box` that holds no other entry. starts: of all, ascending."""
    while box.parent > 0:
        outer = page.elements[box.parent]
        if outer.end - outer.start > 25 or outer.tag in ("main", "ul", "ol", "body"):
            return box
        if bisect_left(starts, outer.end) - bisect_left(starts, outer.start) > 1:
            return box
        box = outer
    return box


def _of_entries(page: Page, boxes: list[Element]) -> set[int]:
    """Titles, teasers and facts of the entries; running text before and between them."""
    blocks, old = page.blocks, page.old.reasons
    inside = [i for e in boxes for i in range(e.start, e.end)]
    same = same_lines(blocks, inside, facts=True)
    times = Counter(blocks[i].text for i in inside)
    keep: set[int] = set()
    for box in boxes:
        # The date of an event is a fact of it, and stands before its title.
        event = titled = "event" in box.name.lower()
        found = False
        for i in range(box.start, box.end):
            block = blocks[i]
            if page.hard[i] or (page.byline[i] and not event):
                continue
            # "Chapter 1" and "Chapter 2" are titles, "14 pictures" twice are none.
            if not found and is_title(block) and times[block.text] == 1:
                titled = found = True
                keep.add(i)
            elif i in same and not event:
                continue
            elif (is_text(block) or (event and not block.links)) and (
                titled or runs(page, i) or block.tag in HEADINGS
            ):
                keep.add(i)
    first, last = min(inside), max(inside)
    around = set(inside)
    keep |= {
        i
        for i in range(len(blocks))
        if i not in around
        and runs(page, i)
        and page.values[i] >= 60
        and (old[i] == 0 or (first < i < last and old[i] == cues.OUTSIDE))
    }
    return keep
