"""What manuals, references and indexes of real sites taught: one small page for each lesson."""

from __future__ import annotations

import pytest

from gristmill.data.extract.cues import cue
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, Rejected, extract_page

LONG = (
    "The mill grinds what the farmers bring to it in the autumn, and it pays them by the sack"
    " when the flour has been weighed in front of a witness from the village."
)


def text_of(
    body: str, *, title: str = "Mills", markdown: bool = False, url: str = "http://mills.example/a"
) -> str:
    html = f"<html><head><title>{title}</title></head><body>{body}</body></html>"
    page = extract_page(html.encode(), url, "text/html", ExtractOptions(markdown=markdown))
    assert isinstance(page, ExtractedPage), page
    return page.text


def test_the_name_section_of_a_manual_page_stands_in_its_header() -> None:
    text = text_of(
        "<div id=header><h1>grind(1) Manual Page</h1><h2>NAME</h2><div class=sectionbody>"
        "<p>grind - turn grain into flour</p></div></div>"
        f"<div id=content><div class=sect1><h2>DESCRIPTION</h2><p>{LONG}</p><p>{LONG}</p></div>"
        "</div><div id=footer>Last updated 2024-05-31</div>"
    )
    assert text.startswith("NAME\n\ngrind - turn grain into flour")
    assert "Last updated" not in text and "Manual Page" not in text


def test_notes_that_are_paragraphs_of_a_reference_are_kept() -> None:
    body = (
        f"<h2>grind</h2><p>{LONG}</p><div><h2>Notes</h2><p>Wet grain must not be ground.</p></div>"
    )
    assert "Wet grain must not be ground." in text_of(body + f"<div><p>{LONG}</p></div>")


@pytest.mark.parametrize(
    "notes",
    [
        "<ol><li>Miller, A history of mills, 1911, page 12.</li></ol>",
        "<p>[1] Miller, A history of mills, 1911, page 12.</p>",
        "<ol><li><p>Miller, A history of mills, 1911, page 12.</p></li></ol>",
    ],
)
def test_notes_that_are_numbered_still_go(notes: str) -> None:
    text = text_of(f"<h1>Mills</h1><p>{LONG}</p><p>{LONG}</p><div><h2>Notes</h2>{notes}</div>")
    assert "Miller" not in text and "Notes" not in text


def test_what_stands_before_the_sections_of_a_chapter_is_kept() -> None:
    text = text_of(
        "<div class=chapter><h1>Mills and what they are</h1><div class=highlights>"
        "<div class=para>This chapter tells of mills.</div></div>"
        f"<div class=section><h2>1. Stones</h2><p>{LONG}</p><p>{LONG}</p></div></div>"
    )
    assert "This chapter tells of mills." in text


def test_short_paragraphs_around_a_procedure_are_kept() -> None:
    steps = "".join(f"<li><p>{LONG} {LONG}</p></li>" for _ in range(4))
    text = text_of(
        "<div class=sect1><h2>1. Grinding</h2><p>Here is what happens to a sack of grain.</p>"
        f"<div class=procedure><ol>{steps}</ol></div><p>The next section tells more.</p></div>"
    )
    assert "Here is what happens" in text and "The next section tells more." in text


def test_ids_of_parts_of_documents_are_no_cues() -> None:
    assert cue("sect2 SYNTAX-COMMENTS") == 0
    assert cue("table KEYWORDS-TABLE") == 0
    assert cue("refsect1 id-1.9.3-related") == 0
    assert cue("http.cookies.Morsel") == 0
    assert cue("func_signature") == 0
    assert cue("comments") and cue("keywords") and cue("cookies") and cue("signature")
    assert cue("section comments")  # that may be the box of comments too


def test_a_line_below_the_name_of_the_site_goes() -> None:
    slogan = "<div class='tagline'>Small. Slow. Thorough.</div>"
    text = text_of(f"{slogan}<h2>Stones</h2><p>{LONG}</p><p>{LONG}</p>")
    assert "Thorough" not in text and LONG in text
    # Below the headline it is a subtitle, and among paragraphs it may be text.
    below = text_of(f"<h2>Stones</h2><p>{LONG}</p>{slogan}<p>{LONG}</p>")
    assert "Thorough" in below


def test_headings_that_link_to_themselves_are_kept() -> None:
    text = text_of(
        f"<h1>Mills</h1><p>{LONG}</p><h2 id=stones><a class=header href='#stones'>The stones</a>"
        f"</h2><p>{LONG}</p><h2><a href='/other'>Another article</a></h2><p>{LONG}</p>"
    )
    assert "The stones" in text and "Another article" not in text


def test_terms_that_are_links_are_kept_with_their_definitions() -> None:
    text = text_of(
        f"<p>{LONG}</p><dl><dt><a href=/a>stones</a></dt><dd>What grinds.</dd>"
        f"<dt><a href=/b>hopper</a></dt><dd><p>What holds the grain.</p></dd></dl><p>{LONG}</p>"
    )
    assert "stones" in text and "hopper" in text


def test_addresses_behind_an_arrow_are_kept() -> None:
    url = "<div class=url>→ <a href='https://stones.example/'>https://stones.example/</a></div>"
    text = text_of(f"<p>{LONG} See:</p>{url}<p>{LONG}</p>")
    assert "→ https://stones.example/" in text


