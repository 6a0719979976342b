"""`study sweep`: one architecture at several sizes and token budgets, for a scaling law.

The study asks for the trainings and for their scores on the same held-out documents; those that
the recipe holds already are taken as they are. Batch, warm-up and decay follow from each run's own
token count, because `train lm` derives them from its budget: a run that is cut out of a longer one
has not finished its decay and lies above the law (Hoffmann et al. 2022, section 3).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from gristmill.core.figure import Figure
from gristmill.stages.expansion import Expansion, Place
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage
from gristmill.stages.train_lm import TrainLmConfig
from gristmill.study.grid import (
    COUNTED,
    Budget,
    Family,
    PlannedRun,
    planned_runs,
)

if TYPE_CHECKING:
    from gristmill.scaling.points import Point

RUNS = "runs.csv"
_BUDGETS = ("token_budgets", "tokens_per_parameter", "flop_budgets")
_TRAIN_SETS = ("size", "token_budget", "architecture")


class SweepConfig(StageConfig):
    """Which models are trained, on how much, and on what they are measured."""

    family: Family = "transformer"
    sizes: tuple[float, ...] = Field((0.3, 0.6, 1.2, 2.4), min_length=1)
    """Millions of parameters wished for, as in `train lm`."""
    token_budgets: tuple[int, ...] = ()
    """Tokens: every size is trained on each number of them."""
    tokens_per_parameter: tuple[float, ...] = ()
    """Instead: tokens for each parameter wished for; 20 where no budget is given."""
    flop_budgets: tuple[float, ...] = ()
    """Instead: budgets of FLOPs, each spent on every size (isoFLOP)."""
    seeds: int = Field(1, ge=1)
    """Trainings of each size on each budget."""
    reseeded: int | None = Field(None, ge=0)
    """Only so many sizes, from the smallest, are trained with every seed; default: all."""
    max_documents: int | None = Field(None, ge=1)
    """Held-out documents that the loss is measured on; default: all."""
    vocabulary: int | None = local(None, ge=2)
    """Of the tokens, for --dry-run; default: that of the recipe's tokenizer when it runs."""
    train: TrainLmConfig = TrainLmConfig()
    """What all trainings share. `dial.tied` is true unless it is set."""

    @model_validator(mode="after")
    def _one_kind_of_budget(self) -> Self:
        given = [name for name in _BUDGETS if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are two kinds of budget; give one of them")
        if any(amount <= 0 for amount in (*self.sizes, *(b.amount for b in self.budgets()))):
            raise ValueError("sizes and budgets must be above 0")
        default = TrainLmConfig()
        for name in _TRAIN_SETS:
            if getattr(self.train, name, None) != getattr(default, name, None):
                raise ValueError(f"'train.{name}' is what the sweep sets itself")
        return self

    def budgets(self) -> list[Budget]:
        """The budgets, ascending; 20 tokens for each parameter where none is given."""
        found = [
            *(Budget("tokens", amount) for amount in self.token_budgets),
            *(Budget("per_parameter", amount) for amount in self.tokens_per_parameter),
            *(Budget("flops", amount) for amount in self.flop_budgets),
        ]
        return sorted(set(found), key=lambda b: b.amount) or [Budget("per_parameter", 20.0)]

    def runs(self, vocabulary: int) -> list[PlannedRun]:
        """The trainings for a vocabulary of that size."""
        return planned_runs(
            self.family,
            self.sizes,
            self.budgets(),
            self.seeds,
            self.reseeded,
            self.train,
            vocabulary,
        )

    def explain(self) -> list[str]:
        """How many trainings, each one's numbers, FLOPs, and the time at a speed measured now."""
        from gristmill.study.speed import explain_runs

        vocabulary = self.vocabulary or self.train.assumed_vocabulary
        return explain_runs(self.family, self.runs(vocabulary), vocabulary)


def expand(config: SweepConfig, place: Place) -> Expansion:
    """A training and its score for each size, budget and seed."""
    tokens = list(place.inputs["tokens"])
    label = place.name.partition("@")[2] or config.family
    # What follows from the train split alone: a study's text is one for all that it compares.
    score = {"ngram_order": 1, "resamples": 100, "max_documents": config.max_documents}
    wanted: list[tuple[str, dict[str, Any]]] = []
    models, scores = [], []
    for run in config.runs(_vocabulary(config, place)):
        model, scored = (
            f"{verb}@{label}-{run.label}" for verb in ("train.lm", "evaluate.perplexity")
        )
        seed = place.seed + run.seed
        block = run.config.model_dump(mode="json")
        wanted.append((model, {**block, "seed": seed, "inputs": {"tokens": tokens}}))
        inputs = {"model": model, "tokens": tokens, "others": []}
        wanted.append((scored, {**score, "seed": place.seed, "inputs": inputs}))
        models.append(model)
        scores.append(scored)
    return Expansion(wanted, {"models": models, "scores": scores})


def _vocabulary(config: SweepConfig, place: Place) -> int:
    """Of the tokens if they are there, else of the tokenizer that the recipe will train, else as
    the settings assume. Raises GristmillError where the settings say another."""
    from gristmill.core.errors import GristmillError

    found: int | None = None
    for name in place.inputs["tokens"]:
        if Path(name, "tokens.json").is_file():
            found = _vocabulary_of(Path(name))
        else:
            asked = {node.name: node for node in place.nodes}
            trained = [
                getattr(asked[one].config, "vocab_size", None)
                for one in asked[name].wires.get("tokenizer", ())
                if name in asked and one in asked
            ]
            found = next((size for size in trained if isinstance(size, int)), None)
    if found is not None and config.vocabulary not in (None, found):
        raise GristmillError(
            f"the vocabulary is {found:,}, not {config.vocabulary:,}",
            where=f"{place.name}.vocabulary",
            mend="leave it out or make both the same",
        )
    return found or config.vocabulary or config.train.assumed_vocabulary


def _vocabulary_of(tokens: Path) -> int:
    from gristmill.core.canonical import read_json

    return int(read_json(tokens / "tokens.json")["vocab_size"])


@stage(
    "study sweep",
    version=1,
    kind="sweep",
    config=SweepConfig,
    inputs={
        "tokens": Slot("tokens", help="what all train on, with the split that all are scored on"),
        "models": Slot("model", many=True, optional=True, named=True, help="filled by the study"),
        "scores": Slot(
            "evaluation", many=True, optional=True, named=True, help="filled by the study"
        ),
    },
    summary="train one architecture at several sizes and token budgets",
    example="gristmill study sweep --tokens DIR --sizes [0.3,0.6] --token_budgets [2e5,4e5]",
    expand=expand,
)
def sweep(config: SweepConfig, inputs: Inputs, output: Output) -> None:
    """`runs.csv`, which `scaling fit` and `study families` read; figures `scaling.FAMILY.*`."""
    from gristmill.scaling.points import write_points
    from gristmill.study.sweep_results import (
        loss_chart,
        runs_table,
        sweep_figures,
        sweep_notes,
    )

    points = _points(config, inputs)
    write_points(output.path / RUNS, points)
    unique = _unique_tokens(inputs)
    output.figures.update(sweep_figures(config.family, points))
    output.charts.append(loss_chart(config.family, points))
    output.tables.append(runs_table(config.family, points, unique))
    output.notes += [COUNTED, *sweep_notes(points, unique)]
    output.counts.update(
        runs=len(points),
        sizes=len({point.parameters for point in points}),
        tokens=int(sum(point.tokens for point in points)),
    )
    output.figures[f"scaling.{config.family}.seconds"] = Figure(
        round(sum(model.manifest.seconds for model in inputs.many("models")), 1), n=len(points)
    )


def _points(config: SweepConfig, inputs: Inputs) -> list[Point]:
    """One for each run, in the order of the grid."""
    from gristmill.core.errors import GristmillError
    from gristmill.model.flops import count_parameters, flops_per_token
    from gristmill.model.weights import load_config
    from gristmill.scaling.points import Point

    unique = _unique_tokens(inputs)
    points: list[Point] = []
    repeats: dict[tuple[float, int], int] = {}
    text: list[str] | None = None
    for model, score in zip(inputs.many("models"), inputs.many("scores"), strict=True):
        results = score.read_json("results.json")
        ids = [document["id"] for document in results["documents"]]
        if text is not None and ids != text:
            raise GristmillError("the runs were not scored on the same text", where=score.path)
        text = ids
        shape = load_config(model.path)
        count = count_parameters(shape)
        tokens = int(model.read_json("training.json")["tokens"])
        size = model.manifest.config["size"]
        seed = repeats[size, tokens] = repeats.get((size, tokens), -1) + 1
        loss, bits_per_byte = _losses(results)
        points.append(
            Point(
                parameters=count.total,
                tokens=tokens,
                loss=loss,
                flops=flops_per_token(shape) * tokens,
                family=config.family,
                seed=seed,
                name=f"{config.family} {size:g}M, {tokens:,} tokens, seed {seed}",
                non_embedding=count.without_embedding,
                bits_per_byte=bits_per_byte,
                unique_tokens=min(unique, tokens),
            )
        )
    return points


def _unique_tokens(inputs: Inputs) -> int:
    """Of the text that is trained on, before it repeats."""
    return int(inputs["tokens"].read_json("tokens.json")["splits"]["train"]["tokens"])


def _losses(results: dict[str, Any]) -> tuple[float, float]:
    """(nats a token, bits a byte) of the documents' texts."""
    import math

    bits = math.fsum(results["bits"]["base"]["text"])
    tokens = sum(document["tokens"] for document in results["documents"])
    size = sum(document["bytes"] for document in results["documents"])
    return bits * math.log(2) / tokens, bits / size
