"""Dumps of MediaWiki: what of the wikitext becomes text, what is skipped, what is refused."""

from __future__ import annotations

import bz2
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from gristmill.data.sources.convert import Converter, ConvertOptions
from gristmill.data.sources.readers import read_records
from gristmill.data.sources.record import Raw, Record, SourceFile
from gristmill.data.sources.wikitext import WikitextOptions, wikitext_to_text

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="de"><siteinfo>'
    "<sitename>Beispiel</sitename><dbname>dewiki</dbname>"
    "<base>https://de.example.org/wiki/Start</base><namespaces>"
    '<namespace key="0"/><namespace key="6">Datei</namespace>'
    '<namespace key="14">Kategorie</namespace></namespaces></siteinfo>'
)


def page(
    title: str, text: str, ns: int = 0, redirect: bool = False, model: str = "wikitext"
) -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>1</id>"
        + ('<redirect title="x"/>' if redirect else "")
        + "<revision><id>2</id><timestamp>2024-03-01T10:00:00Z</timestamp>"
        f"<model>{model}</model><text>{escape(text)}</text></revision></page>\n"
    )


def read(path: Path) -> list[Record]:
    converter = Converter(ConvertOptions())
    return converter(list(read_records(SourceFile(path, path.name, "wikipedia"))))


PAGES = [
    page("Erste Seite", "Wörter [[Datei:x.png|thumb|nicht]]hier.[[Kategorie:K]]"),
    page("Alt", "#WEITERLEITUNG [[Neu]]", redirect=True),
    page("Diskussion:X", "Gerede", ns=1),
    page("Modul", "return 1", model="Scribunto"),
    page("Zweite", "Mehr Wörter."),
]


@pytest.mark.parametrize("packing", ["plain", "one stream", "many streams"])
def test_a_dump(tmp_path: Path, packing: str) -> None:
    pieces = [piece.encode() for piece in (HEAD, *PAGES, "</mediawiki>")]
    path = tmp_path / "dump.xml.bz2"
    if packing == "plain":
        path.write_bytes(b"".join(pieces))
    elif packing == "one stream":
        path.write_bytes(bz2.compress(b"".join(pieces)))
    else:
        path.write_bytes(b"".join(bz2.compress(piece) for piece in pieces))
    found = read(path)
    assert [record.skipped for record in found] == [
        None, "redirect", "other namespace", "not wikitext: Scribunto", None,
    ]  # fmt: skip
    first = found[0]
    assert (first.text, first.source) == ("Wörter hier.", "dewiki")
    assert first.url == "https://de.example.org/wiki/Erste_Seite"
    assert first.fields == {
        "title": "Erste Seite", "date": "2024-03-01", "language_attribute": "de",
    }  # fmt: skip
    assert found[4].text == "Mehr Wörter."


def test_a_cut_dump_gives_what_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress((HEAD + PAGES[0]).encode()) + bz2.compress(b"x" * 99)[:30])
    found = read(path)
    assert found[0].text == "Wörter hier." and found[-1].problem == "damaged file"
    path.write_text(HEAD + PAGES[0] + "<page><title>", encoding="utf-8")
    found = read(path)
    assert found[0].text == "Wörter hier." and found[-1].problem == "not XML from here on"


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><mediawiki>&b;</mediawiki>',
        '<!DOCTYPE m SYSTEM "file:///etc/passwd"><mediawiki/>',
        "<rss><mediawiki/></rss>",
        "<mediawiki>" + "<a>" * 200,
    ],
)
def test_what_is_no_dump_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(text, encoding="utf-8")
    [found] = read(path)
    assert found.problem == "not a MediaWiki dump"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("'''Bold''' and ''it''.<ref>no {{x}}</ref> [[A (b)|a]] [[c]]s.", "Bold and it. a cs."),
        ("A{{Infobox|x={{y|1}}\n|z=2}}B <!-- no -->C", "AB C"),
        ("X ({{IPA|x}}; born 1) ({{lang-fr|mot}})", "X (born 1) (mot)"),
        ("{{convert|5|km|mi}} {{lang|de|Wort}} {{small|[[a|b]]}}", "5 km Wort b"),
        ("<math>\\frac{a}{{b}}</math>", "$\\frac{a}{{b}}$"),
        ("<math display='block'>x_1</math>", "$$x_1$$"),
        ("* a\n** b\n* c", "- a\n  - b\n- c"),
        ("# a\n# b", "1. a\n2. b"),
        ("{|\n|+ Cap\n! A !! B\n|-\n| 1 || [[x|2]]\n|}", "Cap\nA | B\n1 | 2"),
        ("{| class='infobox'\n| no\n|}\nyes", "yes"),
        ("== H ==\ntext\n== Empty ==\n== References ==\n* [http://a b]", "H\n\ntext"),
        ("== See also ==\n=== Below ===\nno\n== Yes ==\ny", "Yes\n\ny"),
        ("H<sub>2</sub>O 10<sup>6</sup> &lt;b&gt; &amp;", "H2O 10^6 <b> &"),
        ("<pre>a  {{b}}\n  c</pre>", "a  {{b}}\n  c"),
        ("[http://a.example words] [http://b.example]", "words"),
        ("[[fr:Mot]][[File:a.jpg|thumb|A [[b]] c]]end", "end"),
        ("open {{never closed and [[neither|this", "open {{never closed and [[neither|this"),
    ],
)  # fmt: skip
def test_wikitext(source: str, text: str) -> None:
    assert wikitext_to_text(source) == text


def test_wikitext_as_markdown() -> None:
    source = (
        "== H ==\n{|\n! A !! B\n|-\n| 1 || 2\n|}\n<syntaxhighlight lang=x>\na\n</syntaxhighlight>"
    )
    assert wikitext_to_text(source, WikitextOptions(markdown=True)) == (
        "## H\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n\n```\na\n```"
    )


@pytest.mark.parametrize(
    "source",
    ["{{" * 50_000, "{{a|" * 20_000 + "}}" * 20_000, "<math>" * 50_000, "<ref" * 50_000,
     "( " * 50_000, "{{lang|fr|" * 5000 + "}}" * 5000, " " * 100_000 + ",", "\ue0000\ue001"],
)  # fmt: skip
def test_hostile_wikitext_ends(source: str) -> None:
    assert len(wikitext_to_text(source)) <= len(source)


def test_a_page_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gristmill.data.sources import wikipedia

    monkeypatch.setattr(wikipedia, "MAX_BYTES", 1000)
    path = tmp_path / "dump.xml"
    path.write_text(HEAD + page("Big", "x" * 5000) + PAGES[4] + "</mediawiki>", encoding="utf-8")
    [big, small] = list(read_records(SourceFile(path, "d", "wikipedia")))
    assert isinstance(big, Record) and (big.problem, big.sample) == ("too large", "Big")
    assert isinstance(small, Raw) and small.data == "Mehr Wörter."