def test_sentences_of_a_list_of_changes_are_kept() -> None:
    items = "".join(
        f"<li>Added the <a href=/{n}>option_{n}_of_the_mill</a>.</li>" for n in range(5)
    )
    text = text_of(f"<p>{LONG}</p><ul>{items}</ul><p>{LONG}</p>")
    assert text.count("Added the option_") == 5


def test_what_announced_a_list_that_is_gone_goes_too() -> None:
    items = "".join(f"<li><a href=/{n}>mill_function_{n}</a></li>" for n in range(5))
    text = text_of(f"<p>{LONG}</p><p>{LONG}</p><p>5 Functions:</p><ul>{items}</ul><p>{LONG}</p>")
    assert "5 Functions:" not in text and "mill_function" not in text


def test_sections_that_are_headed_by_h1_keep_their_first_heading() -> None:
    text = text_of(
        f"<div>Mills</div><h1>1. Overview</h1><p>{LONG}</p><h1>2. Stones</h1><p>{LONG}</p>"
        f"<h1>3. Hopper</h1><p>{LONG}</p>"
    )
    assert text.startswith("1. Overview")
    single = text_of(f"<h1>A visit</h1><p>{LONG}</p><h2>2. Stones</h2><p>{LONG}</p>")
    assert not single.startswith("A visit")


def test_an_index_is_no_text() -> None:
    items = "".join(
        f"<li>stones, {n}<ul><li><a href=/{n}>in the description of mill number {n}</a></li>"
        f"<li><a href=/x{n}>in the history of the mills of the valley</a></li></ul></li>"
        for n in range(30)
    )
    html = f"<title>Index</title><h1>Index</h1><ul>{items}</ul>"
    page = extract_page(html.encode(), "http://mills.example/index", "text/html")
    assert isinstance(page, Rejected) and page.reason == "no main text"


def test_an_invitation_to_follow_the_coverage_goes() -> None:
    asks = "<p>Follow the Mill Post's full coverage of flour at https://www.mills.example/flour</p>"
    assert "coverage" not in text_of(f"<h1>Mills</h1><p>{LONG}</p><p>{LONG}</p>{asks}")


def test_paragraphs_before_a_long_table_are_kept() -> None:
    rows = "".join(f"<tr><td>15.{n}</td><td>{LONG} {LONG}</td></tr>" for n in range(12))
    text = text_of(
        "<div class=page><div class=main><h1>What is new</h1><p>Here is a list of what is new in"
        f" the mills of the valley, by version and by date of change.</p><p>{LONG}</p>"
        f"<div><table><tr><th>Version</th><th>New</th></tr>{rows}</table></div></div></div>"
    )
    assert text.startswith("Here is a list of what is new") and "15.11" in text


def test_the_last_links_of_a_list_with_their_words_are_kept() -> None:
    items = "".join(
        f"<li><p><a href=/{name}>mill.{name}</a> for work with {name}</p></li>"
        for name in ("grain", "flour", "water", "stones")
    )
    text = text_of(f"<h1>mill</h1><p>{LONG}</p><ul>{items}</ul>")
    assert "mill.grain" in text and "mill.stones for work with stones" in text


def test_a_list_of_links_that_a_sentence_announces_is_kept() -> None:
    items = "".join(f"<li><a href=/{n}>MILL_OPTION_{n}</a></li>" for n in range(5))
    said = "The following options are recommended for a mill that is to grind all kinds of grain:"
    text = text_of(f"<h1>Mills</h1><p>{LONG}</p><p>{LONG}</p><p>{said}</p><ul>{items}</ul>")
    assert "MILL_OPTION_4" in text
    related = text_of(f"<h1>Mills</h1><p>{LONG}</p><p>{LONG}</p><p>Related:</p><ul>{items}</ul>")
    assert "MILL_OPTION_4" not in related


def test_the_title_of_a_box_goes_with_what_stood_in_it() -> None:
    box = (
        "<div class=admonition><p class=admonition-title>See also</p>"
        "<p><a href=/b>{}</a>{}</p></div>"
    )
    body = f"<h1>Mills</h1><p>{LONG}</p>{{}}<p>{LONG}</p>"
    assert "See also" not in text_of(body.format(box.format("The guide to all the mills", "")))
    assert "See also" in text_of(body.format(box.format("The guide", f" tells more. {LONG}")))


def test_headings_that_are_targets_of_links_are_kept() -> None:
    text = text_of(f"<h1>Mills</h1><p>{LONG}</p><h2><a name=s>The stones</a></h2><p>{LONG}</p>")
    assert "The stones" in text
    text = text_of(f"<h1>Mills</h1><p>{LONG}</p><h2><a href=/s>The stones</a></h2><p>{LONG}</p>")
    assert "The stones" not in text


def test_the_id_of_a_heading_is_no_cue() -> None:
    text = text_of(f"<h1>Mills</h1><p>{LONG}</p><h2 id=_discussion>DISCUSSION</h2><p>{LONG}</p>")
    assert "DISCUSSION" in text


def test_marks_in_code_are_not_written() -> None:
    code = "<code>-p <em><code>port</code></em></code> and <em>that</em>"
    assert "`-p port` and *that*" in text_of(f"<p>{LONG}</p><p>{code} {LONG}</p>", markdown=True)


def test_a_section_sign_that_links_to_a_change_goes() -> None:
    text = text_of(f"<p>{LONG} <a href='https://c.example/1'>§</a></p><p>By § 3. {LONG}</p>")
    assert text.count("§") == 1
