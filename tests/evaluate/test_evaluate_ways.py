"""The same question by likelihood, by letter and by generation; published layouts of questions."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.core.run import Run
from gristmill.evaluate.answers import (
    Answer,
    answer_table,
    ask,
    read_lenient,
    read_strict,
    unreadable,
)
from gristmill.evaluate.choices import Instance, score_choices
from gristmill.evaluate.differences import difference_table, mcnemar, paired
from gristmill.evaluate.framing import ChatFraming, TextFraming
from gristmill.evaluate.letters import (
    LetterScores,
    favourite,
    guesses,
    listed,
    listed_shots,
    position_table,
    rotations_of,
    score_letters,
)
from gristmill.evaluate.likelihood import score_endings
from gristmill.evaluate.tasks import Task, draw, read_task
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion, Request
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.stages.evaluate_tasks import TasksConfig, _sheets
from gristmill.stages.stage import Execution, Inputs, Output
from gristmill.stages.tasks_results import Sheet, show_ways
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges

TEXT = "Question: Which is it? A) red B) green C) blue D) grey Answer: A. What is the sky? blue. "


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT] * 5, 330)


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> Engine:
    model = Transformer(TransformerConfig(tokenizer.vocab_size, 32, 2, 2, 1, 16, 48, 256))
    model.init_weights(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator()) * 0.1)
    return Engine(model, batch_tokens=600)


def questions(count: int = 12) -> list[Instance]:
    colours = (" red", " green", " blue", " grey")
    return [
        Instance(f"q{i}", f"Thing {i} is", colours, i % 4, "It is", stem=f"What is thing {i}?")
        for i in range(count)
    ]


class Likes:
    """A scorer whose log p of the last token depends on its text, and of all others is -1."""

    def __init__(self, tokenizer: Tokenizer, last: dict[str, float], text: str = "") -> None:
        self.tokenizer, self.last, self.text = tokenizer, last, text

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        scores = []
        for sequence in sequences:
            score = -np.ones(len(sequence) - 1, dtype=np.float32)
            said = self.tokenizer.decode(list(sequence[1:]))
            letter = said[-1]
            score[-1] = self.last.get(letter, -9)
            # Where a text is given, the letter in front of it is what this scorer likes.
            if self.text:
                score[-1] = 0 if f"{letter}) {self.text}\n" in said else -5
            scores.append(score)
        return scores


def test_every_choice_stands_once_at_every_letter() -> None:
    orders = rotations_of(4, 9)
    assert orders[0] == (0, 1, 2, 3) and len(orders) == 4
    for letter in range(4):
        assert sorted(order[letter] for order in orders) == [0, 1, 2, 3]
    assert rotations_of(3, 2) == ((0, 1, 2), (1, 2, 0))


def test_a_favourite_letter_shows_and_earns_chance(tokenizer: Tokenizer) -> None:
    framing = TextFraming(tokenizer)
    biased = score_letters(Likes(tokenizer, {"C": -0.1}), framing, questions())
    knows = score_letters(Likes(tokenizer, {}, text="blue"), framing, questions())
    assert all(s.letters == [2, 2, 2, 2] for s in biased)
    assert {s.right for s in biased} == {0.25}
    assert all(set(s.choices) == {2} for s in knows)
    # It always means blue, which is right in a quarter of the questions, whatever the order.
    assert [s.right for s in knows] == [0, 0, 1, 0] * 3
    table = position_table("t", {"biased": biased, "knows": knows})
    assert table.columns == ["model", "n", "first order", "all orders", "same choice", *"ABCD"]
    first, second = table.rows
    assert first[5:] == [0, 0, 1, 0] and first[4].value == 0
    assert second[5:] == [0.25] * 4 and second[4].value == 1


def test_a_guess_by_letter_is_called_one(tokenizer: Tokenizer) -> None:
    framing = TextFraming(tokenizer)
    biased = score_letters(Likes(tokenizer, {"C": -0.1}), framing, questions())
    blue = [replace(one, gold=2) for one in questions()]
    knows = score_letters(Likes(tokenizer, {}, text="blue"), framing, blue)
    assert guesses(biased) and not guesses(knows)
    assert favourite(biased) == ("C", 1.0) and favourite(knows) == ("A", 0.25)
    note = position_table("t", {"biased": biased, "knows": knows}).note
    assert "No better than guessing: biased. First order" in note
    assert "guessing" not in position_table("t", {"knows": knows}).note


def test_ways_that_tell_nothing_are_said_and_not_drawn(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    framing = TextFraming(tokenizer)
    blue = [replace(one, gold=2) for one in questions(10)]
    lost = [Answer(one, "?", "stop", None, None) for one in blue]
    read = [Answer(one, "C", "stop", 2, 2) for one in blue]
    biased = score_letters(Likes(tokenizer, {"C": -0.1}), framing, blue)
    knows = score_letters(Likes(tokenizer, {}, text="blue"), framing, blue)
    scored = score_choices(Likes(tokenizer, {}), tokenizer, blue, framing=framing)

    def shown(letter: list[LetterScores], written: list[Answer]) -> Output:
        """Of two models, of which the second says nothing by letter and in writing."""
        sheet = Sheet(Task("t", "t-1", blue), [], list(range(10)))
        sheet.likelihood = {"one": scored, "two": scored}
        sheet.letter = {"one": letter, "two": biased}
        sheet.generation = {"one": written, "two": lost}
        output = Output(tmp_path, Run(tmp_path / "run"), 0, Execution())
        show_ways([sheet], ["one", "two"], TasksConfig(), output)
        return output

    neither = shown(biased, [*lost[:9], read[9]])
    letters, generated = neither.notes
    assert "no model is better than guessing" in letters and "one C 100%, two C 100%" in letters
    assert "could not be read: one 9 of 10, two 10 of 10" in generated
    # One way alone needs no chart; its figures are kept, as those of the others are.
    assert neither.charts == [] and neither.figures["letter.accuracy.one"].value == 0.25
    one = shown(knows, [*lost[:8], *read[8:]])
    assert one.notes == []
    assert one.charts[0].categories == ["likelihood", "letter", "generation"]
    written = shown(knows, lost)
    assert len(written.notes) == 1 and written.charts[0].categories == ["likelihood", "letter"]


def test_the_prompt_lists_the_choices_in_order(tokenizer: Tokenizer) -> None:
    text = listed(questions()[0], TextFraming(tokenizer), (2, 0, 1, 3))
    assert text == "Question: What is thing 0?\nA) blue\nB) red\nC) green\nD) grey\nAnswer:"
    chat = listed(questions()[0], ChatFraming(ChatFormat.native(tokenizer)))
    assert chat.startswith("What is thing 0?\n\nA) red\n") and chat.endswith("right choice.")


def test_letters_of_a_model_equal_whole_sequences(tokenizer: Tokenizer, engine: Engine) -> None:
    framing = TextFraming(tokenizer)
    shots = questions(14)[12:]
    (first, *_), (second, *_) = (
        score_letters(scorer, framing, questions(5), shots=shots, context=250)
        for scorer in (engine, Slow(engine))
    )
    assert np.allclose(first.log_p_RC, second.log_p_RC, atol=1e-4)
    ids = framing.cuts([(listed(questions()[0], framing), " B")], [])[0].ids
    (whole,) = engine.score_tokens([ids])
    (alone,) = score_letters(engine, framing, questions(1), rotations=1)
    assert alone.log_p_RC[0][1] == pytest.approx(float(whole[-1]), abs=1e-4)


class Slow:
    """An engine's scores without its shortcut."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        return self.engine.score_tokens(sequences)


