"""Chats made from articles: questions whose answers stand in titles, descriptions, topics, texts.

Kinds: `description` (who or what is X), `topic` (which field), `summary` (tell me about X),
`title` and `field` (reading: the answer stands in the prompt), and `unknown`: questions about
articles that pre-training never read and about names that nobody bears, answered with "I do not
know X."

Every chat of every split ends with its reference answer, which is in `truth` too. An article's
chats all stand in one split.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from gristmill.align.chats import Chat
from gristmill.align.wording import Subject, Wording, about_a_person, lived, sentences
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.tokenizer.chat import Message

Style = Literal["sentence", "short"]

READING = ("title", "field")
UNKNOWN = "unknown"
_TRUTH_CHARACTERS = 600
_WORDING_TEXTS = 20_000

_QUESTIONS: Mapping[str, Sequence[str]] = {
    "who": (
        "Who {verb} {name}?",
        "Who {verb} {name}, in a few words?",
        "Can you tell me who {name} {verb}?",
        "Say in a few words who {name} {verb}.",
    ),
    "what": (
        "What {verb} {name}?",
        "What {verb} {name}, in a few words?",
        "Can you tell me what {name} {verb}?",
        "Say in a few words what {name} {verb}.",
    ),
    "topic": (
        "Which field {does} {name} belong to?",
        "To which field {does} {name} belong?",
        "What field of knowledge {does} {name} belong to?",
    ),
    "summary": (
        "Tell me about {name}.",
        "What do you know about {name}?",
        "Tell me something about {name}.",
        "Write a short text about {name}.",
    ),
    "title": (
        "Give a title for this text: {text}",
        "What is this text about? {text}",
        "{text}\n\nGive this text a title.",
    ),
    "field": (
        "Which field is this text about? {text}",
        "{text}\n\nWhich field does this text belong to?",
    ),
}


@dataclass(frozen=True)
class Choices:
    """How chats are made.

    kinds: weight of each kind. per_article: so many kinds are drawn for each article of the
    training splits, and those of them that it can answer become its questions. heldout: questions
    held out from training, one an article. prompts: the share of the other articles that goes to
    preferences and PPO. unknown: the share of `unknown` among the training chats, and among the
    prompts. most_train, most_prompts: upper bounds, `unknown` not counted. ignore_topics: those
    that say nothing. people: topics whose articles are about people. characters: of an answer at
    most; read_characters: of a text in a prompt. style: `sentence` answers "Troy was an ancient
    city.", `short` answers "Ancient city.": a model too small to copy a name that it is asked
    about then fails at that alone.
    """

    kinds: Mapping[str, float]
    per_article: int = 2
    heldout: int = 300
    prompts: float = 0.25
    unknown: float = 0.06
    most_train: int | None = None
    most_prompts: int | None = None
    ignore_topics: tuple[str, ...] = ()
    people: tuple[str, ...] = ("People",)
    characters: int = 240
    read_characters: int = 400
    style: Style = "sentence"


@dataclass(frozen=True)
class SourceArticle:
    """What questions need of a document, with the wording of its name."""

    id: str
    title: str
    description: str
    topic: str
    text: str
    subject: Subject

    @property
    def group(self) -> str:
        return self.title.casefold()


@dataclass
class Synthesis:
    """Chats by split; `left_out` counts why articles gave none, `rejects` names them."""

    splits: dict[str, list[Chat]]
    left_out: Counter[str] = field(default_factory=Counter)
    rejects: list[dict[str, str]] = field(default_factory=list)


def synthesize(mixture: Path | str, choices: Choices, seed: int) -> Synthesis:
    """Chats in the splits train, prompts, heldout and unseen, each in a seeded order.

    Which article lies in which split depends on the seed and its title alone, in a fixed order of
    all. Raises GristmillError where no article gives a question.
    """
    made = Synthesis({name: [] for name in ("train", "prompts", "heldout", "unseen")})
    wording = Wording()
    read, unread = _read(Path(mixture), wording, choices, made)
    seen_titles = {article.group for article in read}
    for article in unread:
        if article.group in seen_titles:
            _leave_out(made, article.title, "held out, but its title stands in the training text")
    unread = [article for article in unread if article.group not in seen_titles]
    writer = _Writer(wording, choices, seed)
    askable = [article for article in read if writer.kinds(article)]
    for article in read:
        if not writer.kinds(article):
            _leave_out(made, article.title, "gives no question")
    if not askable:
        raise GristmillError(
            "no article gives a question: they need titles, and descriptions, topics or texts that "
            "begin with what they are about",
            where=mixture,
            mend="use a mixture whose pages carry them, or give chats of your own with --files",
        )
    askable.sort(key=lambda article: derive_seed(seed, "split", article.group))
    # Never more than a fifth of a small mixture is held out.
    held = min(choices.heldout, len(askable) // 5)
    border = held + round(choices.prompts * (len(askable) - held))
    made.splits["heldout"] = [c for a in askable[:held] for c in writer.ask(a, 1)]
    prompts = [c for a in askable[held:border] for c in writer.ask(a, choices.per_article)]
    train = [c for a in askable[border:] for c in writer.ask(a, choices.per_article)]
    prompts, train = prompts[: choices.most_prompts], train[: choices.most_train]
    about = [a for a in unread if writer.kinds(a, reading=False)]
    answerable = {article.group for article in about}
    for article in unread:
        if article.group not in answerable:
            _leave_out(made, article.title, "held out, and gives no question")
    about.sort(key=lambda article: derive_seed(seed, "unseen", article.group))
    taught = about[: len(about) // 2]
    made.splits["unseen"] = [c for a in about[len(taught) :] for c in writer.ask(a, 1, False)]
    invented = _Invented(read, unread, seed)
    wanted = _share(choices.unknown, len(train))
    teach = [writer.unknown(article.subject, article.title) for article in taught[: wanted // 2]]
    teach += [writer.unknown(name, "") for name in invented.names(wanted - len(teach))]
    extra = _share(choices.unknown, len(prompts))
    asked = [writer.unknown(name, "") for name in invented.names(extra)]
    missing = wanted + extra - len(teach) - len(asked)
    if missing:
        made.left_out["an invented name that the titles do not give"] = missing
    made.splits["train"], made.splits["prompts"] = train + teach, prompts + asked
    for name, chats in made.splits.items():
        chats.sort(key=lambda chat: derive_seed(seed, "order", name, chat.id))
    return made


def add_own(
    splits: dict[str, list[Chat]], own: Iterable[Chat], choices: Choices, seed: int
) -> None:
    """Adds a user's chats: by a hash of the group to prompts, to heldout (5%), else to train."""
    for chat in own:
        place = derive_seed(seed, "own", chat.group) / 2.0**63
        if place < choices.prompts:
            splits["prompts"].append(chat)
        elif place < choices.prompts + 0.05:
            splits["heldout"].append(chat)
        else:
            splits["train"].append(chat)


