"""What is told by words: addresses, dates of birth, names of persons; masks of persons; rules."""

from __future__ import annotations

import importlib
import random
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.core.errors import GristmillError
from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.rules import C4Rules, GopherQualityRules, PersonalDataRules
from gristmill.data.personal_data import (
    births,
    find,
    name_documents,
    name_lists,
    name_templates,
    name_training,
    names,
    national_ids,
    phones,
    streets,
)
from gristmill.data.personal_data.apply import apply, hints_decide
from gristmill.data.personal_data.find import FINDERS
from gristmill.data.personal_data.mask import mask, same_persons

WORDS = ("birth_date", "address", "person")


def values(text: str, *kinds: str) -> list[str]:
    return [span.value for span in find.find(text, kinds or WORDS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He lives at 12 Elm Court.", ["12 Elm Court"]),
        ("to 1600 Larch Avenue, Apt 4B, Dover, DE 19901, today",
         ["1600 Larch Avenue, Apt 4B, Dover, DE 19901"]),
        ("10 Old Mill Road, Stow-on-the-Wold GL54 1AB",
         ["10 Old Mill Road, Stow-on-the-Wold GL54 1AB"]),
        ("Hauptstraße 5a, 10115 Berlin", ["Hauptstraße 5a, 10115 Berlin"]),
        ("Prinsengracht 263, 1016 GV Amsterdam", ["Prinsengracht 263, 1016 GV Amsterdam"]),
        ("au 12 bis, rue de la Paix, 75002 Paris", ["12 bis, rue de la Paix, 75002 Paris"]),
        ("Calle Mayor, 5", ["Calle Mayor, 5"]),
        ("Via Garibaldi 12, 20121 Milano", ["Via Garibaldi 12, 20121 Milano"]),
        ("P.O. Box 1234, Tulsa, OK 74101", ["P.O. Box 1234, Tulsa, OK 74101"]),
        ("In 2010 Supreme Court judges ruled on it.", []),
        ("a 5 Star Way of life, 3 Green Park benches", []),
        ("The Hauptstraße is long. Street 5 is short.", []),
        ("10 Downing Street", ["10 Downing Street"]),
        ("It went to 9 Supreme Court. Then to 12 Elm Court.", ["12 Elm Court"]),
    ],
)  # fmt: skip
def test_addresses(text: str, expected: list[str]) -> None:
    assert values(text, "address") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DOB: 03/05/1980", ["03/05/1980"]),
        ("Date of birth: 3 May 1980", ["3 May 1980"]),
        ("born on May 3rd, 1980 in Ghent", ["May 3rd, 1980"]),
        ("born in Ghent on 1980-05-03", ["1980-05-03"]),
        ("geboren am 3. Mai 1980", ["3. Mai 1980"]),
        ("née le 3 mai 1980", ["3 mai 1980"]),
        ("D.O.B.: 03.05.80", ["03.05.80"]),
        ("nacida el 3 de mayo de 1980", ["3 de mayo de 1980"]),
        ("He was born in 1980.", []),
        ("A star was born. The show opened on 3 May 1980.", []),
        ("birthday party on the lawn, 3 May 1980", []),
        ("signed on 3 May 1980", []),
    ],
)
def test_dates_of_birth(text: str, expected: list[str]) -> None:
    assert values(text, "birth_date") == expected


def test_names_in_running_text() -> None:
    text = (
        "Yesterday Sarah Thompson told reporters in Leeds that the council had lied. Dr. Thompson"
        " works with J. Robert Miller and Ludwig van Dijk at the Leeds City Council."
    )
    assert values(text, "person") == [
        "Sarah Thompson", "Thompson", "J. Robert Miller", "Ludwig van Dijk",
    ]  # fmt: skip
    assert values("the cat sat on 3 mats. 李明 said so.", "person") == []
    assert values("", "person") == []


def test_names_have_places_and_probabilities() -> None:
    text = "🙂 Name: Maria Lopez\nHer friend Anna-Lena O'Brien's house"
    for span in find.find(text, ("person",)):
        assert text[span.start : span.end] == span.value and 0.5 <= span.score <= 1
    assert values(text, "person") == ["Maria Lopez", "Anna-Lena O'Brien"]
    assert find.find(text, ("person",), min_score=1.1) == []


def test_the_shipped_tagger_is_what_the_command_makes(tmp_path: Path) -> None:
    # Retrained at a tenth of its size it must say the same of nearly every word; the whole
    # training takes half a minute, and its command is in the module.
    small, _ = name_training.train_tagger(1500, epochs=3)
    shipped = names.shipped_tagger()
    r = random.Random(7)
    documents = [name_documents.invented_document(r) for _ in range(150)]
    right = found = true = same = 0
    for text, spans in documents:
        ours = {span[:2] for span in shipped.find(text)}
        same += len(ours & {span[:2] for span in small.find(text)})
        right, found, true = right + len(ours & set(spans)), found + len(ours), true + len(spans)
    assert right / found > 0.9 and right / true > 0.9
    assert same / found > 0.85
    path = tmp_path / "names.safetensors"
    shipped.save(path)
    assert path.read_bytes() == names.SHIPPED.read_bytes()
    assert path.stat().st_size < 1_000_000
    assert np.array_equal(names.NameTagger.load(path).weights, shipped.weights)
    path.write_bytes(b"nonsense")
    with pytest.raises(GristmillError, match="not a tagger"):
        names.NameTagger.load(path)


