"""Presentation MathML as LaTeX (MathML Core), for pages that carry no TeX source.

Groups get braces only where TeX needs them, and fences `\\left` and `\\right` only where they hold
something tall, as people write it.
"""

from __future__ import annotations

from typing import Any

from gristmill.data.extract.symbols import (
    ACCENTS,
    BARE,
    FUNCTIONS,
    LIMITS,
    SYMBOLS,
    UNDERS,
    VARIANTS,
    letter_of_alphabet,
)

_MAX_DEPTH = 60
_LEAVES = frozenset(("mi", "mn", "mo", "ms"))
_LEFT_OUT = frozenset(("-text", "-comment", "annotation", "annotation-xml", "mprescripts"))
_ROWS = frozenset(("mrow", "mstyle", "mpadded", "merror", "math", "mtd", "mjx-assistive-mml"))
_OPENS = {"(": "(", "[": "[", "{": "\\{", "|": "|", "‖": "\\|", "∥": "\\|", "⟨": "\\langle",
          "〈": "\\langle", "⌊": "\\lfloor", "⌈": "\\lceil", "∣": "|", "": "."}  # fmt: skip
_CLOSES = {")": ")", "]": "]", "}": "\\}", "|": "|", "‖": "\\|", "∥": "\\|", "⟩": "\\rangle",
           "〉": "\\rangle", "⌋": "\\rfloor", "⌉": "\\rceil", "∣": "|", "": "."}  # fmt: skip
_MATRICES = {("(", ")"): "pmatrix", ("[", "]"): "bmatrix", ("{", "}"): "Bmatrix",
             ("|", "|"): "vmatrix", ("‖", "‖"): "Vmatrix", ("{", ""): "cases"}  # fmt: skip
_TALL = ("\\frac", "\\begin", "\\sqrt", "\\sum", "\\prod", "\\int", "\\over", "\\under", "\\binom")
_ENCLOSED = {
    "box": "boxed", "roundedbox": "boxed", "updiagonalstrike": "cancel",
    "downdiagonalstrike": "bcancel", "horizontalstrike": "cancel", "radical": "sqrt",
    "top": "overline", "bottom": "underline", "underline": "underline",
}  # fmt: skip
# Widths in em from which a space is written so.
_SPACES = ((1.9, "\\qquad"), (0.9, "\\quad"), (0.45, "\\ "), (0.26, "\\;"), (0.2, "\\:"),
           (0.1, "\\,"))  # fmt: skip
_EMS = {"em": 1.0, "ex": 0.43, "px": 1 / 16, "pt": 1 / 12, "mm": 0.24, "cm": 2.4, "in": 6.0}


def to_latex(math: Any) -> str:
    """LaTeX for a `<math>` element; its plain text where it nests deeper than any formula does."""
    try:
        return _row(_nodes(math), 0)
    except RecursionError:
        return str(math.text())


def _name(node: Any) -> str:
    tag: str = node.tag
    return tag.rpartition(":")[2] if ":" in tag else tag  # <m:mi>, in XHTML


def _nodes(node: Any) -> list[Any]:
    found = []
    child = node.first_child
    while child is not None:
        if child.tag not in _LEFT_OUT:
            found.append(child)
        child = child.next
    return found


