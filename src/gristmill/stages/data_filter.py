"""`data filter`: addresses, language, rules on the text, word lists, personal data; one layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Samples, Series, Table
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
    OwnLists,
    TrainedModels,
    Training,
    address_rules,
    present_lists,
    uses_of,
)
from gristmill.stages.filter_scores import Scores, present_training
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

_SAMPLES_PER_REASON = 2
_SAMPLE_CHARACTERS = 300


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
    version=2,
    kind="layer",
    config=FilterConfig,
    inputs={
        "documents": Slot("layer", "documents", help="documents, or a step after them"),
        "web": Slot(
            "web", optional=True, help="a sample web: its blocklist and word list are used as well"
        ),
    },
    summary="language, blocklists, heuristics, adult text, personal data",
    example="gristmill data filter --documents runs/mine/artifacts/data.extract-1a2b "
    "--gopher_quality.min_words 20\n"
    "gristmill data filter --train.adult labelled.jsonl --adult_use.drop 0.9 --adult_use.lower 0.5",
)
def data_filter(config: FilterConfig, inputs: Inputs, output: Output) -> None:
    """Columns: detail (the number that decided), reasons_all, language, language_score, words,
    personal_data (JSON, places in the text before masking), and the number under each threshold as
    GROUP_NAME (`gristmill.data.filters.thresholds`). With a classifier of adult or toxic
    text: adult_score, toxic_score, marks, weight; its file is NAME.safetensors."""
    from gristmill.data.documents import DocumentSet
    from gristmill.data.engine.steps import engine_of
    from gristmill.data.filters.corpus import filter_documents
    from gristmill.data.journal import PartJournal

    journal = PartJournal(output.run.path, "filter")
    summary, scores = _Summary(), Scores()
    addresses = address_rules(
        config.urls, config.blocklists, config.url_soft_words, config.lists, inputs
    )
    use = {"adult": config.adult_use, "toxic": config.toxic_use}
    uses, trained = uses_of(config.train, config.trained, use, output)
    for told in filter_documents(
        DocumentSet.open(inputs["documents"]),
        addresses,
        _chain(config, inputs, uses),
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


def _earlier(config: FilterConfig, inputs: Inputs, output: Output) -> Path | None:
    """An artifact of this stage over the same documents whose languages need not be told again: a
    threshold that changes costs no second look at the texts."""
    if not config.language.enabled:
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
            ):
                found.verify()
                return found.path.resolve()
        except GristmillError:
            continue  # damaged: whoever needs it is told; it is not needed here
    return None


def tell_part(part: PartVerdicts) -> dict[str, Any]:
    """What a part adds to the summary; called where the part was judged."""
    summary, scores = _Summary(), Scores()
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


def _chain(config: FilterConfig, inputs: Inputs, uses: Uses) -> Chain:
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
        language_model = language_model_path(config.language_wheel)
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


class _Summary:
    """Counts and samples of all parts, for the manifest and the report."""

    def __init__(self) -> None:
        from gristmill.data.sources.shares import Shares

        self.documents = self.kept = self.words = self.words_kept = self.failed = 0
        self.reasons: Counter[str] = Counter()
        self.reason_words: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.personal: Counter[str] = Counter()
        self.samples: dict[str, list[dict[str, str]]] = {}
        self.first_failure = ""
        self.shares = Shares()

    def add(self, part: PartVerdicts) -> None:
        import json

        import pyarrow.compute as pc

        keep = part.verdicts["keep"].to_numpy()
        words = pc.fill_null(part.verdicts["words"], 0).to_numpy()
        self.failed += len(part.failures)
        if part.failures and not self.first_failure:
            self.first_failure = part.failures[0].reason
        self.documents += len(keep)
        self.kept += int(keep.sum())
        self.words += int(words.sum())
        self.words_kept += int(words[keep].sum())
        told = pc.fill_null(part.verdicts["language"], "not told")
        for entry in pc.value_counts(told).to_pylist():
            self.languages[entry["values"]] += entry["counts"]
        for found in part.verdicts["personal_data"].drop_null().to_pylist():
            self.personal.update(span["kind"] for span in json.loads(found))
        for row in (~keep).nonzero()[0].tolist():
            self._dropped(part, row, int(words[row]))
        self._share(part, keep)

    def to_json(self) -> dict[str, Any]:
        """For a journal and between processes; `take_up` adds it."""
        return {**vars(self), "shares": self.shares.to_json()}

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Adds what another summary counted, of the parts that come next."""
        for name in ("documents", "kept", "words", "words_kept", "failed"):
            setattr(self, name, getattr(self, name) + told[name])
        for name in ("reasons", "reason_words", "languages", "personal"):
            getattr(self, name).update(told[name])
        for reason, samples in told["samples"].items():
            shown = self.samples.setdefault(reason, [])
            shown += samples[: _SAMPLES_PER_REASON - len(shown)]
        self.first_failure = self.first_failure or told["first_failure"]
        self.shares.take_up(told["shares"])

    def _share(self, part: PartVerdicts, keep: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        names = ("source", "licence", "opt-out")
        stated = {
            name: pa.array(column, pa.string())
            for name, column in zip(names, part.stated, strict=True)
        }
        lengths = pc.utf8_length(part.documents["text"])
        kept = pa.table({**stated, "characters": lengths}).filter(pa.array(keep))
        groups = kept.group_by(list(names), use_threads=False)
        for group in groups.aggregate([("characters", "count"), ("characters", "sum")]).to_pylist():
            counts = [group["characters_count"], group["characters_sum"]]
            self.shares.take_up({name: {group[name] or "": counts} for name in names})

    def _dropped(self, part: PartVerdicts, row: int, words: int) -> None:
        reason = part.verdicts["reason"][row].as_py()
        self.reasons[reason] += 1
        self.reason_words[reason] += words
        shown = self.samples.setdefault(reason, [])
        if len(shown) < _SAMPLES_PER_REASON:
            shown.append(
                {
                    "reason": reason,
                    "detail": part.verdicts["detail"][row].as_py() or "",
                    "url": part.documents["url"][row].as_py(),
                    "text": part.documents["text"][row].as_py()[:_SAMPLE_CHARACTERS],
                }
            )

    def present(self, output: Output) -> None:
        if self.failed > self.kept:
            raise GristmillError(
                f"{self.failed} of {self.documents} documents could not be processed, "
                f"the first with: {self.first_failure}",
                where="data.filter.custom",
                mend="most likely your own filter raises it",
            )
        total = max(1, self.documents)
        by_size = sorted(self.reasons, key=lambda name: (-self.reasons[name], name))
        groups: Counter[str] = Counter()
        for reason in by_size:
            groups[reason.partition(".")[0]] += self.reasons[reason]
        output.counts.update(
            documents=self.documents,
            kept=self.kept,
            dropped=self.documents - self.kept,
            words=self.words,
            words_kept=self.words_kept,
            quarantined=self.failed,
            **{f"dropped_{group}": count for group, count in sorted(groups.items())},
            **{f"personal_data_{kind}": count for kind, count in sorted(self.personal.items())},
        )
        output.figures["filter.kept"] = Figure(self.kept / total, n=self.documents)
        output.tables.append(
            Table(
                "Filters",
                ("reason", "documents", "share", "words"),
                [("kept", self.kept, self.kept / total, self.words_kept)]
                + [
                    (name, self.reasons[name], self.reasons[name] / total, self.reason_words[name])
                    for name in by_size
                ],
                "A document counts under its first reason; the layer's column reasons_all has all. "
                "What its address or licence drops is not read, and its words are not counted.",
            )
        )
        output.tables.append(
            Table("Languages", ("language", "documents"), self.languages.most_common(20))
        )
        if self.personal:
            output.tables.append(
                Table(
                    "Personal data in kept documents",
                    ("kind", "found"),
                    sorted(self.personal.items()),
                )
            )
        output.charts.append(_bars(groups))
        self.shares.present(output, "filter")
        rows = [sample for name in by_size for sample in self.samples[name]]
        output.samples.append(Samples("Dropped by the filters", rows))


def _bars(groups: Counter[str]) -> Chart:
    named = groups.most_common()
    return Chart(
        "Documents dropped, by group of rules",
        "rules",
        "documents",
        [Series("dropped", list(range(len(named))), [float(count) for _, count in named])],
        style="bar",
        categories=tuple(name for name, _ in named),
    )
