"""What is done with the personal data that was found: masked, removed, or only told."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from gristmill.data.personal_data.find import Span


def mask(text: str, spans: Sequence[Span], template: str = "[{kind}-{number}]") -> str:
    """The text with each span replaced; equal values of a kind get the same number, and so do the
    spellings of one person's name ('Clara Weber', 'C. Weber', 'Weber').

    spans: sorted and not overlapping, as `find` gives them. template: may hold {kind}, {KIND} (in
    capitals) and {number}.
    """
    return rewrite(text, spans, template, ())


def remove(text: str, spans: Sequence[Span]) -> str:
    """The text without the spans; the space before one goes with it."""
    return rewrite(text, spans, "", {span.kind for span in spans})


def rewrite(text: str, spans: Sequence[Span], template: str, removed: Collection[str]) -> str:
    """As `mask`, but for the kinds in `removed`, which are cut out."""
    numbers: dict[str, dict[str, int]] = {}
    persons = same_persons([span.value for span in spans if span.kind == "person"])
    pieces: list[str] = []
    position = 0
    for span in spans:
        start, put = span.start, ""
        if span.kind in removed:
            if start > position and text[start - 1] == " ":
                start -= 1
        else:
            known = numbers.setdefault(span.kind, {})
            value = persons[span.value] if span.kind == "person" else same_value(span)
            number = known.setdefault(value, len(known) + 1)
            put = template.format(kind=span.kind, KIND=span.kind.upper(), number=number)
        pieces += [text[position:start], put]
        position = span.end
    return "".join([*pieces, text[position:]])


def same_persons(names: Sequence[str]) -> dict[str, str]:
    """For each name of a document the longest one that it can be short for.

    A name is short for another whose words it has, in their order and initials standing for
    words. Where two persons share the short form, it is the one whose whole name came later.
    """
    longest: dict[str, str] = {}
    known: list[tuple[list[str], str]] = []
    by_word: dict[str, list[int]] = {}
    for name in sorted(dict.fromkeys(names), key=lambda name: -len(name.split())):
        words = [word for word in name.lower().replace(".", " ").split() if word]
        candidates = by_word.get(words[-1] if words else "", [])
        whole = next((i for i in reversed(candidates) if _short_for(words, known[i][0])), None)
        if whole is not None:
            longest[name] = known[whole][1]
            continue
        longest[name] = name
        for word in set(words):
            # A document with thousands of one family's names compares each with few.
            entries = by_word.setdefault(word, [])
            if len(entries) < _MOST_NAMESAKES:
                entries.append(len(known))
        known.append((words, name))
    return longest


_MOST_NAMESAKES = 20


def _short_for(short: list[str], whole: list[str]) -> bool:
    at = 0
    for word in short:
        while at < len(whole) and not (
            whole[at] == word or (len(word) == 1 and whole[at].startswith(word))
        ):
            at += 1
        if at == len(whole):
            return False
        at += 1
    return True


def same_value(span: Span) -> str:
    """One spelling for values that are the same: case and separators do not count."""
    if span.kind in ("email", "ip"):
        return span.value.lower()
    return "".join(c for c in span.value.upper() if c.isalnum())


def to_json(spans: Sequence[Span], scores: bool = False) -> str:
    """`[{"kind", "start", "end", "value"}, ...]`, with "score" if asked; positions are those of the
    text before."""
    found: list[dict[str, object]] = []
    for span in spans:
        entry = {"kind": span.kind, "start": span.start, "end": span.end, "value": span.value}
        found.append({**entry, "score": round(span.score, 3)} if scores else entry)
    return json.dumps(found, ensure_ascii=False)
