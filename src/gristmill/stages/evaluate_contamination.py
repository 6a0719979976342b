"""`evaluate contamination`: whether models know the order in which a test set was published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gristmill.core.figure import Chart, Figure, Samples, Series, Table, proportion
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, local, stage

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact
    from gristmill.evaluate.contamination import OrderTest

RESULTS = "results.json"
_ALPHA = 0.05


class ContaminationConfig(StageConfig):
    """The test sets, and how hard is looked."""

    sets: tuple[str, ...] = content_of(())
    """Test sets in the order in which they were published: JSON Lines with `text` (or the fields
    named below), or any file that evaluate tasks reads. A file's name names the set."""
    fields: tuple[str, ...] = (
        "text",
        "question",
        "prompt",
        "goal",
        "sentence",
        "passage",
        "answer",
    )
    """Of a file that is no task: an example is the values of these fields that it has."""
    max_examples: int | None = Field(None, ge=10)
    """Only the first of each set."""
    orders: int = Field(20, ge=2, le=1000)
    """Random orders that each shard's published one is compared with."""
    shard: int | None = Field(None, ge=2)
    """Examples in a shard at most (default: as many as a model reads at once)."""
    context: int | None = Field(None, ge=16)
    """Tokens of a shard at most (default: what the model was trained for, 1024 at most)."""
    separator: str = "\n\n"
    """Between examples."""
    names: tuple[str, ...] = ()
    """Of the models, in the order given (default: by the stages that made them)."""
    long_n: int = Field(13, ge=2)
    """An example that shares a run of so many words with a training document stands in it."""
    short_n: int = Field(8, ge=2)
    """And so does one that shares `min_share` of its runs of so many words."""
    min_share: float = Field(0.7, gt=0.0, le=1.0)
    batch_tokens: int = local(4096, ge=1)
    """Tokens scored at once."""


@stage(
    "evaluate contamination",
    version=1,
    kind="evaluation",
    config=ContaminationConfig,
    inputs={
        "model": Slot("model"),
        "others": Slot("model", optional=True, many=True, named=True, help="more models"),
        "tasks": Slot(
            "evaluation",
            optional=True,
            named=True,
            help="a result of evaluate tasks: its questions are tested and its scores shown beside",
        ),
        "mixture": Slot(
            "mixture",
            optional=True,
            many=True,
            named=True,
            help="training text, to look for the examples in",
        ),
    },
    summary="test whether models know the published order of a test set",
    example="gristmill evaluate contamination --model FOLDER --sets [arc_easy.jsonl]",
    seeded=True,
)
def evaluate_contamination(config: ContaminationConfig, inputs: Inputs, output: Output) -> None:
    """Figures: `contamination.MODEL.p` (of several sets the smallest, times their number) and
    `contamination.MODEL.SET.p`; a table of scores with their contamination beside them."""
    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.contamination import order_test
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.stages.model_names import named_models
    from gristmill.tokenizer.tokenizer import Tokenizer

    sets = _sets(config, inputs, output)
    if not sets:
        raise GristmillError(
            "no test set", mend="give --sets [FILE], or --tasks FOLDER of evaluate tasks"
        )
    tests: dict[str, dict[str, OrderTest]] = {}
    for name, artifact in named_models(inputs, config.names).items():
        engine = Engine(
            load_model(artifact.path, choose_device(output.execution.device)),
            batch_tokens=config.batch_tokens,
        )
        context = min(config.context or 1024, engine.context)
        tokenizer = Tokenizer.load(artifact.path)
        tests[name] = {}
        for title, examples in sets.items():
            bar = progress(f"{title}: order, {name}", None, "tokens")
            try:
                tests[name][title] = order_test(
                    engine, tokenizer, examples,
                    context=context, orders=config.orders, most=config.shard,
                    separator=config.separator, seed=output.seed, bar=bar,
                )  # fmt: skip
            finally:
                bar.close()
    for name, found in tests.items():
        for title, test in found.items():
            if len(found) > 1:
                output.figures[f"contamination.{name}.{title}.p"] = Figure(
                    test.p, n=len(test.sizes)
                )
        # Of several sets one is below 0.05 by chance more often: Bonferroni.
        least = min(found.values(), key=lambda test: test.p)
        output.figures[f"contamination.{name}.p"] = Figure(
            min(1.0, least.p * len(found)), n=len(least.sizes)
        )
    held = _overlaps(config, inputs, sets, output)
    scores = _scores(inputs)
    output.tables.append(_beside(tests, sets, held, scores))
    output.charts.append(_chart(tests))
    output.counts.update({title: len(examples) for title, examples in sets.items()})
    write_json(
        output.path / RESULTS,
        {
            name: {
                title: {
                    "p": test.p,
                    "p_by_rank": test.p_by_rank,
                    "t": test.t,
                    "shards": list(test.sizes),
                    "published": [round(float(x), 4) for x in test.published_S],
                    "shuffled": [[round(float(x), 4) for x in row] for row in test.shuffled_SP],
                }
                for title, test in found.items()
            }
            for name, found in tests.items()
        },
    )


