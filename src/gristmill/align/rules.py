"""The gold rule: what a good answer is, without any model.

    total = (0.7 right + 0.3 on_topic) * (0.4 + 0.4 stopped + 0.2 short)

Content times form: an answer that says nothing earns nothing, however neatly it stops. Each part
lies in [0, 1] and the total rises with each of them. Examples of totals: the reference answer has
1; the same cut off by the length limit at most 0.6; a fluent answer about the wrong thing that
names the right title about 0.1; an empty one, an echo of the question, one phrase again and again
0; "I do not know" where the truth is known 0.2, because it misleads nobody, and 1 where it is not.
So guessing pays from a chance of one in five to be right.

What an optimiser will still find (Goodhart), so that nobody is surprised:

- The rule counts words. Order, grammar and `not` do not count: "is not a French composer" is right.
- A guess of the usual words ("American", "city", "species of", "(1850-1920)") earns part of the F1
  without knowledge, and words from the middle of the article earn `on_topic`.
- A description that is right in other words counts as wrong; copying the article's own words pays.
- "I do not know X." followed by an invention counts as "I do not know" all the same.
- A summary may open with the title and frequent words of such openings.
- Where a share of the questions has no answer, "I do not know" for whole classes of names pays
  as soon as more of them are unknown than would be answered well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gristmill.align.chats import Answer
from gristmill.core.errors import GristmillError
from gristmill.core.extension import load_extension
from gristmill.tokenizer.chat import Message

W_RIGHT, W_ON_TOPIC = 0.7, 0.3
FORM_ALWAYS, FORM_STOPPED, FORM_SHORT = 0.4, 0.4, 0.2
HONEST = 0.2
"""What "I do not know" is worth where the truth is known."""
RIGHT_FROM = 0.5
"""`correct` calls an answer right from this F1 on."""
UNKNOWN = "unknown"
MOST_WORDS: Mapping[str, int] = {
    "description": 30, "topic": 20, "summary": 60, "title": 12, "field": 15, UNKNOWN: 15,
}  # fmt: skip
MOST_WORDS_ELSE = 80
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_STOP_WORDS = frozenset(
    "a an the is was are were be been being am do does did has have had of in on at by for from to "
    "with and or but as it its he she his her they their this that these those which who whom what "
    "where when how not no also than then there so such can could may might will would one some "
    "any other most more many used known called".split()
)
# What stands around a topic in a sentence that names it.
_FRAME = frozenset(
    "a an the is are was were it this that text article belong belongs to of in about field "
    "fields topic part from for".split()
)
_DONT_KNOW = re.compile(r"\s*i (?:do not|don['’]t) know\b", re.IGNORECASE)


class Asked(Protocol):
    """What a rule sees of a prompt; `Chat`, `Answers` and `Preference` have it."""

    @property
    def messages(self) -> tuple[Message, ...]: ...
    @property
    def kind(self) -> str: ...
    @property
    def truth(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Verdict:
    """The parts of a score and the score, each in [0, 1]; see the top of the file."""

    right: float
    on_topic: float
    stopped: float
    short: float
    total: float


Rule = Callable[[Answer, Asked], float]


def score(answer: Answer, chat: Asked) -> Verdict:
    """What an answer to a chat's prompt is worth by the gold rule."""
    words = _words(answer.content)
    limit = MOST_WORDS.get(chat.kind, MOST_WORDS_ELSE)
    short = 1.0 if len(words) <= limit else limit / len(words)
    right = on_topic = 0.0
    if not degenerate(answer.content, _question(chat)):
        right, on_topic = _right(answer.content, chat), _on_topic(words, chat)
        if is_unknown(answer.content):
            # Naming the title while refusing is no topic.
            on_topic = right
    stopped = float(answer.stopped)
    return Verdict(right, on_topic, stopped, short, combine(right, on_topic, stopped, short))


def combine(right: float, on_topic: float, stopped: float, short: float) -> float:
    """The total of the parts."""
    form = FORM_ALWAYS + FORM_STOPPED * stopped + FORM_SHORT * short
    return (W_RIGHT * right + W_ON_TOPIC * on_topic) * form


def correct(answer: Answer, chat: Asked) -> Literal["right", "wrong", "unknown"]:
    """`unknown` for "I do not know ...", else whether what it says is right, however it ends."""
    if is_unknown(answer.content):
        return "unknown"
    return "right" if score(answer, chat).right >= RIGHT_FROM else "wrong"


def is_unknown(content: str) -> bool:
    """Whether an answer begins with "I do not know"."""
    return _DONT_KNOW.match(content) is not None


def degenerate(content: str, question: str) -> bool:
    """Empty, an echo of the question, or mostly a phrase that comes again and again."""
    words = _words(content)
    if not any(word not in _STOP_WORDS for word in words):
        return True
    asked = _words(question)
    # The answer of a reading question is a part of the prompt: only a long copy is an echo.
    if len(words) >= 4 and _holds(asked, words) and 2 * len(words) >= len(asked):
        return True
    if content.rstrip().endswith("?"):
        return True
    return _repeats(words)


