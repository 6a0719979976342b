"""Chats from articles: good English, right splits, honest unknowns."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.align.chats import Chat
from gristmill.align.synthesize import READING, UNKNOWN, Choices, add_own, synthesize
from gristmill.align.wording import Wording, sentences
from gristmill.core.errors import GristmillError
from gristmill.core.records import mixture_schema
from gristmill.tokenizer.chat import Message

FIRST = "Anna Boris Clara Dmitri Erik Flora Georg Hanna Igor Jutta Karl Lena".split()
LAST = "Adler Brandt Cohen Dahl Eriksen Fischer Gruber Holm Ivanov Jensen Koch Lund".split()
KINDS = {"description": 4.0, "topic": 2.0, "summary": 2.0, "title": 1.0, "field": 1.0}


def article(number: int, title: str, description: str | None, topic: str | None, text: str) -> Any:
    return {
        "id": f"{number:016x}",
        "url": f"https://a.example/{number}",
        "host": "a.example",
        "domain": topic or "Arts",
        "quality": None,
        "title": title,
        "description": description,
        "topic": topic,
        "group": str(number),
        "repeats": 1,
        "anneal": False,
        "text": text,
    }


def people(count: int, start: int = 0) -> list[Any]:
    rng = random.Random(1)
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    rng.shuffle(names)
    trades = ["painter", "composer", "chemist", "poet"]
    rows = []
    for number, name in enumerate(names[start : start + count], start=start):
        trade, year = trades[number % 4], 1800 + number
        text = (
            f"{name} was a German {trade} born in the city of Bremen. "
            f"He lived in number {number} of a small street and worked there."
        )
        topic = "People" if number % 3 else "Uncategorized"
        rows.append(article(number, name, f"German {trade} ({year}–{year + 50})", topic, text))
    return rows


def write_mixture(folder: Path, train: Sequence[Any], heldout: Sequence[Any]) -> Path:
    for split, rows in (("train", train), ("heldout", heldout)):
        (folder / split).mkdir(parents=True)
        table = pa.Table.from_pylist(list(rows), schema=mixture_schema())
        pq.write_table(table, folder / split / "part-00000.parquet")
    return folder


def choices(**given: Any) -> Choices:
    return Choices(**{"kinds": KINDS, "ignore_topics": ("Uncategorized",), "heldout": 15} | given)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = people(120)
    # The last of them stands in the training part as well, on another site and in other letters.
    copy = article(999, rows[119]["title"].upper(), None, None, rows[119]["text"])
    return write_mixture(tmp_path_factory.mktemp("mixture"), [*rows[:100], copy], rows[100:])


def taught_wording() -> Wording:
    wording = Wording()
    for text in (
        "It is a species of bird. It is a genus of frogs. She was an American painter.",
        "He was a French composer. It is an umbrella. Oslo is the capital of Norway.",
        "Rome is the capital of Italy. It is the study of matter. It is the study of life.",
        "It was music of the time. That is music for all. This is loud music.",
        "Here the genus and the species, an ancient capital, and composer and study are named.",
        "The office of Prime Minister is old. The first Prime Minister was a poet.",
        "The prime number and the prime factor, the prime ideal, a prime gap and its prime.",
    ):
        wording.read(text)
    return wording


@pytest.mark.parametrize(
    ("description", "phrase"),
    [
        ("French composer (1803–1869)", "a French composer (1803–1869)"),
        ("American painter", "an American painter"),
        ("Species of bird", "a species of bird"),
        ("Capital of Norway", "the capital of Norway"),
        ("Study of matter", "the study of matter"),
        ("Music of Brazil", "music of Brazil"),
        ("Largest city in Peru", "the Largest city in Peru"),
        ("The study of old things.", "the study of old things"),
        ("Prime Minister of Japan (2006–2007)", "a Prime Minister of Japan (2006–2007)"),
    ],
)
def test_a_description_takes_the_article_that_texts_give_it(description: str, phrase: str) -> None:
    assert taught_wording().phrase(description) == phrase


@pytest.mark.parametrize(
    ("title", "text", "description", "person", "name", "verb"),
    [
        ("Mongoose", "A mongoose is a small mammal.", "Mammal", False, "a mongoose", "is"),
        ("Porpoise", "Porpoises are small dolphins.", "Animal", False, "a porpoise", "is"),
        ("Black Sea", "The Black Sea is a sea.", "Sea", False, "the Black Sea", "is"),
        ("Empty set", "In algebra, the empty set is the set.", "", False, "the empty set", "is"),
        ("Hittites", "The Hittites were a people.", "People", False, "the Hittites", "were"),
        ("Otto Holm", "Otto Karl Holm is a poet.", "Poet (1803–1869)", True, "Otto Holm", "was"),
        ("Otto Holm", "Otto Karl Holm was a poet.", "Poet (born 1950)", True, "Otto Holm", "is"),
        ("Troy", "Troy was an ancient city.", "City", False, "Troy", "was"),
    ],
)
def test_a_subject_is_named_as_its_text_names_it(
    title: str, text: str, description: str, person: bool, name: str, verb: str
) -> None:
    wording = Wording()
    wording.read("They saw a mongoose, a porpoise, the empty set and a fish.")
    subject = wording.subject(title, text, description, person)
    assert (subject.name, subject.verb) == (name, verb)


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = "J. S. Bach was a composer, e.g. of St. Matthew. He wrote 3.5 works. More.\nNext."
    assert sentences(text, 1, 200) == "J. S. Bach was a composer, e.g. of St. Matthew."
    assert sentences(text, 2, 200).endswith("He wrote 3.5 works.")
    assert sentences(text, 9, 200).endswith("More.")
    assert sentences(text, 9, 40) == "" and sentences("no end", 1, 99) == ""
    assert sentences("Twice ended..", 1, 99) == "Twice ended."


def test_no_article_stands_in_two_splits(mixture: Path) -> None:
    made = synthesize(mixture, choices(), 1)
    groups = {
        name: {chat.group for chat in chats if chat.kind != UNKNOWN}
        for name, chats in made.splits.items()
    }
    assert len(groups["heldout"]) == len(made.splits["heldout"]) == 15
    assert all(groups.values())
    names = list(groups)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            assert not groups[name] & groups[other], (name, other)
    read = {row["title"].casefold() for row in people(100)}
    assert groups["unseen"].isdisjoint(read)
    assert groups["train"] | groups["prompts"] | groups["heldout"] <= read | {
        people(120)[119]["title"].casefold()
    }
    share = len(groups["prompts"]) / len(groups["prompts"] | groups["train"])
    assert share == pytest.approx(0.25, abs=0.03)


def test_an_unread_article_whose_title_is_read_is_left_out(mixture: Path) -> None:
    made = synthesize(mixture, choices(), 1)
    copied = people(120)[119]["title"].casefold()
    assert copied not in {chat.group for chat in made.splits["unseen"]}
    unknown = [c for c in made.splits["train"] if c.kind == UNKNOWN]
    assert copied not in {chat.group for chat in unknown}
    assert made.left_out["held out, but its title stands in the training text"] == 1
    assert {"where", "reason"} <= set(made.rejects[0])


def test_unknown_is_taught_about_the_unread_and_the_invented_only(mixture: Path) -> None:
    made = synthesize(mixture, choices(unknown=0.2), 1)
    train = made.splits["train"]
    taught = [chat for chat in train if chat.kind == UNKNOWN]
    assert len(taught) / len(train) == pytest.approx(0.2, abs=0.01)
    read = {row["title"].casefold() for row in people(100)}
    unread = {row["title"].casefold() for row in people(20, start=100)}
    asked = {chat.group for chat in taught}
    assert len(asked) == len(taught) and not asked & read
    assert 0 < len(asked & unread) <= 10 and asked - unread
    words = {word for title in read | unread for word in title.split()}
    assert all(set(name.split()) <= words for name in asked)
    # What teaches the sentence does not test it, and prompts have names of their own.
    assert not asked & {chat.group for chat in made.splits["unseen"]}
    prompted = {chat.group for chat in made.splits["prompts"] if chat.kind == UNKNOWN}
    assert prompted and not prompted & (asked | read | unread)
    assert {c.kind for c in made.splits["unseen"]}.isdisjoint({UNKNOWN, *READING})
    # The answer to a reading question stands in the prompt, whether the article was read or not.
    mostly_reading = choices(kinds={"title": 9.0, "summary": 0.1})
    unseen = synthesize(mixture, mostly_reading, 1).splits["unseen"]
    assert {chat.kind for chat in unseen} == {"summary"}
    for chat in taught:
        assert chat.messages[-1].content == f"I do not know {chat.truth['name']}."
        assert chat.truth["name"] in chat.messages[0].content
    assert UNKNOWN not in {
        c.kind for c in synthesize(mixture, choices(unknown=0), 1).splits["train"]
    }


def test_answers_are_true_of_their_articles(mixture: Path) -> None:
    rows = {row["title"].casefold(): row for row in people(120)}
    made = synthesize(mixture, choices(per_article=5), 1)
    seen = set()
    for chat in made.splits["train"]:
        question, answer = (message.content for message in chat.messages)
        assert chat.truth["answer"] == answer
        if chat.kind == UNKNOWN:
            continue
        row = rows[chat.group] | {"title": chat.truth["title"]}
        seen.add(chat.kind)
        if chat.kind == "description":
            assert answer == f"{row['title']} was a {row['description']}."
            assert row["title"] in question and ("ho was" in question or "who " in question)
        elif chat.kind == "topic":
            assert answer == f"{row['title']} belongs to People."
        elif chat.kind == "summary":
            assert row["text"].startswith(answer)
        elif chat.kind == "title":
            assert answer == chat.truth["title"] and answer.title() in question
        else:
            assert answer == "This text is about People." and row["text"][:40] in question
    assert seen == set(KINDS)
    assert not any("Uncategorized" in c.messages[-1].content for c in made.splits["train"])


def test_the_same_seed_gives_the_same_chats_and_another_does_not(mixture: Path) -> None:
    def ids(seed: int) -> list[str]:
        return [chat.id for chat in synthesize(mixture, choices(), seed).splits["train"]]

    assert ids(1) == ids(1) != ids(2)
    every = [c.id for s in synthesize(mixture, choices(), 1).splits.values() for c in s]
    assert len(set(every)) == len(every)


def test_weights_and_bounds_are_kept(mixture: Path) -> None:
    made = synthesize(mixture, choices(kinds={"topic": 1.0}, most_train=7, unknown=0), 1)
    assert len(made.splits["train"]) == 7
    assert {chat.kind for chats in made.splits.values() for chat in chats} == {"topic"}
    long = synthesize(mixture, choices(characters=60, kinds={"summary": 1.0}), 1)
    assert all(len(c.messages[-1].content) <= 80 for c in long.splits["heldout"])


def test_a_title_that_needs_its_parentheses_is_left_out(tmp_path: Path) -> None:
    odd = article(500, "Ring (mathematics)", "Structure", "Mathematics", "A ring is a structure.")
    folder = write_mixture(tmp_path / "m", [*people(40), odd], [])
    made = synthesize(folder, choices(), 0)
    assert made.left_out["a title that needs its parentheses"] == 1
    assert not any("Ring" in c.group for chats in made.splits.values() for c in chats)
    assert made.splits["unseen"] == []


def test_a_mixture_without_titles_says_what_is_missing(tmp_path: Path) -> None:
    bare = [row | {"title": None} for row in people(5)]
    with pytest.raises(GristmillError, match="no article gives a question"):
        synthesize(write_mixture(tmp_path / "m", bare, []), choices(), 0)


def test_own_chats_are_split_by_their_group() -> None:
    def own(number: int) -> Chat:
        said = (Message("user", f"q{number}"), Message("assistant", "a"))
        return Chat(str(number), said, group=f"g{number // 2}")

    splits: dict[str, list[Chat]] = {name: [] for name in ("train", "prompts", "heldout", "unseen")}
    add_own(splits, [own(n) for n in range(600)], choices(), 3)
    groups = {name: {chat.group for chat in chats} for name, chats in splits.items()}
    assert sum(map(len, splits.values())) == 600 and not splits["unseen"]
    assert not groups["train"] & groups["prompts"] and not groups["train"] & groups["heldout"]
    assert 0.18 < len(groups["prompts"]) / 300 < 0.32 and groups["heldout"]
