"""Layouts of published question sets, told apart by their columns.

A record is what a line of JSON Lines, a row of CSV or of Parquet holds. Each layout says which
columns it needs and turns such a record into a question, its choices and the right one. The first
layout whose columns a record has is its layout.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from gristmill.core.errors import GristmillError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A question as its set has it. context: what a base model goes on from, where that is not the
    question in a template."""

    question: str
    choices: Sequence[str]
    gold: int
    context: str | None = None


@dataclass(frozen=True)
class Layout:
    """version: raised by one when the questions of an unchanged file change."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[Record], Asked]
    version: int = 1

    @property
    def label(self) -> str:
        """Name and version, as results carry them."""
        return f"{self.name}-{self.version}"


def layout_of(record: Record) -> Layout:
    """The layout of a record. Raises GristmillError where its columns are those of none."""
    for layout in LAYOUTS:
        if all(column in record for column in layout.columns):
            return layout
    known = "; ".join(f"{layout.name}: {', '.join(layout.columns)}" for layout in LAYOUTS)
    raise GristmillError(
        f"the columns {', '.join(map(str, record)) or '(none)'} are of no known layout",
        mend=f"known are {known}",
    )


def _own(record: Record) -> Asked:
    choices = _texts(record["choices"])
    gold = _place(record["answer"], choices)
    if "context" in record and not isinstance(record.get("question"), str):
        return Asked(str(record["context"]), choices, gold, str(record["context"]))
    if not isinstance(record.get("question"), str):
        raise GristmillError("has no 'question'")
    context = None if "context" not in record else str(record["context"])
    return Asked(record["question"], choices, gold, context)


def _labelled(record: Record) -> Asked:
    """ARC, OpenBookQA and CommonsenseQA, with the question inside an object or beside it."""
    inner = record.get("question")
    stem = record.get("question_stem", inner)
    offered = record.get("choices")
    if isinstance(inner, Mapping):
        stem, offered = inner.get("stem"), inner.get("choices")
    if isinstance(offered, Mapping):
        texts, labels = offered.get("text"), offered.get("label")
    else:
        each = [c for c in offered or () if isinstance(c, Mapping)]
        texts, labels = [c.get("text") for c in each], [c.get("label") for c in each]
    choices, names = _texts(_list(texts)), [str(label) for label in _list(labels)]
    key = str(record["answerKey"])
    if key not in names:
        raise GristmillError(f"answer {key!r} is none of the choices {', '.join(names)}")
    if not isinstance(stem, str):
        raise GristmillError("has no question")
    # OpenBookQA's questions are beginnings of sentences for the most part.
    unfinished = not stem.rstrip().endswith(("?", "."))
    return Asked(stem, choices, names.index(key), stem if unfinished else None)


_INLINE = re.compile(r"\n(?:Choices|Options):\n")
_INLINE_CHOICE = re.compile(r"\(?([A-Z])[.):]+\)? (.*)")


def _query(record: Record) -> Asked:
    """`query`, `choices`, `gold`: the query may hold the choices by letter already."""
    query, choices = str(record["query"]), _texts(record["choices"])
    gold = _place(record["gold"], choices)
    head, *tail = _INLINE.split(query, maxsplit=1)
    if tail and list(choices) == list(LETTERS[: len(choices)]):
        found = [m for line in tail[0].splitlines() if (m := _INLINE_CHOICE.fullmatch(line))]
        if [m[1] for m in found] == list(choices):
            return Asked(_bare(head), [m[2] for m in found], gold)
    stem = query.rstrip()
    if stem.startswith("Question:"):
        return Asked(_bare(stem), choices, gold)
    # The beginning of a sentence that a choice ends, or a passage with its own question.
    return Asked(stem, choices, gold, stem)


def _bare(text: str) -> str:
    return text.strip().removeprefix("Question:").removesuffix("Answer:").strip()


def _piqa(record: Record) -> Asked:
    choices = [str(record["sol1"]), str(record["sol2"])]
    return Asked(str(record["goal"]), choices, _number(record["label"], 0))


def _hellaswag(record: Record) -> Asked:
    context = str(record["ctx"])
    return Asked(context, _texts(_list(record["endings"])), _number(record["label"], 0), context)


def _winogrande(record: Record) -> Asked:
    """The whole rest of the sentence is each choice's, with the option in the gap."""
    before, gap, after = str(record["sentence"]).partition("_")
    if not gap:
        raise GristmillError("its sentence has no gap '_'")
    choices = [f"{record[name]}{after}" for name in ("option1", "option2")]
    return Asked(str(record["sentence"]), choices, _number(record["answer"], 1), before.rstrip())


