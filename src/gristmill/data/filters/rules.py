"""The thresholds of every rule, with the published values as defaults. None turns a rule off."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gristmill.data.personal_data.national_ids import COUNTRIES


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
    """Languages, told by fastText's lid.176 (Joulin et al. 2016) or a model of yours."""

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
    second_look: bool = Field(True, json_schema_extra={"identity": "unless_default"})
    """Matches that are plain terms of medicine, law and the like, or names, do not count."""


class TextUse(BaseModel):
    """What follows from a text's score, and from the word list's verdict."""

    model_config = RuleGroup.model_config

    drop: float | None = 0.9
    """From this score on a document is dropped."""
    mark: float | None = 0.5
    """From this score on it is named in the column `marks`."""
    lower: float | None = None
    """From this score on its `weight` is lowered, which `data mix` heeds."""
    weight: float = 0.25
    """The weight that it then has."""
    words: Literal["drop", "mark", "lower"] = "drop"
    """What follows from the word list: drop, mark or lower the weight."""


class GopherQualityRules(RuleGroup):
    """Words, symbols, stop words (Rae et al. 2021, appendix A.1.1, 'quality filtering')."""

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
    """Repeated lines, paragraphs and n-grams (Rae et al. 2021, table A1)."""

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
    """Lines that are no sentences (Raffel et al. 2020, section 2.2). FineWeb leaves
    `terminal_punctuation` out."""

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
    """Shares of lines (Penedo et al. 2024, section 3.6, 'custom filters')."""

    min_ended_lines: float | None = 0.12
    """Share of the lines that end in punctuation; at most this share fails."""
    max_short_lines: float | None = 0.67
    """Share of the lines of at most `short_line` characters; from this share on it fails."""
    short_line: int = 30
    max_duplicate_line_characters: float | None = 0.1
    """From this share on it fails (the paper's value; its published code has 0.01)."""
    max_newlines_per_word: float | None = 0.3


class OutlierRules(RuleGroup):
    """Documents unlike the rest of the corpus, which is read once more for it; off by default.

    The limits stand beyond what honest text has. Each is described with the shares that it drops of
    3,609 English pages of documentation, 8,000 film reviews and the pages of the sample web, each
    compared with its own kind (benchmarks/outliers.py).
    """

    enabled: bool = False
    """True judges by these rules."""
    max_length_deviation: float | None = 4.0
    """From the median of the logarithm of the lengths, in robust standard deviations (drops 0.03,
    0.04 and 0.80%)."""
    max_byte_divergence: float | None = 1.5
    """Kullback-Leibler divergence of a document's bytes from the corpus's, in bits (drops 0, 0 and
    0.30%; base64 has 2, tables of figures and other scripts have 4 and more)."""
    max_word_bits: float | None = 16.0
    """Bits per word under the corpus's own word frequencies (drops 0, 0 and 0.01%; made-up words,
    base64 and other languages have 21)."""
    min_word_bits: float | None = 6.5
    """Fewer are a few words over and over (drops none; honest pages have 7.9 and more)."""


class CountingRules(BaseModel):
    """What a word and a line are, where the papers leave it open. The defaults are gristmill's;
    datatrove's ways are named with each, so that its verdicts can be had as well."""

    model_config = RuleGroup.model_config

    lines: Literal["text", "as_written"] = "text"
    """text: blank lines are no lines, and white space around a line or paragraph is no part of it.
    as_written (datatrove): for repetition whatever stands between line feeds, for shares of lines
    blank ones too; C4 drops a page for brackets and blind text only in lines that it would keep,
    and joins the lines that it keeps without blank ones."""
    stop_words: Literal["any_case", "as_written"] = "any_case"
    """any_case: 'The' and '(the' are the stop word 'the'; as_written (datatrove): 'the' alone."""
    symbols: str | None = None
    """The characters of which alone no word consists; null: all but letters and digits (datatrove
    has a list, without '•' and emoji)."""
    symbol_ratio: Literal["words", "all_words"] = "words"
    """What number signs and ellipses are divided by: all words (datatrove) or those that are no
    symbols."""
    bullets: str | None = None
    """The characters that begin a line of a list; null: •‣⁃▪●◦-* (datatrove: •-)."""
    line_ends: str | None = None
    """The characters that end a line for C4; null: . ? ! also in Chinese, and closing quotation
    marks (datatrove: .?!"')."""
    fineweb_line_ends: str | None = None
    """The same for FineWeb's share of lines (datatrove: the full stops of all scripts, and no
    quotation marks)."""
    at_fineweb_limits: Literal["drop", "keep"] = "drop"
    """What becomes of a document exactly at one of FineWeb's limits on lines: the paper drops it,
    datatrove keeps it."""


PersonalDataKind = Literal[
    "email", "phone", "ip", "card", "iban", "national_id", "birth_date", "address", "person"
]
PersonalDataAction = Literal["mask", "remove", "reject", "mark"]


class PersonalDataRules(RuleGroup):
    """Personal data in what the other rules keep."""

    action: PersonalDataAction = "mask"
    """mask: [email-1] for every occurrence of one address; remove: cut out; reject: drop the
    document; mark: only record the places."""
    kinds: list[PersonalDataKind] = ["email", "phone", "ip", "card", "iban", "national_id"]
    """There are also address, birth_date (where it is called so) and person: names, by a tagger."""
    mask: str = "[{kind}-{number}]"
    """How a mask is written; equal values in a document have equal numbers. {KIND} gives capitals:
    <{KIND}_{number}>."""
    private_ip: bool = False
    """Addresses of private networks count too."""
    actions: dict[PersonalDataKind, PersonalDataAction] = Field(
        {}, json_schema_extra={"identity": "unless_default"}
    )
    """What is done with single kinds, where it is not `action`: {card: reject, person: mark}."""
    id_countries: list[str] = Field(
        ["us", "gb", "es", "fr"], json_schema_extra={"identity": "unless_default"}
    )
    """Countries whose national ids are looked for, by their two letters; `all` for all known."""
    min_score: float = Field(0.0, ge=0, le=1, json_schema_extra={"identity": "unless_default"})
    """What is found with less certainty is left alone; a right check digit is 1, a telephone number
    from its form alone 0.7, a name its probability."""
    scores: bool = Field(False, json_schema_extra={"identity": "unless_default"})
    """Record the certainty of each finding beside its place."""

    @field_validator("mask")
    @classmethod
    def _known_places(cls, mask: str) -> str:
        try:
            mask.format(kind="email", KIND="EMAIL", number=1)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError("may hold {kind}, {KIND} and {number}, and no other braces") from error
        return mask

    @field_validator("id_countries")
    @classmethod
    def _known_countries(cls, countries: list[str]) -> list[str]:
        unknown = sorted(set(countries) - {*COUNTRIES, "all"})
        if unknown:
            raise ValueError(f"no ids are known of {unknown}; of these: {', '.join(COUNTRIES)}")
        return countries
