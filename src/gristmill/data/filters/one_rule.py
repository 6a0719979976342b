"""One rule asked of texts again, where no layer has stored what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.data.documents import DocumentSet
from gristmill.data.filters import rules
from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.language import language_model_path
from gristmill.data.filters.lexicon import read_word_list
from gristmill.data.filters.outliers import CorpusShape
from gristmill.data.filters.thresholds import Threshold


def chain_of(
    threshold: Threshold, config: Mapping[str, Any], documents: DocumentSet, limit: float
) -> Chain:
    """The chain with the rule's group alone, as configured but for this limit; it stores numbers.

    config: of `data filter`, or nothing for the defaults. documents: what outliers are compared
    with. Raises GristmillError where a list of words is needed and none is known.
    """
    group, _, name = threshold.rule.partition(".")
    off = {
        one: {"enabled": False}
        for one in ("language", "boilerplate", "spam", "adult", "toxic", "gopher_quality",
                    "gopher_repetition", "c4", "fineweb", "personal_data")
    }  # fmt: skip
    # C4's checks count what its lines leave; a limit that is off has no number.
    settings = {**off, group: {**(config.get(group) or {}), "enabled": True, name: limit}}
    if group == "outliers":
        shape = CorpusShape.of(table["text"] for _, table in documents.tables(["text"]))
    else:
        shape = None
        settings["outliers"] = {"enabled": False}
    words: list[str] = []
    if group in ("adult", "toxic"):
        for path in config.get(f"{group}_words") or []:
            if Path(path).is_file():
                words += read_word_list(Path(path))
        if not words:
            raise GristmillError(
                f"no list of {group} words is known here",
                where=f"--near {threshold.rule}",
                mend=f"run data filter with {group}_words, which stores the numbers",
            )
    counting = rules.CountingRules.model_validate(config.get("counting") or {})
    language = rules.LanguageRules.model_validate(settings["language"])
    return Chain(
        ChainRules(
            language=language,
            boilerplate=rules.BoilerplateRules.model_validate(settings["boilerplate"]),
            spam=rules.SpamRules.model_validate(settings["spam"]),
            adult=rules.WordListRules.model_validate(settings["adult"]),
            toxic=rules.WordListRules.model_validate(settings["toxic"]),
            gopher_quality=rules.GopherQualityRules.model_validate(settings["gopher_quality"]),
            gopher_repetition=rules.GopherRepetitionRules.model_validate(
                settings["gopher_repetition"]
            ),
            c4=rules.C4Rules.model_validate(settings["c4"]),
            fineweb=rules.FineWebRules.model_validate(settings["fineweb"]),
            outliers=rules.OutlierRules.model_validate(settings["outliers"]),
            personal_data=rules.PersonalDataRules(enabled=False),
            counting=counting,
            corpus=shape,
            statistics=True,
            adult_words=tuple(words) if group == "adult" else (),
            toxic_words=tuple(words) if group == "toxic" else (),
            language_model=language_model_path() if group == "language" else None,
        )
    )
