"""Preformatted code: its text character by character, its language, line numbers left out.

Most code stands in `<pre>`. Editors and painters of code on pages write other elements, one for
each line: CodeMirror, SyntaxHighlighter, tables of lines as code hosts have them. They are told
by their names (`code_container`).
"""

from __future__ import annotations

import re
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names of elements that hold numbers of lines, word by word.
_LINE_NUMBERS = _words(
    """linenos lineno linenodiv line-number line-numbers linenumber linenumbers line-numbers-rows
    line-numbers-wrapper gutter blob-num hljs-ln-n hljs-ln-numbers rouge-gutter crayon-nums
    crayon-num ln lnt cm-gutters CodeMirror-gutter-wrapper CodeMirror-gutters
    CodeMirror-linenumber react-line-number code-line-number line_number ln-num diff-line-num"""
)
_NOT_CODE = _words(
    """conum toolbar copy copy-btn copy-button copybtn clipboard-copy code-copy copy-code
    zeroclipboard-container CodeMirror-cursors CodeMirror-measure cm-cursorLayer
    crayon-toolbar crayon-info crayon-plain-wrap gist-meta tooltiptext"""
)
_NOT_WALKED = _words("button script style svg textarea input select clipboard-copy -comment")
_LINES = _words("div li tr p pre dd dt figure table tbody section")
_PARTS = _LINES | {"td", "th", "thead"}
_LINE_NAMES = _words("line token-line code-line ec-line view-line hljs-line cl row")

# Code that is not in <pre>, by the names of the elements around it.
_CONTAINERS = _words(
    """syntaxhighlighter CodeMirror cm-editor cm-content crayon-syntax js-file-line-container
    ace_text-layer monaco-editor view-lines"""
)
_BROKEN = _words("code codeblock code-block sourcecode source-code codebox")
# All these: what such an element is must be looked into.
CODE_NAMES = _LINE_NUMBERS | _CONTAINERS | _BROKEN | {"fragment"}
# What stands beside code and is not it: its language, its file, the prompts of notebooks.
_LABEL = re.compile(
    r"code[-_]?(?:block|snippet)?[-_]{0,2}(?:header|head|lang|title|name|filename|info|toolbar)"
    r"|(?:input|output)_prompt|jp-(?:In|Out)putPrompt",
    re.IGNORECASE,
)
_LABEL_CHARS = 80
_MAYBE_LANGUAGE = ("language-", "lang-", "highlight-source-", "highlight-", "brush:")


def code_container(name: str) -> str:
    """What class and id say of an element that is no <pre>.

    'lines': an editor or a painter of code; 'fragment': a listing of Doxygen; 'breaks': it may
    hold code with <br> at the ends of lines; 'label': it says what the code beside it is; '':
    nothing of that.
    """
    words = name.split()
    if any(word in _CONTAINERS for word in words):
        return "lines"
    if "fragment" in words:
        return "fragment"
    if any(word in _BROKEN for word in words):
        return "breaks"
    return "label" if _LABEL.search(name) else ""


def code_of_container(node: Any, kind: str) -> str:
    """The code in an element that is no <pre> but named as code; '' where there is none."""
    if kind == "fragment":
        if node.css_first("div.line") is None:
            return ""
        # A space stands between the number of a line and the line.
        lines = code_text(node, preformatted=False).split("\n")
        cut = int(all(not line or line[0] == " " for line in lines))
        return "\n".join(line[cut:] for line in lines).strip("\n").rstrip()
    if kind == "lines":
        if node.css_first("pre:not(.CodeMirror-line)") is not None:
            return ""
        return code_text(node, preformatted=False)
    if node.css_first("br") is None:
        return ""
    # A selector finds the node itself too.
    if any(one.mem_id != node.mem_id for one in node.css("p, div, pre, table, ul, ol, h2, h3")):
        return ""
    return code_of_breaks(node)


def is_label(node: Any) -> bool:
    """Whether an element named as a label of code is one: short, and without code."""
    return len(node.text(strip=True)) <= _LABEL_CHARS and node.css_first("pre, code") is None


def code_of_breaks(node: Any) -> str:
    """Code whose lines end in <br> and are indented by no-break spaces."""
    lines = [""]
    for one in node.traverse(include_text=True):
        if one.tag == "br":
            lines.append("")
        elif one.tag == "-text":
            text = " ".join((one.text_content or "").replace("\xa0", "\x01").split(" "))
            for sign in "\n\r\t":
                text = text.replace(sign, " ")
            while "  " in text:
                text = text.replace("  ", " ")
            lines[-1] += text if lines[-1] else text.lstrip(" ")
    return "\n".join(line.replace("\x01", " ").rstrip() for line in lines).strip("\n")


