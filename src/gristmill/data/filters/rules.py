"""The thresholds of every rule, with the published values as defaults. None turns a rule off."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class RuleGroup(BaseModel):
    """Base of the groups: unknown keys are refused, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    enabled: bool = True
    """False leaves the whole group out."""


class UrlRules(RuleGroup):
    """Hosts and words in addresses; the lists themselves are files."""

    categories: list[str] | None = None
    """Categories (folders) of the blocklists that count; all where null."""
    soft_words_at_least: int = 2
    """An address with so many different words of the soft list is dropped."""


class TermsRules(RuleGroup):
    """What a document states of its licence, and against its use."""

    licences: list[str] = []
    """Keep only documents under these licences: SPDX ids or patterns (MIT, CC-BY-*; none: no
    licence stated); all where empty."""
    licences_dropped: list[str] = []
    """Drop documents under these licences, such as CC-BY-NC-*."""
    opt_outs: bool = True
    """Drop documents whose page or host opts out (robots noai, TDM reservation)."""


class LanguageRules(RuleGroup):
    """fastText's language identification (Joulin et al. 2016, lid.176)."""

    keep: list[str] = ["en"]
    """Languages to keep, as ISO codes; an empty list keeps and labels all."""
    min_score: float = 0.65
    """The least probability (FineWeb: 0.65; CCNet: 0.5)."""


class BoilerplateRules(RuleGroup):
    """Pages that consist of notices, forms and lists of links."""

    max_phrase_share: float | None = 0.2
    """Of the words, those that belong to phrases of notices and forms ('accept all cookies')."""
    min_prose_share: float | None = 0.2
    """Of the words, those in lines of at least 12 words, or of 5 that end like a sentence."""
    min_prose_words: int | None = 12
    """So many words must stand in such lines."""
    max_words: int = 400
    """Longer pages are not judged by these rules."""
    lorem_ipsum: bool = True
    """Drop pages of blind text."""


class SpamRules(RuleGroup):
    """Keyword stuffing."""

    min_words: int = 30
    """Shorter texts are not judged."""
    max_top_word_share: float | None = 0.18
    """Of the words, the most frequent one that is no function word, when it occurs 6 times."""
    min_function_share: float | None = 0.12
    """Of the words, articles, prepositions and the like; only in languages whose list is here."""
    max_repeated_share: float | None = 0.4
    """Of the characters, those in 5-grams that occurred before."""


class WordListRules(RuleGroup):
    """Adult or toxic words by density, so that one quotation in an honest text is no reason."""

    max_share: float = 0.02
    """Of the words, those on the list."""
    min_matches: int = 3
    """Fewer matches are never a reason."""
    context_share: float = 0.03
    """A text in which this share of the words is medical, legal or educational ..."""
    context_factor: float = 3.0
    """... is allowed so many times `max_share`."""


class GopherQualityRules(RuleGroup):
    """Rae et al. 2021, appendix A.1.1, 'quality filtering'."""

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_length: float | None = 3
    max_mean_word_length: float | None = 10
    max_symbol_ratio: float | None = 0.1
    """Number signs, and ellipses, per word."""
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_alpha_words: float | None = 0.8
    """Share of the words that hold a letter."""
    min_stop_words: int | None = 2
    """Different ones of `stop_words`."""
    stop_words: list[str] = ["the", "be", "to", "of", "and", "that", "have", "with"]


class GopherRepetitionRules(RuleGroup):
    """Rae et al. 2021, table A1; shares of lines, paragraphs and characters."""

    max_duplicate_lines: float | None = 0.30
    max_duplicate_paragraphs: float | None = 0.30
    max_duplicate_line_characters: float | None = 0.20
    max_duplicate_paragraph_characters: float | None = 0.20
    max_top_2_gram: float | None = 0.20
    max_top_3_gram: float | None = 0.18
    max_top_4_gram: float | None = 0.16
    count_single: bool = False
    """An n-gram that occurs once may be the most frequent one, as datatrove counts: it then drops
    most texts of a single sentence."""
    max_duplicate_5_grams: float | None = 0.15
    max_duplicate_6_grams: float | None = 0.14
    max_duplicate_7_grams: float | None = 0.13
    max_duplicate_8_grams: float | None = 0.12
    max_duplicate_9_grams: float | None = 0.11
    max_duplicate_10_grams: float | None = 0.10


class C4Rules(RuleGroup):
    """Raffel et al. 2020, section 2.2. FineWeb leaves `terminal_punctuation` out."""

    rewrite: bool = True
    """Remove the lines that fail and citation marks from the text; False only judges."""
    terminal_punctuation: bool = True
    """Lines must end in a full stop, exclamation or question mark, or closing quotation mark."""
    min_words_per_line: int = 5
    max_word_length: int = 1000
    min_sentences: int | None = 3
    """In the lines that remain."""
    javascript: bool = True
    """Lines that mention Javascript fail."""
    policy: bool = True
    """Lines with phrases such as 'terms of use' or 'use cookies' fail."""
    lorem_ipsum: bool = True
    curly_brackets: bool = True
    """Drop pages with a curly bracket."""
    citations: bool = True
    """Remove '[1]', '[edit]' and '[citation needed]'."""


class FineWebRules(RuleGroup):
    """Penedo et al. 2024, section 3.6, 'custom filters'."""

    min_ended_lines: float | None = 0.12
    """Share of the lines that end in punctuation; at most this share fails."""
    max_short_lines: float | None = 0.67
    """Share of the lines of at most `short_line` characters; from this share on it fails."""
    short_line: int = 30
    max_duplicate_line_characters: float | None = 0.1
    """From this share on it fails (the paper's value; its published code has 0.01)."""
    max_newlines_per_word: float | None = 0.3


PersonalDataKind = Literal["email", "phone", "ip", "card", "iban", "national_id"]


class PersonalDataRules(RuleGroup):
    """Personal data in documents that the other rules keep."""

    action: Literal["mask", "remove", "reject", "mark"] = "mask"
    """mask: [email-1] for every occurrence of one address; remove: cut out; reject: drop the
    document; mark: only record the places."""
    kinds: list[PersonalDataKind] = ["email", "phone", "ip", "card", "iban", "national_id"]
    mask: str = "[{kind}-{number}]"
    """How a mask is written; equal values in a document have equal numbers."""
    private_ip: bool = False
    """Addresses of private networks count too."""
