"""LaTeX before it is rendered: comments off, macros read and expanded, within bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

EXPANSION = 6  # times the input, and no less than this many characters:
LEAST_ROOM = 200_000
_ROUNDS = 8
VERBATIM = ("verbatim", "verbatim*", "lstlisting", "minted", "Verbatim", "alltt")
_CALL = re.compile(r"\\([A-Za-z@]+)")
_DEFINITION = re.compile(
    r"\\(?:(?:re|provide)?(?:new)?command|DeclareRobustCommand)\*?\s*\{?\s*\\([A-Za-z@]+)\s*\}?"
    r"\s*(?:\[(\d)\])?\s*(?:\[([^\[\]]{0,500})\])?\s*(?=\{)"
    r"|\\(?:long\s*)?[gex]?def\s*\\([A-Za-z@]+)\s*((?:#\d)*)\s*(?=\{)"
    r"|\\DeclareMathOperator(\*?)\s*\{?\s*\\([A-Za-z@]+)\s*\}?\s*(?=\{)"
)


@dataclass(frozen=True, slots=True)
class Macro:
    """A command of the source's own: number of arguments, default of the first, body."""

    arguments: int
    default: str | None
    body: str


def without_comments(source: str) -> str:
    """The source without what follows an unescaped %, verbatim parts excepted."""
    if "%" not in source:
        return source
    out = []
    end = ""
    for line in source.split("\n"):
        if end:
            out.append(line + "\n")
            if end in line:
                end = ""
            continue
        begun = next((v for v in VERBATIM if f"\\begin{{{v}}}" in line), None)
        if begun and f"\\end{{{begun}}}" not in line:
            end = f"\\end{{{begun}}}"
        cut = _comment(line)
        if cut < 0 or begun:
            out.append(line + "\n")
        elif line[:cut].strip():
            # A comment swallows the end of its line and the blanks that begin the next.
            out.append(line[:cut])
    return "".join(out)


def _comment(line: str) -> int:
    place = line.find("%")
    while place > 0:
        before = line[:place]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return place
        place = line.find("%", place + 1)
    return place


def definitions(source: str) -> tuple[str, dict[str, Macro]]:
    """The source without its macros' definitions, and the macros; a later one counts."""
    macros: dict[str, Macro] = {}
    closing = braces(source)
    out, place = [], 0
    for match in _DEFINITION.finditer(source):
        if match.start() < place:
            continue
        end = closing.get(match.end())
        if end is None:
            continue
        body = source[match.end() + 1 : end]
        if match[7]:
            macros[match[7]] = Macro(0, None, f"\\operatorname{match[6]}{{{body}}}")
        else:
            name = match[1] or match[4]
            count = int(match[2] or 0) if match[1] else (match[5] or "").count("#")
            macros[name] = Macro(count, match[3] if match[1] else None, body)
        out.append(source[place : match.start()])
        place = end + 1
    out.append(source[place:])
    for kept in ("begin", "end", "section", "item", "label", "cite", "ref", "title"):
        macros.pop(kept, None)
    return "".join(out), macros


def braces(text: str) -> dict[int, int]:
    """Where the group that opens at a place closes."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            found[opened.pop()] = match.start()
    return found


def argument_of(source: str, name: str) -> str:
    match = re.search(rf"\\{name}\s*(?:\[[^\]]{{0,300}}\])?\s*(?=\{{)", source)
    if not match:
        return ""
    end = braces(source[match.end() : match.end() + 20_000]).get(0)
    return "" if end is None else source[match.end() + 1 : match.end() + end]


@dataclass
class Expander:
    """Replaces macros; `room` is how many characters may still be put in."""

    macros: dict[str, Macro]
    room: int

    def run(self, text: str) -> str:
        """The text with macros replaced, again until none is left or the room is used up."""
        for _ in range(_ROUNDS if self.macros else 0):
            expanded = self._once(text)
            if expanded == text:
                break
            text = expanded
        return text

    def _once(self, text: str) -> str:
        closing = braces(text)
        out: list[str] = []
        place = 0
        for match in _CALL.finditer(text):
            macro = self.macros.get(match[1])
            if macro is None or match.start() < place or self.room <= 0:
                continue
            found, end = _arguments(text, match.end(), macro, closing)
            if found is None:
                continue
            body = re.sub(
                r"#([1-9])",
                partial(_argument, found),
                macro.body,
            )
            self.room -= len(body)
            out += [text[place : match.start()], body]
            if body[-1:].isalpha() and text[end : end + 1].isalpha() and "\\" in body[-30:]:
                out.append(" ")
            place = end
        out.append(text[place:])
        return "".join(out)


def _argument(found: list[str], match: re.Match[str]) -> str:
    number = int(match[1])
    return found[number - 1] if number <= len(found) else ""


def _arguments(
    text: str, place: int, macro: Macro, closing: dict[int, int]
) -> tuple[list[str] | None, int]:
    """The arguments of a call that ends its name at `place`, and where the call ends."""
    found: list[str] = []
    end = place
    if macro.default is not None and macro.arguments:
        found.append(macro.default)
        if text[end : end + 1] == "[":
            close = text.find("]", end, end + 1000)
            if close < 0:
                return None, place
            found[0] = text[end + 1 : close]
            end = close + 1
    while len(found) < macro.arguments:
        while text[end : end + 1] in (" ", "\n", "\t"):
            end += 1
        if end >= len(text) or text[end] == "}":
            return None, place
        if text[end] == "{":
            if end not in closing:
                return None, place
            found.append(text[end + 1 : closing[end]])
            end = closing[end] + 1
        else:
            token = _CALL.match(text, end)
            found.append(token[0] if token else text[end])
            end = token.end() if token else end + 1
    return found, end
