"""LaTeX to text: simple macros expanded, formulae kept as LaTeX, sections as headings.

Not TeX: there are no conditionals, registers or category codes. What is unknown loses its name and
keeps its words. Every loop is bounded by the length of the text, and expansion by a multiple of it.
"""

from __future__ import annotations

import re
import unicodedata

from gristmill.data.sources.latex_macros import (
    EXPANSION,
    LEAST_ROOM,
    VERBATIM,
    Expander,
    argument_of,
    braces,
    definitions,
)

_MAX_DEPTH = 40
_MATHS = ("equation", "displaymath", "math", "align", "alignat", "flalign", "gather", "multline",
          "eqnarray", "dmath", "xalignat")  # fmt: skip
_INSIDE = {"align": "aligned", "alignat": "aligned", "flalign": "aligned", "xalignat": "aligned",
           "gather": "gathered", "multline": "gathered"}  # fmt: skip
_DROPPED = ("comment", "thebibliography", "tikzpicture", "pgfpicture", "picture", "filecontents",
            "CCSXML", "asy", "forest", "tikzcd", "pspicture", "IEEEbiography")  # fmt: skip
_HEADINGS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4,
             "paragraph": 5, "subparagraph": 6, "frametitle": 2}  # fmt: skip
# Names whose arguments, that many in braces, are no words.
_NO_WORDS = {
    **dict.fromkeys(
        """label ref eqref pageref autoref cref Cref nameref vref cite citep citet citealt citealp
        citeauthor citeyear citeyearpar parencite textcite autocite footcite nocite bibliography
        bibliographystyle usepackage RequirePackage documentclass documentstyle pagestyle
        thispagestyle vspace hspace includegraphics graphicspath index glossary setcounter
        hypersetup definecolor color input include bibitem email address affiliation institute
        affil orcid keywords thanks date author authors institution city country state
        ccsdesc acmConference acmYear acmDOI copyrightyear setcopyright pacs subjclass newtheorem
        theoremstyle allowdisplaybreaks phantom hphantom vphantom cline cmidrule enlargethispage
        pagenumbering fontsize linespread captionsetup lstset tikzset usetikzlibrary geometry
        addbibresource printbibliography title titlerunning authorrunning subtitle hyphenation
        rule special write newcounter stepcounter refstepcounter newlength""".split(), 1
    ),
    **dict.fromkeys(
        """setlength addtolength addtocounter newenvironment renewenvironment resizebox rowcolor
        DeclareMathOperator newcommand renewcommand providecommand newtheorem* markboth
        fontsize""".split(), 2
    ),
    "addcontentsline": 3, "scalebox": 1, "raisebox": 1, "multirow": 2, "parbox": 1, "rotatebox": 1,
    "href": 1, "textcolor": 1, "colorbox": 1, "multicolumn": 2, "newenvironment": 3,
    "renewenvironment": 3,
}  # fmt: skip
_SIGNS = {
    "ldots": "…", "dots": "…", "textellipsis": "…", "LaTeX": "LaTeX", "TeX": "TeX", "S": "§",
    "P": "¶",     "copyright": "©", "pounds": "£", "euro": "€", "texteuro": "€", "ss": "ß",
    "ae": "æ", "AE": "Æ",
    "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "aa": "å", "AA": "Å", "l": "ł", "L": "Ł", "i": "ı",
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textbar": "|",
    "textless": "<", "textgreater": ">", "textendash": "–", "textemdash": "—",
    "textregistered": "®",    "texttrademark": "™", "textdegree": "°", "dag": "†", "ddag": "‡",
    "quad": " ", "qquad": " ",
    "newline": "\n", "linebreak": "\n", "par": "\n\n", "space": " ", "textquotesingle": "'",
    "slash": "/",     "textbullet": "•", "lq": "‘", "rq": "’", "textunderscore": "_",
    "textperiodcentered": "·",
}  # fmt: skip
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303",
            "=": "\u0304", ".": "\u0307", "u": "\u0306", "v": "\u030c", "H": "\u030b",
            "c": "\u0327", "k": "\u0328",             "r": "\u030a", "d": "\u0323",
            "b": "\u0331"}  # fmt: skip