def _row(nodes: list[Any], depth: int) -> str:
    """Neighbours: a fenced group where the first and the last are a pair of fences."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if len(nodes) >= 2:
        first, last = _fence(nodes[0]), _fence(nodes[-1])
        if first is not None and _is_table(nodes[1]):
            if last is not None and len(nodes) == 3 and (first, last) in _MATRICES:
                return _table(nodes[1], depth, _MATRICES[first, last])
            if len(nodes) == 2 and first == "{":
                return _table(nodes[1], depth, "cases")
            if len(nodes) == 3 and first == "{" and last is None and _empty(nodes[2]):
                return _table(nodes[1], depth, "cases")
        if len(nodes) > 2 and first in _OPENS and last in _CLOSES and _stretches(nodes):
            if first == "(" and len(nodes) == 3 and _is_choice(nodes[1]):
                return _element(nodes[1], depth + 1)
            inner = _join([_element(node, depth + 1) for node in nodes[1:-1]])
            return _fenced(_OPENS[first or ""], inner, _CLOSES[last or ""])
    parts = []
    for place, node in enumerate(nodes):
        following = nodes[place + 1] if place + 1 < len(nodes) else None
        parts.append(_element(node, depth + 1, following))
    return _join(parts)


def _element(node: Any, depth: int, following: Any = None) -> str:
    if depth > _MAX_DEPTH:
        raise RecursionError
    tag = _name(node)
    if tag in _LEAVES:
        return _leaf(node, tag, following)
    if tag == "mtext":
        return _text(node)
    if tag == "mspace":
        return _space(node.attributes)
    if tag in ("mphantom", "none"):
        return ""
    nodes = _nodes(node)
    if tag in _ROWS:
        return _row(nodes, depth)
    if tag in ("semantics", "maction"):
        return _element(nodes[0], depth + 1) if nodes else ""
    if tag == "mtable":
        return _table(node, depth, "")
    if tag == "msqrt":
        return f"\\sqrt{{{_row(nodes, depth)}}}"
    if tag == "menclose":
        return _enclosed(node.attributes.get("notation") or "", _row(nodes, depth))
    if tag == "mmultiscripts":
        return _multiscripts(node, depth)
    if tag == "mfenced":
        return _mfenced(node, nodes, depth)
    parts = [_element(child, depth + 1) for child in nodes]
    if tag == "mfrac" and len(parts) == 2:
        return _fraction(node.attributes, parts)
    if tag == "mroot" and len(parts) == 2:
        return f"\\sqrt[{parts[1]}]{{{parts[0]}}}"
    if tag == "msup" and len(parts) == 2:
        return _base(parts[0]) + _superscript(parts[1])
    if tag == "msub" and len(parts) == 2:
        return _base(parts[0]) + _subscript(parts[1])
    if tag == "msubsup" and len(parts) == 3:
        return _base(parts[0]) + _subscript(parts[1]) + _superscript(parts[2])
    if tag in ("munder", "mover", "munderover") and len(parts) >= 2:
        return _over_under(tag, nodes, parts)
    return _join(parts)


def _leaf(node: Any, tag: str, following: Any) -> str:
    if tag == "ms":
        return f'\\text{{"{" ".join(str(node.text()).split())}"}}'
    text = "".join(str(node.text()).split())
    if tag == "mi" or (tag == "mo" and text.isalpha() and len(text) > 1):
        if text in FUNCTIONS:
            return f"\\{text}"
        variant = VARIANTS.get((node.attributes.get("mathvariant") or "").lower())
        if len(text) > 1 and text.isalpha() and text.isascii():
            applied = following is not None and str(following.text()).strip() == "\u2061"
            if applied or tag == "mo":
                return f"\\operatorname{{{text}}}"
            return f"\\{variant or 'mathrm'}{{{text}}}"
        if variant and text.isalpha() and (variant != "mathrm" or text.isascii()):
            return f"\\{variant}{{{_signs(text)}}}"
    return _signs(text)


def _signs(text: str) -> str:
    return _join([_symbol(sign) for sign in text]) if len(text) > 1 else _symbol(text)


def _symbol(sign: str) -> str:
    if sign.isascii() and sign.isalnum():
        return sign
    if sign in BARE:
        return BARE[sign]
    name = SYMBOLS.get(sign)
    if name:
        return f"\\{name}"
    letter = letter_of_alphabet(sign)
    if letter is None:
        return sign
    font, plain = letter
    return f"\\{font}{{{_symbol(plain)}}}" if font else _symbol(plain)


def _text(node: Any) -> str:
    text = str(node.text())
    if not text.replace("\xa0", "").strip():
        return "\\ " if "\xa0" in text else ""
    # White space at the ends separates words from signs where it is written as such.
    words = " ".join(text.split())
    start = " " if text[0] == "\xa0" or (text[0] == " " and "\n" not in text[:3]) else ""
    end = " " if text[-1] == "\xa0" or (text[-1] == " " and "\n" not in text[-20:]) else ""
    return f"\\text{{{start}{words}{end}}}"


def _space(attributes: dict[str, str | None]) -> str:
    if attributes.get("linebreak") == "newline":
        return "\\\\"
    width = (attributes.get("width") or "").strip()
    number = width.rstrip("abcdefghijklmnopqrstuvwxyz%")
    try:
        ems = float(number) * _EMS.get(width[len(number) :], 0.0)
    except ValueError:
        return "\\ " if width else ""
    if ems < -0.05:
        return "\\!"
    return next((name for least, name in _SPACES if ems >= least), "")


def _fraction(attributes: dict[str, str | None], parts: list[str]) -> str:
    if attributes.get("bevelled") == "true":
        return f"{_base(parts[0])}/{_base(parts[1])}"
    name = "binom" if _is_zero(attributes.get("linethickness")) else "frac"
    return f"\\{name}{{{parts[0]}}}{{{parts[1]}}}"


def _over_under(tag: str, nodes: list[Any], parts: list[str]) -> str:
    base = parts[0]
    under = parts[1] if tag != "mover" else ""
    over = parts[2] if len(parts) > 2 else (parts[1] if tag == "mover" else "")
    name = base.lstrip("\\")
    braced = base.startswith(("\\overbrace", "\\underbrace"))
    if base.startswith("\\") and (name in LIMITS or braced or name.startswith("operatorname")):
        return base + (_subscript(under) if under else "") + (_superscript(over) if over else "")
    if over:
        sign = str(nodes[-1].text()).strip()
        accents = ACCENTS.get(sign)
        if accents:
            base = f"\\{accents[not _is_simple(base)]}{{{base}}}"
        else:
            base = f"\\overset{{{over}}}{{{base}}}"
    if under:
        sign = str(nodes[1].text()).strip()
        name = UNDERS.get(sign, "")
        base = f"\\{name}{{{base}}}" if name else f"\\underset{{{under}}}{{{base}}}"
    return base


def _multiscripts(node: Any, depth: int) -> str:
    base = ""
    scripts: list[str] = []
    before: list[str] = []
    current = scripts
    child = node.first_child
    while child is not None:
        tag = _name(child)
        if tag == "mprescripts":
            current = before
            # A parser of HTML closes no empty element: what follows lies inside of it.
            inner = _nodes(child)
            before.extend("" if _name(one) == "none" else _element(one, depth + 1) for one in inner)
        elif tag not in _LEFT_OUT:
            if child.prev is None or not (base or scripts or before or current is before):
                base = _element(child, depth + 1)
            else:
                current.append("" if tag == "none" else _element(child, depth + 1))
        child = child.next
    return (("{}" + _pairs(before)) if before else "") + _base(base) + _pairs(scripts)


def _pairs(scripts: list[str]) -> str:
    out = ""
    for place in range(0, len(scripts) - 1, 2):
        below, above = scripts[place], scripts[place + 1]
        out += (_subscript(below) if below else "") + (_superscript(above) if above else "")
    return out


def _mfenced(node: Any, nodes: list[Any], depth: int) -> str:
    attributes = node.attributes
    opening, closing = attributes.get("open", "(") or "", attributes.get("close", ")") or ""
    if len(nodes) == 1 and _is_table(nodes[0]) and (opening, closing) in _MATRICES:
        return _table(nodes[0], depth, _MATRICES[opening, closing])
    separators = "".join((attributes.get("separators", ",") or "").split())
    parts: list[str] = []
    for place, one in enumerate(nodes):
        if place and separators:
            parts.append(_symbol(separators[min(place - 1, len(separators) - 1)]))
        parts.append(_element(one, depth + 1))
    return _fenced(_OPENS.get(opening, opening), _join(parts), _CLOSES.get(closing, closing))


def _fenced(opening: str, inner: str, closing: str) -> str:
    if any(name in inner for name in _TALL) or "." in (opening, closing):
        return _join([f"\\left{opening}", inner, f"\\right{closing}"])
    return _join([opening, inner, closing])


def _enclosed(notation: str, inner: str) -> str:
    for one in notation.split() or ["longdiv"]:
        if one in _ENCLOSED:
            inner = f"\\{_ENCLOSED[one]}{{{inner}}}"
    return inner


def _table(node: Any, depth: int, environment: str) -> str:
    if _name(node) != "mtable":  # a row that holds nothing but the table
        node = _nodes(node)[0]
    rows = []
    for row in _nodes(node):
        cells = _nodes(row)
        if _name(row) == "mlabeledtr":
            cells = cells[1:]
        rows.append([_row(_nodes(cell), depth + 1) for cell in cells])
    if not environment:
        sides = (node.attributes.get("columnalign") or "").split()
        aligned = sides[:2] == ["right", "left"]
        environment = "aligned" if aligned else "matrix"
    body = " \\\\ ".join(" & ".join(row) for row in rows)
    return f"\\begin{{{environment}}}{body}\\end{{{environment}}}"


def _fence(node: Any) -> str | None:
    """The sign of an operator that may be a fence, '' for an empty one."""
    if _name(node) != "mo":
        return None
    sign = str(node.text()).strip()
    return sign if sign in _OPENS or sign in _CLOSES else None


def _stretches(nodes: list[Any]) -> bool:
    """Whether the first fence closes with the last, and neither is held at its size."""
    for end in (nodes[0], nodes[-1]):
        if end.attributes.get("stretchy") == "false":
            return False
    first, last = str(nodes[0].text()).strip(), str(nodes[-1].text()).strip()
    depth = 0
    for node in nodes[:-1]:
        if _name(node) == "mo":
            sign = str(node.text()).strip()
            if first != last:
                depth += (sign == first) - (sign == last)
            elif sign == first:
                depth += 1
            if depth == 0 or (first == last and depth > 1):
                return False
    return True


def _is_table(node: Any) -> bool:
    while _name(node) in _ROWS:
        inner = _nodes(node)
        if len(inner) != 1:
            return False
        node = inner[0]
    return _name(node) == "mtable"


def _is_choice(node: Any) -> bool:
    return _name(node) == "mfrac" and _is_zero(node.attributes.get("linethickness"))


def _is_zero(width: str | None) -> bool:
    return width is not None and width.strip().rstrip("emxpt%") in ("0", "0.0")


def _empty(node: Any) -> bool:
    return not str(node.text()).strip()


def _is_simple(text: str) -> bool:
    """One letter, one command, or one letter in a font."""
    if len(text) == 1 or (text.startswith("\\") and text[1:].isalpha()):
        return True
    name, brace, inner = text[1:].partition("{")
    return bool(brace) and text[0] == "\\" and name.startswith("math") and inner[1:] == "}"


def _base(text: str) -> str:
    if not text or _is_simple(text) or text.isdigit() or text.startswith("\\operatorname{"):
        return text
    if text.startswith(("\\left", "(", "\\begin{")) and _closes_itself(text):
        return text
    if text.startswith("\\") and text.endswith("}") and "}" not in text[:-1]:
        return text  # \vec{x}, \hat{y}, \mathrm{abc}
    return f"{{{text}}}"


def _closes_itself(text: str) -> bool:
    if text.startswith("\\left"):
        return text.count("\\left") == 1 and "\\right" in text[-14:]
    if text.startswith("("):
        return text.endswith(")") and text.count("(") == 1
    return text.count("\\begin") == 1 and text.endswith("}")


def _subscript(text: str) -> str:
    return f"_{text}" if len(text) == 1 else f"_{{{text}}}"


def _superscript(text: str) -> str:
    if text and not text.strip("'"):
        return text  # a prime is a superscript by itself
    if text == "^\\circ":
        return text
    return f"^{text}" if len(text) == 1 else f"^{{{text}}}"


def _join(parts: list[str]) -> str:
    """Parts side by side; a space after a command before a letter, and around relations."""
    out = ""
    for part in parts:
        if not part:
            continue
        if out and part[0].isalpha() and _ends_in_command(out):
            out += " "
        if part in _SPACED and out:
            out += f"{part} " if out[-1] == " " else f" {part} "
        else:
            out += part
    return out[:-1] if out[-1:] == " " and out[-2:] != "\\ " else out


_SPACED = frozenset(
    r"= < > + - \leq \geq \neq \approx \equiv \in \to \Rightarrow \times \pm \cdot".split()
)


def _ends_in_command(text: str) -> bool:
    stem = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return stem.endswith("\\") and len(stem) < len(text)