def test_endings_of_ragged_prompts(engine: Engine) -> None:
    rng = np.random.default_rng(0)
    endings = [
        (rng.integers(5, 300, size=n).tolist(), int(rng.integers(300))) for n in (1, 7, 80, 200, 7)
    ]
    assert np.allclose(
        score_endings(engine, endings), score_endings(Slow(engine), endings), atol=1e-4
    )


def test_a_chat_is_scored_at_its_formats_ids(tokenizer: Tokenizer, engine: Engine) -> None:
    chat_format = ChatFormat.native(tokenizer)
    framing = ChatFraming(chat_format)
    shot, instance = questions(2)
    (scores,) = score_choices(engine, tokenizer, [instance], framing=framing, shots=[shot])
    turns = [
        Message("user", "What is thing 0?"), Message("assistant", "red"),
        Message("user", "What is thing 1?"), Message("assistant", "green"),
    ]  # fmt: skip
    rendered = chat_format.render(turns)
    (log_p,) = engine.score_tokens([rendered.ids])
    answer = tokenizer.encode("green")
    assert rendered.ids[-1 - len(answer) : -1] == answer
    expected = log_p[-1 - len(answer) : -1].sum()
    assert scores.log_p_C[1] == pytest.approx(float(expected), rel=1e-4)
    assert scores.tokens_C[1] == len(answer)


