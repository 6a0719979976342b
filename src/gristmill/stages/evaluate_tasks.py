"""`evaluate tasks`: multiple choice three ways, on questions from the mixture and a user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, local, stage

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact
    from gristmill.evaluate.framing import Framing
    from gristmill.evaluate.tasks import Task
    from gristmill.infer.engine import Engine
    from gristmill.stages.tasks_results import Sheet
    from gristmill.tokenizer.tokenizer import Tokenizer

RESULTS = "results.json"
Way = Literal["likelihood", "letter", "generation"]


class TasksConfig(StageConfig):
    """Which questions, how they are asked, and which score decides."""

    questions: int = Field(1000, ge=0)
    """Description questions made from the mixture; 0 for none. Where tasks are given a mixture is
    only taken that is named."""
    choices: int = Field(4, ge=2, le=10)
    """Of a description question."""
    tasks: tuple[str, ...] = content_of(())
    """Files of questions, JSON Lines: {"question": ..., "choices": [...], "answer": ...}, where
    answer is a place from 0, a letter or a text; or files of ARC, OpenBookQA, PIQA, HellaSwag,
    WinoGrande, SIQA, BoolQ, COPA, SciQ or MMLU (.jsonl, .csv, .parquet), known by their columns."""
    max_questions: int | None = Field(None, ge=1)
    """Of each file, drawn by the seed (default: all)."""
    ways: tuple[Way, ...] = ("likelihood", "letter", "generation")
    """By the probability of an answer's text, by that of its letter, by what the model writes."""
    asked: int = Field(200, ge=1)
    """Questions of each task that are asked by letter and by generation, drawn by the seed; the
    ways are compared on these."""
    ask: Literal["auto", "text", "chat"] = "auto"
    """As a text that goes on, or as a chat; auto: a chat where the model has a chat format."""
    shots: int = Field(0, ge=0)
    """Questions of the task, set aside, that stand before each one with their answers."""
    rotations: int = Field(4, ge=1)
    """Orders of the choices in which each question is asked by letter."""
    max_tokens: int = Field(24, ge=1)
    """Of an answer that a model writes."""
    normalisation: Literal["sum", "characters", "bytes", "tokens", "pmi"] = "pmi"
    """The score behind the accuracy by likelihood; the table shows all of them."""
    ignore_topics: tuple[str, ...] = ("Uncategorized", "Uncategorised", "Other", "Misc")
    """Topics that say nothing: no question and no choice comes from them."""
    names: tuple[str, ...] = ()
    """Of the models, in the order given (default: by the stages that made them)."""
    batch_tokens: int = local(4096, ge=1)
    """Tokens scored at once."""
    max_rows: int = local(64, ge=1)
    """Answers written at once."""


@stage(
    "evaluate tasks",
    version=3,
    kind="evaluation",
    config=TasksConfig,
    inputs={
        "model": Slot("model"),
        "mixture": Slot(
            "mixture",
            optional=True,
            unless="tasks",
            help="where the description questions come from; with --tasks only where it is named",
        ),
        "others": Slot(
            "model", optional=True, many=True, named=True, help="more models, in the same table"
        ),
    },
    summary="ask multiple choice by likelihood, by letter and by generation",
    example="gristmill evaluate tasks --model FOLDER --tasks arc.jsonl --max_questions 200",
    seeded=True,
)
def evaluate_tasks(config: TasksConfig, inputs: Inputs, output: Output) -> None:
    """Figures: `choices.accuracy` (the description task, heldout and train apart) and
    `choices.chance`; `tasks.NAME.accuracy` for a user's files; `likelihood.accuracy.MODEL`,
    `letter.accuracy.MODEL` and `generation.accuracy.MODEL` over the questions asked each way."""
    from gristmill.core.canonical import write_json
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.stages.model_names import named_models
    from gristmill.stages.tasks_results import sheet_json, show_task, show_ways
    from gristmill.tokenizer.tokenizer import Tokenizer

    sheets = _sheets(config, inputs, output)
    framed: dict[str, str] = {}
    for name, artifact in named_models(inputs, config.names).items():
        engine = Engine(
            load_model(artifact.path, choose_device(output.execution.device)),
            batch_tokens=config.batch_tokens,
            max_rows=config.max_rows,
        )
        tokenizer = Tokenizer.load(artifact.path)
        framing = _framing(config, artifact, tokenizer)
        framed[name] = framing.name
        for sheet in sheets:
            _fill(sheet, name, engine, tokenizer, framing, config, output)
    for sheet in sheets:
        show_task(sheet, framed, config, output)
    show_ways(sheets, list(framed), config, output)
    write_json(
        output.path / RESULTS,
        {
            "normalisation": config.normalisation,
            "asked_as": framed,
            "tasks": {sheet.task.name: sheet_json(sheet) for sheet in sheets},
        },
    )


