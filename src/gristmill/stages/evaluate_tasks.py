"""`evaluate tasks`: multiple choice by likelihood, on questions from the mixture and a user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.figure import Figure, Samples
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, local, stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gristmill.evaluate.choices import ChoiceScores
    from gristmill.evaluate.tasks import Task

RESULTS = "results.json"


class TasksConfig(StageConfig):
    """Which questions, and which score decides."""

    questions: int = Field(1000, ge=0)
    """Description questions made from the mixture; 0 for none."""
    choices: int = Field(4, ge=2, le=10)
    normalisation: Literal["sum", "characters", "bytes", "tokens", "pmi"] = "pmi"
    """The score behind `choices.accuracy`; the table shows all of them."""
    ignore_topics: tuple[str, ...] = ("Uncategorized", "Uncategorised", "Other", "Misc")
    """Topics that say nothing: no question and no choice comes from them."""
    tasks: tuple[str, ...] = content_of(())
    """Files of questions, JSON Lines: {"question": ..., "choices": [...], "answer": ...}."""
    batch_tokens: int = local(4096, ge=1)
    """Tokens scored at once."""


@stage(
    "evaluate tasks",
    version=1,
    kind="evaluation",
    config=TasksConfig,
    inputs={
        "model": Slot("model"),
        "mixture": Slot("mixture", optional=True, help="where the description questions come from"),
        "others": Slot("model", optional=True, many=True, help="more models, in the same table"),
    },
    summary="multiple choice by likelihood",
    example="gristmill evaluate tasks --model FOLDER --mixture FOLDER --questions 1000",
    seeded=True,
)
def evaluate_tasks(config: TasksConfig, inputs: Inputs, output: Output) -> None:
    """Figures: `choices.accuracy` (the description task, heldout and train apart) and
    `choices.chance`; `tasks.NAME.accuracy` for a user's files."""
    from pathlib import Path

    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.choices import accuracy, accuracy_table, chance, score_choices
    from gristmill.evaluate.tasks import read_task
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.stages.evaluate_perplexity import models_by_name
    from gristmill.tokenizer.tokenizer import Tokenizer

    tasks = [read_task(Path(path)) for path in config.tasks]
    mixture = inputs.get("mixture")
    if mixture is not None and config.questions:
        found = _descriptions(mixture.path, config, output)
        tasks = [found, *tasks] if found is not None else tasks
    if not tasks and config.tasks == () and mixture is None:
        raise GristmillError("no questions", mend="give --mixture FOLDER or --tasks [FILE]")
    results: dict[str, object] = {}
    named = models_by_name(inputs)
    loaded = {
        name: (
            Engine(
                load_model(artifact.path, choose_device(output.execution.device)),
                batch_tokens=config.batch_tokens,
            ),
            Tokenizer.load(artifact.path),
        )
        for name, artifact in named.items()
    }
    for task in tasks:
        output.reject(task.name, task.rejects)
        bar = progress(f"task {task.name}", None, "tokens")
        try:
            scored = {
                name: score_choices(
                    engine, tokenizer, task.instances, context=engine.context, bar=bar
                )
                for name, (engine, tokenizer) in loaded.items()
            }
        finally:
            bar.close()
        table = accuracy_table(f"Multiple choice: {task.name}", scored)
        output.tables.append(table)
        base = scored["base"]
        prefix = "choices" if task.name == "descriptions" else f"tasks.{task.name}"
        output.figures[f"{prefix}.accuracy"] = accuracy(base, config.normalisation)
        output.figures[f"{prefix}.chance"] = Figure(chance(base), n=len(base))
        groups = sorted({s.instance.group for s in base})
        for group in groups if len(groups) > 1 else []:
            inside = [s for s in base if s.instance.group == group]
            output.figures[f"{prefix}.accuracy.{group}"] = accuracy(inside, config.normalisation)
            output.counts[f"{task.name}.{group}"] = len(inside)
        output.counts[task.name] = len(base)
        output.samples.append(_samples(task, base, config.normalisation))
        results[task.name] = {name: _answers(scores) for name, scores in scored.items()}
    write_json(output.path / RESULTS, {"normalisation": config.normalisation, "tasks": results})


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


def _answers(scores: Sequence[ChoiceScores]) -> list[dict[str, object]]:
    return [
        {
            "id": score.instance.id,
            "group": score.instance.group,
            "context": score.instance.context,
            "continuations": list(score.instance.continuations),
            "gold": score.instance.gold,
            "log_p": [round(float(p), 4) for p in score.log_p_C],
            "unconditional": [round(float(p), 4) for p in score.unconditional_C],
        }
        for score in scores
    ]
