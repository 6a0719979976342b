"""Figures against truth, with numbers worked out by hand."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pytest

from gristmill.data import audit
from gristmill.data.mistakes import (
    Mistakes,
    explain,
    find_mistakes,
    lost_articles,
    near_recall_by_edit,
)
from gristmill.data.sample_web.truth import (
    Judged,
    TruePage,
    Verdict,
    dropped_by,
    known_addresses,
    same_address,
)

TEXT = "one two three four five six seven eight nine ten"


def page(name: str, **fields: Any) -> TruePage:
    values: dict[str, Any] = {
        "kind": "article", "article": f"en:{name}", "language": "en", "title": name,
        "description": None, "topic": None, "shows_description": False, "shows_topic": False,
        "main_text": TEXT, "exact_group": name, "near_group": name, "edit": None,
        "personal_data": (), "quality": "good", "linked": False, "lookalike": False,
        "blocklisted": False, "forbidden": False,
    }  # fmt: skip
    return TruePage(url=f"http://a.example/{name}", **{**values, **fields})


def truth_of(*pages: TruePage) -> dict[str, TruePage]:
    return {same_address(p.url): p for p in pages}


def document(name: str, text: str = TEXT, **verdicts: Verdict) -> tuple[str, Judged]:
    url = f"http://a.example/{name}"
    stages = {f"data.{stage}": verdict for stage, verdict in verdicts.items()}
    return same_address(url), Judged(url, name, None, None, text, stages)


def kept(text: str | None = None, **own: Any) -> Verdict:
    return Verdict(True, None, text, own)


def dropped(*reasons: str, **own: Any) -> Verdict:
    return Verdict(False, reasons[0], None, {"reasons_all": list(reasons), **own})


def value(figures: audit.Figures, name: str) -> float:
    return round(figures[name].value, 4)


def test_addresses_in_one_spelling() -> None:
    assert same_address("http://A.example") == same_address("http://a.example/#top")
    assert same_address("http://a.example/%C3%A9?q=%20") == "http://a.example/é?q= "
    truth = truth_of(page("x"))
    assert known_addresses(["http://a.example/x#f", "http://b.example/x"], truth) == set(truth)


def test_crawl_counts_forbidden_pages_that_were_asked_for() -> None:
    truth = truth_of(page("x"), page("y"), page("secret", forbidden=True))
    requested = [p.url for p in truth.values()] + ["http://a.example/robots.txt"]
    figures = audit.audit_crawl(truth, requested, ["http://a.example/x"])
    assert figures["crawl.forbidden_fetched"].value == 1
    assert figures["crawl.forbidden_fetched"].n == 1
    assert value(figures, "crawl.coverage") == 0.5
    clean = audit.audit_crawl(truth, ["http://a.example/x"], ["http://a.example/x"])
    assert clean["crawl.forbidden_fetched"].value == 0


def test_extraction_counts_a_page_without_a_document() -> None:
    truth = truth_of(
        page("x", topic="T", shows_topic=True), page("y", main_text="one two three four"),
        page("z", kind="listing", main_text=""), page("secret", forbidden=True),
    )  # fmt: skip
    fetched = [p.url for p in truth.values()]
    # x: 10 words give 7 shingles; one word too many gives one shingle too many. y: no document.
    figures = audit.audit_extraction(truth, dict([document("x", TEXT + " eleven")]), fetched)
    assert value(figures, "extract.precision") == round((7 / 8 + 0) / 2, 4)
    assert value(figures, "extract.recall") == 0.5
    assert figures["extract.f1"].n == 2
    assert value(figures, "extract.title") == 1 and value(figures, "extract.topic") == 0


def test_language_positives_are_foreign_pages() -> None:
    truth = truth_of(
        page("en1"), page("en2"), page("fr1", language="fr"), page("fr2", language="fr"),
        page("spam", language=None, kind="spam"),
    )  # fmt: skip
    documents = dict(
        [
            document("en1", filter=kept(language="en")),
            document("en2", filter=dropped("language.score", language="en")),
            document("fr1", filter=dropped("boilerplate.prose", "language.other", language="fr")),
            document("fr2", filter=kept(language="en")),
            document("spam", filter=dropped("language.other", language="la")),
        ]
    )
    figures = audit.audit_language(truth, documents)
    assert value(figures, "language.precision") == 0.5
    assert value(figures, "language.recall") == 0.5
    assert value(figures, "language.accuracy") == 0.75
    causes = {(m.step, m.kind): m.causes for m in find_mistakes(truth, documents, ["en"])}
    assert causes["language", "false alarms"] == {"language.score (en)": 1}
    assert causes["language", "missed"] == {"taken for en": 1}


def test_classes_of_junk() -> None:
    truth = truth_of(
        page("b1", kind="boilerplate"), page("b2", kind="listing"), page("b3", kind="boilerplate"),
        page("s1", kind="spam"), page("good"), page("thread", kind="forum"),
        page("b4", kind="boilerplate", forbidden=True),
    )  # fmt: skip
    documents = dict(
        [
            document("b1", filter=dropped("spam.top_word")),
            document("b2", filter=kept()),
            document("s1", filter=dropped("boilerplate.prose")),
            document("good", filter=dropped("boilerplate.phrases")),
            document("thread", filter=dropped("boilerplate.phrases")),
        ]
    )
    fetched = [p.url for p in truth.values()]
    figures = audit.audit_class(truth, documents, "boilerplate", fetched)
    # b1 was dropped, b3 gave no document, b2 got through; s1 is junk, good is the false alarm.
    assert value(figures, "boilerplate.recall") == round(2 / 3, 4)
    assert value(figures, "boilerplate.precision") == 0.5
    figures = audit.audit_class(truth, documents, "spam", fetched)
    assert (value(figures, "spam.precision"), value(figures, "spam.recall")) == (1, 1)
    mistakes = find_mistakes(truth, documents, ["en"])
    low = audit.audit_class(truth, documents, "boilerplate", fetched)
    said = explain(low, mistakes)
    assert said[0] == "boilerplate.precision is 0.500: 1 false alarm, by boilerplate.phrases."
    assert "listing (1)" in said[1]


@pytest.mark.parametrize(
    ("kind", "causes", "words"),
    [
        ("false alarms", {"a.x": 1}, "1 false alarm, by a.x"),
        ("false alarms", {"a.x": 3}, "3 false alarms, all by a.x"),
        ("false alarms", {"a.x": 1, "b": 2}, "3 false alarms, 2 of them by b and 1 by a.x"),
        (
            "false alarms",
            {"a": 41, "b": 20, "c": 12, "d": 32},
            "105 false alarms, 41 of them by a, 32 by d and 20 by b",
        ),
        ("missed", {"spam": 2}, "2 missed: spam (2)"),
        (
            "missed",
            {"a": 4, "b": 3, "c": 2, "d": 1},
            "10 missed, among them a (4), b (3) and c (2)",
        ),
    ],
)
def test_mistakes_in_words(kind: str, causes: dict[str, int], words: str) -> None:
    assert Mistakes("step", kind, Counter(causes)).in_words() == words


def test_lookalikes_and_blocklists() -> None:
    truth = truth_of(page("m1", lookalike=True), page("m2", lookalike=True),
                     page("bad", blocklisted=True), page("fine"))  # fmt: skip
    documents = dict(
        [
            document("m1", filter=kept()),
            document("m2", filter=dropped("adult.words")),
            document("bad", filter=dropped("blocklist.gambling")),
            document("fine", filter=dropped("blocklist.malware")),
        ]
    )
    assert value(audit.audit_lookalikes(truth, documents), "adult.lookalikes_kept") == 0.5
    figures = audit.audit_blocklist(truth, documents)
    assert value(figures, "blocklist.precision") == 0.5
    assert value(figures, "blocklist.recall") == 1


def test_personal_data_by_value() -> None:
    mail, phone = ("email", "A.B@c.example"), ("phone", "+1 202-555-0101")
    truth = truth_of(
        page("p", personal_data=(mail, phone)), page("q"), page("r", personal_data=(mail,)),
        page("gone", personal_data=(mail,)),
    )  # fmt: skip
    found = json.dumps([{"kind": "email", "value": "a.b@c.example", "start": 0, "end": 3}])
    isbn = json.dumps([{"kind": "phone", "value": "978-0-1", "start": 0, "end": 3}])
    documents = dict(
        [
            document("p", "x " + phone[1], filter=kept(personal_data=found)),
            document("q", filter=kept(personal_data=isbn)),
            # The value does not stand in the text any more: no miss.
            document("r", filter=kept(personal_data=None)),
            document("gone", mail[1], filter=dropped("spam.top_word", personal_data=None)),
        ]
    )
    figures = audit.audit_personal_data(truth, documents)
    assert value(figures, "personal_data.precision") == 0.5
    assert value(figures, "personal_data.recall") == 0.5
    causes = {(m.step, m.kind): m.causes for m in find_mistakes(truth, documents, ["en"])}
    assert causes["personal_data", "missed"] == {"phone +1 202-555-0101": 1}
    assert causes["personal_data", "false alarms"] == {"978-0-1": 1}


def test_dedup_pairs() -> None:
    other = "entirely other words stand in this text and nothing else at all"
    truth = truth_of(
        page("a"), page("a2", exact_group="a", near_group="a", edit="exact"),
        page("a3", exact_group="a3", near_group="a", edit="words"),
        page("b", main_text=other), page("c", main_text=other + " more"),
        page("d", exact_group="d", near_group="b", edit="dropped"),
        page("empty", main_text="", exact_group=None, near_group=None),
    )  # fmt: skip

    def judged(exact: str, near: str, reason: str | None = None) -> Verdict:
        return Verdict(reason is None, reason, None, {"exact_group": exact, "near_group": near})

    documents = dict(
        [
            document("a", dedup=judged("1", "1")),
            document("a2", dedup=judged("1", "1", "exact_duplicate")),
            document("a3", dedup=judged("3", "1", "near_duplicate")),
            document("b", dedup=judged("4", "1")),
            document("c", dedup=judged("5", "6")),
            document("d", dedup=judged("7", "7")),
            document("empty", dedup=judged("1", "1")),
        ]
    )
    figures = audit.audit_dedup(truth, documents)
    assert value(figures, "dedup.exact.precision") == 1
    assert value(figures, "dedup.exact.recall") == 1
    # Found near pairs: a-a3 (right), a-b and a3-b (wrong); true ones: a-a3 and b-d.
    assert value(figures, "dedup.near.precision") == round(1 / 3, 4)
    assert value(figures, "dedup.near.recall") == 0.5
    edits = dict(near_recall_by_edit(truth, documents))
    assert edits["words"].value == 1 and edits["dropped"].value == 0
    # Texts that share most shingles are near copies although nobody planted them.
    documents = dict([document("b", dedup=judged("1", "1")), document("c", dedup=judged("2", "1"))])
    assert value(audit.audit_dedup(truth, documents), "dedup.near.precision") == 1


def test_quality_and_domains() -> None:
    truth = truth_of(
        page("g1", topic="Arts"), page("g2", topic="Arts"), page("g3", topic="Uncategorized"),
        page("p1", quality="poor", kind="forum"), page("copy", quality="neutral"),
    )  # fmt: skip

    def verdicts(quality: float | None, domain: str, labelled: bool = False) -> dict[str, Verdict]:
        own = {"domain": domain, "domain_labelled": labelled}
        return {"quality": kept(quality=quality), "domains": kept(**own)}

    documents = dict(
        [
            document("g1", **verdicts(0.9, "Arts")),
            document("g2", **verdicts(0.1, "People")),
            document("g3", **verdicts(0.8, "People")),
            document("p1", **verdicts(0.5, "Arts")),
            document("copy", **verdicts(0.0, "Arts", True)),
        ]
    )
    assert value(audit.audit_quality(truth, documents), "quality.auc") == round(2 / 3, 4)
    assert value(audit.audit_domains(truth, documents), "domains.accuracy") == 0.5


def test_only_steps_that_took_place() -> None:
    truth = truth_of(page("x"))
    figures = audit.audit_all(truth, dict([document("x")]), ["http://a.example/x"], ["en"])
    assert {name.partition(".")[0] for name in figures} == {"extract"}
    assert math.isnan(audit.audit_extraction({}, {}, [])["extract.f1"].value)


@pytest.mark.parametrize("where", ["filter", "dedup"])
def test_what_dropped_a_document(where: str) -> None:
    _, judged = document("x", **{where: dropped("why")})
    assert dropped_by(judged) == (f"data.{where}", "why")
    assert lost_articles(truth_of(page("x")), {same_address(judged.url): judged}) == [
        (f"data.{where}", "why", 1)
    ]
    assert dropped_by(document("x", filter=kept())[1]) is None
