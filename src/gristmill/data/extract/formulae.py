"""Formulae as LaTeX between dollar signs: TeX sources in scripts, annotations and alt texts, and
MathML written as LaTeX where no source is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

from gristmill.data.extract.guard import parse
from gristmill.data.extract.mathml import to_latex

_SURE_NAMES = frozenset("tex latex formulainl formuladsp".split())
_LIKELY_NAMES = frozenset("math equation formula eqn".split())
_LATEX_SIGNS = ("\\", "^", "_", "=", "{")
# Programs on servers that make a picture of a formula, and where their URLs hold it.
_SERVERS = (
    ("codecogs.com/", "?"),
    ("latex.php", "latex="),
    ("mimetex.cgi", "?"),
    ("mathtex.cgi", "?"),
    ("cht=tx", "chl="),
)
# What such URLs say of the picture: its size, colours, resolution.
_SETTINGS = re.compile(
    r"(?:\\(?:dpi|bg|fn|fg)(?:\{[^{}]*\}|_[a-z]+)|\\(?:inline|large|Large|LARGE|huge|small|tiny)\b|\s)+"
)
_COMMENT = re.compile(r"(?<!\\)%[^\n]*")
_MAX_CHARS = 10_000


def formula_of_image(attributes: Mapping[str, str | None], around: bool = False) -> str | None:
    """LaTeX from a formula's image: its alt text (Wikipedia, WordPress, Sphinx, Doxygen), or the
    URL that a server makes it from.

    around: it stands in an element that is named `math`, as Sphinx writes displayed formulae.
    """
    source = attributes.get("src") or ""
    alt = attributes.get("alt") or ""
    if "?" in source:
        for server, before in _SERVERS:
            if server in source:
                return _delimit(_asked(source, before) or alt, False)
    if not alt:
        return None
    names = (attributes.get("class") or "").lower()
    words = names.replace("-", " ").replace("_", " ").split()
    sure = names == "math" or "mwe-math" in names or not _SURE_NAMES.isdisjoint(words)
    if not sure:
        likely = around or "latex" in source or not _LIKELY_NAMES.isdisjoint(words)
        if not likely or not any(sign in alt for sign in _LATEX_SIGNS):
            return None
    return _delimit(alt, around or "display" in words or "block" in words)


def _asked(source: str, before: str) -> str:
    """The formula in the URL of an image, without settings of the picture."""
    query = source.partition(before)[2]
    if before != "?":
        return unquote_plus(query.partition("&")[0])
    asked = unquote(query)
    settings = _SETTINGS.match(asked)
    return asked[settings.end() :] if settings else asked


def formula_of_script(node: Any) -> str | None:
    """LaTeX from `<script type="math/tex">` (MathJax 2), None for other scripts."""
    kind = node.attributes.get("type")
    if not kind or not kind.startswith("math/"):
        return None
    display = "mode=display" in kind.replace(" ", "")
    if kind.startswith("math/tex"):
        return _delimit(_COMMENT.sub("", node.text()), display)
    if kind.startswith("math/asciimath"):
        source = " ".join(node.text().split())
        return f"`{source}`" if source and len(source) <= _MAX_CHARS else None
    if kind.startswith("math/mml"):
        math = parse(node.text()).css_first("math")
        return formula_of_math(math) if math is not None else None
    return None


def formula_of_math(node: Any) -> str | None:
    """LaTeX from `<math>` or `<mjx-container>`: its annotation, its alttext, or its MathML."""
    math = node if node.tag in ("math", "m:math", "mml:math") else node.css_first("math")
    if math is None:
        return None
    attributes = math.attributes
    display = attributes.get("display") == "block" or attributes.get("mode") == "display"
    display = display or node.attributes.get("display") == "true"
    for annotation in math.css("annotation"):
        if "tex" in (annotation.attributes.get("encoding") or "").lower():
            return _delimit(annotation.text(), display)
    alt = attributes.get("alttext")
    return _delimit(alt if alt else to_latex(math), display)


def formula_of_rendering(node: Any) -> str | None:
    """LaTeX of a formula that MathJax 2 has drawn, where no script beside it holds the source."""
    holder = node if "data-mathml" in node.attributes else node.css_first("[data-mathml]")
    if holder is None:
        return None
    after = node.next
    if after is not None and after.tag == "script":
        return None
    math = parse(holder.attributes["data-mathml"] or "").css_first("math")
    return formula_of_math(math) if math is not None else None


def _delimit(source: str, display: bool) -> str | None:
    """`$source$`, or `$$source$$` for a formula of its own line."""
    source = " ".join(source.split())
    for opening, closing in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        inside = source[len(opening) : len(source) - len(closing)]
        if source.startswith(opening) and source.endswith(closing) and inside:
            source = inside.strip()
            display = display or opening in ("$$", "\\[")
            break
    for style in ("\\displaystyle", "\\textstyle"):
        if source.startswith("{" + style) and source.endswith("}") and _one_group(source):
            source = source[len(style) + 1 : -1].strip()
        elif source.startswith(style) and not source[len(style) : len(style) + 1].isalpha():
            source = source[len(style) :].strip()
    if not source or len(source) > _MAX_CHARS:
        return None
    return f"$${source}$$" if display else f"${source}$"


def _one_group(source: str) -> bool:
    """Whether the first brace closes with the last."""
    depth = 0
    for position, sign in enumerate(source):
        if sign == "{" and (position == 0 or source[position - 1] != "\\"):
            depth += 1
        elif sign == "}" and source[position - 1] != "\\":
            depth -= 1
            if depth == 0:
                return position == len(source) - 1
    return False
