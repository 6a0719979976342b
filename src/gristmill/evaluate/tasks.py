"""Tasks: where the instances come from.

`description_task` is made from the mixture itself: "X is", and four descriptions, one of them X's
own, the others of articles on other topics. `read_task` reads a user's questions, and the layouts
of published sets.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.evaluate.choices import Instance
from gristmill.evaluate.layouts import Asked, layout_of

# Raised by one when the questions of an unchanged input change: scores are then of another task.
DESCRIPTION_TASK_VERSION = 1
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Article:
    """What a description question needs of a document. split: heldout or train. text: for the
    case of words only."""

    id: str
    title: str
    description: str
    topic: str
    split: str
    text: str = ""


@dataclass(frozen=True)
class Task:
    """Instances under a name; rejects are the records that could not become one, with reasons."""

    name: str
    instances: list[Instance]
    rejects: list[dict[str, str]]
    version: str = ""
    """Of the layout and its questions: scores of two versions do not compare."""


def read_articles(mixture: Path | str) -> Iterator[Article]:
    """Documents that carry title, description and topic, held-out ones first, in file order."""
    columns = ["id", "title", "description", "topic", "text"]
    seen: set[str] = set()
    for split in ("heldout", "train"):
        for part in sorted((Path(mixture) / split).glob("part-*.parquet")):
            for row in pq.read_table(part, columns=columns).to_pylist():
                if row["id"] not in seen and all(row[name] for name in columns):
                    seen.add(row["id"])
                    yield Article(**row, split=split)


def description_task(
    articles: Iterable[Article],
    *,
    questions: int,
    choices: int = 4,
    ignore_topics: Sequence[str] = (),
    seed: int = 0,
) -> Task:
    """At most `questions` instances, from held-out articles as far as they go, then from training.

    The other choices are descriptions of articles whose topics differ from the question's and from
    each other where there are topics enough. Which articles, which others and the order of the
    choices depend on the seed and the articles alone; every place is equally often right.
    A description begins in lower case where its first word mostly does in the articles' texts, as
    it would in a sentence. Articles with the title of one before, and those whose topic is in
    `ignore_topics` because it says nothing, are left out. Raises GristmillError where fewer than
    two topics remain.
    """
    kept: list[Article] = []
    titles: set[str] = set()
    case = WordCase()
    for article in articles:
        case.count(article.text)
        if article.topic not in ignore_topics and article.title.casefold() not in titles:
            titles.add(article.title.casefold())
            kept.append(replace(article, text=""))
    kept = [replace(a, description=case.in_a_sentence(a.description)) for a in kept]
    by_topic: dict[str, list[str]] = {}
    for article in kept:
        texts = by_topic.setdefault(article.topic, [])
        if article.description not in texts:
            texts.append(article.description)
    if len(by_topic) < 2:
        raise GristmillError(
            "description questions need articles with title, description and two topics or more",
            mend="use a mixture whose pages carry them, or give task files",
        )
    rng = np.random.default_rng(derive_seed(seed, "description task"))
    chosen = _sample(kept, questions, rng)
    instances = [_question(article, by_topic, choices, rng) for article in chosen]
    made = [i for i in instances if i is not None]
    return Task("descriptions", made, [], f"descriptions-{DESCRIPTION_TASK_VERSION}")


class WordCase:
    """How words are mostly written, from texts (truecasing: Lita et al. 2003)."""

    def __init__(self) -> None:
        self._lower: Counter[str] = Counter()
        self._upper: Counter[str] = Counter()

    def count(self, text: str) -> None:
        """Adds the words of a text."""
        for word in _WORD.findall(text):
            (self._upper if word[0].isupper() else self._lower)[word.lower()] += 1

    def in_a_sentence(self, text: str) -> str:
        """`text` with its first letter small where its first word is mostly written so."""
        first = _WORD.match(text)
        if first is None:
            return text
        word = first.group().lower()
        return text[0].lower() + text[1:] if self._lower[word] > self._upper[word] else text


def _sample(articles: list[Article], count: int, rng: np.random.Generator) -> list[Article]:
    chosen: list[Article] = []
    for split in ("heldout", "train"):
        pool = [article for article in articles if article.split == split]
        take = min(len(pool), count - len(chosen))
        chosen += [pool[i] for i in sorted(rng.permutation(len(pool))[:take].tolist())]
    return chosen


def _question(
    article: Article, by_topic: Mapping[str, list[str]], choices: int, rng: np.random.Generator
) -> Instance | None:
    topics = [topic for topic in sorted(by_topic) if topic != article.topic]
    order = [topics[i] for i in rng.permutation(len(topics))]
    texts = [article.description]
    # Round the topics again where there are fewer than choices.
    for turn in range(choices * len(order)):
        pool = by_topic[order[turn % len(order)]]
        text = pool[int(rng.integers(len(pool)))]
        if text.casefold() not in {t.casefold() for t in texts}:
            texts.append(text)
        if len(texts) == choices:
            break
    if len(texts) < 2:
        return None
    places = rng.permutation(len(texts)).tolist()
    return Instance(
        id=article.id,
        context=f"{article.title} is",
        continuations=tuple(f" {texts[i]}" for i in places),
        gold=places.index(0),
        unconditional="It is",
        group=article.split,
        stem=f"What is {article.title}?",
    )


def read_task(path: Path | str) -> Task:
    """Questions of a user's file: JSON Lines, CSV or Parquet.

    Own questions are JSON Lines: `{"question": ..., "choices": [...], "answer": ...}`, where answer
    is the place of the right choice from 0, its letter, or its text. Optional: `id`, `group`,
    `context` (what a base model goes on from, in place of the question in its template). The
    layouts of published sets are known by their columns, see `layouts.py`. A record that cannot be
    used is among the rejects. Raises GristmillError where none can.
    """
    path = Path(path)
    if not path.is_file():
        raise GristmillError("no such task file", where=path)
    instances: list[Instance] = []
    rejects: list[dict[str, str]] = []
    labels: Counter[str] = Counter()
    for number, record, sample in _records(path):
        where = f"{path.name}:{number}"
        try:
            if isinstance(record, ValueError):
                raise record
            if not isinstance(record, dict):
                raise GristmillError("not a JSON object")
            layout = layout_of(record)
            instances.append(_instance(layout.read(record), record, where))
            labels[layout.label] += 1
        except (ValueError, TypeError, KeyError, GristmillError) as error:
            reason = error.one_line() if isinstance(error, GristmillError) else str(error)
            rejects.append({"where": where, "reason": reason, "sample": sample[:200]})
    if not instances:
        raise GristmillError(
            "no usable question" + (f": {rejects[0]['reason']}" if rejects else ""),
            where=rejects[0]["where"] if rejects else path,
            mend='write {"question": ..., "choices": [...], "answer": ...} on each line',
        )
    return Task(path.stem, instances, rejects, "+".join(sorted(labels)))


def _records(path: Path) -> Iterator[tuple[int, Any, str]]:
    """Number (of the line or row, from 1), record and text of each; what cannot be parsed is its
    ValueError."""
    if path.suffix == ".parquet":
        for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
            yield number, row, str(row)
        return
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix == ".csv":
            yield from _csv_records(file)
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line), line.rstrip()
                except ValueError as error:
                    yield number, error, line.rstrip()


def _csv_records(file: Iterable[str]) -> Iterator[tuple[int, Any, str]]:
    """By the names of the first row where they are those of a layout; else rows without names."""
    header: list[str] | None = None
    for number, cells in enumerate(csv.reader(file), start=1):
        if number == 1:
            try:
                layout_of(dict.fromkeys(cells, ""))
                header = cells
                continue
            except GristmillError:
                pass
        if cells:
            record = {"cells": cells} if header is None else dict(zip(header, cells, strict=False))
            yield number, record, ",".join(cells)


def _instance(asked: Asked, record: Mapping[str, Any], where: str) -> Instance:
    if asked.context is None:
        context, unconditional = f"Question: {asked.question}\nAnswer:", "Answer:"
    else:
        context, unconditional = asked.context, ""
    return Instance(
        id=str(record.get("id", where)),
        context=context,
        continuations=tuple(c if c[0].isspace() else f" {c}" for c in asked.choices),
        gold=asked.gold,
        unconditional=unconditional,
        group=str(record.get("group", "all")),
        stem=asked.question,
    )


def draw(task: Task, most: int | None, shots: int, seed: int) -> tuple[Task, list[Instance]]:
    """The task with at most `most` of its questions, in their order, and `shots` others, set aside
    to stand before each one with their answers.

    Which ones depends on the seed and the number of questions alone. Raises GristmillError where
    nothing would be left to ask.
    """
    count = len(task.instances)
    if shots >= count:
        raise GristmillError(
            f"{shots} shots leave none of {count} questions to ask",
            where=task.name,
            mend="give more questions, or fewer shots",
        )
    order = np.random.default_rng(derive_seed(seed, "questions asked")).permutation(count).tolist()
    aside, rest = order[:shots], sorted(order[shots:][: most if most is not None else count])
    left = [task.instances[i] for i in rest]
    return replace(task, instances=left), [task.instances[i] for i in aside]