def test_shots_stand_before_a_text(tokenizer: Tokenizer) -> None:
    (cut,) = TextFraming(tokenizer).cuts([("Thing 1 is", " green")], [("Thing 0 is", " red")])
    assert tokenizer.decode(cut.ids[1:]) == "Thing 0 is red\n\nThing 1 is green"
    assert tokenizer.decode(cut.ids[cut.start :]) == " green"


def test_shots_by_letter_stand_in_order_with_the_letters_of_their_right_answers(
    tokenizer: Tokenizer,
) -> None:
    framing = TextFraming(tokenizer)
    first, second, asked = questions(4)[1:]
    pairs = listed_shots([first, second], framing)
    assert [letter for _, letter in pairs] == [" B", " C"]
    (ids,) = framing.prompts([listed(asked, framing)], pairs)
    told = tokenizer.decode(ids[1:])
    answers = [line for line in told.splitlines() if line.startswith(("Question", "Answer"))]
    assert answers == [
        "Question: What is thing 1?", "Answer: B", "Question: What is thing 2?", "Answer: C",
        "Question: What is thing 3?", "Answer:",
    ]  # fmt: skip


def test_a_letter_of_two_tokens_is_scored_whole() -> None:
    # One token a byte: the space and the letter are two.
    letters = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))
    framing = TextFraming(letters)

    class Counts:
        """log p of a token is minus its id: the letter's own would rank A first by itself."""

        def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
            return [-np.array(sequence[1:], dtype=np.float32) for sequence in sequences]

    (scores,) = score_letters(Counts(), framing, questions(1), rotations=1)
    assert scores.log_p_RC[0].tolist() == [-sum(letters.encode(f" {x}")) for x in "ABCD"]


def test_two_files_of_questions_of_one_name_are_refused(tmp_path: Path) -> None:
    files = []
    for folder in ("easy", "hard"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "test.jsonl")
        files[-1].write_text('{"question": "?", "choices": ["a", "b"], "answer": 0}\n')
    config = TasksConfig(tasks=tuple(map(str, files)))
    output = Output(tmp_path / "made", Run(tmp_path / "run"), 0, Execution())
    with pytest.raises(GristmillError, match="two sets of questions are called 'test'"):
        _sheets(config, Inputs({}), output)


def test_a_written_answer_is_right_by_the_lenient_reading() -> None:
    (asked,) = questions(1)
    answers = [
        Answer(asked, "The answer is (A).", "stop", None, 0),
        Answer(asked, "B", "stop", 1, 1),
        Answer(asked, "who knows", "stop", None, None),
    ]
    sheet = Sheet(Task("t", [asked] * 3, []), [], [0, 1, 2], generation={"m": answers})
    assert sheet.right("generation", "pmi") == {"m": [1.0, 0.0, 0.0]}


OPTIONS = ["a red fox", "the plains", "the plains of Asia", "1,000 km"]


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("B", 1, 1),
        (" (b). ", 1, 1),
        ("C) the plains of Asia", 2, 2),
        ("C) the plains", None, 2),
        ("E", None, None),
        ("The answer is (D).", None, 3),
        ("The correct answer is: B", None, 1),
        ("the answer is a red fox", None, 0),
        ("B because of the grass", None, 1),
        ("It is B) as they say, not C)", None, 1),
        ("A dog, I think", None, None),
        ("I'd say so", None, None),
        ("THE PLAINS.", None, 1),
        ("They live in the plains of Asia today", None, 2),
        ("a red fox or 1,000 km", None, None),
        ("1 000 km", None, 3),
        ("a red", None, 0),
        ("the", None, None),
        ("", None, None),
        ("☃ \n", None, None),
    ],
)
def test_what_is_read_in_an_answer(text: str, strict: int | None, lenient: int | None) -> None:
    assert read_strict(text, OPTIONS) == strict
    assert read_lenient(text, OPTIONS) == lenient