_TOKEN = re.compile(r"\\(?:[A-Za-z@]+\*?|.|\n)|[{}$~&]|\n[ \t]*\n\s*|---?|``|''", re.DOTALL)
_THEOREM = re.compile(r"\\newtheorem\*?\{([^{}]{1,40})\}(?:\[[^\]]{0,40}\])?\{([^{}]{1,60})\}")
_LABEL = re.compile(r"\\(?:label|tag)\s*\{[^{}]{0,200}\}|\\(?:nonumber|notag)\b")


def latex_to_text(source: str, *, markdown: bool = False) -> tuple[str, str]:
    """(title, text) of a source without comments. The preamble is left out, but for the title."""
    theorems = {match[1]: match[2] for match in _THEOREM.finditer(source)}
    source, macros = definitions(source)
    title = argument_of(source, "title")
    abstract = argument_of(source, "abstract")
    begin = source.find("\\begin{document}")
    if begin >= 0:
        end = source.find("\\end{document}", begin)
        source = source[begin + len("\\begin{document}") : end if end >= 0 else len(source)]
    room = max(LEAST_ROOM, EXPANSION * len(source))
    expanded = Expander(macros, room)
    body = expanded.run(source)
    heading = _Renderer(expanded.run(title), theorems, markdown).text()
    text = _Renderer(body, theorems, markdown).text()
    if abstract and "\\begin{abstract}" not in source:
        text = _Renderer(expanded.run(abstract), theorems, markdown).text() + "\n\n" + text
    heading = " ".join(heading.split())
    if heading:
        text = f"{'# ' if markdown else ''}{heading}\n\n{text}"
    return heading, text.strip()