def code_text(node: Any, *, preformatted: bool = True) -> str:
    """The text of <pre>, character by character, line numbers left out.

    preformatted: whether white space between elements counts, as it does in <pre>.
    """
    out: list[str] = []
    stack: list[tuple[Any, bool, int]] = []  # with what was written before
    child = node.first_child
    ended = False  # an element that is a line has ended, and its line's end is still to be written
    after_callout = False
    while child is not None or stack:
        if child is None:
            child, is_line, before = stack.pop()
            if is_line:
                empty = len(out) == before
                ended = bool(out) and (empty or not out[-1].endswith("\n"))
            child = child.next
            continue
        tag = child.tag
        if tag == "-text":
            text = child.text_content or ""
            if text and (preformatted or not _is_layout(child, text)):
                if ended and not text.startswith(("\n", "\r\n")):
                    out.append("\n")
                ended = False
                out.append(text)
        elif tag == "br":
            if ended:
                out.append("\n")
            ended = False
            out.append("\n")
        elif tag not in _NOT_WALKED:
            attributes = child.attributes
            name = attributes.get("class") or ""
            inner = child.first_child
            left_out = bool(name) and (
                is_line_number(name) or not _NOT_CODE.isdisjoint(name.split())
            )
            # A number in the code that the text below it speaks of: <i class=conum></i><b>(1)</b>
            left_out = left_out or (after_callout and tag == "b")
            after_callout = "conum" in name
            if not left_out:
                is_line = tag in _LINES or (tag == "span" and _is_line(child, name))
                if is_line and (ended or (out and not out[-1].endswith("\n"))):
                    out.append("\n")
                    ended = False
                if inner is not None:
                    stack.append((child, is_line, len(out)))
                    child = inner
                    continue
                if is_line and tag != "table":
                    ended = True
        child = child.next
    code = "".join(out).replace("\r\n", "\n").replace("\xa0", " ").replace("\u200b", "")
    return code.strip("\n").rstrip()


def is_numbering(code: str) -> bool:
    """Whether a block is nothing but the numbers of the lines of the next one."""
    numbers = code.split()
    if len(numbers) < 2 or not numbers[0].isdecimal() or len(numbers) > 20_000:
        return False
    first = int(numbers[0]) if len(numbers[0]) < 7 else -1
    return first >= 0 and numbers == [str(first + i) for i in range(len(numbers))]


def is_line_number(name: str) -> bool:
    return bool(name) and not _LINE_NUMBERS.isdisjoint(name.split())


def code_of_script(node: Any) -> str:
    """The code in `<script type="syntaxhighlighter">`, which browsers do not run."""
    code = node.text().strip()
    if code.startswith("<![CDATA["):
        code = code[len("<![CDATA[") :].removesuffix("]]>")
    return str(code).replace("\r\n", "\n").strip("\n").rstrip()


def is_code_area(attributes: dict[str, str | None]) -> bool:
    """Whether a <textarea> shows code to copy, and does not ask for words."""
    name = attributes.get("class") or ""
    return "readonly" in attributes or (name != "" and "code" in name.lower().split())


def has_breaks(child: Any) -> bool:
    """Whether `child` or a later sibling is <br>."""
    while child is not None:
        if child.tag == "br":
            return True
        child = child.next
    return False


def code_language(node: Any, outer: str) -> str:
    attributes = node.attributes
    names = [attributes.get("class") or "", outer]
    child = node.first_child
    stated = attributes.get("data-language") or attributes.get("data-lang")
    if child is not None and child.tag == "code":
        inner = child.attributes
        names.insert(0, inner.get("class") or "")
        stated = stated or inner.get("data-lang") or inner.get("data-language")
    for name in names:
        words = name.split()
        for place, word in enumerate(words):
            for prefix in _MAYBE_LANGUAGE:
                if word.startswith(prefix):
                    rest = word[len(prefix) :].rstrip(";")
                    if not rest and prefix == "brush:" and place + 1 < len(words):
                        rest = words[place + 1].rstrip(";")
                    if rest.isalnum():
                        return rest
    return stated if stated and stated.isalnum() else ""


def _is_layout(text_node: Any, text: str) -> bool:
    """White space between elements of a container that is no <pre>."""
    if not text.isspace() or "\n" not in text or "\xa0" in text:
        return False
    before, after = text_node.prev, text_node.next
    return (before is not None and before.tag in _PARTS) or (
        after is not None and after.tag in _PARTS
    )


def _is_line(node: Any, name: str) -> bool:
    """Whether a span is a whole line: the one before it is too, with nothing between them."""
    if not name or _LINE_NAMES.isdisjoint(name.split()):
        return False
    before = node.prev
    return (
        before is not None
        and before.tag == "span"
        and not _LINE_NAMES.isdisjoint((before.attributes.get("class") or "").split())
    )