def load_rule(name: str | None) -> Rule:
    """A user's `package.module:function` or `file.py:function`; the gold rule where none is named.

    The function takes an `Answer` and what was asked (messages, kind, truth) and returns a number
    or a `Verdict`. Raises GristmillError where it does not exist or returns something else.
    """
    if name is None:
        return lambda answer, chat: score(answer, chat).total
    function = load_extension(name)

    def rule(answer: Answer, chat: Asked) -> float:
        given = function(answer, chat)
        value = given.total if isinstance(given, Verdict) else given
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if number != number or abs(number) == float("inf"):
            raise GristmillError(
                f"the rule returned {value!r} for an answer",
                where=name,
                mend="return a number, higher for better answers",
            )
        return number

    return rule


def _right(content: str, chat: Asked) -> float:
    truth, words = chat.truth, _words(content)
    if chat.kind == UNKNOWN:
        # Where the taught sentence says what is not known, the bare refusal is worth half of it.
        named = _named(words, truth) if _names_title(chat) else 1.0
        return (0.5 + 0.5 * named) if is_unknown(content) else 0.0
    if is_unknown(content):
        return HONEST
    if chat.kind in ("topic", "field") and truth.get("topic"):
        return float(_topic_named(words, truth) == _words(truth["topic"]))
    if chat.kind == "title" and truth.get("title"):
        return word_f1(words, _words(truth["title"]))
    reference = truth.get("answer") or _reference(chat)
    # The prompt gives the title; only what the answer adds is knowledge.
    given = Counter(_words(truth.get("name", "")) + _words(truth.get("title", "")))
    return word_f1(_content(words, given), _content(_words(reference), given))


def _topic_named(words: Sequence[str], truth: Mapping[str, str]) -> list[str]:
    """The words of an answer that are neither the title, as a phrase, nor the frame around it."""
    topic, left = _words(truth["topic"]), list(words)
    for name in sorted({truth.get("name", ""), truth.get("title", "")}, key=len, reverse=True):
        phrase = _words(name)
        place = _find(left, phrase)
        # "Mathematics belongs to Mathematics": the title is what comes first.
        if phrase and place is not None and len(left) > len(phrase):
            left = left[:place] + left[place + len(phrase) :]
            break
    return [word for word in left if word not in _FRAME or word in topic]


def _on_topic(words: Sequence[str], chat: Asked) -> float:
    """A third for the title's words, two thirds for new words that the article has too.

    The title counts only where the reference answer names it.
    """
    truth = chat.truth
    if chat.kind == UNKNOWN:
        return 0.0
    named = _named(words, truth)
    about = " ".join(truth.get(key, "") for key in ("title", "description", "topic", "text"))
    article = set(_words(about.strip() or truth.get("answer", "") or _reference(chat)))
    if chat.kind == "title":
        return named
    # In a reading question the article stands in the prompt, so its words are not taken away.
    known = set(_words(truth.get("title", "") if chat.kind == "field" else _question(chat)))
    known |= _STOP_WORDS | (_FRAME if chat.kind in ("topic", "field") else frozenset())
    new = {word for word in words if word not in known}
    shared = len(new & article) / len(new) if new else 0.0
    if chat.kind == "field" or not _names_title(chat):
        return shared
    return named / 3 + 2 * shared / 3


def _names_title(chat: Asked) -> bool:
    reference = chat.truth.get("answer") or _reference(chat)
    return not reference or _named(_words(reference), chat.truth) > 0


def _named(words: Sequence[str], truth: Mapping[str, str]) -> float:
    """The share of the title's words that stand among `words`."""
    title = [word for word in _words(truth.get("title", "")) if word not in _STOP_WORDS]
    return sum(word in words for word in title) / len(title) if title else 0.0


def word_f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over words (Rajpurkar et al. 2016, section 6)."""
    if not given or not wanted:
        return 0.0
    same = (Counter(given) & Counter(wanted)).total()
    return 2 * same / (len(given) + len(wanted))


def _content(words: Sequence[str], without: Counter[str]) -> list[str]:
    """Words that say something, each word of `without` taken away as often as it stands there."""
    left = Counter(without)
    kept = []
    for word in words:
        if left[word] > 0:
            left[word] -= 1
        elif word not in _STOP_WORDS:
            kept.append(word)
    return kept


def _repeats(words: Sequence[str]) -> bool:
    """Whether more than a third of the word 3-grams, or half of the words of a longer answer,
    stood there before."""
    if len(words) < 6:
        return len(words) >= 3 and len(set(words)) == 1
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    again = len(grams) - len(set(grams))
    said = [word for word in words if word not in _STOP_WORDS]
    return 3 * again > len(grams) or 2 * len(set(said)) < len(said)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _question(chat: Asked) -> str:
    return next((m.content for m in reversed(chat.messages) if m.role == "user"), "")


def _reference(chat: Asked) -> str:
    last = chat.messages[-1] if chat.messages else None
    return last.content if last is not None and last.role == "assistant" else ""


def _find(words: Sequence[str], phrase: Sequence[str]) -> int | None:
    for start in range(len(words) - len(phrase) + 1):
        if list(words[start : start + len(phrase)]) == list(phrase):
            return start
    return None


def _holds(words: Sequence[str], phrase: Sequence[str]) -> bool:
    return _find(words, phrase) is not None
