"""Presentation MathML as LaTeX (MathML Core), for pages that carry no TeX source."""

from __future__ import annotations

from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MAX_DEPTH = 60

_SYMBOLS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ϵ": "epsilon",
    "ζ": "zeta", "η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu",
    "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon",
    "φ": "varphi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi",
    "Ω": "Omega", "∑": "sum", "∏": "prod", "∫": "int", "∬": "iint", "∮": "oint", "∂": "partial",
    "∇": "nabla", "∞": "infty", "±": "pm", "∓": "mp", "×": "times", "÷": "div", "⋅": "cdot",
    "·": "cdot", "∗": "ast", "∘": "circ", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx",
    "≡": "equiv", "∼": "sim", "≃": "simeq", "≅": "cong", "∝": "propto", "≪": "ll", "≫": "gg",
    "∈": "in", "∉": "notin", "∋": "ni", "⊂": "subset", "⊃": "supset", "⊆": "subseteq",
    "⊇": "supseteq", "∪": "cup", "∩": "cap", "∅": "emptyset", "∀": "forall", "∃": "exists",
    "¬": "neg", "∧": "wedge", "∨": "vee", "⊕": "oplus", "⊗": "otimes", "⊥": "perp", "∥": "parallel",
    "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "⇒": "Rightarrow", "⇐": "Leftarrow",
    "⇔": "Leftrightarrow", "↦": "mapsto", "…": "ldots", "⋯": "cdots", "⋮": "vdots", "⋱": "ddots",
    "ℏ": "hbar", "ℓ": "ell", "ℝ": "mathbb{R}", "ℂ": "mathbb{C}", "ℤ": "mathbb{Z}",
    "ℕ": "mathbb{N}", "ℚ": "mathbb{Q}", "⟨": "langle", "⟩": "rangle", "′": "prime", "†": "dagger",
    "√": "surd", "∠": "angle", "∣": "mid", "‖": "|", "{": "{", "}": "}", "%": "%", "#": "#",
    "&": "&", "−": "-", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u200b": "",
}  # fmt: skip
_BARE = {"−": "-", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u200b": ""}
_FUNCTIONS = _words(
    """sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim limsup
    liminf max min sup inf det dim ker gcd deg arg hom Pr"""
)
_ACCENTS = {
    "¯": "overline", "‾": "overline", "―": "overline", "^": "hat", "ˆ": "hat", "˜": "tilde",
    "~": "tilde", "→": "vec", "⃗": "vec", "˙": "dot", "¨": "ddot", "⏞": "overbrace", "ˇ": "check",
}  # fmt: skip
_LIMITS = _words("sum prod int iint oint lim max min sup inf limsup liminf bigcup bigcap")


def to_latex(math: Any) -> str:
    """LaTeX for a `<math>` element; its plain text where it nests deeper than any formula does."""
    try:
        return _join(_children(math, 0))
    except RecursionError:
        return str(math.text())


def _children(node: Any, depth: int) -> list[str]:
    return [_element(child, depth) for child in _nodes(node)]


def _nodes(node: Any) -> list[Any]:
    found = []
    child = node.first_child
    while child is not None:
        if child.tag not in ("-text", "-comment", "annotation", "annotation-xml", "none"):
            found.append(child)
        child = child.next
    return found


def _element(node: Any, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise RecursionError
    tag = node.tag
    if tag in ("mi", "mn", "mo", "ms"):
        return _token(tag, "".join(node.text().split()))
    if tag == "mtext":
        text = " ".join(node.text().split())
        return f"\\text{{{text}}}" if text else ""
    if tag == "mspace":
        return "\\ "
    if tag == "mphantom":
        return ""
    parts = _children(node, depth + 1)
    if tag == "semantics":
        return parts[0] if parts else ""
    if tag == "mfrac" and len(parts) == 2:
        return f"\\frac{{{parts[0]}}}{{{parts[1]}}}"
    if tag == "msqrt":
        return f"\\sqrt{{{_join(parts)}}}"
    if tag == "mroot" and len(parts) == 2:
        return f"\\sqrt[{parts[1]}]{{{parts[0]}}}"
    if tag == "msup" and len(parts) == 2:
        return f"{_base(parts[0])}^{_script(parts[1])}"
    if tag == "msub" and len(parts) == 2:
        return f"{_base(parts[0])}_{_script(parts[1])}"
    if tag == "msubsup" and len(parts) == 3:
        return f"{_base(parts[0])}_{_script(parts[1])}^{_script(parts[2])}"
    if tag in ("munder", "mover", "munderover") and len(parts) >= 2:
        return _over_under(tag, parts)
    if tag == "mfenced":
        opening = node.attributes.get("open") or "("
        closing = node.attributes.get("close") or ")"
        return f"\\left{_fence(opening)}{', '.join(parts)}\\right{_fence(closing)}"
    if tag == "mtable":
        return "\\begin{matrix}" + " \\\\ ".join(parts) + "\\end{matrix}"
    if tag in ("mtr", "mlabeledtr"):
        return " & ".join(parts)
    return _join(parts)


def _token(tag: str, text: str) -> str:
    if tag == "mi" and len(text) > 1:
        if text in _FUNCTIONS:
            return f"\\{text}"
        if text.isalpha():
            return f"\\mathrm{{{text}}}"
    return _join([_symbol(sign) for sign in text]) if len(text) > 1 else _symbol(text)


def _symbol(sign: str) -> str:
    if sign in _BARE:
        return _BARE[sign]
    name = _SYMBOLS.get(sign)
    return f"\\{name}" if name else sign


def _over_under(tag: str, parts: list[str]) -> str:
    base, other = parts[0], parts[1]
    if base.lstrip("\\") in _LIMITS:
        if tag == "munderover" and len(parts) == 3:
            return f"{base}_{_script(other)}^{_script(parts[2])}"
        return f"{base}{'_' if tag == 'munder' else '^'}{_script(other)}"
    if tag == "mover":
        accent = _ACCENTS.get(other) or ("vec" if other == "\\to" else None)
        return f"\\{accent}{{{base}}}" if accent else f"\\overset{{{other}}}{{{base}}}"
    if tag == "munder":
        if other in ("_", "¯", "\u0332"):
            return f"\\underline{{{base}}}"
        return f"\\underset{{{other}}}{{{base}}}"
    if len(parts) == 3:
        return f"\\overset{{{parts[2]}}}{{\\underset{{{other}}}{{{base}}}}}"
    return base


def _base(text: str) -> str:
    simple = len(text) == 1 or (text.startswith("\\") and text[1:].isalpha())
    return text if simple or not text else f"{{{text}}}"


def _script(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"


def _fence(sign: str) -> str:
    return {"{": "\\{", "}": "\\}", "": "."}.get(sign, sign)


def _join(parts: list[str]) -> str:
    """Parts side by side; a space after a command before a letter, and around relations."""
    out = ""
    for part in parts:
        if not part:
            continue
        if out and part[0].isalpha() and _ends_in_command(out):
            out += " "
        if part in ("=", "<", ">", "+", "-") or part in _SPACED:
            out += f" {part} " if out else part
        else:
            out += part
    return " ".join(out.split())


_SPACED = _words("\\leq \\geq \\neq \\approx \\equiv \\in \\to \\Rightarrow \\times \\pm \\cdot")


def _ends_in_command(text: str) -> bool:
    stem = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return stem.endswith("\\") and len(stem) < len(text)