def _sets(config: ContaminationConfig, inputs: Inputs, output: Output) -> dict[str, list[str]]:
    """Examples by name of set, in their order. Raises GristmillError for a name that is there
    twice."""
    from gristmill.core.errors import GristmillError

    sets: dict[str, list[str]] = {}
    tasks = inputs.get("tasks")
    if tasks is not None:
        for title, task in _tasks(tasks).items():
            sets[title] = [q["context"] + q["continuations"][q["gold"]] for q in task["questions"]]
        if "descriptions" in sets:
            output.notes.append(
                "The order of description questions is drawn here and was published nowhere: they "
                "are a control, on which no model may be accused."
            )
    for given in config.sets:
        path = Path(given)
        title = path.name.split(".")[0]
        if title in sets:
            raise GristmillError(
                f"two test sets are called '{title}'", where=path, mend="rename one of the files"
            )
        sets[title] = _examples(path, config.fields, output)
    return {title: examples[: config.max_examples] for title, examples in sets.items()}


def _tasks(artifact: Artifact) -> dict[str, Any]:
    from gristmill.core.errors import GristmillError

    results = artifact.read_json(RESULTS) if artifact.stage == "evaluate.tasks" else {}
    if "tasks" not in results:
        raise GristmillError(
            "this is no result of evaluate tasks",
            where=artifact.path,
            mend="give --tasks FOLDER of evaluate tasks",
        )
    tasks: dict[str, Any] = results["tasks"]
    return tasks


def _examples(path: Path, fields: Sequence[str], output: Output) -> list[str]:
    """As questions with their right answers where the file is a task, else by its fields."""
    from gristmill.core.errors import GristmillError
    from gristmill.data.decontaminate import read_items
    from gristmill.evaluate.tasks import read_task

    try:
        task = read_task(path)
    except GristmillError:
        return read_items(path, fields)
    output.reject(task.name, task.rejects)
    return [i.context + i.continuations[i.gold] for i in task.instances]