def test_training_is_deterministic() -> None:
    one, two = (name_training.train_tagger(60, epochs=1)[0] for _ in range(2))
    assert one.weights.tobytes() == two.weights.tobytes()


def test_benchmark_documents_are_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[2] / "benchmarks"
    if not folder.is_dir():
        pytest.skip("no benchmarks here")
    monkeypatch.syspath_prepend(str(folder))
    theirs = importlib.import_module("personal_data_documents")
    sys.modules.pop("personal_data_documents")
    listed = {
        part.lower()
        for name in (*name_lists.FIRST_NAMES, *name_lists.LAST_NAMES)
        for part in name.split("_")
    }
    assert not listed & {name.lower() for name in (*theirs.FIRST, *theirs.LAST)}
    assert not set(theirs.TEMPLATES + theirs.NOTHING) & set(
        name_templates.WITH_NAMES + name_templates.WITHOUT_NAMES
    )
    for text, truth in theirs.documents(50):
        assert all(0 <= start < end <= len(text) for start, end, _ in truth)


def test_one_person_one_mask() -> None:
    text = "Clara Weber met Tom Reed. Weber liked Tom. C. Weber wrote to clara@x.example."
    spans = find.find(text, ("person", "email"))
    assert mask(text, spans, "<{KIND}_{number}>") == (
        "<PERSON_1> met <PERSON_2>. <PERSON_1> liked <PERSON_2>. <PERSON_1> wrote to <EMAIL_1>."
    )
    assert same_persons(["Ann", "Ann Lee", "Lee", "Bob"]) == {
        "Ann Lee": "Ann Lee", "Ann": "Ann Lee", "Lee": "Ann Lee", "Bob": "Bob",
    }  # fmt: skip


def test_kinds_may_have_their_own_action() -> None:
    text = "Ask Sarah Thompson (DOB 03/05/1980) at ann@mail.example."
    kinds: list[Any] = ["person", "birth_date", "email"]
    rules = PersonalDataRules(kinds=kinds, actions={"email": "remove", "person": "mark"})
    done = apply(text, rules)
    assert done.text == "Ask Sarah Thompson (DOB [birth_date-1]) at."
    assert done.record is not None and '"score"' not in done.record
    assert done.record.count('"kind"') == 3 and not done.rejected_for
    rules = PersonalDataRules(kinds=kinds, actions={"birth_date": "reject"}, scores=True)
    done = apply(text, rules)
    assert done.rejected_for == "birth_date" and done.text is None
    assert done.record is not None and '"score": 1.0' in done.record
    assert apply("Nothing here.", rules) == apply("", rules)
    assert hints_decide(["email", "phone"]) and not hints_decide(["email", "person"])


def test_the_chain_reads_texts_without_hints_where_names_are_asked_for() -> None:
    text = (
        "The mill stands on the bank of a small river that runs through the valley. Farmers have "
        "brought their grain to it for three hundred years. It is looked after by Sarah Thompson, "
        "and with every harvest the wheel turns, as Thompson says."
    )
    kinds: list[Any] = ["person", "email"]
    rules = ChainRules(
        gopher_quality=GopherQualityRules(min_words=20),
        c4=C4Rules(terminal_punctuation=False, min_sentences=None),
        personal_data=PersonalDataRules(kinds=kinds, mask="<{KIND}_{number}>"),
    )
    (row,) = Chain(rules)(pa.table({"text": [text]})).to_pylist()
    assert row["text"] == text.replace("Sarah Thompson", "<PERSON_1>").replace(
        "Thompson", "<PERSON_1>"
    )
    assert row["personal_data"].count('"person"') == 2


def test_ids_of_more_countries_if_asked() -> None:
    text = "CPF 390.533.447-05"
    assert apply(text, PersonalDataRules()).text is None
    assert apply(text, PersonalDataRules(id_countries=["all"])).text == "CPF [national_id-1]"
    with pytest.raises(ValueError, match="zz"):
        PersonalDataRules(id_countries=["zz"])
    with pytest.raises(ValueError, match="braces"):
        PersonalDataRules(mask="<{who}>")


# Patterns run on text from outside: each is bounded in what it reads from one place.


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in (births, find, national_ids, phones, streets):
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}", value


# Read once from left to right without a way back: possessive, and begun only behind others.
POSSESSIVE = {"gristmill.data.personal_data.national_ids._REGION"}


@pytest.mark.parametrize(("name", "pattern"), list(patterns()))
def test_patterns_read_a_bounded_stretch(name: str, pattern: re.Pattern[str]) -> None:
    from re import _parser  # type: ignore[attr-defined]

    longest = _parser.parse(pattern.pattern, pattern.flags).getwidth()[1]
    if name in POSSESSIVE:
        assert not re.search(
            r"(?<![\\*+?}])[*+](?!\+)", re.sub(r"\[[^\]]*\]", "x", pattern.pattern)
        )
    else:
        assert longest <= 400


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="AaBé .,'-\n1Mr:@ßİ李🙂", max_size=60))
def test_any_text_gives_sound_spans(text: str) -> None:
    spans = find.find(text, tuple(FINDERS), id_countries=national_ids.COUNTRIES)
    for one, other in pairwise(spans):
        assert one.end <= other.start
    for span in spans:
        assert text[span.start : span.end] == span.value and 0 < span.score <= 1
    mask(text, spans)