def _sheets(config: TasksConfig, inputs: Inputs, output: Output) -> list[Sheet]:
    from pathlib import Path

    import numpy as np

    from gristmill.core.errors import GristmillError
    from gristmill.core.seeds import derive_seed
    from gristmill.evaluate.tasks import draw, read_task
    from gristmill.stages.tasks_results import Sheet

    if not config.ways:
        raise GristmillError("no way to ask", where="evaluate.tasks.ways")
    tasks = [read_task(Path(path)) for path in config.tasks]
    files = {id(task) for task in tasks}
    mixture = inputs.get("mixture")
    if mixture is not None and config.questions:
        found = _descriptions(mixture.path, config, output)
        tasks = [found, *tasks] if found is not None else tasks
    if not tasks and config.tasks == () and mixture is None:
        raise GristmillError("no questions", mend="give --mixture FOLDER or --tasks [FILE]")
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise GristmillError(
            f"two sets of questions are called '{max(names, key=names.count)}'",
            where="evaluate.tasks.tasks",
            mend="rename one of the files",
        )
    sheets = []
    for task in tasks:
        if rejected := output.reject(task.name, task.rejects):
            output.counts[f"{task.name}.rejected"] = rejected
        most = config.max_questions if id(task) in files else None
        left, shots = draw(task, most, config.shots, output.seed)
        count = len(left.instances)
        rng = np.random.default_rng(derive_seed(output.seed, "asked", task.name))
        asked = sorted(rng.permutation(count)[: config.asked].tolist())
        sheets.append(Sheet(left, shots, asked if len(config.ways) > 1 else list(range(count))))
        output.counts[task.name] = count
    return sheets


def _framing(config: TasksConfig, artifact: Artifact, tokenizer: Tokenizer) -> Framing:
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.framing import ChatFraming, TextFraming
    from gristmill.tokenizer.chat import ChatFormat

    if config.ask != "text":
        try:
            return ChatFraming(ChatFormat.load(artifact.path, tokenizer))
        except GristmillError:
            if config.ask == "chat":
                raise
    return TextFraming(tokenizer)


def _fill(
    sheet: Sheet,
    name: str,
    engine: Engine,
    tokenizer: Tokenizer,
    framing: Framing,
    config: TasksConfig,
    output: Output,
) -> None:
    from gristmill.evaluate.answers import ask
    from gristmill.evaluate.choices import score_choices
    from gristmill.evaluate.letters import listed, listed_shots, score_letters

    task, shots, context = sheet.task, sheet.shots, engine.context
    asked = [task.instances[i] for i in sheet.asked]
    if "likelihood" in config.ways:
        bar = progress(f"{task.name}: text, {name}", None, "tokens")
        try:
            sheet.likelihood[name] = score_choices(
                engine, tokenizer, task.instances,
                framing=framing, shots=shots, context=context, bar=bar,
            )  # fmt: skip
        finally:
            bar.close()
    if "letter" in config.ways:
        bar = progress(f"{task.name}: letter, {name}", None, "tokens")
        try:
            sheet.letter[name] = score_letters(
                engine, framing, asked,
                shots=shots, rotations=config.rotations, context=context, bar=bar,
            )  # fmt: skip
        finally:
            bar.close()
    if "generation" in config.ways:
        bar = progress(f"{task.name}: written, {name}", float(len(asked)), "answers")
        try:
            sheet.generation[name] = ask(
                engine, framing, asked,
                shots=shots, max_tokens=config.max_tokens, context=context, seed=output.seed,
                bar=bar,
            )  # fmt: skip
        finally:
            bar.close()
        texts = [listed(instance, framing) for instance in asked]
        prompts = framing.prompts(texts, listed_shots(shots, framing))
        cut = sum(len(prompt) > context - config.max_tokens for prompt in prompts)
        if cut:
            output.counts[f"{task.name}.{name}.cut"] = cut
            output.notes.append(
                f"{cut} of {len(asked)} questions of {task.name} are longer than {name} reads "
                f"({context} tokens, answer included): they lost their beginning."
            )


def _descriptions(mixture: object, config: TasksConfig, output: Output) -> Task | None:
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.tasks import description_task, read_articles

    try:
        task = description_task(
            read_articles(str(mixture)),
            questions=config.questions,
            choices=config.choices,
            ignore_topics=config.ignore_topics,
            seed=output.seed,
        )
    except GristmillError as error:
        # Text of one's own rarely names topics; the rest of a recipe must not fail for that.
        output.notes.append(f"No description questions: {error.what}.")
        return None
    seen = sum(instance.group == "train" for instance in task.instances)
    output.notes.append(
        f"Of {len(task.instances)} description questions {seen} come from articles that training "
        f"has read and {len(task.instances) - seen} from held-out ones."
    )
    if len(task.instances) < config.questions:
        output.notes.append(
            f"{config.questions} questions were asked for; the mixture's titles, descriptions and "
            f"topics give {len(task.instances)}."
        )
    return task