def _read(
    mixture: Path, wording: Wording, choices: Choices, made: Synthesis
) -> tuple[list[SourceArticle], list[SourceArticle]]:
    rows: dict[str, list[dict[str, str]]] = {"train": [], "heldout": []}
    for split, found in rows.items():
        for part in sorted((mixture / split).glob("part-*.parquet")):
            columns = ["id", "title", "description", "topic", "domain", "repeats", "text"]
            for row in pq.read_table(part, columns=columns).to_pylist():
                if split == "train" and len(found) < _WORDING_TEXTS:
                    wording.read(row["text"])
                # A document of the training part that is repeated 0 times is not read.
                if row["title"] and (split == "heldout" or row["repeats"] != 0):
                    found.append(row | {"text": row["text"][:2000]})
    results: dict[str, list[SourceArticle]] = {}
    for split, found in rows.items():
        kept: dict[str, SourceArticle] = {}
        for row in found:
            title = " ".join(row["title"].split())
            reason = _unfit_title(title)
            if reason is None and title.casefold() in kept:
                reason = "a copy of another article"
            if reason is not None:
                _leave_out(made, title, reason)
                continue
            description = row["description"] or ""
            topic = row["topic"] or ""
            topic = "" if topic in choices.ignore_topics else topic
            # Without a topic two of three signs decide: domain, years of a life, he or she.
            signs = (
                row["domain"] in choices.people,
                lived(description),
                about_a_person(row["text"]),
            )
            person = topic in choices.people or (not topic and sum(signs) >= 2)
            subject = wording.subject(title, row["text"], description, person)
            kept[title.casefold()] = SourceArticle(
                row["id"],
                title,
                description,
                topic,
                row["text"],
                subject,
            )
        results[split] = sorted(kept.values(), key=lambda article: article.group)
    return results["train"], results["heldout"]


