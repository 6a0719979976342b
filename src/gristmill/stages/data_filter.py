"""`data filter`: addresses, language, rules on the text, word lists, personal data; one layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    CountingRules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    LanguageRules,
    OutlierRules,
    PersonalDataRules,
    SpamRules,
    TermsRules,
    TextUse,
    UrlRules,
    WordListRules,
)
from gristmill.stages.filter_lists import (
    OwnLanguage,
    OwnLists,
    TrainedModels,
    Training,
    address_rules,
    own_language_model,
    present_lists,
    uses_of,
)
from gristmill.stages.filter_scores import Scores, present_languages, present_training
from gristmill.stages.filter_summary import FilterSummary
from gristmill.stages.stage import (
    Inputs,
    Output,
    Slot,
    StageConfig,
    content_of,
    function_name,
    later,
    local,
    stage,
)

if TYPE_CHECKING:
    from gristmill.data.filters.chain import Chain
    from gristmill.data.filters.corpus import PartVerdicts
    from gristmill.data.filters.outliers import CorpusShape
    from gristmill.data.filters.terms import Terms
    from gristmill.data.filters.uses import Uses


class FilterConfig(StageConfig):
    """Which documents are kept. Each group of rules is described with its thresholds."""

    urls: UrlRules = UrlRules()
    terms: TermsRules = later(TermsRules())
    blocklists: list[str] = content_of([])
    """Folders of blocklists in the UT1 format (CATEGORY/domains)."""
    url_soft_words: str | None = content_of(None)
    """A file of words of which several in one address are a reason to drop it."""
    lists: OwnLists = later(OwnLists())
    language: LanguageRules = LanguageRules()
    own_language: OwnLanguage = later(OwnLanguage())
    language_wheel: str | None = local(None)
    """The wheel with the language model, where the registry cannot be reached; its content is
    pinned, so it does not matter where it comes from."""
    boilerplate: BoilerplateRules = BoilerplateRules()
    spam: SpamRules = SpamRules()
    adult: WordListRules = WordListRules()
    adult_words: list[str] = content_of([])
    """Files with one word or phrase a line."""
    toxic: WordListRules = WordListRules()
    toxic_words: list[str] = content_of([])
    """Files with one word or phrase a line."""
    train: Training = later(Training())
    trained: TrainedModels = later(TrainedModels())
    adult_use: TextUse = later(TextUse())
    toxic_use: TextUse = later(TextUse())
    gopher_repetition: GopherRepetitionRules = GopherRepetitionRules()
    gopher_quality: GopherQualityRules = GopherQualityRules()
    c4: C4Rules = C4Rules()
    fineweb: FineWebRules = FineWebRules()
    counting: CountingRules = later(CountingRules())
    outliers: OutlierRules = later(OutlierRules())
    statistics: bool = later(True)
    """Store the number that each threshold judges, so that `data inspect --near` and a change of
    the threshold need no second look at the texts."""
    custom: list[str] = function_name([])
    """Your own filters, `package.module:function` or `file.py:function`: called with a document
    and its statistics, they return True to keep it, False or a reason to drop it; or with a whole
    batch of both, see `gristmill.data.filters.custom`."""
    personal_data: PersonalDataRules = PersonalDataRules()
    seconds_per_document: float = Field(5.0, gt=0)
    """A document that takes longer is put in quarantine (where there are functions of yours)."""
    memory_mb: int = local(512)
    """What a worker may use above its start."""


@stage(
    "data filter",
    version=4,
    kind="layer",
    config=FilterConfig,
    inputs={
        "documents": Slot("layer", "documents", help="documents, or a step after them"),
        "web": Slot(
            "web", optional=True, help="a sample web: its blocklist and word list are used as well"
        ),
    },
    summary="drop by language, blocklists, heuristics and adult text; mask personal data",
    example="gristmill data filter --documents runs/mine/artifacts/data.extract-1a2b "
    "--gopher_quality.min_words 20\n"
    "gristmill data filter --train.adult labelled.jsonl --adult_use.drop 0.9 --adult_use.lower 0.5",
)
def data_filter(config: FilterConfig, inputs: Inputs, output: Output) -> None:
    """Columns: detail (the number that decided), reasons_all, language, language_score, words,
    personal_data (JSON, places in the text before masking), and the number under each threshold as
    GROUP_NAME (`gristmill.data.filters.thresholds`). With a classifier of adult or toxic
    text: adult_score, toxic_score, marks, weight; its file is NAME.safetensors. A language model
    of one's own is language.safetensors."""
    from gristmill.data.documents import DocumentSet
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.filters.corpus import filter_documents
    from gristmill.data.journal import PartJournal

    journal = PartJournal(output.run.path, "filter")
    summary, scores = FilterSummary(), Scores()
    addresses = address_rules(
        config.urls, config.blocklists, config.url_soft_words, config.lists, inputs
    )
    use = {"adult": config.adult_use, "toxic": config.toxic_use}
    uses, trained = uses_of(config.train, config.trained, use, output)
    if config.own_language.given and not config.language.enabled:
        raise GristmillError(
            "there is a language model, and languages are not told",
            where="--own_language, --language.enabled",
            mend="leave one of them out",
        )
    own_language, languages = own_language_model(config.own_language, output)
    for told in filter_documents(
        DocumentSet.open(inputs["documents"]),
        addresses,
        _chain(config, inputs, uses, own_language),
        tell=tell_part,
        engine=engine_of(*output.execution.engine_settings),
        journal=journal,
        earlier=_earlier(config, inputs, output),
        terms=_terms(config.terms),
        seconds_per_document=config.seconds_per_document,
        memory_bytes=config.memory_mb << 20,
    ):
        summary.take_up(told)
        scores.take_up(told["scores"])
    journal.hand_over(output.path)
    summary.present(output)
    present_lists(addresses.blocklist, config.lists, output)
    for name, reached in trained.items():
        present_training(name, reached, output)
    scores.present(use, output)
    if languages is not None:
        present_languages(languages, output)