class Writes:
    """A generator that answers with given texts, in the order of the questions' numbers."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]):
        self.tokenizer, self.texts, self.asked = tokenizer, texts, 0

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        found = []
        for request in requests:
            said = self.tokenizer.decode(list(request.prompt[1:]))
            number = int(said.rpartition("What is thing ")[2].partition("?")[0])
            ids = self.tokenizer.encode(self.texts[number])
            found.append(Completion([*ids, self.tokenizer.eot_id], [0.0] * len(ids), "stop"))
            self.asked += 1
        return found


def test_written_answers_are_read_and_counted(tokenizer: Tokenizer) -> None:
    texts = [" A", "It is B)", " no idea\n\nQuestion: A", "A", " blue"]
    generator = Writes(tokenizer, texts)
    answers = ask(generator, TextFraming(tokenizer), questions(5))
    assert generator.asked == 5
    assert [a.strict for a in answers] == [0, None, None, 0, None]
    assert [a.lenient for a in answers] == [0, 1, None, 0, 2]
    # A base model's further questions are not its answer.
    assert answers[2].text == "no idea"
    ((_, n, strict, lost, lenient, lost_leniently, read),) = answer_table("t", {"m": answers}).rows
    assert (n, strict.value, lost, lenient.value, lost_leniently) == (5, 0.2, 3, 0.4, 1)
    assert read.value == 0.5
    shown = unreadable("m", answers)
    assert [row["answer"] for row in shown.rows] == ["no idea", "It is B)", "blue"]


def test_a_model_writes_within_its_context(tokenizer: Tokenizer, engine: Engine) -> None:
    long = [Instance("l", "x", (" a", " b"), 0, stem="word " * 400), *questions(3)]
    answers = ask(engine, TextFraming(tokenizer), long, max_tokens=5, context=engine.context)
    assert len(answers) == 4 and [a.instance.id for a in answers] == ["l", "q0", "q1", "q2"]
    again = ask(engine, TextFraming(tokenizer), questions(3), max_tokens=5, context=engine.context)
    assert [a.text for a in answers[1:]] == [a.text for a in again]


def test_paired_differences_are_narrower_than_two_intervals() -> None:
    rng = np.random.default_rng(1)
    first = (rng.random(400) < 0.5).astype(float)
    second = first.copy()
    second[:20] = 1 - first[:20]
    second[20:60] = 1.0
    figure = paired(second.tolist(), first.tolist())
    assert figure.value == pytest.approx(float((second - first).mean()))
    assert figure.low is not None and figure.high is not None
    assert 0 < figure.low < figure.high and figure.high - figure.low < 0.08
    # 1 of 10 on one side: 2 * (1 + 10) / 1024.
    assert mcnemar([1] + [0] * 9, [0] + [1] * 9) == pytest.approx(22 / 1024)
    assert mcnemar([1, 0], [1, 0]) == 1
    ways = {"letter": {"a": [1.0, 0.0], "b": [1.0, 1.0], "c": [0.0, 0.0]}}
    rows = difference_table("d", ways).rows
    assert [row[0] for row in rows] == ["b minus a", "c minus a", "c minus b"]
    assert [row[3].value for row in rows] == [0.5, -0.5, -1.0]


LAYOUTS = {
    "arc": ({"id": "x", "question": "Q?", "choices": {"text": ["p", "q"], "label": ["1", "2"]},
             "answerKey": "2"}, "Question: Q?\nAnswer:", [" p", " q"], 1),
    "arc ": ({"question": {"stem": "Q?", "choices": [{"text": "p", "label": "A"},
              {"text": "q", "label": "B"}]}, "answerKey": "A"}, "Question: Q?\nAnswer:",
             [" p", " q"], 0),
    "openbookqa": ({"question_stem": "The sun is", "choices": {"text": ["p", "q"],
                    "label": ["A", "B"]}, "answerKey": "B"}, "The sun is", [" p", " q"], 1),
    "query": ({"query": "Question: Q?\nChoices:\nA. p\nB. q\nAnswer:", "choices": ["A", "B"],
               "gold": 1}, "Question: Q?\nAnswer:", [" p", " q"], 1),
    "piqa": ({"goal": "G", "sol1": "p", "sol2": "q", "label": 1}, "Question: G\nAnswer:",
             [" p", " q"], 1),
    "hellaswag": ({"ctx": "A man", "endings": ["p", "q", "r"], "label": "2"}, "A man",
                  [" p", " q", " r"], 2),
    "winogrande": ({"sentence": "I told _ to go.", "option1": "p", "option2": "q", "answer": "2"},
                   "I told", [" p to go.", " q to go."], 1),
    "options": ({"context_options": ["As we saw Jo", "As we saw Al"], "continuation": "ran.",
                 "gold": 0}, "As we saw", [" Jo ran.", " Al ran."], 0),
    "siqa": ({"context": "C.", "question": "Q?", "answerA": "p", "answerB": "q", "answerC": "r",
              "label": "3"}, "Question: C. Q?\nAnswer:", [" p", " q", " r"], 2),
    "boolq": ({"passage": "P.", "question": "is it", "answer": True},
              "Question: P.\nis it?\nAnswer:", [" no", " yes"], 1),
    "copa": ({"premise": "It rained.", "choice1": "We ran.", "choice2": "I sat.",
              "question": "effect", "label": 1}, "It rained so", [" we ran.", " I sat."], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_are_known_by_their_columns(name: str, tmp_path: Path) -> None:
    record, context, continuations, gold = LAYOUTS[name]
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(record) + "\n")
    task = read_task(file)
    (instance,) = task.instances
    assert task.version == f"{name.strip()}-1"
    assert (instance.context, list(instance.continuations)) == (context, continuations)
    assert instance.gold == gold
    table = tmp_path / "set.parquet"
    pq.write_table(pa.Table.from_pylist([record]), table)
    assert read_task(table).instances[0].continuations == instance.continuations


def test_mmlu_sciq_and_columns_of_no_layout(tmp_path: Path) -> None:
    file = tmp_path / "anatomy.csv"
    file.write_text('"Which, of these?",p,q,r,s,C\nshort,row\n')
    task = read_task(file)
    assert (task.version, task.instances[0].gold) == ("mmlu-1", 2)
    assert task.instances[0].question == "Which, of these?"
    assert [r["where"] for r in task.rejects] == ["anatomy.csv:2"]
    file.write_text("goal,sol1,sol2,label\nG,p,q,0\n")
    assert read_task(file).version == "piqa-1"
    sciq = tmp_path / "sciq.jsonl"
    records = [
        {"question": f"Q{i}?", "correct_answer": "right",
         **{f"distractor{j}": f"wrong {j}" for j in (1, 2, 3)}}
        for i in range(40)
    ]  # fmt: skip
    sciq.write_text("\n".join(map(json.dumps, records)))
    places = [i.gold for i in read_task(sciq).instances]
    assert all(i.options[i.gold] == "right" for i in read_task(sciq).instances)
    assert set(places) == {0, 1, 2, 3}
    sciq.write_text('{"context": "x", "continuation": "y"}')
    with pytest.raises(GristmillError, match="no known layout"):
        read_task(sciq)


def test_shots_are_set_aside_and_the_rest_keeps_its_order(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    lines = [{"question": f"Q{i}", "choices": ["p", "q"], "answer": 0, "id": i} for i in range(30)]
    file.write_text("\n".join(map(json.dumps, lines)))
    task, shots = draw(read_task(file), 10, 3, seed=1)
    ids = [int(i.id) for i in task.instances]
    assert len(ids) == 10 and ids == sorted(ids)
    assert len(shots) == 3 and not {i.id for i in shots} & {i.id for i in task.instances}
    assert draw(read_task(file), 10, 3, seed=1) == (task, shots)
    with pytest.raises(GristmillError, match="30 shots leave none"):
        draw(read_task(file), None, 30, seed=1)
