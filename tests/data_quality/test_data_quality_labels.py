"""Labels and references from files and rules, as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.domain_labels import Rules, read_given_labels
from gristmill.data.reference import read_reference


def test_labels_of_addresses_and_texts(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(
        '\ufeff{"url": "https://www.a.example/x/", "domain": " Arts  and crafts "}\n'
        '{"url": "http://a.example/x", "domain": "Later"}\n'
        '{"text": "A text.", "domain": "Science"}\n'
        '\n{"url": "http://a.example/y"}\n[1]\nnot json\n{"domain": "Science"}\n'
        + "[" * 100_000 + "\n",
        encoding="utf-8",
    )  # fmt: skip
    found = read_given_labels([file])
    assert found.by_page == {"a.example/x": "Later"}
    assert found.texts == [("A text.", "Science")]
    assert found.bad == 5
    reasons = [row["reason"] for row in found.shown]
    assert reasons == ["no domain", "no object", "no JSON", "neither an address nor a text",
                       "no JSON"]  # fmt: skip
    assert found.shown[0]["where"] == "labels.jsonl:5" and len(found.shown[4]["sample"]) == 200
    (tmp_path / "none").write_text("{}\n", encoding="utf-8")
    with pytest.raises(GristmillError, match="none of 1 lines"):
        read_given_labels([tmp_path / "none"])
    with pytest.raises(GristmillError, match="cannot be read"):
        read_given_labels([tmp_path / "absent"])


def test_the_longest_rule_that_fits_holds() -> None:
    rules = Rules(
        {
            "News": ["a.example", "/news/"],
            "Physics": ["a.example/physics/", "topic: Physics", "/news/physics/"],
            "Shop": ["shop.b.example"],
        }
    )
    assert rules.domain("http://a.example/x", None) == "News"
    assert rules.domain("https://www.a.example/physics/1?a=b", "Arts") == "Physics"
    assert rules.domain("http://deep.a.example/x", None) == "News"
    assert rules.domain("http://nota.example/x", None) is None
    assert rules.domain("http://b.example/", None) is None
    assert rules.domain("http://shop.b.example/", None) == "Shop"
    assert rules.domain("http://c.example/news/1", None) == "News"
    assert rules.domain("http://c.example/news/physics/1", None) == "Physics"
    assert rules.domain("http://c.example/", " physics ") == "Physics"
    assert rules.domain("http://[broken", "Physics") == "Physics"


@pytest.mark.parametrize("pattern", ["word", "*.a.example", "/", "a b.example", ""])
def test_what_is_no_rule(pattern: str) -> None:
    with pytest.raises(GristmillError, match="is no rule"):
        Rules({"A": [pattern]})
    with pytest.raises(GristmillError, match="both 'A' and 'B'"):
        Rules({"A": ["a.example"], "B": ["a.example "]})


def test_a_reference_is_addresses_or_texts(tmp_path: Path) -> None:
    file = tmp_path / "good.txt"
    file.write_text(
        "# what we like\nhttps://www.a.example/x/\nb.example/y?z=1\n\nword\n"
        '{"text": "Of our own."}\n{"url": "http://c.example/"}\n{"url": 3}\n{broken\n',
        encoding="utf-8",
    )
    found = read_reference([file])
    assert found.pages == {"a.example/x", "b.example/y?z=1", "c.example"}
    assert found.texts == ["Of our own."]
    assert found.bad == 3 and found.shown[0] == {
        "where": "good.txt:5", "reason": "no address, no text", "sample": "word",
    }  # fmt: skip
    (tmp_path / "none").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(GristmillError, match="neither an address nor a text"):
        read_reference([tmp_path / "none"])