def _options(record: Record) -> Asked:
    """`context_options` and one `continuation`: what follows where the contexts begin to differ."""
    contexts = [str(text) for text in _list(record["context_options"])]
    words = zip(*(text.split(" ") for text in contexts), strict=False)
    common = " ".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))
    continuation = str(record["continuation"]).strip()
    choices = [f"{text[len(common) :].strip()} {continuation}" for text in contexts]
    return Asked(common or choices[0], choices, _number(record["gold"], 0), common)


def _siqa(record: Record) -> Asked:
    choices = [str(record[name]) for name in ("answerA", "answerB", "answerC")]
    label = record["label"] if "label" in record else record["correct"]
    gold = LETTERS.find(str(label)) if str(label).isalpha() else _number(label, 1)
    return Asked(f"{record['context']} {record['question']}", choices, gold)


def _boolq(record: Record) -> Asked:
    answer = record["answer"] if "answer" in record else record["label"]
    if answer not in (True, False, 0, 1):
        raise GristmillError(f"answer {answer!r} is neither true nor false")
    return Asked(f"{record['passage']}\n{record['question']}?", ["no", "yes"], int(answer))


def _copa(record: Record) -> Asked:
    therefore = "because" if record["question"] == "cause" else "so"
    premise = str(record["premise"]).strip().rstrip(".")
    choices = [_small(str(record[name])) for name in ("choice1", "choice2")]
    context = f"{premise} {therefore}"
    return Asked(context, choices, _number(record["label"], 0), context)


def _sciq(record: Record) -> Asked:
    """The right answer's place is drawn from the question, since the set always names it first."""
    choices = [str(record[f"distractor{i}"]) for i in (1, 2, 3)]
    gold = hashlib.sha256(str(record["question"]).encode()).digest()[0] % 4
    choices.insert(gold, str(record["correct_answer"]))
    return Asked(str(record["question"]), choices, gold)


def _columns(record: Record) -> Asked:
    """MMLU's files without a header: a question, its choices, a letter."""
    cells = [str(cell) for cell in record["cells"]]
    if len(cells) < 4:
        raise GristmillError("a row needs a question, two choices or more and a letter")
    choices = _texts(cells[1:-1])
    return Asked(cells[0], choices, _place(cells[-1].strip(), choices))


LAYOUTS: tuple[Layout, ...] = (
    Layout("arc", ("question", "answerKey"), _labelled),
    Layout("openbookqa", ("question_stem", "choices", "answerKey"), _labelled),
    Layout("query", ("query", "choices", "gold"), _query),
    Layout("piqa", ("goal", "sol1", "sol2", "label"), _piqa),
    Layout("hellaswag", ("ctx", "endings", "label"), _hellaswag),
    Layout("winogrande", ("sentence", "option1", "option2", "answer"), _winogrande),
    Layout("options", ("context_options", "continuation", "gold"), _options),
    Layout("siqa", ("context", "question", "answerA", "answerB", "answerC"), _siqa),
    Layout("boolq", ("passage", "question"), _boolq),
    Layout("copa", ("premise", "choice1", "choice2", "question", "label"), _copa),
    Layout("sciq", ("question", "correct_answer", "distractor1", "distractor3"), _sciq),
    Layout("mmlu", ("cells",), _columns),
    Layout("own", ("choices", "answer"), _own),
)


def _list(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if hasattr(value, "tolist"):
        return list(value.tolist())
    raise GristmillError("its choices are not a list")


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(c, str) and c.strip() for c in value):
        raise GristmillError("'choices' is not a list of texts")
    return value


def _number(value: Any, first: int) -> int:
    try:
        return int(value) - first
    except (TypeError, ValueError) as error:
        raise GristmillError(f"{value!r} is not the number of a choice") from error


def _small(text: str) -> str:
    word = text.split(" ", 1)[0]
    return text if word == "I" or not text else text[0].lower() + text[1:]


def _place(answer: Any, choices: Sequence[str]) -> int:
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(choices):
            return answer
    elif isinstance(answer, str):
        # A choice that is itself one letter is meant before the place that the letter numbers.
        if answer in choices:
            return list(choices).index(answer)
        if len(answer) == 1 and answer.upper() in LETTERS[: len(choices)]:
            return LETTERS.index(answer.upper())
    raise GristmillError(f"answer {answer!r} is none of the choices")
