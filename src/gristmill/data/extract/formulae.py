"""Formulae as LaTeX between dollar signs: TeX sources in scripts, annotations and alt texts, and
MathML written as LaTeX where no source is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.data.extract.mathml import to_latex

_SURE_NAMES = ("mwe-math", "latex", "tex")
_LIKELY_NAMES = ("math", "equation", "formula", "eqn")
_LATEX_SIGNS = ("\\", "^", "_", "=", "{")
_MAX_CHARS = 10_000


def formula_of_image(attributes: Mapping[str, str | None]) -> str | None:
    """LaTeX from the alt text of a formula's image (Wikipedia, WordPress, servers of images)."""
    alt = attributes.get("alt")
    if not alt:
        return None
    names = (attributes.get("class") or "").lower()
    words = names.replace("-", " ").replace("_", " ").split()
    source = attributes.get("src") or ""
    sure = any(name in words for name in _SURE_NAMES) or "mwe-math" in names
    likely = any(name in words for name in _LIKELY_NAMES) or "latex" in source
    if not (sure or (likely and any(sign in alt for sign in _LATEX_SIGNS))):
        return None
    return _delimit(alt, "display" in words or "block" in words)


def formula_of_script(node: Any) -> str | None:
    """LaTeX from `<script type="math/tex">` (MathJax 2), None for other scripts."""
    kind = node.attributes.get("type")
    if not kind or not kind.startswith("math/"):
        return None
    display = "mode=display" in kind.replace(" ", "")
    if kind.startswith("math/tex"):
        return _delimit(node.text(), display)
    if kind.startswith("math/mml"):
        from selectolax.lexbor import LexborHTMLParser

        math = LexborHTMLParser(node.text()).css_first("math")
        return formula_of_math(math) if math is not None else None
    return None


def formula_of_math(node: Any) -> str | None:
    """LaTeX from `<math>` or `<mjx-container>`: its annotation, its alttext, or its MathML."""
    math = node if node.tag == "math" else node.css_first("math")
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


def _delimit(source: str, display: bool) -> str | None:
    """`$source$`, or `$$source$$` for a formula of its own line."""
    lines = [line for line in source.split("\n") if not line.lstrip().startswith("%")]
    source = " ".join(" ".join(lines).split())
    for opening, closing in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        inside = source[len(opening) : len(source) - len(closing)]
        if source.startswith(opening) and source.endswith(closing) and inside:
            source = inside.strip()
            display = display or opening in ("$$", "\\[")
            break
    for style in ("\\displaystyle", "\\textstyle"):
        if source.startswith("{" + style) and source.endswith("}") and _one_group(source):
            source = source[len(style) + 1 : -1].strip()
        elif source.startswith(style + " "):
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
