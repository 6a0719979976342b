"""Pages that are made to cost a parser its time or its memory, in as few bytes as that takes."""

from __future__ import annotations

import html.entities

TEXT = "<p>A paragraph of text that is as sound as can be, on a page of its own.</p>"


def deep(
    depth: int, text: str = "<p>Far below there is a paragraph of text to be read.</p>"
) -> bytes:
    """Elements in one another, and a text below all of them."""
    return ("<div>" * depth + text).encode()


def attributes(count: int, before: str = "") -> bytes:
    """One element with many attributes, of which a duplicate would be looked for among all."""
    many = " ".join(f"a{i}" for i in range(count))
    return f"{TEXT}<div {before}{many}>text</div>".encode()


def hidden_attributes(count: int) -> bytes:
    """The same behind a '>' in quotation marks, where a scan for tags' ends does not see them."""
    return attributes(count, "title='a > b' ")


def options(count: int) -> bytes:
    """A list to choose from: the parser looks through all choices at each new one."""
    return (TEXT + "<select>" + "<option>x" * count).encode()


def blocks(count: int) -> bytes:
    """Very many paragraphs."""
    return b"<p>a" * count


def references() -> bytes:
    """Every character reference that has a name, many times: two of them are longer than named."""
    names = "".join(f"&{name}" for name in html.entities.html5 if name.endswith(";"))
    return f"<p title='{names}'>{names * 4}</p><p>{'&nGt;&nLt;&lt;' * 20_000}</p>".encode()
