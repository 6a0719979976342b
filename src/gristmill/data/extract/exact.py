"""How many formulae, code blocks and table rows of a page stand exactly in its extracted text.

A formula is exact when its LaTeX stands between dollar signs, round or square TeX brackets or
backticks, or as an environment, equal after removing the white space that TeX ignores. A block of
code is exact when its lines follow one another, equal up to white space at their ends and one
indentation of them all. A row is exact when a line, cut at ` | `, has its cells; empty cells at
its end are left out. Every formula, block and row of the text counts once.

`loose` is for programs that mark neither formulae nor cells: a formula may stand anywhere, in
order, and a row is a line with the same characters, bars and white space aside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_DELIMITED = re.compile(
    r"\$\$(?P<display>[^$]+)\$\$|(?<![\\$])\$(?P<inline>(?:\\.|[^$\\])+)\$"
    r"|\\\((?P<round>(?:(?!\\\)).)+)\\\)|\\\[(?P<square>(?:(?!\\\]).)+)\\\]"
    r"|(?P<environment>\\begin\{(?:align|equation)\*?\}(?:(?!\\end\{(?:align|equation)).)+"
    r"\\end\{(?:align|equation)\*?\})|`(?P<ascii>[^`]+)`",
    re.S,
)
_TOKEN = re.compile(r"\\(?:text|mbox|textrm|textit|textbf)\{[^{}]*\}|\\[A-Za-z]+|\\.|\s+|.", re.S)


def without_ignored_space(latex: str) -> str:
    """LaTeX without the white space that TeX ignores in formulae."""
    out: list[str] = []
    for token in _TOKEN.findall(latex):
        if token.isspace():
            continue
        if token.isalpha() and out and out[-1][0] == "\\" and out[-1][-1].isalpha():
            out.append(" ")  # between a command and a letter it has a meaning
        out.append(" ".join(token.split(" ")) if "{" in token[1:] else token)
    return "".join(out)


def exact_formulae(text: str, truth: Sequence[str], *, loose: bool = False) -> int:
    """How many formulae of `truth` stand in `text`."""
    if loose:
        return _in_order(text, truth)
    found = Counter(
        without_ignored_space(next(filter(None, match.groups()))).replace("&lt;", "<")
        for match in _DELIMITED.finditer(text)
    )
    wanted = Counter(map(without_ignored_space, truth))
    return sum(min(count, found[latex]) for latex, count in wanted.items())


def exact_code(text: str, truth: Sequence[str]) -> int:
    """How many blocks of code stand in `text`, line by line."""
    lines = [line.rstrip() for line in text.split("\n")]
    places: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line.lstrip(), []).append(number)
    used: set[int] = set()
    exact = 0
    for block in truth:
        wanted = [line.rstrip() for line in block.split("\n")]
        for start in places.get(wanted[0].lstrip(), ()):
            if start not in used and _follow(lines[start : start + len(wanted)], wanted):
                used.update(range(start, start + len(wanted)))
                exact += 1
                break
    return exact


def exact_rows(text: str, tables: Sequence[Sequence[Sequence[str]]], *, loose: bool = False) -> int:
    """How many rows of `tables`, lists of cells, stand in `text` as lines."""
    found = Counter(_row(line, loose) for line in text.split("\n"))
    wanted = Counter(_row(" | ".join(row), loose) for table in tables for row in table)
    return sum(min(count, found[row]) for row, count in wanted.items())


def _row(line: str, loose: bool) -> str:
    if loose:
        return "".join(line.replace("|", " ").split())
    return " | ".join(cell.strip() for cell in f" {line} ".split(" | ")).rstrip(" |")


def _follow(lines: Sequence[str], wanted: Sequence[str]) -> bool:
    indent = len(lines[0]) - len(wanted[0])
    if len(lines) < len(wanted) or indent < 0 or lines[0][:indent].strip():
        return False
    prefix = lines[0][:indent]
    return all(
        line == (prefix + want if want else "") or (not want and not line.strip())
        for line, want in zip(lines, wanted, strict=True)
    )


def _in_order(text: str, truth: Sequence[str]) -> int:
    squeezed = "".join(text.split())
    at = exact = 0
    for latex in truth:
        wanted = "".join(latex.split())
        found = squeezed.find(wanted, at)
        if found >= 0:
            exact += 1
            # A letter is found anywhere, and must not carry the search to the page's end.
            at = found + len(wanted) if len(wanted) > 3 else at
    return exact
