"""`study alignment`: one base, every method, several strengths and seeds, side by side.

The study asks for the trainings that it compares (`expand`); those that the recipe holds already
are taken as they are. What it changes is the strength and the seed alone; all other settings
are those of the recipe's own stage of that method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.artifact import Artifact
from gristmill.core.figure import Figure, figures_to_json
from gristmill.stages.expansion import Expansion, Place
from gristmill.stages.stage import (
    Inputs,
    Output,
    Slot,
    StageConfig,
    content_of,
    function_name,
    local,
    stage,
)

if TYPE_CHECKING:
    from gristmill.align.comparison import Bench, Measured, Method
    from gristmill.align.side_by_side import Speaker
    from gristmill.infer.engine import Engine

RESULTS = "alignment.json"

# Method: the verb that trains it and the setting that is its strength.
_TRAINED = {
    "chosen": ("train.sft", "epochs"),
    "dpo": ("train.dpo", "beta"),
    "ppo": ("train.ppo", "beta"),
    "ppo_direct": ("train.ppo", "beta"),
}


class Strengths(StageConfig):
    """The strengths of each method; none: the one that the recipe's own stage has."""

    chosen: tuple[float, ...] = ()
    """Epochs of SFT on the chosen answers."""
    dpo: tuple[float, ...] = ()
    """DPO's beta; smaller pulls harder."""
    ppo: tuple[float, ...] = ()
    """PPO's beta, the price of KL; smaller pulls harder."""
    ppo_direct: tuple[float, ...] = ()
    """The same with rewards of +1 and -1."""
    best_of_n: tuple[int, ...] = (4, 16)
    """How many answers the reward model picks from."""


class AlignmentConfig(StageConfig):
    """What is compared, and on how much."""

    methods: tuple[Literal["chosen", "dpo", "ppo", "ppo_direct", "best_of_n"], ...] = (
        "chosen", "dpo", "ppo", "ppo_direct", "best_of_n",
    )  # fmt: skip
    strengths: Strengths = Strengths()
    seeds: int = Field(1, ge=1)
    """Trainings of each method at each strength."""
    split: Literal["heldout", "unseen"] = "heldout"
    """Which questions of the chats."""
    prompts: int = Field(200, ge=2)
    samples: int = Field(4, ge=2)
    """Answers to each prompt."""
    max_tokens: int = Field(48, ge=1)
    temperature: float = Field(1.0, gt=0)
    rule: str | None = function_name(None)
    """The gold reward as `package.module:function` or `file.py:function`; default: the rule of
    `align rank`."""
    missing_end_score: float | None = -3.0
    """The reward model's score of an answer that did not end, as in PPO."""
    margin: float = Field(0.01, ge=0)
    """Gold rewards no further apart are a tie."""
    documents: int = Field(100, ge=0)
    """Held-out documents for bits per byte; 0 for none."""
    side_by_side: int = Field(10, ge=0)
    """Questions answered by every model, to read."""
    questions: tuple[str, ...] = content_of(())
    """JSON Lines of chats to read side by side, in place of held-out ones."""
    max_rows: int = local(128, ge=1)
    """Answers made at once."""


def expand(config: AlignmentConfig, place: Place) -> Expansion:
    """The trainings: each method at each strength with each seed."""
    wanted: list[tuple[str, Mapping[str, Any]]] = []
    models: list[str] = []
    own = {slot: list(names) for slot, names in place.inputs.items() if names}
    if "ppo_direct" in config.methods:
        block = _settings(place, "train.reward") | {"loss": "direct"}
        block["inputs"] = {"model": own["sft"], "preferences": own["preferences"]}
        wanted.append(("train.reward@direct", block))
    for method in config.methods:
        if method not in _TRAINED:
            continue
        verb, key = _TRAINED[method]
        settings = _settings(place, verb)
        inputs: dict[str, Any] = {"model": own["sft"]}
        if verb != "train.dpo":
            inputs["chats"] = own["chats"]
        if verb != "train.ppo":
            inputs["preferences"] = own["preferences"]
        else:
            inputs["reward"] = own["reward"]
        if method == "chosen":
            settings["questions"] = 0  # the study asks its own
        if method == "ppo_direct":
            inputs["reward"] = "train.reward@direct"
            # No end is as bad as losing; a lower score would not be one of +1 and -1.
            settings["missing_end_score"] = -1.0
        for strength in getattr(config.strengths, method) or (None,):
            changed = {} if strength is None else {key: strength}
            if strength is not None and verb == "train.ppo":
                changed["target_kl"] = None  # a beta that is asked for stays
            for seed in range(config.seeds):
                label = f"@{method}"
                label += "" if strength is None else f"-{key}{strength:g}"
                label += f"-seed{seed}" if config.seeds > 1 else ""
                block = settings | changed | {"inputs": inputs, "seed": place.seed + seed}
                wanted.append((verb + label, block))
                models.append(verb + label)
    return Expansion(wanted, {"models": models})