def _earlier(config: FilterConfig, inputs: Inputs, output: Output) -> Path | None:
    """An artifact of this stage over the same documents whose languages need not be told again: a
    threshold that changes costs no second look at the texts."""
    if not config.language.enabled or config.own_language.given:
        return None
    documents = inputs["documents"].content
    for path in sorted(output.path.parent.glob(f"{data_filter.name}-*")):
        try:
            found = Artifact.open(path)
            same = [ref.content for ref in found.manifest.inputs["documents"]] == [documents]
            if (
                same
                and found.manifest.stage_version == data_filter.version
                and found.manifest.config["language"]["enabled"]
                and not (found.path / "language.safetensors").exists()
            ):
                found.verify()
                return found.path.resolve()
        except GristmillError:
            continue  # damaged: whoever needs it is told; it is not needed here
    return None


def tell_part(part: PartVerdicts) -> dict[str, Any]:
    """What a part adds to the summary; called where the part was judged."""
    summary, scores = FilterSummary(), Scores()
    summary.add(part)
    scores.add(part)
    return {**summary.to_json(), "scores": scores.to_json()}


def _terms(rules: TermsRules) -> Terms:
    from gristmill.data.filters.terms import Terms
    from gristmill.data.licence_rules import check_patterns

    if not rules.enabled:
        return Terms()
    check_patterns([*rules.licences, *rules.licences_dropped], "data.filter.terms")
    return Terms(tuple(rules.licences), tuple(rules.licences_dropped), rules.opt_outs)


def _corpus(config: FilterConfig, inputs: Inputs) -> CorpusShape | None:
    """What documents are compared with as outliers: all that earlier steps kept."""
    if not config.outliers.enabled:
        return None
    from gristmill.data.documents import DocumentSet
    from gristmill.data.filters.outliers import CorpusShape

    documents = DocumentSet.open(inputs["documents"])
    return CorpusShape.of(table["text"] for _, table in documents.tables(["text"]))


def _chain(config: FilterConfig, inputs: Inputs, uses: Uses, own_language: Path | None) -> Chain:
    from gristmill.core.extension import load_extension
    from gristmill.data.filters.chain import Chain, ChainRules
    from gristmill.data.filters.language import check_languages, language_model_path
    from gristmill.data.filters.lexicon import read_word_list

    adult = [Path(path) for path in config.adult_words]
    web = inputs.get("web")
    if web is not None and (web.path / "words.txt").is_file():
        adult.append(web.path / "words.txt")
    for name in config.custom:
        load_extension(name)  # A wrong name is told before any work is done.
    language_model = None
    if config.language.enabled:
        language_model = own_language or language_model_path(config.language_wheel)
        check_languages(config.language.keep, language_model)
    return Chain(
        ChainRules(
            language=config.language,
            boilerplate=config.boilerplate,
            spam=config.spam,
            adult=config.adult,
            toxic=config.toxic,
            gopher_quality=config.gopher_quality,
            gopher_repetition=config.gopher_repetition,
            c4=config.c4,
            fineweb=config.fineweb,
            counting=config.counting,
            outliers=config.outliers,
            corpus=_corpus(config, inputs),
            statistics=config.statistics,
            personal_data=config.personal_data,
            custom=tuple(config.custom),
            adult_words=tuple(word for path in adult for word in read_word_list(path)),
            toxic_words=tuple(w for path in config.toxic_words for w in read_word_list(Path(path))),
            uses=uses,
            language_model=language_model,
        )
    )
