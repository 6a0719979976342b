"""The numbers that the shared pass counts, and where each stands in a document's row."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "characters",
    "words",
    "symbol_words",  # words without a letter or digit
    "word_characters",  # of the other words
    "alpha_words",  # words with a letter
    "longest_word",
    "hashes",
    "ellipses",
    "digits",
    "uppers",
    "curly_brackets",
    "newlines",
    "lines",
    "bullet_lines",
    "ellipsis_lines",
    "ended_lines",  # end in terminal punctuation, as FineWeb counts
    "short_lines",
    "duplicate_lines",
    "duplicate_line_characters",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
    "c4_lines",  # lines that C4 keeps
    "c4_sentences",  # sentences in them
    "stop_words",  # distinct ones
    "distinct_words",
    "top_word",  # occurrences of the most frequent word that is no function word
    "top_2_gram",
    "top_3_gram",
    "top_4_gram",
    "duplicate_5_grams",
    "duplicate_6_grams",
    "duplicate_7_grams",
    "duplicate_8_grams",
    "duplicate_9_grams",
    "duplicate_10_grams",
    "prose_words",  # in lines of 12 words, or of 5 that end in terminal punctuation
    "top_2_gram_count",
    "top_3_gram_count",
    "top_4_gram_count",
    "personal_hints",  # bits: what personal data may be here, see `personal_data.hints`
)
INDEX: Final = {name: number for number, name in enumerate(NAMES)}