def _settings(place: Place, verb: str) -> dict[str, Any]:
    """What the recipe's own (last) stage of that verb is set to; nothing where it has none."""
    own = [node for node in place.nodes if node.stage.name == verb]
    return own[-1].config.model_dump() if own else {}


@stage(
    "study alignment",
    version=2,
    kind="comparison",
    config=AlignmentConfig,
    inputs={
        "sft": Slot("model", help="the assistant that every method starts from"),
        "base": Slot("model", optional=True, named=True, help="before SFT, to read beside it"),
        "reward": Slot("reward", help="the proxy: what PPO and best of n optimise"),
        "chats": Slot("chats", help="prompts to train on and questions to measure on"),
        "preferences": Slot("preferences", help="what DPO and SFT on the chosen learn from"),
        "tokens": Slot("tokens", optional=True, help="held-out text for bits per byte"),
        "models": Slot("model", many=True, optional=True, named=True, help="more to compare"),
    },
    summary="compare SFT, DPO, PPO and best-of-n from one base: reward, KL, wins, cost",
    example="gristmill study alignment --sft DIR --reward DIR --chats DIR --preferences DIR",
    seeded=True,
    expand=expand,
)
def alignment(config: AlignmentConfig, inputs: Inputs, output: Output) -> None:
    """Figures `alignment.METHOD.*`; `alignment.json` with all of them and which did best."""
    from gristmill.align.comparison import (
        DRAWN_AGAIN,
        Method,
        baseline_of,
        measure,
        measure_best_of_n,
        measure_reference,
    )
    from gristmill.align.comparison_results import (
        comparison_figures,
        comparison_table,
        join_seeds,
        plain_words,
        reward_chart,
        win_chart,
    )
    from gristmill.core.canonical import write_json
    from gristmill.core.progress import progress

    bench = _bench(config, inputs, output)
    models = inputs.many("models")
    sizes = config.strengths.best_of_n if "best_of_n" in config.methods else ()
    answers = config.prompts * (config.samples * (1 + len(models)) + 2 * max(sizes, default=0))
    bar = progress("study alignment", float(answers), "answers")
    try:
        baseline = baseline_of(bench, bar)
        measured = measure_reference(bench, baseline)
        for artifact in models:
            measured.append(
                measure(_method(artifact, inputs, config, output), bench, baseline, bar)
            )
        if sizes:
            picks = [
                Method(
                    "best_of_n", f"n {n}", 0, bench.reference, answers_of="best_of_n", n=n,
                    train_cpu_seconds=cost_since(inputs["reward"], inputs["sft"].content),
                    models_held_training=1,
                )
                for n in sizes
            ]  # fmt: skip
            measured += measure_best_of_n(picks, bench, baseline, bar)
    finally:
        bar.close()
    joined = join_seeds(measured)
    output.figures.update(comparison_figures(joined))
    output.tables.append(comparison_table(joined))
    output.charts += [reward_chart(joined), win_chart(joined)]
    output.notes += plain_words(joined)
    best = _best(measured, [None, None, *models, *([None] * len(sizes))])
    if config.side_by_side:
        _read_beside(config, bench, inputs, output)
    methods = sum(one.strength != DRAWN_AGAIN for one in joined)
    output.counts.update(methods=methods, models=len(models), prompts=len(bench.chats))
    write_json(
        output.path / RESULTS,
        {
            "best": best,
            "methods": [
                {
                    "method": one.name,
                    "strength": one.strength,
                    "seeds": one.seeds,
                    "figures": figures_to_json(one.figures),
                }
                for one in joined
            ],
        },
    )
    # Times are measured anew each time.
    output.volatile.add(RESULTS)


def _bench(config: AlignmentConfig, inputs: Inputs, output: Output) -> Bench:
    from gristmill.align.chats import read_chats
    from gristmill.align.comparison import Bench
    from gristmill.align.reward import RewardModel
    from gristmill.align.rules import load_rule
    from gristmill.align.sampling import fitting
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.perplexity import read_documents
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer

    folder = inputs["sft"].path
    chat_format = ChatFormat.load(folder, Tokenizer.load(folder))
    reference = _engine(folder, config, output)
    questions = inputs["chats"].path / f"{config.split}.jsonl"
    chats, rejects = read_chats(questions)
    chats, too_long = fitting(chats, chat_format, reference.context - config.max_tokens + 1)
    output.counts["rejected"] = output.reject("chats", [*rejects, *too_long])
    if len(chats) < 2:
        raise GristmillError("too few questions to compare on", where=questions)
    reward = RewardModel.load(inputs["reward"].path)
    tokens = inputs.get("tokens")
    heldout = None
    if tokens is not None and config.documents:
        heldout = read_documents(tokens.path, "heldout").first(config.documents)
    return Bench(
        chats=chats[: config.prompts],
        chat_format=chat_format,
        reference=reference,
        proxy=lambda conversations: reward.shaped(reward.raw(conversations)),
        gold=load_rule(config.rule),
        samples=config.samples,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        margin=config.margin,
        seed=output.seed,
        heldout=heldout,
        missing_end_score=config.missing_end_score,
    )