def _overlaps(
    config: ContaminationConfig, inputs: Inputs, sets: dict[str, list[str]], output: Output
) -> dict[str, Figure]:
    """The share of each set's examples that stand in the training text."""
    import pyarrow.parquet as pq

    from gristmill.data.decontaminate import EvaluationIndex, overlap

    if not inputs.many("mixture"):
        return {}
    index = EvaluationIndex.build(sets, long_n=config.long_n, short_n=config.short_n)
    found: dict[int, str] = {}
    for artifact in inputs.many("mixture"):
        for part in sorted((artifact.path / "train").glob("part-*.parquet")):
            table = pq.read_table(part, columns=["url", "text"])
            hits = overlap(table["text"], index)
            documents, items, _, shares = hits.pairs
            leaked = set(hits.leaked_items(1, config.min_share).tolist())
            for document, item, share in zip(documents, items, shares, strict=True):
                if item in leaked and (share >= config.min_share or int(item) not in found):
                    found[int(item)] = table["url"][int(document)].as_py()
    held: dict[str, Figure] = {}
    texts = [(title, text) for title in index.names for text in sets[title]]
    for number, title in enumerate(index.names):
        inside = [item for item in found if index.set_of[item] == number]
        held[title] = proportion(len(inside), len(sets[title]))
        output.figures[f"contamination.overlap.{title}"] = held[title]
        short = index.too_short(number)
        if short:
            output.notes.append(
                f"{short} of {len(sets[title])} examples of {title} have fewer than "
                f"{config.short_n} words: overlap cannot find them."
            )
    rows = [
        {"set": texts[item][0], "example": texts[item][1][:300], "found in": found[item]}
        for item in sorted(found)[:8]
    ]
    if rows:
        output.samples.append(Samples("Examples that stand in the training text", rows))
    return held


def _scores(inputs: Inputs) -> dict[tuple[str, str], Figure]:
    """(model, set) -> accuracy by likelihood (else by the first way asked) in evaluate tasks."""
    from gristmill.core.canonical import read_json
    from gristmill.core.figure import figures_from_json
    from gristmill.stages.stage import PRESENTATION

    tasks = inputs.get("tasks")
    if tasks is None:
        return {}
    figures = figures_from_json(read_json(tasks.path / PRESENTATION)["figures"])
    titles = list(_tasks(tasks))
    found: dict[tuple[str, str], Figure] = {}
    for way in ("generation", "letter", "likelihood"):
        for key, figure in figures.items():
            if key.startswith(f"{way}.accuracy."):
                name, _, title = key.removeprefix(f"{way}.accuracy.").partition(".")
                if title or len(titles) == 1:
                    found[name, title or titles[0]] = figure
    return found


def _beside(
    tests: dict[str, dict[str, OrderTest]],
    sets: dict[str, list[str]],
    held: dict[str, Figure],
    scores: dict[tuple[str, str], Figure],
) -> Table:
    """A score never stands without what is known of its contamination."""
    rows: list[list[object]] = []
    tested = sum(len(found) for found in tests.values())
    for name, found in tests.items():
        for title, test in found.items():
            row: list[object] = [name, title]
            row += [scores.get((name, title))] if scores else []
            known = "yes" if test.p * tested < _ALPHA else "no sign"
            row += [known, float(f"{test.p:.2g}"), float(f"{test.p_by_rank:.2g}"), len(test.sizes)]
            row += [held.get(title)] if held else []
            rows.append(row)
    columns = ["model", "set"]
    columns += ["accuracy"] if scores else []
    columns += ["order known", "p", "p by rank", "shards"]
    columns += ["in training text"] if held else []
    note = (
        "p: the chance that an order of the examples that means nothing to the model looks as "
        "probable as the published one (Oren et al. 2023: t-test over shards; by rank: exact, over "
        "the same orders). Small: the order was read in training. Large proves nothing. Order "
        f"known: p < {_ALPHA:g}"
    )
    note += f" / {tested}, for {tested} tests (Bonferroni)." if tested > 1 else "."
    if held:
        note += " In training text: examples that overlap a training document."
    return Table("Scores and their contamination", columns, rows, note=note)


def _chart(tests: dict[str, dict[str, OrderTest]]) -> Chart:
    """Each shard's gain, in order of size: a known order lifts most of them above 0."""
    series = []
    for name, found in tests.items():
        for title, test in found.items():
            gains = sorted(float(gain) for gain in test.gains_S)
            places = [(i + 0.5) / len(gains) for i in range(len(gains))]
            series.append(Series(f"{name}, {title}", places, gains))
    return Chart(
        "Published order against random ones", "shards, smallest gain to largest",
        "nats more probable", series,
    )  # fmt: skip
