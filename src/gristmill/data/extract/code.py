"""Preformatted code: its text character by character, its language, line numbers left out."""

from __future__ import annotations

from typing import Any

_LINE_NUMBERS = (
    "linenos",
    "lineno",
    "line-number",
    "linenumber",
    "gutter",
    "blob-num",
    "hljs-ln-n",
)


def code_text(node: Any) -> str:
    """The text of <pre>, character by character, line numbers left out."""
    out: list[str] = []
    stack: list[Any] = []
    child = node.first_child
    while child is not None or stack:
        if child is None:
            child = stack.pop().next
            continue
        tag = child.tag
        if tag == "-text":
            out.append(child.text_content or "")
        elif tag == "br":
            out.append("\n")
        elif tag not in ("button", "script", "style", "-comment"):
            name = child.attributes.get("class") or ""
            inner = child.first_child
            if inner is not None and not is_line_number(name):
                if tag in ("div", "li", "tr", "p") and out and not out[-1].endswith("\n"):
                    out.append("\n")
                stack.append(child)
                child = inner
                continue
        child = child.next
    code = "".join(out).replace("\r\n", "\n").replace("\xa0", " ")
    return code.strip("\n").rstrip()


def is_line_number(name: str) -> bool:
    return bool(name) and any(mark in name for mark in _LINE_NUMBERS)


def code_language(node: Any, outer: str) -> str:
    names = [node.attributes.get("class") or "", outer]
    child = node.first_child
    if child is not None and child.tag == "code":
        names.insert(0, child.attributes.get("class") or "")
    for name in names:
        for word in name.split():
            for prefix in ("language-", "lang-", "highlight-source-", "highlight-"):
                if word.startswith(prefix) and word[len(prefix) :].isalnum():
                    return word[len(prefix) :]
    return ""