def _engine(folder: Path, config: AlignmentConfig, output: Output) -> Engine:
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model

    model = load_model(folder, choose_device(output.execution.device))
    return Engine(model, max_rows=config.max_rows)


def _method(artifact: Artifact, inputs: Inputs, config: AlignmentConfig, output: Output) -> Method:
    """What a trained model says of itself, and what it cost since SFT."""
    from gristmill.align.comparison import Method

    training = artifact.read_json("training.json")
    strength = ", ".join(
        f"{key} {value:g}" for key, value in training["strength"].items() if value is not None
    )
    return Method(
        training["method"],
        strength,
        artifact.manifest.seed or 0,
        _engine(artifact.path, config, output),
        train_cpu_seconds=cost_since(artifact, inputs["sft"].content),
        models_held_training=training["models_held"],
    )


def cost_since(artifact: Artifact, start: str) -> float:
    """CPU seconds of an artifact and of all that it was made from, down to the one whose content
    is `start` and what lies below that."""
    seen: dict[str, float] = {}

    def walk(one: Artifact) -> None:
        # Chats and other models were there before; what a method adds begins with answers.
        before = one.content == start or one.kind in ("chats", "model")
        if one.name in seen or (before and one is not artifact):
            return
        seen[one.name] = one.manifest.cpu_seconds
        for _, below in one.inputs():
            walk(below)

    walk(artifact)
    return sum(seen.values())


def _best(measured: Sequence[Measured], artifacts: Sequence[Artifact | None]) -> dict[str, Any]:
    """The trained model that wins most often against SFT, for whoever wants to talk to it."""

    def wins(pair: tuple[Measured, Artifact | None]) -> float:
        figure = pair[0].figures.get("win_rate")
        return figure.value if figure is not None and pair[1] is not None else -1.0

    one, artifact = max(zip(measured, artifacts, strict=True), key=wins)
    if artifact is None:
        return {}
    return {
        "artifact": artifact.name,
        "method": one.name,
        "win_rate": one.figures["win_rate"].to_json(),
    }


def _read_beside(config: AlignmentConfig, bench: Bench, inputs: Inputs, output: Output) -> None:
    """The same questions answered by the base, SFT and the first model of each method."""
    from gristmill.align.chats import read_chats
    from gristmill.align.side_by_side import side_by_side

    chats = list(bench.chats)
    if config.questions:
        chats = [chat for path in config.questions for chat in read_chats(path)[0]]
    speakers = dict(_speakers(config, bench, inputs, output))
    shown = side_by_side(chats[: config.side_by_side], speakers, max_tokens=config.max_tokens)
    output.samples.append(shown.samples)
    more = side_by_side(
        chats[:100],
        {n: speakers[n] for n in ("base", "sft") if n in speakers},
        max_tokens=config.max_tokens,
    )
    for name, figure in more.asks_on.items():
        output.figures[f"alignment.{name}.asks_on"] = figure
    if "base" in more.asks_on:
        output.notes.append(_asking_on(more.asks_on["base"], more.asks_on["sft"]))


def _asking_on(base: Figure, assistant: Figure) -> str:
    """How often each met a question with another, of the same number of questions."""
    asked = f"{base.n} question{'s' if base.n != 1 else ''}"
    if not base.value and not assistant.value:
        return f"Of {asked} neither the base model nor the assistant met one with another question."
    one, other = (f"{each.value:.0%}" if each.value else "none" for each in (base, assistant))
    return f"The base model met {one} of {asked} with another question, the assistant {other}."


def _speakers(
    config: AlignmentConfig, bench: Bench, inputs: Inputs, output: Output
) -> Iterator[tuple[str, Speaker]]:
    from gristmill.align.side_by_side import Speaker
    from gristmill.tokenizer.tokenizer import Tokenizer

    tokenizer = bench.chat_format.tokenizer
    base = inputs.get("base")
    if base is not None:
        engine = _engine(base.path, config, output)
        yield "base", Speaker(engine, Tokenizer.load(base.path))
    reference: Any = bench.reference
    yield "sft", Speaker(reference, tokenizer, bench.chat_format)
    shown: set[str] = set()
    for artifact in inputs.many("models"):
        method = artifact.read_json("training.json")["method"]
        if method in ("dpo", "ppo") and method not in shown:
            shown.add(method)
            yield (
                method,
                Speaker(_engine(artifact.path, config, output), tokenizer, bench.chat_format),
            )