class _Renderer:
    def __init__(self, text: str, theorems: dict[str, str], markdown: bool):
        self._text = text
        self._closing = braces(text)
        self._theorems = theorems
        self._markdown = markdown
        self._kept: list[str] = []
        self._lists: list[int] = []  # the last number of each open list; -1 without numbers
        self._absent: set[str] = set()
        self._cells = 0  # open tables

    def text(self) -> str:
        """Everything, with blank lines between paragraphs."""
        rendered = self._render(0, len(self._text), 0)
        paragraphs = []
        for block in re.split(r"\n\s*\n", rendered):
            lines = [" ".join(line.split()) for line in block.split("\x02")]
            paragraphs.append("\n".join(line for line in lines if line))
        joined = "\n\n".join(p for p in paragraphs if p)
        joined = re.sub(r"(?<! ) +([,.;:)])", r"\1", re.sub(r"\([ ,;]*\)|\[[ ,;]*\]", "", joined))
        return re.sub("\x00(\\d+)\x01", lambda m: self._kept[int(m[1])], joined)

    def _keep(self, text: str) -> str:
        self._kept.append(text)
        return f"\x00{len(self._kept) - 1}\x01"

    def _render(self, place: int, end: int, depth: int) -> str:
        out: list[str] = []
        text = self._text
        while place < end:
            match = _TOKEN.search(text, place, end)
            if match is None:
                out.append(text[place:end])
                break
            out.append(text[place : match.start()])
            token = match[0]
            place = match.end()
            if token[0] == "\\":
                piece, place = self._command(token[1:], place, end, depth)
                out.append(piece)
            elif token == "$":
                piece, place = self._dollars(place, end)
                out.append(piece)
            elif token == "&":
                out.append(" | " if self._cells else "&")
            elif token == "~":
                out.append(" ")
            elif token[0] == "\n":
                out.append("\n\n")
            elif token not in "{}":
                out.append({"---": "—", "--": "–", "``": "“", "''": "”"}.get(token, token))
        return "".join(out)

    def _dollars(self, place: int, end: int) -> tuple[str, int]:
        """The formula that begins before `place`, at a $ or the first of two."""
        text = self._text
        if text[place : place + 1] == "$":
            close = self._find("$$", place + 1, end)
            if close < 0:
                return "", place + 1
            return self._display(text[place + 1 : close]), close + 2
        close = place
        while True:
            close = self._find("$", close, end)
            if close < 0:
                return "$", place
            if text[close - 1] != "\\" or text[close - 2 : close] == "\\\\":
                break
            close += 1
        return self._inline(text[place:close]), close + 1

    def _find(self, what: str, start: int, end: int) -> int:
        if what in self._absent:
            return -1
        found = self._text.find(what, start)
        if found < 0:
            self._absent.add(what)
        return found if found < end else -1

    def _inline(self, formula: str) -> str:
        formula = " ".join(_LABEL.sub("", formula).split())
        return self._keep(f"${formula}$") if formula else ""

    def _display(self, formula: str, environment: str = "") -> str:
        formula = " ".join(_LABEL.sub("", formula).split())
        if environment:
            formula = f"\\begin{{{environment}}} {formula} \\end{{{environment}}}"
        return f"\n\n{self._keep(f'$${formula}$$')}\n\n" if formula else ""

    def _command(self, name: str, place: int, end: int, depth: int) -> tuple[str, int]:
        if name in ("(", "["):
            closing = "\\)" if name == "(" else "\\]"
            close = self._find(closing, place, end)
            if close < 0:
                return "", place
            formula = self._text[place:close]
            return (self._inline if name == "(" else self._display)(formula), close + 2
        if name in ("\\", "tabularnewline", "\\*", "cr"):
            if self._text[place : place + 1] == "[":
                place = self._optional(place, end)
            return "\x02" if self._cells or self._lists else "\n", place
        if not name[0].isalpha() and name[0] != "@":
            if name in _ACCENTS:
                return self._accent(name, place, end)
            return (name if name in "%&_#${} " else ""), place
        bare = name.removesuffix("*")
        if bare == "begin":
            return self._begin(place, end, depth)
        if bare == "end":
            return self._end(place)
        if bare in _ACCENTS and self._text[place : place + 1] == "{":
            return self._accent(bare, place, end)
        if bare in _SIGNS:
            if self._text[place : place + 1] == " " and _SIGNS[bare].strip():
                place += 1
            return _SIGNS[bare], place
        if bare == "item":
            return self._item(place, end, depth)
        if bare in _HEADINGS:
            inner, place = self._argument(self._optional(place, end), end, depth)
            mark = "#" * _HEADINGS[bare] + " " if self._markdown else ""
            return f"\n\n{mark}{' '.join(inner.split())}\n\n", place
        if bare in ("footnote", "footnotetext"):
            inner, place = self._argument(self._optional(place, end), end, depth)
            return f" ({inner.strip()})", place
        if bare == "caption":
            inner, place = self._argument(self._optional(place, end), end, depth)
            return f"\n\n{inner}\n\n", place
        if bare in ("url", "nolinkurl", "path"):
            until = self._closing.get(place)
            if until is not None:
                return self._keep(self._text[place + 1 : until]), until + 1
        if bare in ("verb", "lstinline") and place < end:
            close = self._text.find(self._text[place], place + 1, end)
            if close >= 0 and self._text[place] not in "{\n":
                return self._keep(self._text[place + 1 : close]), close + 1
        return "", self._without_words(bare, place, end)

    def _without_words(self, name: str, place: int, end: int) -> int:
        """After the arguments of a command that are no words; others stay to be read."""
        count = _NO_WORDS.get(name, 0)
        place = self._optional(place, end)
        for _ in range(count):
            start = place
            while start < end and self._text[start] in " \n\t":
                start += 1
            if start not in self._closing:
                return place
            place = self._optional(self._closing[start] + 1, end)
        if not count and self._text[place : place + 1] == " " and place + 1 < end:
            place += 1
        return place

    def _optional(self, place: int, end: int) -> int:
        """After bracketed options that stand right here."""
        while place < end and self._text[place] == "[":
            close = self._text.find("]", place, min(end, place + 2000))
            if close < 0:
                return place
            place = close + 1
        return place

    def _argument(self, place: int, end: int, depth: int) -> tuple[str, int]:
        while place < end and self._text[place] in " \n\t":
            place += 1
        close = self._closing.get(place)
        if close is None or close > end:
            return "", place
        if depth >= _MAX_DEPTH:
            return "", close + 1
        return self._render(place + 1, close, depth + 1), close + 1

    def _accent(self, name: str, place: int, end: int) -> tuple[str, int]:
        while place < end and self._text[place] == " ":
            place += 1
        close = self._closing.get(place)
        if close is not None:
            letters, place = self._text[place + 1 : close], close + 1
        else:
            letters, place = self._text[place : place + 1], place + 1
        letters = letters.replace("\\i", "i").replace("\\j", "j").replace("{", "").replace("}", "")
        if not letters or letters[0] in "\\$":
            return "", place
        return unicodedata.normalize("NFC", letters[0] + _ACCENTS[name]) + letters[1:], place

    def _begin(self, place: int, end: int, depth: int) -> tuple[str, int]:
        close = self._closing.get(place)
        if close is None:
            return "", place
        name = self._text[place + 1 : close].strip()
        place = close + 1
        bare = name.removesuffix("*")
        if bare in _MATHS or name in VERBATIM or bare in _DROPPED:
            closing = f"\\end{{{name}}}"
            stop = self._find(closing, place, end)
            if stop < 0:
                return "", place
            body, after = self._text[place:stop], stop + len(closing)
            if bare in _DROPPED:
                return "", after
            if bare == "math":
                return self._inline(body), after
            if bare in _MATHS:
                if bare in ("alignat", "xalignat"):
                    body = re.sub(r"\A\s*\{\d+\}", "", body)
                return self._display(
                    body, _INSIDE.get(bare, bare if bare == "eqnarray" else "")
                ), after
            body = re.sub(r"\A(?:\[[^\]]{0,500}\])?(?:\{[^{}]{0,40}\})?[ \t]*\n", "", body).rstrip()
            fenced = f"```\n{body}\n```" if self._markdown else body
            return f"\n\n{self._keep(fenced)}\n\n", after
        if bare in ("itemize", "enumerate", "description", "compactitem", "compactenum"):
            self._lists.append(0 if "enum" in bare else -1)
            return "\n\n", self._optional(place, end)
        if bare in ("tabular", "tabularx", "tabulary", "longtable", "array", "supertabular"):
            self._cells += 1
            place = self._optional(place, end)
            for _ in range(2 if bare != "tabular" or name.endswith("*") else 1):
                if place in self._closing:
                    place = self._optional(self._closing[place] + 1, end)
            return "\n\n", place
        place = self._optional(place, end) if bare in ("figure", "table", "wrapfigure") else place
        if bare in ("minipage", "wrapfigure", "wraptable", "multicols", "adjustbox", "spacing"):
            while place in self._closing:
                place = self._closing[place] + 1
        if bare in self._theorems or bare == "proof":
            return f"\n\n{self._theorems.get(bare, 'Proof')}. ", self._optional(place, end)
        if bare == "abstract":
            return ("\n\n## Abstract\n\n" if self._markdown else "\n\nAbstract\n\n"), place
        return "\n\n", place

    def _end(self, place: int) -> tuple[str, int]:
        close = self._closing.get(place)
        if close is None:
            return "", place
        name = self._text[place + 1 : close].strip().removesuffix("*")
        if (
            name in ("itemize", "enumerate", "description", "compactitem", "compactenum")
            and self._lists
        ):
            self._lists.pop()
        if name in ("tabular", "tabularx", "tabulary", "longtable", "array", "supertabular"):
            self._cells = max(0, self._cells - 1)
        return "\n\n", close + 1

    def _item(self, place: int, end: int, depth: int) -> tuple[str, int]:
        while place < end and self._text[place] in " \n\t":
            place += 1
        term = ""
        if self._text[place : place + 1] == "[":
            close = self._text.find("]", place, min(end, place + 1000))
            if close > 0 and depth < _MAX_DEPTH:
                term = f"{self._render(place + 1, close, depth + 1).strip()} "
                place = close + 1
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            return f"\x02{term or f'{self._lists[-1]}. '}", place
        return f"\x02- {term}", place
