"""Trains the tagger of persons on invented documents, in seconds.

    python -m gristmill.data.personal_data.name_training [PATH]

writes the weights that the package ships (or to PATH). A third of the listed names is kept from the
lexicon while it learns, and further names are made up of syllables, as are firms and products: so
it must learn to tell unknown names by what stands around them.

Other weights find other names: with them the version of the stage `data filter` goes up.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.seeds import derive_seed
from gristmill.data.filters.characters import class_table, lower_table
from gristmill.data.personal_data import name_lists, name_templates
from gristmill.data.personal_data.name_kernel import (
    FEATURES,
    LABELS,
    LONGEST,
    features,
    island_end,
    marginals,
    read_words,
    scores,
    seen_lower,
)
from gristmill.data.personal_data.names import SHIPPED, NameTagger, WordTable, code_points

DOCUMENTS: Final = 20_000
BITS: Final = 15
EPOCHS: Final = 5
RATE: Final = 0.1
DECAY: Final = 2e-6
# Of the features, those that are left out at random at each step: a sentence must not be told by
# one word that its template happens to have.
DROPOUT: Final = 0.35

Span = tuple[int, int]

_PLACE = re.compile(r"\{([A-Z])\}")
_STARTS = (
    "b c d f g h j k l m n p r s t v w z br ch dr fl gr kr kl pl pr sh st th tr sch kw ng tz mb y"
).split()
_MIDDLES = "a e i o u ai ei ou ia ea oo ee au ya io ö ü é á".split()
_ENDS = "n r l s t m k d x z nd rt lt ck ng sk ss st v h n n r l".split()
_NAME_ENDS = (
    "a o i e ie y ia en an in on er el us is as os elle ette son sen sson ssen ez es ini ello elli"
    " ova eva ski sky cki wicz ov ev enko uk man mann stein berg burg feld ley ton ford well wood"
    " kova idis opoulos oğlu yan ian dze shvili aho nen la pour zadeh wala kar nathan amma ah ha"
).split()
_THING_ENDS = (
    "ly ify io ium ics ware soft tech net hub base flow stack metrics sight scope works labs"
    " ora ex ix on ia space point box bank pay cart desk forge wise bytes cast loop grid"
).split()
_OTHER = [word for word in name_lists.OTHER_WORDS if word[0].isupper()]
_PEOPLES = _OTHER[_OTHER.index("Afghan") : _OTHER.index("Venus")]
_COMMON = [word.capitalize() for word in name_lists.COMMON_WORDS]
_GEOGRAPHY = _OTHER[_OTHER.index("Europe") : _OTHER.index("North")]


def invented_name(r: random.Random) -> str:
    """A name that nobody has, of one to three syllables."""
    word = "".join(
        r.choice(_STARTS) + r.choice(_MIDDLES) + (r.choice(_ENDS) if r.random() < 0.3 else "")
        for _ in range(r.choice((1, 1, 2)))
    )
    return (word + r.choice(_NAME_ENDS) if r.random() < 0.8 else word).capitalize()


def _invented_thing(r: random.Random) -> str:
    word = "".join(r.choice(_STARTS) + r.choice(_MIDDLES) for _ in range(r.choice((1, 2))))
    word += r.choice(_ENDS) if r.random() < 0.4 else ""
    word = (word + r.choice(_THING_ENDS)).capitalize()
    if r.random() < 0.1:
        return word.upper()[: r.randint(2, 5)]
    return word[:3] + word[3:].capitalize() if r.random() < 0.1 and len(word) > 5 else word


class _Filler:
    """Fills the places of one document: its persons stay the same, so that they recur."""

    def __init__(self, r: random.Random):
        self.r = r
        self.people = [(self._first(), self._last()) for _ in range(3)]

    def _first(self) -> str:
        r = self.r
        if r.random() < 0.35:
            return invented_name(r)
        return r.choice(name_lists.FIRST_NAMES)

    def _last(self) -> str:
        r = self.r
        if r.random() < 0.4:
            name = invented_name(r)
            return f"{name}-{invented_name(r)}" if r.random() < 0.05 else name
        return r.choice(name_lists.LAST_NAMES).replace("_", " ")

    def person(self) -> str:
        r = self.r
        first, last = r.choice(self.people) if r.random() < 0.7 else (self._first(), self._last())
        roll = r.random()
        if roll < 0.72:
            return f"{first} {last}"
        if roll < 0.80:
            return f"{first} {r.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if roll < 0.86:
            return f"{first[0]}. {last}"
        if roll < 0.90:
            return f"{first} {self._first()} {last}"
        if roll < 0.93:
            return f"{first[0]}. {r.choice('ABCDEJKLMR')}. {last}"
        if roll < 0.97:
            return f"{r.choice('ABCDEGHJKLMRST')}. {first} {last}"
        return f"{first} {last}-{self._last().split()[-1]}"

    def thing(self) -> str:
        """A firm or another body."""
        r = self.r
        roll = r.random()
        if roll < 0.35:
            return _invented_thing(r)
        if roll < 0.5:
            return f"{_invented_thing(r)} {r.choice(name_templates.ORGANISATION_TAILS)}"
        if roll < 0.65:
            tail = r.choice(name_templates.ORGANISATION_TAILS)
            return f"{self._last()} {tail}"
        if roll < 0.8:
            words = r.sample(_OTHER if r.random() < 0.5 else _COMMON, r.choice((1, 2)))
            return " ".join([*words, r.choice(name_templates.ORGANISATION_TAILS)])
        if roll < 0.88:
            return f"{r.choice(_GEOGRAPHY)} {r.choice(name_templates.ORGANISATION_TAILS)}"
        if roll < 0.94:
            return "".join(r.choice("ABCDEFGIKLMNOPRSTUVW") for _ in range(r.randint(2, 4)))
        return f"{self._last()} {r.choice(('&', 'and'))} {self._last()}"

    def place(self) -> str:
        r = self.r
        if r.random() < 0.25:
            return invented_name(r)
        if r.random() < 0.1:
            return f"{invented_name(r)}, {r.choice(_GEOGRAPHY)}"
        if r.random() < 0.2:
            tail = r.choice(("Hills", "Bay", "Park", "Valley", "Springs", "County", "Falls"))
            return f"{invented_name(r)} {tail}"
        return r.choice(_GEOGRAPHY)

    def work(self) -> str:
        r = self.r
        roll = r.random()
        if roll < 0.5:
            return _invented_thing(r) + r.choice(name_templates.PRODUCT_TAILS)
        if roll < 0.8:
            return " ".join(["The", *r.sample(_COMMON, r.choice((1, 2)))])
        return " ".join(r.sample(_COMMON if r.random() < 0.7 else _OTHER, r.choice((1, 2))))

    def people_word(self) -> str:
        r = self.r
        if r.random() < 0.5:
            return r.choice(_PEOPLES)
        stem = "".join(r.choice(_STARTS) + r.choice(_MIDDLES) for _ in range(r.choice((1, 2))))
        ends = (
            "ian ese ish ic ism ist ite ean idae aceae us um ology ians ists ization ology".split()
        )
        return (stem + r.choice("nrlstm") + r.choice(ends)).capitalize()

    def heading(self) -> str:
        r = self.r
        roll = r.random()
        source = name_templates.HEADING_WORDS if roll < 0.4 else _OTHER if roll < 0.6 else _COMMON
        words = r.sample(source, r.choice((1, 2, 2, 3, 4)))
        return " ".join(words).upper() if r.random() < 0.06 else " ".join(words)

    def date(self) -> str:
        r = self.r
        month = r.choice(_OTHER[12:24])
        day, year = r.randint(1, 28), r.randint(1930, 2026)
        return r.choice((f"{day} {month} {year}", f"{month} {day}, {year}", f"{month} {year}",
                         f"{year}-{r.randint(1, 12):02}-{day:02}", str(year)))  # fmt: skip

    def value(self, place: str) -> tuple[str, bool]:
        """(text, whether it is a name)."""
        r = self.r
        first, last = r.choice(self.people) if r.random() < 0.6 else (self._first(), self._last())
        # A letter and what fills its place; what is no person comes last.
        persons: dict[str, Callable[[], str]] = {
            "P": self.person,
            "F": lambda: first,
            "L": lambda: last,
            "A": lambda: f"{first} {last}".upper(),
        }
        if place in persons:
            return persons[place](), True
        others: dict[str, Callable[[], str]] = {
            "O": self.thing,
            "G": self.place,
            "W": self.work,
            "H": self.heading,
            "E": self.people_word,
            "D": self.date,
            "N": lambda: str(r.randint(2, 2000)),
            "R": lambda: (
                r.choice(name_lists.ROLES).title()
                if r.random() < 0.2
                else r.choice(name_lists.ROLES)
            ),
            "V": lambda: r.choice(name_templates.PERSON_VERBS),
            "X": lambda: r.choice(name_templates.THING_VERBS),
            "C": lambda: r.choice(name_templates.WORK_NOUNS),
            "Q": lambda: r.choice(name_templates.QUALITIES),
        }
        return others[place](), False


def invented_document(r: random.Random) -> tuple[str, list[Span]]:
    """A document and where its names of persons stand."""
    filler = _Filler(r)
    text = ""
    spans: list[Span] = []
    for _ in range(r.randint(2, 6)):
        with_names = r.random() < 0.5
        source = name_templates.WITH_NAMES if with_names else name_templates.WITHOUT_NAMES
        template = r.choice(source)
        position = 0
        for match in _PLACE.finditer(template):
            text += template[position : match.start()]
            value, is_name = filler.value(match.group(1))
            if is_name and with_names:
                spans.append((len(text), len(text) + len(value)))
            text += value
            position = match.end()
        text += template[position:]
        text += r.choice((" ", " ", " ", "\n", "\n\n", ". "))
    return text, spans


@dataclass(frozen=True)
class Islands:
    """Runs of capitalised words: words of island i are starts[i]:starts[i + 1]."""

    buckets: npt.NDArray[np.int32]
    """[words, FEATURES]"""
    labels: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]


def islands(documents: Sequence[tuple[str, list[Span]]], words: WordTable, bits: int) -> Islands:
    """The features and labels of all islands of these documents."""
    found, labels, lengths = [], [], []
    for text, spans in documents:
        codes = code_points(text)
        truth = np.zeros(len(codes) + 1, np.uint8)
        for start, end in spans:
            truth[start] = 1
            truth[start + 1 : end] = 2
        room = len(codes) + 1
        buckets = np.empty((room, FEATURES), np.int32)
        out = np.empty(room, np.uint8)
        sizes = np.empty(room, np.int64)
        count, total = _islands(
            codes, class_table(), lower_table(), words.keys, words.values, truth,
            np.uint64((1 << bits) - 1), buckets, out, sizes,
        )  # fmt: skip
        found.append(buckets[:total].copy())
        labels.append(out[:total].copy())
        lengths.append(sizes[:count].copy())
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
    return Islands(np.concatenate(found), np.concatenate(labels), starts)


@njit(cache=True, nogil=True)
def _islands(codes, classes, lowers, keys, values, truth, mask, buckets, labels, sizes):  # type: ignore[no-untyped-def]
    n = len(codes)
    start = np.empty(n + 1, np.int32)
    stop = np.empty(n + 1, np.int32)
    hashes = np.empty(n + 1, np.uint64)
    shapes = np.empty(n + 1, np.uint8)
    bits = np.empty(n + 1, np.uint16)
    count = read_words(codes, classes, lowers, keys, values, start, stop, hashes, shapes, bits)
    size = 16
    while size < 2 * count:
        size *= 2
    seen = np.empty(count + 1, np.uint8)
    seen_lower(count, hashes, shapes, bits, np.zeros(size, np.uint64), seen)
    row = np.empty((LONGEST + 2, FEATURES), np.int64)
    number = total = i = 0
    while i < count:
        if not 3 <= shapes[i] <= 6:
            i += 1
            continue
        end = island_end(i, count, start, stop, shapes, bits, codes)
        features(codes, lowers, count, start, stop, hashes, shapes, bits, i, end, seen, mask, row)
        for j in range(end - i):
            for k in range(FEATURES):
                buckets[total, k] = row[j, k]
            label = truth[start[i + j]]
            if label == 0 and truth[stop[i + j] - 1] != 0:
                label = 1
            # Inside a name, a word goes on with it if the name began before.
            if label == 2 and (j == 0 or labels[total - 1] == 0):
                label = 1
            labels[total] = label
            total += 1
        sizes[number] = end - i
        number += 1
        i = end
    return number, total


@njit(cache=True, nogil=True)
def _train(buckets, labels, starts, order, rate, decay, dropout, weights, transitions):  # type: ignore[no-untyped-def]
    """AdaGrad (Duchi et al. 2011) on the negative log-likelihood of the labels; returns its mean
    over the last tenth of the islands. The last row of weights stands for features left out."""
    nothing = len(weights) - 1
    kept = np.empty((LONGEST + 2, FEATURES), np.int64)
    state = np.uint64(88172645463325252)
    limit = np.uint64(dropout * 65536.0)
    squares = np.zeros(weights.shape, np.float32)
    transition_squares = np.zeros(transitions.shape, np.float64)
    out = np.empty((LONGEST + 2, LABELS), np.float64)
    raw = np.empty((LONGEST + 2, LABELS), np.float64)
    forward = np.empty((LONGEST + 2, LABELS), np.float64)
    backward = np.empty((LONGEST + 2, LABELS), np.float64)
    shapes = np.full(LONGEST + 2, 3, np.uint8)
    loss = 0.0
    counted = 0
    for step in range(len(order)):
        island = order[step]
        first, length = starts[island], starts[island + 1] - starts[island]
        for i in range(length):
            for f in range(FEATURES):
                # Marsaglia 2003, xorshift.
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                left_out = f > 0 and (state & np.uint64(65535)) < limit
                kept[i, f] = nothing if left_out else buckets[first + i, f]
        scores(kept, length, weights, shapes, 0, out)
        raw[:length] = out[:length]
        whole = marginals(out, length, transitions, forward, backward)
        gold = 0.0
        before = 0
        for i in range(length):
            label = labels[first + i]
            gold += raw[i, label] + transitions[before, label]
            before = label
        if step >= len(order) * 9 // 10:
            loss += whole - gold
            counted += 1
        # The gradient of transitions: expected minus observed.
        for i in range(length):
            for k in range(LABELS):
                if i == 0:
                    gradient = out[0, k] - (1.0 if labels[first] == k else 0.0)
                    transition_squares[0, k] += gradient * gradient
                    transitions[0, k] -= rate * gradient / np.sqrt(transition_squares[0, k] + 1e-6)
                else:
                    for j in range(LABELS):
                        expected = np.exp(
                            forward[i - 1, j]
                            + transitions[j, k]
                            + raw[i, k]
                            + backward[i, k]
                            - whole
                        )
                        observed = labels[first + i - 1] == j and labels[first + i] == k
                        gradient = expected - (1.0 if observed else 0.0)
                        transition_squares[j, k] += gradient * gradient
                        transitions[j, k] -= (
                            rate * gradient / np.sqrt(transition_squares[j, k] + 1e-6)
                        )
        transitions[0, 2] = -20.0
        for i in range(length):
            for k in range(LABELS):
                error = np.float32(out[i, k] - (1.0 if labels[first + i] == k else 0.0))
                if abs(error) < 1e-4:
                    continue
                for f in range(FEATURES):
                    bucket = kept[i, f]
                    if bucket == nothing:
                        continue
                    gradient32 = error + np.float32(decay) * weights[bucket, k]
                    squares[bucket, k] += gradient32 * gradient32
                    weights[bucket, k] -= (
                        np.float32(rate) * gradient32 / np.sqrt(squares[bucket, k] + 1e-6)
                    )
    return loss / max(1, counted)


def train_tagger(
    documents: int = DOCUMENTS, *, bits: int = BITS, epochs: int = EPOCHS, seed: int = 0
) -> tuple[NameTagger, float]:
    """A tagger, and the mean loss of an island at the end. One thread and a seeded order."""
    r = random.Random(derive_seed(seed, "names"))
    known = [
        [name for name in names if derive_seed(seed, "known", name) % 3]
        for names in (name_lists.FIRST_NAMES, name_lists.LAST_NAMES)
    ]
    table = WordTable.build(known[0], known[1])
    data = islands([invented_document(r) for _ in range(documents)], table, bits)
    weights = np.zeros(((1 << bits) + 1, LABELS), np.float32)
    transitions = np.zeros((LABELS, LABELS), np.float64)
    shuffle = np.random.default_rng(derive_seed(seed, "order"))
    count = len(data.starts) - 1
    order = np.concatenate([shuffle.permutation(count) for _ in range(epochs)])
    loss = _train(
        data.buckets, data.labels, data.starts, order, RATE, DECAY, DROPOUT, weights, transitions
    )
    # All features together weigh as much as those that were kept did.
    weights[1:] *= 1.0 - DROPOUT
    return NameTagger(weights[:-1], transitions, WordTable.build()), float(loss)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    tagger, loss = train_tagger()
    tagger.save(path)
    print(f"{path}: {path.stat().st_size:,} bytes, {loss:.4f} nats an island")


if __name__ == "__main__":
    main()
