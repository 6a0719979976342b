"""What `evaluate tasks` collects of a task, and what it shows and keeps of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gristmill.core.figure import Chart, Figure, Samples, Series, Table, proportion
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    from gristmill.evaluate.answers import Answer
    from gristmill.evaluate.choices import ChoiceScores, Instance
    from gristmill.evaluate.letters import LetterScores
    from gristmill.evaluate.tasks import Task
    from gristmill.stages.evaluate_tasks import TasksConfig


@dataclass
class Sheet:
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


def show_task(sheet: Sheet, framed: dict[str, str], config: TasksConfig, output: Output) -> None:
    """The tables, figures and samples of one task. framed: how each model was asked."""
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


def show_ways(sheets: list[Sheet], names: list[str], config: TasksConfig, output: Output) -> None:
    """The figures of each way of asking over all tasks, and of each task; a note on the ways that
    tell nothing of any model, and a chart of the others."""
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
    silent = _silent_ways(sheets, names, output) if sheets else {}
    output.notes += silent.values()
    ways = [way for way in config.ways if way not in silent]
    if len(ways) > 1 and sheets:
        places = [float(i) for i in range(len(ways))]
        series = []
        for name in names:
            found = [output.figures[f"{way}.accuracy.{name}"] for way in ways]
            lows = [f.value if f.low is None else f.low for f in found]
            highs = [f.value if f.high is None else f.high for f in found]
            series.append(Series(name, places, [f.value for f in found], lows, highs))
        output.charts.append(
            Chart(
                "Accuracy by way of asking",
                "",
                "accuracy",
                series,
                style="bar",
                categories=ways,
            )
        )


def _silent_ways(sheets: list[Sheet], names: list[str], output: Output) -> dict[str, str]:
    """Way of asking -> why it tells nothing of any model: its figures are then noise."""
    from gristmill.evaluate.answers import hardly_read
    from gristmill.evaluate.letters import favourite, guesses

    silent: dict[str, str] = {}
    scores = {name: [s for sheet in sheets for s in sheet.letter.get(name, [])] for name in names}
    if all(found and guesses(found, output.seed) for found in scores.values()):
        likes = [(name, *favourite(found)) for name, found in scores.items()]
        said = ", ".join(f"{name} {letter} {share:.0%}" for name, letter, share in likes)
        silent["letter"] = (
            f"By letter no model is better than guessing; what each says most often: {said}. The "
            "figures by letter tell nothing of what a model knows."
        )
    written = {n: [a for sheet in sheets for a in sheet.generation.get(n, [])] for n in names}
    if all(found and hardly_read(found) for found in written.values()):
        lost = ", ".join(
            f"{name} {sum(a.lenient is None for a in found)} of {len(found)}"
            for name, found in written.items()
        )
        silent["generation"] = (
            f"By generation hardly an answer names a choice; what could not be read: {lost}. The "
            "figures by generation tell nothing of what a model knows."
        )
    return silent


def sheet_json(sheet: Sheet) -> dict[str, object]:
    """What `results.json` keeps of a task: its questions, and every model's scores and answers."""
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


def _side_by_side(sheet: Sheet, framed: dict[str, str], config: TasksConfig, seed: int) -> Table:
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
