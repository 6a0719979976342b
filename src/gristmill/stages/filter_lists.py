"""What `data filter` is given beside thresholds: lists of hosts and words, labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Table
from gristmill.stages.stage import Inputs, Output, StageConfig, content_of

if TYPE_CHECKING:
    from gristmill.data.filters.blocklist import AddressRules, Blocklist
    from gristmill.data.filters.lists import ListFile
    from gristmill.data.filters.own_language import TrainedLanguages
    from gristmill.data.filters.rules import UrlRules
    from gristmill.data.filters.trained import Trained
    from gristmill.data.filters.uses import Uses

NAMES = ("adult", "toxic")


class OwnLists(StageConfig):
    """A user's own lists, beside blocklists in the UT1 format."""

    hosts: list[str] = content_of([])
    """Your files of hosts: one a line, a hosts file, or plain ||host^ rules."""
    hard_words: str | None = content_of(None)
    """A file of words of which one in an address is a reason to drop it."""
    allowed: list[str] = []
    """Hosts that no list blocks, unless it names one below them."""
    expressions: bool = False
    """Follow the `expressions` of UT1 categories too; they are coarse."""


class Training(StageConfig):
    """A classifier of adult or toxic text, trained on labelled texts of yours."""

    adult: str | None = content_of(None)
    """A JSONL file of {"text", "label"}: true, 1 or "adult" against false, 0 or "clean"."""
    toxic: str | None = content_of(None)
    """The same for toxic text."""
    text: str = "text"
    """The field that holds the text."""
    label: str = "label"
    """The field that holds the label."""
    positive: list[str] = []
    """The labels that mean yes, where they are other words; all others mean no."""
    base_rate: float | None = Field(None, gt=0.0, lt=1.0)
    """The share of such pages in your corpus, where the file is mixed otherwise."""
    bits: int = Field(18, ge=8, le=24)
    """The classifier has 2^bits weights for hashed n-grams."""
    ngrams: int = Field(2, ge=1, le=5)
    """It counts words, and runs of up to so many."""
    epochs: int = Field(5, ge=1, le=100)
    """Passes over the labelled texts."""
    folds: int = Field(5, ge=2, le=20)
    """Each text is judged by a classifier that saw the others' folds only."""


class TrainedModels(StageConfig):
    """Classifiers made before, by `data filter --train...`."""

    adult: str | None = content_of(None)
    """A classifier made before: its adult.safetensors, or the layer's folder."""
    toxic: str | None = content_of(None)
    """The same for toxic text."""


class OwnLanguage(StageConfig):
    """A language model of your own, in place of lid.176."""

    train: str | None = content_of(None)
    """A JSONL file of {"text", "label"}: the label is a language's code, at least 20 texts of
    each."""
    trained: str | None = content_of(None)
    """A model made before: its language.safetensors, or the layer's folder."""
    text: str = "text"
    """The field that holds the text."""
    label: str = "label"
    """The field that holds the language."""
    bits: int = Field(18, ge=8, le=24)
    """The model has 2^bits rows of weights for hashed runs of characters."""
    ngrams: int = Field(4, ge=1, le=8)
    """Runs of 1 to so many characters."""
    epochs: int = Field(5, ge=1, le=100)
    """Passes over the labelled texts."""
    folds: int = Field(5, ge=2, le=20)
    """Each text is judged by a model that saw the others' folds only."""

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self.train is not None or self.trained is not None


def address_rules(
    rules: UrlRules, blocklists: list[str], soft_words: str | None, own: OwnLists, inputs: Inputs
) -> AddressRules:
    """The lists that count, read."""
    from gristmill.data.filters.blocklist import AddressRules, Blocklist
    from gristmill.data.filters.lexicon import read_word_list

    folders = [Path(path) for path in blocklists]
    web = inputs.get("web")
    if web is not None and (web.path / "blocklist").is_dir():
        folders.append(web.path / "blocklist")
    if not rules.enabled:
        return AddressRules(Blocklist())

    def words(path: str | None) -> frozenset[str]:
        return frozenset(w.lower() for w in read_word_list(Path(path))) if path else frozenset()

    blocklist = Blocklist.read(
        folders,
        rules.categories if folders else None,
        own=[Path(path) for path in own.hosts],
        allowed=own.allowed,
        expressions=own.expressions,
    )
    return AddressRules(
        blocklist, words(soft_words), rules.soft_words_at_least, words(own.hard_words)
    )


