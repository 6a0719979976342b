"""`train sft`: teaches a language model to answer, from chats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.figure import Figure
from gristmill.stages.stage import Inputs, Output, Slot, local, stage
from gristmill.stages.tuning import TuningConfig

if TYPE_CHECKING:
    from gristmill.align.chats import Chat
    from gristmill.infer.engine import Engine
    from gristmill.tokenizer.chat import ChatFormat


class TrainSftConfig(TuningConfig):
    """How long and how fast; see also the settings that all tuning shares."""

    lr: float = Field(1e-3, gt=0)
    """Of AdamW, for all weights (or for the adapters)."""
    epochs: float = Field(2.0, gt=0)
    batch: int = Field(8, ge=1)
    """Packed windows in a step."""
    context: int | None = Field(None, ge=16)
    """Tokens of a window; default: the context of the model."""
    questions: int = Field(300, ge=0)
    """Held-out questions that are answered afterwards, of each set."""
    max_tokens: int = Field(64, ge=1)
    """Longest answer to them."""
    max_rows: int = local(64, ge=1)
    """Questions answered at once."""


@stage(
    "train sft",
    version=3,
    kind="model",
    config=TrainSftConfig,
    inputs={
        "model": Slot("model"),
        "chats": Slot("chats", help="what it learns, and the questions that it is tested on"),
        "preferences": Slot(
            "preferences", optional=True, named=True, help="learns their chosen answers instead"
        ),
    },
    summary="fine-tune on chats, loss on answers only",
    example="gristmill train sft --model FOLDER --chats FOLDER --epochs 2",
    seeded=True,
)
def train_sft(config: TrainSftConfig, inputs: Inputs, output: Output) -> None:
    """A model folder with its chat format. Figures: `sft.stops`, `sft.answers.seen` and `.unseen`
    (right), `sft.invented.unseen`, `sft.unknown.seen` and `.unseen` ("I do not know"): of the
    two sets as many questions of each kind."""
    from gristmill.align.chats import read_chats
    from gristmill.align.sft import (
        AnswerLoss,
        AnswersCarryLoss,
        EndsCarryLoss,
        PaddingDiffers,
        SftSource,
        make_rows,
        pack,
    )
    from gristmill.core.errors import GristmillError
    from gristmill.core.seeds import derive_seed
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.stages.tuning import (
        METRICS,
        curve,
        optimizer_of,
        prepare,
        save_tuned,
        schedule_of,
        settings_of,
        training_of,
    )
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.train.metrics import read_metrics
    from gristmill.train.objectives import NextToken
    from gristmill.train.optimizers import Optimizer
    from gristmill.train.trainer import Trainer

    base, chats = inputs["model"].path, inputs["chats"].path
    tokenizer = Tokenizer.load(base)
    chat_format = ChatFormat.for_tuning(base, tokenizer)
    model = load_model(base, choose_device(output.execution.device))
    prepare(model, config.lora, output.seed)
    context = config.context or model.config.context
    if context > model.config.context:
        raise GristmillError(
            f"windows of {context} tokens for a model with a context of {model.config.context}",
            where="context",
            mend="make it shorter",
        )

    learnt, rejects = _learnt(inputs)
    made = make_rows(learnt, chat_format, context)
    output.reject("chats", [*rejects, *made.rejects])
    if not made.rows:
        first = made.rejects[0] if made.rejects else rejects[0] if rejects else None
        raise GristmillError(
            "no chat to learn from" + (f": {first['reason']}" if first else ""),
            where=first["where"] if first else chats / "train.jsonl",
            mend=f"give chats that end with an answer and fit {context} tokens",
        )
    end, pad = chat_format.end_id, chat_format.pad_id
    windows = pack(made.rows, context, pad_id=pad, end_id=end)
    heldout, _ = read_chats(chats / "heldout.jsonl")
    watched = make_rows(heldout[: config.questions or 300], chat_format, context).rows
    source = SftSource(windows, batch=config.batch, seed=derive_seed(output.seed, "data"))
    steps = source.steps_for(config.epochs)

    trainer = Trainer(
        output.run,
        models={"policy": model},
        optimizers={"policy": Optimizer(model, optimizer_of(config))},
        source=source,
        objective=NextToken(),
        schedule=schedule_of(config, steps),
        settings=settings_of(config, output.seed),
        probes=(
            [AnswerLoss(pack(watched, context, pad_id=pad, end_id=end), every=max(1, steps // 8))]
            if watched
            else []
        ),
        checks=[
            PaddingDiffers(pad, end),
            AnswersCarryLoss(chat_format.answer_header),
            EndsCarryLoss(end),
        ],
        title="train sft",
    )
    result = trainer.fit()
    method = "sft" if inputs.get("preferences") is None else "chosen"
    training = training_of(result, method, {"epochs": config.epochs}, models=1)
    save_tuned(output, model, base, chat_format, config.lora, training)
    output.counts.update(
        chats=len(made.rows), rejected=len(rejects) + len(made.rejects), windows=len(windows),
        steps=result.steps, tokens=result.tokens,
    )  # fmt: skip
    if made.cut:
        output.counts["cut"] = made.cut
    output.figures["sft.loss.final"] = Figure(result.loss)
    records = read_metrics(output.path / METRICS)
    output.charts.append(
        curve(
            "Loss on answers",
            records,
            {"loss": "training", "heldout.loss": "held out"},
            y_label="nats a token",
        )
    )
    if config.questions and heldout:
        engine = Engine(model, max_rows=config.max_rows)
        _ask(config, engine, chat_format, {"seen": heldout, **_unseen(chats)}, output)


def _learnt(inputs: Inputs) -> tuple[list[Chat], list[dict[str, str]]]:
    """The chats of the training split, or prompts with their chosen answers, and the rejects.

    A chosen answer that did not stop teaches nothing here: its end would have to be invented.
    """
    from gristmill.align.chats import Chat, read_chats, read_preferences
    from gristmill.core.errors import GristmillError
    from gristmill.tokenizer.chat import Message

    preferences = inputs.get("preferences")
    if preferences is None:
        return read_chats(inputs["chats"].path / "train.jsonl")
    pairs, rejects = read_preferences(preferences.path / "train.jsonl")
    chosen = {
        (pair.id, pair.chosen.content): Chat(
            pair.id,
            (*pair.messages, Message("assistant", pair.chosen.content)),
            pair.group,
            pair.kind,
            pair.truth,
        )
        for pair in pairs
        if pair.chosen.stopped
    }
    if pairs and not chosen:
        raise GristmillError(
            f"none of {len(pairs)} chosen answers ended by itself, so none can be learnt",
            where=preferences.path / "train.jsonl",
            mend="sample longer answers, or from a model that was tuned for longer",
        )
    return list(chosen.values()), rejects


def _unseen(chats: Path) -> dict[str, list[Chat]]:
    """Questions about articles that pre-training never read, where there are any."""
    from gristmill.align.chats import read_chats

    path = chats / "unseen.jsonl"
    unseen = read_chats(path)[0] if path.is_file() else []
    return {"unseen": unseen} if unseen else {}


def _ask(
    config: TrainSftConfig,
    engine: Engine,
    chat_format: ChatFormat,
    sets: dict[str, list[Chat]],
    output: Output,
) -> None:
    """The figures of each set of questions, with tables and samples."""
    from gristmill.align.answering import alike, evaluate_answers, in_common, invented_by_set
    from gristmill.core.progress import progress

    found = {}
    for name, chats in sets.items():
        asked = chats[: config.questions]
        bar = progress(f"questions, {name}", float(len(asked)), "answers")
        try:
            found[name] = evaluate_answers(
                engine,
                chat_format,
                asked,
                context=engine.context,
                max_tokens=config.max_tokens,
                progress=bar,
            )
        finally:
            bar.close()
        # Held-out questions about what was read decide the headline.
        headline = "sft.stops" if name == "seen" else f"sft.stops.{name}"
        output.figures[headline] = found[name].figures()["stops"]
        output.counts[f"questions_{name}"] = len(found[name].answered)
    for name, answering in alike(found).items():
        figures = answering.figures()
        output.figures[f"sft.answers.{name}"] = figures["right"]
        output.figures[f"sft.invented.{name}"] = figures["invented"]
        output.figures[f"sft.unknown.{name}"] = figures["unknown"]
    output.tables.append(invented_by_set(found))
    for name, answering in found.items():
        which = "read in pre-training" if name == "seen" else "never read"
        output.tables.append(answering.table(f"Questions about articles {which}"))
        output.samples.append(answering.samples(f"Answers about articles {which}"))
    if "unseen" in found and in_common(found):
        seen, unseen = (output.figures[f"sft.unknown.{name}"] for name in ("seen", "unseen"))
        output.notes.append(
            f'"I do not know" is the answer to {seen.value:.0%} of the questions about articles '
            f"that were read and to {unseen.value:.0%} of as many of the same kinds about articles "
            f"that were not, where it would be right each time."
        )
