"""Multiple choice by generation: the model writes, and what it wrote is read twice.

The strict reading takes an answer that is a letter, or a letter and its choice, and nothing else.
The lenient one takes what a person would: "The answer is (B).", "B because ...", the text of one
choice. What neither can read is wrong, counted and shown, so that a low score tells a model that
does not know from one that does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gristmill.core.figure import Samples, Table, proportion
from gristmill.core.progress import Progress, Silent
from gristmill.core.seeds import derive_seed
from gristmill.evaluate.choices import Instance
from gristmill.evaluate.framing import Framing
from gristmill.evaluate.letters import LETTERS, listed, listed_shots
from gristmill.infer.generator import Generator, Request, Sampling

_PORTION = 64
_LOST = 0.9
# Of an answer, what is read: a longer one cannot make the patterns slow.
_READ = 2000
_STRICT = re.compile(r"\(?([A-Za-z])\)?[.:)]?")
_WITH_CHOICE = re.compile(r"\(?([A-Z])\)?[.:)]? +(\S.*)", re.DOTALL)
# "answer is B", "Answer: (b)", "option C", "choice D"
_NAMED = re.compile(
    r"\b(?:answer|option|choice)(?: is| would be)?[:\s]{1,3}\(?([A-Za-z])\b(?!')", re.I
)
# "B)", "(B)", "B.", "B:", or B alone at the end. Not the article A, nor the pronoun I.
_MARKED = re.compile(r"(?<![\w'])\(?([A-Z])(?:[):]|[.,](?=\s|$)|\s*$)")
_FIRST = re.compile(r"\(?([B-HJ-Z])\b(?!')")
_SPACES = re.compile(r"\W+")


@dataclass(frozen=True)
class Answer:
    """What a model wrote, and the choice that each reading finds in it (None: unreadable)."""

    instance: Instance
    text: str
    finish: str
    strict: int | None
    lenient: int | None


def read_strict(text: str, options: Sequence[str]) -> int | None:
    """The choice, where the answer is its letter alone, or its letter and its text."""
    text = text.strip()[:_READ]
    alone = _STRICT.fullmatch(text)
    if alone is not None:
        return _place(alone[1], options)
    both = _WITH_CHOICE.fullmatch(text)
    if both is not None:
        place = _place(both[1], options)
        if place is not None and _plain(both[2]) == _plain(options[place]):
            return place
    return None


def read_lenient(text: str, options: Sequence[str]) -> int | None:
    """The choice that the answer names first: by "the answer is", by a letter that stands apart, or
    as the text of exactly one choice (of which a cut answer may hold only the beginning). Where a
    letter and the text after it disagree, the letter counts."""
    found = read_strict(text, options)
    if found is not None:
        return found
    text = text.strip()[:_READ]
    exact = _named_by_text(text, options, whole=True)
    if exact is not None:
        return exact
    for pattern in (_NAMED, _MARKED):
        for match in pattern.finditer(text):
            place = _place(match[1], options)
            # "the answer is a dog": the article, not the letter.
            article = match[1] == "a" and match.end() < len(text) and text[match.end()] == " "
            if place is not None and not article:
                return place
    first = _FIRST.match(text)
    place = _place(first[1], options) if first is not None else None
    return place if place is not None else _named_by_text(text, options, whole=False)


def _named_by_text(text: str, options: Sequence[str], *, whole: bool) -> int | None:
    """The one choice that the answer is (whole), or else holds or begins."""
    said = _plain(text)
    plain = [_plain(option) for option in options]
    if whole:
        found = [i for i, option in enumerate(plain) if option and option == said]
        return found[0] if len(found) == 1 else None
    held = [i for i, option in enumerate(plain) if option and f" {option} " in f" {said} "]
    # "the plains" is held by "the plains of Asia" too: the longer one was meant.
    held = [i for i in held if not any(i != j and f" {plain[i]} " in f" {plain[j]} " for j in held)]
    if len(held) == 1:
        return held[0]
    if held or len(said.split()) < 2:
        return None
    begun = [i for i, option in enumerate(plain) if option.startswith(said)]
    return begun[0] if len(begun) == 1 else None


def _place(letter: str, options: Sequence[str]) -> int | None:
    place = LETTERS.index(letter.upper())
    return place if place < len(options) else None


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text.casefold()).strip()


def ask(
    generator: Generator,
    framing: Framing,
    instances: Sequence[Instance],
    *,
    shots: Sequence[Instance] = (),
    max_tokens: int = 24,
    temperature: float = 0.0,
    context: int | None = None,
    seed: int = 0,
    bar: Progress | None = None,
) -> list[Answer]:
    """What the generator answers to each question, its choices listed by letter.

    temperature 0 takes the most probable token. context: prompt and answer are never longer; a
    longer question loses its beginning.
    """
    bar = bar or Silent()
    sampling = Sampling(max_tokens, temperature, stop_ids=framing.stop_ids)
    prompts = framing.prompts([listed(i, framing) for i in instances], listed_shots(shots, framing))
    if context is not None:
        prompts = [prompt[-max(1, context - max_tokens) :] for prompt in prompts]
    requests = [
        Request(prompt, sampling, derive_seed(seed, instance.id))
        for prompt, instance in zip(prompts, instances, strict=True)
    ]
    # Prompts of like length together: padding is work too.
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt), i))
    found: dict[int, Answer] = {}
    for start in range(0, len(order), _PORTION):
        portion = order[start : start + _PORTION]
        for i, completion in zip(
            portion, generator.generate([requests[i] for i in portion]), strict=True
        ):
            text, options = framing.said(completion.tokens), instances[i].options
            strict, lenient = read_strict(text, options), read_lenient(text, options)
            found[i] = Answer(instances[i], text, completion.finish, strict, lenient)
        bar.advance(float(len(portion)))
    return [found[i] for i in range(len(requests))]


def hardly_read(answers: Sequence[Answer]) -> bool:
    """Whether so few answers could be read that what is right among them tells nothing."""
    lost = sum(answer.lenient is None for answer in answers)
    return lost >= _LOST * len(answers)


def answer_table(title: str, models: Mapping[str, Sequence[Answer]]) -> Table:
    """Accuracy by both readings, and what could not be read."""
    rows: list[list[object]] = []
    for name, answers in models.items():
        n = len(answers)
        read = [a for a in answers if a.lenient is not None]
        row: list[object] = [name, n]
        for said in ([a.strict for a in answers], [a.lenient for a in answers]):
            right = sum(c == a.instance.gold for c, a in zip(said, answers, strict=True))
            row += [proportion(right, n), said.count(None)]
        right = sum(a.lenient == a.instance.gold for a in read)
        rows.append([*row, proportion(right, len(read))])
    return Table(
        title,
        ["model", "n", "strict", "lost", "lenient", "lost", "of those read"],
        rows,
        note="Strict: the answer is a letter, or a letter and its choice, and nothing else. "
        "Lenient: a letter or a choice is found in it. Lost: answers that could not be read; they "
        "count as wrong, except in 'of those read'.",
    )


def unreadable(name: str, answers: Sequence[Answer], most: int = 6) -> Samples:
    """Answers that no reading finds a choice in, then some that only the lenient one does."""
    lost = [a for a in answers if a.lenient is None]
    lax = [a for a in answers if a.lenient is not None and a.strict is None]
    rows = [
        {
            "question": a.instance.question,
            "answer": a.text or "(nothing)",
            "read as": "nothing" if a.lenient is None else a.instance.options[a.lenient],
            "right": a.instance.options[a.instance.gold],
        }
        for a in [*lost[:most], *lax[: most - min(most, len(lost)) + 2]]
    ]
    return Samples(
        f"Answers of {name} that are not a plain letter",
        rows,
        note=f"{len(lost)} of {len(answers)} could not be read, {len(lax)} only leniently.",
    )
