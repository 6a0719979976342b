"""The compiled statistics against a slow twin that is written from the definitions."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.data.filters.c4 import POLICY
from gristmill.data.filters.characters import (
    BULLETS,
    CLOSING_CHARACTERS,
    LINE_END_CHARACTERS,
    SENTENCE_END_CHARACTERS,
    core,
)
from gristmill.data.filters.lexicon import Lexicon, extend, hash_text
from gristmill.data.filters.statistic_names import NAMES
from gristmill.data.filters.statistics import LineRules, read, text_statistics
from gristmill.data.filters.text_reading import LOOK_CITATION
from gristmill.data.personal_data.hints import (
    HINT_AT,
    HINT_COLONS,
    HINT_DIGITS,
    HINT_DOTTED,
    HINT_IBAN,
    hints,
)

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
LISTS = {
    "function": ["the", "of", "and", "a", "is"],
    "places": ["new york", "new york city", "york", "los angeles"],
    "odd": ["the the the", "don't"],
}
STOPS = ["the", "be", "to", "of", "and", "that", "have", "with"]
LEXICON = Lexicon.build(LISTS, STOPS)
RULES = LineRules(short_line=12, c4_min_words=2, c4_max_word=9, c4_terminal=True)


def twin(text: str, rules: LineRules = RULES) -> dict[str, int]:
    words = text.split()
    real = [w for w in words if any(c.isalnum() for c in w)]
    lines = [line.strip() for line in text.split("\n")]
    paragraphs: list[str] = []
    block: list[str] = []
    for line in [*lines, ""]:
        if line:
            block.append(line)
        elif block:
            paragraphs.append("\n".join(block))
            block = []
    lines = [line for line in lines if line]
    repeated_lines, repeated_paragraphs = duplicates(lines), duplicates(paragraphs)
    kept = kept_lines(text, rules)
    kept_text = "".join(gap + line for gap, line in kept)
    kept = [line.strip() for _, line in kept]
    cores = [core(w) for w in words]
    counts = Counter(c for c in cores if c)
    out = {
        "characters": len(text),
        "words": len(words),
        "symbol_words": len(words) - len(real),
        "word_characters": sum(map(len, real)),
        "alpha_words": sum(any(c.isalpha() for c in w) for w in words),
        "longest_word": max(map(len, words), default=0),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "digits": sum("0" <= c <= "9" for c in text),
        "uppers": sum(c.isupper() and c.isalpha() for c in text),
        "curly_brackets": text.count("{"),
        "newlines": text.count("\n"),
        "lines": len(lines),
        "split_lines": len(lines),
        "bullet_lines": sum(line[0] in BULLETS for line in lines),
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines),
        "ended_lines": sum(line.endswith(tuple(LINE_END_CHARACTERS)) for line in lines),
        "short_lines": sum(len(line) <= rules.short_line for line in lines),
        "duplicate_lines": len(repeated_lines),
        "duplicate_line_characters": sum(map(len, repeated_lines)),
        "paragraphs": len(paragraphs),
        "duplicate_paragraphs": len(repeated_paragraphs),
        "duplicate_paragraph_characters": sum(map(len, repeated_paragraphs)),
        "c4_lines": len(kept),
        "c4_sentences": sum(map(sentences, kept)),
        "c4_words": len(kept_text.split()),
        "c4_characters": len(kept_text.replace("\n", "")),
        "c4_newlines": kept_text.count("\n"),
        "c4_ended_lines": sum(line.endswith(tuple(LINE_END_CHARACTERS)) for line in kept),
        "c4_short_lines": sum(len(line) <= rules.short_line for line in kept),
        "c4_duplicate_line_characters": sum(map(len, duplicates(kept))),
        "c4_curly_brackets": text.count("{"),
        "c4_lorem_ipsum": text.lower().count("lorem ipsum"),
        "prose_words": sum(
            len(line.split())
            for line in lines
            if len(line.split()) >= (5 if line.endswith(tuple(LINE_END_CHARACTERS)) else 12)
        ),
        "personal_hints": hints(text),
        "stop_words": len(set(cores) & set(STOPS)),
        "distinct_words": len(counts),
        "top_word": max((n for w, n in counts.items() if w not in LISTS["function"]), default=0),
    }
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        top, times = grams.most_common(1)[0] if grams else ("", 0)
        out[f"top_{n}_gram"] = len(top) * times
        out[f"top_{n}_gram_count"] = times
    for n in range(5, 11):
        out[f"duplicate_{n}_grams"] = duplicate_grams(words, n)
    for category, phrases in LISTS.items():
        matches = [
            range(i, i + len(phrase.split()))
            for phrase in phrases
            for i in range(len(words))
            if cores[i : i + len(phrase.split())] == phrase.split()
        ]
        out[f"hits:{category}"] = len(matches)
        out[f"covered:{category}"] = len({place for match in matches for place in match})
    return out


def duplicates(elements: list[str]) -> list[str]:
    return [e for i, e in enumerate(elements) if e in elements[:i]]


def kept_lines(text: str, rules: LineRules) -> list[tuple[str, str]]:
    """The lines that C4 keeps, each after the line feeds that join it to the one before."""
    kept: list[tuple[str, str]] = []
    blank = False
    for line in text.split("\n"):
        if not line.strip():
            blank = True
        elif c4_keeps(line.strip(), rules):
            kept.append((("\n\n" if blank else "\n") if kept else "", line))
            blank = False
    return kept


def c4_keeps(line: str, rules: LineRules) -> bool:
    words = line.split()
    if "javascript" in line.lower() or any(phrase in line.lower() for phrase in POLICY):
        return False
    ends = line.endswith(tuple(LINE_END_CHARACTERS)) and not line.endswith(("...", "…"))
    return (
        len(words) >= rules.c4_min_words
        and max(map(len, words)) <= rules.c4_max_word
        and (ends or not rules.c4_terminal)
    )


def sentences(line: str) -> int:
    count, rest = 0, False
    for word in line.split():
        body = word.rstrip(CLOSING_CHARACTERS)
        ending = f"[{re.escape(SENTENCE_END_CHARACTERS)}]"
        closing = f"[{re.escape(CLOSING_CHARACTERS)}]"
        other = f"[^{re.escape(SENTENCE_END_CHARACTERS + CLOSING_CHARACTERS)}]"
        dot = re.search(f"{ending}{closing}*{other}", word)
        ends = body.endswith(tuple(SENTENCE_END_CHARACTERS))
        if ends and not dot and sum(c.isalnum() for c in word) != 1:
            count, rest = count + 1, False
        else:
            rest = True
    return count + rest


def duplicate_grams(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    characters, i = 0, 0
    while i + n <= len(words):
        gram = tuple(words[i : i + n])
        if gram in seen:
            characters += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return characters


# Few different words, so that lines, paragraphs and n-grams repeat.
PIECES = [
    "the", "The", "of", "new", "York", "city", "york", "(Los", "Angeles)", "don’t", "a", "b",
    "U.S.", "e.g.", "3.14", "J.", "end.", "end.”", "what?!", "so...", "…", "wait…", "#", "##x",
    "•", "-", "- x", "{", "}", "...", "....", ". . .", "straße", "ÉCOLE", "日本語。", "𝔘nicode",
    "🙂", "𠀀", "x" * 12, "İ", " ", "  ", "\n", "\n\n", "\n \n", "\t", "\u00a0", "\u2028", "\r\n",
    "\x1f", ".", '?"', "!)", "'", "12", "(34", "5-6", "78.", "9.1.2.3", "AB12", "a@b", "::", "x:y",
    "JavaScript", "xjavascripts.", "Terms", "terms of use", "of", "OF", "use", "uses", "cookies",
    "\r", "Cookie policy", "the privacy Policy.", "we use cookies", "lorem", "Lorem ipsum.", "[1]",
    "[edit]", "[12", "[citation needed].",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=60).flatmap(
    lambda pieces: st.sampled_from(["", " "]).map(lambda gap: gap.join(pieces))
)


@settings(max_examples=400, deadline=None)
@given(st.lists(texts | st.text(max_size=40), min_size=1, max_size=4))
def test_equals_the_definitions(documents: list[str]) -> None:
    found = text_statistics(documents, LEXICON, RULES)
    for row, text in enumerate(documents):
        numbers = found.of(row)
        looks = numbers.pop("looks")
        assert numbers == twin(text), text
        assert looks & LOOK_CITATION or not CITATION.search(text), text


# Of a text without its citation marks: what C4 and FineWeb judge.
OF_LINES = [
    "characters", "words", "newlines", "lines", "split_lines", "duplicate_lines",
    "duplicate_line_characters", "bullet_lines", "ellipsis_lines", "ended_lines", "short_lines",
    "prose_words", *(name for name in NAMES if name.startswith("c4_")),
]  # fmt: skip


@pytest.mark.parametrize("as_written", [False, True])
@settings(max_examples=400, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_lines_without_marks_are_those_of_the_text_without(
    as_written: bool, documents: list[str]
) -> None:
    rules = replace(RULES, as_written=as_written)
    found = read(documents, LEXICON, replace(rules, c4_citations=True))
    marked = [row for row, text in enumerate(documents) if CITATION.search(text)]
    assert found.cited.tolist() == marked
    without = [CITATION.sub("", documents[row]) for row in marked]
    again = text_statistics(without, LEXICON, rules)
    for row, text in enumerate(without):
        here, there = found.bare.of(row), again.of(row)
        assert [(n, here[n]) for n in OF_LINES] == [(n, there[n]) for n in OF_LINES], text
    # What is counted of the text as it stands does not change.
    assert (found.statistics.values == text_statistics(documents, LEXICON, rules).values).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=20, max_size=120))
def test_n_grams_of_few_words(words: list[str]) -> None:
    text = " ".join(words)
    found = text_statistics([text], LEXICON, RULES).of(0)
    assert found.pop("looks") == 0 and found == twin(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="1234AZaz. -/(:@\u00a0\u0663", max_size=30))
def test_hints_of_personal_data(text: str) -> None:
    assert text_statistics([text], LEXICON)["personal_hints"][0] == hints(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b", HINT_AT),
        ("12 - 34 56", 0),
        ("12- 34 (56", HINT_DIGITS),
        ("12, 34, 56", 0),
        ("1.2.3.4", HINT_DOTTED),
        ("1.2..3.4", 0),
        ("AB12", HINT_IBAN),
        ("A1B2", 0),
        ("a::b", HINT_COLONS),
        ("a:b:c:d:e:f:g", 0),
        ("a:b:c:d:e:f:g:h", HINT_COLONS),
    ],
)
def test_hints_by_hand(text: str, expected: int) -> None:
    assert text_statistics([text], LEXICON)["personal_hints"][0] == hints(text) == expected


def test_prose_is_told_by_length_and_ending() -> None:
    eleven = " ".join("abcdefghijk")
    lines = [eleven, eleven + " l", "a b c d e.", "a b c d."]
    counted = text_statistics(lines, LEXICON)["prose_words"].tolist()
    assert counted == [0, 12, 5, 0]


def test_numbers_worked_out_by_hand() -> None:
    text = "# Mice\n\nThe mouse ate the cheese. It was good!\n- and more...\n\n# Mice"
    found = text_statistics([text], LEXICON, LineRules(short_line=10)).of(0)
    assert found["words"] == 15 and found["symbol_words"] == 3
    assert found["lines"] == 4 and found["paragraphs"] == 3
    assert found["duplicate_lines"] == 1 and found["duplicate_line_characters"] == 6
    assert found["duplicate_paragraphs"] == 1
    assert found["bullet_lines"] == 1 and found["ellipsis_lines"] == 1
    assert found["short_lines"] == 2
    assert found["c4_lines"] == 1 and found["c4_sentences"] == 2
    assert found["top_2_gram"] == 2 * len("# Mice")
    assert found["stop_words"] == 2


def test_a_batch_equals_its_documents_and_slices_of_arrow() -> None:
    documents = ["one two three", "", "the cat. The cat.\nthe cat.", "new york city"]
    alone = [text_statistics([text], LEXICON).of(0) for text in documents]
    chunked = pa.chunked_array([pa.array(["zero"]), pa.array(documents)]).slice(1)
    together = text_statistics(chunked, LEXICON)
    assert [together.of(row) for row in range(len(documents))] == alone
    assert len(text_statistics([], LEXICON)) == 0


def test_every_published_name_is_a_column() -> None:
    found = text_statistics(["x"], LEXICON)
    assert found.names[: len(NAMES)] == NAMES
    assert found["words"].tolist() == [1]


def test_hash_in_python_and_compiled_agree() -> None:
    # A phrase is only found where both compute the same hash.
    found = text_statistics(["In New York, it rains."], LEXICON).of(0)
    assert (found["hits:places"], found["covered:places"]) == (2, 2)
    state = extend(extend(0, hash_text("new")), hash_text("york"))
    assert LEXICON.find(state) & 2


def test_what_lies_across_blocks_and_windows() -> None:
    # Bytes are classified 64 at a time, and a word's bits are seen 56 at a time.
    documents = [
        f"{'w' * size}{ending} {' ' * size}Cookie policy (U.S. [edit] of\u00a0use{{. 12 é"
        for size in range(135)
        for ending in ("", ".", "...,", "é", "7", "\n")
    ]
    found = text_statistics(documents, LEXICON, RULES)
    for row, text in enumerate(documents):
        numbers = found.of(row)
        assert numbers.pop("looks") & LOOK_CITATION
        assert numbers == twin(text), text


def test_letters_may_be_symbols_in_every_place() -> None:
    rules = LineRules(symbols="ab.")
    found = text_statistics(["ab bab. bc ab", "ab."], LEXICON, rules)
    assert found["symbol_words"].tolist() == [3, 1]
    assert found["word_characters"].tolist() == [2, 0]
