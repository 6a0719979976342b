"""Formulae, code and tables: forms that pages write them in, and the set of hand-made pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gristmill.data.extract.exact import (
    exact_code,
    exact_formulae,
    exact_rows,
    without_ignored_space,
)
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page

PAGES = Path(__file__).resolve().parents[2] / "benchmarks" / "pages" / "rich"
FIRST = "Some words come before the part that matters here. " * 4
LAST = "Some other words follow the part that matters here. " * 4


def middle(inner: str, markdown: bool = False) -> str:
    html = f"<html><body><main><p>{FIRST}</p>{inner}<p>{LAST}</p></main></body></html>"
    page = extract_page(html.encode(), "http://a.example/", None, ExtractOptions(markdown=markdown))
    assert isinstance(page, ExtractedPage)
    assert page.text.startswith(FIRST.strip()) and page.text.endswith(LAST.strip()), page.text
    return page.text[len(FIRST.strip()) : -len(LAST.strip())].strip("\n")


def test_nearly_all_of_the_hand_made_pages_is_exact() -> None:
    truth = json.loads((PAGES / "ground-truth.json").read_text(encoding="utf-8"))
    assert len(truth) >= 60
    exact, all_of = [0, 0, 0], [0, 0, 0]
    for key, page in truth.items():
        html = (PAGES / "html" / f"{key}.html").read_bytes()
        found = extract_page(html, page["url"])
        assert isinstance(found, ExtractedPage), key
        exact[0] += exact_formulae(found.text, page["formulae"])
        exact[1] += exact_code(found.text, page["code"])
        exact[2] += exact_rows(found.text, page["tables"])
        all_of[0] += len(page["formulae"])
        all_of[1] += len(page["code"])
        all_of[2] += sum(map(len, page["tables"]))
    assert [round(one / whole, 3) >= 0.97 for one, whole in zip(exact, all_of, strict=True)] == [
        True
    ] * 3, (exact, all_of)


@pytest.mark.parametrize(
    ("mathml", "latex"),
    [
        ("<mi>f</mi><mo stretchy='false'>(</mo><mi>x</mi><mo stretchy='false'>)</mo>", "f(x)"),
        ("<mrow><mo>(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>)</mo></mrow>",
         r"\left(\frac{a}{b}\right)"),
        ("<mrow><mo>(</mo><mi>a</mi><mo>)</mo><mfrac><mi>b</mi><mi>c</mi></mfrac><mo>(</mo>"
         "<mi>d</mi><mo>)</mo></mrow>", r"(a)\frac{b}{c}(d)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>10</mn></msubsup>", "x_i^{10}"),
        ("<msup><mi>f</mi><mo>′</mo></msup>", "f'"),
        ("<msup><msup><mi>a</mi><mn>2</mn></msup><mn>3</mn></msup>", "{a^2}^3"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", r"\bar{x}"),
        ("<mover><mrow><mi>a</mi><mi>b</mi></mrow><mo>^</mo></mover>", r"\widehat{ab}"),
        ("<munder><mo>lim</mo><mrow><mi>n</mi><mo>→</mo><mi>∞</mi></mrow></munder><mi>a</mi>",
         r"\lim_{n \to \infty}a"),
        ("<munder><mi>x</mi><mo>∼</mo></munder>", r"\underset{\sim}{x}"),
        ("<mi mathvariant='double-struck'>N</mi><mi mathvariant='bold'>v</mi>",
         r"\mathbb{N}\mathbf{v}"),
        ("<mi>𝔤</mi><mi>ℒ</mi><mi>𝒙</mi>", r"\mathfrak{g}\mathcal{L}\boldsymbol{x}"),
        ("<mi>ker</mi><mo>⁡</mo><mi>f</mi><mi>rank</mi><mo>⁡</mo><mi>A</mi>",
         r"\ker f\operatorname{rank}A"),
        ("<mi>a</mi><mspace width='1em'></mspace><mtext>if&nbsp;</mtext><mi>b</mi>",
         r"a\quad\text{if }b"),
        ("<menclose notation='box'><mi>a</mi></menclose>", r"\boxed{a}"),
        ("<mrow><mo>{</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr><mtr><mtd><mn>2</mn></mtd></mtr>"
         "</mtable></mrow>", r"\begin{cases}1 \\ 2\end{cases}"),
        ("<mfenced open='|' close='|'><mtable><mtr><mtd><mi>a</mi></mtd></mtr></mtable></mfenced>",
         r"\begin{vmatrix}a\end{vmatrix}"),
        ("<mfenced separators=';'><mi>a</mi><mi>b</mi><mi>c</mi></mfenced>", "(a;b;c)"),
        ("<mmultiscripts><mi>X</mi><mi>a</mi><mi>b</mi><mprescripts></mprescripts><mn>1</mn>"
         "<mn>2</mn></mmultiscripts>", "{}_1^2X_a^b"),
        ("<mo>(</mo><mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac><mo>)</mo>",
         r"\binom{n}{k}"),
        ("<mn>5</mn><mo>%</mo>", r"5\%"),
        ("<maction><mi>a</mi><mi>b</mi></maction><mphantom><mi>c</mi></mphantom>", "a"),
    ],
)  # fmt: skip
def test_mathml(mathml: str, latex: str) -> None:
    assert middle(f"<p>So <math>{mathml}</math> is.</p>") == f"So ${latex}$ is."


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ('<img src="https://latex.codecogs.com/gif.latex?%5Cdpi%7B110%7D%20a%20%5E2">', "$a ^2$"),
        ('<img src="https://a.example/latex.php?latex=%5Calpha+x&amp;bg=ffffff">', r"$\alpha x$"),
        ('<img class="formulaInl" alt="$ \\tau $" src="form_1.png">', r"$\tau$"),
        ('<img class="formula-1" alt="A red car at Monza" src="car.jpg">', ""),
        ('<img src="photo.jpg?size=2" alt="A photograph">', ""),
        ('<script type="math/asciimath">sum_(i=1)^n i</script>', "`sum_(i=1)^n i`"),
        ('<script type="math/tex">% note\nx^2 % more\n</script>', "$x^2$"),
        ('<m:math><m:mi>x</m:mi></m:math>', "$x$"),
        ('<span class="MathJax" data-mathml="&lt;math&gt;&lt;mi&gt;y&lt;/mi&gt;&lt;/math&gt;">'
         "<i>y</i></span>", "$y$"),
        ('<math alttext="\\displaystyle\\nabla f"><mi>f</mi></math>', r"$\nabla f$"),
        ("<math><mi>n</mi></math> of <math><mi>n</mi></math>", "$n$ of $n$"),
        ("<math><mi>n</mi></math><img class=tex alt=n>", "$n$"),
    ],
)  # fmt: skip
def test_sources_of_formulae(inner: str, expected: str) -> None:
    assert middle(f"<p>Take {inner} here.</p>") == " ".join(f"Take {expected} here.".split())


CODE = "if a:\n    b = 1\n\nc()"
LINES = [*CODE.split("\n")]


@pytest.mark.parametrize(
    "inner",
    [
        f'<div class="row no-gutters"><div class="line-numbers-mode"><pre>{CODE}</pre></div></div>',
        '<div class="cm-editor"><div class="cm-gutters"><div>1</div></div><div class="cm-content">'
        + "".join(f'<div class="cm-line">{line or "<br>"}</div>' for line in LINES)
        + "</div></div>",
        '<div class="CodeMirror"><div class="CodeMirror-code">'
        + "".join(
            '<div><div class="CodeMirror-gutter-wrapper"><div class="CodeMirror-linenumber">1</div>'
            f'</div><pre class=" CodeMirror-line "><span>{line}&#8203;</span></pre></div>\n'
            for line in LINES
        )
        + "</div></div>",
        '<table class="highlight js-file-line-container">\n'
        + "".join(
            f'<tr>\n<td class="blob-num" data-line-number="{n}">{n}</td>\n'
            f'<td class="blob-code">{line or chr(10)}</td>\n</tr>\n'
            for n, line in enumerate(LINES, 1)
        )
        + "</table>",
        '<pre class="shiki"><code>'
        + "".join(f'<span class="line"><i>{line}</i></span>' for line in LINES)
        + "</code></pre>",
        '<pre><code>'
        + "".join(f'<span class="token-line"><b>{line}</b><br></span>' for line in LINES)
        + "</code></pre>",
        '<table><tr><td><pre>1\n2\n3\n4</pre></td><td><pre>' + CODE + "</pre></td></tr></table>",
        '<pre><span class="lineno">1 </span>'
        + '\n<span class="lineno">9 </span>'.join(LINES)
        + "</pre>",
        "<code>" + "<br>\n".join(LINES).replace("    ", "&nbsp;" * 4) + "</code>",
        '<div class="code">' + "<br>".join(LINES).replace("    ", "&nbsp;" * 4) + "</div>",
        f"<textarea readonly>{CODE}</textarea>",
        f'<script type="syntaxhighlighter"><![CDATA[{CODE}]]></script>',
        f'<div class="tabs"><ul class="nav nav-tabs"><li>py</li></ul><pre>{CODE}</pre></div>',
        f'<div class="code-toolbar"><pre>{CODE}</pre><div class="toolbar">Python</div></div>',
        f'<div class="code-block__header"><span>python</span></div><pre>{CODE}</pre>',
        f"<pre><button>Copy</button>{CODE}<i class=conum></i><b>(1)</b></pre>",
    ],
)  # fmt: skip
def test_forms_of_code(inner: str) -> None:
    assert middle(inner) == CODE


def test_what_is_no_code() -> None:
    assert middle('<div class="row gutter"><p>Twelve words.</p></div>') == "Twelve words."
    assert middle("<form><textarea>Your words</textarea></form>") == ""
    assert middle("<p>Press <kbd>a<br>b</kbd> now.</p>") == "Press a\nb now."
    assert middle('<p class="code">No line ends here.</p>') == "No line ends here."


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ("<tr><th rowspan=2>a</th><td>b</td></tr><tr><td>c</td></tr>", "a | b\n| c"),
        ("<tr><th colspan=2>a</th><th>b</th></tr><tr><td>1</td><td>2</td><td>3</td></tr>",
         "a |  | b\n1 | 2 | 3"),
        ("<tr><th>a</th><th>b</th></tr><tr><td></td><td>2</td></tr><tr><td>3</td><td></td></tr>",
         "a | b\n| 2\n3"),
        ("<tr><th>a</th><th>b</th></tr><tr><td><ul><li>x</li><li>y</li></ul></td><td>z<br>w</td>"
         "</tr>", "a | b\nx y | z w"),
        ("<tr><th>n</th><th>p</th></tr><tr><td><a href=/n>Name</a></td><td><a href=/p>Comments</a>"
         "</td></tr>", "n | p\nName | Comments"),
        ("<tr><th>a</th><th>b</th></tr><tr><td>q</td><td><pre>f(\n  x)</pre></td></tr>"
         "<tr><td>r</td><td>s</td></tr>", "a | b\nq\n\nf(\n  x)\n\nr | s"),
        ("<tr><th>a</th><th>b</th></tr><tr><td>q</td><td><table><tr><td>1</td><td>2</td></tr><tr>"
         "<td>3</td><td>4</td></tr></table></td></tr><tr><td>r</td><td>s</td></tr>",
         "a | b\nq\n\n1 | 2\n3 | 4\n\nr | s"),
        ("<tr><th colspan=999999>a</th></tr><tr><td>1</td><td>2</td></tr>", "a\n1 | 2"),
        ("<tr><th rowspan=0>a</th><th>b</th></tr><tr><td>1</td></tr>", "a | b\n| 1"),
    ],
)  # fmt: skip
def test_rows(rows: str, lines: str) -> None:
    assert middle(f"<table>{rows}</table>") == lines


def test_tables_of_other_elements_and_for_layout() -> None:
    aria = "<div role=table><div role=row><span role=columnheader>a</span><span role=columnheader>b"
    aria += (
        "</span></div><div role=row><span role=cell>1</span><span role=cell>2</span></div></div>"
    )
    assert middle(aria) == "a | b\n1 | 2"
    cells = "<tr><td>one</td><td>two</td></tr>" * 2
    assert middle(f"<table role=presentation>{cells}</table>") == "one\n\ntwo\n\none\n\ntwo"
    assert middle(f"<table>{cells}</table>", markdown=True).startswith("| one | two |\n| --- | ")


def test_spans_cost_no_memory() -> None:
    rows = "".join(
        f"<tr><td colspan=1000 rowspan=65534>{n}</td><td>x</td></tr>" for n in range(500)
    )
    assert len(middle(f"<table>{rows}</table>")) < 200_000


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac{a} {b} + c", r"\frac{a}{b}+c", True),
        (r"\sin x", r"\sin  x", True),
        (r"\sin x", r"\sinx", False),
        (r"a\\ b", r"a\\b", True),
        (r"a\ b", "ab", False),
        (r"\text{if } x", r"\text{if} x", False),
    ],
)
def test_white_space_of_tex(a: str, b: str, same: bool) -> None:
    assert (without_ignored_space(a) == without_ignored_space(b)) is same


def test_what_is_exact() -> None:
    text = "Take $x ^2$ and \\[y\\].\n\n    f(\n      1)\n\na | b\n| 2"
    assert exact_formulae(text, ["x^2", "y", "z", "y"]) == 2
    assert exact_formulae("Take x ^2 here", ["x^2"]) == 0
    assert exact_formulae("Take x ^2 here", ["x^2"], loose=True) == 1
    assert exact_code(text, ["f(\n  1)"]) == 1
    assert exact_code(text, ["f(\n1)"]) == 0
    assert exact_rows(text, [[["a", "b"], ["", "2"], ["2", ""]]]) == 2
    assert exact_rows("a b", [[["a", "b"]]]) == 0
    assert exact_rows("a b", [[["a", "b"]]], loose=True) == 1
