"""The numbers that the shared pass counts, and where each stands in a document's row."""

from __future__ import annotations

from typing import Final

# Of the whole text, as `kernel.read_texts` counts them.
_READ = (
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
    "split_lines",  # lines of which the next three are shares; `lines`, unless counted as written
    "bullet_lines",
    "ellipsis_lines",
    "ended_lines",  # end in terminal punctuation, as FineWeb counts
    "short_lines",
    "c4_lines",  # lines that C4 keeps
    "c4_sentences",  # sentences in them
    "c4_words",
    "c4_characters",  # without line feeds
    "c4_newlines",
    "c4_ended_lines",
    "c4_short_lines",
    "c4_duplicate_line_characters",
    "c4_curly_brackets",  # those for which C4 drops the page
    "c4_lorem_ipsum",
    "looks",  # bits: 1: a citation mark is in the text
    "prose_words",  # in lines of 12 words, or of 5 that end in terminal punctuation
    "personal_hints",  # bits: what personal data may be here, see `personal_data.hints`
    "lines",
    "duplicate_lines",
    "duplicate_line_characters",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
)
# Of its words, as `word_counts.count_words` counts them.
_WORDS = (
    "stop_words",  # distinct ones
    "distinct_words",
    "top_word",  # occurrences of the most frequent word that is no function word
)
# Of its n-grams, as `repetition.count_n_grams` counts them.
_N_GRAMS = (
    "top_2_gram",
    "top_3_gram",
    "top_4_gram",
    "duplicate_5_grams",
    "duplicate_6_grams",
    "duplicate_7_grams",
    "duplicate_8_grams",
    "duplicate_9_grams",
    "duplicate_10_grams",
    "top_2_gram_count",
    "top_3_gram_count",
    "top_4_gram_count",
)
NAMES: Final = _READ + _WORDS + _N_GRAMS
INDEX: Final = {name: number for number, name in enumerate(NAMES)}
