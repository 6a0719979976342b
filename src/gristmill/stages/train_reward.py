"""`train reward`: learns from preferences to score an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gristmill.core.figure import Figure
from gristmill.stages.stage import Inputs, Output, Slot, local, stage
from gristmill.stages.tuning import TuningConfig


class TrainRewardConfig(TuningConfig):
    """What is learnt, how long and how fast; see also the settings that all tuning shares."""

    loss: Literal["bradley_terry", "direct"] = "bradley_terry"
    """`bradley_terry`: which of two answers is better. `direct`: whether an answer beats the
    baseline answer; its score is +1 or -1."""
    lr: float = Field(1e-3, gt=0)
    """Of AdamW, for all weights (or for the adapters; the head is trained beside them). Tuned at 3
    million parameters; 1e-5 is usual at billions."""
    epochs: float = Field(1.0, gt=0)
    """One is the rule: a reward model that sees a pair twice has seen its answer."""
    batch: int = Field(16, ge=1)
    """Pairs in a step."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the products; `auto` measures this machine. It moved no figure at 3 million parameters."""
    heldout_share: float = Field(0.1, gt=0, lt=1)
    """Share of the groups held out, where the preferences have no held-out file."""
    references: int = Field(2000, ge=2)
    """Training answers whose scores get mean 0 and deviation 1."""
    probe_pairs: int = local(200, ge=0)
    """Held-out pairs that are watched while it trains."""


@stage(
    "train reward",
    version=1,
    kind="reward",
    config=TrainRewardConfig,
    inputs={"model": Slot("model", help="the assistant to start from"),
            "preferences": Slot("preferences")},
    summary="train a reward model on preferences",
    example="gristmill train reward --model FOLDER --preferences FOLDER",
    seeded=True,
)  # fmt: skip
def train_reward(config: TrainRewardConfig, inputs: Inputs, output: Output) -> None:
    """A folder that transformers loads as a classifier, with `reward.json`.

    Figures, on held-out pairs: `reward.accuracy` (`.longer`, `.shorter`, `.same`: where the better
    answer is), `reward.ece`, `reward.spread`.
    """
    from gristmill.align.pair_rows import SIDES, read_pairs
    from gristmill.align.reward import (
        HeldoutPairs,
        Normalisation,
        PairSource,
        RewardModel,
        objective_of,
    )
    from gristmill.align.reward_evaluation import evaluate_reward
    from gristmill.core.progress import progress
    from gristmill.core.seeds import derive_seed
    from gristmill.model.device import choose_device
    from gristmill.model.lora import merge, save_adapter
    from gristmill.model.scalar import ScalarModel
    from gristmill.model.transformer import require_transformer
    from gristmill.model.weights import load_model
    from gristmill.stages.tuning import (
        ADAPTER,
        METRICS,
        curve,
        optimizer_of,
        prepare,
        save_training,
        schedule_of,
        settings_of,
        training_of,
    )
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.train.metrics import read_metrics
    from gristmill.train.optimizers import Optimizer
    from gristmill.train.trainer import Trainer

    base = inputs["model"].path
    chat_format = ChatFormat.load(base, Tokenizer.load(base))
    language_model = load_model(base, choose_device(output.execution.device))
    require_transformer(language_model.config, "a reward model", base)
    found = read_pairs(
        inputs["preferences"].path,
        chat_format,
        language_model.config.context,
        share=config.heldout_share,
        seed=output.seed,
    )
    output.reject("preferences", found.rejects)
    model = ScalarModel.from_transformer(language_model, derive_seed(output.seed, "head"))
    del language_model
    prepare(model, config.lora, output.seed)
    model.score.weight.requires_grad_(True)
    source = PairSource(
        found.train, batch=config.batch, seed=derive_seed(output.seed, "data"), form=config.loss
    )
    steps = max(1, round(config.epochs * source.steps_per_epoch))
    watched = found.heldout[: config.probe_pairs]
    trainer = Trainer(
        output.run,
        models={"reward": model},
        optimizers={"reward": Optimizer(model, optimizer_of(config))},
        source=source,
        objective=objective_of(config.loss),
        schedule=schedule_of(config, steps),
        settings=settings_of(config, output.seed),
        probes=[HeldoutPairs(watched, config.loss, every=max(1, steps // 8))],
        title="train reward",
    )
    result = trainer.fit()
    if config.lora.rank:
        save_adapter(output.path / ADAPTER, model)
        model = merge(model)
    reward = RewardModel(model, config.loss)
    answers = dict.fromkeys(pair.conversation(side) for pair in found.train for side in SIDES)
    bar = progress("reference scores", min(len(answers), config.references), "answers")
    raw = reward.raw(list(answers)[: config.references], progress=bar)
    bar.close()
    reward.normalisation = Normalisation.fit(raw)
    reward.save(output.path, base, pad_id=chat_format.pad_id)
    chat_format.save(output.path)
    training = training_of(result, "reward", {"epochs": config.epochs}, models=1)
    save_training(output, training | {"base_content": inputs["model"].content})
    output.counts.update(
        pairs=source.rows,
        heldout=len(found.heldout),
        rejected=len(found.rejects),
        steps=result.steps,
        tokens=result.tokens,
    )
    output.figures["reward.loss.final"] = Figure(result.loss)
    judgement = evaluate_reward(reward, found.heldout)
    output.figures.update({f"reward.{k}": figure for k, figure in judgement.figures.items()})
    output.tables.append(judgement.table)
    records = read_metrics(output.path / METRICS)
    output.charts.append(
        curve(
            "Loss of the reward model",
            records,
            {"loss": "training", "heldout.loss": "held out"},
            y_label="nats a pair",
        )
    )
    output.charts.append(judgement.reliability)
