import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.evaluate.choices import (
    NORMALISATIONS,
    Instance,
    accuracy,
    accuracy_table,
    chance,
    cut_texts,
    score_choices,
)
from gristmill.evaluate.sentences import EXAMPLES, pair_table, read_pairs, right, score_pairs
from gristmill.evaluate.tasks import Article, WordCase, description_task, read_task
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

TEXT = (
    "The mouse ate the cheese. The answer is a river in the south of the country. "
    "Question: what is the answer? Answer: the city lies on the river, it is the capital. "
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT] * 5, 360)


class Table:
    """A scorer by numbers that a test chose: log p of a token is minus its id over 100."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        self.seen += [list(s) for s in sequences]
        return [-np.array(s[1:], dtype=np.float32) / 100 for s in sequences]


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ("The answer is", " a river"),
        ("The answer is ", "a river"),
        ("The ans", "wer is a river"),
        ("", "The city"),
        ("Straße: ", "Größe über ☃"),
        ("☃", "☃"),
        ("  ", "  x"),
    ],
)
def test_the_border_is_cut_on_the_joined_ids(tokenizer: Tokenizer, context: str, text: str) -> None:
    (cut,) = cut_texts(tokenizer, [(context, text)])
    assert cut.ids == [tokenizer.eot_id, *tokenizer.encode(context + text)]
    before, after = cut.ids[1 : cut.start], cut.ids[cut.start :]
    # What stands before the border is context alone; the next token reaches over it.
    assert context.encode().startswith(tokenizer.decode_bytes(before))
    assert len(tokenizer.decode_bytes([*before, after[0]])) > len(context.encode())
    assert (cut.characters, cut.bytes, cut.tokens) == (len(text), len(text.encode()), len(after))


def test_a_token_that_crosses_the_border_is_the_continuations(tokenizer: Tokenizer) -> None:
    (cut,) = cut_texts(tokenizer, [("The answer is ", "a river")])
    crossing = tokenizer.token_bytes(cut.ids[cut.start])
    assert crossing.startswith(b" a")
    apart = [*tokenizer.encode("The answer is "), *tokenizer.encode("a river")]
    assert apart != cut.ids[1:]


def test_scores_by_hand(tokenizer: Tokenizer) -> None:
    instance = Instance("q", "The answer is", (" a river", " the cheese é"), 1, "It is")
    (scores,) = score_choices(Table(), tokenizer, [instance])
    for i, text in enumerate(instance.continuations):
        ids = tokenizer.encode(text)
        total = -sum(ids) / 100
        assert scores.log_p_C[i] == pytest.approx(total, rel=1e-5)
        assert scores.unconditional_C[i] == pytest.approx(total, rel=1e-5)
        assert scores.score("characters")[i] == pytest.approx(total / len(text), rel=1e-5)
        assert scores.score("bytes")[i] == pytest.approx(total / len(text.encode()), rel=1e-5)
        assert scores.score("tokens")[i] == pytest.approx(total / len(ids), rel=1e-5)
    # This scorer looks at no context, so the context tells nothing.
    assert scores.score("pmi") == pytest.approx([0, 0], abs=1e-5)


def test_one_pass_and_no_sequence_twice(tokenizer: Tokenizer) -> None:
    scorer = Table()
    instances = [
        Instance(str(i), f"{'The city' if i % 2 else 'The river'} is", (" a", " the"), 0, "It is")
        for i in range(6)
    ]
    assert len(score_choices(scorer, tokenizer, instances)) == 6
    assert len(scorer.seen) == 6
    assert len({tuple(s) for s in scorer.seen}) == 6


def test_a_long_context_loses_its_beginning(tokenizer: Tokenizer) -> None:
    scorer = Table()
    instance = Instance("q", TEXT * 3 + "The answer is", (" a river", " the"), 0)
    short = Instance("q", "The answer is", (" a river", " the"), 0)
    (long_scores,) = score_choices(scorer, tokenizer, [instance], context=12)
    assert max(map(len, scorer.seen)) == 13
    (short_scores,) = score_choices(Table(), tokenizer, [short])
    assert long_scores.log_p_C.tolist() == short_scores.log_p_C.tolist()
    with pytest.raises(GristmillError, match="does not fit a context of 1"):
        score_choices(scorer, tokenizer, [instance], context=1)


def test_accuracy_against_chance(tokenizer: Tokenizer) -> None:
    three = Instance("b", "The", (" a", " the", " city"), 2, group="train")
    instances = [Instance("a", "The", (" a", " the"), 0, group="heldout")] * 30 + [three] * 10
    scores = score_choices(Table(), tokenizer, instances)
    best = [s.chosen("sum") == s.instance.gold for s in scores]
    figure = accuracy(scores, "sum")
    assert figure.value == np.mean(best)
    assert figure.n == 40
    assert chance(scores) == pytest.approx((30 / 2 + 10 / 3) / 40)
    table = accuracy_table("t", {"m": scores})
    assert [row[1:3] for row in table.rows] == [["all", 40], ["heldout", 30], ["train", 10]]
    assert len(table.columns) == 4 + len(NORMALISATIONS)


@pytest.mark.parametrize(
    ("continuations", "gold"), [((" a",), 0), ((" a", " b"), 2), ((" a", ""), 0)]
)
def test_refuses_questions_without_a_choice(continuations: tuple[str, ...], gold: int) -> None:
    with pytest.raises(GristmillError):
        Instance("q", "c", continuations, gold)


def articles(heldout: int = 40, train: int = 100) -> list[Article]:
    return [
        Article(
            id=str(i),
            title=f"Title {i}",
            description=f"Thing {i} of topic {i % 5}",
            topic=f"topic {i % 5}",
            split="heldout" if i < heldout else "train",
        )
        for i in range(heldout + train)
    ]


def test_descriptions_come_from_held_out_articles_first() -> None:
    task = description_task(articles(), questions=90, seed=1)
    assert [i.group for i in task.instances] == ["heldout"] * 40 + ["train"] * 50
    by_id = {a.id: a for a in articles()}
    for instance in task.instances:
        article = by_id[instance.id]
        assert instance.context == f"{article.title} is"
        assert (
            instance.continuations[instance.gold].casefold() == f" {article.description}".casefold()
        )
        topics = [text.rsplit(" ", 1)[1] for text in instance.continuations]
        # Four different topics, the article's own only once.
        assert len(set(topics)) == 4
        assert topics[instance.gold] == article.topic.rsplit(" ", 1)[1]
    assert min(np.bincount([i.gold for i in task.instances], minlength=4)) > 10


def test_descriptions_depend_on_the_seed_alone() -> None:
    first = description_task(articles(), questions=50, seed=1)
    assert first == description_task(iter(articles()), questions=50, seed=1)
    assert first != description_task(articles(), questions=50, seed=2)


def test_descriptions_are_written_as_in_a_sentence() -> None:
    texts = ["The thing is a thing. Polish things. A Polish writer.", "Thing polish 3 times"]
    case = WordCase()
    for text in texts:
        case.count(text)
    # "polish" stands there too, but less often than "Polish".
    for text, expected in (
        ("Thing of wood", "thing of wood"),
        ("Polish writer", "Polish writer"),
        ("Unseen word", "Unseen word"),
        ("3 things", "3 things"),
        ("(odd)", "(odd)"),
        ("", ""),
    ):
        assert case.in_a_sentence(text) == expected
    lower = [replace(article, text="every thing") for article in articles()]
    for instance in description_task(lower, questions=20, seed=0).instances:
        assert all(text.startswith(" thing ") for text in instance.continuations)


def test_topics_that_say_nothing_and_too_few_topics() -> None:
    task = description_task(articles(), questions=500, seed=1, ignore_topics=["topic 3"])
    assert len(task.instances) == 112
    assert not any("topic 3" in c for i in task.instances for c in i.continuations)
    two = [a for a in articles() if a.topic in ("topic 0", "topic 1")]
    instance = description_task(two, questions=1, seed=0).instances[0]
    assert len(set(instance.continuations)) == 4
    with pytest.raises(GristmillError, match="two topics"):
        description_task([a for a in articles() if a.topic == "topic 0"], questions=5)


def test_a_users_questions(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    good = [
        {"question": "2 + 2?", "choices": ["3", "4"], "answer": 1},
        {"question": "Which?", "choices": ["one", "two", "three"], "answer": "C", "group": "hard"},
        {"context": "The sky is", "choices": [" blue", " green"], "answer": " blue", "id": "sky"},
        {"question": "Letter?", "choices": ["B", "A"], "answer": "A"},
    ]
    bad = [
        "{",
        "[]",
        '{"question": "?", "choices": ["a"], "answer": 0}',
        '{"question": "?", "choices": ["a", "b"], "answer": 2}',
        '{"question": "?", "choices": "ab", "answer": 0}',
        '{"choices": ["a", "b"], "answer": 0}',
        '{"question": "?", "choices": ["a", "b"], "answer": "x"}',
        '{"question": "?", "choices": ["a", "b"], "answer": true}',
        '{"question": "?", "choices": ["a", "b"]}',
    ]
    file.write_text("\n".join([*map(json.dumps, good), "", *bad]) + "\n")
    task = read_task(file)
    assert [i.gold for i in task.instances] == [1, 2, 0, 1]
    assert task.instances[0].context == "Question: 2 + 2?\nAnswer:"
    assert task.instances[0].continuations == (" 3", " 4")
    assert (task.instances[2].context, task.instances[2].id) == ("The sky is", "sky")
    assert task.instances[1].group == "hard"
    assert len(task.rejects) == len(bad)
    assert [r["where"] for r in task.rejects] == [f"mine.jsonl:{n}" for n in range(6, 15)]
    file.write_text(bad[3])
    with pytest.raises(GristmillError, match="answer 2"):
        read_task(file)
    with pytest.raises(GristmillError, match="no such"):
        read_task(tmp_path / "none.jsonl")


def test_sentence_pairs(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 20
    assert EXAMPLES[0].likely == "The mouse ate the cheese."
    assert len({p.likely for p in EXAMPLES}) == len(EXAMPLES)
    scored = score_pairs(Table(), tokenizer, EXAMPLES)
    pair, likely, _ = scored[0]
    ids = tokenizer.encode(pair.likely)
    assert likely.log_probability == pytest.approx(-sum(ids) / 100, rel=1e-5)
    assert likely.tokens == len(ids)
    bits = sum(ids) / 100 / np.log(2) / len(pair.likely)
    assert likely.bits_per_byte == pytest.approx(bits, rel=1e-5)
    wins = sum(a.log_probability > b.log_probability for _, a, b in scored)
    assert right(scored).value == wins / len(scored)
    assert len(pair_table(scored).rows) == len(scored)
    file = tmp_path / "pairs.txt"
    file.write_text('A cat.\tCat a.\n\n{"likely": "x", "unlikely": "y", "kind": "k"}\n')
    assert [(p.likely, p.unlikely, p.kind) for p in read_pairs(file)] == [
        ("A cat.", "Cat a.", "own"),
        ("x", "y", "k"),
    ]
    file.write_text("only one sentence\n")
    with pytest.raises(GristmillError, match=r"pairs\.txt:1"):
        read_pairs(file)
    with pytest.raises(GristmillError, match="empty"):
        score_pairs(Table(), tokenizer, [EXAMPLES[0], type(EXAMPLES[0])("", "x")])
