"""Lists, tables, code and formulae, as plain text and as Markdown."""

from __future__ import annotations

import pytest

from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page

FIRST = "Some words come before the part that matters here. " * 4
LAST = "Some other words follow the part that matters here. " * 4


def middle(inner: str, markdown: bool = False) -> str:
    html = f"<html><body><main><p>{FIRST}</p>{inner}<p>{LAST}</p></main></body></html>"
    page = extract_page(html.encode(), "http://a.example/", None, ExtractOptions(markdown=markdown))
    assert isinstance(page, ExtractedPage)
    assert page.text.startswith(FIRST.strip()) and page.text.endswith(LAST.strip())
    return page.text[len(FIRST.strip()) : -len(LAST.strip())].strip("\n")


PYTHON = 'def f(x):\n    if x < 1:\n\treturn "a  b"\n\n    return x'


@pytest.mark.parametrize(
    ("inner", "text", "markdown"),
    [
        ("<h2>Part <i>two</i></h2>", "Part two", "## Part *two*"),
        (
            "<ul><li>one<ul><li>deep</li></ul></li><li>two</li></ul>",
            "- one\n  - deep\n- two",
            "- one\n  - deep\n- two",
        ),
        ("<ol><li>a</li><li><p>b</p><p>c</p></li></ol>", "- a\n- b\n  c", "1. a\n2. b\n  c"),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td></td><td>x|y</td></tr></table>",
            "A | B\n| x|y",
            "| A | B |\n| --- | --- |\n|  | x\\|y |",
        ),
        (
            f'<pre><code class="language-python">{PYTHON.replace("<", "&lt;")}\n</code></pre>',
            PYTHON,
            f"```python\n{PYTHON}\n```",
        ),
        (
            '<table><tr><td class="linenos"><pre>1\n2</pre></td><td><pre><span>a</span>\n  b</pre>'
            "</td></tr></table>",
            "a\n  b",
            "```\na\n  b\n```",
        ),
        ("<blockquote><p>Quoted.</p></blockquote>", "Quoted.", "> Quoted."),
        ("<p>one<br>two  words</p>", "one\ntwo words", "one\ntwo words"),
        (
            "<p>a <b>bold</b> <code>x_1</code> soft&shy;en</p>",
            "a bold x_1 soften",
            "a **bold** `x_1` soften",
        ),
    ],
)  # fmt: skip
def test_blocks(inner: str, text: str, markdown: str) -> None:
    assert middle(inner) == text
    assert middle(inner, markdown=True) == markdown


ANNOTATED = (
    "<math><semantics><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow>"
    '<annotation encoding="application/x-tex">{tex}</annotation></semantics></math>'
)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (
            '<p>Let <span class="katex"><span class="katex-mathml">'
            + ANNOTATED.format(tex="x^2")
            + '</span><span class="katex-html" aria-hidden="true"><i>x2</i></span></span>.</p>',
            "Let $x^2$.",
        ),
        (
            '<p>With <span class="mwe-math-element"><span style="display: none;" '
            'class="mwe-math-mathml-inline">'
            + ANNOTATED.format(tex="{\\displaystyle a+b}")
            + '</span><img class="mwe-math-fallback-image-inline" alt="{\\displaystyle a+b}">'
            "</span> in it.</p>",
            "With $a+b$ in it.",
        ),
        (
            '<p>So <span class="MathJax_Preview">E</span><span class="MathJax">E=mc2</span>'
            '<script type="math/tex">E=mc^2</script> holds.</p>',
            "So $E=mc^2$ holds.",
        ),
        (
            '<div class="MathJax_Display">shown</div>'
            '<script type="math/tex; mode=display">\\int_0^1 x\n dx</script>',
            "$$\\int_0^1 x dx$$",
        ),
        ('<p>A <img class="latex" alt="\\frac{a}{b}"> there.</p>', "A $\\frac{a}{b}$ there."),
        ('<p>A <img alt="Portrait of x = y" src="/p.jpg"> there.</p>', "A there."),
        ('<p>A <math alttext="\\alpha"><mi>α</mi></math> there.</p>', "A $\\alpha$ there."),
        (
            '<p>A <mjx-container display="true"><mjx-math>y</mjx-math><mjx-assistive-mml><math>'
            "<mi>y</mi></math></mjx-assistive-mml></mjx-container> there.</p>",
            "A $$y$$ there.",
        ),
    ],
)  # fmt: skip
def test_formulae_have_their_source(inner: str, expected: str) -> None:
    assert middle(inner) == expected


@pytest.mark.parametrize(
    ("mathml", "latex"),
    [
        ("<mfrac><mi>α</mi><msqrt><mi>x</mi></msqrt></mfrac>", r"\frac{\alpha}{\sqrt{x}}"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>"
            "<msub><mi>a</mi><mi>i</mi></msub>",
            r"\sum_{i = 1}^na_i",
        ),
        ("<mi>sin</mi><mo>⁡</mo><mi>x</mi>", r"\sin x"),
        ("<msup><mrow><mi>a</mi><mi>b</mi></mrow><mn>12</mn></msup>", "{ab}^{12}"),
        ("<mover><mi>v</mi><mo>→</mo></mover>", r"\vec{v}"),
        (
            "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd>"
            "<mtd><mn>4</mn></mtd></mtr></mtable>",
            r"\begin{matrix}1 & 2 \\ 3 & 4\end{matrix}",
        ),
    ],
)
def test_mathml_becomes_latex(mathml: str, latex: str) -> None:
    assert middle(f"<p>Here <math>{mathml}</math> it is.</p>") == f"Here ${latex}$ it is."


def test_mathml_of_any_depth() -> None:
    text = middle(
        "<p>Here <math>" + "<mrow>" * 1000 + "<mi>x</mi>" + "</mrow>" * 1000 + "</math>.</p>"
    )
    assert text == "Here $x$."
