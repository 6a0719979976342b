"""`evaluate tasks`: multiple choice three ways, on questions from the mixture and a user's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, local, stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.core.artifact import Artifact
    from gristmill.evaluate.answers import Answer
    from gristmill.evaluate.choices import ChoiceScores, Instance
    from gristmill.evaluate.framing import Framing
    from gristmill.evaluate.letters import LetterScores
    from gristmill.evaluate.tasks import Task
    from gristmill.infer.engine import Engine
    from gristmill.tokenizer.tokenizer import Tokenizer

RESULTS = "results.json"
Way = Literal["likelihood", "letter", "generation"]


class TasksConfig(StageConfig):
    """Which questions, how they are asked, and which score decides."""

    questions: int = Field(1000, ge=0)
    """Description questions made from the mixture; 0 for none."""
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
    version=2,
    kind="evaluation",
    config=TasksConfig,
    inputs={
        "model": Slot("model"),
        "mixture": Slot("mixture", optional=True, help="where the description questions come from"),
        "others": Slot("model", optional=True, many=True, help="more models, in the same table"),
    },
    summary="multiple choice by likelihood, by letter and by generation",
    example="gristmill evaluate tasks --model FOLDER --tasks [arc.jsonl] --max_questions 200",
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
        _show(sheet, framed, config, output)
    _figures_over_tasks(sheets, list(framed), config, output)
    write_json(
        output.path / RESULTS,
        {
            "normalisation": config.normalisation,
            "asked_as": framed,
            "tasks": {sheet.task.name: _results(sheet) for sheet in sheets},
        },
    )


@dataclass
class _Sheet:
    """One task and what every model made of it."""

    task: Task
    shots: list[Instance]
    asked: list[int]
    """Places of the questions that are asked every way."""
    likelihood: dict[str, list[ChoiceScores]] = field(default_factory=dict)
    letter: dict[str, list[LetterScores]] = field(default_factory=dict)
    generation: dict[str, list[Answer]] = field(default_factory=dict)

    def right(self, way: str, normalisation: str) -> dict[str, list[float]]:
        """Model -> how right each question that is asked every way is, 0 to 1."""
        if way == "likelihood":
            return {
                name: [
                    float(scores[i].chosen(normalisation) == scores[i].instance.gold)
                    for i in self.asked
                ]
                for name, scores in self.likelihood.items()
            }
        if way == "letter":
            return {name: [s.right for s in scores] for name, scores in self.letter.items()}
        return {
            name: [float(a.lenient == a.instance.gold) for a in answers]
            for name, answers in self.generation.items()
        }


def named_models(inputs: Inputs, names: Sequence[str] = ()) -> dict[str, Artifact]:
    """The models, each once, by name: `base` for a pre-trained one, else what made it (`sft`,
    `dpo`, `import`); or the names given. Raises GristmillError where their number is another."""
    from gristmill.core.errors import GristmillError

    found: dict[str, Artifact] = {}
    # A recipe offers every earlier model to a slot of many, the first among them.
    for artifact in (inputs["model"], *inputs.many("others")):
        found.setdefault(artifact.content, artifact)
    models = list(found.values())
    if names:
        if len(set(names)) != len(models):
            raise GristmillError(
                f"{len(set(names))} names for {len(models)} models", mend="give each its own name"
            )
        return dict(zip(names, models, strict=True))
    named: dict[str, Artifact] = {}
    for artifact in models:
        name = "base" if artifact.stage == "train.lm" else artifact.stage.rpartition(".")[2]
        same = sum(known.partition("_")[0] == name for known in named)
        named[f"{name}_{same + 1}" if same else name] = artifact
    return named


def _sheets(config: TasksConfig, inputs: Inputs, output: Output) -> list[_Sheet]:
    from pathlib import Path

    import numpy as np

    from gristmill.core.errors import GristmillError
    from gristmill.core.seeds import derive_seed
    from gristmill.evaluate.tasks import draw, read_task

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
    sheets = []
    for task in tasks:
        output.reject(task.name, task.rejects)
        most = config.max_questions if id(task) in files else None
        left, shots = draw(task, most, config.shots, output.seed)
        count = len(left.instances)
        rng = np.random.default_rng(derive_seed(output.seed, "asked", task.name))
        asked = sorted(rng.permutation(count)[: config.asked].tolist())
        sheets.append(_Sheet(left, shots, asked if len(config.ways) > 1 else list(range(count))))
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
    sheet: _Sheet,
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


def _show(sheet: _Sheet, framed: dict[str, str], config: TasksConfig, output: Output) -> None:
    """The tables and figures of one task."""
    from gristmill.evaluate.answers import answer_table, unreadable
    from gristmill.evaluate.choices import accuracy, accuracy_table, chance
    from gristmill.evaluate.differences import difference_table
    from gristmill.evaluate.letters import position_table

    task, seed = sheet.task, output.seed
    output.tables.append(_side_by_side(sheet, framed, config, seed))
    if sheet.likelihood:
        scores = next(iter(sheet.likelihood.values()))
        output.tables.append(accuracy_table(f"Multiple choice: {task.name}", sheet.likelihood))
        prefix = "choices" if task.name == "descriptions" else f"tasks.{task.name}"
        output.figures[f"{prefix}.accuracy"] = accuracy(scores, config.normalisation)
        output.figures[f"{prefix}.chance"] = Figure(chance(scores), n=len(scores))
        groups = sorted({s.instance.group for s in scores})
        for group in groups if len(groups) > 1 else []:
            inside = [s for s in scores if s.instance.group == group]
            output.figures[f"{prefix}.accuracy.{group}"] = accuracy(inside, config.normalisation)
            output.counts[f"{task.name}.{group}"] = len(inside)
    if sheet.letter:
        title = f"Order of the choices, by letter: {task.name}"
        output.tables.append(position_table(title, sheet.letter, seed))
    if sheet.generation:
        output.tables.append(answer_table(f"By generation: {task.name}", sheet.generation))
    if len(framed) > 1:
        ways = {str(way): sheet.right(way, config.normalisation) for way in config.ways}
        output.tables.append(difference_table(f"Differences: {task.name}", ways, seed))
    if sheet.likelihood:
        first = next(iter(sheet.likelihood.values()))
        output.samples.append(_samples(task, first, config.normalisation))
    for name, answers in sheet.generation.items():
        found = unreadable(f"{name}, {task.name}", answers)
        if found.rows:
            output.samples.append(found)


def _side_by_side(sheet: _Sheet, framed: dict[str, str], config: TasksConfig, seed: int) -> Table:
    from gristmill.evaluate.letters import mean_of

    instances = [sheet.task.instances[i] for i in sheet.asked]
    chance = sum(1 / len(i.continuations) for i in instances) / max(1, len(instances))
    rights = {way: sheet.right(way, config.normalisation) for way in config.ways}
    rows: list[list[object]] = []
    for name, framing in framed.items():
        figures = [mean_of(rights[way][name], seed) for way in config.ways]
        rows.append([f"{name} ({framing})", *figures])
    return Table(
        f"Ways of asking: {sheet.task.name}",
        ["model", *config.ways],
        rows,
        note=f"Accuracy on the same {len(instances)} questions ({sheet.task.version}; chance "
        f"{chance:.3g}; {len(sheet.shots)} shots), 95% by bootstrap over them. "
        f"Likelihood: {config.normalisation}; letter: the mean over {config.rotations} orders of "
        "the choices; generation: the lenient reading, what it cannot read is wrong.",
    )


def _figures_over_tasks(
    sheets: list[_Sheet], names: list[str], config: TasksConfig, output: Output
) -> None:
    from gristmill.core.figure import proportion
    from gristmill.evaluate.letters import mean_of

    for name in names if sheets else []:
        for way in config.ways:
            each = {s.task.name: s.right(way, config.normalisation)[name] for s in sheets}
            pooled = [right for rights in each.values() for right in rights]
            output.figures[f"{way}.accuracy.{name}"] = mean_of(pooled, output.seed)
            for task, rights in each.items() if len(each) > 1 else ():
                output.figures[f"{way}.accuracy.{name}.{task}"] = mean_of(rights, output.seed)
        if "generation" in config.ways:
            said = [a.lenient for s in sheets for a in s.generation[name]]
            output.figures[f"generation.unreadable.{name}"] = proportion(
                said.count(None), len(said)
            )
        if "letter" in config.ways:
            scores = [s for sheet in sheets for s in sheet.letter[name]]
            same = sum(len(set(s.choices)) == 1 for s in scores)
            output.figures[f"letter.same_choice.{name}"] = proportion(same, len(scores))
    if len(config.ways) > 1 and sheets:
        places = [float(i) for i in range(len(config.ways))]
        series = []
        for name in names:
            found = [output.figures[f"{way}.accuracy.{name}"] for way in config.ways]
            lows, highs = [f.low or 0.0 for f in found], [f.high or 0.0 for f in found]
            series.append(Series(name, places, [f.value for f in found], lows, highs))
        output.charts.append(
            Chart(
                "Accuracy by way of asking",
                "",
                "accuracy",
                series,
                style="bar",
                categories=config.ways,
            )
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


def _samples(task: Task, scores: Sequence[ChoiceScores], normalisation: str) -> Samples:
    rows = []
    for score in scores[:: max(1, len(scores) // 8)][:8]:
        instance, chosen = score.instance, score.chosen(normalisation)
        rows.append(
            {
                "question": instance.context,
                "right": instance.continuations[instance.gold].strip(),
                "chosen": instance.continuations[chosen].strip(),
                "verdict": "right" if chosen == instance.gold else "wrong",
            }
        )
    return Samples(f"Questions of {task.name}", rows)


def _results(sheet: _Sheet) -> dict[str, object]:
    return {
        "version": sheet.task.version,
        "shots": [instance.id for instance in sheet.shots],
        "questions": [
            {
                "id": instance.id,
                "group": instance.group,
                "context": instance.context,
                "question": instance.question,
                "continuations": list(instance.continuations),
                "gold": instance.gold,
            }
            for instance in sheet.task.instances
        ],
        "asked": sheet.asked,
        "likelihood": {
            name: [
                {
                    "log_p": [round(float(p), 4) for p in score.log_p_C],
                    "unconditional": [round(float(p), 4) for p in score.unconditional_C],
                }
                for score in scores
            ]
            for name, scores in sheet.likelihood.items()
        },
        "letter": {
            name: [
                [[round(float(p), 4) for p in log_p_C] for log_p_C in score.log_p_RC]
                for score in scores
            ]
            for name, scores in sheet.letter.items()
        },
        "generation": {
            name: [{"text": a.text, "strict": a.strict, "lenient": a.lenient} for a in answers]
            for name, answers in sheet.generation.items()
        },
    }