class _Writer:
    """Questions and answers about one article at a time."""

    def __init__(self, wording: Wording, choices: Choices, seed: int):
        self._wording, self._choices, self._seed = wording, choices, seed

    def kinds(self, article: SourceArticle, reading: bool = True) -> list[str]:
        """The kinds of question that an article can answer, among those with a weight."""
        has = {
            "description": 3 <= len(article.description) <= self._choices.characters // 2,
            "topic": bool(article.topic),
            "summary": bool(self._summary(article)),
            "title": bool(self._passage(article)),
            "field": bool(self._passage(article) and article.topic),
        }
        return [
            kind
            for kind, possible in has.items()
            if possible
            and self._choices.kinds.get(kind, 0) > 0
            and (reading or kind not in READING)
        ]

    def ask(self, article: SourceArticle, most: int, reading: bool = True) -> list[Chat]:
        """At most `most` chats, each of another kind; at least one where most is 1."""
        rng = np.random.default_rng(derive_seed(self._seed, "kinds", article.group))
        possible = self.kinds(article, reading)
        # All kinds are drawn from, also what this article cannot answer: or articles without a
        # description would fill the set with what little they can be asked.
        kinds = sorted(kind for kind, weight in self._choices.kinds.items() if weight > 0)
        weights = np.array([self._choices.kinds[kind] for kind in kinds], dtype=float)
        order = rng.choice(len(kinds), len(kinds), replace=False, p=weights / weights.sum())
        drawn = [kinds[place] for place in order]
        if most == 1:
            drawn = [kind for kind in drawn if kind in possible]
        return [self._chat(article, kind) for kind in drawn[:most] if kind in possible]

    def unknown(self, subject: Subject, title: str) -> Chat:
        """A question that is to be answered with "I do not know X."."""
        name = title or subject.name
        kinds = [k for k in ("description", "topic", "summary") if self._choices.kinds.get(k)]
        draw = derive_seed(self._seed, "unknown", name)
        kind = kinds[draw % len(kinds)] if kinds else "summary"
        question = self._question(kind, subject, "", name)
        truth = {"title": name, "name": subject.name}
        named = subject.name if self._choices.style == "sentence" else ""
        return _chat(name.casefold(), UNKNOWN, question, dont_know(named), truth)

    def _chat(self, article: SourceArticle, kind: str) -> Chat:
        subject = article.subject
        question = self._question(kind, subject, self._passage(article), article.group)
        answer = self._answer(article, kind)
        truth = {
            "title": article.title,
            "name": subject.name,
            "description": article.description,
            "topic": article.topic,
            "text": article.text[:_TRUTH_CHARACTERS],
        }
        return _chat(article.group, kind, question, answer, {k: v for k, v in truth.items() if v})

    def _answer(self, article: SourceArticle, kind: str) -> str:
        subject, style = article.subject, self._choices.style
        if kind == "summary":
            return self._summary(article)
        if kind == "title":
            return article.title
        if kind == "description":
            if style == "short":
                return _ended(article.description[0].upper() + article.description[1:])
            phrase = self._wording.phrase(article.description)
            return f"{subject.start} {subject.verb} {_ended(phrase)}"
        if style == "short":
            return _ended(article.topic)
        if kind == "field":
            return f"This text is about {_ended(article.topic)}"
        belong = "belong" if subject.plural else "belongs"
        return f"{subject.start} {belong} to {_ended(article.topic)}"

    def _question(self, kind: str, subject: Subject, text: str, group: str) -> str:
        form = ("who" if subject.person else "what") if kind == "description" else kind
        phrasings = _QUESTIONS[form]
        chosen = phrasings[derive_seed(self._seed, "phrasing", kind, group) % len(phrasings)]
        does = "do" if subject.plural else "does"
        return chosen.format(name=subject.name, verb=subject.verb, does=does, text=text)

    def _summary(self, article: SourceArticle) -> str:
        summary = sentences(article.text, 2, self._choices.characters)
        return summary if _names(summary, article.title) else ""

    def _passage(self, article: SourceArticle) -> str:
        passage = sentences(article.text, 3, self._choices.read_characters)
        return passage if _names(passage, article.title) and len(passage) >= 60 else ""


