"""`align synthesize`: chats from the articles of a mixture, or documents written from them.

The chats are made here, by rules; the documents in `synthesized_documents.py`, by a generator.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from gristmill.core.figure import Figure, Samples, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, later, stage
from gristmill.stages.synthesized_documents import DocumentsConfig

if TYPE_CHECKING:
    from gristmill.align.chats import Chat

SPLITS = ("train", "prompts", "heldout", "unseen")


class KindsConfig(StageConfig):
    """How often each kind of question is asked, relative to the others; 0 for never."""

    description: float = Field(4.0, ge=0)
    """Who or what is X?"""
    topic: float = Field(2.0, ge=0)
    """Which field does X belong to?"""
    summary: float = Field(2.0, ge=0)
    """Tell me about X."""
    title: float = Field(1.0, ge=0)
    """Give a title for this text."""
    field: float = Field(1.0, ge=0)
    """Which field is this text about?"""


class SynthesizeConfig(StageConfig):
    """Which questions, how many, and how they are split; or which documents."""

    kind: Literal["chats", "documents"] = later("chats")
    """chats: questions and answers from articles, to learn to answer; documents: texts that a
    generator writes from seed documents, to pre-train on."""
    kinds: KindsConfig = KindsConfig()
    per_article: int = Field(2, ge=1, le=5)
    """Kinds drawn for each article; those that it cannot answer fall away."""
    heldout: int = Field(300, ge=0)
    """Questions about articles that pre-training read and nothing is trained on; at most a fifth
    of the articles."""
    prompts: float = Field(0.25, ge=0, lt=1)
    """Share of the other articles that is kept for preferences and PPO."""
    unknown: float = Field(0.06, ge=0, lt=0.5)
    """Share of questions that are answered with "I do not know X.": about articles that were never
    read, and names that nobody bears."""
    most_train: int | None = Field(None, ge=1)
    """At most so many training chats from read articles."""
    most_prompts: int | None = Field(None, ge=1)
    """At most so many prompts from read articles."""
    ignore_topics: tuple[str, ...] = ("Uncategorized", "Uncategorised", "Other", "Misc")
    """Topics that say nothing: nobody asks for them."""
    people: tuple[str, ...] = ("People",)
    """Topics (or domains) of articles about people: who, not what."""
    characters: int = Field(240, ge=20)
    """Longest answer."""
    read_characters: int = Field(400, ge=60)
    """Longest text in a question; it must leave room in the model's context."""
    style: Literal["sentence", "short"] = "sentence"
    """`sentence`: "Troy was an ancient city."; `short`: "Ancient city.", for models too small
    to copy the name that they are asked about."""
    files: tuple[str, ...] = content_of(())
    """Chats of one's own, JSON Lines: {"messages": [{"role": "user", "content": ...}, ...]}. By a
    hash of their group (or question) some go to prompts, one in twenty to heldout, the rest to
    train. Several files: [a.jsonl, b.jsonl]."""
    documents: DocumentsConfig = later(DocumentsConfig())

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.kind == "chats" and self.documents != DocumentsConfig():
            raise ValueError("'documents' is for --kind documents")
        if self.kind == "documents" and self.files:
            raise ValueError("'files' holds chats; it is not for --kind documents")
        return self


@stage(
    "align synthesize",
    version=1,
    kind="chats",
    config=SynthesizeConfig,
    inputs={
        "mixture": Slot(
            "mixture",
            optional=True,
            unless="files",
            help="the articles; with --files only where it is named",
        ),
        "generator": Slot(
            "model", optional=True, named=True, help="a model that writes the documents"
        ),
    },
    summary="make chats from articles, or have a generator write documents",
    example="gristmill align synthesize --mixture FOLDER --heldout 300\n"
    "gristmill align synthesize --kind documents --mixture FOLDER "
    "--documents.endpoint http://127.0.0.1:8000/v1 --documents.endpoint_model NAME",
    seeded=True,
    kind_setting="kind",
)
def align_synthesize(config: SynthesizeConfig, inputs: Inputs, output: Output) -> None:
    """train.jsonl (SFT), prompts.jsonl (preferences, PPO), heldout.jsonl (read in pre-training, in
    neither), unseen.jsonl (never read). Figures: `chats.SPLIT`.

    With --kind documents: documents/ and synthetic/, how each was made, beside it."""
    if config.kind == "documents":
        from gristmill.stages.synthesized_documents import write_documents

        write_documents(config.documents, inputs, output)
        return
    from gristmill.align.chats import read_chats, write_records
    from gristmill.align.synthesize import Choices, add_own, synthesize
    from gristmill.core.errors import GristmillError

    mixture = inputs.get("mixture")
    if inputs.get("generator") is not None:
        raise GristmillError(
            "chats are made by rules, without a generator", mend="say --kind documents"
        )
    if mixture is None and not config.files:
        raise GristmillError(
            "nothing to make chats from", mend="give --mixture FOLDER, or --files [CHATS.jsonl]"
        )
    choices = Choices(
        kinds=config.kinds.model_dump(),
        **{
            name: getattr(config, name)
            for name in SynthesizeConfig.model_fields
            if name not in ("kind", "kinds", "files", "documents")
        },
    )
    splits: dict[str, list[Chat]] = {name: [] for name in SPLITS}
    if mixture is not None:
        made = synthesize(mixture.path, choices, output.seed)
        splits = made.splits
        output.reject("articles", made.rejects)
        output.counts["left_out"] = made.left_out.total()
        for reason, count in sorted(made.left_out.items()):
            output.notes.append(f"Left out: {count} times {reason}.")
    refused: list[dict[str, str]] = []
    for path in config.files:
        own, rejects = read_chats(path)
        refused += rejects
        output.counts["own"] = output.counts.get("own", 0) + len(own)
        output.counts["own_rejected"] = output.counts.get("own_rejected", 0) + len(rejects)
        output.reject("files", rejects)
        add_own(splits, own, choices, output.seed)
    if not splits["train"]:
        raise GristmillError(
            "no chat to train on" + (f": {refused[0]['reason']}" if refused else ""),
            where=refused[0]["where"] if refused else (config.files or (None,))[0],
            mend='write {"messages": [{"role": "user", "content": ...}, ...]} on each line, '
            "with an answer last; a share of the chats is held out, so give several",
        )
    for name in SPLITS:
        output.counts[name] = write_records(output.path / f"{name}.jsonl", splits[name])
        output.figures[f"chats.{name}"] = Figure(len(splits[name]))
    output.tables.append(_table(splits))
    output.samples.append(_samples(splits["train"]))


def _table(splits: dict[str, list[Chat]]) -> Table:
    counts = {name: Counter(chat.kind or "own" for chat in splits[name]) for name in SPLITS}
    kinds = sorted({kind for found in counts.values() for kind in found})
    rows = [[kind, *(counts[name][kind] for name in SPLITS)] for kind in kinds]
    rows.append(["all", *(len(splits[name]) for name in SPLITS)])
    note = (
        "train: SFT. prompts: preferences and PPO. heldout: articles that pre-training read, in "
        "neither. unseen: articles that it never read."
    )
    return Table("Chats by kind and split", ["kind", *SPLITS], rows, note)


def _samples(chats: list[Chat], each: int = 4) -> Samples:
    rows = []
    for kind in sorted({chat.kind for chat in chats}):
        for chat in [c for c in chats if c.kind == kind][:each]:
            question, answer = chat.prompt[-1].content, chat.messages[-1].content
            rows.append({"kind": kind or "own", "question": question, "answer": answer})
    return Samples("Chats to learn from", rows)
