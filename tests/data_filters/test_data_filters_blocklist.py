from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.filters.blocklist import AddressRules, Blocklist, url_words
from gristmill.data.filters.lexicon import read_word_list


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for category, domains in {
        "gambling": "casino.example\n# a comment\n\nBets.Example\n",
        "malware": "evil.example.net\ncasino.example\n",
    }.items():
        folder = tmp_path / "ut1" / category
        folder.mkdir(parents=True)
        (folder / "domains").write_text(domains, encoding="utf-8")
    (tmp_path / "ut1" / "malware" / "urls").write_text("shared.example/bad/\n", encoding="utf-8")
    (tmp_path / "ut1" / "README").write_text("no category", encoding="utf-8")
    return tmp_path / "ut1"


@pytest.mark.parametrize(
    ("url", "category"),
    [
        ("https://casino.example/a", "gambling"),
        ("http://www.Casino.Example./", "gambling"),
        ("https://a.b.bets.example:81/", "gambling"),
        ("https://notcasino.example/", None),
        ("https://example/", None),
        ("https://evil.example.net", "malware"),
        ("https://example.net", None),
        ("http://shared.example/bad", "malware"),
        ("http://shared.example/good", None),
        ("http://[broken/", None),
        ("", None),
    ],
)
def test_a_listed_host_blocks_what_is_below_it(lists: Path, url: str, category: str | None) -> None:
    found = Blocklist.read([lists]).category(url)
    assert (found[0] if found else None) == category


def test_only_the_wanted_categories(lists: Path) -> None:
    only = Blocklist.read([lists], ["malware"])
    assert only.category("http://bets.example/") is None
    assert only.category("http://casino.example/") == ("malware", "casino.example")
    with pytest.raises(GristmillError, match="category 'phishing'"):
        Blocklist.read([lists], ["phishing"])
    with pytest.raises(GristmillError, match="no folder of blocklists"):
        Blocklist.read([lists / "malware"])


def test_soft_words_need_company() -> None:
    rules = AddressRules(Blocklist(), frozenset({"poker", "bonus", "free"}), 2)
    assert rules.verdict("http://site.example/poker-history") is None
    assert rules.verdict("http://poker.example/free_BONUS") == (
        "url.soft_words",
        "bonus, free, poker in the address",
    )
    assert url_words("https://a.example/x%20y_z?q=1") == {"a", "example", "x", "y", "z", "q", "1"}


def test_word_list_files(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffone\n\n# no\n two words \n", encoding="utf-8")
    assert read_word_list(path) == ["one", "two words"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GristmillError, match="no UTF-8 text, from line 1"):
        read_word_list(path)
    with pytest.raises(GristmillError, match="no such word list"):
        read_word_list(tmp_path / "none.txt")