def present_lists(blocklist: Blocklist, own: OwnLists, output: Output) -> None:
    """What was read of which list, where there are a user's own or lines that are none."""
    bad = sum(file.bad for file in blocklist.files)
    if not bad and not own.hosts:
        return
    output.counts["bad_list_lines"] = bad
    output.tables.append(
        Table(
            "Lists of hosts",
            ("list", "file", "entries", "bad lines"),
            [(file.name, file.path.name, file.entries, file.bad) for file in blocklist.files],
            f"{blocklist.hosts.nbytes + blocklist.addresses.nbytes:,} bytes in memory. Bad lines "
            "are in rejects/lists.jsonl, the first of each file; the others of the list hold.",
        )
    )
    output.reject("lists", [row for file in blocklist.files for row in _rejected(file)])


def _rejected(file: ListFile) -> list[dict[str, Any]]:
    return [
        {"where": f"{file.name}/{file.path.name}:{line['line']}", **line} for line in file.shown
    ]


def uses_of(
    train: Training, models: TrainedModels, by_name: dict[str, Any], output: Output
) -> tuple[Uses, dict[str, Trained]]:
    """The classifiers, trained or taken, as files of the artifact; what training reached.

    Raises GristmillError where one is both to be trained and given.
    """
    from gristmill.data.filters.uses import Uses

    files: dict[str, Path] = {}
    trained: dict[str, Trained] = {}
    for name in NAMES:
        labelled, given = getattr(train, name), getattr(models, name)
        if labelled and given:
            raise GristmillError(
                f"a classifier of {name} text is both to be trained and given",
                where=f"--train.{name}, --trained.{name}",
            )
        target = output.path / f"{name}.safetensors"
        if labelled:
            trained[name] = _train(Path(labelled), name, train, output)
            trained[name].classifier.save(target)
            files[name] = target
        elif given:
            from gristmill.data.filters.trained import TextClassifier, model_file

            source = model_file(Path(given), name)
            TextClassifier.load(source)  # What is wrong is told of the file that was given.
            # Kept with the layer that it decided, byte for byte.
            target.write_bytes(source.read_bytes())
            files[name] = target
    return Uses(files, by_name), trained


def own_language_model(
    own: OwnLanguage, output: Output
) -> tuple[Path | None, TrainedLanguages | None]:
    """The model, trained or taken, as a file of the artifact; what training reached.

    Raises GristmillError where one is both to be trained and given.
    """
    from gristmill.data.filters.labelled import read_named
    from gristmill.data.filters.own_language import FILE, OwnLanguageModel, train_language_model
    from gristmill.data.filters.trained import model_file

    if own.train and own.trained:
        raise GristmillError(
            "a language model is both to be trained and given",
            where="--own_language.train, --own_language.trained",
        )
    target = output.path / FILE
    if own.train:
        named = read_named(Path(own.train), text_field=own.text, label_field=own.label)
        output.counts["language_labelled"] = len(named.texts)
        if named.bad:
            output.counts["language_labelled_bad"] = named.bad
            where = named.path.name
            rows = [{"where": f"{where}:{line['line']}", **line} for line in named.shown]
            output.reject("train-language", rows)
        trained = train_language_model(
            named, bits=own.bits, ngrams=own.ngrams, epochs=own.epochs, fold_count=own.folds
        )
        trained.model.save(target)
        return target, trained
    if own.trained:
        source = model_file(Path(own.trained), "language")
        OwnLanguageModel.load(source)  # What is wrong is told of the file that was given.
        target.write_bytes(source.read_bytes())
        return target, None
    return None, None


def _train(path: Path, name: str, train: Training, output: Output) -> Trained:
    from gristmill.data.filters.labelled import read_labelled
    from gristmill.data.filters.trained import train_text_classifier

    labelled = read_labelled(
        path, name, text_field=train.text, label_field=train.label, positive=train.positive
    )
    output.counts[f"{name}_labelled"] = len(labelled.texts)
    if labelled.bad:
        output.counts[f"{name}_labelled_bad"] = labelled.bad
        output.reject(
            f"train-{name}",
            [{"where": f"{path.name}:{line['line']}", **line} for line in labelled.shown],
        )
    return train_text_classifier(
        labelled,
        name,
        bits=train.bits,
        ngrams=train.ngrams,
        epochs=train.epochs,
        folds=train.folds,
        base_rate=train.base_rate,
    )