class _Invented:
    """Names that nobody bears: the first words of one title and the last of another."""

    def __init__(self, read: Sequence[SourceArticle], unread: Sequence[SourceArticle], seed: int):
        self._rng = np.random.default_rng(derive_seed(seed, "invented"))
        everyone = [*read, *unread]
        self._taken = {article.group for article in everyone}
        # Only names that look alike are joined: two people, or two things in small letters.
        alike: dict[str, list[Subject]] = {"people": [], "names": [], "things": []}
        for article in read:
            words = article.subject.name.split()
            if len(words) != 2 or words[0] in ("a", "an", "the"):
                continue
            if article.subject.person:
                alike["people"].append(article.subject)
            elif words[0][0].isupper() == words[1][0].isupper():
                alike["names" if words[0][0].isupper() else "things"].append(article.subject)
        self._alike = [found for found in alike.values() if len(found) > 3]

    def names(self, count: int) -> list[Subject]:
        """`count` names that were not given before; fewer where the titles do not give more."""
        found: list[Subject] = []
        for _ in range(20 * count if self._alike else 0):
            if len(found) == count:
                break
            pool = self._alike[int(self._rng.integers(len(self._alike)))]
            first, last = (pool[int(i)] for i in self._rng.integers(len(pool), size=2))
            name = f"{first.name.split()[0]} {last.name.split()[1]}"
            if name.casefold() not in self._taken:
                self._taken.add(name.casefold())
                found.append(Subject(name, last.verb, first.person))
        return found


def dont_know(name: str) -> str:
    """The sentence that is taught where nothing is known; `name` may be empty."""
    return f"I do not know {name}." if name else "I do not know."


def _chat(group: str, kind: str, question: str, answer: str, truth: Mapping[str, str]) -> Chat:
    identity = hashlib.sha256(f"{group}\n{kind}\n{question}".encode()).hexdigest()[:16]
    messages = (Message("user", question), Message("assistant", answer))
    return Chat(identity, messages, group, kind, {**truth, "answer": answer})


def _share(share: float, others: int) -> int:
    """How many make `share` of a whole that has `others` beside them."""
    return round(share / (1 - share) * others)


def _unfit_title(title: str) -> str | None:
    if "(" in title:
        return "a title that needs its parentheses"
    if not 2 <= len(title) <= 60 or not re.search(r"\w", title):
        return "a title too short or too long"
    return None


def _names(text: str, title: str) -> bool:
    """Whether a text says at least one longer word of the title."""
    lowered = text.casefold()
    words = re.findall(r"\w+", title.casefold())
    return any(word in lowered for word in words if len(word) > 3 or len(words) == 1)


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _leave_out(made: Synthesis, title: str, reason: str) -> None:
    made.left_out[reason] += 1
    made.rejects.append({"where": title, "reason": reason})
