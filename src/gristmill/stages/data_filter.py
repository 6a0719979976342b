"""`data filter`: addresses, language, rules on the text, word lists, personal data; one layer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    LanguageRules,
    PersonalDataRules,
    SpamRules,
    TermsRules,
    UrlRules,
    WordListRules,
)
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
    from gristmill.data.filters.blocklist import AddressRules
    from gristmill.data.filters.chain import Chain
    from gristmill.data.filters.corpus import PartVerdicts
    from gristmill.data.filters.terms import Terms

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
    gopher_repetition: GopherRepetitionRules = GopherRepetitionRules()
    gopher_quality: GopherQualityRules = GopherQualityRules()
    c4: C4Rules = C4Rules()
    fineweb: FineWebRules = FineWebRules()
    custom: list[str] = function_name([])
    """Your own filters, `package.module:function` or `file.py:function`: called with a document
    and its statistics, they return True to keep it, False or a reason to drop it."""
    personal_data: PersonalDataRules = PersonalDataRules()
    seconds_per_document: float = Field(5.0, gt=0)
    """A document that takes longer is put in quarantine (where there are functions of yours)."""
    memory_mb: int = local(512)
    """What a worker may use above its start."""


@stage(
    "data filter",
    version=1,
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
    "--gopher_quality.min_words 20",
)
def data_filter(config: FilterConfig, inputs: Inputs, output: Output) -> None:
    """Columns: detail (the number that decided), reasons_all, language, language_score, words,
    personal_data (JSON, places in the text before masking)."""
    from gristmill.data.documents import DocumentSet, write_layer
    from gristmill.data.filters.corpus import filter_documents

    documents = DocumentSet.open(inputs["documents"])
    chain = _chain(config, inputs)
    summary = _Summary()
    for part in filter_documents(
        documents,
        _addresses(config, inputs),
        chain,
        terms=_terms(config.terms),
        workers=output.execution.workers,
        seconds_per_document=config.seconds_per_document,
        memory_bytes=config.memory_mb << 20,
    ):
        own = part.verdicts.drop_columns(["keep", "reason", "text"])
        write_layer(
            output.path,
            part.name,
            documents.read_all(part.name, ["id"])["id"],
            part.rows,
            keep=part.verdicts["keep"].to_numpy(),
            reason=part.verdicts["reason"].to_pylist(),
            text=part.verdicts["text"].to_pylist(),
            own={name: own[name].combine_chunks() for name in own.column_names},
        )
        rejected = [
            {
                "where": part.documents["url"][failure.position].as_py(),
                "reason": failure.reason,
                "sample": part.documents["text"][failure.position].as_py()[:_SAMPLE_CHARACTERS],
            }
            for failure in part.failures
        ]
        output.reject("quarantine", rejected)
        summary.add(part)
    summary.present(output)


def _addresses(config: FilterConfig, inputs: Inputs) -> AddressRules:
    from gristmill.data.filters.blocklist import AddressRules, Blocklist
    from gristmill.data.filters.lexicon import read_word_list

    folders = [Path(path) for path in config.blocklists]
    web = inputs.get("web")
    if web is not None and (web.path / "blocklist").is_dir():
        folders.append(web.path / "blocklist")
    soft = read_word_list(Path(config.url_soft_words)) if config.url_soft_words else []
    if not config.urls.enabled:
        folders, soft = [], []
    return AddressRules(
        Blocklist.read(folders, config.urls.categories if folders else None),
        frozenset(word.lower() for word in soft),
        config.urls.soft_words_at_least,
    )


def _terms(rules: TermsRules) -> Terms:
    from gristmill.data.filters.terms import Terms
    from gristmill.data.licence_rules import check_patterns

    if not rules.enabled:
        return Terms()
    check_patterns([*rules.licences, *rules.licences_dropped], "data.filter.terms")
    return Terms(tuple(rules.licences), tuple(rules.licences_dropped), rules.opt_outs)


def _chain(config: FilterConfig, inputs: Inputs) -> Chain:
    from gristmill.core.extension import load_extension
    from gristmill.data.filters.chain import Chain, ChainRules
    from gristmill.data.filters.language import language_model_path
    from gristmill.data.filters.lexicon import read_word_list

    adult = [Path(path) for path in config.adult_words]
    web = inputs.get("web")
    if web is not None and (web.path / "words.txt").is_file():
        adult.append(web.path / "words.txt")
    for name in config.custom:
        load_extension(name)  # A wrong name is told before any work is done.
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
            personal_data=config.personal_data,
            custom=tuple(config.custom),
            adult_words=tuple(word for path in adult for word in read_word_list(path)),
            toxic_words=tuple(w for path in config.toxic_words for w in read_word_list(Path(path))),
            language_model=language_model_path(config.language_wheel)
            if config.language.enabled
            else None,
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

        verdicts = part.verdicts.select(
            ["keep", "reason", "detail", "language", "words", "personal_data"]
        ).to_pylist()
        self.failed += len(part.failures)
        if part.failures and not self.first_failure:
            self.first_failure = part.failures[0].reason
        for row, verdict in enumerate(verdicts):
            words = verdict["words"] or 0
            self.documents += 1
            self.words += words
            self.languages[verdict["language"] or "not told"] += 1
            if verdict["keep"]:
                self._share(part, row)
                self.kept += 1
                self.words_kept += words
            else:
                self._dropped(part, row, verdict, words)
            for span in json.loads(verdict["personal_data"] or "[]"):
                self.personal[span["kind"]] += 1

    def _share(self, part: PartVerdicts, row: int) -> None:
        stated = part.stated
        source, licence, opt_out = (column[row] for column in stated)
        self.shares.add(source, licence, opt_out, len(part.documents["text"][row].as_py()))

    def _dropped(self, part: PartVerdicts, row: int, verdict: dict[str, Any], words: int) -> None:
        reason = verdict["reason"]
        self.reasons[reason] += 1
        self.reason_words[reason] += words
        shown = self.samples.setdefault(reason, [])
        if len(shown) < _SAMPLES_PER_REASON:
            shown.append(
                {
                    "reason": reason,
                    "detail": verdict["detail"] or "",
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
                "A document counts under its first reason; the layer's column reasons_all has all.",
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
