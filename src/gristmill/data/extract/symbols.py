"""Unicode signs of mathematics and their names in LaTeX."""

from __future__ import annotations

import unicodedata


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SYMBOLS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ϵ": "epsilon",
    "ζ": "zeta", "η": "eta", "θ": "theta", "ϑ": "vartheta", "ι": "iota", "κ": "kappa",
    "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ϖ": "varpi", "ρ": "rho",
    "ϱ": "varrho", "σ": "sigma", "ς": "varsigma", "τ": "tau", "υ": "upsilon", "φ": "varphi",
    "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta",
    "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi",
    "Ω": "Omega", "∑": "sum", "∏": "prod", "∐": "coprod", "∫": "int", "∬": "iint", "∭": "iiint",
    "∮": "oint", "⋃": "bigcup", "⋂": "bigcap", "⨁": "bigoplus", "⨂": "bigotimes", "⋁": "bigvee",
    "⋀": "bigwedge", "∂": "partial", "∇": "nabla", "∞": "infty", "±": "pm", "∓": "mp",
    "×": "times", "÷": "div", "⋅": "cdot", "·": "cdot", "∗": "ast", "⋆": "star", "∘": "circ",
    "∙": "bullet", "•": "bullet", "≤": "leq", "≥": "geq", "⩽": "leqslant", "⩾": "geqslant",
    "≠": "neq", "≈": "approx", "≡": "equiv", "∼": "sim", "≃": "simeq", "≅": "cong",
    "∝": "propto", "≪": "ll", "≫": "gg", "≺": "prec", "≻": "succ", "∈": "in", "∉": "notin",
    "∋": "ni", "⊂": "subset", "⊃": "supset", "⊆": "subseteq", "⊇": "supseteq", "⊊": "subsetneq",
    "∪": "cup", "∩": "cap", "∖": "setminus", "∅": "emptyset", "∀": "forall", "∃": "exists",
    "∄": "nexists", "¬": "neg", "∧": "wedge", "∨": "vee", "⊕": "oplus", "⊖": "ominus",
    "⊗": "otimes", "⊙": "odot", "⊥": "perp", "⊤": "top", "∥": "parallel", "⊢": "vdash",
    "⊨": "models", "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "↑": "uparrow",
    "↓": "downarrow", "⇒": "Rightarrow", "⇐": "Leftarrow", "⇔": "Leftrightarrow",
    "⟹": "implies", "⟺": "iff", "⟶": "longrightarrow", "↦": "mapsto", "↪": "hookrightarrow",
    "⇌": "rightleftharpoons", "…": "ldots", "⋯": "cdots", "⋮": "vdots", "⋱": "ddots",
    "ℏ": "hbar", "ℓ": "ell", "ℜ": "Re", "ℑ": "Im", "ℵ": "aleph", "℘": "wp", "⟨": "langle",
    "〈": "langle", "⟩": "rangle", "〉": "rangle", "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil",
    "⌉": "rceil", "†": "dagger", "‡": "ddagger", "√": "surd", "∠": "angle", "△": "triangle",
    "□": "square", "◻": "square", "∴": "therefore", "∵": "because", "∣": "mid", "‖": "|",
    "{": "{", "}": "}", "%": "%", "#": "#", "&": "&", "$": "$", "_": "_", "\\": "backslash",
    "ı": "imath", "ȷ": "jmath", "\u00a0": " ",
}  # fmt: skip
# Signs that are no command: the minus, what is invisible, primes.
BARE = {
    "−": "-", "–": "-", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u200b": "",
    "\u200a": "", "\u2009": "", "\ufeff": "", "′": "'", "″": "''", "‴": "'''", "°": "^\\circ",
    "∶": ":", "＝": "=", "ϐ": "\\beta",
}  # fmt: skip
FUNCTIONS = _words(
    """sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp lim limsup
    liminf max min sup inf det dim ker gcd deg arg hom Pr"""
)
LIMITS = _words(
    """sum prod coprod int iint iiint oint lim max min sup inf limsup liminf det gcd Pr bigcup
    bigcap bigoplus bigotimes bigvee bigwedge"""
)
# Accents over one letter, and over more than one.
ACCENTS = {
    "¯": ("bar", "overline"), "‾": ("bar", "overline"), "―": ("bar", "overline"),
    "_": ("bar", "overline"), "\u0304": ("bar", "overline"), "^": ("hat", "widehat"),
    "ˆ": ("hat", "widehat"), "\u0302": ("hat", "widehat"), "˜": ("tilde", "widetilde"),
    "~": ("tilde", "widetilde"), "\u0303": ("tilde", "widetilde"),
    "∼": ("tilde", "widetilde"), "→": ("vec", "overrightarrow"), "⃗": ("vec", "overrightarrow"),
    "⇀": ("vec", "overrightarrow"), "←": ("overleftarrow", "overleftarrow"),
    "˙": ("dot", "dot"), "\u0307": ("dot", "dot"), "¨": ("ddot", "ddot"), "⏞": ("overbrace",) * 2,
    "ˇ": ("check", "check"), "˘": ("breve", "breve"), "´": ("acute", "acute"),
    "`": ("grave", "grave"),
}  # fmt: skip
UNDERS = {"_": "underline", "¯": "underline", "\u0332": "underline", "―": "underline",
          "‾": "underline", "⏟": "underbrace"}  # fmt: skip
VARIANTS = {
    "bold": "mathbf", "double-struck": "mathbb", "script": "mathcal", "bold-script": "mathcal",
    "fraktur": "mathfrak", "bold-fraktur": "mathfrak", "sans-serif": "mathsf",
    "monospace": "mathtt", "normal": "mathrm", "bold-italic": "boldsymbol",
    "-tex-calligraphic": "mathcal", "-tex-caligraphic": "mathcal",
}  # fmt: skip
# Letters that have a code point of their own in a mathematical alphabet.
_OTHER_LETTERS = {
    "ℂ": "C", "ℍ": "H", "ℕ": "N", "ℙ": "P", "ℚ": "Q", "ℝ": "R", "ℤ": "Z",
    "ℬ": "B", "ℰ": "E", "ℱ": "F", "ℋ": "H", "ℐ": "I", "ℒ": "L", "ℳ": "M", "ℛ": "R", "ℯ": "e",
    "ℊ": "g", "ℴ": "o", "ℭ": "C", "ℌ": "H", "ℨ": "Z",
}  # fmt: skip
_FONTS = (
    ("DOUBLE-STRUCK", "mathbb"),
    ("FRAKTUR", "mathfrak"),
    ("BLACK-LETTER", "mathfrak"),
    ("SCRIPT", "mathcal"),
    ("MONOSPACE", "mathtt"),
    ("SANS-SERIF", "mathsf"),
    ("BOLD ITALIC", "boldsymbol"),
    ("BOLD", "mathbf"),
    ("ITALIC", ""),
)


def letter_of_alphabet(sign: str) -> tuple[str, str] | None:
    """(font, letter) of a sign of the mathematical alphabets: 𝐀 is ('mathbf', 'A')."""
    if sign in _OTHER_LETTERS or "\U0001d400" <= sign <= "\U0001d7ff":
        name = unicodedata.name(sign, "")
        letter = _OTHER_LETTERS.get(sign) or unicodedata.normalize("NFKC", sign)
        for word, font in _FONTS:
            if word in name:
                return font, letter
    return None
